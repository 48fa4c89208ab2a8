"""Scores of pairs, against exact arithmetic."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from audio_triplet.evaluation import cosines as cosines_module
from audio_triplet.evaluation.cosines import Cosines


@pytest.mark.parametrize(("low", "high", "dim"), [(-3, 3, 3), (0, 2, 4)])
def test_scores_order_and_tie_as_exact_arithmetic_does(low, high, dim):
    """Integer vectors, all pairs: equal cosines score equal, larger ones larger, no exception."""
    vectors = np.array(list(itertools.product(range(low, high + 1), repeat=dim)))
    scores = Cosines(vectors).rows(np.arange(len(vectors)))
    dots, squares = vectors @ vectors.T, (vectors**2).sum(axis=1)
    exact = {}  # sign(cos) cos^2, exactly -> the scores seen
    for i, j in itertools.product(range(len(vectors)), repeat=2):
        norm = int(squares[i] * squares[j])
        dot = int(dots[i, j])
        key = Fraction(dot * abs(dot), norm) if norm else Fraction(0)
        exact.setdefault(key, set()).add(int(scores[i, j]))
    assert all(len(seen) == 1 for seen in exact.values())
    ascending = [exact[key].pop() for key in sorted(exact)]
    assert all(a < b for a, b in itertools.pairwise(ascending))


def test_a_pair_has_one_score_in_whatever_block(monkeypatch):
    rng = np.random.default_rng(5)
    embeddings = rng.normal(size=(150, 513)).astype(np.float32)  # odd, and beyond a BLAS panel
    embeddings[75:] = embeddings[:75]
    cosines = Cosines(embeddings)
    everyone = np.arange(150)
    scores = cosines.rows(everyone)
    np.testing.assert_array_equal(scores, scores.T)
    np.testing.assert_array_equal(scores[:75], scores[75:])  # copies tie
    for row in (0, 1, 74, 149):
        np.testing.assert_array_equal(cosines.rows(np.array([row]))[0], scores[row])
        one = cosines.rows(np.array([row]), np.array([row // 2]))
        assert one[0, 0] == scores[row, row // 2]
    left, right = rng.integers(0, 150, (2, 1000))
    np.testing.assert_array_equal(cosines.pairs(left, right), scores[left, right])
    monkeypatch.setattr(cosines_module, "TILE_ROWS", 11)
    cosines.tabulate()
    np.testing.assert_array_equal(cosines.rows(everyone), scores)


def test_sums_are_exact():
    """The promise behind the scores: no product of the fixed-point halves is ever rounded."""
    rng = np.random.default_rng(6)
    spread = rng.normal(size=(4, 200)) * 10.0 ** rng.integers(-6, 1, (4, 200))
    cosines = Cosines(np.concatenate([spread, np.ones((1, 200))]))
    high, low = cosines._high, cosines._low
    for left, right in ((high, high), (high, low)):
        product = left @ right.T
        for i, j in itertools.product(range(5), repeat=2):
            exact = sum(Fraction(x) * Fraction(y) for x, y in zip(left[i], right[j], strict=True))
            assert Fraction(product[i, j]) == exact
