"""Resampling of a stream of blocks: soxr by default, resampy by flag."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import soxr

from audio_triplet.audio.decoder import BLOCK_VALUES

RESAMPLERS = ("soxr", "resampy")

# (block, whether it is the last) → the resampled samples that are ready.
Push = Callable[[np.ndarray, bool], np.ndarray]

# A resampled sample depends on about 75 samples (soxr HQ; resampy kaiser_best: 64) at the lower of
# the two rates on either side; chunks are read with this many more.
_MARGIN_SAMPLES = 256


def check_arguments(sample_rate: int, resampler: str) -> None:
    """Checks sample rate and name of a resampler.

    Raises:
      ValueError: For a sample rate below 1 Hz or an unknown resampler.
    """
    if sample_rate < 1:
        raise ValueError(f"sample_rate must be at least 1, not {sample_rate}")
    if resampler not in RESAMPLERS:
        raise ValueError(f"resampler must be one of {', '.join(RESAMPLERS)}, not {resampler!r}")


def resampled_length(frames: int, rate: int, sample_rate: int) -> int:
    """Number of samples at `sample_rate` that `frames` frames at `rate` become, at least 1."""
    return max(1, round(frames * sample_rate / rate))


def margin_frames(rate: int, sample_rate: int) -> int:
    """Input frames on either side that a resampled sample may depend on."""
    return math.ceil(_MARGIN_SAMPLES * max(1.0, rate / sample_rate))


def resampled(
    blocks: Iterator[np.ndarray],
    rate: int,
    sample_rate: int,
    resampler: str,
    first_frame: int = 0,
) -> Iterator[np.ndarray]:
    """Resamples a signal that comes in blocks.

    Silence is taken to lie before and after, as the one-shot functions of both libraries do.

    Args:
      blocks: float32[frames] each.
      rate: Theirs, Hz.
      sample_rate: Of the result, Hz.
      resampler: "soxr" or "resampy".
      first_frame: Where in the file the blocks begin: a frame that both sampling grids share.

    Yields:
      float32[samples], of any length; `resampled_length` of what the blocks hold in all.
    """
    if rate == sample_rate:
        yield from blocks
        return
    push = (_soxr_push if resampler == "soxr" else _resampy_push)(rate, sample_rate)
    frames, samples = first_frame, first_frame * sample_rate // rate
    for block in blocks:
        frames += len(block)
        part = push(block, False)
        samples += len(part)
        yield part
    if frames == first_frame:
        return
    # Silence long enough to push out all samples up to the end, whatever the latency.
    tail = push(np.zeros(2 * margin_frames(rate, sample_rate), np.float32), True)
    yield tail[: resampled_length(frames, rate, sample_rate) - samples]


def _soxr_push(rate: int, sample_rate: int) -> Push:
    stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    return lambda block, last: stream.resample_chunk(block, last=last)


def _resampy_push(rate: int, sample_rate: int) -> Push:
    """Resampy knows whole signals only: overlapping blocks that begin where the grids meet."""
    import resampy  # The import takes a second (numba), so only users of resampy pay for it.

    divisor = math.gcd(rate, sample_rate)
    step_in, step_out = rate // divisor, sample_rate // divisor
    margin_steps = -(-margin_frames(rate, sample_rate) // step_in)
    # At least 8 times the margin, as that much is computed twice.
    least = max(BLOCK_VALUES, 8 * margin_steps * step_in)
    pending = np.zeros(0, np.float32)  # begins `margin_steps` before what comes out next
    lead_steps = 0  # steps at the start of `pending` that came out before

    def push(block: np.ndarray, last: bool) -> np.ndarray:
        nonlocal pending, lead_steps
        pending = np.concatenate([pending, block])
        if len(pending) < least and not last:
            return np.zeros(0, np.float32)
        result = resampy.resample(pending, rate, sample_rate, filter="kaiser_best")
        if last:
            return result[lead_steps * step_out :].astype(np.float32, copy=False)
        ready_steps = len(pending) // step_in - margin_steps
        part = result[lead_steps * step_out : ready_steps * step_out]
        new_lead = min(margin_steps, ready_steps)
        pending = pending[(ready_steps - new_lead) * step_in :]
        lead_steps = new_lead
        return part.astype(np.float32, copy=False)

    return push
