"""Diffusion: what is like the best answers ranks higher than what is only like the query.

The sounds that seem most like a query are joined, each to those that are most like it, and the
query's nearest pass their likeness on along these ties (ranking on manifolds: Zhou et al. 2004;
Iscen et al. 2017 for pictures). So a rain that is unlike the rain that was asked for is found by
way of the rains between. No label is used, and nothing is kept in an index: the ties are made anew
for each search, among its best answers alone. docs/lab_notes.md has what it gains.

No TensorFlow here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from audio_triplet.search.question import evenly

# [D] How many of the best answers are looked at.
SHORTLIST = 400

# [D] So many vectors of a sound, evenly spread, are compared with other sounds.
MOST_VECTORS = 8

# Vectors whose products with all are made at once.
_ROWS = 1024

# [D] Each sound is tied to so many others, and so many of the best answers pass theirs on: some of
# the first ten of any question are wrong, fewer are too few to reach far.
TIES = 7
SOURCES = 7

# [D] Likenesses count by this power, passed on by this part in each of so many steps; a sound's own
# likeness to the query counts by this weight, and orders what nothing is passed on to. A sound is
# tied to itself, too, by the last weight: one that is like few others keeps more of what it has.
POWER = 3.0
PASSED_ON = 0.9
STEPS = 15
OWN_WEIGHT = 0.1
OWN_TIE = 0.3

# [D] From this likeness on an answer is the sound itself, and no other changes its score.
CERTAIN = 0.95


def scores(
    likeness: np.ndarray, sounds: Sequence[np.ndarray], recordings: np.ndarray
) -> np.ndarray:
    """The scores of a search's best answers, once they speak for each other.

    Args:
      likeness: float[n], to the query, descending.
      sounds: For each float32[vectors, dim], its vectors of unit norm, as the archive's
        measure maps them.
      recordings: int[n]. Sounds of one recording are not tied: they are alike anyway.

    Returns:
      float64[n], none above the greatest likeness, on its scale: the power mean of what a sound
      has itself and of what is passed on to it. What is certain keeps its likeness.
    """
    own = np.maximum(np.asarray(likeness, np.float64), 0.0) ** POWER
    weights = _ties(alike(sounds), np.asarray(recordings))
    # What is tied to nothing, as all sounds of a single recording are, keeps its likeness.
    certain = (own >= CERTAIN**POWER) | ~weights.any(axis=1)
    sources = np.where((np.arange(len(own)) < SOURCES) | certain, own, 0.0)
    ties = weights + OWN_TIE * np.eye(len(weights))
    ties /= ties.sum(axis=1, keepdims=True)
    found = sources
    for _ in range(STEPS):
        found = np.where(certain, own, PASSED_ON * (ties @ found) + (1 - PASSED_ON) * sources)
    return ((OWN_WEIGHT * own + found) / (OWN_WEIGHT + 1)) ** (1 / POWER)


def rest_score(likeness: float) -> float:
    """The score of an answer beyond the best, which nothing is passed on to."""
    return float((OWN_WEIGHT * max(likeness, 0.0) ** POWER / (OWN_WEIGHT + 1)) ** (1 / POWER))


def alike(sounds: Sequence[np.ndarray]) -> np.ndarray:
    """How like each sound is to each other, as a query and an answer are.

    Args:
      sounds: For each float32[vectors, dim], unit norm; at least one.

    Returns:
      float32[n, n]: in row i, on the mean over the vectors of i, the nearest of each sound.
    """
    together = Sounds([thinned(sound, MOST_VECTORS) for sound in sounds])
    return np.concatenate([like for _, like in together.alike(_ROWS)])


def thinned(vectors: np.ndarray, most: int) -> np.ndarray:
    """At most so many of a sound's vectors, evenly spread."""
    if len(vectors) <= most:
        return vectors
    return vectors[evenly(len(vectors), most)]


class Sounds:
    """Sounds that are compared with each other.

    Args:
      sounds: For each float32[vectors, dim], unit norm, at least one.
    """

    def __init__(self, sounds: Sequence[np.ndarray]):
        self._counts = np.array([len(sound) for sound in sounds])
        self._first = np.cumsum(self._counts) - self._counts
        self._every = np.concatenate(sounds)  # [vectors of all, dim]

    def alike(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """How like they are, about so many vectors at a time.

        Yields:
          The number of the first sound, and float32[sounds, n] of it and those that follow it.
        """
        edges = np.unique(np.searchsorted(self._first, np.arange(0, len(self._every), rows)))
        for begin, end in itertools.pairwise([*edges[edges < len(self._first)], len(self._first)]):
            first = self._first[begin:end]
            last = first[-1] + self._counts[end - 1]
            found = self._every[first[0] : last] @ self._every.T  # [vectors of some, of all]
            if len(self._every) > len(self._counts):
                found = np.maximum.reduceat(found, self._first, axis=1)  # [vectors, n]
                found = np.add.reduceat(found, first - first[0], axis=0)  # [some, n]
                found /= self._counts[begin:end, None]
            yield int(begin), found


def _ties(alike: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    """float64[n, n], symmetric: how much each sound is tied to each other."""
    apart = np.where(recordings[:, None] == recordings[None, :], 0.0, np.maximum(alike, 0.0))
    if len(apart) > TIES:
        least = np.partition(apart, -TIES, axis=1)[:, -TIES][:, None]
        apart = np.where(apart >= least, apart, 0.0)
    weights = apart**POWER
    return (weights + weights.T) / 2
