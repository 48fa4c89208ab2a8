"""Vectors of a large archive: in 16 bytes each, and in which order."""

import numpy as np

from audio_triplet.publish.archive import alike
from audio_triplet.publish.coarse import CELLS, PIECES, Coarse, centres_of, nearest_of


def _unit(random, *shape):
    found = random.normal(size=shape).astype("f4")
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def test_few_different_vectors_are_kept_as_they_are():
    random = np.random.default_rng(0)
    few = _unit(random, 40, 32)
    vectors = few[random.integers(0, 40, 900)]
    np.testing.assert_allclose(Coarse.of(vectors).vectors(), vectors, atol=1e-6)


def test_each_number_is_of_the_nearest():
    vectors = _unit(np.random.default_rng(1), 1000, 32)
    found = Coarse.of(vectors)
    assert found.codes.shape == (1000, PIECES) and found.centres.shape == (PIECES, CELLS, 2)
    landmarks = found.landmarks * found.scales[:, None]  # a 32th of the vectors
    assert len(landmarks) == 31 and found.nearest.max() < 31
    apart = ((vectors[:, None] - landmarks) ** 2).sum(axis=2)
    chosen = apart[np.arange(1000), found.nearest]
    np.testing.assert_allclose(chosen, apart.min(axis=1), atol=1e-6)
    pieces = (vectors - landmarks[found.nearest]).reshape(-1, PIECES, 2)
    for piece in (0, 7, 15):
        apart = ((pieces[:, piece, None] - found.centres[piece]) ** 2).sum(axis=2)
        chosen = apart[np.arange(1000), found.codes[:, piece]]
        np.testing.assert_allclose(chosen, apart.min(axis=1), atol=1e-6)


def test_centres_lie_well():
    """Less is lost than by as many points drawn by lot."""
    points = np.random.default_rng(2).normal(size=(4000, 4)).astype("f4")
    found = centres_of(points, CELLS, np.random.default_rng(3))

    def lost(centres):
        return ((points - centres[nearest_of(points, centres)]) ** 2).sum(axis=1).mean()

    assert lost(found) < 0.8 * lost(points[:CELLS])


def test_the_same_vectors_give_the_same_codes():
    vectors = _unit(np.random.default_rng(4), 500, 32)
    first, second = Coarse.of(vectors), Coarse.of(vectors)
    np.testing.assert_array_equal(first.nearest, second.nearest)
    np.testing.assert_array_equal(first.codes, second.codes)


def test_segments_that_are_alike_lie_together():
    """Three kinds of sound in turns: afterwards each lies in few stretches, segments whole."""
    random = np.random.default_rng(5)
    kinds = _unit(random, 3, 16)
    lengths = random.integers(1, 5, 300)
    owners = np.repeat(np.arange(300, dtype=np.uint32), lengths)
    vectors = kinds[owners % 3] + 0.02 * random.normal(size=(len(owners), 16)).astype("f4")
    order = alike(vectors, owners)
    assert sorted(order.tolist()) == list(range(len(owners)))
    ordered = owners[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    assert len(changes) == 299  # no segment is torn apart
    assert all((np.diff(part) == 1).all() for part in np.split(order, changes))
    # A few changes of kind for each of the nine landmarks, not one at each segment.
    assert (np.diff((ordered % 3).astype(int)) != 0).sum() < 30
