"""Representations that need no training, for comparison in the tables.

A representation is any function from log mel patches to vectors: a trained encoder, or one of
these. The same code embeds and scores all of them.
"""

from collections.abc import Callable

import tensorflow as tf

# float32[n, 96, 64] log mel → float32[n, dim].
Representation = Callable[[tf.Tensor], tf.Tensor]


def flat(log_mel: tf.Tensor) -> tf.Tensor:
    """The log mel baseline: a patch as one vector, [n, 96, 64] → [n, 6144]."""
    return tf.reshape(log_mel, [-1, log_mel.shape[-2] * log_mel.shape[-1]])


def band_statistics(log_mel: tf.Tensor) -> tf.Tensor:
    """Mean and deviation over time of each band, [n, 96, 64] → [n, 128]: a fairer baseline [D].

    It does not ask sounds to begin at the same moment of a patch, as `flat` does.
    """
    mean, variance = tf.nn.moments(log_mel, axes=[-2])
    return tf.concat([mean, tf.sqrt(variance)], axis=-1)
