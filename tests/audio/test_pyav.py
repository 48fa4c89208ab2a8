"""What FFmpeg reads, against the samples that were written and against itself in pieces."""

import contextlib
import functools
import io
import itertools
import struct

import av
import numpy as np
import pytest

from audio_triplet import audio
from audio_triplet.audio import steady
from audio_triplet.audio.files import InputFile
from audio_triplet.audio.pyav import PyavDecoder
from audio_triplet.errors import AudioError
from benchmarks.ffmpeg_track import encode_track
from tests.audio.sounds import encode, pulsing_noise, saved

# name: (container, codec, rate, channels, is lossless)
KINDS = {
    "memo.m4a": ("ipod", "aac", 44_100, 2, False),
    "memo.aac": ("adts", "aac", 48_000, 1, False),
    "alac.m4a": ("ipod", "alac", 44_100, 2, True),
    "alac.caf": ("caf", "alac", 44_100, 2, True),
    "memo.wma": ("asf", "wmav2", 44_100, 2, False),
    "film.ac3": ("ac3", "ac3", 48_000, 6, False),
    "memo.3gp": ("3gp", "aac", 16_000, 1, False),
    "talk.webm": ("webm", "libopus", 48_000, 2, False),
    "opus.mka": ("matroska", "libopus", 48_000, 1, False),
    "flac.mka": ("matroska", "flac", 44_100, 2, True),
    "mp3.mka": ("matroska", "libmp3lame", 44_100, 2, False),
    "film.mp4": ("mp4", "aac", 32_000, 2, False),
    "film.mov": ("mov", "pcm_s16le", 48_000, 3, True),
}
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 6: "5.1"}


