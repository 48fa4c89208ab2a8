"""The rows of the tables: key, names and colours of each representation.

Tables, figures, pages and style sheets all take them from here. A constraint is named where it is
defined; one that is not listed below has its docstring as its explanation, and a colour of its own.
"""

from __future__ import annotations

import dataclasses

from audio_triplet import constraints
from audio_triplet.config import COMBINED, CONSTRAINTS, EXPLICIT

BASELINE = "log_mel"
STATISTICS = "log_mel_stats"
RANDOM = "random"
RELEASED = "released"
JOINT = "joint"
SHUFFLED = "shuffled"
SCRATCH = "scratch"
PLAIN_SCRATCH = "scratch_plain"
SCRATCH_ROWS = (SCRATCH, PLAIN_SCRATCH)


@dataclasses.dataclass(frozen=True)
class TableRow:
    """The representation of a row.

    Attributes:
      key: Its name on disk, in flags and in JSON.
      name: Its name in tables and figures.
      short_name: Its name at the end of a curve.
      explanation: Its triplets, or the reason for the comparison, for readers new to it.
      colour: In figures and on light pages, `#rrggbb`.
      dark_colour: On dark pages.
      role: What it stands for in Table 1, "baseline" or "topline", or nothing.
      trained: Whether an encoder is trained for it; otherwise it needs no run.
      seeded: Whether it depends on a seed.
    """

    key: str
    name: str
    short_name: str
    explanation: str
    colour: str
    dark_colour: str
    role: str = ""
    trained: bool = True
    seeded: bool = True

    @property
    def label(self) -> str:
        """Its name with its role, as Table 1 has it."""
        return f"{self.name} ({self.role})" if self.role else self.name

    @property
    def css_class(self) -> str:
        """CSS class of its marks on a page."""
        return f"k-{self.key}"


def _of_constraint(
    key: str, short_name: str, explanation: str, colour: str, dark_colour: str, role: str = ""
) -> TableRow:
    """The row of a constraint, which is named where it is defined."""
    name = constraints.get(key).title
    return TableRow(key, name, short_name, explanation, colour, dark_colour, role)


_KNOWN = {
    row.key: row
    for row in (
        TableRow(
            BASELINE,
            "Log mel",
            "log mel",
            "the baseline: no training at all",
            "#8b8f94",
            "#7d8288",
            role="baseline",
            trained=False,
            seeded=False,
        ),
        TableRow(
            STATISTICS,
            "Log mel, mean and deviation",
            "log mel statistics",
            "of each band over time: another baseline",
            "#b4b7bb",
            "#5e6368",
            trained=False,
            seeded=False,
        ),
        TableRow(
            RANDOM,
            "Random encoder",
            "random",
            "the network as it is before training",
            "#dadce0",
            "#45494e",
            trained=False,
        ),
        TableRow(
            RELEASED,
            "Released model",
            "released",
            "no labels either, and other sound, more and for longer",
            "#0a4f9e",
            "#9cc4ff",
            trained=False,
            seeded=False,
        ),
        _of_constraint(
            "gaussian_noise",
            "noise",
            "a sound and the same with noise",
            "#a8641f",
            "#dd9c58",
        ),
        _of_constraint(
            "translation",
            "translation",
            "a sound and the same shifted in time and pitch",
            "#7357b5",
            "#ab94ea",
        ),
        _of_constraint(
            "mixing",
            "mixing",
            "a sound and its mixture with another",
            "#4c7f2e",
            "#8fc06f",
        ),
        _of_constraint(
            "proximity",
            "proximity",
            "two moments of one recording",
            "#b8457a",
            "#ec86b2",
        ),
        TableRow(
            JOINT,
            "Joint",
            "joint",
            "all constraints together, no labels",
            "#0b6b73",
            "#63c5c8",
        ),
        _of_constraint(
            COMBINED,
            "combined",
            "proximity pairs, augmented by the other constraints",
            "#1d5fa8",
            "#78aee8",
        ),
        TableRow(
            SHUFFLED,
            "Joint, labels shuffled",
            "shuffled",
            "a check: this must come out low",
            "#cfd3d6",
            "#53585e",
        ),
        _of_constraint(
            EXPLICIT,
            "explicit",
            "the topline: the same network, taught the classes",
            "#1e2124",
            "#e7e5e0",
            role="topline",
        ),
        TableRow(
            SCRATCH,
            "Network from scratch",
            "from scratch",
            "the same network trained on the labelled clips alone",
            "#ad3f26",
            "#f09a84",
        ),
        TableRow(
            PLAIN_SCRATCH,
            "Network from scratch, no augmentation",
            "from scratch, plain",
            "the same, as the paper's: on the clips as they are",
            "#d98a2b",
            "#f2c184",
        ),
    )
}

# Colours of constraints that are not named above: on light, on dark.
_MORE_COLOURS = (
    ("#8a6d00", "#d9bd55"),
    ("#2f7d6a", "#7cc9b5"),
    ("#8f3f8a", "#dc90d7"),
    ("#5b6b1f", "#b3c46c"),
)

# The rows of the paper's Table 1, in order.
ROWS = (BASELINE, *CONSTRAINTS, JOINT, EXPLICIT)


def extra_rows() -> tuple[str, ...]:
    """Rows that are made only on request.

    Another baseline, the released model, two that must score low, and the constraints that the
    paper does not have.
    """
    further = (name for name in constraints.names() if name not in ROWS)
    return (STATISTICS, RANDOM, RELEASED, SHUFFLED, *further)


def of(key: str) -> TableRow:
    """The representation of a key.

    Args:
      key: One of `ROWS`, of `extra_rows()`, or of `SCRATCH_ROWS`; a constraint that another version
        had, or a module that is not imported, is named by its key.
    """
    if key in _KNOWN:
        return _KNOWN[key]
    if key not in constraints.names():
        words = key.replace("_", " ")
        return TableRow(key, words.capitalize(), words, "", *_MORE_COLOURS[0])
    constraint = constraints.get(key)
    number = [name for name in constraints.names() if name not in _KNOWN].index(key)
    explanation = (constraint.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return _of_constraint(
        key, constraint.title.lower(), explanation, *_MORE_COLOURS[number % len(_MORE_COLOURS)]
    )
