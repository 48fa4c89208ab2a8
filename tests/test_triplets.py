import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audio_triplet import triplets
from audio_triplet.config import CONSTRAINTS, TripletConfig
from tests.batches import make_triplets


def patches(batch=4, seed=0, high=5.0):
    return np.random.default_rng(seed).uniform(0.1, high, size=(batch, 96, 64)).astype("f4")


seeds = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))


@settings(deadline=None, max_examples=15)
@given(seed=seeds, sigma=st.floats(0, 3))
def test_noise_never_lowers_a_cell(seed, sigma):
    x = patches()
    y = triplets.gaussian_noise(x, seed, sigma).numpy()
    assert (y >= x).all()
    np.testing.assert_array_equal(y, triplets.gaussian_noise(x, seed, sigma))


def test_noise_is_half_normal_of_sigma():
    factor = triplets.gaussian_noise(np.ones((50, 96, 64), "f4"), [1, 2], 0.5).numpy() - 1
    # |N(0, σ²)| has mean σ√(2/π) and second moment σ².
    assert factor.mean() == pytest.approx(0.5 * np.sqrt(2 / np.pi), abs=2e-3)
    assert (factor**2).mean() == pytest.approx(0.25, abs=2e-3)
    assert np.abs(np.corrcoef(factor[:2].reshape(2, -1))[0, 1]) < 0.05  # each patch its own


def test_half_normal_follows_its_distribution():
    """Kolmogorov and Smirnov's distance to |N(0, 1)|, in the whole and in the tail."""
    drawn = triplets.half_normal(200_001, [3, 4]).numpy().astype("f8")
    assert drawn.shape == (200_001,) and drawn.min() >= 0
    assert stats.kstest(drawn, stats.halfnorm.cdf).pvalue > 1e-3
    beyond = 200_001 * 2 * stats.norm.sf(3.5)  # 93 expected, standard deviation 10
    assert abs((drawn > 3.5).sum() - beyond) < 4 * np.sqrt(beyond)
    half = len(drawn) // 2  # the two of a pair are independent
    assert abs(stats.spearmanr(drawn[:half], drawn[half + 1 :])[0]) < 4 / np.sqrt(half)


@settings(deadline=None, max_examples=20)
@given(seed=seeds, most=st.integers(0, 64))
def test_translation_moves_bands_whole(seed, most):
    x = patches(3)
    y = triplets.translate(x, seed, most).numpy()
    for before, after in zip(x, y, strict=True):
        shifts = [
            s
            for s in range(-most, most + 1)
            if all(
                np.array_equal(np.sort(after[:, band]), np.sort(before[:, band - s]))
                if 0 <= band - s < 64
                else not after[:, band].any()
                for band in range(64)
            )
        ]
        assert len(shifts) >= 1  # 64: everything is vacated, whichever the shift
        moved = before if shifts[0] == 0 else None
        if moved is not None:
            rolls = [k for k in range(96) if np.array_equal(np.roll(before, k, 0), after)]
            assert len(rolls) == 1


@pytest.mark.slow
def test_translation_draws_every_shift_evenly():
    # Band 32, frame 0 alone has energy: its new position tells both shifts.
    x = np.zeros((6000, 96, 64), "f4")
    x[:, 0, 32] = 1
    y = triplets.translate(x, [3, 4], 10).numpy()
    _, frames, bands = np.nonzero(y)
    assert len(frames) == 6000
    by_band = np.bincount(bands - 22, minlength=21)
    assert len(by_band) == 21 and by_band.min() > 200  # 286 expected, standard deviation 17
    by_frame = np.bincount(frames, minlength=96)
    assert len(by_frame) == 96 and by_frame.min() > 25  # 62 expected, standard deviation 8
    assert np.abs(np.corrcoef(frames, bands)[0, 1]) < 0.05


@settings(deadline=None, max_examples=15)
@given(alpha=st.floats(0.01, 4), loud=st.floats(1e-6, 1e6), quiet=st.floats(1e-6, 1e6))
def test_mixed_in_part_has_alpha_of_the_anchors_energy(alpha, loud, quiet):
    anchor, other = patches(3, 1) * np.float32(loud), patches(3, 2) * np.float32(quiet)
    mixed_in = triplets.mix(np.zeros_like(anchor) + anchor, other, alpha).numpy() - anchor
    energy = anchor.sum((1, 2), dtype=np.float64)
    np.testing.assert_allclose(mixed_in.sum((1, 2), dtype=np.float64), alpha * energy, rtol=1e-3)
    shape = mixed_in / mixed_in.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(
        shape, other / other.sum((1, 2), keepdims=True), atol=1e-4 * shape.max()
    )


def test_mix_by_hand():
    # E(a) = 8, E(n) = 4: 0.25 · 8 / 4 = 0.5 of n is added.
    mixed = triplets.mix([[[2.0, 6.0]]], [[[4.0, 0.0]]], 0.25)
    np.testing.assert_allclose(mixed, [[[4.0, 6.0]]])


