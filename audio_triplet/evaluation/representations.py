"""The rows of the tables: for each representation that is compared its key, names and colours.

The one place that knows them: tables, figures, pages and style sheets ask here. A constraint that
is registered and not named below gets a name from its key, and a colour of its own.
"""

from __future__ import annotations

import dataclasses

from audio_triplet.config import COMBINED, CONSTRAINTS, EXPLICIT

BASELINE = "log_mel"
STATISTICS = "log_mel_stats"
RANDOM = "random"
JOINT = "joint"
SHUFFLED = "shuffled"
SCRATCH = "scratch"


@dataclasses.dataclass(frozen=True)
class Representation:
    """What a row of a table is of.

    Attributes:
      key: Its name on disk, in flags and in JSON.
      name: Its name in tables and figures.
      short_name: Its name beside a curve.
      explanation: What its triplets are, or what it is compared for, for readers new to it.
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
        """Class of what stands for it on a page."""
        return f"k-{self.key}"


_KNOWN = {
    row.key: row
    for row in (
        Representation(
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
        Representation(
            STATISTICS,
            "Log mel, mean and deviation",
            "log mel statistics",
            "another baseline: mean and deviation of each band",
            "#b4b7bb",
            "#5e6368",
            trained=False,
            seeded=False,
        ),
        Representation(
            RANDOM,
            "Random encoder",
            "random",
            "the encoder before training",
            "#dadce0",
            "#45494e",
            trained=False,
        ),
        Representation(
            "gaussian_noise",
            "Gaussian noise",
            "noise",
            "a sound and the same with noise",
            "#a8641f",
            "#dd9c58",
        ),
        Representation(
            "translation",
            "T/F translation",
            "translation",
            "a sound and the same shifted in time and pitch",
            "#7357b5",
            "#ab94ea",
        ),
        Representation(
            "mixing",
            "Example mixing",
            "mixing",
            "a sound and its mixture with another",
            "#4c7f2e",
            "#8fc06f",
        ),
        Representation(
            "proximity",
            "Temporal proximity",
            "proximity",
            "two moments of one recording",
            "#b8457a",
            "#ec86b2",
        ),
        Representation(
            JOINT,
            "Joint",
            "joint",
            "all constraints together, no labels",
            "#0b6b73",
            "#63c5c8",
        ),
        Representation(
            COMBINED,
            "Combined",
            "combined",
            "all constraints at once in every pair, no labels",
            "#1d5fa8",
            "#78aee8",
        ),
        Representation(
            SHUFFLED,
            "Joint, labels shuffled",
            "shuffled",
            "the joint embedding scored on shuffled labels: there is nothing to find",
            "#cfd3d6",
            "#53585e",
        ),
        Representation(
            EXPLICIT,
            "Explicit label",
            "explicit",
            "the topline: the same network, taught the classes",
            "#1e2124",
            "#e7e5e0",
            role="topline",
        ),
        Representation(
            SCRATCH,
            "Network from scratch",
            "from scratch",
            "the same network trained on the labelled clips alone",
            "#ad3f26",
            "#f09a84",
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

# Rows that have to be asked for: another baseline, two that must come out low, and one more.
EXTRA_ROWS = (STATISTICS, RANDOM, SHUFFLED, COMBINED)


def of(key: str) -> Representation:
    """The representation of a key."""
    if key in _KNOWN:
        return _KNOWN[key]
    others = [name for name in CONSTRAINTS if name not in _KNOWN]
    number = others.index(key) if key in others else 0
    colour, dark_colour = _MORE_COLOURS[number % len(_MORE_COLOURS)]
    words = key.replace("_", " ")
    return Representation(key, words.capitalize(), words, "", colour, dark_colour)
