"""What every benchmark shares: timing in turns, tables, goals, pinned processes, memory, sounds.

A stage is a module of `benchmarks` with one function `measure() -> list[Table]`, run alone by
`python -m benchmarks.STAGE` and with all others by `python -m benchmarks.run`:

    \"\"\"What is compared, with what, and what is hoped for.\"\"\"

    from benchmarks import harness

    def measure() -> list[harness.Table]:
        import heavy_library  # late: --help stays quick, and threads are pinned by now

        taken = harness.interleaved({"ours": ours, "librosa": theirs}, harness.repeats())
        table = harness.Table("Front end", "60 s of sound, one core")
        table.compare(taken, work=60, unit="× real time", ours="ours")
        table.skip_absent("torch")
        table.goal("times librosa", taken["ours"].times_as_fast_as(taken["librosa"]), 1.5)
        return [table]

    if __name__ == "__main__":
        harness.main(measure, cores=1)

`interleaved` lets the candidates take turns, so that a busy machine is as busy for each, and a
ratio is the median over rounds of the ratio within a round. `main(cores=1)` starts the process anew
on one core with libraries told to use one thread: figures "per core", in processor time, which on
an idle machine is the wall's and on a busy one is still the work's. `in_child` calls a function
in a fresh process, for peak memory or for another number of cores. `sounds` gives recordings of
--corpus, or generated ones. Peers are optional (`pip install -e .[bench]`): `absent` says which.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

import numpy as np
from absl import app, flags

from audio_triplet import storage
from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError

PEERS = ("torch", "librosa", "resampy", "faiss-cpu", "kaldi-native-fbank")
"""Packages of the extra `bench`."""

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
_PINNED = "AUDIO_TRIPLET_BENCHMARK_CORES"

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

flags.disclaim_key_flags()  # so that a script's --help shows the flags defined here for it


# --- timing -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Times of one candidate.

    Attributes:
      seconds: Of each round.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    def times_as_fast_as(self, other: "Measurement", share: float = 1.0) -> float:
        """Median over rounds of how many times as fast this one was in that round.

        Args:
          other: Measured in the same rounds.
          share: How much of the other's work this one did.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        return share * statistics.median(theirs / mine for mine, theirs in pairs)


def interleaved(
    candidates: Mapping[str, Callable[..., object]],
    repeats: int,
    warm_up: int = 1,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Measurement]:
    """Times functions in turns.

    What works on in the background after its turn, as tf.data does, would be paid for by the next:
    let `before` make it, so that it ends with the turn.

    Args:
      candidates: Name → what to time. The order rotates from round to round.
      repeats: Rounds that count.
      warm_up: Rounds before them, in which graphs are traced and caches filled.
      before: Name → what is called, untimed, before each of its turns; what that returns is given
        to the candidate and dropped after.

    Returns:
      Name → its measurement: processor time in a process pinned to one core, else wall time.
    """
    clock = time.process_time if os.environ.get(_PINNED) == "1" else time.perf_counter
    names = list(candidates)
    seconds = {name: [] for name in names}
    for number in range(-warm_up, repeats):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            given = [before[name]()] if before and name in before else []
            begin = clock()
            candidates[name](*given)
            if number >= 0:
                seconds[name].append(clock() - begin)
            del given
    return {name: Measurement(tuple(taken)) for name, taken in seconds.items()}


# --- tables -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
      name: What was measured.
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
    """What was hoped for.

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
      about: What was measured, on what.
      rows: Lines.
      goals: What was hoped for.
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
        told = "  ".join(part for part in (ours, more, row.note) if part)
        print(f"  {name:44s} {_cell(value):>10s} {unit:14s} {told}".rstrip(), flush=True)

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
    """Says what is being done."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def absent(package: str) -> bool:
    """Whether a peer is not installed; asked without importing it."""
    return importlib.util.find_spec(package) is None


# --- processes ----------------------------------------------------------------------------------


def define_flags() -> None:
    """Defines the flags that all stages have."""
    flags.DEFINE_integer("repeats", 5, "Rounds of each comparison.", lower_bound=1)
    flags.DEFINE_string(
        "corpus", None, "Recordings to measure on, e.g. esc50:DIR; by default generated sounds."
    )
    flags.DEFINE_string("output_dir", None, "Folder for the tables; by default only printed.")


def repeats() -> int:
    """Rounds of each comparison, by flag."""
    return flags.FLAGS.repeats


def main(
    measure: Callable[[], list[Table] | dict[str, list[Table]]],
    cores: int | None = None,
    parts: Sequence[str] = (),
) -> None:
    """Entry point of a stage: runs it, prints its tables, and writes them to --output_dir.

    Args:
      measure: The stage. What it returns by part is written beside the parts that are there.
      cores: How many cores and threads it may use; all if None.
      parts: All parts that it may return, in order.
    """
    define_flags()

    def run(argv):
        if len(argv) > 1:
            raise app.UsageError(f"unknown arguments: {argv[1:]}")
        if cores is not None and os.environ.get(_PINNED) != str(cores):
            _pin(cores)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        terminal.quiet_tensorflow()
        stage = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        with terminal.clear_errors(stage):
            measured = measure()
            if flags.FLAGS.output_dir:
                by_part = measured if isinstance(measured, dict) else {stage: measured}
                write(by_part, flags.FLAGS.output_dir, stage, parts or (stage,))

    app.run(run)


