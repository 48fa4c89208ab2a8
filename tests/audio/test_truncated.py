"""Files of which an end is missing: refused, or read up to the cut, in every format."""

import io

import av
import numpy as np
import pytest

from audio_triplet import audio
from audio_triplet.errors import AudioError
from tests.audio.sounds import encode, pulsing_noise, saved
from tests.audio.test_pyav import made

SECONDS = 5.0
# name: (format, subtype, rate, channels) of libsndfile
SNDFILE = {
    "a.wav": ("WAV", "PCM_16", 44_100, 2),
    "a.aiff": ("AIFF", "PCM_24", 48_000, 1),
    "a.flac": ("FLAC", "PCM_16", 44_100, 2),
    "a.ogg": ("OGG", "VORBIS", 44_100, 2),
    "a.opus": ("OGG", "OPUS", 48_000, 1),
    "a.mp3": ("MP3", "MPEG_LAYER_III", 44_100, 1),
    "a.caf": ("CAF", "PCM_16", 44_100, 1),
    "a.w64": ("W64", "PCM_16", 44_100, 1),
}
# name: (container, codec, rate, channels) of FFmpeg
FFMPEG = {
    "a.m4a": ("ipod", "aac", 44_100, 2),
    "alac.m4a": ("ipod", "alac", 44_100, 1),
    "a.mov": ("mov", "pcm_s16le", 48_000, 2),
    "a.webm": ("webm", "libopus", 48_000, 1),
    "a.aac": ("adts", "aac", 48_000, 1),
    "a.wma": ("asf", "wmav2", 44_100, 1),
}


def index_first(data, path):
    """The same MP4 with its index in front, as programs write it for the web."""
    with (
        av.open(io.BytesIO(data)) as reader,
        av.open(str(path), "w", options={"movflags": "faststart"}) as writer,
    ):
        track = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                writer.mux(packet)
    return path.read_bytes()


def sound_file(tmp_path, name):
    """Bytes of a whole file."""
    if name in SNDFILE:
        file_format, subtype, rate, channels = SNDFILE[name]
        return encode(pulsing_noise(SECONDS, rate, channels), rate, file_format, subtype)
    container, codec, rate, channels = FFMPEG[name]
    data = made(pulsing_noise(SECONDS, rate, channels), container, codec, rate)
    if container in ("ipod", "mov"):
        data = index_first(data, tmp_path / f"index_first_{name}")
    return data


@pytest.mark.parametrize("name", [*SNDFILE, *FFMPEG])
def test_four_fifths_of_a_file_are_refused_or_read_up_to_the_cut(tmp_path, name):
    data = sound_file(tmp_path, name)
    whole = audio.load_audio(saved(tmp_path, data, name))
    path = saved(tmp_path, data[: len(data) * 8 // 10], f"cut-{name}")
    with pytest.raises(AudioError, match="is truncated: "):
        audio.load_audio(path)
    log = audio.ReadLog()
    left = audio.load_audio(str(path), truncated="use", log=log)
    assert 0.7 * len(whole) < len(left) < 0.95 * len(whole)
    clear = len(left) - 3200  # what the codec's last frame and the resampler leave
    np.testing.assert_allclose(left[:clear], whole[:clear], atol=1e-6)
    assert list(log.truncated) == [str(path)]
    assert audio.probe(path, truncated="use").duration_seconds >= len(left) / 16_000 - 1e-3
    for start in (0.3, 2.5, len(left) / 16_000 - 0.25, 4.7, 6.0):
        piece = audio.read_piece(path, start, 0.5, truncated="use")
        first = round(start * 16_000)
        np.testing.assert_allclose(piece, left[first : first + 8000], atol=2e-3)


def test_a_warning_for_each_file_and_no_more(tmp_path, caplog):
    data = encode(pulsing_noise(3.0, 16_000), 16_000)
    path = saved(tmp_path, data[:-30_000], "once.wav")
    for _ in range(3):
        audio.load_audio(path, truncated="use")
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{path}: is truncated: 2.06 s of 3.00 s are there; what is there is used"]


def test_another_word_is_an_error(tmp_path):
    path = saved(tmp_path, encode(pulsing_noise(1.0, 16_000), 16_000))
    with pytest.raises(ValueError, match="truncated must be one of refuse, use, not 'maybe'"):
        audio.load_audio(path, truncated="maybe")


def test_nothing_can_be_used_of_an_m4a_whose_table_is_missing(tmp_path):
    data = made(pulsing_noise(3.0, 44_100, 1), "ipod", "aac", 44_100)
    path = saved(tmp_path, data[: len(data) * 8 // 10], "memo.m4a")
    with pytest.raises(AudioError, match="is truncated: it ends before the table that says where"):
        audio.load_audio(path, truncated="use")


def copied(data, name, start, end, rate):
    """What `ffmpeg -ss START -to END -c copy` writes."""
    stream = io.BytesIO()
    with av.open(io.BytesIO(data)) as reader, av.open(stream, "w", format=name) as writer:
        track = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux(audio=0):
            if packet.dts is not None and start * rate <= packet.pts < end * rate:
                packet.stream = track
                writer.mux(packet)
    return stream.getvalue()


@pytest.mark.parametrize(("start", "end"), [(0.0, 4.0), (4.0, 8.0), (2.0, 5.0)])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_cut_without_decoding_is_whole(tmp_path, start, end, subtype):
    rate = 16_000
    data = encode(0.3 * pulsing_noise(8.0, rate, 2), rate, "FLAC", subtype)
    whole = audio.load_audio(saved(tmp_path, data, "whole.flac"))
    part = copied(data, "flac", start, end, rate)
    part = part[:21] + data[21:26] + part[26:]  # the length of the whole, as the command writes it
    path = saved(tmp_path, part, "part.flac")
    waveform = audio.load_audio(path)
    first = -(-round(start * rate) // 4096) * 4096  # where the first whole frame begins
    assert abs(len(waveform) - (end * rate - first)) <= 4096
    np.testing.assert_allclose(waveform, whole[first : first + len(waveform)], atol=1e-6)
    assert audio.probe(path).frames == len(waveform)
    np.testing.assert_array_equal(audio.read_piece(path, 1.0, 0.5), waveform[16_000:24_000])
    assert len(audio.read_piece(path, 7.0, 0.5)) == 0
    # One that is cut within a frame is none of these.
    with pytest.raises(AudioError, match="is truncated|cut"):
        audio.load_audio(saved(tmp_path, part[:-1000], "cut.flac"))


def test_a_hole_is_no_cut(tmp_path):
    """Behind it everything is in its place."""
    data = bytearray(encode(0.3 * pulsing_noise(9.0, 16_000), 16_000, "FLAC"))
    expected = audio.load_audio(saved(tmp_path, bytes(data), "whole.flac"))
    data[len(data) // 3 : len(data) // 3 + 512] = bytes(512)
    path = saved(tmp_path, bytes(data), "hole.flac")
    found = audio.load_audio(path)
    assert len(found) == len(expected)
    assert 0 < (abs(found - expected) > 1e-5).mean() < 0.1
    np.testing.assert_allclose(found[96_000:], expected[96_000:], atol=1e-6)
    for start in (0.5, 2.8, 6.0):
        piece = audio.read_piece(path, start, 0.5)
        first = round(start * 16_000)
        np.testing.assert_allclose(piece, found[first : first + 8000], atol=1e-6)
