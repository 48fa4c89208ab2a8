"""Which moments to listen to next: the surest, the least sure, a spread, a random sample."""

from __future__ import annotations

import collections

import numpy as np

ORDERS = ("surest", "unsure", "spread", "random")

# Moments that are looked at for each that is wanted, so that recordings can take turns.
_LOOKED_AT, _LEAST = 50, 2000


def choose(
    logits: np.ndarray,
    recordings: np.ndarray,
    free: np.ndarray,
    order: str,
    count: int,
    seed: int = 0,
) -> np.ndarray:
    """Which moments to listen to next.

    A second moment of a recording comes when every recording near it has given one: two moments of
    one recording teach little more than one [D].

    Args:
      logits: float32[moments].
      recordings: int[moments].
      free: bool[moments], those to choose from.
      order: One of `ORDERS`.
      count: How many, at most.
      seed: Of `random`.

    Returns:
      int64[count or fewer], in the order to listen to them.
    """
    places = np.flatnonzero(free)
    if not len(places):
        return places
    scores = logits[places]
    if order == "spread":
        return places[_spread(scores, count)]
    if order == "random":
        wanted = np.random.default_rng(seed).permutation(len(places))
    else:
        key = -scores if order == "surest" else np.abs(scores)
        most = min(len(key), max(_LEAST, _LOOKED_AT * count))
        wanted = np.argpartition(key, most - 1)[:most]
        wanted = wanted[np.argsort(key[wanted], kind="stable")]
    wanted = wanted[: max(_LEAST, _LOOKED_AT * count)]
    seen: collections.Counter[int] = collections.Counter()
    before = np.zeros(len(wanted), int)
    for rank, recording in enumerate(recordings[places[wanted]].tolist()):
        before[rank] = seen[recording]
        seen[recording] += 1
    return places[wanted[np.argsort(before, kind="stable")][:count]]


def _spread(scores: np.ndarray, count: int) -> np.ndarray:
    """Places of scores that lie evenly from the highest to the lowest, highest first."""
    order = np.argsort(-scores, kind="stable")
    ordered = -scores[order]
    targets = np.linspace(ordered[0], ordered[-1], count)
    place = np.clip(np.searchsorted(ordered, targets), 0, len(ordered) - 1)
    left = np.maximum(place - 1, 0)
    nearer = np.abs(ordered[left] - targets) < np.abs(ordered[place] - targets)
    return order[np.unique(np.where(nearer, left, place))]
