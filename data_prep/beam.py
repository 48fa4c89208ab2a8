"""Preparing by Apache Beam: one worker process per core, or a cluster (extra `[beam]`).

Only names of shards pass through the pipeline. A worker reads a shard's layout from the prepared
folder and writes the shard there: so every worker must be able to reach the folder and the sound
(one machine's disk, a shared disk, gs://…).

A runner may give one shard to two workers. Each writes under a temporary name of its own, and the
bytes are the same, so it does not matter which is renamed last.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import apache_beam as beam

from audio_triplet import storage
from audio_triplet.data import chunks
from audio_triplet.errors import UsageError
from audio_triplet.pipelines import checks, jobs, runners, running
from data_prep import engine
from data_prep.layout import WORK_DIR
from data_prep.write_shards import is_finished, write_shard

# Reading this many headers in one process takes longer than starting workers [D].
FILES_WORTH_A_PIPELINE = 50_000

_FILES_PER_LIST = 1000


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
        jobs.settle_worker()

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


class Engine(engine.Engine):
    """An engine for `preparation.prepare` of Beam pipelines.

    Args:
      arguments: Beam's own flags.
    """

    def __init__(self, arguments: Sequence[str] = ()):
        self._parsed = runners.parse(arguments)
        if self._parsed.rest:
            raise UsageError(f"{self._parsed.rest[0]}: unknown argument")

    def _run(
        self,
        folder: str,
        step: str,
        names: Iterable[str],
        work: beam.DoFn,
        is_done: Callable[[str], bool],
    ) -> None:
        checks.check(self._parsed, folder)
        running.run(self._parsed, step, names, work, is_done)

    def read_lengths(self, folder, fingerprint, paths, truncated="refuse"):
        """Reads headers by the workers, if there are enough files to be worth starting them."""
        if len(paths) < FILES_WORTH_A_PIPELINE:
            return super().read_lengths(folder, fingerprint, paths, truncated)
        folder = storage.join(running.absolute(folder), WORK_DIR)
        # With the fingerprint, because an earlier run of another corpus may have been killed here.
        names = [
            f"headers-{fingerprint[:12]}-{number:05d}"
            for number in range(-(-len(paths) // _FILES_PER_LIST))
        ]
        for number, name in enumerate(names):
            part = paths[number * _FILES_PER_LIST : (number + 1) * _FILES_PER_LIST]
            storage.write_json(storage.join(folder, f"{name}.json"), list(part), indent=None)

        def done(name: str) -> str:
            return storage.join(folder, f"{name}.done.json")

        work = ReadHeaders(folder, truncated)
        self._run(folder, "read headers", names, work, lambda name: storage.exists(done(name)))
        return itertools.chain.from_iterable(storage.read_json(done(name)) for name in names)

    def write_shards(self, folder, todo, resampler, advance):
        """Writes shards by the workers."""
        if not todo:
            return
        folder = running.absolute(folder)
        done = functools.partial(is_finished, folder)
        with running.Watch(done, todo, advance):
            self._run(folder, "write", todo, WriteShard(folder, resampler), done)
        yield from todo
