import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import augment, features, front_end
from audio_triplet.config import COMBINED, TripletConfig
from tests.batches import make_triplets

SEED = (3, 4)
STILL = TripletConfig(
    constraints=COMBINED,
    augment_alpha=0,
    augment_sigma=0,
    augment_equaliser=0,
    augment_gain=0,
    augment_zoom=0,
)


def energies(batch=5, seed=0):
    return np.random.default_rng(seed).gamma(1.0, 1.0, [batch, 96, 64]).astype("f4")


def test_amounts_of_zero_leave_a_patch_as_it_is():
    x = energies()
    np.testing.assert_allclose(augment.augment(x, energies(seed=1), SEED, STILL), x, rtol=1e-6)


def test_the_seed_decides_and_examples_differ():
    x = np.repeat(energies(1), 4, axis=0)
    config = TripletConfig(constraints=COMBINED)
    first, again, other = (
        augment.augment(x, energies(4, 1), seed, config).numpy() for seed in (SEED, SEED, (3, 5))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other) and not np.allclose(first[0], first[1])
    assert first.dtype == np.float32 and first.shape == x.shape
    assert (first >= 0).all() and np.isfinite(first).all()


def test_equaliser_is_one_smooth_curve_over_the_bands():
    x = energies()
    gain = augment.equalise(x, SEED, 0.5).numpy() / x
    np.testing.assert_allclose(gain, gain[:, :1] * np.ones_like(gain), rtol=1e-4)  # not over time
    logs = np.log(gain[:, 0])  # [batch, mels]
    bend = np.abs(np.diff(logs, 2, axis=1))
    # Linear between six points: bends at (up to) two bands around each of the four inner ones.
    assert ((bend > 1e-4).sum(axis=1) <= 8).all()
    many = np.log(augment.equalise(np.ones([4000, 1, 64], "f4"), SEED, 0.5).numpy()[:, 0])
    np.testing.assert_allclose(many[:, [0, 63]].std(axis=0), 0.5, rtol=0.05)


def test_amplifier_is_one_gain():
    x = energies(2000)
    gain = augment.amplify(x, SEED, 0.5).numpy() / x
    np.testing.assert_allclose(gain, gain[:, :1, :1] * np.ones_like(gain), rtol=1e-5)
    np.testing.assert_allclose(np.log(gain[:, 0, 0]).std(), 0.5, rtol=0.05)


def test_zoom_of_a_ramp_is_a_ramp():
    """A window on a log mel that rises evenly in time sees an even rise, of the window's size."""
    rise = np.linspace(0, 4, 96)[None, :, None] * np.ones([300, 1, 64])
    x = (np.exp(rise) - features.DEFAULT.log_offset).astype("f4")
    seen = features.log_mel(augment.zoom(x, SEED, 0.5)).numpy()
    slope = np.diff(seen, axis=1)[:, :, 32]
    inside = (seen[:, 1:, 32] > -4) & (seen[:, :-1, 32] > -4)  # not in the silence around
    sizes = []
    for rise, keep in zip(slope, inside, strict=True):
        if keep.sum() > 3:
            np.testing.assert_allclose(rise[keep][1:-1], np.median(rise[keep]), atol=2e-3)
            sizes.append(np.median(rise[keep]) / (4 / 95))
    # Uniform logarithm between -0.5 and 0.25.
    assert min(sizes) > np.exp(-0.5) - 0.01 and max(sizes) < np.exp(0.25) + 0.01
    np.testing.assert_allclose(np.mean(np.log(sizes)), -0.125, atol=0.04)


def test_zoom_equals_tensorflows_crop_and_resize():
    x = energies(40)
    draws = tf.random.stateless_uniform([40, 4], SEED).numpy()
    size = np.exp(0.5 * (1.5 * draws[:, :2] - 1.0))
    begin = (1 - size) * draws[:, 2:]
    silence = float(np.log(0.01))
    expected = tf.image.crop_and_resize(
        np.log(x + 0.01)[..., None],
        np.concatenate([begin, begin + size], axis=1),
        np.arange(40),
        [96, 64],
        extrapolation_value=silence,
    ).numpy()[..., 0]
    found = np.log(augment.zoom(x, SEED, 0.5).numpy() + 0.01)
    # At the very border rounding decides whether a position is inside.
    assert (np.abs(found - expected) > 1e-3).mean() < 1e-3


def test_zoom_keeps_silence_silent_and_surrounds_with_it():
    assert (augment.zoom(np.zeros([3, 96, 64], "f4"), SEED, 0.5).numpy() < 1e-6).all()
    seen = augment.zoom(np.full([200, 96, 64], 5.0, "f4"), SEED, 0.5).numpy()
    np.testing.assert_allclose(seen[seen > 4.99], 5.0, rtol=1e-4)
    assert (seen < 1e-6).any()


def test_reverberation_of_a_click_decays_by_60_db_in_its_time():
    click = np.zeros([200, 96, 64], "f4")
    click[:, 10] = 2.0
    power = augment.reverberate(click, SEED).numpy()[:, :, 0] ** 2  # [batch, frames]
    assert (power[:, :10] == 0).all()
    tail = power[:, 11:40]
    falls = -np.diff(10 * np.log10(tail), axis=1)  # dB a frame
    np.testing.assert_allclose(falls, falls[:, :1] * np.ones_like(falls), rtol=1e-2)
    seconds = 60 / falls[:, 0] * 0.01
    assert 0.1 <= seconds.min() < 0.13 and 1.0 < seconds.max() <= 1.21
    # All of the tail, summed as a geometric series, against the click itself.
    added = tail[:, 0] / (1 - 10 ** (-falls[:, 0] / 10)) / power[:, 10]
    direct = -10 * np.log10(added)
    assert -3.01 < direct.min() < -2 and 11 < direct.max() < 12.01


