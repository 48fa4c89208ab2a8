import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_triplet.embeddings import loudness

_ENERGIES = st.lists(st.floats(0, 1e3, width=32), min_size=1, max_size=12)


def test_shares_by_hand():
    alone = loudness.shares_of(np.array([4.0, 1.0, 0.0]))
    np.testing.assert_allclose(alone, [2 / 3, 1 / 3, 0], atol=1e-6)
    both = loudness.shares_of(np.array([4.0, 1.0, 9.0, np.nan]), np.array([2, 2]))
    np.testing.assert_allclose(both, [2 / 3, 1 / 3, 3 / 4, 1 / 4], rtol=1e-6)


def test_what_is_above_a_background_by_hand():
    energy = np.array([1.0, 5.0, 10.0, 2.0, 2.0])
    found = loudness.above_background(energy, np.array([3, 2]))
    np.testing.assert_allclose(found, [0.05, 4.05, 9.05, 0.1, 0.1])


def test_a_background_takes_less_from_what_stands_out_of_it():
    sound = np.array([0.0, 4.0, 1.0, 0.0])
    lengths = np.array([4])

    before, noisy = loudness.shares_of(sound), loudness.shares_of(sound + 0.5)
    found = loudness.shares_of(loudness.above_background(sound + 0.5, lengths))

    assert np.abs(found - before).max() < 0.07
    assert np.abs(noisy - before).max() > 0.2


@pytest.mark.parametrize("value", [0.3, 0.0, np.nan])
def test_a_steady_sound_counts_alike(value):
    found = loudness.above_background(np.full(5, value), np.array([3, 2]))
    shares = loudness.shares_of(found, np.array([3, 2]))
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2], rtol=1e-6)


@given(st.lists(_ENERGIES, min_size=1, max_size=5))
def test_sounds_side_by_side_are_as_each_by_itself(sounds):
    lengths = np.array([len(sound) for sound in sounds])
    found = loudness.above_background(np.concatenate(sounds), lengths)
    alone = [loudness.above_background(np.array(s), np.array([len(s)])) for s in sounds]
    np.testing.assert_array_equal(found, np.concatenate(alone))
    assert (found >= 0).all()
