"""audio_triplet.audio against the samples written, analytic sines, and itself in chunks."""

import concurrent.futures
import contextlib
import io
import os
import pathlib
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet import audio
from audio_triplet.audio import RESAMPLERS, AudioInfo, libsndfile, ogg_pages
from audio_triplet.audio.pyav import PyavDecoder
from audio_triplet.errors import AudioError
from tests.audio.sounds import (
    CODECS,
    encode,
    mp3_frame_offsets,
    pulsing_noise,
    saved,
    sine,
    wav_header,
)

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ESC50 = REPOSITORY.parent / "shared" / "corpora" / "esc50" / "audio"


# --- the samples are right -----------------------------------------------------------------------


def test_16_khz_wav_is_passed_on_to_the_bit(tmp_path):
    stored = np.random.default_rng(0).integers(-(2**15), 2**15, 12_345).astype(np.int16)
    path = saved(tmp_path, encode(stored, 16_000))
    np.testing.assert_array_equal(audio.load_audio(path), stored / np.float32(2**15))


def test_channels_are_averaged(tmp_path):
    stored = np.random.default_rng(0).integers(-(2**15), 2**15, (999, 8)).astype(np.int16)
    path = saved(tmp_path, encode(stored, 16_000))
    expected = stored.astype(np.float64).mean(axis=1) / 2**15
    np.testing.assert_allclose(audio.load_audio(path), expected, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("resampler", RESAMPLERS)
@pytest.mark.parametrize("rate", [4000, 11_025, 22_050, 44_099, 44_100, 48_000, 96_000, 192_000])
def test_a_resampled_sine_is_the_sine_at_16_khz(tmp_path, rate, resampler):
    frequency = 0.35 * min(rate, 16_000)
    path = saved(tmp_path, encode(0.5 * sine(frequency, 2 * rate, rate), rate, "WAV", "FLOAT"))
    waveform = audio.load_audio(path, resampler=resampler)
    expected = 0.5 * sine(frequency, 32_000, 16_000)
    # The ends hear the silence beyond; soxr HQ sinks by 0.006 dB towards 7 kHz at odd ratios.
    tolerance = 3e-4 if resampler == "soxr" else 1e-3
    np.testing.assert_allclose(waveform[800:-800], expected[800:-800], atol=tolerance)


@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_what_16_khz_cannot_hold_is_gone(tmp_path, resampler):
    path = saved(tmp_path, encode(0.9 * sine(11_000, 96_000, 48_000), 48_000, "WAV", "FLOAT"))
    assert np.abs(audio.load_audio(path, resampler=resampler)[800:-800]).max() < 1e-4


@settings(max_examples=60, deadline=None)
@given(
    rate=st.integers(4000, 192_000) | st.sampled_from([8000, 16_000, 32_000, 44_100, 48_000]),
    channels=st.integers(1, 8),
    frames=st.integers(1, 3000),
    resampler=st.sampled_from(RESAMPLERS),
    seed=st.integers(0, 99),
)
def test_any_rate_channels_and_length(rate, channels, frames, resampler, seed):
    data = np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))
    file = io.BytesIO(encode(data, rate, "WAV", "FLOAT"))
    info = audio.probe(file)
    assert info == AudioInfo(rate, channels, frames, frames / rate)
    waveform = audio.load_audio(file, resampler=resampler)
    assert waveform.shape == (max(1, round(frames * 16_000 / rate)),)
    assert waveform.dtype == np.float32 and waveform.flags.c_contiguous
    assert np.isfinite(waveform).all()
    # A filter of unit gain with ripples: bounded by the input, up to Gibbs and a bit.
    assert np.abs(waveform).max() <= 2.0 * np.abs(data.mean(axis=1)).max() + 1e-6


def test_sample_rate_is_a_choice(tmp_path):
    path = saved(tmp_path, encode(0.5 * sine(440, 44_100, 44_100), 44_100, "WAV", "FLOAT"))
    waveform = audio.load_audio(path, sample_rate=22_050)
    np.testing.assert_allclose(
        waveform[500:-500], 0.5 * sine(440, 22_050, 22_050)[500:-500], atol=1e-4
    )