def made(sound, container, codec, rate):
    """Bytes of a file of float[frames, channels], without a delay of its own."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as file:
        track = file.add_stream(codec, rate=rate, layout=LAYOUTS[sound.shape[1]])
        track.codec_context.bit_rate = 128_000 * sound.shape[1]
        encode_track(file, track, sound, rate, LAYOUTS[sound.shape[1]])
    return stream.getvalue()


@functools.cache
def long_file(name) -> bytes:
    """50 s of a kind, which takes seconds to encode."""
    container, codec, rate, channels, _ = KINDS[name]
    return made(pulsing_noise(50.0, rate, channels), container, codec, rate)


def clicks(seconds, rate, channels):
    """Faint noise with a burst at each half of a second: (sound, seconds of the bursts)."""
    sound = 1e-3 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))
    burst = np.sin(2 * np.pi * 1000 * np.arange(round(0.05 * rate)) / rate)[:, np.newaxis]
    times = np.arange(0.5, seconds - 0.1, 0.5)
    for time in times:
        start = round(time * rate)
        sound[start : start + len(burst)] += 0.5 * burst
    return sound, times


def onsets(waveform, rate=16_000):
    """Seconds at which the sound becomes loud."""
    loud = np.flatnonzero(np.abs(waveform) > 0.1) / rate
    return loud[np.diff(loud, prepend=-1.0) > 0.2]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_read_whole_and_at_its_place(tmp_path, name):
    container, codec, rate, channels, is_lossless = KINDS[name]
    sound, times = clicks(6.0, rate, channels)
    path = saved(tmp_path, made(sound, container, codec, rate), name)
    info = audio.probe(path)
    assert (info.sample_rate, info.channels, info.decoder) == (rate, channels, "ffmpeg")
    assert info.duration_seconds == pytest.approx(6.0, abs=0.06)
    if is_lossless:
        whole = audio.load_audio(path, sample_rate=rate)
        # Of a short last frame of ALAC in CAF, FFmpeg takes what is missing off once more.
        assert 0 <= len(sound) - len(whole) < (4096 if name == "alac.caf" else 1)
        np.testing.assert_allclose(whole, sound.mean(axis=1)[: len(whole)], atol=1e-4)
    # The first samples are the encoder's delay where the container cannot say so (ADTS, ASF, AC-3).
    # Of WMA, FFmpeg's decoder withholds a frame.
    shift = 2048 / rate if container in ("adts", "asf", "ac3") else 0.0
    found = onsets(audio.load_audio(path))
    assert len(found) == len(times)
    assert np.ptp(found - times) < 0.01 and abs(found - times).max() < shift + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_pieces_are_parts_of_the_whole(tmp_path, name):
    path = saved(tmp_path, long_file(name), name)
    whole = audio.load_audio(path)
    for start in (0.0, 0.31, 7.77, 24.999, 33.3, 41.0, len(whole) / 16_000 - 0.7, 60.0):
        piece = audio.read_piece(path, start, 1.0)
        first = round(start * 16_000)
        np.testing.assert_allclose(piece, whole[first : first + 16_000], atol=2e-3)


def test_amr_is_read(tmp_path):
    sound, times = clicks(4.0, 8000, 1)
    path = saved(tmp_path, made_amr(sound), "memo.amr")
    found = onsets(audio.load_audio(path))
    assert len(found) == len(times) and np.ptp(found - times) < 0.01


def made_amr(sound):
    stream = io.BytesIO()
    with av.open(stream, "w", format="amr") as file:
        track = file.add_stream("libopencore_amrnb", rate=8000, layout="mono")
        track.codec_context.bit_rate = 12_200
        frame = av.AudioFrame.from_ndarray(
            (sound.T * 32767).astype(np.int16), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = 8000, 0
        file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return stream.getvalue()


def test_first_audio_track_of_a_video(tmp_path):
    sound, times = clicks(3.0, 48_000, 2)
    stream = io.BytesIO()
    with av.open(stream, "w", format="mov") as file:
        video = file.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        tracks = [file.add_stream("pcm_s16le", rate=48_000, layout="stereo") for _ in range(2)]
        for _ in range(30):
            picture = np.zeros((48, 64, 3), np.uint8)
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for track, gain in zip(tracks, (1.0, 0.0), strict=True):
            samples = (gain * sound * 32767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 48_000, 0
            file.mux(track.encode(frame))
            file.mux(track.encode(None))
    path = saved(tmp_path, stream.getvalue(), "film.mov")
    np.testing.assert_allclose(onsets(audio.load_audio(path)), times, atol=0.01)


def test_a_video_without_sound_is_one_line(tmp_path):
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as file:
        video = file.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        picture = np.zeros((48, 64, 3), np.uint8)
        file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(video.encode(None))
    path = saved(tmp_path, stream.getvalue(), "silent.mp4")
    with pytest.raises(AudioError, match=r"silent\.mp4: holds no audio track; remove it"):
        audio.load_audio(path)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_read_to_its_end(tmp_path, subtype):
    links = [pulsing_noise(seconds, 48_000, seed=number) for number, seconds in enumerate((3, 4))]
    data = [encode(link, 48_000, "OGG", subtype) for link in links]
    path = saved(tmp_path, b"".join(data), "radio.ogg")
    alone = [audio.load_audio(saved(tmp_path, link, "link.ogg"), 48_000) for link in data]
    whole = audio.load_audio(path, sample_rate=48_000)
    assert audio.probe(path).duration_seconds == pytest.approx(7.0, abs=0.01)
    assert len(whole) == pytest.approx(7 * 48_000, abs=0.01 * 48_000)
    np.testing.assert_allclose(whole[: 2 * 48_000], alone[0][: 2 * 48_000], atol=1e-3)
    np.testing.assert_allclose(whole[-3 * 48_000 :], alone[1][-3 * 48_000 :], atol=1e-3)
    piece = audio.read_piece(path, 4.0, 1.0, sample_rate=48_000)
    np.testing.assert_allclose(piece, whole[4 * 48_000 : 5 * 48_000], atol=1e-6)


def test_flac_that_was_cut_without_decoding(tmp_path):
    """It states the length of the file that it was cut out of."""
    sound = 0.3 * np.random.default_rng(0).uniform(-1, 1, (8 * 16_000, 1))
    whole = encode(sound, 16_000, "FLAC")
    expected = audio.load_audio(saved(tmp_path, whole, "whole.flac"))
    source, stream = io.BytesIO(whole), io.BytesIO()
    with av.open(source) as reader, av.open(stream, "w", format="flac") as writer:
        track = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux(audio=0):
            if packet.dts is not None and packet.pts >= 3 * 16_000:
                packet.stream = track
                writer.mux(packet)
    path = saved(tmp_path, stream.getvalue(), "cut.flac")
    waveform = audio.load_audio(path)
    assert 4.5 * 16_000 < len(waveform) <= 5 * 16_000
    np.testing.assert_allclose(waveform, expected[-len(waveform) :], atol=1e-6)
    assert audio.probe(path).frames == len(waveform)
    np.testing.assert_array_equal(audio.read_piece(path, 3.0, 1.0), waveform[48_000:64_000])


def test_flac_with_a_damaged_frame_keeps_its_times(tmp_path):
    """libsndfile stops there; FFmpeg leaves it out."""
    sound = np.clip(pulsing_noise(6.0, 16_000), -0.99, 0.99)
    data = bytearray(encode(sound, 16_000, "FLAC"))
    frame = bytes(data).find(b"\xff\xf8", len(data) // 8)
    data[frame + 2] ^= 0xF0  # its length
    path = saved(tmp_path, bytes(data), "damaged.flac")
    waveform = audio.load_audio(path)
    assert len(waveform) == len(sound)
    np.testing.assert_allclose(waveform[-4 * 16_000 :], sound[-4 * 16_000 :, 0], atol=1e-4)
    for start in (0.2, 1.0, 3.7, 5.5):
        first = round(start * 16_000)
        piece = audio.read_piece(path, start, 1.0)
        np.testing.assert_allclose(piece, waveform[first : first + 16_000], atol=1e-6)


def test_flac_with_doubled_frames_keeps_its_times(tmp_path):
    sound = np.clip(pulsing_noise(6.0, 16_000), -0.99, 0.99)
    data = encode(sound, 16_000, "FLAC")
    frames = [data.find(b"\xff\xf8", len(data) * part // 8) for part in (1, 2)]
    doubled = data[: frames[1]] + data[frames[0] : frames[1]] + data[frames[1] :]
    path = saved(tmp_path, doubled, "doubled.flac")
    with InputFile(path) as file, contextlib.closing(PyavDecoder(file)) as decoder:
        waveform = np.concatenate(list(decoder.blocks()))
    assert len(waveform) == len(sound)
    np.testing.assert_allclose(waveform[-4 * 16_000 :], sound[-4 * 16_000 :, 0], atol=1e-4)


def test_the_number_of_channels_may_change(tmp_path):
    """As between a film and what follows it."""
    tone = 0.3 * np.sin(np.arange(96_000) / 20)[:, np.newaxis]
    data = b"".join(made(np.repeat(tone, n, axis=1), "ac3", "ac3", 48_000) for n in (6, 2, 6))
    path = saved(tmp_path, data, "film.ac3")
    waveform = audio.load_audio(path)
    levels = [np.abs(waveform[second * 16_000 :][:8000]).max() for second in (1, 3, 5)]
    np.testing.assert_allclose(levels, 0.3, atol=0.02)
    piece = audio.read_piece(path, 1.5, 1.0)
    np.testing.assert_allclose(piece, waveform[24_000:40_000], atol=2e-3)


def test_channels_are_averaged_not_mixed_down(tmp_path):
    """FFmpeg's own way from 5.1 to one channel changes the level."""
    data = np.random.default_rng(0).integers(-9999, 9999, (48_000, 6)) / 32768
    path = saved(tmp_path, made(data, "mov", "pcm_s16le", 48_000), "six.mov")
    np.testing.assert_allclose(audio.load_audio(path, 48_000), data.mean(axis=1), atol=2e-5)


