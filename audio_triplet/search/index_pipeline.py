"""Adding sound to an index by the workers of a Beam pipeline (extra `[beam]`).

Each job becomes a small index of its own, written whole by its worker; the index takes its parts
as they are (`merging`), while later jobs are still worked on. What was finished before a stop is
taken first.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from audio_triplet import storage
from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.embed import embed_files
from audio_triplet.embeddings.embedding_set import Embedded, EmbeddingSet, Origin
from audio_triplet.embeddings.long_recordings import EmbedPieces, LongRecordings
from audio_triplet.embeddings.worker_model import WithModel, check, load_model
from audio_triplet.errors import SearchError
from audio_triplet.pipelines import jobs, running
from audio_triplet.pipelines.runners import Parsed
from audio_triplet.search.adding import embed_into
from audio_triplet.search.index_writer import Writer
from audio_triplet.search.merging import merge
from audio_triplet.search.outline import HOP, Outliner, outline_of

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder

_ENDING = ".index"
_REPORT = "report.json"


class ByPipeline:
    """`adding.embed_into` by the workers of a pipeline.

    Args:
      parsed: The runner and its options.
    """

    def __init__(self, parsed: Parsed):
        self._parsed = parsed

    def take_over(self, writer: Writer, bad_files: BadFiles) -> None:
        """Takes what workers finished before a stop."""
        folder = _work_folder(writer)
        if os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                if name.endswith(_ENDING):
                    try:
                        self._take(writer, os.path.join(folder, name), bad_files)
                    except SearchError as error:
                        logging.warning("%s; it is made again", error)
            jobs.clear(folder)

    def _take(self, writer: Writer, made: str, bad_files: BadFiles) -> None:
        found = storage.read_json(os.path.join(made, _REPORT))
        merge(writer, made)
        jobs.take_over(found["files"], bad_files)
        writer.silent += found["silent"]

    def __call__(
        self,
        writer: Writer,
        model: Embedder,
        manifest: Manifest,
        config: EmbedConfig,
        bad_files: BadFiles,
        on_progress: Callable[[float], object],
        find_duplicates: bool,
        seconds: np.ndarray,
    ) -> None:
        """See `adding.embed_into`."""
        output_dir = os.path.abspath(writer.folder)
        check(self._parsed, output_dir, model, manifest)
        cut = LongRecordings(self._parsed, output_dir, model, manifest, seconds, config)
        work = IndexPieces if find_duplicates else EmbedPieces
        for segment, levels in cut.embed(bad_files, on_progress, work):
            found = EmbeddingSet.of(manifest, [segment], Origin.of(model, config))
            writer.add(found, [outline_of(levels)])
        writer.commit()
        cut.clear()
        rows = cut.rest()
        if len(rows):
            manifest, seconds = manifest.take(rows), seconds[rows]
            options = config, bad_files, on_progress, find_duplicates
            self._add(writer, model, manifest, *options, seconds)

    def _add(
        self,
        writer: Writer,
        model: Embedder,
        manifest: Manifest,
        config: EmbedConfig,
        bad_files: BadFiles,
        on_progress: Callable[[float], object],
        find_duplicates: bool,
        seconds: np.ndarray,
    ) -> None:
        """As `__call__`, each file by one worker."""
        folder = _work_folder(writer)
        told = {
            "truncated": bad_files.truncated,
            "find_duplicates": find_duplicates,
            "dtype": writer.info.dtype,
            "silence_energy": writer.silence_energy,
        }
        todo = jobs.lay_out(folder, manifest, seconds, lambda rows: told)
        done = functools.partial(_is_done, folder)
        taken = set()

        def take(name: str) -> None:
            self._take(writer, _index_of(folder, name), bad_files)
            taken.add(name)

        # In the same order whichever is finished first, so that the index is the same.
        with running.Watch(done, todo, on_progress, take):
            work = IndexFiles(folder, model_files.located(model.path), model.digest, config)
            running.run(self._parsed, "index", todo, work, done)
        for name in todo:
            if name not in taken:
                take(name)
        jobs.clear(folder)


class IndexFiles(WithModel):
    """Name of a job → the same name, when the index of its files is written."""

    def process(self, name: str) -> Iterator[str]:
        """Does one job, unless it is done."""
        if not _is_done(self._folder, name):
            try:
                with storage.replacing(_index_of(self._folder, name), unique=True) as temporary:
                    self._write(name, temporary)
            except OSError:
                if not _is_done(self._folder, name):  # else another worker was quicker
                    raise
        yield name

    def _write(self, name: str, target: str) -> None:
        manifest, told = jobs.read(self._folder, name)
        config = EmbedConfig(**self._config)
        model = load_model(self._model, self._digest, config.precision)
        bad_files = BadFiles(told["truncated"])
        writer = Writer(
            target,
            model=self._model,
            model_digest=self._digest,
            dim=model.embedding_size,
            granularity=config.granularity,
            hop_seconds=config.hop_seconds,
            dtype=told["dtype"],
            silence_energy=told["silence_energy"],
            commit_vectors=1 << 18,
            commit_seconds=float("inf"),
        )
        with contextlib.closing(writer):
            embed_into(
                writer,
                model,
                manifest,
                config,
                bad_files,
                lambda seconds: None,
                told["find_duplicates"],
            )
            writer.commit()
        found = {"files": jobs.report(bad_files), "silent": writer.silent}
        storage.write_json(os.path.join(target, _REPORT), found, indent=None)


class IndexPieces(EmbedPieces):
    """`EmbedPieces` that also measures what copies of a recording are known by."""

    def embed(
        self,
        model: Embedder,
        manifest: Manifest,
        config: EmbedConfig,
        bad_files: BadFiles,
        told: dict[str, Any],
    ) -> tuple[list[Embedded], np.ndarray]:
        """See the base class; the levels of `outline.Outliner`, of whole files only."""
        outliner = Outliner()

        def listen(row: int, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            for block in blocks:
                if told["whole"]:
                    outliner.push(block)
                yield block

        found = list(embed_files(model, manifest, config, bad_files, listen=listen))
        levels = outliner.levels()
        return found, levels[: told["patches"] * config.hop_samples // HOP or None]


def _work_folder(writer: Writer) -> str:
    return os.path.join(os.path.abspath(writer.folder), jobs.WORK_DIR)


def _index_of(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}{_ENDING}")


def _is_done(folder: str, name: str) -> bool:
    return os.path.exists(_index_of(folder, name))
