"""A fifth constraint, as CONTRIBUTING shows it: the same sound, brighter or duller.

In the package this file would be audio_triplet/constraints/spectral_tilt.py, and nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from audio_triplet.constraints import base


@base.register
@dataclasses.dataclass(frozen=True)
class SpectralTilt(base.Constraint):
    """The anchor with its bands amplified by a gain that rises or falls evenly over them.

    Attributes:
      tilt_sigma: Standard deviation of the gain's logarithm at the lowest and the highest band of
        the spectral tilt constraint.
    """

    name: ClassVar[str] = "spectral_tilt"
    title: ClassVar[str] = "Spectral tilt"

    tilt_sigma: float = 0.5

    def positive(self, energies, seed):
        """See the base class."""
        import tensorflow as tf

        batch, _, mels = tf.unstack(tf.shape(energies))
        tilt = tf.random.stateless_normal([batch, 1, 1], seed, stddev=self.tilt_sigma)
        return energies * tf.exp(tilt * tf.linspace(-1.0, 1.0, mels))  # [batch, frames, mels]
