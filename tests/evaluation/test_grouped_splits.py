"""Parting segments for validation, never a recording."""

import numpy as np
import pytest

from audio_triplet.evaluation import grouped_splits


def test_whole_groups_and_an_equal_share_of_each_class_are_held_out():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), rng.integers(1, 4, 100))
    labels = np.eye(5, dtype=bool)[groups % 5]  # 20 groups per class
    held_out = grouped_splits.hold_out(labels, [f"r{g}" for g in groups], 0.2, seed=1)
    for group in range(100):
        assert len(set(held_out[groups == group])) == 1
    for column in range(5):
        of_class = set(groups[labels[:, column]])
        assert len(of_class & set(groups[held_out])) == 4


def test_several_labels_per_group_leave_every_class_something_to_train_on():
    rng = np.random.default_rng(1)
    labels = rng.random((300, 12)) < rng.uniform(0.02, 0.4, 12)
    held_out = grouped_splits.hold_out(labels, range(300), 0.25, seed=2)
    share = labels[held_out].sum(axis=0) / labels.sum(axis=0)
    assert (share < 1).all()
    assert 0.15 < held_out.mean() < 0.4
    assert (labels[held_out].sum(axis=0) >= np.floor(0.25 * labels.sum(axis=0))).all()


@pytest.mark.parametrize("clips", [1, 2, 4])
def test_nothing_is_held_out_of_too_few(clips):
    labels = np.repeat(np.eye(10, dtype=bool), clips, axis=0)
    assert not grouped_splits.hold_out(labels, range(len(labels)), 0.2, seed=0).any()


def test_the_hold_out_follows_its_seed():
    labels = np.repeat(np.eye(4, dtype=bool), 10, axis=0)
    one, same, other = (
        grouped_splits.hold_out(labels, range(40), 0.2, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
