"""The description of a segment, for classifiers: mean, deviation and maximum of its patches.

A segment's mean throws away how its patches differ. Its description keeps some of that: of each
feature the mean, the deviation and the maximum over a window of up to five patches (4.8 s) [D].
Longer sound is as many windows of about equal length; its description is their mean. So a
description is comparable between five seconds and an hour, which a maximum over all patches is not.

In mean and deviation louder patches count more (`embeddings.loudness`), and so do louder windows:
the first third is always the mean of the segment's patches, each counted by its loudness.

A single patch deviates by nothing, and a classifier that never saw one is lost on it. So what is
learned from is each segment's description and, beside it, its patches alone (`to_learn_from`).

No TensorFlow here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from audio_triplet.config import EmbedConfig, TripletConfig
from audio_triplet.embeddings.embedding_set import mean_by_segment
from audio_triplet.embeddings.loudness import loudness_of

WINDOW_PATCHES = 5

# Mean, deviation, maximum.
PARTS = 3

DEFAULT_HOP_SECONDS = EmbedConfig.hop_seconds


def describe(
    vectors: np.ndarray,
    segment_index: np.ndarray,
    segments: int,
    window_patches: int = WINDOW_PATCHES,
    energy: np.ndarray | None = None,
) -> np.ndarray:
    """Descriptions of segments.

    Args:
      vectors: float32[n, dim], the patches of a segment in the order of time.
      segment_index: int[n], the segment of each, in [0, segments).
      segments: Number of segments, each with at least one patch.
      window_patches: How many patches a window has at most.
      energy: float[n], mean mel energy per cell, by which patches count, NaN where it is not
        known; None: all count alike.

    Returns:
      float32[segments, 3 · dim]: mean, deviation (of the population), maximum.
    """
    order = np.argsort(segment_index, kind="stable")
    vectors, segment_index = np.asarray(vectors)[order], np.asarray(segment_index)[order]
    loud = np.ones(len(order)) if energy is None else loudness_of(energy)[order]
    sizes = np.bincount(segment_index, minlength=segments)
    window, windows = windows_of(sizes, window_patches)
    lengths = np.bincount(window)
    starts = np.cumsum(lengths) - lengths
    together = np.add.reduceat(loud, starts)
    share = (loud / together[window])[:, None]
    mean = np.add.reduceat(share * vectors, starts, axis=0)
    deviation = np.sqrt(np.add.reduceat(share * (vectors - mean[window]) ** 2, starts, axis=0))
    described = np.concatenate(
        [mean, deviation, np.maximum.reduceat(vectors, starts, axis=0)], axis=1
    )
    if len(lengths) == segments:
        return described.astype(np.float32)
    owner = np.repeat(np.arange(segments), windows)
    return mean_by_segment(described, owner, segments, together)


def windows_of(sizes: np.ndarray, window_patches: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows of segments whose patches lie one after the other.

    Args:
      sizes: int64[segments], patches of each.
      window_patches: How many patches a window has at most.

    Returns:
      window: int64[patches], the window of each, numbered over all segments.
      windows: int64[segments], how many each has.
    """
    windows = -(-sizes // window_patches)
    segment = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(segment)) - (np.cumsum(sizes) - sizes)[segment]
    # n patches in k windows: patch p lies in window ⌊p·k / n⌋, which has ⌊n/k⌋ or ⌈n/k⌉ patches.
    window = place * windows[segment] // sizes[segment]
    return window + (np.cumsum(windows) - windows)[segment], windows


def audible_patches(energy: np.ndarray, owners: np.ndarray, segments: int) -> np.ndarray:
    """bool[n], the patches that are not silent, and all of a segment that has no other.

    Args:
      energy: float32[n], of each patch; NaN where it is not known: not silent.
      owners: int[n], the segment of each.
      segments: How many there are.
    """
    audible = _is_audible(energy)
    has_some = np.bincount(owners, audible, segments) > 0
    return audible | ~has_some[owners]


def _is_audible(energy: np.ndarray) -> np.ndarray:
    return ~(np.asarray(energy) <= TripletConfig.silence_energy)  # NaN too


def describe_patches(vectors: np.ndarray) -> np.ndarray:
    """Descriptions of patches, each by itself: float32[n, dim] → float32[n, 3 · dim]."""
    vectors = np.asarray(vectors, np.float32)
    return np.concatenate([vectors, np.zeros_like(vectors), vectors], axis=1)


def window_patches(hop_seconds: float) -> int:
    """How many patches a window has at a hop: as much sound as `WINDOW_PATCHES` side by side."""
    return max(1, round(WINDOW_PATCHES * DEFAULT_HOP_SECONDS / hop_seconds))


class ToLearnFrom(NamedTuple):
    """Rows that a classifier learns from, see `to_learn_from`.

    Attributes:
      rows: float32[rows, 3 · dim], first one for each segment, in order.
      owner: int64[rows], the segment of each.
      weights: float64[rows], how often each counts; `1 + WINDOW_PATCHES` for all of a segment.
      judged: bool[rows], whether it is a segment's description.
    """

    rows: np.ndarray
    owner: np.ndarray
    weights: np.ndarray
    judged: np.ndarray


def to_learn_from(
    vectors: np.ndarray,
    segment_index: np.ndarray,
    segments: int,
    energy: np.ndarray,
    by_loudness: bool = True,
) -> ToLearnFrom:
    """What a classifier learns from: each segment's description, and some of its patches alone.

    These are at most five of a segment's audible patches, evenly spaced, and none of a segment
    that is one patch. Long and short segments count alike: a class of long sounds is not more
    likely for it.

    Args:
      vectors: float32[n, dim], the patches of a segment in the order of time.
      segment_index: int[n].
      segments: Number of segments, each with at least one patch.
      energy: float32[n], mean mel energy per cell, by which patches count and silence is known;
        NaN where it is not known.
      by_loudness: Whether patches count by it.
    """
    loud = energy if by_loudness else None
    described = describe(vectors, segment_index, segments, energy=loud)
    sizes = np.bincount(segment_index, minlength=segments)
    audible = _is_audible(energy) & (sizes[segment_index] > 1)
    chosen = np.flatnonzero(audible)
    chosen = chosen[np.argsort(segment_index[chosen], kind="stable")]
    owner = segment_index[chosen]
    counts = np.bincount(owner, minlength=segments)
    place = np.arange(len(chosen)) - (np.cumsum(counts) - counts)[owner]
    # Of n patches, k: where ⌊p·k / n⌋ steps up.
    kept = np.minimum(counts, WINDOW_PATCHES)
    steps = place * kept[owner] // counts[owner]
    first = (place == 0) | (steps != (place - 1) * kept[owner] // counts[owner])
    alone = describe_patches(vectors[chosen[first]])
    owner = np.concatenate([np.arange(segments), owner[first]])
    judged = np.arange(len(owner)) < segments
    without = np.where(kept == 0, 1 + WINDOW_PATCHES, 1)
    weights = np.where(judged, without[owner], WINDOW_PATCHES / np.maximum(kept, 1)[owner])
    return ToLearnFrom(np.concatenate([described, alone]), owner, weights, judged)
