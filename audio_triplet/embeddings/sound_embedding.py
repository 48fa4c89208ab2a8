"""One sound of any length, embedded by any model that has the encoder by itself.

No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from audio_triplet.config import EmbedConfig
from audio_triplet.embeddings import description, embed, sounds
from audio_triplet.embeddings.loudness import shares_of
from audio_triplet.errors import AudioError

_BATCH = 16  # patches; the last batch is filled up, and most sounds are short


@dataclasses.dataclass(frozen=True, eq=False)
class SoundEmbedding:
    """The embeddings of one sound.

    Attributes:
      patches: float32[patches, dim], an embedding every hop, of unit norm.
      segment: float32[dim], their mean scaled to unit norm: the sound as a whole, as the export
        gives it.
      loud_mean: float32[dim], the same with louder patches counting more (`embeddings.loudness`):
        it finds and classifies better.
      description: float32[3 · dim], mean, deviation and maximum of the patches, louder ones
        counting more, for classifiers that learn from single patches too
        (`embeddings.description`).
      timestamps: float32[patches], the seconds at which the patches' centres lie.
      start: float64[patches], the second at which each patch begins.
      end: float64[patches], the second at which it ends; none lies past the end of the sound.
      energy: float32[patches], mean linear mel energy per cell; silence has next to none.
    """

    patches: np.ndarray
    segment: np.ndarray
    loud_mean: np.ndarray
    description: np.ndarray
    timestamps: np.ndarray
    start: np.ndarray
    end: np.ndarray
    energy: np.ndarray


def embed_sound(
    model: Any, sound: Any, sample_rate: float | None = None, hop_seconds: float = 0.96
) -> SoundEmbedding:
    """Embeds one sound.

    Args:
      model: A `saved_model.Model`, a `quick_model.QuickModel`, or a `window_model.WindowModel`.
      sound: A path or an open binary file; or float[samples] or float[channels, samples],
        nominally within ±1. Channels are averaged.
      sample_rate: Samples per second of an array, which is resampled to 16 kHz.
      hop_seconds: From the start of a patch to that of the next, a multiple of 0.01.

    Returns:
      Its embeddings. A sound shorter than a patch (0.975 s) is padded with silence to one.

    Raises:
      AudioError: The sound cannot be read or used.
      ConfigError: The hop is no multiple of 0.01.
    """
    config = EmbedConfig(hop_seconds=hop_seconds, batch_size=_BATCH)
    blocks = sounds.open_sound(sound, sample_rate, rate=embed.rate_of(model))
    found = embed.embed_stream(model, blocks, config)
    if found is None:
        raise AudioError(sounds.name_of(sound), "holds no sound")
    return SoundEmbedding(
        patches=found.vectors,
        segment=embed.unit_mean(found.vectors)[0],
        loud_mean=embed.unit_mean(found.vectors, shares_of(found.energy))[0],
        description=description.describe(
            found.vectors,
            np.zeros(len(found.vectors), np.int32),
            1,
            description.window_patches(hop_seconds),
            found.energy,
        )[0],
        timestamps=(found.start_seconds + embed.window_seconds_of(model) / 2).astype(np.float32),
        start=found.start_seconds,
        end=found.end_seconds,
        energy=found.energy,
    )
