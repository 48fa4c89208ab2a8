import numpy as np
import tensorflow as tf

from audio_triplet.data import pairing, sources


def one_by_one(visits):
    """The pairs of (handle, epoch, label), by a dictionary."""
    waiting, pairs = {}, []
    for handle, epoch, label in visits:
        if label in waiting:
            other = waiting.pop(label)
            pairs.append([other[0], handle, other[1], epoch, label])
        else:
            waiting[label] = handle, epoch
    return pairs, waiting


def test_blocks_of_visits_are_paired_as_one_by_one():
    rng = np.random.default_rng(0)
    blocks = [rng.integers(0, 9, (n, 3)) for n in (40, 0, 1, 25, 3)]
    step = tf.function(pairing.pair_by_label)
    waiting, found = (tf.zeros([0], tf.int64),) * 3, []
    for block in [np.zeros((0, 3), np.int64), *blocks]:
        waiting, made = step(waiting, tuple(tf.constant(column) for column in block.T))
        columns = made["handles"], made["epochs"], made["label"][:, None]
        found += np.concatenate(columns, axis=1).tolist()
    expected, rest = one_by_one(np.concatenate(blocks).tolist())
    assert found == expected and len(expected) > 25
    handles, epochs, labels = (column.numpy().tolist() for column in waiting)
    assert dict(zip(labels, zip(handles, epochs, strict=True), strict=True)) == rest


def test_pairs_are_those_of_every_visit_in_turn():
    """Recordings of one to three chunks, of none to three labels; more visits than in a block."""
    rng = np.random.default_rng(1)
    count = rng.integers(1, 4, 30)
    order = sources.VisitOrder(np.cumsum(count) - count, count, rng.integers(0, 999, 30))
    of_chunk = [rng.choice(5, rng.integers(0, 4), replace=False) for _ in range(count.sum())]
    begin = np.cumsum([0, *map(len, of_chunk)])
    labels = tf.constant(np.concatenate(of_chunk))
    pairs = pairing.pairs_of_visits(order, labels, tf.constant(begin), 7, 8)
    found = list(pairs.take(100).as_numpy_iterator())
    visited = order.from_visit(7, 0)
    one_label = tf.constant(begin)
    expected = sources.paired_by_label(
        visited, lambda handle: labels[one_label[handle] : one_label[handle + 1]], 7
    )
    expected = list(expected.batch(8).take(100).as_numpy_iterator())
    for pair, (handles, epochs, label) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(pair["handles"], handles)
        np.testing.assert_array_equal(pair["epochs"], epochs)
        np.testing.assert_array_equal(pair["label"], label[:, 0])
    assert found[-1]["epochs"].max() > 60
