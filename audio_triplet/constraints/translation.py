"""Translation: the same patch at another time and another pitch."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from audio_triplet.constraints import base

if TYPE_CHECKING:
    import tensorflow as tf


@base.register
@dataclasses.dataclass(frozen=True)
class Translation(base.Constraint):
    """The anchor shifted in time and in frequency.

    Attributes:
      max_mel_shift: S, the largest shift in frequency in mel bands.
    """

    name: ClassVar[str] = "translation"
    title: ClassVar[str] = "T/F translation"

    max_mel_shift: int = 10

    def positive(self, energies, seed) -> tf.Tensor:
        """See the base class."""
        return translate(energies, seed, self.max_mel_shift)

    def seed(self, batch_seed) -> tf.Tensor:
        """See the base class."""
        return base.third_of_seed(batch_seed, 1)


def translate(mel_energies, seed, max_mel_shift: int = 10) -> tf.Tensor:
    """Circular shift in time, then a shift in frequency that leaves silence behind.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.
      max_mel_shift: S; the shift in frequency is uniform over -S … S bands.

    Returns:
      The same shape. Each example has shifts of its own; vacated bands are zero.
    """
    import tensorflow as tf

    from audio_triplet import draws

    mel_energies = tf.convert_to_tensor(mel_energies, tf.float32)
    batch, frames, mels = tf.unstack(tf.shape(mel_energies))
    time_seed, mel_seed = draws.split(seed, 2)
    shift = draws.integers([batch, 1], time_seed, 0, frames)
    source = (tf.range(frames)[None, :] - shift) % frames  # [batch, frames]
    shifted = tf.gather(mel_energies, source, batch_dims=1)  # [batch, frames, mels]

    mel_shift = draws.integers([batch, 1], mel_seed, -max_mel_shift, max_mel_shift + 1)
    source = tf.range(mels)[None, :] - mel_shift  # [batch, mels]
    inside = (source >= 0) & (source < mels)
    # Bands are gathered as rows of the transposed patch: whole rows copy fast.
    bands = tf.transpose(shifted, [0, 2, 1])  # [batch, mels, frames]
    bands = tf.gather(bands, tf.clip_by_value(source, 0, mels - 1), batch_dims=1)
    bands = tf.where(inside[:, :, None], bands, 0.0)
    result = tf.transpose(bands, [0, 2, 1])  # [batch, frames, mels]
    result.set_shape(mel_energies.shape)
    return result
