"""Sound files to waveforms inside the TensorFlow graph, for pipelines that cannot run Python.

Its use is the tf.data service, whose workers run graphs, not Python functions (tested in
tests/data/test_data_service.py). What it costs: 44.1 kHz FLAC is read at 205 times real time on one
core, by libsndfile at 842; WAV at 956, by libsndfile at 1,471 (BUILD_NOTES, "Speed").

Elsewhere use `audio_triplet.audio`: libsndfile decodes FLAC and Ogg faster, reads more formats,
reads parts of long files, and its errors are clearer.

WAV is decoded by TensorFlow's own ops; FLAC, Ogg Vorbis and MP3 by tensorflow-io's, which exist in
TensorFlow 2.16 and 2.17 only. Under other versions `import tensorflow_io` succeeds all the same and
each op fails when called: ask `tensorflow_io_works` first. Worker processes, too, must import
tensorflow_io, for its ops to be registered there.

Only give these decoders files that `audio_triplet.audio.load_audio` has read once: tensorflow-io's
FLAC decoder never returns from some files with flipped bits, and passes others as if they were
sound; a cut Ogg file is read up to the cut. Cut FLAC and MP3 files are errors.
"""

from __future__ import annotations

import functools
import io

import numpy as np
import soundfile
import tensorflow as tf
from absl import logging

from audio_triplet.audio import channels
from audio_triplet.audio.graph_resampling import resample


@functools.cache
def tensorflow_io_works() -> bool:
    """Whether tensorflow-io's decoders run in this process; tried once, with a real FLAC stream.

    Where they do not, the log says so once.
    """
    samples = np.arange(-32, 32, dtype=np.int16) * 1000
    stream = io.BytesIO()
    soundfile.write(stream, samples, 16_000, format="FLAC", subtype="PCM_16")
    try:
        import tensorflow_io as tfio

        with tf.init_scope():  # callable while a graph is being built
            decoded = tfio.audio.decode_flac(stream.getvalue(), dtype=tf.int16)
        works = bool(np.array_equal(decoded.numpy()[:, 0], samples))
        reason = "" if works else "its decoder returns other samples"
    except Exception as error:  # whatever a mismatched native library may raise
        works, reason = False, f"{type(error).__name__}: {str(error).splitlines()[0]}"
    if not works:
        logging.warning(
            "tensorflow-io fails under TensorFlow %s (%s): decoding with libsndfile instead",
            tf.__version__,
            reason,
        )
    return works


@tf.autograph.experimental.do_not_convert
def load(path: tf.Tensor, sample_rate: int = 16_000) -> tf.Tensor:
    """Reads, decodes, mixes down and resamples a sound file, all in the graph.

    Args:
        path: string[], anything `tf.io.read_file` reads (gs:// too).
        sample_rate: of the result, Hz.

    Returns:
        float32[samples], mono, finite; as many samples as `audio_triplet.audio.load_audio` returns.

    Raises:
        tf.errors.OpError: the file is missing, corrupt, without audio or of an unknown format.
            The text names the file, except where a native decoder gives up.
    """
    waveform, rate = decode(tf.io.read_file(path), name=path)
    holds_sound = tf.debugging.Assert(tf.size(waveform) > 0, [path, "holds no audio"])
    with tf.control_dependencies([holds_sound]):
        mono = tf.reduce_sum(waveform, axis=1) / _carrying(tf.identity(waveform))
    is_finite = tf.reduce_all(tf.math.is_finite(mono))
    finite = tf.debugging.Assert(is_finite, [path, "holds NaN or infinite samples"])
    with tf.control_dependencies([finite]):
        return resample(mono, rate, sample_rate)


def _carrying(waveform: tf.Tensor) -> tf.Tensor:
    """How many channels carry sound, float32[], by the rule of `channels`."""
    frames = tf.shape(waveform, tf.int64)[0]
    starts = tf.range(channels.PROBES, dtype=tf.int64) * frames // channels.PROBES
    places = starts[:, tf.newaxis] + tf.range(channels.PROBE_FRAMES, dtype=tf.int64)
    parts = tf.gather(waveform, tf.minimum(places, tf.maximum(frames - 1, 0)))
    peaks = tf.reduce_max(tf.abs(parts), axis=[0, 1])  # [channels]
    count = tf.reduce_sum(tf.cast(peaks > channels.SILENCE, tf.float32))
    return tf.where(count > 0, count, tf.cast(tf.shape(waveform)[1], tf.float32))


