"""Running jobs by a pipeline, and counting those that are done."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

import apache_beam as beam

from audio_triplet import storage
from audio_triplet.errors import AudioTripletError, UsageError
from audio_triplet.pipelines.runners import Parsed

_LOOK_SECONDS = 2

# As a runner reports an error of a worker: a traceback as text.
_OURS = re.compile(r"audio_triplet\.errors\.\w+: (.+?)(?: \[while running .*)?$", re.MULTILINE)

# What Dask's client raises when its scheduler or a task's workers are gone.
_DASK_LOST = (
    "CommClosedError",
    "FutureCancelledError",
    "FuturesCancelledError",
    "CancelledError",
    "KilledWorker",
    "TimeoutError",
)


def run(
    parsed: Parsed,
    step: str,
    names: Iterable[str],
    work: beam.DoFn,
    is_done: Callable[[str], bool],
) -> None:
    """Runs a pipeline of one step to its end.

    Args:
      parsed: The runner and its options.
      step: Name of the step.
      names: The jobs.
      work: Does a job.
      is_done: Whether the job of a name is finished.

    Raises:
      UsageError: The runner refuses its flags; a worker found what a user can mend; or the runner
        was lost before all was done.
    """
    names = list(names)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    try:
        pipeline = beam.Pipeline(options=parsed.options)
    except ValueError as error:  # what the runner asks for is missing
        reason = " ".join(str(error).split())
        raise UsageError(f"--runner={parsed.runner.name}: {reason}") from error
    with _known_errors(parsed.runner.name), pipeline:
        given = pipeline | "names" >> beam.Create(names)
        if parsed.runner.name != "DaskRunner":  # of which each worker takes one name after another
            given |= "distribute" >> beam.Reshuffle()
        _ = given | step >> beam.ParDo(work)
    client = getattr(pipeline.result, "client", None)  # Dask's, which nobody else closes
    if client is not None:
        client.close()
    left = sum(not is_done(name) for name in names)
    if left:  # a runner may take what was cancelled for done
        raise UsageError(_lost(parsed.runner.name, f"{left} of {len(names)} jobs are not done"))


@contextlib.contextmanager
def _known_errors(runner: str) -> Iterator[None]:
    """Makes one line of an error that a user can mend: here, or a worker's."""
    try:
        yield
    except AudioTripletError:
        raise
    except Exception as error:
        if found := _OURS.findall(str(error)):
            raise UsageError(found[-1]) from error
        if runner == "DaskRunner" and type(error).__name__ in _DASK_LOST:
            reason = str(error) or type(error).__name__
            raise UsageError(_lost(runner, " ".join(reason.split())[:200])) from error
        if "job server jar" in str(error):
            flag = f"--{runner.removesuffix('Runner').lower()}_job_server_jar"
            raise UsageError(
                f"--runner={runner}: Beam cannot fetch the Java program that it starts for it; "
                f"connect to the network once, or name the program by {flag}=FILE.jar"
            ) from error
        raise


def _lost(runner: str, reason: str) -> str:
    return (
        f"--runner={runner}: scheduler or workers were lost ({reason}); start them again, and the "
        "same command goes on"
    )


def absolute(folder: str) -> str:
    """A folder's name for workers that may run in another working directory."""
    return folder if storage.is_remote(folder) else os.path.abspath(folder)


class Watch:
    """Counts finished jobs while a pipeline runs; most runners report no progress.

    Args:
      is_done: Whether the job of a name is finished.
      todo: Job → how much it is.
      advance: Is called with how much was done since the last call.
      take: Is called, in a thread of its own, with jobs that are finished, in the order of `todo`
        and none before those in front of it. What it raises is logged, and it is not called again.
        Jobs at the end may be left to the caller.
    """

    def __init__(
        self,
        is_done: Callable[[str], bool],
        todo: Mapping[str, float],
        advance: Callable[[float], object],
        take: Callable[[str], object] | None = None,
    ):
        self._is_done, self._todo, self._advance = is_done, dict(todo), advance
        self._waiting, self._take = list(todo), take
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        over = False
        while not over and self._todo:
            over = self._over.wait(_LOOK_SECONDS)  # and once more at the end
            for name in list(self._todo):
                if not self._is_done(name):
                    # Jobs are finished about in order; looking at each of thousands takes long.
                    if not over:
                        break
                    continue
                self._advance(self._todo.pop(name))
            if self._take:
                self._take_over(self._take)

    def _take_over(self, take: Callable[[str], object]) -> None:
        """Takes the jobs over that are finished, up to the first that is not."""
        while self._waiting and self._waiting[0] not in self._todo and not self._over.is_set():
            try:
                take(self._waiting[0])
            except Exception as error:  # the caller, who takes it again, will see it
                logging.warning("%s; tried again when all jobs are done", error)
                self._take = None
                return
            self._waiting.pop(0)
