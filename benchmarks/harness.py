"""Runs every benchmark: flags, pinned processes, tables written at the end.

A stage is a module of `benchmarks` with one function `measure() -> list[Table]`, run alone by
`python -m benchmarks.STAGE` and with all others by `python -m benchmarks.run`:

    \"\"\"The comparison, its peers, and its goals.\"\"\"

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

`interleaved` (`timing`) lets the candidates take turns, so that a busy machine is as busy for each,
and a ratio is the median over rounds of the ratio within a round. `main(cores=1)` starts the
process anew on one core with libraries limited to one thread: figures "per core", in processor
time, which equals wall time on an idle machine and does not grow on a busy one. `in_child`
(`processes`) calls a function in a fresh process, for peak memory or for another number of cores.
`sounds` gives recordings of --corpus, or generated ones. Peers are optional (`pip install -e
.[bench]`): `absent` says which.

By hand, not by pytest-benchmark, asv or pyperf: these time one candidate after the other, and have
neither ratios within a round nor goals.
"""

import os
import sys
from collections.abc import Callable, Sequence

import numpy as np
from absl import app, flags

from audio_triplet.commands import terminal
from benchmarks import processes
from benchmarks import sounds as sounds_module
from benchmarks.processes import cores, in_child, peak_gigabytes
from benchmarks.sounds import write_sounds
from benchmarks.tables import Goal, Row, Table, absent, figure, progress, write
from benchmarks.timing import Measurement, interleaved

__all__ = [
    "Goal",
    "Measurement",
    "Row",
    "Table",
    "absent",
    "cores",
    "define_flags",
    "figure",
    "in_child",
    "interleaved",
    "main",
    "peak_gigabytes",
    "progress",
    "repeats",
    "sounds",
    "write",
    "write_sounds",
]

flags.disclaim_key_flags()  # so that a script's --help shows the flags defined here for it


def define_flags(repeats: int = 5) -> None:
    """Defines the flags that all stages have; --repeats by default as said."""
    flags.DEFINE_integer("repeats", repeats, "Rounds of each comparison.", lower_bound=1)
    flags.DEFINE_string(
        "corpus", None, "Recordings to measure on, e.g. esc50:DIR; by default generated sounds."
    )
    flags.DEFINE_string("output_dir", None, "Folder for the tables; by default only printed.")


def repeats() -> int:
    """Rounds of each comparison, by flag."""
    return flags.FLAGS.repeats


def sounds(count: int, seconds: float, rate: int) -> list[np.ndarray]:
    """Sounds to measure on, of --corpus, see `benchmarks.sounds.sounds`."""
    return sounds_module.sounds(flags.FLAGS.corpus, count, seconds, rate)


def main(
    measure: Callable[[], list[Table] | dict[str, list[Table]]],
    cores: int | None = None,
    parts: Sequence[str] = (),
    name: str = "",
    repeats: int = 5,
) -> None:
    """Entry point of a stage: runs it, prints its tables, and writes them to --output_dir.

    Args:
      measure: The stage. Parts that it returns are merged with those in the files.
      cores: How many cores and threads it may use; all if None.
      parts: All parts that it may return, in order.
      name: Of the stage; its module's by default.
      repeats: Rounds by default.
    """
    define_flags(repeats)

    def run(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unknown arguments: {argv[1:]}")
        if cores is not None and processes.pinned_cores() != cores:
            processes.pin(cores)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        terminal.set_up_logging()
        stage = name or os.path.splitext(os.path.basename(sys.argv[0]))[0]
        with terminal.clear_errors(stage):
            measured = measure()
            if flags.FLAGS.output_dir:
                by_part = measured if isinstance(measured, dict) else {stage: measured}
                write(by_part, flags.FLAGS.output_dir, stage, parts or (stage,))

    app.run(run)
