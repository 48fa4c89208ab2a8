import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_triplet.embeddings import loudness

_ENERGIES = st.lists(st.floats(0, 1e3, width=32), min_size=1, max_size=12)


def test_a_worked_example():
    # The quietest has 1; 0.95 of it is taken from all: 0.05, 4.05, 9.05.
    roots = np.sqrt([0.05, 4.05, 9.05])

    np.testing.assert_allclose(loudness.loudness_of(np.array([1.0, 5.0, 10.0])), roots)
    np.testing.assert_allclose(
        loudness.shares_of(np.array([1.0, 5.0, 10.0])), roots / roots.sum(), rtol=1e-6
    )


def test_a_background_counts_for_less():
    sound = np.array([0.0, 4.0, 1.0, 0.0])

    before, after = (loudness.shares_of(energy) for energy in (sound, sound + 0.5))

    np.testing.assert_allclose(before, [0, 2 / 3, 1 / 3, 0], atol=1e-6)
    assert np.abs(after - before).max() < 0.07
    plain = np.sqrt(sound + 0.5)  # without a background the loudest loses three times as much
    assert np.abs(plain / plain.sum() - before).max() > 0.15


def test_a_steady_sound_counts_alike():
    np.testing.assert_allclose(loudness.shares_of(np.full(5, 0.3)), 0.2, rtol=1e-6)
    np.testing.assert_allclose(loudness.shares_of(np.zeros(4)), 0.25, rtol=1e-6)
    np.testing.assert_allclose(loudness.shares_of(np.full(4, np.nan)), 0.25, rtol=1e-6)


@given(_ENERGIES, st.floats(1e-2, 1e2))
def test_a_gain_changes_no_share(energies, gain):
    energy = np.array(energies)

    shares = loudness.shares_of(energy)

    assert np.isfinite(shares).all() and (shares >= 0).all()
    assert shares.sum() == pytest.approx(1.0, abs=1e-5)
    if energy.max() > 1e-3:
        np.testing.assert_allclose(loudness.shares_of(energy * gain), shares, atol=1e-4)


@given(st.lists(_ENERGIES, min_size=1, max_size=5))
def test_sounds_side_by_side_are_as_each_by_itself(sounds):
    lengths = np.array([len(sound) for sound in sounds])
    energy = np.concatenate(sounds)

    alone = np.concatenate([loudness.shares_of(np.array(sound)) for sound in sounds])

    np.testing.assert_allclose(loudness.shares_of(energy, lengths), alone, rtol=1e-6)
    owners = np.repeat(np.arange(len(sounds)), lengths)
    order = np.random.default_rng(0).permutation(len(energy))
    loud = loudness.loudness_of(energy, owners)
    np.testing.assert_array_equal(loudness.loudness_of(energy[order], owners[order]), loud[order])


def test_nothing_has_no_loudness():
    assert loudness.loudness_of(np.zeros(0)).shape == (0,)
    assert loudness.loudness_of(np.zeros(0), np.zeros(0, np.int32)).shape == (0,)
