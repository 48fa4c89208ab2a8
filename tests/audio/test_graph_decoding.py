"""In-graph decoding against libsndfile."""

import io
import struct

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from audio_triplet import audio
from audio_triplet.audio import graph_decoding

needs_tensorflow_io = pytest.mark.skipif(
    not graph_decoding.tensorflow_io_works(),
    reason="tensorflow-io's native ops do not run under this TensorFlow",
)

decode = tf.function(graph_decoding.decode, input_signature=[tf.TensorSpec([], tf.string)])
load = tf.function(graph_decoding.load, input_signature=[tf.TensorSpec([], tf.string)])

WAVS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAVEX", "PCM_16"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
]
OTHERS = [
    ("FLAC", "PCM_S8", 0.0),
    ("FLAC", "PCM_16", 0.0),
    ("FLAC", "PCM_24", 0.0),
    ("OGG", "VORBIS", 1e-5),
    ("MP3", "MPEG_LAYER_III", 1e-5),
]


def smooth_noise(frames, channels=1, seed=0):
    """Noise with little above a third of the band, as lossy codecs like it."""
    noise = np.random.default_rng(seed).standard_normal((frames + 7, channels))
    return 0.3 * np.stack([np.convolve(c, np.ones(8) / 8, "valid") for c in noise.T], axis=1)


