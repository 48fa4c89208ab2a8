"""The HEAR 2021 API (Holistic Evaluation of Audio Representations) on an exported SavedModel.

    model = hear.load_model("runs/mine/export")
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)   # every 50 ms
    embeddings = hear.get_scene_embeddings(audio, model)

A timestamp embedding is that of a patch (0.975 s of sound) centred on the timestamp; beyond the
clip's ends there is silence. A scene embedding is the mean of the clip's patches, which lie side by
side, louder ones counting more (`embeddings.loudness`).
Memory does not grow with the length of the clips beyond what the sound and its embeddings take.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import tensorflow as tf

from audio_triplet import features
from audio_triplet.embeddings import saved_model
from audio_triplet.embeddings.loudness import loudness_of

# Time between timestamp embeddings.
HOP_MILLISECONDS = 50

_PATCHES_AT_ONCE = 128

_Part = TypeVar("_Part")


class HearModel(tf.Module):
    """A model as HEAR defines it.

    Attributes:
      sample_rate: Samples per second of its input, 16000.
      scene_embedding_size: Dimensions of a scene embedding.
      timestamp_embedding_size: Dimensions of a timestamp embedding.
    """

    def __init__(self, path: str):
        """Loads an export, for "" the released model.

        Raises:
          ExportError: There is none.
        """
        super().__init__(name="audio_triplet")
        self.export = saved_model.Model(path or saved_model.released_model_path())
        self._weights = self.export.variables  # so that `variables` lists them
        self.sample_rate = int(features.DEFAULT.sample_rate)
        self.scene_embedding_size = int(self.export.embedding_size)
        self.timestamp_embedding_size = int(self.export.embedding_size)

    def __call__(self, audio) -> tf.Tensor:
        """Scene embeddings, see `get_scene_embeddings`."""
        return get_scene_embeddings(audio, self)


def load_model(model_file_path: str = "") -> HearModel:
    """Loads a model.

    Args:
      model_file_path: Folder of an exported SavedModel; if empty, the released model.

    Returns:
      The model.

    Raises:
      ExportError: There is none.
    """
    return HearModel(model_file_path)


def get_timestamp_embeddings(
    audio, model: HearModel, hop_milliseconds: int = HOP_MILLISECONDS
) -> tuple[tf.Tensor, tf.Tensor]:
    """Embeddings over time.

    Args:
      audio: float[sounds, samples], 16 kHz, within ±1.
      model: The model.
      hop_milliseconds: Time between embeddings, a multiple of 10.

    Returns:
      float32[sounds, timestamps, dim] and float32[sounds, timestamps] of milliseconds: 0,
      `hop_milliseconds`, … up to the clip's end, not past it.

    Raises:
      ValueError: `audio` has no two axes, no samples or whole numbers, or the hop is no multiple
        of 10.
    """
    audio = _checked(audio)
    config = features.DEFAULT
    hop_frames, rest = divmod(hop_milliseconds, round(1000 * config.hop_seconds))
    if rest or hop_frames < 1:
        raise ValueError(f"hop_milliseconds={hop_milliseconds} must be a multiple of 10")
    hop_samples = hop_frames * config.hop_samples
    sounds, samples = audio.shape
    count = 1 + samples // hop_samples
    # With half a patch of silence before it, the first patch is centred on time 0.
    before = config.patch_samples // 2
    wanted = (count - 1) * hop_samples + config.patch_samples
    padded = np.pad(audio, [[0, 0], [before, max(0, wanted - before - samples)]])

    def embedded(sound: np.ndarray) -> tf.Tensor:
        return model.export(sound, hop_frames)["patch_embeddings"]

    blocks = _blocks(padded, count, hop_frames, embedded)
    embeddings = tf.concat([tf.concat(list(parts), axis=1) for parts in blocks], axis=0)
    timestamps = tf.range(count, dtype=tf.float32) * float(hop_milliseconds)
    return embeddings, tf.tile(timestamps[None, :], [sounds, 1])


def get_scene_embeddings(audio, model: HearModel) -> tf.Tensor:
    """One embedding per sound.

    Args:
      audio: float[sounds, samples], 16 kHz, within ±1.
      model: The model.

    Returns:
      float32[sounds, dim]. Of a sound that is as loud throughout it is, scaled to unit norm, the
      export's `segment_embedding`.

    Raises:
      ValueError: `audio` has no two axes, no samples or whole numbers.
    """
    audio = _checked(audio)
    config = features.DEFAULT
    count = max(1, config.frames(audio.shape[1]) // config.patch_frames)

    def heard(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies = features.patches(features.mel_energies(sound))  # [some, patches, frames, mels]
        loud = tf.reduce_mean(energies, axis=[-2, -1])  # [some, patches]
        return model.export(sound)["patch_embeddings"].numpy(), loud.numpy()

    scenes = []
    for parts in _blocks(audio, count, config.patch_frames, heard):
        patches, energy = (np.concatenate(of, axis=1) for of in zip(*parts, strict=True))
        loud = loudness_of(energy)[:, None]  # [some, 1, patches]
        means = (loud @ patches)[:, 0] / loud.sum(axis=-1)  # [some, dim]
        scenes.append(means.astype(np.float32))
    return tf.constant(np.concatenate(scenes))


def _blocks(
    audio: np.ndarray, count: int, hop_frames: int, heard: Callable[[np.ndarray], _Part]
) -> Iterator[Iterator[_Part]]:
    """Hears the first `count` patches of every sound, as many at once as memory allows.

    Yields:
      For some sounds at a time: what is heard of float32[some, samples], part by part.
    """
    config = features.DEFAULT
    across = min(count, _PATCHES_AT_ONCE)
    together = _PATCHES_AT_ONCE // across

    def part(sounds, first):
        last = min(count, first + across)
        begin = first * hop_frames * config.hop_samples
        end = (last - 1) * hop_frames * config.hop_samples + config.patch_samples
        return heard(sounds[:, begin:end])

    for row in range(0, len(audio), together):
        sounds = audio[row : row + together]
        yield (part(sounds, first) for first in range(0, count, across))


def _checked(audio) -> np.ndarray:
    audio = np.asarray(audio)
    if audio.ndim != 2 or 0 in audio.shape:
        raise ValueError(f"audio must be [sounds, samples] and not empty, not {audio.shape}")
    if not np.issubdtype(audio.dtype, np.floating):
        raise ValueError(
            f"audio must be floats within ±1, not {audio.dtype}; divide 16-bit samples by 32768"
        )
    return audio.astype(np.float32)
