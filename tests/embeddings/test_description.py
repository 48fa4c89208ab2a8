"""Descriptions of segments, against NumPy on each segment by itself."""

import numpy as np
import pytest

from audio_triplet.embeddings import description

RNG = np.random.default_rng(0)


def by_hand(patches: np.ndarray, window: int = 5) -> np.ndarray:
    """Of one segment, from the definition."""
    parts = np.array_split(patches, -(-len(patches) // window))
    described = [np.concatenate([p.mean(0), p.std(0), p.max(0)]) for p in parts]
    return np.average(described, axis=0, weights=[len(part) for part in parts])


def segments(sizes, dim=6):
    """Random patches, and the segment of each."""
    vectors = RNG.normal(size=(sum(sizes), dim)).astype("f4")
    return vectors, np.repeat(np.arange(len(sizes)), sizes)


def test_descriptions_are_of_each_segment_by_itself():
    sizes = [1, 2, 5, 10, 3, 15]  # all divide evenly
    vectors, owner = segments(sizes)
    found = description.describe(vectors, owner, len(sizes))
    assert found.dtype == np.float32 and found.shape == (6, 18)
    expected = [by_hand(vectors[owner == number]) for number in range(len(sizes))]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    shuffled = RNG.permutation(len(sizes))  # segments in any order, their patches in that of time
    places = np.concatenate([np.flatnonzero(owner == number) for number in shuffled])
    again = description.describe(vectors[places], owner[places], len(sizes))
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("size", range(1, 24))
def test_windows_are_about_equally_long(size):
    """Each window has ⌊n/k⌋ or ⌈n/k⌉ patches: seen by maxima of a rising feature."""
    rising = np.arange(size, dtype="f4")[:, None] ** 2
    owner = np.zeros(size, int)
    found = description.describe(rising, owner, 1)[0]
    count = -(-size // 5)
    ends = [-(-(number + 1) * size // count) for number in range(count)]
    lengths = np.diff([0, *ends])
    assert set(lengths) <= {size // count, -(-size // count)} and lengths.max() <= 5
    parts = np.split(rising[:, 0], ends[:-1])
    expected = [np.average([f(part) for part in parts], weights=lengths) for f in FUNCTIONS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


FUNCTIONS = (np.mean, np.std, np.max)


def test_louder_patches_count_by_the_root_of_their_energy():
    vectors, owner = segments([3])
    found = description.describe(vectors, owner, 1, energy=np.array([4, 0, 36], "f4"))[0]
    # 2 and 6 of 8; what has no energy counts for nothing beside them, but for the maximum.
    mean = (vectors[0] + 3 * vectors[2]) / 4
    deviation = np.sqrt(((vectors[0] - mean) ** 2 + 3 * (vectors[2] - mean) ** 2) / 4)
    expected = np.concatenate([mean, deviation, vectors.max(axis=0)])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    alike = description.describe(vectors, owner, 1)
    for energy in (np.full(3, 7.0), np.full(3, np.nan), np.zeros(3)):
        again = description.describe(vectors, owner, 1, energy=energy)
        np.testing.assert_allclose(again, alike, atol=1e-6)


@pytest.mark.parametrize("window", [1, 3, 5, 100])
def test_louder_windows_count_more(window):
    vectors, owner = segments([7, 1, 23])
    energy = RNG.uniform(0, 1, 31) ** 4
    found = description.describe(vectors, owner, 3, window, energy)
    for number in range(3):
        mine = owner == number
        expected = np.average(vectors[mine], axis=0, weights=np.sqrt(energy[mine]))
        np.testing.assert_allclose(found[number, :6], expected, atol=1e-5)


def test_the_first_third_is_the_mean_whatever_the_windows():
    sizes = [7, 1, 23, 11]
    vectors, owner = segments(sizes)
    means = [vectors[owner == number].mean(axis=0) for number in range(4)]
    for window in (1, 3, 5, 100):
        found = description.describe(vectors, owner, 4, window)
        np.testing.assert_allclose(found[:, :6], means, atol=1e-6)
    whole = description.describe(vectors, owner, 4, 100)
    np.testing.assert_array_equal(whole[0, 12:], vectors[:7].max(axis=0))
    np.testing.assert_array_equal(
        description.describe(vectors, owner, 4, 1)[1], description.describe_patches(vectors[7:8])[0]
    )


def test_the_description_of_a_minute_is_like_that_of_five_seconds():
    """The greatest of 600 random numbers is greater than the of 5: windows hold it."""
    noise = RNG.normal(size=(600, 200)).astype("f4")
    pieces = description.describe(noise, np.arange(600) // 5, 120)
    whole = description.describe(noise, np.zeros(600, int), 1)
    np.testing.assert_allclose(whole[0], pieces.mean(axis=0), atol=1e-5)
    assert whole[0, 400:].mean() < 1.3 < noise.max(axis=0).mean()


def test_half_the_hop_is_twice_the_patches():
    assert [description.window_patches(hop) for hop in (0.96, 0.48, 0.32, 1.92, 10)] == [
        *(5, 10, 15),
        *(2, 1),
    ]


def test_what_is_learned_from_is_descriptions_and_audible_patches():
    sizes = [1, 3, 5, 12, 2]
    vectors, owner = segments(sizes)
    energy = np.ones(23, "f4")
    energy[[0, 2, 21, 22]] = 0  # one segment of one silent patch, one of two
    rows, of, weights, judged = description.to_learn_from(vectors, owner, 5, energy)
    described = description.describe(vectors, owner, 5, energy=energy)
    np.testing.assert_array_equal(rows[:5], described)
    np.testing.assert_array_equal(of[:5], np.arange(5))
    assert np.bincount(of[5:], minlength=5).tolist() == [0, 2, 5, 5, 0]
    alone = rows[5:]
    np.testing.assert_array_equal(alone[:, 6:12], 0)
    np.testing.assert_array_equal(alone[:, :6], alone[:, 12:])
    taken = [int(np.flatnonzero((vectors == row[:6]).all(axis=1))[0]) for row in alone]
    assert taken[:7] == [1, 3, 4, 5, 6, 7, 8]
    apart = np.diff(taken[7:])
    assert (owner[taken] == of[5:]).all() and set(apart) <= {2, 3}  # 12 patches, evenly
    assert judged.tolist() == [True] * 5 + [False] * 12
    np.testing.assert_allclose(np.bincount(of, weights), 6)  # long and short count alike
    assert weights[:5].tolist() == [6, 1, 1, 1, 6] and set(weights[5:7]) == {2.5}
    alike = description.to_learn_from(vectors, owner, 5, energy, by_loudness=False)
    np.testing.assert_array_equal(alike.rows[:5], description.describe(vectors, owner, 5))
    np.testing.assert_array_equal(alike.rows[5:], rows[5:])
    unknown = description.to_learn_from(vectors, owner, 5, np.full(23, np.nan))  # not silent
    assert np.bincount(unknown.owner[5:], minlength=5).tolist() == [0, 3, 5, 5, 2]
