"""A model that starts at once, and is the quickest on a CPU: its encoder by LiteRT, from one file.

    model = quick_model.find([model_folder, index_folder], digest)
    model.embed("bark.wav").segment                  # as `saved_model.Model.embed`

`encoder_file` writes that file, `encoder.tflite`, beside an export and into an index. It is a
TensorFlow Lite model with a ZIP archive at its end, where TensorFlow Lite keeps a model's metadata;
`origin.json` in it says which model it was made of, and what the file has to be.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterable
from concurrent import futures
from typing import Any, Protocol

import numpy as np
from absl import logging

from audio_triplet import storage
from audio_triplet.embeddings.native_log import without_chatter
from audio_triplet.embeddings.sound_embedding import SoundEmbedding, embed_sound
from audio_triplet.errors import ExportError

ENCODER_FILE = "encoder.tflite"

_ORIGIN = "origin.json"
_PATCHES_EACH = 4  # fewer are not worth sharing out among interpreters
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class EncoderOrigin:
    """What an encoder file was made of.

    Attributes:
      model_digest: `Model.digest` of the SavedModel.
      size: Bytes of the TensorFlow Lite model, before the archive.
      sha256: Of those bytes.
      cosine: Least cosine to the SavedModel's embeddings, when it was written.
    """

    model_digest: str
    size: int
    sha256: str
    cosine: float

    @classmethod
    def read(cls, path: str) -> EncoderOrigin:
        """Reads it from an encoder file, whose content it checks.

        Raises:
          FileNotFoundError: There is none.
          ExportError: It is damaged, or not one of ours.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                origin = cls(**json.loads(archive.read(_ORIGIN)))
            with open(path, "rb") as file:
                content = file.read(origin.size)
        except FileNotFoundError:
            raise
        except storage.DAMAGE as error:
            raise ExportError(f"{path}: is damaged ({error}); remove it") from error
        if len(content) != origin.size or hashlib.sha256(content).hexdigest() != origin.sha256:
            raise ExportError(f"{path}: is damaged; remove it")
        return origin


def write_file(path: str, content: bytes, model_digest: str, cosine: float) -> None:
    """Writes an encoder file.

    Args:
      path: The file; not replaced at once, see `storage.replacing`.
      content: The TensorFlow Lite model.
      model_digest: Of the model that it was made of.
      cosine: See `EncoderOrigin`.
    """
    digest = hashlib.sha256(content).hexdigest()
    origin = EncoderOrigin(model_digest, len(content), digest, cosine)
    with open(path, "wb") as file:
        file.write(content)
    with zipfile.ZipFile(path, "a") as archive:
        told = json.dumps(dataclasses.asdict(origin), indent=1)
        archive.writestr(zipfile.ZipInfo(_ORIGIN, _DATE), told)


class Runner(Protocol):
    """What computes an encoder on one core; one thread at a time."""

    def encode(self, log_mel: np.ndarray) -> np.ndarray:
        """float32[n, 96, 64] log mel → float32[n, dim], unit norm."""
        ...


class _LiteRtRunner:
    """An interpreter of an encoder file, on one core; one thread at a time."""

    def __init__(self, interpreter: Any, content: bytes):
        with without_chatter():
            self._interpreter = interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        (taken,), (given,) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        self._input, self._output = taken["index"], given["index"]
        self.size = int(given["shape"][-1])

    def encode(self, log_mel: np.ndarray) -> np.ndarray:
        vectors = np.empty((len(log_mel), self.size), np.float32)
        for number in range(len(log_mel)):
            self._interpreter.set_tensor(self._input, log_mel[number : number + 1])
            self._interpreter.invoke()
            vectors[number] = self._interpreter.get_tensor(self._output)[0]
        return vectors


