"""The triplet loss (paper.md, Objective)."""

import tensorflow as tf


def triplet_loss(anchor, positive, negative, margin: float = 0.1) -> tf.Tensor:
    """Hinge on squared L2: max(0, ||a - p||² - ||a - n||² + δ).

    Computed in float32 whatever the inputs are. There is no square root, so the gradient is
    finite everywhere, identical embeddings included.

    Args:
      anchor: float[batch, dim].
      positive: float[batch, dim].
      negative: float[batch, dim].
      margin: δ.

    Returns:
      float32[batch].
    """
    anchor = tf.cast(anchor, tf.float32)
    to_positive = tf.reduce_sum((anchor - tf.cast(positive, tf.float32)) ** 2, axis=-1)
    to_negative = tf.reduce_sum((anchor - tf.cast(negative, tf.float32)) ** 2, axis=-1)
    return tf.maximum(0.0, to_positive - to_negative + margin)
