"""What a worker of a pipeline does with a model: loads it, once per process (extra `[beam]`)."""

from __future__ import annotations

import dataclasses
import functools
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import apache_beam as beam

from audio_triplet.config import EmbedConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import model_files
from audio_triplet.errors import ExportError
from audio_triplet.pipelines import checks, jobs
from audio_triplet.pipelines.runners import Parsed

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder

_loading = threading.Lock()


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


def check(
    parsed: Parsed, folder: str, model: Embedder, manifest: Manifest, more: Sequence[str] = ()
) -> None:
    """Checks before a pipeline runs that workers see the folder, the model, the sound, and more.

    Raises:
      UsageError: They do not.
    """
    paths = manifest.frame["path"]
    files = model_files.files_of(model.path)
    inputs = [*files, *more, *{paths.iloc[0], paths.iloc[-1]}]
    checks.check(parsed, folder, inputs)


def load_model(path: str, digest: str, precision: str) -> Embedder:
    """A worker's model, loaded once per process.

    Raises:
      ExportError: It cannot be read here, or is another one than where the pipeline began.
    """
    with _loading:
        return _load_model(path, digest, precision)


@functools.lru_cache(1)
def _load_model(path: str, digest: str, precision: str) -> Embedder:
    from audio_triplet.embeddings import other_models

    model = other_models.open_embedder(path, precision)
    if model.digest != digest:
        raise ExportError(
            f"{path}: on {socket.gethostname()} is another model than where the work began; "
            "put the model into a folder that all machines share"
        )
    return model