@tf.autograph.experimental.do_not_convert
def decode(contents: tf.Tensor, name: tf.Tensor | str = "audio") -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes the bytes of a WAV, FLAC, Ogg Vorbis or MP3 file, recognised by its first bytes.

    Args:
        contents: string[], a whole file. WAV may hold 8, 16, 24, 32-bit integers, 32 or 64-bit
            floats; FLAC 8, 16 or 24 bits. All but WAV need tensorflow-io.
        name: what error messages call it.

    Returns:
        waveform float32[samples, channels], full scale ±1, and its rate int32[] in Hz.

    Raises:
        tf.errors.OpError: not such a file, or corrupt.
    """
    contents = tf.convert_to_tensor(contents, tf.string)
    head = _bytes_at(contents, 0, 48)
    is_mpeg_frame = (head[0] == 0xFF) & (tf.bitwise.bitwise_and(head[1], 0xE0) == 0xE0)
    kinds = tf.stack(
        [
            _begins(head, b"RIFF") | _begins(head, b"RF64"),
            _begins(head, b"fLaC"),
            _begins(head, b"OggS") & _begins(head[28:], b"\x01vorbis"),
            _begins(head, b"ID3") | is_mpeg_frame,
        ]
    )
    known = tf.debugging.Assert(tf.reduce_any(kinds), [name, "is not WAV, FLAC, Ogg Vorbis or MP3"])
    with tf.control_dependencies([known]):
        kind = tf.argmax(tf.cast(kinds, tf.int32), output_type=tf.int32)
    # All branches are built, taken or not; so none may use ops that do not exist.
    compressed = [
        lambda: _decode_flac(contents, name),
        lambda: _decode_vorbis(contents),
        lambda: _decode_mp3(contents, name),
    ]
    if not tensorflow_io_works():
        compressed = [lambda: _unavailable(name)] * 3
    waveform, rate = tf.switch_case(kind, [lambda: _decode_wav(contents, name), *compressed])
    waveform.set_shape([None, None])
    return waveform, rate


def _begins(head: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.reduce_all(head[: len(magic)] == tf.constant(list(magic), tf.uint8))


def _bytes_at(contents: tf.Tensor, offset, n_bytes: int) -> tf.Tensor:
    """uint8[n_bytes] at `offset`; zeros beyond the end.

    Ops run in any order that their inputs allow, so a read that failed beyond the end could be
    reported instead of the assertion that names the file.
    """
    length = tf.strings.length(contents)
    offset = tf.minimum(tf.cast(offset, tf.int64), tf.cast(length, tf.int64))
    data = tf.strings.substr(contents, offset, n_bytes) + bytes(n_bytes)
    return tf.io.decode_raw(tf.strings.substr(data, 0, n_bytes), tf.uint8)


def _int_at(contents: tf.Tensor, offset, n_bytes: int, big_endian: bool = False) -> tf.Tensor:
    """Unsigned integer of `n_bytes` at `offset`, int64[]; zeros are read beyond the end."""
    data = _bytes_at(contents, offset, n_bytes)
    order = range(n_bytes - 1, -1, -1) if big_endian else range(n_bytes)
    factors = tf.constant([1 << (8 * power) for power in order], tf.int64)
    return tf.reduce_sum(tf.cast(data, tf.int64) * factors)


def _unavailable(name) -> tuple[tf.Tensor, tf.Tensor]:
    message = "needs tensorflow-io, which does not work here: decode with audio_triplet.audio"
    with tf.control_dependencies([tf.debugging.Assert(False, [name, message])]):
        return tf.zeros([0, 1]), tf.zeros([], tf.int32)


def _decode_wav(contents: tf.Tensor, name) -> tuple[tf.Tensor, tf.Tensor]:
    size = tf.cast(tf.strings.length(contents), tf.int64)

    def walk(offset, fmt, data_start, data_size):
        """One chunk: its name, its size, its body, and a byte more if the size is odd."""
        kind = tf.strings.substr(contents, offset, 4)
        chunk_size = _int_at(contents, offset + 4, 4)
        body = offset + 8
        fmt = tf.where((kind == b"fmt ") & (body + 16 <= size), body, fmt)
        is_data = kind == b"data"
        return (
            body + chunk_size + chunk_size % 2,
            fmt,
            tf.where(is_data, body, data_start),
            tf.where(is_data, chunk_size, data_size),
        )

    zero = tf.zeros([], tf.int64)
    _, fmt, data_start, data_size = tf.while_loop(
        lambda offset, fmt, data_start, data_size: (data_start == 0) & (offset + 8 <= size),
        walk,
        [zero + 12, zero, zero, zero],
        parallel_iterations=1,
    )
    # Writers to pipes, and RF64, store the largest possible size; it means "until the end".
    until_end = data_size >= 0x7FFF_0000
    whole = until_end | (data_start + data_size <= size)
    checks = [
        tf.debugging.Assert((fmt > 0) & (data_start > 0), [name, "is WAV without fmt or data"]),
        tf.debugging.Assert(whole, [name, "is truncated"]),
    ]
    with tf.control_dependencies(checks):
        data_size = tf.where(until_end, size - data_start, data_size)
        tag = _int_at(contents, fmt, 2)
    # An extensible header keeps the true tag further on.
    tag = tf.cond(
        (tag == 0xFFFE) & (fmt + 26 <= size), lambda: _int_at(contents, fmt + 24, 2), lambda: tag
    )
    channels = _int_at(contents, fmt + 2, 2)
    rate = _int_at(contents, fmt + 4, 4)
    bits = _int_at(contents, fmt + 14, 2)
    is_kind = tf.stack(
        [(tag == 1) & (bits == b) for b in (8, 16, 24, 32)]
        + [(tag == 3) & (bits == b) for b in (32, 64)]
    )
    check = tf.debugging.Assert(
        tf.reduce_any(is_kind) & (channels > 0) & (rate > 0),
        [name, "is WAV of a kind that is not read in the graph: format", tag, "bits", bits],
    )
    with tf.control_dependencies([check]):
        block = channels * bits // 8
        data = tf.strings.substr(contents, data_start, data_size // block * block)
    values = tf.switch_case(
        tf.argmax(tf.cast(is_kind, tf.int32), output_type=tf.int32),
        [
            lambda: _scaled(tf.io.decode_raw(data, tf.uint8)),
            lambda: _scaled(tf.io.decode_raw(data, tf.int16)),
            lambda: _scaled(_int24(tf.io.decode_raw(data, tf.uint8))),
            lambda: _scaled(tf.io.decode_raw(data, tf.int32)),
            lambda: tf.io.decode_raw(data, tf.float32),
            lambda: tf.cast(tf.io.decode_raw(data, tf.float64), tf.float32),
        ],
    )
    return tf.reshape(values, tf.stack([-1, channels])), tf.cast(rate, tf.int32)


def _int24(data: tf.Tensor) -> tf.Tensor:
    """uint8[3 n] little-endian -> int32[n], left-aligned."""
    parts = tf.reshape(tf.cast(data, tf.int32), [-1, 3])
    shifted = tf.bitwise.left_shift(parts, [8, 16, 24])
    return tf.reduce_sum(shifted, axis=1)  # no bit is in two of them, so the sum is the union


def _scaled(values: tf.Tensor) -> tf.Tensor:
    """Integers to float32, full scale ±1."""
    scale = 2.0 ** (8 * values.dtype.size - 1)
    values_float = tf.cast(values, tf.float32)
    return (values_float - scale if values.dtype == tf.uint8 else values_float) / scale


def _decode_flac(contents: tf.Tensor, name) -> tuple[tf.Tensor, tf.Tensor]:
    import tensorflow_io as tfio

    # STREAMINFO comes first by the standard: 20 bits rate, 3 bits channels - 1, 5 bits depth - 1.
    packed = _int_at(contents, 18, 4, big_endian=True)
    rate = tf.cast(packed // (1 << 12), tf.int32)
    bits = packed // (1 << 4) % 32 + 1
    depths = tf.constant([8, 16, 24], tf.int64)
    check = tf.debugging.Assert(
        tf.reduce_any(bits == depths), [name, "is FLAC of a depth not read in the graph:", bits]
    )
    with tf.control_dependencies([check]):
        kind = tf.argmax(tf.cast(bits == depths, tf.int32), output_type=tf.int32)
    waveform = tf.switch_case(
        kind,
        [
            lambda: _scaled(tfio.audio.decode_flac(contents, dtype=tf.uint8)),
            lambda: _scaled(tfio.audio.decode_flac(contents, dtype=tf.int16)),
            lambda: _scaled(tfio.audio.decode_flac(contents, dtype=tf.int32)),
        ],
    )
    return waveform, rate


def _decode_vorbis(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    import tensorflow_io as tfio

    # Page header 28 bytes, "\x01vorbis", version 4, channels 1, then the rate.
    rate = tf.cast(_int_at(contents, 40, 4), tf.int32)
    return tfio.audio.decode_vorbis(contents), rate


def _decode_mp3(contents: tf.Tensor, name) -> tuple[tf.Tensor, tf.Tensor]:
    import tensorflow_io as tfio

    def after_tag():
        size = tf.cast(_bytes_at(contents, 6, 4), tf.int64)
        return 10 + tf.reduce_sum(size * [1 << 21, 1 << 14, 1 << 7, 1])

    is_tagged = tf.strings.substr(contents, 0, 3) == b"ID3"
    offset = tf.cond(is_tagged, after_tag, lambda: tf.zeros([], tf.int64))
    header = _int_at(contents, offset, 4, big_endian=True)
    # Version (2 bits): 0 is MPEG 2.5, 2 is MPEG 2, 3 is MPEG 1. Rate (2 bits): 44.1, 48 or 32 kHz,
    # halved by MPEG 2 and once more by MPEG 2.5.
    version, index = header // (1 << 19) % 4, header // (1 << 10) % 4
    check = tf.debugging.Assert(
        (header // (1 << 21) == 0x7FF) & (index != 3) & (version != 1),
        [name, "holds no MPEG frame where one should be:", header],
    )
    with tf.control_dependencies([check]):
        rate = tf.gather([44_100, 48_000, 32_000], index) // tf.gather([4, 1, 2, 1], version)
        return tfio.audio.decode_mp3(contents), rate