def test_beyond_full_scale_passes_unclipped(tmp_path):
    data = np.array([3.0, -2.5, 0.5], np.float32)
    path = saved(tmp_path, encode(data, 16_000, "WAV", "FLOAT"))
    np.testing.assert_array_equal(audio.load_audio(path), data)


def test_silence_is_audio(tmp_path):
    path = saved(tmp_path, encode(np.zeros(44_100), 44_100))
    np.testing.assert_array_equal(audio.load_audio(path), np.zeros(16_000, np.float32))


def test_kinds_of_path(tmp_path):
    data = encode(pulsing_noise(0.2, 16_000), 16_000)
    path = saved(tmp_path, data, "Grüße – 音.wav")
    expected = audio.load_audio(path)
    for same in (str(path), os.fsencode(path), io.BytesIO(data)):
        np.testing.assert_array_equal(audio.load_audio(same), expected)
    with open(path, "rb") as file:
        np.testing.assert_array_equal(audio.load_audio(file), expected)
        assert not file.closed


@pytest.mark.parametrize("codec", ["flac", "vorbis", "opus", "mp3"])
def test_reading_in_blocks_decodes_what_one_read_does(tmp_path, codec, monkeypatch):
    """soundfile's own blocks of an MP3 differ from one read by up to 2e-3."""
    monkeypatch.setattr(libsndfile, "BLOCK_VALUES", 4096)  # many borders, at all sorts of places
    file_format, subtype, _, _ = CODECS[codec]
    path = saved(tmp_path, encode(pulsing_noise(30.0, 16_000, 2), 16_000, file_format, subtype))
    expected = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    np.testing.assert_allclose(audio.load_audio(path), expected, atol=1e-6)


# --- chunks and streams equal the whole -----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_chunks_are_parts_of_the_whole(tmp_path, codec):
    file_format, subtype, rates, tolerance = CODECS[codec]
    rng = np.random.default_rng(1)
    for rate in rates:
        for channels in (1, 2):
            data = pulsing_noise(7.3, rate, channels)
            path = saved(tmp_path, encode(data, rate, file_format, subtype))
            whole = audio.load_audio(path)
            seconds = audio.probe(path).duration_seconds
            # Starts all over, and many near the end, where Ogg's last page is.
            starts = [0.0, *rng.uniform(0, seconds, 8), *rng.uniform(seconds - 1.5, seconds, 8)]
            for start in starts:
                first = round(start * 16_000)
                expected = whole[first : first + 8000]
                chunk = audio.read_piece(path, start, 0.5)
                assert chunk.dtype == np.float32 and chunk.shape == expected.shape
                np.testing.assert_allclose(chunk, expected, atol=tolerance, err_msg=f"{start}")


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([4000, 11_025, 16_000, 32_000, 44_099, 44_100, 96_000]),
    frames=st.integers(1, 200_000),
    start=st.floats(0, 6),
    duration=st.floats(0, 6),
    resampler=st.sampled_from(RESAMPLERS),
)
def test_chunks_anywhere(rate, frames, start, duration, resampler):
    data = np.random.default_rng(frames).uniform(-0.5, 0.5, frames)
    file = io.BytesIO(encode(data, rate, "WAV", "FLOAT"))
    whole = audio.load_audio(file, resampler=resampler)
    first = round(start * 16_000)
    expected = whole[first : first + round(duration * 16_000)]
    chunk = audio.read_piece(file, start, duration, resampler=resampler)
    assert chunk.shape == expected.shape
    np.testing.assert_allclose(chunk, expected, atol=3e-6)


@pytest.mark.parametrize("frames", range(32_000, 32_004))
def test_the_last_chunk_ends_where_the_whole_does(tmp_path, frames):
    """At 32 kHz half of all lengths end between two samples; round() then takes the even one."""
    path = saved(tmp_path, encode(np.ones(frames) / 2, 32_000))
    for first in range(15_000, 15_004):
        assert len(audio.read_piece(path, first / 16_000, 9.0)) == round(frames / 2) - first


