"""Which of many sounds share a recording: pairs of spectral peaks, then the waveforms themselves.

A landmark is two neighbouring peaks of the spectrogram: both frequencies and the time between them
(Wang 2003). It survives a change of level, lossy codecs and other sound beside it, not another
pitch or speed. Where many landmarks of two sounds agree on one offset, the waveforms are compared
there: sounds that are only alike do not correlate, copies do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from audio_triplet.search.alignment import align

RATE = 16_000

_WINDOW, _HOP = 512, 256  # samples
_LOWEST_BIN = 4  # below are hum and rumble, which many recordings share
_AROUND = (9, 17)  # frames, bins in which a peak is the largest
_BELOW_LOUDEST = 7.5  # a peak's least level, in nepers below the loudest: 65 dB
_LEAST_LEVEL = -6.9  # nepers; silence is flat, and all of it would be peaks
_PEAKS, _PEAK_FRAMES = 7, 16  # at most so many in so many frames
_PARTNERS = 6  # peaks that each is paired with, the next ones
_MOST_FRAMES, _MOST_BINS = 64, 128  # between them
# Landmarks of more sounds than these are of no use: beeps, silence that was encoded.
_MOST_SOUNDS = 60
_OFFSET_STEP = 2  # frames within which offsets agree

_COMPARED_SECONDS = 10.0
_LEAST_SECONDS = 0.06
_OVERHANG_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Two sounds whose landmarks agree.

    Attributes:
      first: Number of a sound.
      second: Number of the other one, larger.
      offset_seconds: Where the second one's beginning lies in the first; may be negative.
      votes: How many landmarks agree.
    """

    first: int
    second: int
    offset_seconds: float
    votes: int


def landmarks(sound: np.ndarray) -> np.ndarray:
    """The landmarks of a sound.

    Args:
      sound: float[samples], at RATE.

    Returns:
      int64[landmarks, 2]: what it is, and the frame it lies in.
    """
    frames, bins = _peaks(np.asarray(sound, np.float32))
    found = [np.zeros((0, 2), np.int64)]
    for step in range(1, _PARTNERS + 1):
        later, higher = frames[step:] - frames[:-step], bins[step:] - bins[:-step]
        near = (later < _MOST_FRAMES) & (np.abs(higher) < _MOST_BINS)
        what = (bins[:-step] << 16) | ((higher + _MOST_BINS) << 6) | later
        found.append(np.stack([what[near], frames[:-step][near]], axis=1))
    return np.concatenate(found)


def _peaks(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frames int64[n], bins int64[n]) of the spectrogram's peaks, in the order of frames."""
    from scipy.ndimage import maximum_filter

    padded = np.pad(sound, (0, max(0, _WINDOW - len(sound))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    spectrum = np.fft.rfft(windows * np.hanning(_WINDOW))[:, _LOWEST_BIN:]
    level = np.log(np.abs(spectrum) + 1e-5)  # [frames, bins]
    is_peak = level == maximum_filter(level, size=_AROUND)
    least = max(level.max() - _BELOW_LOUDEST, _LEAST_LEVEL)
    frames, bins = np.nonzero(is_peak & (level > least))
    # The strongest first within each part of the sound, and only so many of them.
    part = frames // _PEAK_FRAMES
    order = np.lexsort((-level[frames, bins], part))
    starts = np.searchsorted(part[order], part[order])
    kept = np.sort(order[np.arange(len(order)) - starts < _PEAKS])
    return frames[kept].astype(np.int64), bins[kept].astype(np.int64)


def candidates(
    sounds: Sequence[np.ndarray], least_votes: int = 5, others_from: int | None = None
) -> list[Candidate]:
    """Pairs of sounds whose landmarks agree on one offset.

    Args:
      sounds: The landmarks of each.
      least_votes: How many have to agree.
      others_from: Number of the first sound of another corpus: pairs are of one sound of each.
        None: all pairs.

    Returns:
      Each pair once, at the offset with most votes; in the order of the sounds' numbers.
    """
    whats = np.concatenate([marks[:, 0] for marks in sounds])
    order = np.argsort(whats, kind="stable")
    whats = whats[order]
    frames = np.concatenate([marks[:, 1] for marks in sounds])[order]
    numbers = np.repeat(np.arange(len(sounds)), [len(marks) for marks in sounds])[order]
    begins = np.flatnonzero(np.r_[True, whats[1:] != whats[:-1]]) if len(whats) else whats
    counts = np.diff(np.r_[begins, len(whats)])
    pairs = [np.zeros((0, 3), np.int64)]
    for count in range(2, _MOST_SOUNDS + 1):
        places = begins[counts == count][:, None] + np.arange(count)
        left, right = (places[:, side].ravel() for side in np.triu_indices(count, 1))
        # The sort is stable, so the sound with the smaller number is on the left.
        differ = numbers[left] != numbers[right]
        if others_from is not None:
            differ = (numbers[left] < others_from) & (numbers[right] >= others_from)
        left, right = left[differ], right[differ]
        offset = (frames[left] - frames[right]) // _OFFSET_STEP
        pairs.append(np.stack([numbers[left], numbers[right], offset], axis=1))
    agreeing, votes = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    best: dict[tuple[int, int], Candidate] = {}
    for (first, second, offset), count in zip(agreeing, votes, strict=True):
        earlier = best.get((int(first), int(second)))
        if count >= least_votes and (earlier is None or count > earlier.votes):
            seconds = float(offset * _OFFSET_STEP * _HOP / RATE)
            best[int(first), int(second)] = Candidate(int(first), int(second), seconds, int(count))
    return [best[pair] for pair in sorted(best)]


def aligned(first: np.ndarray, second: np.ndarray, offset_seconds: float) -> tuple[float, float]:
    """How well the waveforms of two sounds agree where both are there.

    Args:
      first: float[samples], at RATE.
      second: float[samples], at RATE.
      offset_seconds: Where the second one's beginning lies in the first, to 50 ms.

    Returns:
      (the same, to the sample; the correlation there, 0 to 1), which is 0 where they share less
      than 60 ms. Of longer sounds ten seconds are compared.
    """
    offset = round(offset_seconds * RATE)
    begin, end = max(0, offset), min(len(first), offset + len(second))
    end = min(end, begin + round(_COMPARED_SECONDS * RATE))
    if end - begin < _LEAST_SECONDS * RATE:
        return offset_seconds, 0.0
    part = second[begin - offset : end - offset]
    found = align(part, first[begin:end], round(_OVERHANG_SECONDS * RATE))
    return (offset + found.offset) / RATE, found.correlation
