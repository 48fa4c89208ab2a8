"""Average precision of many pairs by counting, without sorting all pairs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from audio_triplet.evaluation.cosines import EXCLUDED

# Thresholds looked up at a time, so that no large temporary is made.
BLOCK_THRESHOLDS = 1 << 21


def rank_targets(targets: np.ndarray, others: Iterable[np.ndarray]) -> tuple[float, int, int]:
    """Average precision of `targets` among `others`, ties as scikit-learn, and both counts.

    Only the distinct target scores matter: at each of them, precision needs the number of
    targets and of others with at least that score.

    Args:
      targets: uint32[...], scores; sorted in place.
      others: uint32[...] arrays of scores, which may hold `EXCLUDED`; sorted in place, or not.

    Returns:
      Average precision (NaN without targets), number of targets, number of others.
    """
    targets.sort()
    first = np.flatnonzero(np.diff(targets, prepend=np.uint32(EXCLUDED)))
    distinct = targets[first]
    above = np.zeros(len(distinct), np.int64)
    count = 0
    for scores in others:
        count += int(np.count_nonzero(scores))
        add_counts(scores, distinct, above)
    if not len(distinct):
        return float("nan"), 0, count
    hits = len(targets) - first
    above += hits
    repeated = np.diff(first, append=len(targets))
    return float(np.sum(repeated * (hits / above)) / len(targets)), len(targets), count


def add_counts(scores: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> None:
    """Adds to `counts` how many `scores` reach each of the `thresholds`.

    Many scores against few thresholds are first counted in buckets (their leading bits); only
    buckets that hold a threshold need sorting. On 10^7 scores this took 12 to 20 ns a score
    where sorting all took 85 (numpy 1.26, AVX2); against more than about 10^6 thresholds
    nearly every bucket holds one, and sorting at once is as good.

    Args:
      scores: uint32[n]; sorted in place, or not.
      thresholds: uint32[t], ascending, without repeats.
      counts: int64[t].
    """
    bits = min(max(len(thresholds).bit_length() + 5, 18), 22)
    if len(scores) > 1 << bits and len(thresholds) < 1 << 20:
        bucket = scores >> np.uint32(32 - bits)
        threshold_bucket = thresholds >> np.uint32(32 - bits)
        mixed = np.zeros(1 << bits, bool)
        mixed[threshold_bucket] = True
        whole = np.bincount(bucket, minlength=1 << bits)
        whole[mixed] = 0
        counts += np.cumsum(whole[::-1])[::-1][threshold_bucket]
        scores = scores[mixed[bucket]]
    scores.sort()
    for start in range(0, len(thresholds), BLOCK_THRESHOLDS):
        part = slice(start, start + BLOCK_THRESHOLDS)
        counts[part] += len(scores) - np.searchsorted(scores, thresholds[part], side="left")
