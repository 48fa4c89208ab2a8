"""Excerpts: what is decoded, and what is heard of it."""

import io

import numpy as np
import pytest
import soundfile

from audio_triplet.errors import AudioError
from audio_triplet.web.excerpts import Excerpt, Quality, encode, read
from tests.web.page_checks import RATE, tone, write_wav


def test_read_takes_the_excerpt_and_no_more(tmp_path):
    waveform = np.concatenate([np.full(RATE, level) for level in (0.1, 0.2, 0.3, 0.4)])
    path = write_wav(tmp_path / "steps.wav", waveform)
    np.testing.assert_allclose(read(Excerpt(path, 1.0, 3.0)), waveform[RATE : 3 * RATE], atol=1e-6)
    assert len(read(Excerpt(path))) == 4 * RATE
    assert len(read(Excerpt(path, 2.5))) == 1.5 * RATE
    short = read(Excerpt(path), Quality(max_seconds=1.5))
    np.testing.assert_allclose(short, waveform[: round(1.5 * RATE)], atol=1e-6)
    with pytest.raises(AudioError, match="no sound at 9"):
        read(Excerpt(path, 9.0))


def test_loudest_part_is_found(tmp_path):
    waveform = 0.01 * np.ones(6 * RATE)
    waveform[3 * RATE : 4 * RATE] = 0.5
    path = write_wav(tmp_path / "burst.wav", waveform)
    found = read(Excerpt(path), Quality(max_seconds=1.0, loudest=True))
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def decoded(sound):
    waveform, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    assert rate == RATE and waveform.ndim == 1
    return waveform


@pytest.mark.parametrize("amplitude", [0.002, 0.05, 1.0, 4.0])
def test_encoded_sound_is_the_sound_at_an_even_level(amplitude):
    waveform = tone(440, 1.0, amplitude).astype(np.float32)
    before = waveform.copy()
    sound = encode(waveform, 0.9)
    np.testing.assert_array_equal(waveform, before)
    back = decoded(sound)
    assert abs(len(back) - RATE) < 0.2 * RATE  # codecs pad
    assert len(sound) < 6000
    middle = back[RATE // 4 : 3 * RATE // 4]
    expected = min(0.7, 8 * amplitude)
    assert 0.8 * expected < np.abs(middle).max() < min(1.0, 1.2 * expected)
    peak = np.argmax(np.abs(np.fft.rfft(middle))) * RATE / len(middle)
    assert abs(peak - 440) < 4


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_the_shortest_sounds_can_be_encoded(samples):
    assert decoded(encode(np.ones(samples, np.float32), 0.9)).size


def test_silence_stays_silent():
    assert np.abs(decoded(encode(np.zeros(RATE, np.float32), 0.9))).max() < 1e-4
