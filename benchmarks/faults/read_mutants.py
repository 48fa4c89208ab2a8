"""Reads many damaged sound files with this package, and checks the outcome.

    python -m benchmarks.faults.read_mutants --number=4711 --keep=/tmp/4711
    python -m benchmarks.faults.read_mutants --first=0 --last=10000 --output=mutants.jsonl

The first command keeps one mutant for examination. A process that reads mutants may die of one:
`benchmarks.faults` starts it again after that one.
"""

import io
import json
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterable

import numpy as np
from absl import app, flags

from audio_triplet import audio
from audio_triplet.errors import AudioError
from benchmarks import pieces
from benchmarks.faults import mutants

# Processor seconds for everything that is done with one mutant.
MAX_CPU_SECONDS = 10.0

# Growth of a process's memory, over what it was before the mutant.
MAX_GROWTH_BYTES = 512 * 2**20

# The same of its address space, of which decoders may reserve more than they use.
_MAX_RESERVED_BYTES = 4 * 2**30

# An hour at 16 kHz.
_MOST_SAMPLES = 3600 * 16_000

# Of each mutant that is read, to compare with the whole.
_PIECES = 3


class _Reader:
    """Reads one file by every function, and notes violations of their promises.

    Attributes:
      problems: Violations, as sentences.
    """

    def __init__(self, path: str):
        self.problems: list[str] = []
        self._path = path

    def attempt(self, name: str, read: Callable):
        """The result of `read`, None if it refuses; any other error is a problem."""
        try:
            return read()
        except AudioError as error:
            text = str(error)
            if not text.startswith(f"{self._path}: ") or "\n" in text or not error.fix:
                self.problems.append(
                    f"{name}: refused with {text!r}, which is not one line on the file"
                )
        except MemoryError:
            self.problems.append(f"{name}: asked for over {_MAX_RESERVED_BYTES >> 20} MB of memory")
        except Exception as error:
            self.problems.append(f"{name}: {type(error).__name__}: {error}")
        return None

    def check(self, name: str, waveform) -> None:
        """Notes a waveform that is not finite float32[samples]."""
        if waveform.dtype != np.float32 or waveform.ndim != 1 or not np.isfinite(waveform).all():
            self.problems.append(f"{name}: not finite float32[samples]")

    def probe(self) -> float | None:
        """Seconds according to the header."""
        info = self.attempt("probe", lambda: audio.probe(self._path))
        if info is None:
            return None
        size = os.path.getsize(self._path)
        if info.frames > 6000 * size:  # no codec goes so far
            self.problems.append(f"probe: takes {info.frames} frames in {size} B for true")
        return info.duration_seconds

    def stream(self) -> int | None:
        """Samples by `stream_audio`, of at most about an hour; None if it refuses."""

        def count() -> int:
            total = 0
            for block in audio.stream_audio(self._path):
                self.check("stream_audio", block)
                total += len(block)
                if total > _MOST_SAMPLES:
                    break
            return total

        return self.attempt("stream_audio", count)

    def load(self, streamed: int | None):
        """The waveform by `load_audio`, which must equal the streamed one; None if it refuses."""
        whole = self.attempt("load_audio", lambda: audio.load_audio(self._path))
        streamed_all = streamed is not None and streamed <= _MOST_SAMPLES
        if whole is not None:
            self.check("load_audio", whole)
            if streamed_all and len(whole) != streamed:
                self.problems.append(
                    f"load_audio gives {len(whole)} samples, stream_audio {streamed}"
                )
        elif streamed_all:
            self.problems.append("load_audio refuses what stream_audio read")
        return whole

    def read_chunk(self, start: float, whole) -> None:
        """A chunk by `read_piece`."""
        chunk = self.attempt("read_piece", lambda: audio.read_piece(self._path, start, 10.56))
        if chunk is None:
            return
        self.check("read_piece", chunk)
        if len(chunk) > round(10.56 * 16_000):
            self.problems.append(f"read_piece gives {len(chunk)} samples")
        if whole is not None and start == 0 and len(chunk) == 0:
            self.problems.append("read_piece finds nothing in a file that load_audio reads")

    def compare(self, whole) -> None:
        """Notes pieces that are not parts of the whole."""
        length = len(whole) / 16_000
        for start in np.random.default_rng(len(whole)).uniform(0, length, _PIECES):
            for problem in pieces.differences(self._path, whole, start):
                self.problems.append(f"read_piece: {problem}, of a whole of {length:.3f} s")


