"""The triplet loss (docs/method.md, the objective), and a contrastive one [D]."""

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


def contrastive_loss(query, positive, keys, allowed, temperature: float = 0.1) -> tf.Tensor:
    """InfoNCE: -log of the positive's share in a softmax over it and all allowed keys.

    Every allowed key is a negative, weighted by its nearness; the triplet loss takes a single one.

    Args:
      query: float[batch, dim], unit vectors.
      positive: float[batch, dim], unit vectors.
      keys: float[n, dim], unit vectors.
      allowed: bool[batch, n], which keys are negatives of which query.
      temperature: τ, by which cosine similarities are divided.

    Returns:
      float32[batch]; 0 where no key is allowed.
    """
    query, positive, keys = (tf.cast(x, tf.float32) for x in (query, positive, keys))
    own = tf.reduce_sum(query * positive, axis=1, keepdims=True) / temperature  # [batch, 1]
    others = tf.linalg.matmul(query, keys, transpose_b=True) / temperature  # [batch, n]
    others = tf.where(allowed, others, -1e9)  # no infinity: its gradient is not finite
    return tf.reduce_logsumexp(tf.concat([own, others], axis=1), axis=1) - own[:, 0]
