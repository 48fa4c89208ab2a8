"""Gaussian noise: the same patch with multiplicative noise."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar

from audio_triplet.constraints import base

if TYPE_CHECKING:
    import tensorflow as tf


@base.register
@dataclasses.dataclass(frozen=True)
class GaussianNoise(base.Constraint):
    """The anchor with noise in every cell.

    Attributes:
      noise_sigma: σ of the Gaussian noise constraint.
    """

    name: ClassVar[str] = "gaussian_noise"
    title: ClassVar[str] = "Gaussian noise"

    noise_sigma: float = 0.5

    def positive(self, energies, seed) -> tf.Tensor:
        """See the base class."""
        return gaussian_noise(energies, seed, self.noise_sigma)

    def seed(self, batch_seed) -> tf.Tensor:
        """See the base class."""
        return base.third_of_seed(batch_seed, 0)


def gaussian_noise(mel_energies, seed, sigma: float = 0.5) -> tf.Tensor:
    """Multiplicative noise: x · (1 + |ε|), ε ~ N(0, σ²) drawn for every cell.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.
      sigma: Standard deviation σ.

    Returns:
      The same shape; no cell is lower than before.
    """
    import tensorflow as tf

    mel_energies = tf.convert_to_tensor(mel_energies, tf.float32)
    noise = half_normal(tf.size(mel_energies), seed)
    return mel_energies * (1.0 + sigma * tf.reshape(noise, tf.shape(mel_energies)))


def half_normal(count, seed) -> tf.Tensor:
    """|ε| with ε ~ N(0, 1): float32[count].

    By Box and Muller: a radius and an angle give two independent normal numbers. Only their
    absolute values are needed, so a quarter of the circle is enough; vectorised logarithm, sine
    and cosine take half the time of `stateless_normal`.
    """
    import tensorflow as tf

    from audio_triplet import draws

    drawn = draws.uniform([2, (count + 1) // 2], seed)
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - drawn[0]))  # 1 - u is never 0
    angle = (math.pi / 2) * drawn[1]
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=0)[:count]
