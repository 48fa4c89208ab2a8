"""The four functions that read sound files, all with the same errors and the same samples.

    probe(path)                      the header: rate, channels, frames, seconds
    load_audio(path)                 the whole file
    stream_audio(path)               the whole file, block by block, flat memory
    read_piece(path, start, length)  one chunk of it, flat memory, aligned with load_audio

Decoding is libsndfile's (WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, CAF, ...), FFmpeg's where that
cannot (M4A, AAC, WMA, WebM, chained Ogg, ...), resampling soxr's.

No TensorFlow here: this module is imported by tools that must start at once. Every function opens
its own handle and keeps no state, so any number of threads may call them.

[D] Decisions. The channels that carry sound are averaged (`channels`). Samples beyond full scale
are kept, because float files and lossy decoders produce them legitimately. `load_audio` of a 3-hour
file takes 700 MB; it refuses more than 12 hours, because a megabyte of FLAC can hold days of
silence. `stream_audio` and `read_piece` have no such limit. An `AudioError` refuses: files cut
short by more than 0.5 s or a tenth, where that can be known, unless truncated="use" asks for them;
headers that claim more than the file can hold; NaN and infinities; magnitudes above 1e10 (no scale
in use goes so far, and ratios of their energies leave float32); rates outside 1 kHz to 1 MHz; more
than 64 channels.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import numpy as np

from audio_triplet.audio.apart import survivable
from audio_triplet.audio.decoder import TRUNCATED, AudioInfo, AudioPath, Truncated
from audio_triplet.audio.either import EitherDecoder
from audio_triplet.audio.files import InputFile, printable
from audio_triplet.audio.read_log import ReadLog
from audio_triplet.audio.resampling import (
    check_arguments,
    margin_frames,
    resampled,
    resampled_length,
)
from audio_triplet.errors import AudioError

MAX_LOADED_SECONDS = 12 * 3600  # 2.8 GB


@contextlib.contextmanager
def _open(path: AudioPath, truncated: str, log: ReadLog | None) -> Iterator[EitherDecoder]:
    """Opens a file for both decoders, and notes in the log what it finds out."""
    if truncated not in TRUNCATED:
        raise ValueError(f"truncated must be one of {', '.join(TRUNCATED)}, not {truncated!r}")
    log = ReadLog() if log is None else log
    with InputFile(path) as file:
        key = path if isinstance(path, str) else file.name

        def on_truncated(error: Truncated) -> None:
            if truncated == "refuse":
                raise error
            log.note_truncated(key, error.reason)

        with contextlib.closing(EitherDecoder(file, on_truncated)) as opened:
            yield opened
            if opened.decoder.position:
                log.note_decoder(key, opened.library)


@survivable
def probe(path: AudioPath, truncated: str = "refuse", *, log: ReadLog | None = None) -> AudioInfo:
    """Reads the header only; an MP3 without a Xing header is decoded once to learn its length.

    Args:
      path: File name, or binary file object that can seek.
      truncated: "refuse" or "use", as in `load_audio`.
      log: As in `load_audio`.

    Returns:
      `AudioInfo`. The audio itself is not decoded: it may still turn out corrupt when read, or
      shorter than its header says.

    Raises:
      AudioError: Missing, unreadable, empty, not audio, truncated, no frames, absurd header.
    """
    with _open(path, truncated, log) as opened:
        decoder = opened.decoder
        frames = decoder.frames
        if frames is None:
            frames = sum(len(block) for block in opened.blocks())
        seconds = frames / decoder.rate
        return AudioInfo(decoder.rate, decoder.channels, frames, seconds, decoder.library)


def load_audio(
    path: AudioPath,
    sample_rate: int = 16_000,
    resampler: str = "soxr",
    truncated: str = "refuse",
    *,
    log: ReadLog | None = None,
) -> np.ndarray:
    """Decodes a whole sound file.

    Args:
      path: File name, or binary file object that can seek. Any format that libsndfile or FFmpeg
        reads.
      sample_rate: Of the result, Hz.
      resampler: "soxr" (HQ) or "resampy" (kaiser_best, about 90 times slower).
      truncated: What is done with a file of which an end is missing: "refuse" raises an error,
        "use" reads what is there, with a warning.
      log: Where decoder and truncation are noted.

    Returns:
      float32[samples], mono (the mean of the channels that carry sound), C-contiguous, finite;
      samples is round(frames * sample_rate / rate), at least 1. Nominally in [-1, 1], not clipped
      to it.

    Raises:
      AudioError: Naming the file, the cause and the fix.
      ValueError: For an unknown resampler or a sample rate below 1.
    """
    blocks, samples = [], 0
    for block in stream_audio(
        path, sample_rate=sample_rate, resampler=resampler, truncated=truncated, log=log
    ):
        blocks.append(block)
        samples += len(block)
        if samples > MAX_LOADED_SECONDS * sample_rate:
            raise AudioError(
                printable(path),
                f"is longer than {MAX_LOADED_SECONDS / 3600:.3g} h",
                "read it by stream_audio or read_piece",
            )
    if not blocks:
        raise AudioError(printable(path), "is truncated: no sound is left", "remove it")
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


@survivable
def stream_audio(
    path: AudioPath,
    block_seconds: float = 10.0,
    sample_rate: int = 16_000,
    resampler: str = "soxr",
    truncated: str = "refuse",
    *,
    log: ReadLog | None = None,
) -> Iterator[np.ndarray]:
    """Decodes a sound file block by block; the blocks put together are `load_audio(path)`.

    Memory stays flat whatever the length of the file.

    Args:
      path: File name, or binary file object that can seek.
      block_seconds: Length of a block; only the last one is shorter.
      sample_rate: Of the result, Hz.
      resampler: As in `load_audio`.
      truncated: As in `load_audio`.
      log: As in `load_audio`.

    Yields:
      float32[round(block_seconds * sample_rate)].

    Raises:
      AudioError: As `load_audio`; a defect inside the file only when it is reached.
      ValueError: For arguments out of range, at the first block.
    """
    check_arguments(sample_rate, resampler)
    block_samples = round(block_seconds * sample_rate)
    if block_samples < 1:
        raise ValueError(f"block_seconds must be at least one sample, not {block_seconds}")
    with _open(path, truncated, log) as opened:
        parts = resampled(opened.blocks(), opened.decoder.rate, sample_rate, resampler)
        yield from _in_blocks(parts, block_samples)


def _in_blocks(parts: Iterator[np.ndarray], block_samples: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of one length; only the last one is shorter."""
    waiting: list[np.ndarray] = []
    n_waiting = 0
    for part in parts:
        while n_waiting + len(part) >= block_samples:
            head, part = np.split(part, [block_samples - n_waiting])
            yield np.concatenate([*waiting, head])
            waiting, n_waiting = [], 0
        if len(part):
            waiting.append(part)
            n_waiting += len(part)
    if n_waiting:
        yield np.concatenate(waiting)


