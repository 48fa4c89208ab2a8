"""Processes pinned to cores, and functions in fresh processes, for peak memory."""

import importlib
import json
import os
import subprocess
import sys
import tempfile

from audio_triplet.commands import terminal

# Environment variables that set libraries' numbers of threads.
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


def pinned_cores() -> int | None:
    """Cores that this process was pinned to; None if it was not."""
    return int(os.environ[_PINNED]) if _PINNED in os.environ else None


def pin(cores: int) -> None:
    """Binds this process and its children to a number of cores and threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
    os.environ.update({name: str(cores) for name in _THREADS}, **{_PINNED: str(cores)})


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
            [sys.executable, "-c", "from benchmarks import processes; processes.answer_parent()"],
            input=call,
            text=True,
            check=False,
            cwd=_ROOT,
        )
        if done.returncode:
            raise RuntimeError(f"{function} failed in its process (exit code {done.returncode})")
        return tuple(json.load(answer))


def answer_parent() -> None:
    """The child's side of `in_child`."""
    call = sys.stdin.read()
    function, arguments, answer, cores = json.loads(call)
    if cores is not None and pinned_cores() != cores:
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "w") as pipe:
            pipe.write(call)
        os.dup2(read_end, 0)
        pin(cores)
        os.execv(sys.executable, sys.orig_argv)
    terminal.set_up_logging()
    module, name = function.split(":")
    result = getattr(importlib.import_module(module), name)(**arguments)
    with open(answer, "w", encoding="utf-8") as file:
        json.dump([result, peak_gigabytes()], file)


def peak_gigabytes(process: int | str = "self") -> float:
    """Largest resident memory of a process so far, by default this one, in GB."""
    try:
        # Not by rusage, which counts the parent's too.
        with open(f"/proc/{process}/status", encoding="utf-8") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
