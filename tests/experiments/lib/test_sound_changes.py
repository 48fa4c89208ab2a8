"""Changes of sound, against what their names promise."""

import os

import numpy as np
import pytest
import scipy.signal

from audio_triplet import audio
from experiments.lib import sound_changes
from experiments.lib.sound_changes import CHANGES, RATE

TIME = np.arange(2 * RATE) / RATE


def decibels(ratio):
    return 10 * np.log10(ratio)


def power(sound):
    return np.mean(sound**2)


def made(key, sound, other=None):
    random = np.random.default_rng(0)
    return CHANGES[key].make(sound, random, np.zeros(1) if other is None else other)


def test_loudness_is_a_gain():
    sound = np.sin(9 * TIME)
    change = sound_changes.louder(-20)
    np.testing.assert_allclose(change.make(sound, None, None), 0.1 * sound)
    assert change.title == "-20 dB"


@pytest.mark.parametrize(
    ("hertz", "low", "high"),
    [(50, -80, -40), (1000, -0.5, 0.5), (3000, -3, 0.5), (7000, -120, -40)],
)
def test_a_telephone_passes_its_band(hertz, low, high):
    sound = np.sin(2 * np.pi * hertz * TIME)
    changed = made("telephone", sound)
    assert changed.shape == sound.shape
    middle = slice(RATE // 2, -RATE // 2)
    assert low < decibels(power(changed[middle]) / power(sound[middle])) < high


def test_noise_is_ten_decibels_below_and_pink():
    sound = np.sin(2 * np.pi * 440 * TIME)
    noise = made("noise", sound) - sound
    assert decibels(power(sound) / power(noise)) == pytest.approx(10)
    hertz, density = scipy.signal.welch(noise, RATE, nperseg=8192)
    octaves = [(100, 200), (800, 1600), (6400, 12800)]
    powers = [density[(hertz >= low) & (hertz < high)].sum() for low, high in octaves]
    assert max(powers) < 1.5 * min(powers)
    assert (made("noise", 0 * sound) == 0).all()  # silence stays silence


def test_a_room_decays_by_60_decibels_in_its_time():
    click = np.zeros(2 * RATE)
    click[0] = 1.0
    heard = made("reverberation", click)
    assert power(heard) == pytest.approx(power(click))
    left = np.cumsum(heard[1:][::-1] ** 2)[::-1]  # Schroeder's integral
    after = decibels(left[[0, round(0.3 * RATE)]] / left[0])
    assert after[1] == pytest.approx(-30, abs=1.5)
    direct, tail = heard[0] ** 2, left[0]
    assert decibels(direct / tail) == pytest.approx(0, abs=0.5)


def test_a_second_sound_is_repeated_and_six_decibels_below():
    sound, other = np.sin(9 * TIME), np.random.default_rng(1).normal(size=1000)
    added = made("second_sound", sound, other) - sound
    assert decibels(power(sound) / power(added)) == pytest.approx(6)
    np.testing.assert_allclose(added[:1000], added[1000:2000], atol=1e-12)
    np.testing.assert_array_equal(made("second_sound", sound, np.zeros(5)), sound)


def test_mp3_is_written_at_its_rate_and_read_again(tmp_path):
    sound = 0.3 * np.sin(2 * np.pi * 500 * TIME * (1 + TIME))
    path = str(tmp_path / "sound.mp3")
    sound_changes.write(path, sound)
    assert os.path.getsize(path) == pytest.approx(2 * 64_000 / 8, rel=0.1)
    found = audio.load_audio(path, RATE)
    assert len(found) == pytest.approx(len(sound), abs=2400)
    lags = scipy.signal.correlate(found, sound, "full")
    overlap = lags.max() / np.sqrt(np.sum(found**2) * np.sum(sound**2))
    assert overlap > 0.98
    sound_changes.write(str(tmp_path / "loud.wav"), 5 * sound)  # no clipping
    assert np.abs(audio.load_audio(str(tmp_path / "loud.wav"), RATE)).max() > 1.4
