"""Every pair by tiles and compiled loops, against one table of scores and NumPy."""

import numpy as np
import pytest

from audio_triplet.evaluation import all_pairs, loops, retrieval
from tests.evaluation.test_retrieval import corpus, pair_loop


@pytest.mark.parametrize("with_groups", [False, True])
@pytest.mark.parametrize("small", [False, True])
def test_tiles_change_no_bit(monkeypatch, with_groups, small):
    embeddings, labels, groups = corpus(seed=1, segments=150, classes=6)
    embeddings[70:90] = embeddings[:20]  # ties
    labels[:, 3] = True  # no others
    labels[:, 4] = False  # nothing at all
    labels[:, 5] = np.arange(150) == 149  # no target
    groups = groups if with_groups else None
    expected = retrieval.query_by_example_map(embeddings, labels, groups)
    monkeypatch.setattr(retrieval, "_TABLE_SEGMENTS", 0)
    if small:
        # Tiles of 46 rows, of several blocks with ragged ends, and rough orders.
        monkeypatch.setattr(all_pairs, "TILE_SCORES", 7_000)
        monkeypatch.setattr(all_pairs, "BLOCK_ROWS", 20)
        monkeypatch.setattr(all_pairs, "BLOCK_COLUMNS", 33)
        monkeypatch.setattr(all_pairs, "NEAR", 300)
        monkeypatch.setattr(all_pairs, "NEAR_BITS", 4)
        monkeypatch.setattr(all_pairs, "TABLE_BITS", 6)
    actual = retrieval.query_by_example_map(embeddings, labels, groups, workers=2)
    np.testing.assert_array_equal(actual.per_class, expected.per_class)
    np.testing.assert_array_equal(actual.target_pairs, expected.target_pairs)
    np.testing.assert_array_equal(actual.non_target_pairs, expected.non_target_pairs)


def test_tiles_equal_the_pair_loop(monkeypatch):
    monkeypatch.setattr(retrieval, "_TABLE_SEGMENTS", 0)
    embeddings, labels, groups = corpus(seed=0)
    result = retrieval.query_by_example_map(embeddings, labels, groups)
    precision, targets, others = pair_loop(embeddings, labels, groups)
    np.testing.assert_allclose(result.per_class, precision, atol=1e-9)
    np.testing.assert_array_equal(result.target_pairs, targets)
    np.testing.assert_array_equal(result.non_target_pairs, others)


def test_equal_embeddings_by_tiles(monkeypatch):
    monkeypatch.setattr(retrieval, "_TABLE_SEGMENTS", 0)
    labels = np.random.default_rng(3).random((40, 3)) < 0.4
    result = retrieval.query_by_example_map(np.ones((40, 5)), labels)
    np.testing.assert_allclose(result.per_class, result.chance, rtol=1e-15)


@pytest.mark.parametrize(
    ("spread", "shift"), [(1, 0), (30, 0), (30, 3), (2**20, 3), (2**20, 20), (2**28, 14)]
)
def test_counting_equals_sorting(spread, shift):
    rng = np.random.default_rng(spread)
    draw = lambda size: (rng.normal(2**30, spread, size)).astype(np.uint32)  # noqa: E731
    targets = np.sort(draw(500))
    thresholds, repeats = loops.distinct(targets)
    np.testing.assert_array_equal(thresholds[:-1], np.unique(targets))
    np.testing.assert_array_equal(repeats, np.unique(targets, return_counts=True)[1])
    lines = draw((4, 1000))
    lines[1, ::3] = 0  # excluded
    lines[2, ::5] = rng.choice(targets, 200)
    chosen = np.array([0, 1, 2])
    counts = np.zeros(len(thresholds), np.uint32)
    loops.count(lines, chosen, thresholds, loops.table(thresholds, shift), shift, counts)
    ordered = np.sort(lines[chosen], axis=None)
    expected = 3000 - np.searchsorted(ordered, thresholds[:-1])
    np.testing.assert_array_equal(np.cumsum(counts[::-1])[::-1][1:], expected)
    rough = np.empty(3000, np.uint32)
    loops.put_in_rough_order(lines, chosen, int(thresholds[0]), max(shift, 18), 5, rough)
    np.testing.assert_array_equal(np.sort(rough), ordered)
