"""Files that are refused, by cause and fix; and those that look like it and are not."""

import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_triplet import audio
from audio_triplet.audio import reading
from audio_triplet.errors import AudioError
from tests.audio.sounds import encode, pulsing_noise, saved, wav_header


def flac_claiming(frames, data):
    data = bytearray(data)
    data[21:26] = (data[21] >> 4 << 36 | frames).to_bytes(5, "big")
    return bytes(data)


def opus_claiming(granule):
    from benchmarks.faults.mutants import with_ogg_checksums

    data = bytearray(encode(pulsing_noise(5.0, 16_000), 16_000, "OGG", "OPUS"))
    struct.pack_into("<q", data, bytes(data).rfind(b"OggS") + 6, granule)
    return with_ogg_checksums(bytes(data))


WHOLE_FLAC = encode(pulsing_noise(0.5, 16_000), 16_000, "FLAC")
SHORT_FLAC = WHOLE_FLAC[:-1] + b"\0"  # its last frame's checksum is wrong
CLAIMS = {
    "flac, 2^36 - 1 frames": (flac_claiming(2**36 - 1, SHORT_FLAC), "cannot be"),
    "flac, 60 times its size": (flac_claiming(60 * len(SHORT_FLAC), SHORT_FLAC), None),
    "flac, 2,000 times its size": (flac_claiming(2000 * len(SHORT_FLAC), SHORT_FLAC), "are not"),
    "opus, 2^40 granules": (opus_claiming(2**40), "cannot be"),
    "opus, 2^25 granules": (opus_claiming(2**25), "cannot be|are not"),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_boundless_claim_is_refused_before_chunks_are_laid_out(tmp_path, kind):
    """Of a claim that is not refused at once, the lack is noticed after one block."""
    data, reason = CLAIMS[kind]
    path = saved(tmp_path, data)
    if reason:
        with pytest.raises(AudioError, match=rf"claims .* hours, which {reason}.* in its"):
            audio.probe(path)
    else:
        assert audio.probe(path).frames == 60 * len(SHORT_FLAC)
    with pytest.raises(AudioError):
        audio.load_audio(path)


def test_a_flac_whose_last_frame_is_whole_has_the_length_of_its_frames(tmp_path):
    """Whatever its header claims."""
    expected = audio.load_audio(saved(tmp_path, WHOLE_FLAC, "right.flac"))
    for claim in (2**36 - 1, 60 * len(WHOLE_FLAC), 8001):
        path = saved(tmp_path, flac_claiming(claim, WHOLE_FLAC))
        assert audio.probe(path).frames == 8000
        np.testing.assert_array_equal(audio.load_audio(path), expected)
        np.testing.assert_array_equal(audio.read_piece(path, 0.25, 1.0), expected[4000:])


def test_silence_may_be_small(tmp_path):
    """300 samples a byte, and all of them are there."""
    silence = encode(np.zeros((60 * 44_100, 1)), 44_100, "FLAC")
    assert 200 * len(silence) < 60 * 44_100
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
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named_with_cause_and_fix(tmp_path, kind):
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
