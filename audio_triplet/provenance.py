"""Provenance of results: command, commit, machine, versions, time."""

import datetime
import os
import platform
import shlex
import subprocess
import sys

# Packages whose versions are noted.
_PACKAGES = (
    "audio_triplet",
    "tensorflow",
    "keras",
    "tensorflow-io",
    "numpy",
    "pandas",
    "soundfile",
    "soxr",
    "scikit-learn",
)


def provenance() -> dict:
    """Everything needed to repeat what this process does."""
    return {
        "command": command(),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "date": datetime.date.today().isoformat(),
    }


def command() -> str:
    """The command line of this process, as it would be typed."""
    arguments = sys.orig_argv[1:]
    if arguments and os.path.basename(arguments[0]) == "audio-triplet":  # as it was installed
        return shlex.join(["audio-triplet", *arguments[1:]])
    return shlex.join(["python", *arguments])


def commit() -> str:
    """The clone's commit, with `+changes` if files differ from it; `unknown` if there is no clone.

    An installed package is in none, though the environment it is installed in may be.
    """
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.exists(os.path.join(folder, ".git")):
        return "unknown"

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changes = git("status", "--porcelain", "--untracked-files=no", "--", "*.py")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> str:
    """CPU model, cores and memory; never a host's name."""
    model = platform.machine()
    flags = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = file.read().split("\n")
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        all_flags = next(line for line in lines if line.startswith("flags")).split()
        telling = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        flags = " ".join(name for name in telling if name in all_flags)
    except (OSError, StopIteration, IndexError):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model} ({flags}), {cores()} cores, {memory:.0f} GiB"


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Python's and the packages' versions; absent ones are left out."""
    from importlib import metadata  # here, so that --help stays quick

    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
