"""Who is measured by `benchmarks.whole`: our commands, and peers in environments of their own."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable

from audio_triplet.errors import UsageError

OURS = "ours: audio-triplet index, search"
_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOT = os.path.dirname(_HERE)

# What a user might also take, and what only their weights' servers have.
FETCHING = ("OpenL3 (openl3)", "PANNs (panns-inference)", "VGGish (torchvggish)")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Somebody's way from a folder of sounds to an answer.

    Attributes:
      name: As the table has it.
      embed: (folder of sounds, where to write) → the command that makes them searchable.
      search: (query, where that was written) → the command that prints what is like it.
      share: How much of the sound it is given, 0 … 1.
      cwd: Where its commands run.
    """

    name: str
    embed: Callable[[str, str], list[str]]
    search: Callable[[str, str], list[str]]
    share: float = 1.0
    cwd: str = _HERE


def ours() -> Candidate:
    """The commands of this package with their defaults."""
    command = [sys.executable, "-m", "audio_triplet"]
    return Candidate(
        OURS,
        lambda folder, output: [*command, "index", folder, f"--index={output}"],
        lambda query, output: [*command, "search", query, f"--index={output}"],
        cwd=_ROOT,
    )


def peer(script: str, python: str, share: float) -> Candidate:
    """A model of others, by a script that its own environment runs.

    Args:
      script: Beside this module; `about`, `embed FOLDER OUTPUT_DIR`, `search FILE OUTPUT_DIR`.
      python: Of its environment.
      share: How much of the sound it is given.

    Raises:
      UsageError: The environment lacks what the script imports.
    """
    command = [os.path.abspath(python), os.path.join(_HERE, script)]
    try:
        done = subprocess.run([*command, "about"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(
            f"{python}: {error.strerror}; name the Python of its environment"
        ) from None
    if done.returncode:
        last = " ".join(done.stderr.split())[-300:]
        raise UsageError(f"{python}: {last}; install what {script} imports there")
    return Candidate(
        done.stdout.splitlines()[-1],
        lambda folder, output: [*command, "embed", folder, output],
        lambda query, output: [*command, "search", query, output],
        share,
    )