@pytest.mark.parametrize("name", ["memo.m4a", "talk.webm", "memo.wma"])
def test_truncated_files_are_refused(tmp_path, name):
    container, codec, rate, channels, _ = KINDS[name]
    data = made(pulsing_noise(6.0, rate, channels), container, codec, rate)
    path = saved(tmp_path, data[: len(data) * 6 // 10], name)
    with pytest.raises(AudioError) as caught:
        audio.load_audio(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_recording_without_its_index_is_told_from_text(tmp_path):
    """A phone's recorder writes it last; libsndfile would say that the format is unknown."""
    container, codec, rate, channels, _ = KINDS["memo.m4a"]
    data = made(pulsing_noise(6.0, rate, channels), container, codec, rate)
    path = saved(tmp_path, data[: data.rfind(b"moov") - 100], "memo.m4a")
    with pytest.raises(AudioError, match=r"memo\.m4a: is truncated: it ends before the t"):
        audio.load_audio(path)


def test_playlists_and_texts_are_no_sound(tmp_path):
    """FFmpeg would follow what they name."""
    saved(tmp_path, encode(pulsing_noise(1.0, 16_000), 16_000), "a.wav")
    for text in ("ffconcat version 1.0\nfile a.wav\n", "#EXTM3U\n#EXTINF:1,\na.wav\n"):
        with pytest.raises(AudioError, match="cannot be decoded"):
            audio.load_audio(saved(tmp_path, text.encode(), "list.m4a"))


class FailingFile(io.BytesIO):
    """A file of a disk that dies behind its first half."""

    def read(self, size=-1):
        if self.tell() > len(self.getbuffer()) // 2:
            raise OSError("Input/output error")
        return super().read(size)


def test_a_dying_disk_is_an_error_that_names_the_file(capfd):
    file = FailingFile(made(pulsing_noise(20.0, 48_000, 1), "adts", "aac", 48_000))
    file.name = "on_a_dying_disk.aac"
    with pytest.raises(AudioError, match="on_a_dying_disk.aac: cannot be decoded"):
        audio.load_audio(file)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["memo.m4a", "talk.webm", "memo.wma", "alac.caf", "memo.aac"])
def test_damaged_files_give_an_error_or_finite_samples(tmp_path, name, capfd):
    container, codec, rate, channels, _ = KINDS[name]
    whole = made(pulsing_noise(3.0, rate, channels), container, codec, rate)
    rng = np.random.default_rng(0)
    for number in range(60):
        data = bytearray(whole)
        ends = (len(data), 200, len(data))  # headers are small, and matter most
        for offset in rng.integers(0, ends[number % 3], rng.integers(1, 12)):
            data[offset : offset + 8] = rng.bytes(8 if number % 2 else 1)
        path = saved(tmp_path, bytes(data), name)
        for read in (audio.load_audio, lambda p: audio.read_piece(p, 1.5, 0.5)):
            try:
                waveform = read(path)
            except AudioError as error:
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            else:
                assert waveform.dtype == np.float32 and np.isfinite(waveform).all()
    assert capfd.readouterr().err == ""


def test_a_claim_of_days_is_not_believed(tmp_path):
    """Chunks are laid out by it."""
    data = made(pulsing_noise(2.0, 48_000), "webm", "libopus", 48_000)
    at = data.find(b"\x44\x89\x88") + 3  # the duration, a float of 8 bytes, in milliseconds
    data = data[:at] + struct.pack(">d", 1e9) + data[at + 8 :]
    path = saved(tmp_path, data, "talk.webm")
    assert audio.probe(path).duration_seconds == pytest.approx(2.0, abs=0.06)
    assert len(audio.load_audio(path)) / 16_000 == pytest.approx(2.0, abs=0.06)


def test_a_table_that_no_memory_holds_is_told(tmp_path):
    data = bytearray(made(pulsing_noise(2.0, 44_100), "mp4", "aac", 44_100))
    at = bytes(data).find(b"stts")
    data[at + 8 : at + 12] = b"\x7f\xff\xff\xff"
    path = saved(tmp_path, bytes(data), "memo.mp4")
    with pytest.raises(AudioError) as caught:
        audio.load_audio(path)
    assert "llocate" not in str(caught.value)


@pytest.mark.slow
def test_pieces_behind_an_opus_packet_that_claims_another_length(tmp_path):
    """One of 20 ms is told to hold 60 ms; time stamps go on as if nothing were."""
    data = bytearray(long_file("talk.webm"))
    with av.open(io.BytesIO(bytes(data))) as file:
        packets = [bytes(packet) for packet in file.demux(audio=0) if packet.size]
    at = bytes(data).find(packets[300])
    data[at] = 11 << 3 | data[at] & 4  # one frame of 60 ms, and as many channels
    path = saved(tmp_path, bytes(data), "talk.webm")
    whole = audio.load_audio(path)
    for start in (22.0, 28.8):
        piece = audio.read_piece(path, start, 1.0)
        first = round(start * 16_000)
        np.testing.assert_allclose(piece, whole[first : first + 16_000], atol=2e-3)


def with_times(source, name, shift):
    """A file whose packets get other time stamps: `shift` of their numbers, in seconds."""
    stream = io.BytesIO()
    with av.open(io.BytesIO(source)) as reader, av.open(stream, "w", format=name) as writer:
        track = writer.add_stream_from_template(reader.streams.audio[0])
        for number, packet in enumerate(reader.demux(audio=0)):
            if packet.dts is not None:
                packet.pts = packet.dts = packet.pts + round(shift(number) / packet.time_base)
                packet.stream = track
                writer.mux(packet)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["talk.webm", "film.mp4"])
def test_pieces_where_times_have_gaps(tmp_path, kind):
    """As browsers record: the whole is one sample after the other, whatever the times say."""
    source = long_file(kind)
    path = saved(tmp_path, with_times(source, KINDS[kind][0], lambda n: n // 100 * 0.05), kind)
    whole = audio.load_audio(path)
    for start in (25.0, 33.3):
        piece = audio.read_piece(path, start, 0.5)
        first = round(start * 16_000)
        np.testing.assert_allclose(piece, whole[first : first + 8000], atol=2e-3)


@pytest.mark.parametrize("kind", ["memo.m4a", "alac.m4a"])
def test_the_table_of_an_mp4_says_what_its_packets_say(tmp_path, kind):
    container, codec, rate, channels, _ = KINDS[kind]
    path = saved(tmp_path, made(pulsing_noise(40.0, rate, channels), container, codec, rate), kind)
    with InputFile(path) as file, contextlib.closing(PyavDecoder(file)) as decoder:
        opened = decoder._container, decoder._track
        length = list(itertools.islice(opened[0].decode(opened[1]), 4))[3].samples
        unit = float(decoder._track.time_base * rate) / length
        found = steady._of_table(*opened, unit)
        assert found is not None and found.number > 100
        assert found == steady._by_reading(*opened, length, unit, rate)


def test_a_table_of_packets_that_are_not_steady_proves_nothing(tmp_path):
    container, codec, rate, channels, _ = KINDS["film.mp4"]
    source = made(pulsing_noise(30.0, rate, channels), container, codec, rate)
    path = saved(tmp_path, with_times(source, container, lambda n: n // 100 * 0.05), "film.mp4")
    with InputFile(path) as file, contextlib.closing(PyavDecoder(file)) as decoder:
        length = list(itertools.islice(decoder._container.decode(decoder._track), 4))[3].samples
        unit = float(decoder._track.time_base * rate) / length
        assert steady._of_table(decoder._container, decoder._track, unit) is None
        assert not decoder._leap(20 * rate)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memo.m4a", "talk.webm", "alac.m4a", "flac.mka", "mp3.mka"])
def test_seeks_in_long_files_are_no_decoding_of_the_way(tmp_path, kind):
    rate = KINDS[kind][2]
    with InputFile(saved(tmp_path, long_file(kind), kind)) as file:
        with contextlib.closing(PyavDecoder(file)) as decoder:
            whole = np.concatenate(list(decoder.blocks()))
        for frame in (25 * rate + 7, 41 * rate + 1023, 48 * rate):
            with contextlib.closing(PyavDecoder(file)) as decoder:
                assert decoder._leap(frame - rate)  # the seek itself, not only its result
                assert frame - 6 * rate < decoder.position <= frame
            with contextlib.closing(PyavDecoder(file)) as decoder:
                decoder.seek(frame)
                piece = np.concatenate(list(decoder.blocks(5000)))
            np.testing.assert_allclose(piece, whole[frame : frame + 5000], atol=1e-3)