def test_reverberation_keeps_the_energy_of_a_steady_sound():
    steady = augment.reverberate(np.full([50, 96, 64], 3.0, "f4"), SEED).numpy()
    assert (steady <= 3.0001).all()
    np.testing.assert_allclose(steady[:, -1].max(axis=1), 3.0, rtol=0.05)


def test_added_noise_is_some_decibels_below_and_falls_with_frequency():
    x = np.full([400, 96, 64], 2.0, "f4")
    noise = augment.add_noise(x, SEED).numpy().astype("f8") ** 2 - 4.0  # power
    below = -10 * np.log10(noise.mean(axis=(1, 2)) / 4.0)
    assert 2.9 < below.min() < 4 and 38 < below.max() < 40.2
    hertz = np.linspace(0, 8000, 257)[1:]
    centres = (hertz[:, None] * front_end.mel_weights()[1:]).sum(0) / front_end.mel_weights().sum(0)
    loud = below < 20  # where rounding of the difference says nothing
    level = 10 * np.log10(noise[loud].mean(axis=1) / front_end.mel_weights().sum(0) ** 2)
    slopes = [-np.polyfit(20 * np.log10(centres), of_bands, 1)[0] for of_bands in level]
    assert -0.3 < min(slopes) < -0.1 and 0.85 < max(slopes) < 1.05


def test_added_noise_varies_as_the_front_end_has_it_of_noise():
    real = front_end.mel_energies_numpy(np.random.default_rng(0).normal(size=320_000).astype("f4"))
    silent = np.full([300, 96, 64], 1e-3, "f4")  # nearly: noise is relative to a patch's power
    made = np.sqrt(np.maximum(0, augment.add_noise(silent, SEED).numpy().astype("f8") ** 2 - 1e-6))
    loud = made.mean(axis=(1, 2)) > 3e-4
    spread = (made[loud].std(axis=1) / made[loud].mean(axis=1)).mean(axis=0)  # [mels]
    np.testing.assert_allclose(spread, real.std(0) / real.mean(0), rtol=0.25)


def test_narrow_bands_are_cut_at_both_ends_only():
    gains = augment.limit_band(np.ones([300, 96, 64], "f4"), SEED).numpy()
    assert (gains == gains[:, :1]).all()
    decibels = -20 * np.log10(gains[:, 0])
    assert decibels.min() > -1e-4 and decibels.max() < 60.001
    assert (decibels[:, 12:36] < 1e-4).all() and (decibels[:, 0] > 6).any()
    assert (np.diff(decibels[:, :12]) < 1e-4).all() and (np.diff(decibels[:, 36:]) > -1e-4).all()


@pytest.mark.parametrize("name", ["augment_room", "augment_background", "augment_band"])
def test_a_share_of_the_patches_is_changed(name):
    x = energies(400)
    config = dataclasses.replace(STILL, **{name: 0.3})
    seen = augment.augment(x, np.zeros_like(x), SEED, config).numpy()
    changed = (np.abs(seen / x - 1) > 1e-5).any(axis=(1, 2))
    assert 0.2 < changed.mean() < 0.4
    assert np.isfinite(seen).all() and (seen >= 0).all()


def test_pairs_are_mixed_with_other_recordings_only():
    """One recording is loud, the other silent: of two, each gets the other mixed in or nothing."""
    config = dataclasses.replace(STILL, augment_alpha=0.4)
    x = energies(4)
    batch = {
        "anchor": x,
        "positive": x + 1,
        "recording": np.array([1, 1, 1, 1]),
        "drawn": np.ones(4, bool),
    }
    alone = augment.augment_pairs(batch, SEED, config)
    np.testing.assert_allclose(alone["anchor"], x, rtol=1e-6)
    mixed = augment.augment_pairs(batch | {"recording": np.array([1, 2, 3, 4])}, SEED, config)
    for name in ("anchor", "positive"):
        added = mixed[name].numpy().sum(axis=(1, 2)) / np.asarray(batch[name]).sum(axis=(1, 2)) - 1
        assert (added > 0).all() and (added < 0.4).all()
    assert mixed["recording"] is not None


def test_combined_pairs_are_neighbours_or_the_patch_itself():
    x, near = energies(4), energies(4, 1)
    draws = {
        "anchor": tf.constant(x),
        "neighbour": tf.constant(near),
        "has_neighbour": tf.constant([True, False, True, True]),
        "drawn": tf.constant([True, True, False, True]),
        "recording": tf.constant([1, 2, 3, 4], tf.int64),
    }
    made = make_triplets(draws, SEED, TripletConfig(constraints=COMBINED))
    kept = {
        tuple(a.flatten()[:3]): p
        for a, p in zip(made["anchor"].numpy(), made["positive"].numpy(), strict=True)
    }
    for number, positive in enumerate((near[0], x[1], near[2], near[3])):
        np.testing.assert_array_equal(kept[tuple(x[number].flatten()[:3])], positive)
    assert sorted(made["valid"].numpy()) == [False, True, True, True]
    assert (made["negative"].numpy() == -1).all()


@pytest.mark.parametrize("name", ["alpha", "sigma", "equaliser", "gain", "zoom"])
def test_negative_amounts_are_refused(name):
    with pytest.raises(ValueError, match=f"augment_{name}=-0.1 is negative"):
        TripletConfig(**{f"augment_{name}": -0.1})
