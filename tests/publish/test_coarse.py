"""Vectors in 16 bytes each."""

import numpy as np

from audio_triplet.publish.coarse import CELLS, PIECES, Coarse


def _unit(random, *shape):
    found = random.normal(size=shape).astype("f4")
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def test_few_different_vectors_are_kept_as_they_are():
    random = np.random.default_rng(0)
    few = _unit(random, 40, 32)
    vectors = few[random.integers(0, 40, 900)]
    np.testing.assert_allclose(Coarse.of(vectors).vectors(), vectors, atol=1e-6)


def test_each_number_is_of_the_nearest_centre():
    vectors = _unit(np.random.default_rng(1), 1000, 32)
    found = Coarse.of(vectors)
    assert found.codes.shape == (1000, PIECES) and found.centres.shape == (PIECES, CELLS, 2)
    pieces = vectors.reshape(-1, PIECES, 2)
    for piece in (0, 7, 15):
        apart = pieces[:, piece, None] - found.centres[piece]
        best = (apart**2).sum(axis=2).min(axis=1)
        chosen = ((pieces[:, piece] - found.centres[piece][found.codes[:, piece]]) ** 2).sum(axis=1)
        np.testing.assert_allclose(chosen, best, atol=1e-6)


def test_centres_lie_well():
    """Less is lost than by as many points drawn by lot."""
    vectors = _unit(np.random.default_rng(2), 4000, 64)
    found = Coarse.of(vectors)
    drawn = vectors[:CELLS].reshape(CELLS, PIECES, 4).transpose(1, 0, 2)
    pieces = vectors.reshape(-1, PIECES, 4)
    lost = 0.0
    for piece in range(PIECES):
        apart = ((pieces[:, piece, None] - drawn[piece]) ** 2).sum(axis=2)
        lost += apart.min(axis=1).mean()
    assert ((found.vectors() - vectors) ** 2).sum(axis=1).mean() < 0.8 * lost


def test_the_same_vectors_give_the_same_codes():
    vectors = _unit(np.random.default_rng(4), 500, 32)
    first, second = Coarse.of(vectors), Coarse.of(vectors)
    np.testing.assert_array_equal(first.codes, second.codes)