class QuickModel:
    """The encoder of an export by LiteRT, or see `run_by`; threads may share it.

    `search.query`, `embeddings.embed` and `Model.embed`'s users take it as they take a
    `saved_model.Model`.

    Attributes:
      path: Folder of the SavedModel that it stands for, or of the file.
      digest: That model's digest.
      embedding_size: Dimensions of the embedding.
      precision: `float32`.
      has_encoder: True: patches come to it as mel energies.
      patch_by_patch: True: a patch's embedding does not depend on others of its batch.
      content: The TensorFlow Lite model.
    """

    precision = "float32"
    has_encoder = True
    patch_by_patch = True

    def __init__(self, file: str, path: str | None = None):
        """Loads an encoder file.

        Args:
          file: The file.
          path: Folder of its model; None: that of the file.

        Raises:
          FileNotFoundError: There is no such file.
          ExportError: It is damaged, or LiteRT is not installed.
        """
        self.path = path or os.path.dirname(file)
        origin = EncoderOrigin.read(file)
        self.digest = origin.model_digest
        with open(file, "rb") as opened:  # kept: an index may be replaced before the last is made
            self.content = opened.read(origin.size)
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ExportError(f"LiteRT cannot be used ({error}): pip install ai-edge-litert") from (
                error
            )
        workers = os.cpu_count() or 1
        self._make_runner: Callable[[], Runner] = lambda: _LiteRtRunner(Interpreter, self.content)
        try:
            first = _LiteRtRunner(Interpreter, self.content)
        except (ValueError, RuntimeError) as error:
            cause = str(error).strip().splitlines()[0]
            raise ExportError(f"{file}: cannot be loaded ({cause}); remove it") from error
        self.embedding_size = first.size
        self._idle: list[Runner] = [first]
        self._workers, self._available = workers, threading.Semaphore(workers)
        self._pool = futures.ThreadPoolExecutor(workers) if workers > 1 else None

    def run_by(self, make_runner: Callable[[], Runner], first: Runner) -> None:
        """Takes other runners of the same encoder from now on; before any thread shares the model.

        Args:
          make_runner: Makes one.
          first: One that is made already.
        """
        self._make_runner, self._idle = make_runner, [first]

    def encode(self, log_mel) -> np.ndarray:
        """The encoder, patch by patch: the same bits whatever the batch and the number of cores.

        Args:
          log_mel: float32[n, 96, 64].

        Returns:
          float32[n, dim], unit norm.
        """
        log_mel = np.asarray(log_mel, np.float32)
        shares = min(self._workers, len(log_mel) // _PATCHES_EACH)
        if self._pool is None or shares < 2:
            return self.encode_alone(log_mel)
        shared = np.array_split(log_mel, shares)
        return np.concatenate(list(self._pool.map(self.encode_alone, shared)))

    def encode_alone(self, log_mel: np.ndarray) -> np.ndarray:
        """`encode` in the thread that calls it, by an interpreter that is idle, or a new one."""
        with self._available:
            try:
                runner = self._idle.pop()
            except IndexError:
                runner = self._make_runner()
            try:
                return runner.encode(log_mel)
            finally:
                self._idle.append(runner)

    def embed(
        self, sound: Any, sample_rate: float | None = None, hop_seconds: float = 0.96
    ) -> SoundEmbedding:
        """Embeds one sound of any length, see `sound_embedding.embed_sound`."""
        return embed_sound(self, sound, sample_rate, hop_seconds)


def find(folders: Iterable[str], digest: str) -> QuickModel | None:
    """Loads a model's encoder file from the first folder that has it.

    Args:
      folders: Where it may be.
      digest: The model's digest.

    Returns:
      The model; None if there is none that can be used, which is logged in one line.
    """
    reason = ""
    for folder in folders:
        try:
            found = QuickModel(os.path.join(folder, ENCODER_FILE))
            if found.digest == digest:
                return found
            reason = reason or f"{folder}: its {ENCODER_FILE} is of another model"
        except (FileNotFoundError, NotADirectoryError):
            continue
        except ExportError as error:
            reason = str(error)
    logging.info(
        "%s; TensorFlow is used instead, which takes seconds to start",
        reason or f"there is no {ENCODER_FILE} of this model",
    )
    return None
