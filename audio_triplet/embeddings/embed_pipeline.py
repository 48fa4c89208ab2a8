"""Embedding files into a folder by the workers of a Beam pipeline (extra `[beam]`)."""

from __future__ import annotations

import dataclasses
import functools
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import apache_beam as beam
import numpy as np

from audio_triplet import storage
from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.folder import Written, write_files
from audio_triplet.errors import ExportError
from audio_triplet.pipelines import checks, jobs, running
from audio_triplet.pipelines.runners import Parsed

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import AnyModel

_loading = threading.Lock()


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
        model: AnyModel,
        manifest: Manifest,
        outputs: Mapping[str, str],
        config: EmbedConfig,
        bad_files: BadFiles,
        on_progress: Callable[[float], object],
        seconds: np.ndarray,
    ) -> Iterator[Written]:
        """See `folder.write_files`."""
        check(self._parsed, self._output_dir, model, manifest)
        folder = os.path.join(self._output_dir, jobs.WORK_DIR)
        absolute = {path: os.path.abspath(output) for path, output in outputs.items()}
        paths = set(manifest.frame["path"])
        more = {
            "outputs": {path: absolute[path] for path in paths},
            "truncated": bad_files.truncated,
        }
        todo = jobs.lay_out(folder, manifest, seconds, more)
        done = functools.partial(_is_done, folder)
        with running.Watch(done, todo, on_progress):
            work = EmbedFiles(folder, model_files.located(model.path), model.digest, config)
            running.run(self._parsed, "embed", todo, work)
        for name in todo:
            found = storage.read_json(_report(folder, name))
            jobs.take_over(found, bad_files)
            for count, length in found["written"]:
                yield Written(count, length)
        jobs.clear(folder)


class WithModel(beam.DoFn):
    """What a worker does with a model, job by job.

    Args:
      folder: Folder of the jobs.
      model: Folder of the model.
      digest: Its digest, where the pipeline began.
      config: Granularity, hop, batch and threads.
    """

    def __init__(self, folder: str, model: str, digest: str, config: EmbedConfig):
        self._folder, self._model, self._digest = folder, model, digest
        self._config = dataclasses.asdict(config)

    def setup(self) -> None:
        """Loads the model, once per process."""
        jobs.settle_worker()
        load_model(self._model, self._digest, self._config["precision"])


class EmbedFiles(WithModel):
    """Name of a job → the same name, when the embeddings of its files are written."""

    def process(self, name: str) -> Iterator[str]:
        """Does one job, unless it is done."""
        if not _is_done(self._folder, name):
            manifest, told = jobs.read(self._folder, name)
            config = EmbedConfig(**self._config)
            model = load_model(self._model, self._digest, config.precision)
            bad_files = BadFiles(told["truncated"])
            written = list(
                write_files(
                    model, manifest, told["outputs"], config, bad_files, lambda _: None, unique=True
                )
            )
            found = jobs.report(bad_files) | {"written": [list(one) for one in written]}
            storage.write_json(_report(self._folder, name), found, indent=None, unique=True)
        yield name


def check(parsed: Parsed, folder: str, model: AnyModel, manifest: Manifest) -> None:
    """Checks before a pipeline runs that workers see the folder, the model and the sound.

    Raises:
      UsageError: They do not.
    """
    paths = manifest.frame["path"]
    files = model_files.files_of(model.path)
    inputs = [*files, *dict.fromkeys([paths.iloc[0], paths.iloc[-1]])]
    checks.check(parsed, folder, inputs)


def load_model(path: str, digest: str, precision: str) -> AnyModel:
    """A worker's model, loaded once per process.

    Raises:
      ExportError: It cannot be read here, or is another one than where the pipeline began.
    """
    with _loading:
        return _load_model(path, digest, precision)


@functools.lru_cache(1)
def _load_model(path: str, digest: str, precision: str) -> AnyModel:
    from audio_triplet.embeddings import other_models

    model = other_models.open_model(path, precision)
    if model.digest != digest:
        raise ExportError(
            f"{path}: on {socket.gethostname()} is another model than where the work began; "
            "put the model into a folder that all machines share"
        )
    return model


def _report(folder: str, name: str) -> str:
    return storage.join(folder, f"{name}.done.json")


def _is_done(folder: str, name: str) -> bool:
    return storage.exists(_report(folder, name))
