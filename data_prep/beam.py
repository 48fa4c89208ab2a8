"""Preparing by Apache Beam: one worker process per core, or a cluster (extra `[beam]`).

Only names of shards pass through the pipeline. A worker reads a shard's layout from the prepared
folder and writes the shard there: so every worker must be able to reach the folder and the sound
(one machine's disk, a shared disk, gs://…).

A runner may give one shard to two workers. Each writes under a temporary name of its own, and the
bytes are the same, so it does not matter which is renamed last.
"""

import argparse
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import threadpoolctl
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)

from audio_triplet import storage
from audio_triplet.data import chunks
from audio_triplet.errors import UsageError
from data_prep import engine
from data_prep.layout import WORK_DIR
from data_prep.write_shards import is_finished, write_shard

# Reading this many headers in one process takes longer than starting workers [D].
FILES_WORTH_A_PIPELINE = 50_000

_FILES_PER_LIST = 1000
_LOCAL = ("", "DirectRunner", "FnApiRunner")
# Beam's DirectRunner may fetch another engine (Prism) from the network; this is its own one.
_LOCAL_ENGINE = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


class WriteShard(beam.DoFn):
    """Name of a shard → the same name, when the shard is written.

    Args:
      folder: The folder that is prepared.
      resampler: `soxr` or `resampy`.
    """

    def __init__(self, folder: str, resampler: str):
        self._folder, self._resampler = folder, resampler

    def setup(self):
        """Keeps a worker to one thread: there are as many workers as cores."""
        import tensorflow as tf

        threadpoolctl.threadpool_limits(1)
        try:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:  # this process has used it already
            pass

    def process(self, name: str) -> Iterator[str]:
        """Writes one shard."""
        write_shard(self._folder, name, self._resampler, unique=True)
        yield name


class ReadHeaders(beam.DoFn):
    """Name of a list of files → the same name, when a file of their lengths is written.

    Args:
      folder: Folder of the lists.
      truncated: Whether truncated files are read.
    """

    def __init__(self, folder: str, truncated: str):
        self._folder, self._truncated = folder, truncated

    def process(self, name: str) -> Iterator[str]:
        """Reads the headers of one list's files, unless that was done."""
        done = storage.join(self._folder, f"{name}.done.json")
        if not storage.exists(done):
            paths = storage.read_json(storage.join(self._folder, f"{name}.json"))
            found = list(chunks.read_lengths(paths, self._truncated))
            storage.write_json(done, found, indent=None, unique=True)
        yield name


def options_from(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options; defaults are chosen for this machine's cores.

    Args:
      arguments: Beam's own flags, such as --runner=FlinkRunner.

    Raises:
      UsageError: Beam has no such flag.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for part in PipelineOptions.__subclasses__():
        part._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        raise UsageError(f"{unknown[0]}: neither a flag of this command nor of Apache Beam")
    options = PipelineOptions(list(arguments))
    if not any(argument.startswith("--default_sdk_harness_log_level") for argument in arguments):
        options.view_as(WorkerOptions).default_sdk_harness_log_level = "WARNING"
    if (options.view_as(StandardOptions).runner or "") in _LOCAL:
        options.view_as(StandardOptions).runner = _LOCAL_ENGINE
        direct = options.view_as(DirectOptions)
        if not any(argument.startswith("--direct_num_workers") for argument in arguments):
            direct.direct_num_workers = engine.cores()
        if not any(argument.startswith("--direct_running_mode") for argument in arguments):
            direct.direct_running_mode = "multi_processing"
    return options


class Engine(engine.Engine):
    """An engine for `preparation.prepare` of Beam pipelines.

    Args:
      arguments: Beam's own flags.
    """

    def __init__(self, arguments: Sequence[str] = ()):
        self._options = options_from(arguments)
        logging.getLogger("apache_beam").setLevel(logging.WARNING)

    def _run(self, step: str, names: Iterable[str], work: beam.DoFn) -> None:
        with beam.Pipeline(options=self._options) as pipeline:
            _ = (
                pipeline
                | "names" >> beam.Create(list(names))
                | "distribute" >> beam.Reshuffle()
                | step >> beam.ParDo(work)
            )

    def read_lengths(self, folder, fingerprint, paths, truncated="refuse"):
        """Reads headers by the workers, if there are enough files to be worth starting them."""
        if len(paths) < FILES_WORTH_A_PIPELINE:
            return super().read_lengths(folder, fingerprint, paths, truncated)
        folder = storage.join(_absolute(folder), WORK_DIR)
        # With the fingerprint, because an earlier run of another corpus may have been killed here.
        names = [
            f"headers-{fingerprint[:12]}-{number:05d}"
            for number in range(-(-len(paths) // _FILES_PER_LIST))
        ]
        for number, name in enumerate(names):
            part = paths[number * _FILES_PER_LIST : (number + 1) * _FILES_PER_LIST]
            storage.write_json(storage.join(folder, f"{name}.json"), list(part), indent=None)
        self._run("read headers", names, ReadHeaders(folder, truncated))
        return itertools.chain.from_iterable(
            storage.read_json(storage.join(folder, f"{name}.done.json")) for name in names
        )

    def write_shards(self, folder, todo, resampler, advance):
        """Writes shards by the workers."""
        if not todo:
            return
        folder = _absolute(folder)
        with _Watch(folder, todo, advance):
            self._run("write", todo, WriteShard(folder, resampler))
        yield from todo


def _absolute(folder: str) -> str:
    """A folder's name for workers that may run in another working directory."""
    return folder if storage.is_remote(folder) else os.path.abspath(folder)


class _Watch:
    """Counts finished shards while a pipeline runs; most runners report no progress."""

    def __init__(self, folder: str, todo: Mapping[str, int], advance: Callable[[int], object]):
        self._folder, self._todo, self._advance = folder, dict(todo), advance
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
            over = self._over.wait(2)  # and once more at the end
            for name in list(self._todo):
                if not is_finished(self._folder, name):
                    # Shards are finished about in order; looking at each of thousands takes long.
                    if not over:
                        break
                    continue
                self._advance(self._todo.pop(name))
