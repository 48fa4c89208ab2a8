"""Sound files to waveforms: float32, mono, 16 kHz.

Four ways in, all with the same errors and the same samples:

    probe(path)                      the header: rate, channels, frames, seconds
    load_audio(path)                 the whole file
    stream_audio(path)               the whole file, block by block, flat memory
    read_piece(path, start, length)  one piece of it, flat memory, aligned with load_audio

Decoding is libsndfile's (WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, CAF, ...), resampling soxr's.
Where libsndfile is known to be wrong this module works around it; each case was seen with version
1.2.2, and each has a test:

*   Seeking into the last page of an Ogg Vorbis stream lands up to hundreds of samples off, because
    the page's start is derived from its (shortened) end. `_Source.seek` enters an earlier page.
*   Just after a seek, MP3 frames lack the bits kept in earlier frames ("bit reservoir"), and are
    wrong. `_Source.seek` enters some frames earlier. And python-soundfile seeks after every read,
    so an MP3 read in blocks is damaged at their borders: `_Sound` prevents that.
*   A seek in an Ogg Vorbis stream whose set-up header is damaged crashes; `_decodes` finds out.
*   The length of an MP3 without a Xing header is guessed from its first frame, and libsndfile cuts
    a longer file there without a word. Such a file is decoded from a pipe, where no length exists.
*   A WAV (AIFF, AU, W64) cut short is read as if its header had meant it. The log tells.

No TensorFlow here: this module is imported by tools that must start at once. Every function opens
its own handle and keeps no state, so any number of threads may call them.

[D] Decisions. Channels are averaged. Samples beyond full scale are passed on as they are, as float
files and lossy decoders produce them in good faith. `load_audio` of a 3-hour file takes its 700 MB,
and of more than 12 hours nothing: a megabyte of FLAC can hold days of silence. What must stay small
uses `stream_audio` or `read_piece`, for which there is no limit. What is refused, with an
`AudioError`: files cut short by more than 0.5 s or a tenth, where that can be known; headers that
claim more than the file can hold; NaN and infinities; magnitudes above 1e10 (no scale in use goes
so far, and ratios of their energies leave float32); rates outside 1 kHz to 1 MHz; more than 64
channels; chained Ogg streams (libsndfile reads only the first link).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from audio_triplet.audio.libsndfile import AudioInfo, AudioPath, Source, printable
from audio_triplet.audio.resampling import (
    check_arguments,
    margin_frames,
    resampled,
    resampled_length,
)
from audio_triplet.errors import AudioError

MAX_LOADED_SECONDS = 12 * 3600  # 2.8 GB


def probe(path: AudioPath) -> AudioInfo:
    """Reads the header only; an MP3 without a Xing header is decoded once to learn its length.

    Args:
        path: file name, or binary file object that can seek.

    Returns:
        `AudioInfo`. The audio itself is not looked at: it may still turn out corrupt when read.

    Raises:
        AudioError: missing, unreadable, empty, not audio, truncated, no frames, absurd header.
    """
    with Source(path) as source:
        frames = source.frames
        if frames is None:
            frames = sum(len(block) for block in source.blocks())
        return AudioInfo(source.rate, source.channels, frames, frames / source.rate)


def load_audio(path: AudioPath, sample_rate: int = 16_000, resampler: str = "soxr") -> np.ndarray:
    """Decodes a whole sound file.

    Args:
        path: file name, or binary file object that can seek. Any format libsndfile reads, and MP3.
        sample_rate: of the result, Hz.
        resampler: "soxr" (HQ) or "resampy" (kaiser_best, about 90 times slower).

    Returns:
        float32[samples], mono (the mean of the channels), C-contiguous, finite; samples is
        round(frames * sample_rate / rate), at least 1. Nominally in [-1, 1], not clipped to it.

    Raises:
        AudioError: naming the file, the cause and the mend.
        ValueError: for an unknown resampler or a sample rate below 1.
    """
    blocks, samples = [], 0
    for block in stream_audio(path, sample_rate=sample_rate, resampler=resampler):
        blocks.append(block)
        samples += len(block)
        if samples > MAX_LOADED_SECONDS * sample_rate:
            raise AudioError(
                printable(path),
                f"is longer than {MAX_LOADED_SECONDS / 3600:.3g} h",
                "read it by stream_audio or read_piece",
            )
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def stream_audio(
    path: AudioPath,
    block_seconds: float = 10.0,
    sample_rate: int = 16_000,
    resampler: str = "soxr",
) -> Iterator[np.ndarray]:
    """Decodes a sound file block by block; the blocks put together are `load_audio(path)`.

    Memory stays flat whatever the length of the file.

    Args:
        path: file name, or binary file object that can seek.
        block_seconds: length of a block; only the last one is shorter.
        sample_rate: of the result, Hz.
        resampler: as in `load_audio`.

    Yields:
        float32[round(block_seconds * sample_rate)].

    Raises:
        AudioError: as `load_audio`; a defect inside the file only when it is reached.
        ValueError: for arguments out of range, at the first block.
    """
    check_arguments(sample_rate, resampler)
    block_samples = round(block_seconds * sample_rate)
    if block_samples < 1:
        raise ValueError(f"block_seconds must be at least one sample, not {block_seconds}")
    with Source(path) as source:
        waiting: list[np.ndarray] = []
        n_waiting = 0
        for part in resampled(source.blocks(), source.rate, sample_rate, resampler):
            while n_waiting + len(part) >= block_samples:
                head, part = np.split(part, [block_samples - n_waiting])
                yield np.concatenate([*waiting, head])
                waiting, n_waiting = [], 0
            if len(part):
                waiting.append(part)
                n_waiting += len(part)
        if n_waiting:
            yield np.concatenate(waiting)


def read_piece(
    path: AudioPath,
    start_seconds: float,
    duration_seconds: float,
    sample_rate: int = 16_000,
    resampler: str = "soxr",
) -> np.ndarray:
    """Decodes one piece of a sound file, reading little more than that piece.

    With first = round(start_seconds * sample_rate) and n = round(duration_seconds * sample_rate)
    the result is `load_audio(path)[first : first + n]`, to about 1e-6 (Opus: 1e-3, as its decoder
    carries state from further back than any sensible distance). The resampler starts on an input
    frame that falls on the output's grid, so pieces are aligned to the sample at any rate.

    Args:
        path: file name, or binary file object that can seek.
        start_seconds: at least 0.
        duration_seconds: at least 0.
        sample_rate: of the result, Hz.
        resampler: as in `load_audio`.

    Returns:
        float32[<= n]: shorter where the file ends, empty past its end.

    Raises:
        AudioError: as `load_audio`, for defects in the header or in the part read.
        ValueError: for arguments out of range.
    """
    check_arguments(sample_rate, resampler)
    for name, value in (("start_seconds", start_seconds), ("duration_seconds", duration_seconds)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least 0, not {value}")
    first = round(start_seconds * sample_rate)
    last = first + round(duration_seconds * sample_rate)
    with Source(path) as source:
        if first == last:
            return np.zeros(0, np.float32)
        if source.frames is not None:
            if first >= resampled_length(source.frames, source.rate, sample_rate):
                return np.zeros(0, np.float32)
        # Every `step_in` input frames, input and output grid meet (`step_out` samples later).
        divisor = math.gcd(source.rate, sample_rate)
        step_in, step_out = source.rate // divisor, sample_rate // divisor
        margin = margin_frames(source.rate, sample_rate)
        steps = max(0, first * step_in // step_out - margin) // step_in
        end_frame = -(-last * step_in // step_out) + margin
        source.seek(steps * step_in)
        blocks = source.blocks(end_frame - steps * step_in)
        offset = steps * step_out  # of the first resampled sample
        kept = [np.zeros(0, np.float32)]
        for part in resampled(blocks, source.rate, sample_rate, resampler, steps * step_in):
            kept.append(part[max(0, first - offset) : max(0, last - offset)])
            offset += len(part)
        return np.concatenate(kept)
