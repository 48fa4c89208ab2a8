"""The mean of the channels that carry sound: one rule for the whole file and its pieces."""

import io

import numpy as np
import pytest

from audio_triplet import audio
from audio_triplet.audio import channels
from audio_triplet.embeddings.sounds import open_sound
from tests.audio.sounds import encode, pulsing_noise, saved
from tests.audio.test_pyav import made


def with_silence(mono, count, carrying):
    """float[frames, count] with the sound in some channels."""
    sound = np.zeros((len(mono), count))
    sound[:, carrying] = mono
    return sound


@pytest.mark.parametrize(
    ("file_format", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", None),
        ("OGG", "OPUS", None),
        ("MP3", "MPEG_LAYER_III", None),
    ],
)
def test_a_dead_channel_does_not_halve_the_level(tmp_path, file_format, subtype, tolerance):
    mono = 0.3 * pulsing_noise(8.0, 48_000)
    data = encode(with_silence(mono, 2, [1]), 48_000, file_format, subtype)
    path = saved(tmp_path, data)
    found = audio.load_audio(path, 48_000)
    assert np.std(found) == pytest.approx(np.std(mono), rel=0.2)
    if tolerance:
        np.testing.assert_allclose(found, mono[:, 0], atol=tolerance)
    channels._known.clear()
    for start in (0.0, 1.3, 4.7, 7.9):  # the first also without what is remembered
        piece = audio.read_piece(path, start, 0.5, 48_000)
        first = round(start * 48_000)
        np.testing.assert_allclose(piece, found[first : first + 24_000], atol=2e-3)


def test_two_of_eight(tmp_path):
    mono = 0.3 * pulsing_noise(3.0, 48_000)
    path = saved(tmp_path, encode(with_silence(mono, 8, [2, 5]), 48_000, "WAV"))
    np.testing.assert_allclose(audio.load_audio(path, 48_000), mono[:, 0], atol=1e-4)


def test_a_dead_channel_of_an_m4a(tmp_path):
    mono = 0.3 * pulsing_noise(6.0, 44_100)
    data = made(with_silence(mono, 2, [0]), "ipod", "aac", 44_100)
    path = saved(tmp_path, data, "memo.m4a")
    found = audio.load_audio(path, 44_100)
    assert np.std(found) == pytest.approx(np.std(mono), rel=0.1)
    piece = audio.read_piece(path, 3.0, 0.5, 44_100)
    np.testing.assert_allclose(piece, found[132_300:154_350], atol=2e-3)


def test_a_channel_that_sounds_somewhere_counts_everywhere(tmp_path):
    """Its first half is silent: a piece of that half has the level that it has in the whole."""
    sound = pulsing_noise(20.0, 16_000, 2)
    sound[: 10 * 16_000, 1] = 0
    path = saved(tmp_path, encode(sound, 16_000, "FLAC"))
    whole = audio.load_audio(path)
    np.testing.assert_allclose(whole, np.clip(sound, -1, 1).mean(axis=1), atol=1e-4)
    channels._known.clear()
    np.testing.assert_allclose(audio.read_piece(path, 2.0, 1.0), whole[32_000:48_000], atol=1e-6)


def test_what_sounds_between_the_probes_is_not_lost(tmp_path):
    """A channel that the probes find silent is in the sum."""
    rate = 8000
    sound = np.zeros((10 * 60 * rate, 2))
    sound[:, 0] = 0.1
    starts = channels.probe_starts(len(sound))
    between = (starts[3] + channels.PROBE_FRAMES + starts[4]) // 2
    sound[between : between + rate, 1] = 0.2
    path = saved(tmp_path, encode(sound, rate, "FLAC"))
    piece = audio.read_piece(path, between / rate + 0.4, 0.2, rate)
    np.testing.assert_allclose(piece, 0.3, atol=1e-4)
    assert channels.count_in_array(sound.T) == 1


def test_silence_in_all_channels_is_no_division_by_nothing(tmp_path):
    path = saved(tmp_path, encode(np.zeros((16_000, 4)), 16_000))
    np.testing.assert_array_equal(audio.load_audio(path), np.zeros(16_000))


def test_ordinary_stereo_is_looked_at_once_and_at_its_start(tmp_path, monkeypatch):
    path = saved(tmp_path, encode(0.1 + pulsing_noise(9.0, 16_000, 2), 16_000, "FLAC"))
    monkeypatch.setattr(channels, "_looked_further", lambda decoder, peaks: 1 / 0)
    audio.load_audio(path)
    monkeypatch.setattr(channels, "_peaks", lambda part: 1 / 0)
    audio.read_piece(path, 5.0, 1.0)  # known by now


def test_files_and_arrays_have_one_rule(tmp_path):
    for carrying in ([0], [0, 1], [1, 2]):
        sound = with_silence(0.3 * pulsing_noise(4.0, 16_000), 3, carrying)
        stream = io.BytesIO(encode(sound, 16_000, "WAV", "FLOAT"))
        of_array = np.concatenate(list(open_sound(sound.T.astype(np.float32), 16_000)))
        np.testing.assert_allclose(audio.load_audio(stream), of_array, atol=1e-6)


def test_an_unstated_length(tmp_path):
    """ADTS says nothing of it: the first minute decides."""
    mono = 0.3 * pulsing_noise(6.0, 48_000)
    data = made(with_silence(mono, 2, [0]), "adts", "aac", 48_000)
    path = saved(tmp_path, data, "memo.aac")
    found = audio.load_audio(path, 48_000)
    assert np.std(found) == pytest.approx(np.std(mono), rel=0.1)
    piece = audio.read_piece(path, 3.0, 0.5, 48_000)
    np.testing.assert_allclose(piece, found[144_000:168_000], atol=2e-3)
