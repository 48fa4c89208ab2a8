"""The bench: folder, generated sound, commands and undisturbed runs that the parts share."""

import dataclasses
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator

from audio_triplet import storage
from audio_triplet.errors import UsageError
from benchmarks.faults.commands import Command, Commands
from benchmarks.faults.jobs import JOBS, Job

NOBODY = 65534


@dataclasses.dataclass(frozen=True)
class Trial:
    """The outcome of one or more trials.

    Attributes:
      count: Number of trials.
      problems: Violations of the promise; empty if there were none.
      outcome: The kind of outcome, for counts, e.g. whether a file was read or refused.
      commit: The commit that was tested.
    """

    count: int
    problems: tuple[str, ...] = ()
    outcome: str = ""
    commit: str = ""


@dataclasses.dataclass(frozen=True)
class Part:
    """A promise and its test.

    Attributes:
      name: For --only.
      promise: One sentence.
      quick: The quick test of it.
      trials: Default number of trials.
      run: (bench, number of the first trial, number of trials) → trials.
    """

    name: str
    promise: str
    quick: str
    trials: int
    run: Callable[["Bench", int, int], Iterator[Trial]]


class Bench:
    """Shared by the parts: a folder to work in, generated sound, commands, finished runs.

    Attributes:
      folder: Folder for all files.
      recordings: Sound files of --corpus to damage, besides the generated ones.
      corpora: Those whose every file is read by pieces.
    """

    def __init__(self, folder: str, recordings: list[str], corpora: list[str] | None = None):
        self.folder, self.recordings = os.path.abspath(folder), recordings
        self.corpora = corpora or []
        os.makedirs(self.folder, exist_ok=True)
        self._commands: Commands | None = None

    def close(self) -> None:
        """Ends the processes that were started."""
        if self._commands is not None:
            self._commands.__exit__()

    def path(self, *names: str) -> str:
        """A path below the folder; its parent is made."""
        path = os.path.join(self.folder, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def start(self, job: Job, out: str, log: str, **how) -> Command:
        """Starts a job's command with the given output folder."""
        if self._commands is None:
            self._commands = Commands()
        return self._commands.start(
            job.module, [*job.arguments(self), f"--{job.output}={out}"], self.path(log), **how
        )

    def sounds(self) -> str:
        """A folder of 48 recordings in three classes, generated once."""
        import numpy as np
        import soundfile

        folder = self.path("sounds", "")
        if not os.path.exists(os.path.join(folder, "done")):
            for label, hertz in (("low", 200), ("middle", 800), ("high", 3000)):
                os.makedirs(os.path.join(folder, label), exist_ok=True)
                for number in range(16):
                    time_axis = np.arange(16_000 * (1 + number % 4)) / 16_000
                    noise = np.random.default_rng(number).normal(size=time_axis.size)
                    tone = np.sin(2 * np.pi * hertz * (1 + 0.02 * number) * time_axis)
                    name = os.path.join(folder, label, f"{number}.flac")
                    soundfile.write(name, 0.3 * tone + 0.02 * noise, 16_000)
            storage.write_text(os.path.join(folder, "done"), "")
        return folder

    def drawn(self, part: str, number: int) -> tuple[random.Random, str, str, str, float]:
        """The start of a trial: its random numbers, a job, an empty folder, `reference`."""
        name, out = list(JOBS)[number % len(JOBS)], self.path(part, "out")
        shutil.rmtree(out, ignore_errors=True)
        return random.Random(f"{part} {number}"), name, out, *self.reference(name)

    def reference(self, name: str) -> tuple[str, float]:
        """The output of an undisturbed job, and the seconds it took.

        It is made for each commit, because outputs of different commits may differ.
        """
        from audio_triplet.provenance import commit

        folder = f"reference-{commit()}"
        out, seconds = self.path(folder, name), self.path(folder, f"{name}.json")
        if not os.path.exists(seconds):
            shutil.rmtree(out, ignore_errors=True)
            begin = time.monotonic()
            command = self.start(JOBS[name], out, f"{folder}/{name}.log")
            if command.wait():
                raise UsageError(f"{name}: fails undisturbed; see {command.log}")
            storage.write_json(seconds, time.monotonic() - begin)
        return out, storage.read_json(seconds)
