"""WAV files with flawed chunks and whole sound."""

import logging as python_logging
import struct

import numpy as np
import pytest

from audio_triplet import audio
from audio_triplet.errors import AudioError
from tests.audio.sounds import encode, pulsing_noise, saved

SOUND = pulsing_noise(3.0, 16_000, 2)
WHOLE = encode(SOUND, 16_000)


def chunk(name, content, padding=b""):
    return struct.pack("<4sI", name, len(content)) + content + padding


def without_sizes():
    """As a recorder leaves it whose battery died."""
    assert WHOLE[36:40] == b"data"
    return WHOLE[:4] + bytes(4) + WHOLE[8:40] + bytes(4) + WHOLE[44:]


FLAWED = {
    "no sizes": without_sizes(),
    "no size of data": WHOLE[:40] + bytes(4) + WHOLE[44:],
    "no padding after fmt": WHOLE[:36] + chunk(b"note", b"n" * 601) + WHOLE[36:],
    "no padding at the start": WHOLE[:12] + chunk(b"note", b"n" * 601) + WHOLE[12:],
    "neither": (
        WHOLE[:12] + chunk(b"bext", b"n" * 7) + WHOLE[12:40] + bytes(4) + WHOLE[44:]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FLAWED)
def test_flawed_chunks_hide_no_sound(tmp_path, kind, caplog):
    path = saved(tmp_path, FLAWED[kind], "dead.wav")
    expected = audio.load_audio(saved(tmp_path, WHOLE, "whole.wav"))
    with caplog.at_level(python_logging.WARNING, "absl"):
        np.testing.assert_array_equal(audio.load_audio(path), expected)
        assert audio.probe(path).frames == len(SOUND)
        np.testing.assert_array_equal(audio.read_piece(path, 2.5, 0.25), expected[40_000:44_000])
    assert caplog.text.count("dead.wav: its ") == 1  # once a file


def test_a_wav_without_sound_holds_none(tmp_path):
    for end in (b"", chunk(b"LIST", b"INFOISFT\4\0\0\0rec\0"), chunk(b"note", b"abc", b"\0")):
        path = saved(tmp_path, WHOLE[:40] + bytes(4) + end)
        with pytest.raises(AudioError, match=r"holds no audio \(0 frames\)"):
            audio.load_audio(path)


def test_a_cut_wav_without_padding_is_truncated(tmp_path):
    data = FLAWED["no padding after fmt"]
    with pytest.raises(AudioError, match=r"is truncated: 1\.\d\d s of 3\.00 s"):
        audio.load_audio(saved(tmp_path, data[: len(data) // 2]))
