"""Far places of an MP3, which are looked up, against the whole and an independent walk."""

import numpy as np
import pytest
import soundfile

from audio_triplet import audio
from audio_triplet.audio import mp3
from tests.audio.sounds import encode, mp3_frame_offsets, pulsing_noise, saved


@pytest.mark.parametrize(
    ("rate", "channels", "mode"),
    [(44_100, 2, "VARIABLE"), (16_000, 1, "CONSTANT"), (8_000, 1, "CONSTANT")],
)
def test_far_frames_of_an_mp3_are_looked_up_once(tmp_path, monkeypatch, rate, channels, mode):
    path = tmp_path / "long.mp3"
    with soundfile.SoundFile(
        path, "w", rate, channels, format="MP3", bitrate_mode=mode, compression_level=0.6
    ) as file:
        file.write(pulsing_noise(100.0, rate, channels))
    data = path.read_bytes()
    tag = b"ID3\x03\0\0" + bytes([0, 0, 1, 2]) + bytes(130)
    path.write_bytes(tag + data)
    whole = audio.load_audio(path, rate)
    monkeypatch.setattr(mp3, "_BLOCK", 5_000)  # so that frames lie across the borders of blocks
    # Against an independent walk: entries are frames, the first behind the Xing header is number 0.
    offsets = mp3_frame_offsets(data)
    with open(path, "rb") as file:
        found = mp3.entry(file, file.fileno(), 90 * rate)
    samples = 1152 if rate > 32_000 else 576
    number = found.sample // samples
    assert number % 32 == 0 and 90 * rate - 32 * samples < found.sample <= 90 * rate
    assert found.offset == len(tag) + offsets[1 + number]
    leaps, found_by = [], mp3.entry
    monkeypatch.setattr(mp3, "entry", lambda *given: leaps.append(given) or found_by(*given))
    for start in (70.0, 81.234, 99.7):
        piece = audio.read_piece(path, start, 2.0, rate)
        first = round(start * rate)
        assert len(piece) == min(2 * rate, len(whole) - first)
        np.testing.assert_allclose(piece, whole[first : first + 2 * rate], atol=1e-6)
    assert len(leaps) == 3


def test_what_is_no_plain_mp3_is_sought_as_before(tmp_path):
    rate = 16_000
    data = encode(pulsing_noise(100.0, rate), rate, "MP3", "MPEG_LAYER_III")
    offsets = mp3_frame_offsets(data)
    for junk in (b"\0" * 300, b"TAG" + b"x" * 125):
        middle = offsets[1000]
        path = saved(tmp_path, data[:middle] + junk + data[middle:])
        whole = audio.load_audio(path, rate)
        piece = audio.read_piece(path, 90.0, 1.0, rate)
        np.testing.assert_allclose(piece, whole[90 * rate : 91 * rate], atol=1e-6)
