"""audio_triplet.audio against the samples written, analytic sines, and itself in pieces."""

import concurrent.futures
import contextlib
import io
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_triplet import audio
from audio_triplet.audio import RESAMPLERS, AudioInfo, libsndfile, reading
from audio_triplet.errors import AudioError

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ESC50 = REPOSITORY.parent / "shared" / "corpora" / "esc50" / "audio"

# (format, subtype, rates, tolerance of a piece against the whole)
CODECS = {
    "wav16": ("WAV", "PCM_16", (8000, 16000, 22050, 44100, 48000), 1e-6),
    "wav_float": ("WAV", "FLOAT", (11025, 44100), 1e-6),
    "wav_adpcm": ("WAV", "IMA_ADPCM", (16000, 44100), 1e-6),
    "aiff24": ("AIFF", "PCM_24", (48000,), 1e-6),
    "flac": ("FLAC", "PCM_16", (8000, 44100, 96000), 1e-6),
    "vorbis": ("OGG", "VORBIS", (8000, 16000, 44100, 48000), 1e-6),
    "opus": ("OGG", "OPUS", (8000, 16000, 48000), 2e-3),  # its decoder's state is long-lived
    "mp3": ("MP3", "MPEG_LAYER_III", (8000, 16000, 44100, 48000), 1e-6),
}


def encode(data, rate, file_format="WAV", subtype="PCM_16") -> bytes:
    """Sound file bytes. Written in parts: libvorbis overflows the stack on one long array."""
    data = np.asarray(data)
    stream = io.BytesIO()
    channels = data.shape[1] if data.ndim == 2 else 1
    with soundfile.SoundFile(
        stream, "w", rate, channels, format=file_format, subtype=subtype
    ) as sound:
        for start in range(0, len(data), 8192):
            sound.write(data[start : start + 8192])
    return stream.getvalue()


