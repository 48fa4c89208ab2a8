"""Which sounds to label next."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def margins(scores: np.ndarray) -> np.ndarray:
    """A classifier's certainty about each segment: the lead of the best class over the second.

    Args:
      scores: float[segments, classes], at least two classes.

    Returns:
      float[segments], 0 for a tie.
    """
    best = np.partition(scores, -2, axis=1)[:, -2:]
    return best[:, 1] - best[:, 0]


def suggest(scores: np.ndarray, groups: Sequence, count: int) -> np.ndarray:
    """The segments to label next, the least sure first (margin sampling).

    A second segment of a recording comes only when every recording has given one: two moments of
    one recording teach little more than one [D].

    Args:
      scores: float[segments, classes].
      groups: A hashable per segment, its recording.
      count: How many, at most.

    Returns:
      int[count or fewer].
    """
    order = np.argsort(margins(scores), kind="stable")
    # The number of segments of the same recording that are less certain.
    before = np.zeros(len(order), int)
    seen: dict[Hashable, int] = {}
    for rank, segment in enumerate(order):
        before[rank] = seen.get(groups[segment], 0)
        seen[groups[segment]] = before[rank] + 1
    return order[np.argsort(before, kind="stable")][:count]
