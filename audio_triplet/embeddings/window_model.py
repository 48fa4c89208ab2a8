"""A model of others: windows of sound in, vectors out. What it needs to go where ours go.

`embed`, `index`, `search` and the rest cut sound for it at its own sample rate into windows of its
own length, and take its vectors, scaled to unit norm, as they take those of our patches. How one is
opened says `other_models`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from audio_triplet import storage
from audio_triplet.embeddings.sound_embedding import SoundEmbedding, embed_sound
from audio_triplet.errors import ExportError


@dataclasses.dataclass(frozen=True)
class Window:
    """What a model hears at once.

    Attributes:
      rate: Samples per second.
      seconds: Length of a window.
      hop_seconds: From one window to the next unless a user says otherwise, a multiple of 0.01.
    """

    rate: int
    seconds: float
    hop_seconds: float

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return round(self.rate * self.seconds)

    @classmethod
    def of(cls, values: Mapping[str, Any], owner: str, default_rate: int | None = None) -> Window:
        """A window from the entries `rate`, `window` and `hop` of a description.

        Args:
          values: The description; numbers, or text of them. `hop` may be missing: the window.
          owner: Whose it is, for messages.
          default_rate: The rate where the description has none.

        Raises:
          ExportError: An entry is missing or no such number.
        """
        try:
            rate = float(values.get("rate", default_rate))  # type: ignore[arg-type]  # told below
            seconds = float(values["window"])
            hop = float(values.get("hop", round(seconds, 2)))
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f"{owner}: says no rate (samples per second) or window (seconds) that is a number; "
                'give them, as {"rate": 48000, "window": 3.0, "hop": 3.0}'
            ) from error
        if not (1_000 <= rate <= 1_000_000 and rate == int(rate)):
            raise ExportError(f"{owner}: rate={rate:g} is no sample rate; give samples per second")
        if not 0.01 <= seconds <= 600:
            raise ExportError(f"{owner}: window={seconds:g} is not 0.01 to 600 seconds; correct it")
        if not hop >= 0.01 or abs(100 * hop - round(100 * hop)) > 1e-6:
            raise ExportError(f"{owner}: hop={hop:g} is no multiple of 0.01 seconds; correct it")
        return cls(int(rate), seconds, hop)


class WindowModel:
    """A model of windows; threads may share it.

    Attributes:
      path: How it was named, with whole paths: `hear:MODULE`, `tflite:FILE`, `onnx:FILE`.
      digest: A hash of what it is: its files, and what else decides its vectors.
      window: What it hears at once.
      embedding_size: Dimensions of its vectors.
      config: {}: there is no config.json.
      precision: `float32`, whatever it computes in.
      has_encoder: False: nothing of it takes our mel energies.
    """

    precision = "float32"
    has_encoder = False

    def __init__(
        self,
        path: str,
        digest: str,
        window: Window,
        run: Callable[[np.ndarray], Any],
    ):
        """Asks the model once, for silence, to learn its vectors' size.

        Args:
          path: See the class.
          digest: See the class.
          window: See the class.
          run: float32[n, samples] → [n, dim], an array of any kind.

        Raises:
          ExportError: It fails, or gives something else.
        """
        self.path, self.digest, self.window, self._run = path, digest, window, run
        self.config: dict[str, Any] = {}
        self.embedding_size = 0
        self.embedding_size = self.embed_windows(np.zeros((2, window.samples), np.float32)).shape[1]

    def embed_windows(self, windows: np.ndarray) -> np.ndarray:
        """The vectors of windows.

        Args:
          windows: float32[n, samples] at the window's rate.

        Returns:
          float32[n, dim], of unit norm; all entries equal where the model gives 0, as some do for
          silence.

        Raises:
          ExportError: The model fails, or gives something else.
        """
        try:
            vectors = as_array(self._run(np.ascontiguousarray(windows, np.float32)))
        except Exception as error:  # of any kind: it is the model's own code
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportError(
                f"{self.path}: fails on {len(windows)} windows of {self.window.samples} samples "
                f"({cause}); does its description say what it takes?"
            ) from error
        known = self.embedding_size or vectors.shape[-1]
        if vectors.shape != (len(windows), known) or not known:
            raise ExportError(
                f"{self.path}: gives {list(vectors.shape)} for {len(windows)} windows, not a "
                "vector for each; name another output"
            )
        if not np.isfinite(vectors).all():
            raise ExportError(
                f"{self.path}: gives values that are not finite; it cannot be searched with"
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        even = np.full(known, known**-0.5)
        return np.where(norms > 1e-12, vectors / np.maximum(norms, 1e-12), even).astype(np.float32)

    def embed(
        self, sound: Any, sample_rate: float | None = None, hop_seconds: float | None = None
    ) -> SoundEmbedding:
        """Embeds one sound of any length, see `sound_embedding.embed_sound`.

        Without `hop_seconds` the model's own hop is taken.
        """
        return embed_sound(self, sound, sample_rate, hop_seconds or self.window.hop_seconds)


def as_array(values: Any) -> np.ndarray:
    """An array of any kind, of PyTorch's too, as float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, np.float64)


def digest_of(parts: Mapping[str, str], *files: str) -> str:
    """A hash of named texts and of files' content.

    Args:
      parts: Name → text.
      *files: Paths, in an order that counts.

    Raises:
      ExportError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for name, text in sorted(parts.items()):
        digest.update(f"{name}\0{text}\0".encode())
    for path in files:
        try:
            digest.update(f"{os.path.getsize(path)}\0".encode())
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise ExportError(
                f"{path}: cannot be read ({error.strerror}); give the model's file"
            ) from error
    return digest.hexdigest()


def read_description(path: str) -> dict[str, Any]:
    """The JSON beside a model's file.

    Raises:
      ExportError: It is not there, or not an object.
    """
    wanted = 'as {"rate": 48000, "window": 3.0, "hop": 3.0, "output": "NAME"}'
    try:
        content = storage.read_json(path)
    except FileNotFoundError as error:
        raise ExportError(f"{path}: is not there; write what the model takes, {wanted}") from error
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: is no JSON ({error}); write {wanted}") from error
    if not isinstance(content, dict):
        raise ExportError(f"{path}: is no JSON object; write {wanted}")
    unknown = set(content) - {"rate", "window", "hop", "output", "input"}
    if unknown:
        raise ExportError(
            f"{path}: has unknown entries ({', '.join(sorted(unknown))}); "
            "rate, window, hop, output and input are known"
        )
    return content