def pulsing_noise(seconds, rate, channels=1, seed=0):
    """Noise in swells, with a digital silence inside: hard on bit reservoirs and Ogg pages."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * rate)
    time = np.arange(frames) / rate
    swell = np.sin(2 * np.pi * time / 1.7) ** 4 * ((time < 0.4 * seconds) | (time > 0.6 * seconds))
    return 0.3 * swell[:, np.newaxis] * rng.standard_normal((frames, channels))


def sine(frequency, frames, rate):
    return np.sin(2 * np.pi * frequency * np.arange(frames) / rate + 0.5)


def saved(tmp_path, data, name="sound") -> pathlib.Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def mp3_frame_offsets(data):
    """Offsets of all MPEG layer III frames, by walking their headers."""
    kbps = (
        (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    )
    hertz = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
    offset, offsets = 0, []
    if data[:3] == b"ID3":
        offset = 10 + sum((b & 127) << s for b, s in zip(data[6:10], (21, 14, 7, 0), strict=True))
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        offsets.append(offset)
        version, index = data[offset + 1] >> 3 & 3, data[offset + 2]
        rate = hertz[version][index >> 2 & 3]
        bits = kbps[version != 3][index >> 4] * 1000
        offset += (144 if version == 3 else 72) * bits // rate + (index >> 1 & 1)
    return [*offsets, offset]


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


# --- pieces and streams equal the whole -----------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
def test_pieces_are_parts_of_the_whole(tmp_path, codec):
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
                piece = audio.read_piece(path, start, 0.5)
                assert piece.dtype == np.float32 and piece.shape == expected.shape
                np.testing.assert_allclose(piece, expected, atol=tolerance, err_msg=f"{start}")


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([4000, 11_025, 16_000, 32_000, 44_099, 44_100, 96_000]),
    frames=st.integers(1, 200_000),
    start=st.floats(0, 6),
    duration=st.floats(0, 6),
    resampler=st.sampled_from(RESAMPLERS),
)
def test_pieces_anywhere(rate, frames, start, duration, resampler):
    data = np.random.default_rng(frames).uniform(-0.5, 0.5, frames)
    file = io.BytesIO(encode(data, rate, "WAV", "FLOAT"))
    whole = audio.load_audio(file, resampler=resampler)
    first = round(start * 16_000)
    expected = whole[first : first + round(duration * 16_000)]
    piece = audio.read_piece(file, start, duration, resampler=resampler)
    assert piece.shape == expected.shape
    np.testing.assert_allclose(piece, expected, atol=3e-6)


@pytest.mark.parametrize("frames", range(32_000, 32_004))
def test_the_last_piece_ends_where_the_whole_does(tmp_path, frames):
    """At 32 kHz half of all lengths end between two samples; round() then takes the even one."""
    path = saved(tmp_path, encode(np.ones(frames) / 2, 32_000))
    for first in range(15_000, 15_004):
        assert len(audio.read_piece(path, first / 16_000, 9.0)) == round(frames / 2) - first


def test_mp3_pieces_do_not_lack_borrowed_bits(tmp_path):
    """A frame after silence borrows bits from frames before it, which a seek has not seen."""
    path = saved(tmp_path, encode(pulsing_noise(10.0, 44_100), 44_100, "MP3", "MPEG_LAYER_III"))
    whole = audio.load_audio(path)
    for first in range(0, 156_000, 1500):
        piece = audio.read_piece(path, first / 16_000, 0.1)
        np.testing.assert_allclose(piece, whole[first : first + 1600], atol=1e-6)


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


def test_pieces_of_real_clips():
    clips = sorted(ESC50.glob("*.ogg"))[::200]
    if not clips:
        pytest.skip(f"no ESC-50 at {ESC50}")
    for clip in clips:
        whole = audio.load_audio(clip)
        for start in np.arange(0.0, 5.0, 0.48):
            first = round(start * 16_000)
            piece = audio.read_piece(clip, start, 0.96)
            np.testing.assert_array_equal(piece, whole[first : first + 15_360])


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
        piece = audio.read_piece(path, 9.0, 1.0)
        np.testing.assert_allclose(piece, waveform[144_000:160_000], atol=1e-6)
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


def wav_header(n_bytes, rate=44_100, channels=1, bits=16, tag=1):
    block = channels * bits // 8
    fields = (b"fmt ", 16, tag, channels, rate, rate * block, block, bits, b"data", n_bytes)
    riff = struct.pack("<4sI4s", b"RIFF", min(n_bytes + 36, 2**32 - 1), b"WAVE")
    return riff + struct.pack("<4sIHHIIHH4sI", *fields)


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


def flac_claiming(frames, data):
    data = bytearray(data)
    data[21:26] = (data[21] >> 4 << 36 | frames).to_bytes(5, "big")
    return bytes(data)


def opus_claiming(granule):
    from benchmarks.faults.mutants import with_ogg_checksums

    data = bytearray(encode(pulsing_noise(5.0, 16_000), 16_000, "OGG", "OPUS"))
    struct.pack_into("<q", data, bytes(data).rfind(b"OggS") + 6, granule)
    return with_ogg_checksums(bytes(data))


SHORT_FLAC = encode(pulsing_noise(0.5, 16_000), 16_000, "FLAC")
BOASTS = {
    "flac, 2^36 - 1 frames": (flac_claiming(2**36 - 1, SHORT_FLAC), "cannot be"),
    "flac, 60 times its size": (flac_claiming(60 * len(SHORT_FLAC), SHORT_FLAC), None),
    "flac, 2,000 times its size": (flac_claiming(2000 * len(SHORT_FLAC), SHORT_FLAC), "are not"),
    "opus, 2^40 granules": (opus_claiming(2**40), "cannot be"),
    "opus, 2^25 granules": (opus_claiming(2**25), "cannot be|are not"),
}


@pytest.mark.parametrize("kind", BOASTS)
def test_a_boundless_claim_is_refused_before_pieces_are_laid_out(tmp_path, kind):
    """Of a claim that is not refused at once, the lack is noticed after one block."""
    data, reason = BOASTS[kind]
    path = saved(tmp_path, data)
    if reason:
        with pytest.raises(AudioError, match=rf"claims .* hours, which {reason}.* in its"):
            audio.probe(path)
    else:
        assert audio.probe(path).frames == 60 * len(SHORT_FLAC)
    with pytest.raises(AudioError):
        audio.load_audio(path)


def test_silence_may_be_small(tmp_path):
    """300 samples a byte, and all of them are there."""
    silence = encode(np.zeros((60 * 44_100, 1)), 44_100, "FLAC")
    assert 60 * 44_100 > 200 * len(silence)
    path = saved(tmp_path, silence)
    assert audio.probe(path).duration_seconds == 60
    assert len(audio.load_audio(path)) == 60 * 16_000


def test_load_audio_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LOADED_SECONDS", 20)
    path = saved(tmp_path, encode(np.zeros(21 * 16_000), 16_000))
    with pytest.raises(AudioError, match="is longer than .* h; read it by stream_audio"):
        audio.load_audio(path)
    assert sum(map(len, audio.stream_audio(path))) == 21 * 16_000


# --- bad input ------------------------------------------------------------------------------------


def poisoned(value):
    data = pulsing_noise(0.5, 16_000).astype(np.float32)
    data[4000] = value
    return encode(data, 16_000, "WAV", "FLOAT")


def with_rate(rate):
    data = bytearray(encode(np.zeros(2000), 16_000))
    data[24:28] = struct.pack("<I", rate)
    return bytes(data)


def half(*args):
    data = encode(pulsing_noise(3.0, 16_000), 16_000, *args)
    return data[: len(data) // 2]


BAD = {
    "empty": (b"", r"is empty \(0 bytes\); fetch it again"),
    "text": (b"not audio at all\n" * 100, "cannot be decoded .Format not recognised.*convert it"),
    "web page": (b"<!DOCTYPE html><html>404</html>", "cannot be decoded"),
    "random": (np.random.default_rng(0).bytes(5000), "cannot be decoded"),
    "one byte": (b"R", "cannot be decoded"),
    "no frames": (encode(np.zeros((0, 1)), 16_000), "holds no audio"),
    "nan": (poisoned(np.nan), r"NaN or infinite sample at 0\.250 s; export it again"),
    "inf": (poisoned(-np.inf), r"NaN or infinite sample at 0\.250 s"),
    "huge": (poisoned(1e30), r"beyond ±1e10 at 0\.250 s; scale it"),
    "rate 0": (with_rate(0), "claims a sample rate of 0 Hz|cannot be decoded"),
    "rate 500": (with_rate(500), "claims a sample rate of 500 Hz; only 1000 to 1000000"),
    "rate 2e9": (with_rate(2_000_000_000), "claims a sample rate of 2000000000 Hz"),
    "many channels": (wav_header(4000, channels=500) + bytes(4000), "claims 500 channels"),
    "cut wav": (half(), "is truncated: 1.50 s of 3.00 s are there; fetch it again"),
    "cut float wav": (half("WAV", "FLOAT"), "is truncated"),
    "cut aiff": (half("AIFF", "PCM_16"), "is truncated"),
    "cut flac": (half("FLAC", "PCM_16"), "cannot be decoded|is truncated"),
    "cut vorbis": (half("OGG", "VORBIS"), "is truncated: its last Ogg page is cut"),
    "cut opus": (half("OGG", "OPUS"), "is truncated"),
    "cut mp3": (half("MP3", "MPEG_LAYER_III"), r"is truncated: 1\.\d+ s of 3\.00 s"),
    "header only": (wav_header(100_000), "holds no audio|truncated"),
    "chained ogg": (
        encode(pulsing_noise(1, 16_000), 16_000, "OGG", "VORBIS")
        + encode(pulsing_noise(2, 16_000), 16_000, "OGG", "VORBIS"),
        "is a chain of Ogg streams",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named_with_cause_and_mend(tmp_path, kind):
    data, pattern = BAD[kind]
    path = saved(tmp_path, data, "bad.wav")
    for read in (audio.load_audio, lambda p: audio.read_piece(p, 0.0, 9.0)):
        with pytest.raises(AudioError, match=pattern) as caught:
            read(path)
        error = caught.value
        assert isinstance(error, ValueError)
        assert error.path == str(path) and error.reason and error.fix
        assert str(error) == f"{path}: {error.reason}; {error.fix}"
        assert "\n" not in str(error)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(AudioError, match=r"missing\.wav: no such file"):
        audio.probe(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="is a directory"):
        audio.load_audio(tmp_path)
    with pytest.raises(AudioError, match="is no path"):
        audio.load_audio("nul\0byte.wav")
    os.mkfifo(tmp_path / "fifo.wav")
    with pytest.raises(AudioError, match="is not a regular file"):
        audio.load_audio(tmp_path / "fifo.wav")
    odd = saved(tmp_path, b"x", "two\nlines.wav")
    with pytest.raises(AudioError, match=r"two\\nlines\.wav"):
        audio.load_audio(odd)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file(tmp_path):
    path = saved(tmp_path, encode(np.zeros(100), 16_000))
    path.chmod(0)
    with pytest.raises(AudioError, match="may not be read; change its permissions"):
        audio.load_audio(path)


def test_forbidden_file_for_root_too(tmp_path, monkeypatch):
    path = saved(tmp_path, encode(np.zeros(100), 16_000))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(AudioError, match="may not be read; change its permissions"):
        audio.load_audio(path)


def test_wav_written_to_a_pipe_is_whole(tmp_path):
    """Its writer could not know the size, and put the largest number there is."""
    samples = np.arange(-1000, 1000, dtype="<i2")
    data = wav_header(0xFFFF_FFFF, rate=16_000) + samples.tobytes()
    path = saved(tmp_path, data)
    np.testing.assert_array_equal(audio.load_audio(path), samples / np.float32(2**15))


def test_a_few_missing_bytes_are_no_truncation(tmp_path):
    data = encode(pulsing_noise(3.0, 16_000), 16_000)
    assert len(audio.load_audio(saved(tmp_path, data[:-100]))) == 48_000 - 50


def test_error_survives_pickling():
    error = AudioError("a.wav", "is empty", "fetch it")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason, copy.fix, str(copy)) == (
        "a.wav",
        "is empty",
        "fetch it",
        "a.wav: is empty; fetch it",
    )


def test_arguments_out_of_range(tmp_path):
    path = saved(tmp_path, encode(np.zeros(100), 16_000))
    for call in (
        lambda: audio.load_audio(path, resampler="linear"),
        lambda: audio.load_audio(path, sample_rate=0),
        lambda: audio.read_piece(path, -1.0, 1.0),
        lambda: audio.read_piece(path, 0.0, float("inf")),
        lambda: audio.read_piece(path, float("nan"), 1.0),
        lambda: list(audio.stream_audio(path, block_seconds=0.0)),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert not isinstance(caught.value, AudioError)


INTACT = [
    encode(pulsing_noise(1.5, 22_050, 2), 22_050, file_format, subtype)
    for file_format, subtype in (
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
    )
]


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from(INTACT)))
    size = len(data)
    where = st.integers(0, size - 1) | st.integers(0, 200)  # headers are small, and matter most
    kind = draw(st.sampled_from(["cut", "flip", "overwrite", "drop"]))
    if kind == "cut":
        return bytes(data[: draw(where)])
    for _ in range(draw(st.integers(1, 12))):
        offset = draw(where)
        if kind == "flip":
            data[offset % len(data)] ^= 1 << draw(st.integers(0, 7))
        elif kind == "overwrite":
            garbage = draw(st.binary(min_size=1, max_size=40))
            data[offset : offset + len(garbage)] = garbage
        else:
            del data[offset : offset + draw(st.integers(1, 500))]
    return bytes(data)


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=damaged(), start=st.floats(0, 2))
def test_damaged_files_give_an_error_or_finite_samples(tmp_path, data, start):
    path = saved(tmp_path, data, "damaged.bin")
    for read in (audio.load_audio, lambda p: audio.read_piece(p, start, 0.5)):
        try:
            waveform = read(path)
        except AudioError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        else:
            assert waveform.dtype == np.float32 and waveform.ndim == 1
            assert np.isfinite(waveform).all()
