"""Sounds for players: the same samples as the file, any range of bytes, every kind of file."""

import io
import random

import av
import numpy as np
import pytest
import soundfile

from audio_triplet import audio
from audio_triplet.browse import sounds
from audio_triplet.browse.routes import looking
from audio_triplet.errors import AudioError
from tests.conftest import RATE, tone


def whole(played: sounds.PlayedSound) -> bytes:
    return b"".join(played.read(0, played.size))


def decoded(content: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(content), dtype="float32")


@pytest.mark.parametrize(
    ("rate", "seconds", "played_rate"),
    [(16_000, 3.7, 16_000), (44_100, 12.3, 44_100), (384_000, 2.2, 48_000), (4_000, 2.0, 8_000)],
)
def test_it_is_the_file_as_wav(tmp_path, rate, seconds, played_rate):
    path = str(tmp_path / "a.flac")
    soundfile.write(path, tone(seconds, 700, 1, rate), rate)
    played = sounds.part(path, audio.probe(path), 0.0, None)
    content = whole(played)
    assert len(content) == played.size == 44 + 2 * round(seconds * played_rate)
    found, found_rate = decoded(content)
    assert found_rate == played.rate == played_rate
    expected = audio.load_audio(path, played_rate)
    np.testing.assert_allclose(found, expected[: len(found)], atol=2e-4)  # 16 bits and soxr
    assert len(found) == len(expected)


def test_any_range_of_bytes_is_that_part_of_the_whole(tmp_path):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, tone(25.0, 700), RATE)
    played = sounds.part(path, audio.probe(path), 1.5, 24.25)
    content, rng = whole(played), random.Random(0)
    assert len(content) == played.size
    for _ in range(100):
        begin = rng.choice([0, 1, 43, 44, 45, rng.randrange(played.size)])
        end = rng.choice([begin + 1, begin + 2, played.size, rng.randint(begin, played.size)])
        end = min(end, played.size)
        assert b"".join(played.read(begin, end)) == content[begin:end], (begin, end)


def test_parts_and_gain(tmp_path):
    path = str(tmp_path / "a.wav")
    sound = 0.1 * tone(3.0, 700)
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    info = audio.probe(path)
    louder, _ = decoded(whole(sounds.part(path, info, 0.5, 1.0, 20.0)))
    np.testing.assert_allclose(louder, 10 * sound[8000:16000], atol=1e-4)
    cut, _ = decoded(whole(sounds.part(path, info, 2.9, 99.0, 40.0)))
    np.testing.assert_allclose(cut, np.clip(100 * sound[46400:], -1, 1), atol=5e-3)
    with pytest.raises(AudioError, match="no sound at 3 s; it is 3 s long"):
        sounds.part(path, info, 3.0, None)


@pytest.mark.parametrize("begin", [0.0, 61.3])
def test_m4a(tmp_path, begin):
    path = str(tmp_path / "a.m4a")
    sound = tone(70.0, 440, 2, 44_100)
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    played = sounds.part(path, audio.probe(path), 0.0, None)
    first = 44 + 2 * round(begin * 44_100)
    content = b"".join(played.read(first, first + 88_200))
    found = np.frombuffer(content, "<i2") / 32767
    expected = audio.load_audio(path, 44_100)[round(begin * 44_100) :][:44_100]
    np.testing.assert_allclose(found, np.clip(expected, -1, 1), atol=1e-3)


def test_a_file_that_breaks_off_is_silent_from_there(tmp_path):
    path = str(tmp_path / "a.flac")
    soundfile.write(path, tone(30.0, 700), RATE)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    for place in range(len(content) * 2 // 3, len(content)):
        content[place] = 0x55
    (tmp_path / "a.flac").write_bytes(content)
    played = sounds.part(path, audio.probe(path), 0.0, None)
    found = whole(played)
    assert len(found) == played.size
    assert not any(found[-2000:])
    late = played.size - 4000
    with pytest.raises(AudioError):  # nothing of it was sent yet: this can be said
        list(played.read(late, played.size))


def test_a_header_is_read_again_when_the_file_changes(tmp_path):
    path, headers = str(tmp_path / "a.wav"), sounds.Headers()
    soundfile.write(path, tone(1.0, 500), RATE)
    assert headers.of(path) is headers.of(path)
    soundfile.write(path, tone(2.0, 500), RATE)
    assert headers.of(path).duration_seconds == 2.0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (0, 100)),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-900", (90, 100)),
        ("bytes=-30", (70, 100)),
        ("bytes=-300", (0, 100)),
        ("bytes=99-", (99, 100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=20-10", (0, 100)),  # no range: RFC 9110 says to ignore it
        ("bytes=0-1,5-6", (0, 100)),
        ("bytes=a-b", (0, 100)),
        ("bytes=-", (0, 100)),
        ("lines=0-5", (0, 100)),
        ("bytes=" + "9" * 40 + "-", (0, 100)),
    ],
)
def test_ranges_of_rfc_9110(header, expected):
    assert looking._range(header, 100) == expected


def test_over_http(client, moments):
    fields = {"path": moments[0]["path"]}
    all_of_it = client.get("/api/sound", params=fields)
    size = len(all_of_it.content)
    assert all_of_it.status_code == 200 and all_of_it.headers["accept-ranges"] == "bytes"
    assert int(all_of_it.headers["content-length"]) == size
    assert all_of_it.headers["content-type"] == "audio/wav"
    part = client.get("/api/sound", params=fields, headers={"Range": "bytes=1000-1999"})
    assert part.status_code == 206 and part.content == all_of_it.content[1000:2000]
    assert part.headers["content-range"] == f"bytes 1000-1999/{size}"
    beyond = client.get("/api/sound", params=fields, headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{size}"
    head = client.head("/api/sound", params=fields)
    assert head.headers["content-length"] == str(size) and not head.content
    span = fields | {"start_seconds": "0.5", "end_seconds": "1.0"}
    assert len(client.get("/api/sound", params=span).content) == 44 + RATE
    for wrong in ({"gain_db": "99"}, {"start_seconds": "x"}, {"start_seconds": "999"}):
        assert client.get("/api/sound", params=fields | wrong).status_code == 400


def test_pictures(client, moments):
    from PIL import Image

    fields = {"path": moments[0]["path"], "start_seconds": "0", "end_seconds": "2"}

    def size(**more):
        content = client.get("/api/picture", params=fields | more).content
        return Image.open(io.BytesIO(content)).size

    assert size() == (100, 64)
    assert size(width="250") == (250, 64) and size(width="30") == (30, 64)
    assert size(end_seconds="20", width="400") == (400, 64)  # black beyond the end
    for wrong in (
        {"width": "1"},
        {"width": "99999"},
        {"start_seconds": "5"},
        {"start_seconds": "2"},
    ):
        assert client.get("/api/picture", params=fields | wrong).status_code == 400, wrong
    assert client.get("/api/picture", params=fields | {"end_seconds": "700"}).status_code == 415
