"""The results of a stage: tables with goals, printed as they fill, written as JSON and Markdown."""

import contextlib
import dataclasses
import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from importlib import metadata

from audio_triplet import storage
from benchmarks.timing import Measurement

# Packages of the extra `bench`.
PEERS = ("torch", "librosa", "resampy", "faiss-cpu", "kaldi-native-fbank")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
      name: Name of the measurement.
      value: The figure; None if it was not measured, and `note` says why.
      unit: Its unit.
      ours: How many times as fast as this one ours is; None for ours itself or without a peer.
      note: Anything else.
      more: Further columns, name → figure or text.
    """

    name: str
    value: float | None
    unit: str = ""
    ours: float | None = None
    note: str = ""
    more: Mapping[str, float | str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Goal:
    """A bound that a figure should meet.

    Attributes:
      what: The figure's meaning.
      got: The figure.
      wanted: Its bound.
      at_most: Whether smaller is better.
    """

    what: str
    got: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is within the bound."""
        return self.got <= self.wanted if self.at_most else self.got >= self.wanted

    def __str__(self):
        bound = "at most" if self.at_most else "at least"
        return (
            f"{'met' if self.met else '**missed**'}: {self.what}: {figure(self.got)} "
            f"({bound} {figure(self.wanted)})"
        )


@dataclasses.dataclass
class Table:
    """A table of one stage, filled line by line; each line is printed as it comes.

    Attributes:
      title: Headline.
      about: The measurement and its data.
      rows: Lines.
      goals: Bounds that figures should meet.
    """

    title: str
    about: str = ""
    rows: list[Row] = dataclasses.field(default_factory=list)
    goals: list[Goal] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        progress(f"{self.title}: {self.about}" if self.about else self.title)

    def add(self, name: str, value: float | None, unit: str = "", **others) -> None:
        """Adds a line, see `Row`."""
        row = Row(name, value, unit, **others)
        self.rows.append(row)
        ours = "" if row.ours is None else f"ours is {figure(row.ours)} times as fast"
        more = "  ".join(f"{column} {_cell(content)}" for column, content in row.more.items())
        rest = "  ".join(part for part in (ours, more, row.note) if part)
        print(f"  {name:44s} {_cell(value):>10s} {unit:14s} {rest}".rstrip(), flush=True)

    def compare(
        self,
        taken: Mapping[str, Measurement],
        work: float,
        unit: str,
        ours: str,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Adds a line for each candidate: its rate, and how many times as fast ours is.

        Args:
          taken: What `interleaved` returned.
          work: What one call does, in `unit` × seconds.
          unit: Of the rate.
          ours: Which of them is ours.
          notes: Name → note.
        """
        for name, measurement in taken.items():
            ratio = None if name == ours else taken[ours].times_as_fast_as(measurement)
            note = (notes or {}).get(name, "")
            self.add(name, work / measurement.median, unit, ours=ratio, note=note)

    def skip_absent(self, *packages: str) -> None:
        """Adds a line for each package that is not installed."""
        for package in filter(absent, packages):
            self.add(package, None, note="skipped: not installed (pip install -e '.[bench]')")

    def goal(self, what: str, got: float, wanted: float, at_most: bool = False) -> None:
        """Adds a goal, see `Goal`."""
        self.goals.append(Goal(what, got, wanted, at_most))
        print(f"  {self.goals[-1]}", flush=True)

    def markdown(self) -> str:
        """The table, its goals below."""
        columns = list(dict.fromkeys(column for row in self.rows for column in row.more))
        shown = {
            "ours is × as fast": any(row.ours is not None for row in self.rows),
            "note": any(row.note for row in self.rows),
        }
        header = ["", "", *columns, *(name for name, any_row in shown.items() if any_row)]
        lines = [f"### {self.title}", "", self.about, "", _line(header), "|" + "---|" * len(header)]
        for row in self.rows:
            cells = [row.name, "–" if row.value is None else f"{_cell(row.value)} {row.unit}"]
            cells += [_cell(row.more.get(column, "")) for column in columns]
            if shown["ours is × as fast"]:
                cells.append("" if row.ours is None else figure(row.ours))
            if shown["note"]:
                cells.append(row.note)
            lines.append(_line(cells))
        return "\n".join([*lines, "", *(f"- {goal}" for goal in self.goals), ""])

    @classmethod
    def from_dict(cls, content: dict) -> "Table":
        """The inverse of `dataclasses.asdict`; prints nothing."""
        table = cls.__new__(cls)
        table.title, table.about = content["title"], content["about"]
        table.rows = [Row(**row) for row in content["rows"]]
        table.goals = [Goal(**goal) for goal in content["goals"]]
        return table


def figure(value: float) -> str:
    """A number with three significant digits and thousands apart."""
    if value != value or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = f"{value:.3g}"
    return digits if "e" in digits else f"{float(digits):g}"


def _cell(content) -> str:
    if content is None:
        return "–"
    return content if isinstance(content, str) else figure(content)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def progress(text: str) -> None:
    """Prints a line on the progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def absent(package: str) -> bool:
    """Whether a peer is not installed; asked without importing it."""
    return importlib.util.find_spec(package) is None


def write(
    measured: Mapping[str, Sequence[Table]], folder: str, name: str, parts: Sequence[str]
) -> None:
    """Writes NAME.json and NAME.md: tables, and where each comes from.

    Args:
      measured: Part → its tables.
      folder: Output folder; parts that were not measured keep their earlier results there.
      name: Of the files.
      parts: All there are, in order.
    """
    from audio_triplet.provenance import provenance

    origin = provenance()
    # Of the last quarter of an hour: times on a machine that did much else are not to be trusted.
    origin["load"] = round(os.getloadavg()[2], 1)
    for package in PEERS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            origin["versions"][package] = metadata.version(package)
    os.makedirs(folder, exist_ok=True)
    earlier = {}
    if os.path.exists(path := os.path.join(folder, f"{name}.json")):
        earlier = storage.read_json(path).get("parts", {})  # none in the files of earlier versions
    new = {
        part: {"tables": [dataclasses.asdict(table) for table in tables], **origin}
        for part, tables in measured.items()
    }
    content = {part: (earlier | new)[part] for part in parts if part in earlier | new}
    storage.write_json(os.path.join(folder, f"{name}.json"), {"parts": content})
    storage.write_text(os.path.join(folder, f"{name}.md"), _markdown(content))


def _load(origin: Mapping) -> str:
    return f", load average {origin['load']:g}" if "load" in origin else ""


def _markdown(content: Mapping[str, dict]) -> str:
    """All tables, after their provenance."""
    origins: dict[str, list[str]] = {}
    for part, found in content.items():
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        origin = (
            f"`{found['command']}`, commit {found['commit']}, {found['date']}; {found['machine']}"
            f"{_load(found)}; {versions}."
        )
        origins.setdefault(origin, []).append(part)
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Medians of interleaved repeats.",
            "",
            *(f"- {', '.join(named)}: {origin}" for origin, named in origins.items()),
            "",
            *(
                Table.from_dict(table).markdown()
                for found in content.values()
                for table in found["tables"]
            ),
        ]
    )