@pytest.mark.parametrize("scale", [0.0, 1e-38, 1e30])
def test_mix_is_finite_for_silence_and_extremes(scale):
    x = patches(2)
    for anchor, other in ((x, x * np.float32(scale)), (x * np.float32(scale), x)):
        mixed = triplets.mix(anchor, other).numpy()
        # Denormal energies (below 1.2e-38) may be flushed to zero.
        assert np.isfinite(mixed).all() and (mixed >= anchor - 1.2e-38).all()
    np.testing.assert_array_equal(triplets.mix(x, np.zeros_like(x)), x)


def draws(batch, recordings=None, neighbours=None, drawn=None):
    energies = patches(batch, 7)
    return {
        "anchor": tf.constant(energies),
        "neighbour": tf.constant(patches(batch, 8)),
        "has_neighbour": tf.constant(np.ones(batch, bool) if neighbours is None else neighbours),
        "drawn": tf.constant(np.ones(batch, bool) if drawn is None else drawn),
        "recording": tf.constant(np.arange(batch) if recordings is None else recordings, tf.int64),
    }


@settings(deadline=None, max_examples=30)
@given(batch=st.integers(2, 200))
def test_joint_shares_are_equal(batch):
    counts = np.bincount(triplets.pattern(TripletConfig(), batch), minlength=4)
    assert counts.sum() == batch and counts.max() - counts.min() <= 1
    half = np.bincount(triplets.pattern(TripletConfig(), batch)[: batch // 2], minlength=4)
    assert np.abs(half - batch / 8).max() <= 1.5  # replicas get their part of each


def test_shares_follow_the_weights():
    config = TripletConfig(shares=(0, 1, 2, 5))
    np.testing.assert_array_equal(
        np.bincount(triplets.pattern(config, 16), minlength=4), [0, 2, 4, 10]
    )


@pytest.mark.parametrize("constraints", [*CONSTRAINTS, "joint"])
def test_make_triplets_applies_each_constraint_in_its_positions(constraints):
    config = TripletConfig(constraints=constraints)
    batch = make_triplets(draws(32), [1, 2], config)
    assert batch["valid"].numpy().all()
    anchor, positive = batch["anchor"].numpy(), batch["positive"].numpy()
    by_recording = dict(zip(range(32), patches(32, 8), strict=True))
    for position, constraint in enumerate(batch["constraint"].numpy()):
        name = CONSTRAINTS[constraint]
        if constraints != "joint":
            assert name == constraints
        partner = batch["negative"].numpy()[position]
        if name == "gaussian_noise":
            assert (positive[position] > anchor[position]).mean() > 0.99
        elif name == "mixing":
            assert partner != position and partner >= 0
            expected = triplets.mix(anchor[position][None], anchor[partner][None], 0.25)[0]
            np.testing.assert_allclose(positive[position], expected, rtol=1e-5)
        elif name == "proximity":
            recording = batch["recording"].numpy()[position]
            np.testing.assert_array_equal(positive[position], by_recording[recording])
        if name != "mixing":
            assert partner == -1


def test_anchors_with_neighbours_go_to_proximity():
    neighbours = np.zeros(16, bool)
    neighbours[[3, 5, 7, 11]] = True
    batch = make_triplets(draws(16, neighbours=neighbours), [1, 2], TripletConfig())
    assert batch["valid"].numpy().all()
    near = batch["constraint"].numpy() == CONSTRAINTS.index("proximity")
    assert set(batch["recording"].numpy()[near]) == {3, 5, 7, 11}


def test_what_cannot_be_made_is_not_valid():
    neighbours = np.zeros(8, bool)
    drawn = np.arange(8) != 2
    batch = make_triplets(draws(8, np.zeros(8), neighbours, drawn), [1, 2], TripletConfig())
    for constraint, valid, was_drawn in zip(
        batch["constraint"].numpy(), batch["valid"].numpy(), batch["drawn"].numpy(), strict=True
    ):
        # One recording only: no partner to mix; no neighbour: no proximity.
        assert valid == (was_drawn and CONSTRAINTS[constraint] in ("gaussian_noise", "translation"))


def test_mixing_partner_is_audible_and_of_another_recording():
    recording = tf.constant([1, 1, 2, 2, 3, 3], tf.int64)
    drawn = tf.constant([True, True, False, True, True, True])
    seen = set()
    for seed in range(60):
        partner, found = triplets.mixing_partners(recording, drawn, [seed, 0])
        assert found.numpy().tolist() == drawn.numpy().tolist()
        for position in np.flatnonzero(drawn):
            assert recording[partner[position]] != recording[position] and drawn[partner[position]]
            seen.add((position, int(partner[position])))
    assert len(seen) == 3 + 3 + 4 + 3 + 3  # every allowed pair comes up
    for position in range(6):
        partner, found = triplets.mixing_partners(recording, drawn, [7, 0], [position])
        assert bool(found[0]) == bool(drawn[position])
        assert not found[0] or (position, int(partner[0])) in seen


def test_unknown_constraint_is_refused():
    with pytest.raises(ValueError, match="choose from joint"):
        TripletConfig(constraints="mixin")
