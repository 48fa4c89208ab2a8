"""Semi-hard negative mining (docs/method.md, the objective).

A choice needs the distances from one anchor to all candidates, but not those of other anchors.
Above `_TILE` pairs the anchors are processed tile by tile, so that memory stays that of one tile
however large the batch is.
"""

import tensorflow as tf

from audio_triplet import draws

# Most pairs whose distances are held at the same time: 8 MB, and a few times that in between.
_TILE = 2**21


def squared_distances(anchor, candidates) -> tf.Tensor:
    """Squared L2 distances of all pairs by one matrix product, in float32.

    Args:
      anchor: float[batch, dim].
      candidates: float[n, dim].

    Returns:
      float32[batch, n], never negative.
    """
    anchor = tf.cast(anchor, tf.float32)
    candidates = tf.cast(candidates, tf.float32)
    return tf.maximum(
        0.0,
        tf.reduce_sum(anchor**2, 1)[:, None]
        + tf.reduce_sum(candidates**2, 1)[None, :]
        - 2.0 * tf.linalg.matmul(anchor, candidates, transpose_b=True),
    )


def semi_hard_negatives(anchor, positive, candidates, allowed) -> tf.Tensor:
    """The closest allowed candidate that is still farther from the anchor than the positive.

    Where no allowed candidate is farther than the positive, the farthest allowed one [D].

    Distances come from a matrix product, whose rounding could make a copy of the positive look
    farther than the positive itself; only what is farther by more than that rounding counts.

    Args:
      anchor: float[batch, dim].
      positive: float[batch, dim].
      candidates: float[n, dim].
      allowed: bool[batch, n].

    Returns:
      int32[batch], indices into `candidates`. A row that allows nothing gets 0; callers leave
      such anchors out. No gradient flows through the choice.
    """
    anchor = tf.stop_gradient(tf.cast(anchor, tf.float32))
    positive = tf.stop_gradient(tf.cast(positive, tf.float32))
    candidates = tf.stop_gradient(tf.cast(candidates, tf.float32))
    allowed = tf.convert_to_tensor(allowed, tf.bool)
    batch, count = allowed.shape
    if None in (batch, count) or batch * count <= _TILE:
        return _semi_hard(anchor, positive, candidates, allowed)

    # Python numbers, so that every tile has a static shape under XLA too.
    rows = max(1, _TILE // count)
    tiles = -(-batch // rows)

    def choose(tile, chosen):
        begin = tf.minimum(tile * rows, batch - rows)  # the last tile overlaps the one before
        a, p, ok = (
            tf.slice(tensor, [begin, 0], [rows, tensor.shape[1]])
            for tensor in (anchor, positive, allowed)
        )
        return tile + 1, chosen.write(tile, _semi_hard(a, p, candidates, ok))

    _, chosen = tf.while_loop(
        lambda tile, _: tile < tiles,
        choose,
        (0, tf.TensorArray(tf.int32, tiles, element_shape=[rows])),
        parallel_iterations=1,  # one tile in memory
    )
    chosen = chosen.stack()  # [tiles, rows]
    last = batch - (tiles - 1) * rows
    return tf.concat([tf.reshape(chosen[:-1], [-1]), chosen[-1, -last:]], axis=0)


def _semi_hard(anchor, positive, candidates, allowed) -> tf.Tensor:
    """`semi_hard_negatives` of float32 values, of all pairs at once."""
    to_candidates = squared_distances(anchor, candidates)  # [batch, n]
    to_positive = tf.reduce_sum((anchor - positive) ** 2, axis=1, keepdims=True)  # [batch, 1]
    scale = tf.reduce_sum(anchor**2, 1)[:, None] + tf.reduce_sum(candidates**2, 1)[None, :]
    farther = allowed & (to_candidates > to_positive + 1e-6 * scale)
    largest = tf.constant(tf.float32.max)
    closest_farther = tf.argmin(
        tf.where(farther, to_candidates, largest), axis=1, output_type=tf.int32
    )
    farthest = tf.argmax(tf.where(allowed, to_candidates, -1.0), axis=1, output_type=tf.int32)
    return tf.where(tf.reduce_any(farther, axis=1), closest_farther, farthest)


def hardest_negatives(anchor, candidates, allowed) -> tf.Tensor:
    """The closest allowed candidate, without regard to the positive: int32[batch]. To compare."""
    distances = squared_distances(tf.stop_gradient(anchor), tf.stop_gradient(candidates))
    largest = tf.constant(tf.float32.max)
    return tf.argmin(tf.where(allowed, distances, largest), axis=1, output_type=tf.int32)


def random_negatives(allowed, seed) -> tf.Tensor:
    """Any allowed candidate, uniformly: int32[batch]. No mining, for comparison."""
    scores = draws.uniform(tf.shape(allowed), seed)
    return tf.argmax(tf.where(allowed, scores, -1.0), axis=1, output_type=tf.int32)
