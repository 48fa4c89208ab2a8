"""Runs a command and measures its time, processor time and memory."""

import os
import resource
import subprocess
import threading
import time


def run_watched(arguments: list[str], cores: int) -> dict[str, float]:
    """Runs a command on some cores: its seconds, processor seconds, and memory in GB."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    memory, errors = [], []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    reader.start()
    while process.poll() is None:
        memory.append((time.monotonic() - begin, tree_gigabytes(process.pid)))
        time.sleep(1)
    reader.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{errors[0][-2000:]}")
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    third = max(size for at, size in memory if at <= seconds / 3)
    return {
        "seconds": seconds,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "third": third,
        "most": max(size for _, size in memory),
    }


def tree_gigabytes(root: int) -> float:
    """Resident memory of a process and of all below it, in GB."""
    parents, sizes = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(name)], sizes[int(name)] = int(fields[1]), int(fields[21])
    total, waiting = 0, [root]
    while waiting:
        process = waiting.pop()
        total += sizes.get(process, 0)
        waiting += [child for child, parent in parents.items() if parent == process]
    return total * resource.getpagesize() / 1e9
