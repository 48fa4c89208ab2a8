"""Parts of sound that overlap: which predicted events are right, and which moments hold a class."""

from __future__ import annotations

import numpy as np


def overlaps(
    starts: np.ndarray,
    ends: np.ndarray,
    other_starts: np.ndarray,
    other_ends: np.ndarray,
    least: float,
) -> np.ndarray:
    """Which parts overlap which, by at least so much of the shorter of the two.

    Args:
      starts: float[n], seconds.
      ends: float[n].
      other_starts: float[m].
      other_ends: float[m]; may be infinite.
      least: Share of the shorter one; 0: any overlap at all.

    Returns:
      bool[n, m].
    """
    both = np.minimum(ends[:, None], other_ends) - np.maximum(starts[:, None], other_starts)
    shorter = np.minimum((ends - starts)[:, None], other_ends - other_starts)
    # 1e-9 s: times that were written with decimals and taken from each other.
    return (both > 1e-9) & (both >= least * shorter - 1e-9)


def match(allowed: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs predicted events with true ones, each with one at most.

    Predictions come by their scores, the highest first, and each makes the number of pairs as large
    as it can be among those so far, where need be by giving earlier ones another true event
    (augmenting paths). So the pairs among predictions above any score are as many as there can be.

    Args:
      allowed: bool[predicted, true], which pairs may be made.
      scores: float[predicted].

    Returns:
      bool[predicted]: those that are right; bool[true]: those that were found.
    """
    partner = np.full(allowed.shape[1], -1)
    right = np.zeros(len(allowed), bool)
    options = [np.flatnonzero(row).tolist() for row in allowed]

    def finds(first: int) -> bool:
        """Whether a prediction gets a true event, by a search in breadth."""
        came_from: dict[int, int] = {}  # true event → the prediction that asked for it
        waiting = [first]
        while waiting:
            prediction = waiting.pop(0)
            for event in options[prediction]:
                if event in came_from:
                    continue
                came_from[event] = prediction
                if partner[event] >= 0:
                    waiting.append(int(partner[event]))
                    continue
                while True:  # back along the path: everybody takes what he asked for
                    asker = came_from[event]
                    held = next((e for e in options[asker] if partner[e] == asker), None)
                    partner[event] = asker
                    if held is None:
                        return True
                    event = held
        return False

    for prediction in np.argsort(-scores, kind="stable"):
        right[prediction] = finds(int(prediction))
    return right, partner >= 0


def joined(
    starts: np.ndarray, ends: np.ndarray, scores: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joins parts of one sound that touch, or nearly.

    Args:
      starts: float[n], seconds, in any order.
      ends: float[n].
      scores: float[n].
      gap: The longest gap between two that are one, seconds; negative: nothing is joined.

    Returns:
      Starts, ends, and the highest score of each, by start.
    """
    order = np.lexsort([ends, starts])
    starts, ends, scores = starts[order], ends[order], scores[order]
    if not len(starts) or gap < 0:
        return starts, ends, scores
    reach = np.maximum.accumulate(ends)
    first = np.flatnonzero(np.append(True, starts[1:] > reach[:-1] + gap + 1e-6))
    return starts[first], np.maximum.reduceat(ends, first), np.maximum.reduceat(scores, first)