def band_limited_noise(frames, rate, seed=0):
    """Stereo noise below 0.85 of 16 kHz's and its own Nyquist, where all filters are flat."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((2, frames)))
    spectrum[:, np.fft.rfftfreq(frames, 1 / rate) > 0.85 * min(rate, 16_000) / 2] = 0.0
    noise = np.fft.irfft(spectrum, frames) * np.hanning(frames)  # its ends are silent, too
    return 0.1 * (noise / noise.std()).T  # so that nothing is clipped


def encode(data, rate, file_format, subtype) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, data, rate, format=file_format, subtype=subtype)
    return stream.getvalue()


def check_decoding(data, tolerance):
    expected, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    waveform, graph_rate = decode(data)
    assert graph_rate.numpy() == rate and graph_rate.dtype == tf.int32
    assert waveform.dtype == tf.float32
    np.testing.assert_allclose(waveform.numpy(), expected, rtol=0, atol=tolerance)


# --- decoding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format, subtype", WAVS)
def test_wav_to_the_bit_and_without_tensorflow_io(file_format, subtype):
    for rate, channels in ((8000, 1), (44_100, 2), (192_000, 8)):
        data = encode(smooth_noise(5001, channels), rate, file_format, subtype)
        check_decoding(data, 0.0)


@needs_tensorflow_io
@pytest.mark.parametrize("file_format, subtype, tolerance", OTHERS)
@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_compressed_formats(file_format, subtype, tolerance, rate):
    for channels in (1, 2):
        check_decoding(encode(smooth_noise(rate, channels), rate, file_format, subtype), tolerance)


@needs_tensorflow_io
def test_mp3_behind_an_id3_tag():
    plain = encode(smooth_noise(20_000), 22_050, "MP3", "MPEG_LAYER_III")
    tag = b"ID3\x04\0\0" + bytes([0, 0, 2, 1]) + bytes(257)
    check_decoding(tag + plain, 1e-5)


def test_wav_with_other_chunks_first():
    plain = encode(smooth_noise(1000), 16_000, "WAV", "PCM_16")
    odd_chunk = b"JUNK" + struct.pack("<I", 5) + b"datax" + b"\0"
    check_decoding(plain[:12] + odd_chunk + plain[12:], 0.0)


def test_wav_written_to_a_pipe():
    plain = encode(smooth_noise(1000), 16_000, "WAV", "PCM_16")
    assert plain[36:40] == b"data"
    check_decoding(plain[:40] + b"\xff\xff\xff\xff" + plain[44:], 0.0)


@pytest.mark.parametrize(
    "contents, message",
    [
        (b"", "is not WAV, FLAC"),
        (b"R", "is not WAV, FLAC"),
        (b"no audio at all" * 10, "is not WAV, FLAC"),
        (b"RIFF\0\0\0\0WAVE", "WAV without fmt or data"),
        (encode(smooth_noise(4000), 16_000, "WAV", "PCM_16")[:4000], "is truncated"),
        (encode(smooth_noise(4000), 16_000, "WAV", "ULAW"), "of a kind that is not read"),
        (encode(smooth_noise(4000), 16_000, "OGG", "OPUS"), "is not WAV, FLAC"),
        (encode(np.zeros((0, 1)), 16_000, "WAV", "PCM_16"), "holds no audio"),
        (encode(np.full((9, 1), np.nan), 16_000, "WAV", "FLOAT"), "holds NaN"),
    ],
)
def test_bad_files_are_named(tmp_path, contents, message):
    path = tmp_path / "bad.wav"
    path.write_bytes(contents)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        load(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "contents, message",
    [
        (b"RIFF\0\0\0\0WAVE", "WAV without fmt or data"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1", "WAV without fmt or data"),
        pytest.param(b"fLaC", "FLAC of a depth not read", marks=needs_tensorflow_io),
        pytest.param(b"fLaC" + bytes(15), "FLAC of a depth not read", marks=needs_tensorflow_io),
        pytest.param(b"ID3", "no MPEG frame", marks=needs_tensorflow_io),
        pytest.param(b"ID3\4\0\0\0\0\1\0", "no MPEG frame", marks=needs_tensorflow_io),
    ],
)
def test_cut_headers_are_named_whichever_op_runs_first(contents, message):
    # Once a read beyond the end raced with the assertion, and won in most of such runs.
    graph = tf.function(graph_decoding.decode)
    for _ in range(100):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
            graph(tf.constant(contents), tf.constant("cut.wav"))
        assert "cut.wav" in str(caught.value)


@needs_tensorflow_io
@pytest.mark.parametrize("file_format, subtype", [o[:2] for o in OTHERS])
def test_damage_is_an_error_or_finite_samples(tmp_path, file_format, subtype):
    intact = encode(smooth_noise(30_000), 22_050, file_format, subtype)
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    for number in range(30):
        data = bytearray(intact)
        # FLAC is only cut: its decoder hangs on some flipped bits, as the module says.
        if number % 3 == 0 or file_format == "FLAC":
            del data[rng.integers(len(data)) :]
        else:
            for _ in range(8):
                data[rng.integers(len(data) if number % 3 == 1 else 200)] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(data))
        try:
            waveform = load(str(path)).numpy()
        except tf.errors.OpError:
            continue
        assert file_format != "FLAC"
        assert np.isfinite(waveform).all()


def test_missing_file_is_named():
    with pytest.raises(tf.errors.NotFoundError, match="missing.wav"):
        load("missing.wav")


# --- whole files ----------------------------------------------------------------------------------


@needs_tensorflow_io
@pytest.mark.parametrize("file_format, subtype", [w for w in WAVS[:3]] + [o[:2] for o in OTHERS])
def test_load_agrees_with_load_audio(tmp_path, file_format, subtype):
    for rate in (8000, 16_000, 32_000, 44_100):
        path = tmp_path / "sound"
        data = encode(band_limited_noise(rate + 3, rate), rate, file_format, subtype)
        path.write_bytes(data)
        waveform, expected = load(str(path)).numpy(), audio.load_audio(path)
        assert waveform.shape == expected.shape and waveform.dtype == np.float32
        # What 8 bits, Vorbis and MP3 add is above that band, where the filters differ.
        is_clean = subtype in ("PCM_16", "PCM_24")
        tolerance = 1e-5 if rate == 16_000 else 3e-4 if is_clean else 1e-2
        np.testing.assert_allclose(waveform, expected, atol=tolerance)


@pytest.mark.parametrize("seconds", [1, 40])
def test_silent_channels_do_not_count(tmp_path, seconds):
    for carrying in ([0], [1, 2], []):
        sound = np.zeros((seconds * 16_000, 4))
        sound[len(sound) // 2 :, carrying] = smooth_noise(len(sound) // 2)
        path = str(tmp_path / "sound.wav")
        soundfile.write(path, sound, 16_000)
        np.testing.assert_allclose(graph_decoding.load(path), audio.load_audio(path), atol=1e-6)


def test_in_a_dataset(tmp_path):
    paths = []
    for number, rate in enumerate((8000, 16_000, 44_100, 48_000)):
        path = tmp_path / f"{number}.wav"
        path.write_bytes(encode(smooth_noise(rate, 1, number), rate, "WAV", "PCM_16"))
        paths.append(str(path))
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    dataset = dataset.map(graph_decoding.load, num_parallel_calls=2).batch(4)
    assert dataset.element_spec.dtype == tf.float32
    assert next(iter(dataset)).shape == (4, 16_000)


def test_without_tensorflow_io_wav_is_decoded_and_flac_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_decoding, "tensorflow_io_works", lambda: False)
    load_now = tf.function(graph_decoding.load)
    for name, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16")):
        (tmp_path / name).write_bytes(encode(smooth_noise(999), 16_000, name, subtype))
    waveform = load_now(tf.constant(str(tmp_path / "WAV")))
    np.testing.assert_array_equal(waveform, audio.load_audio(tmp_path / "WAV"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="FLAC.*needs tensorflow-io"):
        load_now(tf.constant(str(tmp_path / "FLAC")))


def test_failing_tensorflow_io_is_told_once(monkeypatch):
    """As under TensorFlow 2.18 and later: the import succeeds, each op raises."""
    import sys
    import types

    def fail(*args, **kwargs):
        raise NotImplementedError("unable to open file: libtensorflow_io.so\nmore lines")

    broken = types.SimpleNamespace(audio=types.SimpleNamespace(decode_flac=fail))
    monkeypatch.setitem(sys.modules, "tensorflow_io", broken)
    said = []
    monkeypatch.setattr(graph_decoding.logging, "warning", lambda *args: said.append(args))
    graph_decoding.tensorflow_io_works.cache_clear()
    try:
        assert not graph_decoding.tensorflow_io_works()
        assert not graph_decoding.tensorflow_io_works()
    finally:
        graph_decoding.tensorflow_io_works.cache_clear()
    assert len(said) == 1 and "libtensorflow_io.so" in said[0][2] and "\n" not in said[0][2]