def problems_with(path: str) -> tuple[str, list[str]]:
    """Reads a file by every function, and reports violations of their promises.

    A good file may hold hours in few bytes: only a bounded part of it is read.

    Returns:
      `read` or `refused`, and the violations as sentences.
    """
    reader = _Reader(path)
    seconds = reader.probe()
    streamed = reader.stream()
    whole = reader.load(streamed) if seconds is None or seconds < 3600 else None
    for start in (0.0, 0.7 * (seconds or 1.0), 1e6):
        reader.read_chunk(start, whole)
    if whole is not None:
        reader.compare(whole)
    return ("refused" if streamed is None else "read"), reader.problems


def run(made: mutants.Mutants, numbers: Iterable[int], folder: str, report: Callable) -> None:
    """Reads mutants one by one.

    Args:
      made: The mutants.
      numbers: The mutants to read.
      folder: Folder that each is written to before it is read.
      report: Called with a dict before (`number`, `kind`, `extension`) and after each (and
        `outcome`, `cpu_seconds`, `problems`).
    """
    descriptors, threads = _descriptors(), threading.active_count()
    for number in numbers:
        extension, data, kind = made.make(number)
        path = os.path.join(folder, f"{number}.{extension}")
        with open(path, "wb") as file:
            file.write(data)
        mutant = {"number": number, "kind": kind, "extension": extension}
        report(mutant)
        began, memory = time.process_time(), _start_of_memory()
        outcome, problems = problems_with(path)
        spent = time.process_time() - began
        if spent > MAX_CPU_SECONDS:
            problems.append(f"took {spent:.1f} s")
        grown = _memory("VmHWM") - memory
        if grown > MAX_GROWTH_BYTES:
            problems.append(f"took {grown >> 20} MB of memory")
        if _descriptors() > descriptors or threading.active_count() > threads:
            problems.append("left a file or a thread open")
            descriptors, threads = _descriptors(), threading.active_count()
        os.unlink(path)
        report(mutant | {"outcome": outcome, "cpu_seconds": round(spent, 3), "problems": problems})


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _start_of_memory() -> int:
    """Resident bytes of this process, and forgets that there were more."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    """Bytes, by the name that the system gives them."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(f"{name}:"))


def limit_memory() -> None:
    """Limits further growth of this process's address space to `_MAX_RESERVED_BYTES`."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + _MAX_RESERVED_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(argv):
    """Runs the command."""
    del argv
    values = flags.FLAGS
    made = mutants.Mutants(values.seed, values.recordings)
    if values.number is not None:
        extension, data, kind = made.make(values.number)
        path = f"{values.keep}.{extension}"
        with open(path, "wb") as file:
            file.write(data)
        print(f"{path}: {kind}", flush=True)
        print(*problems_with(path))
        return
    for extension in ("wav", "m4a"):  # what libraries allocate once does not count
        audio.load_audio(io.BytesIO(dict(made.intact)[extension]))
    limit_memory()

    with tempfile.TemporaryDirectory() as folder, open(values.output, "a") as output:

        def report(line):
            output.write(json.dumps(line) + "\n")
            output.flush()

        run(made, range(values.first, values.last), folder, report)


if __name__ == "__main__":
    flags.DEFINE_integer("seed", 0, "Seed of the mutants.")
    flags.DEFINE_integer("first", 0, "The first mutant's number.")
    flags.DEFINE_integer("last", 100, "One more than the last mutant's number.")
    flags.DEFINE_integer("number", None, "Number of a mutant to keep for examination.")
    flags.DEFINE_string("keep", "mutant", "File to write it to, without extension.")
    flags.DEFINE_string("output", "mutants.jsonl", "JSON lines, two per mutant.")
    flags.DEFINE_list("recordings", [], "Sound files to damage, besides the generated ones.")
    app.run(main)
