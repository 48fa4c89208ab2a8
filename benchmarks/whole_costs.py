"""What a command costs: time, processor time and the memory of all its processes."""

import dataclasses
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence

from audio_triplet.errors import UsageError

_LOOK_SECONDS = 0.25


@dataclasses.dataclass(frozen=True)
class Costs:
    """Of one run of a command.

    Attributes:
      seconds: From its start to its end.
      processor: Seconds of processors, by it and all processes that it waited for.
      gigabytes: The most memory that it and all below it had at once, in GB; what processes share
        counts once.
      output: What it printed.
    """

    seconds: float
    processor: float
    gigabytes: float
    output: str

    def extrapolated(self, start: "Costs", share: float) -> "Costs":
        """Costs of all the work, of which this was a share: starting grows with nothing.

        Args:
          start: Costs of starting.
          share: Of the work, 0 … 1.
        """
        return dataclasses.replace(
            self,
            seconds=start.seconds + max(0.0, self.seconds - start.seconds) / share,
            processor=start.processor + max(0.0, self.processor - start.processor) / share,
        )


def costs_of(
    arguments: Sequence[str], cwd: str, environment: Mapping[str, str] | None = None
) -> Costs:
    """Runs a command to its end.

    Args:
      arguments: The command.
      cwd: Its working folder.
      environment: Variables beside those of this process.

    Raises:
      UsageError: It failed; the end of what it said is in the message.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begin = time.monotonic()
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=cwd,
            env=os.environ | (environment or {}),
        )
        watch = _Watch(process.pid)
        try:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - begin
        finally:
            watch.end()
            if process.returncode is None:
                process.kill()
                process.wait()
        said = [_text(file) for file in (output, errors)]
    if process.returncode:
        last = " ".join("\n".join(said).split())[-600:]
        raise UsageError(f"{' '.join(arguments)}: exit status {process.returncode}; {last}")
    return Costs(seconds, used.ru_utime + used.ru_stime, watch.gigabytes, said[0])


def _text(file) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


class _Watch:
    """Looks at a process and those below it, in a thread, until `end`."""

    def __init__(self, process: int):
        self.gigabytes, self._process, self._over = 0.0, process, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            held = sum(map(_proportional_bytes, _tree(self._process)))
            self.gigabytes = max(self.gigabytes, held / 1e9)


def _tree(root: int) -> list[int]:
    """A process and all below it."""
    found = [root]
    for process in found:  # grows while it is gone through
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                path = f"/proc/{process}/task/{thread}/children"
                with open(path, encoding="ascii") as file:
                    found += map(int, file.read().split())
        except OSError:  # has ended
            continue
    return found


def _proportional_bytes(process: int) -> int:
    """Memory of a process; pages that several have, divided by their number."""
    try:
        with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def megabytes_of(folder: str) -> float:
    """Size of all files below a folder."""
    paths = (os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
    return sum(map(os.path.getsize, paths)) / 1e6
