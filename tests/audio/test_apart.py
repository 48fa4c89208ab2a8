"""Files that are read by another process, as after a crash."""

import numpy as np
import pytest

from audio_triplet import audio, crashes
from audio_triplet.errors import AudioError
from tests.audio.sounds import encode, pulsing_noise, saved


@pytest.fixture
def forgotten():
    """Suspects of a test are none of the next."""
    yield
    crashes._here().suspects.clear()


@pytest.mark.usefixtures("forgotten")
def test_it_is_the_same_apart(tmp_path):
    sound = pulsing_noise(25.0, 22_050, channels=2)
    path = str(saved(tmp_path, encode(sound, 22_050, "OGG", "VORBIS"), "ö sound.ogg"))
    bad = str(saved(tmp_path, b"no sound", "bad.wav"))
    reads = (
        audio.probe,
        audio.load_audio,
        lambda path: list(audio.stream_audio(path, block_seconds=7.0)),
        lambda path: next(audio.stream_audio(path, block_seconds=1.0)),  # and no more of it
        lambda path: audio.read_piece(path, 11.5, 2.0, sample_rate=8000),
    )
    here = [read(path) for read in reads]
    with pytest.raises(AudioError) as refusal:
        audio.load_audio(bad)
    assert not crashes.is_suspect(path)
    crashes.suspect([path, bad])
    assert crashes.is_suspect(path)
    for read, expected in zip(reads, here, strict=True):
        found = read(path)
        if isinstance(expected, audio.AudioInfo):
            assert found == expected
            continue
        expected = expected if isinstance(expected, list) else [expected]
        found = found if isinstance(found, list) else [found]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.flags.writeable
    with pytest.raises(AudioError) as apart:
        audio.load_audio(bad)
    assert str(apart.value) == str(refusal.value)


@pytest.mark.usefixtures("forgotten")
def test_what_is_noted_apart_is_noted_here(tmp_path):
    data = encode(pulsing_noise(3.0, 16_000), 16_000)
    path = str(saved(tmp_path, data[: len(data) * 8 // 10], "cut.wav"))
    logs = []
    for _ in range(2):
        for read in (audio.load_audio, lambda *a, **b: audio.read_piece(a[0], 0.5, 0.5, **b)):
            log = audio.ReadLog()
            read(path, truncated="use", log=log)
            logs.append((log.decoders, log.truncated))
        with pytest.raises(AudioError, match="is truncated"):
            audio.load_audio(path)
        crashes.suspect([path])
    assert logs[:2] == logs[2:] and logs[1][0] == {path: "libsndfile"} and path in logs[1][1]


def test_notes_say_what_is_being_decoded(tmp_path, monkeypatch):
    """Of a process that is gone; this one is not."""
    monkeypatch.setenv(crashes.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(crashes, "_runs", lambda pid: False)
    with crashes.decoding("/a/long/path.wav"):
        with crashes.decoding(b"/b\xff"), crashes.decoding(object()):
            assert crashes.left_behind(str(tmp_path)) == {b"/a/long/path.wav", b"/b\xff"}
        with crashes.decoding("/c"):
            assert crashes.left_behind(str(tmp_path)) == {b"/a/long/path.wav", b"/c"}
    assert crashes.left_behind(str(tmp_path)) == set()
    crashes.begin_again(str(tmp_path), [b"/b\xff", b"/c"])
    assert crashes.suspects_in(str(tmp_path)) == {b"/b\xff", b"/c"}
    assert crashes.confirmed(str(tmp_path)) == 0
    crashes.confirm()
    assert crashes.confirmed(str(tmp_path)) == 1
