"""Commands whose disk fills up, becomes read-only, vanishes, or is not permitted."""

import contextlib
import dataclasses
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

from audio_triplet.errors import UsageError
from benchmarks.faults.bench import NOBODY, Bench, Trial
from benchmarks.faults.commands import Command
from benchmarks.faults.jobs import JOBS, differences


@contextlib.contextmanager
def _tmpfs(bench: Bench) -> Iterator[str]:
    """A file system of 64 MB in memory."""
    disk = bench.path("disk", "mounted")
    os.makedirs(disk, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@contextlib.contextmanager
def _with_quota(bench: Bench) -> Iterator[str]:
    """A folder of a file system (btrfs, in a file) that keeps quotas."""
    if shutil.which("btrfs") is None:
        raise UsageError("the part quota needs btrfs: apt-get install btrfs-progs")
    disk, image = bench.path("quota", "mounted"), bench.path("quota", "image")
    os.makedirs(disk, exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", "-f", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    share = os.path.join(disk, "share")
    try:
        for words in (["quota", "enable", disk], ["subvolume", "create", share]):
            subprocess.run(["btrfs", *words], check=True, capture_output=True)
        yield share
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
        os.unlink(image)


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault of the folder that a command writes to.

    Attributes:
      disk: bench → a context manager of the folder.
      says: Pattern of the message that the command must print.
      begin: (folder, output folder, the running command) → nothing; None for a folder that is not
        permitted from the start.
      repair: (folder) → nothing; the command is then run again, and must end as if undisturbed.
    """

    disk: Callable
    says: str
    begin: Callable[[str, str, Command], None] | None
    repair: Callable[[str], object] = lambda disk: None


def _read_only(disk: str, command: Command) -> None:
    # Refused while a file is open for writing; it will be closed soon.
    while (
        command.poll() is None
        and subprocess.run(
            ["mount", "-o", "remount,ro", disk], capture_output=True, check=False
        ).returncode
    ):
        time.sleep(0.02)


def _quota(share: str, most: str) -> None:
    # By number and from above: what is over its quota cannot be changed through itself.
    name = ["btrfs", "inspect-internal", "rootid", share]
    number = subprocess.run(name, check=True, capture_output=True, text=True).stdout.strip()
    limit = ["btrfs", "qgroup", "limit", most, f"0/{number}", os.path.dirname(share)]
    subprocess.run(limit, check=True, capture_output=True)


FAULTS = {
    "full": Fault(
        _tmpfs,
        r"no space left|No space left|free some",
        lambda disk, out, command: _fill(os.path.join(disk, "ballast")),
        lambda disk: os.unlink(os.path.join(disk, "ballast")),
    ),
    "read-only": Fault(
        _tmpfs,
        r"[Rr]ead-only",
        lambda disk, out, command: _read_only(disk, command),
        lambda disk: subprocess.run(["mount", "-o", "remount,rw", disk], check=True),
    ),
    "vanished": Fault(
        _tmpfs,
        r"No such file|not found|NOT_FOUND|does not exist|cannot be|missing",
        lambda disk, out, command: shutil.rmtree(out, ignore_errors=True),
    ),
    "not permitted": Fault(_tmpfs, r"[Pp]ermission denied", None),
    "over quota": Fault(
        _with_quota,
        r"no space left|quota",
        lambda disk, out, command: _quota(disk, "256K"),
        lambda disk: _quota(disk, "none"),
    ),
}


def starved(*names: str) -> Callable[[Bench, int, int], Iterator[Trial]]:
    """The part whose commands meet one of these faults."""

    def run(bench: Bench, first: int, count: int) -> Iterator[Trial]:
        for number in range(first, first + count):
            draw = random.Random(f"disk {number}")
            job = list(JOBS)[number % len(JOBS)]
            called = names[number // len(JOBS) % len(names)]
            with FAULTS[called].disk(bench) as disk:
                log = f"starved/{called.replace(' ', '-')}-{number}.log"
                problems, code = _starve(bench, job, FAULTS[called], disk, log, draw)
            where = f"trial {number}, {job}, {called}: "
            outcome = f"{called}: {'ended with an error' if code else 'was not in its way'}"
            yield Trial(1, tuple(where + problem for problem in problems), outcome)

    return run


def _starve(
    bench: Bench, name: str, fault: Fault, disk: str, log: str, draw: random.Random
) -> tuple[list[str], int]:
    """Runs a job into a fault, and again after the repair; the problems, and how it ended."""
    (reference, seconds), out = bench.reference(name), os.path.join(disk, "out")
    problems, how = [], {}
    if fault.begin is None:  # root may write everywhere, nobody may not
        os.makedirs(out, mode=0o755)
        how = {"user": NOBODY}
    command = bench.start(JOBS[name], out, log, **how)
    if fault.begin is not None:
        command.wait(draw.uniform(0.2, 0.7) * seconds)
        fault.begin(disk, out, command)
    code, text = command.wait(1800), command.text
    if code not in (0, 1) or "Traceback" in text:
        problems.append(f"ends by {code}: {text[-700:]}")
    elif code == 1 and not re.search(fault.says, text.strip().split("\n")[-1]):
        problems.append(f"does not say why: {text[-500:]}")
    if fault.begin is not None:
        fault.repair(disk)
        again = bench.start(JOBS[name], out, log)
        if again.wait():
            problems.append(f"does not continue: {again.text[-500:]}")
        else:
            problems += differences(JOBS[name], out, reference)
    return problems, code


def _fill(path: str) -> None:
    """Writes until nothing more fits."""
    try:
        with open(path, "wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
    except OSError:
        pass
