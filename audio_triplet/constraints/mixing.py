"""Example mixing: the same patch with another sound in it, which is the triplet's negative."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from audio_triplet.constraints import base

if TYPE_CHECKING:
    import tensorflow as tf


@base.register
@dataclasses.dataclass(frozen=True)
class Mixing(base.Constraint):
    """The anchor with an anchor of another recording mixed in.

    Attributes:
      mixing_alpha: α, energy of the mixed-in example relative to the anchor's.
    """

    name: ClassVar[str] = "mixing"
    title: ClassVar[str] = "Example mixing"

    mixing_alpha: float = 0.25

    def make(self, anchors, seed) -> base.Made:
        """See the base class."""
        import tensorflow as tf

        batch = anchors.batch
        partner, found = mixing_partners(batch["recording"], batch["drawn"], seed, anchors.position)
        other = tf.gather(batch["anchor"], partner)
        return base.Made(mix(anchors.energies, other, self.mixing_alpha), partner, found)

    def seed(self, batch_seed) -> tf.Tensor:
        """See the base class."""
        return base.third_of_seed(batch_seed, 2)


def mix(mel_energies, other, alpha: float = 0.25) -> tf.Tensor:
    """Example mixing: a + α · (E(a) / E(n)) · n, E the total energy of a patch.

    Args:
      mel_energies: float32[batch, frames, mels], the anchors a, linear.
      other: The same shape, the examples n to mix in; they are the triplets' negatives too.
      alpha: Energy of the mixed-in part relative to the anchor's.

    Returns:
      The same shape. An `other` without energy leaves its anchor as it is.
    """
    import tensorflow as tf

    anchor = tf.convert_to_tensor(mel_energies, tf.float32)
    other = tf.convert_to_tensor(other, tf.float32)
    # Means instead of sums, and `other` scaled to maximum 1, so that nothing overflows.
    peak = tf.reduce_max(other, [1, 2], keepdims=True)  # [batch, 1, 1]
    unit = tf.math.divide_no_nan(other, peak)
    scale = alpha * tf.math.divide_no_nan(
        tf.reduce_mean(anchor, [1, 2], keepdims=True), tf.reduce_mean(unit, [1, 2], keepdims=True)
    )
    return anchor + scale * unit


def mixing_partners(recording, drawn, seed, positions=None) -> tuple[tf.Tensor, tf.Tensor]:
    """Picks for each anchor a partner in the batch, of another recording.

    Args:
      recording: int64[batch], key of each anchor's recording.
      drawn: bool[batch], false where there is no anchor (silence, a broken file).
      seed: Two integers, a stateless seed.
      positions: int32[n], the anchors that need a partner; all if None.

    Returns:
      int32[n] positions in the batch, and bool[n], false where no partner exists.
    """
    import tensorflow as tf

    from audio_triplet import draws

    own, there = recording, drawn
    if positions is not None:
        own, there = tf.gather(recording, positions), tf.gather(drawn, positions)
    allowed = (own[:, None] != recording[None, :]) & drawn[None, :]  # [n, batch]
    scores = draws.uniform(tf.shape(allowed), seed)
    scores = tf.where(allowed, scores, -1.0)
    partner = tf.argmax(scores, axis=1, output_type=tf.int32)
    return partner, tf.reduce_any(allowed, axis=1) & there
