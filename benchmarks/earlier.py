"""Decoding by this version beside an earlier one, in turns on one core.

    python -m benchmarks.earlier --earlier=CLONE --corpus=esc50:DIR

CLONE is a checkout of the earlier version; its `.venv`, if it has one, runs it. Per format: whole
files, headers, and pieces of a long file. Goal: no sound takes more than 1.1 times as long, and no
header, which is read in some 50 µs, more than 1.5 times.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from absl import flags

from benchmarks import harness

_RATE = 44_100
_FILES, _SECONDS, _LONG_SECONDS = 4, 10.56, 600.0
_MOST, _MOST_FOR_HEADERS = 1.1, 1.5
_OURS, _EARLIER = "this version", "the earlier one"

_WORKER = """
import json, sys, time
from audio_triplet import audio
for line in sys.stdin:
    name, paths, arguments, times = json.loads(line)
    read = getattr(audio, name)
    begin = time.process_time()
    for _ in range(times):
        for path in paths:
            read(path, *arguments)
    print(time.process_time() - begin, flush=True)
"""


def measure() -> list[harness.Table]:
    """A table for each format."""
    from audio_triplet.errors import UsageError

    earlier = flags.FLAGS.earlier
    if not earlier or not os.path.isdir(os.path.join(earlier, "audio_triplet")):
        raise UsageError("--earlier: give the folder of a checkout of an earlier version")
    python = os.path.join(earlier, ".venv", "bin", "python")
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    tables = []
    with (
        tempfile.TemporaryDirectory() as folder,
        _worker(sys.executable, here) as ours,
        _worker(python if os.path.exists(python) else sys.executable, earlier) as theirs,
    ):
        workers = {_OURS: ours, _EARLIER: theirs}
        sounds = harness.sounds(_FILES, _SECONDS, _RATE)
        (long,) = harness.sounds(1, _LONG_SECONDS, _RATE)
        for suffix in ("wav", "flac", "ogg", "opus", "mp3"):
            rate = 48_000 if suffix == "opus" else _RATE
            paths = harness.write_sounds(os.path.join(folder, suffix), sounds, rate, suffix)
            (path,) = harness.write_sounds(
                os.path.join(folder, f"{suffix}-long"), [long], rate, suffix
            )
            tables.append(_table(workers, suffix, paths, path))
    return tables


def _table(workers: dict, suffix: str, paths: list[str], long: str) -> harness.Table:
    table = harness.Table(
        f"Decode: {suffix} beside an earlier version",
        f"{_FILES} files of {_SECONDS} s; pieces of 0.96 s of {_LONG_SECONDS:.0f} s; one core",
    )
    for what, call, work, most in (
        ("whole files", ("load_audio", paths, (), 3), 3 * _FILES * _SECONDS, _MOST),
        ("headers", ("probe", paths, (), 50), 50 * _FILES, _MOST_FOR_HEADERS),
        ("a piece from the middle", ("read_piece", [long], (290.0, 0.96), 20), 20, _MOST),
    ):
        taken = _interleaved(workers, call)
        unit = {"whole files": "× real time"}.get(what, "per second")
        for name, measurement in taken.items():
            table.add(f"{what}, {name}", work / measurement.median, unit)
        over = 1 / taken[_OURS].times_as_fast_as(taken[_EARLIER])
        table.goal(f"{what}: time, in times the earlier one's", over, most, at_most=True)
    return table


def _interleaved(workers: dict, call: tuple) -> dict[str, harness.Measurement]:
    """As `timing.interleaved`, by the processor times that the workers tell."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(-1, harness.repeats()):
        names = itertools.islice(itertools.cycle(workers), number + 2, number + 2 + len(workers))
        for name in names:
            worker = workers[name]
            worker.stdin.write(json.dumps(call) + "\n")
            worker.stdin.flush()
            taken = float(worker.stdout.readline())
            if number >= 0:
                seconds[name].append(taken)
    return {name: harness.Measurement(tuple(taken)) for name, taken in seconds.items()}


@contextlib.contextmanager
def _worker(python: str, folder: str) -> Iterator[subprocess.Popen]:
    """A process that reads sound by the version in a folder."""
    environment = os.environ | {"PYTHONPATH": folder}
    with subprocess.Popen(
        [python, "-c", _WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    flags.DEFINE_string("earlier", None, "A checkout of the earlier version.")
    harness.main(measure, cores=1)
