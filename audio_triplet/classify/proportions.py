"""The interval of a share, where what is counted comes in groups."""

from __future__ import annotations

import numpy as np

from audio_triplet.evaluation.metrics import Interval


def share_interval(
    right: np.ndarray, groups: np.ndarray, level: float = 0.95
) -> tuple[float | None, Interval]:
    """A share and its interval, by Korn and Graubard (1998).

    Clopper and Pearson's limits, for as many independent items as the groups are worth: sounds of
    one recording succeed and fail together. Where all are right, or none is, a group counts once.

    Args:
      right: bool[n], whether each item counts.
      groups: A value per item, its recording.
      level: How often the interval should cover the share.

    Returns:
      The share, None without items; and the interval, 0 to 1 without items.
    """
    from scipy import stats

    right = np.asarray(right, bool)
    if not len(right):
        return None, Interval(0.0, 1.0)
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    size = np.bincount(codes)
    hits = np.bincount(codes, right)
    share, count, tail = float(right.mean()), len(size), (1 - level) / 2
    worth = float(count)
    if count < 2:
        worth = 1.0
    elif 0 < share < 1:
        variance = count / (count - 1) * ((hits - share * size) ** 2).sum() / len(right) ** 2
        worth = share * (1 - share) / variance if variance else np.inf
        quantile = stats.t.ppf(tail, np.array([max(len(right) - 1, 1), count - 1]))
        worth = min(float(worth * (quantile[0] / quantile[1]) ** 2), float(len(right)))
    yes, no = share * worth, (1 - share) * worth
    low = stats.beta.ppf(tail, yes, no + 1) if yes else 0.0
    high = stats.beta.ppf(1 - tail, yes + 1, no) if no else 1.0
    return share, Interval(float(low), float(high))
