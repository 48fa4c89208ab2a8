"""Sound block by block, mono and at 16 kHz: from a file, or from an array with its sample rate.

No TensorFlow here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from audio_triplet import audio
from audio_triplet.audio import channels, resampling
from audio_triplet.config import FrontEndConfig
from audio_triplet.errors import AudioError

RATE = FrontEndConfig().sample_rate
_BLOCK_SECONDS = 10.0

# The bounds that sound files are held to, see `audio_triplet.audio`.
_RATES = (1_000, 1_000_000)
_MAX_CHANNELS = 64
_MAX_MAGNITUDE = 1e10

ARRAY_NAME = "the array"


def is_file(sound: Any) -> bool:
    """Whether a sound is a path or an open binary file, rather than an array."""
    return isinstance(sound, str | os.PathLike) or hasattr(sound, "readinto")


def name_of(sound: Any) -> str:
    """The name of a sound in messages."""
    if isinstance(sound, str | os.PathLike):
        return os.fspath(sound)
    return str(getattr(sound, "name", "the file")) if is_file(sound) else ARRAY_NAME


def open_sound(
    sound: Any,
    sample_rate: float | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    truncated: str = "refuse",
    rate: int = RATE,
) -> Iterator[np.ndarray]:
    """A sound block by block, mono, at 16 kHz or another rate.

    Args:
      sound: A path or an open binary file; or float[samples] or float[channels, samples], nominally
        within ±1, as any kind of array that NumPy takes.
      sample_rate: Samples per second of an array; not given with a file, which states its own.
      start_seconds: Where to begin.
      end_seconds: Where to end; None: with the sound.
      truncated: Whether a truncated file is read, as for `audio.load_audio`.
      rate: Samples per second of what is yielded.

    Yields:
      float32[samples], the mean of the channels that carry sound.

    Raises:
      AudioError: It cannot be used as sound; the message gives the reason and the fix.
    """
    end = math.nan if end_seconds is None else float(end_seconds)
    if not (math.isfinite(start_seconds) and start_seconds >= 0) or end <= start_seconds:
        raise AudioError(
            name_of(sound),
            f"has no part from {start_seconds:g} s to {end:g} s",
            "begin at 0 or later, and end after that",
        )
    if is_file(sound):
        if sample_rate is not None:
            raise AudioError(
                name_of(sound), "a file states its own sample rate", "leave sample_rate out"
            )
        path = os.fspath(sound) if isinstance(sound, os.PathLike) else sound
        return read_blocks(path, start_seconds, end, truncated, rate=rate)
    own = _checked_rate(sample_rate)
    samples = _checked_samples(sound)
    carrying = channels.count_in_array(samples)  # of the whole, as for a file
    last = None if math.isnan(end) else round(end * own)
    samples = samples[:, round(start_seconds * own) : last]
    if not samples.shape[1]:
        raise AudioError(ARRAY_NAME, f"no sound at {start_seconds:g} s", "begin within its length")
    return resampling.resampled(_mono_blocks(samples, carrying, own), own, rate, "soxr")


def read_blocks(
    path: audio.AudioPath,
    start_seconds: float,
    end_seconds: float,
    truncated: str = "refuse",
    log: audio.ReadLog | None = None,
    rate: int = RATE,
) -> Iterator[np.ndarray]:
    """The sound of a part of a file, block by block, at 16 kHz or another rate.

    Args:
      path: The file.
      start_seconds: Where the part begins.
      end_seconds: Where it ends; NaN: with the file.
      truncated: Whether a truncated file is read, as for `audio.load_audio`.
      log: Where decoder and truncation are noted.
      rate: Samples per second.

    Yields:
      float32[samples], 10 s at most.

    Raises:
      AudioError: The file cannot be read.
    """
    first = round(start_seconds * rate)
    left = np.inf if np.isnan(end_seconds) else round((end_seconds - start_seconds) * rate)
    block_samples = round(_BLOCK_SECONDS * rate)
    if first == 0:
        for block in audio.stream_audio(
            path, _BLOCK_SECONDS, sample_rate=rate, truncated=truncated, log=log
        ):
            yield block[: int(min(left, len(block)))]
            left -= len(block)
            if left <= 0:
                return
    while first and left > 0:
        wanted = int(min(left, block_samples))
        block = audio.read_piece(
            path, first / rate, wanted / rate, rate, truncated=truncated, log=log
        )
        yield block
        if len(block) < wanted:
            return
        first, left = first + wanted, left - wanted


def _checked_rate(sample_rate: float | None) -> int:
    if sample_rate is None:
        raise AudioError(
            ARRAY_NAME, "has no sample rate", "give sample_rate, its samples per second"
        )
    try:
        rate = float(sample_rate)
    except (TypeError, ValueError):
        rate = math.nan
    if not (_RATES[0] <= rate <= _RATES[1]) or rate != round(rate):
        raise AudioError(
            ARRAY_NAME,
            f"sample_rate={sample_rate!r} is no sample rate",
            f"give a whole number of samples per second, {_RATES[0]:,} to {_RATES[1]:,}",
        )
    return round(rate)


def _checked_samples(sound: Any) -> np.ndarray:
    """float[channels, samples], finite, not empty."""
    try:
        samples = np.asarray(sound)
    except (TypeError, ValueError) as error:
        raise AudioError(ARRAY_NAME, f"is no array ({error})", "give floats") from error
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            ARRAY_NAME,
            f"holds {samples.dtype}, not floats within ±1",
            "divide 16-bit samples by 32768"
            if np.issubdtype(samples.dtype, np.integer)
            else "give a path, or floats",
        )
    if samples.ndim not in (1, 2):
        raise AudioError(
            ARRAY_NAME,
            f"has {samples.ndim} axes",
            "give [samples] or [channels, samples], one sound at a time",
        )
    samples = np.atleast_2d(samples)
    channels, length = samples.shape
    if not samples.size:
        raise AudioError(ARRAY_NAME, "is empty", "give at least one sample")
    if channels > _MAX_CHANNELS:
        raise AudioError(
            ARRAY_NAME,
            f"has {channels:,} channels of {length:,} samples",
            "give [channels, samples]; is it turned round? Then give sound.T",
        )
    if not np.isfinite(samples).all():
        raise AudioError(
            ARRAY_NAME, "holds values that are not finite", "replace NaN and infinities"
        )
    if np.abs(samples).max() > _MAX_MAGNITUDE:
        raise AudioError(ARRAY_NAME, "holds values beyond 1e10", "scale it to ±1")
    return samples


def _mono_blocks(samples: np.ndarray, carrying: int, rate: int) -> Iterator[np.ndarray]:
    """The mean of the channels that carry sound, block by block."""
    block = round(_BLOCK_SECONDS * rate)
    for first in range(0, samples.shape[1], block):
        part = samples[:, first : first + block]
        yield part[0].astype(np.float32) if len(part) == 1 else _mean(part, carrying)


def _mean(part: np.ndarray, carrying: int) -> np.ndarray:
    return (part.sum(0) / carrying).astype(np.float32)