def test_mp3_chunks_do_not_lack_borrowed_bits(tmp_path):
    """A frame after silence borrows bits from frames before it, which a seek has not seen."""
    path = saved(tmp_path, encode(pulsing_noise(10.0, 44_100), 44_100, "MP3", "MPEG_LAYER_III"))
    whole = audio.load_audio(path)
    for first in range(0, 156_000, 1500):
        chunk = audio.read_piece(path, first / 16_000, 0.1)
        np.testing.assert_allclose(chunk, whole[first : first + 1600], atol=1e-6)


@pytest.mark.parametrize("codec", ["wav16", "flac", "vorbis", "mp3"])
@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_stream_is_the_whole_in_equal_blocks(tmp_path, codec, resampler):
    file_format, subtype, _, _ = CODECS[codec]
    data = pulsing_noise(6.1, 44_100, 2)
    path = saved(tmp_path, encode(data, 44_100, file_format, subtype))
    whole = audio.load_audio(path, resampler=resampler)
    for block_seconds, block in ((0.96, 15_360), (100.0, 1_600_000)):
        blocks = list(audio.stream_audio(path, block_seconds, resampler=resampler))
        assert all(len(part) == block for part in blocks[:-1]) and 0 < len(blocks[-1]) <= block
        np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


def test_chunks_of_real_clips():
    clips = sorted(ESC50.glob("*.ogg"))[::200]
    if not clips:
        pytest.skip(f"no ESC-50 at {ESC50}")
    for clip in clips:
        whole = audio.load_audio(clip)
        for start in np.arange(0.0, 5.0, 0.48):
            first = round(start * 16_000)
            chunk = audio.read_piece(clip, start, 0.96)
            np.testing.assert_array_equal(chunk, whole[first : first + 15_360])


def test_past_the_end_is_empty(tmp_path):
    path = saved(tmp_path, encode(pulsing_noise(1.0, 44_100), 44_100))
    assert audio.read_piece(path, 1.0, 2.0).shape == (0,)
    assert audio.read_piece(path, 99.0, 2.0).shape == (0,)
    assert audio.read_piece(path, 0.25, 2.0).shape == (12_000,)
    assert audio.read_piece(path, 0.25, 0.0).shape == (0,)


def test_mp3_without_a_length_is_read_to_its_end(tmp_path):
    """libsndfile guesses such a length from the first frame, and stops or misses there."""
    whole = encode(pulsing_noise(12.0, 44_100), 44_100, "MP3", "MPEG_LAYER_III")
    offsets = mp3_frame_offsets(whole)
    sizes = np.diff(offsets)
    for first in (1, 1 + int(sizes[1:200].argmax())):  # a small first frame, then a large one
        bare = whole[offsets[first] : offsets[-1]]
        frames = 1152 * (len(sizes) - first)
        path = saved(tmp_path, bare)
        assert audio.probe(path).frames == pytest.approx(frames, abs=1152)
        waveform = audio.load_audio(path)
        assert len(waveform) == pytest.approx(frames * 16_000 / 44_100, abs=1152)
        np.testing.assert_allclose(audio.load_audio(io.BytesIO(bare)), waveform, atol=1e-6)
        chunk = audio.read_piece(path, 9.0, 1.0)
        np.testing.assert_allclose(chunk, waveform[144_000:160_000], atol=1e-6)
        assert len(audio.read_piece(path, 13.0, 1.0)) == 0


def test_threads_do_not_disturb_each_other(tmp_path):
    paths = []
    for number, (file_format, subtype, rates, _) in enumerate(CODECS.values()):
        data = encode(pulsing_noise(2.0, rates[-1], 2, number), rates[-1], file_format, subtype)
        paths.append(saved(tmp_path, data, str(number)))
    expected = [audio.load_audio(path) for path in paths]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for waveform, truth in zip(pool.map(audio.load_audio, paths), expected, strict=True):
                np.testing.assert_allclose(waveform, truth, atol=1e-6)


