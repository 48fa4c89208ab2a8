"""Pairs of visits to chunks that share a label, a thousand visits at a time.

The same pairs, in the same order, as `sources.paired_by_label` finds visit by visit.
"""

from __future__ import annotations

import tensorflow as tf

from audio_triplet.data.sources import VisitOrder

_VISITS = 1024  # at a time


def pairs_of_visits(
    order: VisitOrder, labels: tf.Tensor, label_begin: tf.Tensor, seed: int, size: int
) -> tf.data.Dataset:
    """Pairs successive visits to a label (of a chunk with several labels, one is drawn).

    Args:
      order: Which chunk a visit goes to.
      labels: int64[…], the labels of all chunks, one after the other.
      label_begin: int64[chunks + 1], where those of a chunk begin.
      seed: Seed of the run.
      size: How many pairs in an element.

    Returns:
      Endless dataset of `handles` and `epochs` int64[size, 2], `label` int64[size].
    """

    def visited(block):
        visits = block * _VISITS + tf.range(_VISITS, dtype=tf.int64)
        handles, epochs = order.chunks_visited(seed, visits)
        begin = tf.gather(label_begin, handles)
        counts = tf.gather(label_begin, handles + 1) - begin
        # The handles of an epoch differ, the draw need not: it is only which of its labels.
        draws = tf.map_fn(
            lambda epoch: tf.random.stateless_uniform([], [seed, epoch], 0, 2**30, tf.int32),
            tf.range(epochs[0], epochs[-1] + 1),
            fn_output_signature=tf.int32,
        )
        drawn = tf.cast(tf.gather(draws, epochs - epochs[0]), tf.int64)
        places = begin + tf.math.floormod(drawn, tf.maximum(counts, 1))
        labelled = tf.where(counts > 0)[:, 0]
        handles, epochs, places = (tf.gather(x, labelled) for x in (handles, epochs, places))
        return handles, epochs, tf.gather(labels, places)

    nothing = tf.zeros([0], tf.int64)
    pairs = (
        tf.data.Dataset.range(tf.int64.max // _VISITS)
        .map(visited)
        .scan((nothing, nothing, nothing), pair_by_label)
    )
    return pairs.rebatch(size, drop_remainder=True)


def pair_by_label(waiting: tuple, visits: tuple) -> tuple[tuple, dict[str, tf.Tensor]]:
    """Pairs visits, each with the one before that has its label.

    Args:
      waiting: int64[n] handles, epochs and labels of visits without a partner; no label twice.
      visits: Those of the visits that follow, int64[m] each.

    Returns:
      Who waits now, and the pairs in the order of their second visits: `handles` and `epochs`
      int64[pairs, 2], `label` int64[pairs].
    """
    columns = [tf.concat(pair, axis=0) for pair in zip(waiting, visits, strict=True)]
    labels = columns[2]
    by_label = tf.argsort(labels, stable=True)
    sorted_labels = tf.gather(labels, by_label)
    count = tf.size(labels)
    differs = sorted_labels[1:] != sorted_labels[:-1]
    is_first = tf.concat([[True], differs], axis=0)[:count]
    is_last = tf.concat([differs, [True]], axis=0)[:count]
    number = tf.range(count)
    starts = tf.boolean_mask(number, is_first)
    rank = number - tf.gather(starts, tf.cumsum(tf.cast(is_first, tf.int32)) - 1)
    second = tf.where(rank % 2 == 1)[:, 0]  # places in `by_label`
    pairs = tf.stack([tf.gather(by_label, second - 1), tf.gather(by_label, second)], axis=1)
    pairs = tf.gather(pairs, tf.argsort(pairs[:, 1]))
    rest = tf.boolean_mask(by_label, is_last & (rank % 2 == 0))
    handles, epochs, labels = columns
    made = {
        "handles": tf.gather(handles, pairs),
        "epochs": tf.gather(epochs, pairs),
        "label": tf.gather(labels, pairs[:, 1]),
    }
    return tuple(tf.gather(column, rest) for column in columns), made
