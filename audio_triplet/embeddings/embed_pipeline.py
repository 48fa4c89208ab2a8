"""Embedding files into a folder by the workers of a Beam pipeline (extra `[beam]`)."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.embedding_set import Joined, Origin
from audio_triplet.embeddings.folder import Written, write_files, write_one
from audio_triplet.embeddings.long_recordings import LongRecordings
from audio_triplet.embeddings.set_files import SegmentColumns
from audio_triplet.embeddings.worker_model import WithModel, check, load_model
from audio_triplet.pipelines import jobs, running
from audio_triplet.pipelines.runners import Parsed

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder


class ByPipeline:
    """`folder.write_files` by the workers of a pipeline.

    Args:
      parsed: The runner and its options.
      output_dir: The folder that is filled.
    """

    def __init__(self, parsed: Parsed, output_dir: str):
        self._parsed, self._output_dir = parsed, running.absolute(output_dir)

    def __call__(
        self,
        model: Embedder,
        manifest: Manifest,
        outputs: Mapping[str, str],
        config: EmbedConfig,
        bad_files: BadFiles,
        on_progress: Callable[[float], object],
        seconds: np.ndarray,
    ) -> Iterator[Written]:
        """See `folder.write_files`."""
        check(self._parsed, self._output_dir, model, manifest)
        cut = LongRecordings(self._parsed, self._output_dir, model, manifest, seconds, config)
        origin, of_segments = Origin.of(model, config), SegmentColumns(manifest)
        for segment, _ in cut.embed(bad_files, on_progress):
            part = of_segments.part(Joined.of([segment]), origin)
            yield write_one(part, outputs, segment.seconds)
        cut.clear()
        rows = cut.rest()
        if len(rows):
            manifest, seconds = manifest.take(rows), seconds[rows]
            yield from self._embed(
                model, manifest, outputs, config, bad_files, on_progress, seconds
            )

    def _embed(
        self,
        model: Embedder,
        manifest: Manifest,
        outputs: Mapping[str, str],
        config: EmbedConfig,
        bad_files: BadFiles,
        on_progress: Callable[[float], object],
        seconds: np.ndarray,
    ) -> Iterator[Written]:
        """As `__call__`, each file by one worker."""
        folder = os.path.join(self._output_dir, jobs.WORK_DIR)

        def told(rows: np.ndarray) -> dict:
            paths = manifest.frame["path"].iloc[rows].unique()
            return {
                "outputs": {path: os.path.abspath(outputs[path]) for path in paths},
                "truncated": bad_files.truncated,
            }

        todo = jobs.lay_out(folder, manifest, seconds, told)
        done = functools.partial(jobs.is_done, folder)
        with running.Watch(done, todo, on_progress):
            work = EmbedFiles(folder, model_files.located(model.path), model.digest, config)
            running.run(self._parsed, "embed", todo, work, done)
        for name in todo:
            found = jobs.finished(folder, name, bad_files)
            for count, length in found["written"]:
                yield Written(count, length)
        jobs.clear(folder)


class EmbedFiles(WithModel):
    """Name of a job → the same name, when the embeddings of its files are written."""

    def process(self, name: str) -> Iterator[str]:
        """Does one job, unless it is done."""
        if not jobs.is_done(self._folder, name):
            manifest, told = jobs.read(self._folder, name)
            config = EmbedConfig(**self._config)
            model = load_model(self._model, self._digest, config.precision)
            bad_files = BadFiles(told["truncated"])
            written = list(
                write_files(
                    model, manifest, told["outputs"], config, bad_files, lambda _: None, unique=True
                )
            )
            jobs.finish(self._folder, name, bad_files, {"written": written})
        yield name