def test_damaged_set_up_headers_of_vorbis_do_not_end_the_process(tmp_path):
    """Libsndfile's seek crashed on nearly every one of these; children would die of it."""
    from benchmarks.faults.mutants import with_ogg_checksums

    whole = encode(pulsing_noise(5.0, 16_000), 16_000, "OGG", "VORBIS")
    begin = whole.find(b"\x05vorbis")
    end = whole.find(b"OggS", begin)
    for place in range(begin + 30, end, (end - begin) // 20):
        data = bytearray(whole)
        data[place] ^= 0x10
        path = saved(tmp_path, with_ogg_checksums(bytes(data)))
        child = os.fork()
        if not child:
            with contextlib.suppress(AudioError):
                audio.read_piece(path, 0.2, 1.0)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, f"dies of a bit {place - begin} bytes into the header"


# --- flat memory ----------------------------------------------------------------------------------


def test_pieces_of_damaged_alac(tmp_path):
    """Its decoder fills damaged packets up with what the packet before left."""
    sound = pulsing_noise(1.0, 44_100, channels=2)
    data = bytearray(encode(sound, 44_100, "CAF", "ALAC_16"))
    for at in range(0x2000, len(data) - 0x1000, 0x3000):
        data[at : at + 1024] = bytes(1024)
    path = saved(tmp_path, bytes(data), "sound.caf")
    whole = audio.load_audio(path, 44_100)
    for first in range(0, len(whole) - 2000, 1999):
        piece = audio.read_piece(path, first / 44_100, 0.04, 44_100)
        np.testing.assert_allclose(piece, whole[first : first + 1764], atol=1e-6)


@pytest.mark.slow
def test_three_hours_in_flat_memory(tmp_path):
    path = tmp_path / "long.wav"
    n_bytes = 3 * 3600 * 44_100 * 2
    with open(path, "wb") as file:
        file.write(wav_header(n_bytes))
        file.truncate(44 + n_bytes)  # a sparse file: zeros that take no disk
    script = """
        import itertools, resource, sys
        from audio_triplet import audio
        path = sys.argv[1]
        audio.read_piece(path, 0, 1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for start in (0, 5000.3, 10_789.5):
            assert len(audio.read_piece(path, start, 10.56)) in (168_960, 168_000)
        # The first hour: it would be 230 MB if it were kept.
        hour = itertools.islice(audio.stream_audio(path), 360)
        assert sum(len(block) for block in hour) == 3600 * 16_000
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < 64, f"{grown} MB"
        assert "tensorflow" not in sys.modules
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert result.returncode == 0, result.stderr


def shifted(data, granules):
    """An Ogg file whose pages with sound all state positions that are off by so many granules."""
    from benchmarks.faults.mutants import with_ogg_checksums

    data, offset = bytearray(data), 0
    while offset < len(data):
        (stated,) = struct.unpack_from("<q", data, offset + 6)
        if stated > 0:
            struct.pack_into("<q", data, offset + 6, stated + granules)
        body = offset + 27 + data[offset + 26]
        offset = body + sum(data[offset + 27 : body])
    return with_ogg_checksums(bytes(data))


def one_page_shifted(data):
    """A page in the middle, and all after it, state positions that are 441 granules too late."""
    half = data.find(b"OggS", len(data) // 2)
    return data[:half] + shifted(data[half:], 441)


# What cutting without decoding leaves (`ffmpeg -c copy`, `vcut`): the first page's position is not
# the number of samples in it.
CUT_STREAMS = {
    "vorbis, first page trimmed a little": lambda: shifted(LONG_VORBIS, -100),
    "vorbis, first page trimmed": lambda: shifted(LONG_VORBIS, -1000),
    "vorbis, begins late": lambda: shifted(LONG_VORBIS, 5000),
    "vorbis, begins very late": lambda: shifted(LONG_VORBIS, 1_000_000),
    "vorbis, a gap": lambda: one_page_shifted(LONG_VORBIS),
    "opus, begins late": lambda: shifted(LONG_OPUS, 144_000),
}
LONG_VORBIS = encode(pulsing_noise(12.0, 44_100), 44_100, "OGG", "VORBIS")
LONG_OPUS = encode(pulsing_noise(12.0, 48_000), 48_000, "OGG", "OPUS")


@pytest.mark.parametrize("kind", CUT_STREAMS)
def test_pieces_of_ogg_streams_whose_positions_do_not_add_up(tmp_path, kind):
    path = saved(tmp_path, CUT_STREAMS[kind](), "cut.ogg")
    whole = audio.load_audio(path)
    for start in (0.01, 1.0, 3.3, 5.9, 6.1, 7.77, 9.5, 11.2, 11.9):
        piece = audio.read_piece(path, start, 0.5)
        first = round(start * 16_000)
        np.testing.assert_allclose(piece, whole[first : first + 8000], atol=1e-5)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_whole_ogg_streams_are_proven_by_their_packets(tmp_path, subtype):
    """The count of the packets is libsndfile's length; of several sizes and kinds of block."""
    for rate, channels, seconds in ((48_000, 1, 12.0), (16_000, 2, 3.3), (48_000, 2, 2.3)):
        data = encode(pulsing_noise(seconds, rate, channels), rate, "OGG", subtype)
        length = ogg_pages.proven_length(io.BytesIO(data), len(data))
        skipped = struct.unpack_from("<H", data, data.find(b"OpusHead") + 10)[0]
        expected = round(seconds * (48_000 if subtype == "OPUS" else rate))
        assert length == expected + (skipped if subtype == "OPUS" else 0)
        for wrong in (shifted(data, 1), data[:-1], data + b"x", data + data):
            assert ogg_pages.proven_length(io.BytesIO(wrong), len(wrong)) is None


def test_whatever_one_decoder_raises_is_offered_to_the_other(tmp_path, monkeypatch):
    path = saved(tmp_path, encode(pulsing_noise(1.0, 16_000), 16_000))
    expected = audio.load_audio(path)
    monkeypatch.setattr(soundfile.SoundFile, "read", raising(RuntimeError("no")))
    log = audio.ReadLog()
    np.testing.assert_array_equal(audio.load_audio(str(path), log=log), expected)
    assert log.decoders == {str(path): "ffmpeg"}
    np.testing.assert_array_equal(audio.read_piece(path, 0.5, 0.2), expected[8000:11200])
    monkeypatch.setattr(PyavDecoder, "_open", raising(AudioError(str(path), "neither")))
    with pytest.raises(AudioError, match=f"{path}: neither"):
        audio.load_audio(path)


def test_a_decoder_that_fails_halfway_is_relieved_there(tmp_path, monkeypatch):
    path = saved(tmp_path, encode(pulsing_noise(20.0, 44_100, 2), 44_100, "FLAC"))
    expected, read = audio.load_audio(path), soundfile.SoundFile.read
    calls = []

    def failing(self, *args, **kwargs):
        calls.append(args)
        if len(calls) > 3:
            raise soundfile.LibsndfileError(1)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", failing)
    log = audio.ReadLog()
    np.testing.assert_allclose(audio.load_audio(str(path), log=log), expected, atol=1e-6)
    assert len(calls) == 4 and log.decoders == {str(path): "ffmpeg"}


@pytest.mark.parametrize("codec", CODECS)
def test_what_libsndfile_reads_is_read_by_it(tmp_path, codec):
    """No fault of its decoder hides behind the other's help."""
    file_format, subtype, rates, _ = CODECS[codec]
    data = encode(pulsing_noise(9.0, rates[0], 2), rates[0], file_format, subtype)
    path, log = str(saved(tmp_path, data)), audio.ReadLog()
    audio.load_audio(path, log=log)
    assert log.decoders == {path: "libsndfile"}
    for start in (0.0, 3.0, 7.5):
        audio.read_piece(path, start, 1.0, log=log)
        assert log.decoders == {path: "libsndfile"}


def test_what_happens_at_closing_is_no_fault_of_the_sound(tmp_path, monkeypatch):
    path = saved(tmp_path, encode(pulsing_noise(1.0, 16_000), 16_000))
    expected = audio.load_audio(path)
    monkeypatch.setattr(soundfile.SoundFile, "close", raising(OSError("gone")))
    np.testing.assert_array_equal(audio.load_audio(path), expected)


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail
