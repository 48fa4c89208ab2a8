"""Embeddings of earlier anchors, which are negatives too [D]."""

import tensorflow as tf


class AnchorMemory:
    """The last anchors before a batch, as they were embedded then, and their recordings.

    Every replica has all of it, and writes the same. Of size 0 it changes nothing.

    Attributes:
      size: How many anchors it keeps.
      variables: What a checkpoint holds of it: `embeddings` float32[size, dim], newest first, and
        `recordings` int64[size], -1 where there is none yet; nothing for size 0.
    """

    def __init__(self, size: int, dim: int):
        """Args: the number of anchors, and the dimensions of an embedding."""
        self.size = size
        self.variables: dict[str, tf.Variable] = {}
        if size:
            settings = {
                "trainable": False,
                "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
            }
            empty = tf.fill([size], tf.constant(-1, tf.int64))
            self.variables = {
                "embeddings": tf.Variable(tf.zeros([size, dim]), **settings),
                "recordings": tf.Variable(empty, **settings),
            }

    def extend(self, anchors: tf.Tensor) -> tf.Tensor:
        """Anchors of the batch with the memory behind them: float32[batch + size, dim]."""
        if not self.size:
            return anchors
        return tf.concat([anchors, self.variables["embeddings"]], axis=0)

    def extend_allowed(self, allowed: tf.Tensor, recording: tf.Tensor) -> tf.Tensor:
        """Which anchors, of batch and memory, may be negatives of which anchor.

        Args:
          allowed: bool[local batch, batch], the same for the anchors of the batch alone.
          recording: int64[local batch].

        Returns:
          bool[local batch, batch + size].
        """
        if not self.size:
            return allowed
        remembered = self.variables["recordings"][None, :]
        others = (recording[:, None] != remembered) & (remembered >= 0)
        return tf.concat([allowed, others], axis=1)

    def push(self, anchors: tf.Tensor, recordings: tf.Tensor, drawn: tf.Tensor) -> None:
        """Adds the anchors of a global batch; the oldest go.

        Args:
          anchors: float32[batch, dim].
          recordings: int64[batch].
          drawn: bool[batch], false where there is no anchor.
        """
        if not self.size:
            return
        recordings = tf.where(drawn, recordings, -1)
        for name, newest in (("embeddings", anchors), ("recordings", recordings)):
            kept = tf.concat([newest, self.variables[name]], axis=0)
            self.variables[name].assign(kept[: self.size])