def write(
    measured: Mapping[str, Sequence[Table]], folder: str, name: str, parts: Sequence[str]
) -> None:
    """Writes NAME.json and NAME.md: tables, and where each comes from.

    Args:
      measured: Part → its tables.
      folder: Where; parts that were not measured keep what the files there have.
      name: Of the files.
      parts: All there are, in order.
    """
    from audio_triplet.provenance import provenance

    where = provenance()
    for package in PEERS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            where["versions"][package] = metadata.version(package)
    os.makedirs(folder, exist_ok=True)
    earlier = {}
    if os.path.exists(path := os.path.join(folder, f"{name}.json")):
        with open(path, encoding="utf-8") as file:
            earlier = json.load(file).get("parts", {})  # none in files of before there were parts
    new = {
        part: {"tables": [dataclasses.asdict(table) for table in tables], **where}
        for part, tables in measured.items()
    }
    content = {part: (earlier | new)[part] for part in parts if part in earlier | new}
    storage.write_json(os.path.join(folder, f"{name}.json"), {"parts": content})
    storage.write_text(os.path.join(folder, f"{name}.md"), _markdown(content))


def _markdown(content: Mapping[str, dict]) -> str:
    """All tables, after where they come from."""
    origins: dict[str, list[str]] = {}
    for part, told in content.items():
        versions = ", ".join(f"{package} {one}" for package, one in told["versions"].items())
        origin = (
            f"`{told['command']}`, commit {told['commit']}, {told['date']}; {told['machine']}; "
            f"{versions}."
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
                for told in content.values()
                for table in told["tables"]
            ),
        ]
    )


def _pin(cores: int) -> None:
    """Binds this process, and what it starts, to so many cores and threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
    os.environ.update({name: str(cores) for name in _THREADS}, **{_PINNED: str(cores)})


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def in_child(function: str, cores: int | None = None, **arguments) -> tuple[object, float]:
    """Calls a function in a fresh process.

    Args:
      function: `module:name`.
      cores: How many cores and threads it may use; as this process if None.
      **arguments: Of the call; must pass through JSON.

    Returns:
      What it returned (JSON's types), and the process's peak memory in GB.

    Raises:
      RuntimeError: It failed; its own message is on standard error.
    """
    with tempfile.NamedTemporaryFile("r", suffix=".json") as answer:
        call = json.dumps([function, arguments, answer.name, cores])
        done = subprocess.run(
            [sys.executable, "-c", "from benchmarks import harness; harness.answer_parent()"],
            input=call,
            text=True,
            check=False,
            cwd=_ROOT,
        )
        if done.returncode:
            raise RuntimeError(f"{function} failed in its process (exit code {done.returncode})")
        return tuple(json.load(answer))


def answer_parent() -> None:
    """The other side of `in_child`."""
    call = sys.stdin.read()
    function, arguments, answer, cores = json.loads(call)
    if cores is not None and os.environ.get(_PINNED) != str(cores):
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "w") as pipe:
            pipe.write(call)
        os.dup2(read_end, 0)
        _pin(cores)
        os.execv(sys.executable, sys.orig_argv)
    terminal.quiet_tensorflow()
    module, name = function.split(":")
    result = getattr(importlib.import_module(module), name)(**arguments)
    with open(answer, "w", encoding="utf-8") as file:
        json.dump([result, peak_gigabytes()], file)


def peak_gigabytes() -> float:
    """Largest resident memory of this process so far, in GB."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:  # rusage counts the parent's too
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


# --- sounds -------------------------------------------------------------------------------------


def sounds(count: int, seconds: float, rate: int) -> list[np.ndarray]:
    """Sounds to measure on.

    Args:
      count: How many.
      seconds: Length of each.
      rate: Hz.

    Returns:
      float32[round(seconds * rate)] each, not silent: recordings of --corpus, spread evenly over
      it, put end to end and resampled; without --corpus, swells of noise with a falling spectrum,
      as outdoor sounds have.
    """
    samples = round(seconds * rate)
    corpus = _corpus()
    if not corpus:
        return [_generated(samples, rate, seed) for seed in range(count)]
    from audio_triplet import audio
    from audio_triplet.corpora import registry
    from audio_triplet.errors import AudioError

    paths = registry.load_corpus(corpus).frame["path"].unique()
    stream, found = np.zeros(0, np.float32), []
    for place in np.random.default_rng(0).permutation(len(paths)):
        try:
            sound = audio.load_audio(paths[place], rate)
        except AudioError:
            continue
        if np.abs(sound).max() > 1e-3:
            stream = np.concatenate([stream, sound])
        while len(stream) >= samples and len(found) < count:
            found.append(stream[:samples])
            stream = stream[samples:]
        if len(found) == count:
            return found
    raise UsageError(
        f"{corpus}: holds less than {count * seconds:.0f} s of sound; "
        "leave --corpus out to measure on generated sounds"
    )


def _corpus() -> str | None:
    return flags.FLAGS.corpus


def _generated(samples: int, rate: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / rate)
    noise = np.fft.irfft(spectrum / np.maximum(hertz, 50.0) ** rng.uniform(0.3, 1.0), samples)
    swell = np.sin(np.pi * np.arange(samples) / rate * rng.uniform(0.2, 3.0)) ** 2
    sound = noise * swell
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def write_sounds(folder: str, waveforms: Sequence[np.ndarray], rate: int, suffix: str) -> list[str]:
    """Writes sounds as files: `wav`, `flac` (16 bits), `ogg` (Vorbis) or `mp3`; returns paths."""
    import soundfile

    os.makedirs(folder, exist_ok=True)
    paths = []
    for number, waveform in enumerate(waveforms):
        paths.append(os.path.join(folder, f"{number:05d}.{suffix}"))
        # In blocks: libsndfile's Vorbis encoder overflows its stack on long ones.
        with soundfile.SoundFile(paths[-1], "w", rate, 1) as file:
            for begin in range(0, len(waveform), rate):
                file.write(waveform[begin : begin + rate])
    return paths