@survivable
def read_piece(
    path: AudioPath,
    start_seconds: float,
    duration_seconds: float,
    sample_rate: int = 16_000,
    resampler: str = "soxr",
    truncated: str = "refuse",
    *,
    log: ReadLog | None = None,
) -> np.ndarray:
    """Decodes one chunk of a sound file, reading little more than that chunk.

    With first = round(start_seconds * sample_rate) and n = round(duration_seconds * sample_rate)
    the result is `load_audio(path)[first : first + n]`, to about 1e-6 (Opus: 1e-3, as its decoder
    carries state from further back than any sensible distance). The resampler starts on an input
    frame that falls on the output's grid, so chunks are aligned to the sample at any rate.

    Args:
      path: File name, or binary file object that can seek.
      start_seconds: At least 0.
      duration_seconds: At least 0.
      sample_rate: Of the result, Hz.
      resampler: As in `load_audio`.
      truncated: As in `load_audio`.
      log: As in `load_audio`.

    Returns:
      float32[<= n]: shorter where the file ends, empty past its end.

    Raises:
      AudioError: As `load_audio`, for defects in the header or in the part read.
      ValueError: For arguments out of range.
    """
    check_arguments(sample_rate, resampler)
    for name, value in (("start_seconds", start_seconds), ("duration_seconds", duration_seconds)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least 0, not {value}")
    first = round(start_seconds * sample_rate)
    last = first + round(duration_seconds * sample_rate)
    with _open(path, truncated, log) as opened:
        rate, frames = opened.decoder.rate, opened.decoder.frames
        is_past_end = frames is not None and first >= resampled_length(frames, rate, sample_rate)
        if first == last or is_past_end:
            return np.zeros(0, np.float32)
        # Every `step_in` input frames, input and output grid meet (`step_out` samples later).
        divisor = math.gcd(rate, sample_rate)
        step_in, step_out = rate // divisor, sample_rate // divisor
        margin = margin_frames(rate, sample_rate)
        steps = max(0, first * step_in // step_out - margin) // step_in
        start_frame = steps * step_in
        end_frame = -(-last * step_in // step_out) + margin
        opened.seek(start_frame)
        blocks = opened.blocks(end_frame - start_frame)
        offset = steps * step_out  # of the first resampled sample
        kept = [np.zeros(0, np.float32)]
        for part in resampled(blocks, rate, sample_rate, resampler, start_frame):
            kept.append(part[max(0, first - offset) : max(0, last - offset)])
            offset += len(part)
        return np.concatenate(kept)
