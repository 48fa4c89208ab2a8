"""Diffusion: what is like the best answers ranks higher than what is only like the query.

The sounds that seem most like a query are joined, each to those that are most like it, and the
query's nearest pass their likeness on along these ties (ranking on manifolds: Zhou et al. 2004;
Iscen et al. 2017 for pictures). So a rain that is unlike the rain that was asked for is found by
way of the rains between. No label is used, and nothing is kept in an index: the ties are made anew
for each search, among its best answers alone. docs/lab_notes.md has what it gains.

No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from audio_triplet.embeddings.loudness import shares_of
from audio_triplet.search.question import evenly
from audio_triplet.search.scanning import in_threads

# [D] How many of the best answers are looked at.
SHORTLIST = 1000

# [D] So many vectors of a sound, evenly spread, are compared with other sounds.
MOST_VECTORS = 6

# Sounds that are compared with all at once, by a core.
_ROWS = 256

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
OWN_WEIGHT = 0.05
OWN_TIE = 0.3

# What rounding alone may make of two sounds that have nothing in common.
_LEAST_TIE = 1e-6

# [D] Then all pass on what they got, once more, by this power of it: what got much counts, however
# few or many there are of it.
AGAIN = 2.0

# [D] From this likeness on an answer is the sound itself, of a query or of a counter-example: no
# other changes its score, and it says nothing of others that the question does not.
CERTAIN = 0.95


def scores(
    likeness: np.ndarray,
    sounds: Sequence[np.ndarray],
    recordings: np.ndarray,
    unlike: np.ndarray | float = 0.0,
    threads: int = 1,
    energies: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """The scores of a search's best answers, once they speak for each other.

    Args:
      likeness: float[n], to the query, descending.
      sounds: For each float32[vectors, dim], its vectors of unit norm, as the archive's
        measure maps them.
      recordings: int[n]. Sounds of one recording are not tied: they are alike anyway.
      unlike: float[n], how like each is to the nearest in the counter-examples.
      threads: Processor cores to use.
      energies: For each float[vectors], by which its vectors count, see `loudness.shares_of`; None:
        all alike.

    Returns:
      float64[n], none above the greatest likeness, on its scale: the power mean of what a sound
      has itself and of what is passed on to it. What is certain keeps its likeness, and what is
      certainly a counter-example gets nothing from others.
    """
    found = np.maximum(np.asarray(likeness, np.float64), 0.0)
    unwanted = (unlike >= CERTAIN) & (found < CERTAIN)
    part = np.flatnonzero(~unwanted & (found < CERTAIN))
    own = found[part] ** POWER
    found[unwanted] = [rest_score(each) for each in found[unwanted]]
    if not len(own) or not own[0]:
        return found
    compared = Sounds(
        [thinned(sounds[n], MOST_VECTORS) for n in part],
        energies and [shares_of(thinned(energies[n], MOST_VECTORS)) for n in part],
    )
    ties = _Ties.of(compared, np.asarray(recordings)[part], threads)
    once = _passed_on(ties, np.where(np.arange(len(own)) < SOURCES, own, 0.0), own)
    twice = _passed_on(ties, own[0] * (once / once.max()) ** AGAIN, own)
    # What is tied to nothing, as all sounds of a single recording are, keeps its likeness.
    found[part[ties.tied]] = twice[ties.tied] ** (1 / POWER)
    return found


def _passed_on(ties: _Ties, sources: np.ndarray, own: np.ndarray) -> np.ndarray:
    """float64[n]: what sounds have once the sources have passed theirs on, and of their own."""
    found = sources
    for _ in range(STEPS):
        found = PASSED_ON * ties.means(found) + (1 - PASSED_ON) * sources
    return (OWN_WEIGHT * own + found) / (OWN_WEIGHT + 1)


def rest_score(likeness: float) -> float:
    """The score of an answer beyond the best, which nothing is passed on to."""
    return float((OWN_WEIGHT * max(likeness, 0.0) ** POWER / (OWN_WEIGHT + 1)) ** (1 / POWER))


def thinned(vectors: np.ndarray, most: int) -> np.ndarray:
    """At most so many of a sound's vectors, or of what belongs to each, evenly spread."""
    if len(vectors) <= most:
        return vectors
    return vectors[evenly(len(vectors), most)]


class Sounds:
    """Sounds that are compared with each other.

    Args:
      sounds: For each float32[vectors, dim], unit norm, at least one.
      shares: For each float32[vectors], how much they count, together 1; None: all alike.
    """

    def __init__(self, sounds: Sequence[np.ndarray], shares: Sequence[np.ndarray] | None = None):
        self._counts = np.array([len(sound) for sound in sounds])
        # Those with most vectors first: so all that have a second, a third … stand in front.
        order = np.argsort(-self._counts, kind="stable")
        self._place = np.argsort(order)
        # The first vector of each sound, the second of each that has one …
        self._nth = [
            np.stack([sounds[n][nth] for n in order[: np.sum(self._counts > nth)]])
            for nth in range(self._counts.max())
        ]  # each [sounds that have it, dim]
        if shares is None:
            shares = [np.full(n, 1 / n) for n in self._counts]
        self._shares = [
            np.array([shares[n][nth] for n in order[: len(vectors)]], np.float32)
            for nth, vectors in enumerate(self._nth)
        ]

    def __len__(self) -> int:
        return len(self._counts)

    def alike(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """How like they are, so many sounds at a time.

        Yields:
          The number of the first sound, and float32[sounds, n] of it and those that follow it.
        """
        for begin in range(0, len(self), rows):
            yield begin, self.rows(begin, rows)

    def rows(self, begin: int, count: int) -> np.ndarray:
        """How like so many sounds, from a first one on, are to all: float32[count, n].

        In row i, on the mean over the vectors of i, loud ones counting more, the nearest of each.
        """
        places = self._place[begin : begin + count]
        found = np.zeros((len(places), len(self)), np.float32)
        for vectors, shares in zip(self._nth, self._shares, strict=True):
            have = np.flatnonzero(places < len(vectors))
            if not len(have):
                continue
            nearest = self._nearest(vectors[places[have]])
            nearest *= shares[places[have], None]
            if len(have) == len(places):
                found += nearest
            else:
                found[have] += nearest
        return found[:, self._place]

    def both_ways(self, vectors: np.ndarray, lengths: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """How like other sounds are to these, on the mean of both directions.

        Args:
          vectors: float32[n, dim], unit norm, those of a sound together.
          lengths: int64[others], how many each of them has, one at least.
          shares: float32[n], how much each counts in its sound, together 1.

        Returns:
          float32[others, sounds].
        """
        starts = np.cumsum(lengths) - lengths
        alone = len(vectors) == len(lengths)

        def over(ufunc: np.ufunc, rows: np.ndarray) -> np.ndarray:
            """float32[others, …], over the vectors of each."""
            return rows if alone else ufunc.reduceat(rows, starts, axis=0)

        nearest = vectors @ self._nth[0].T  # of each vector the nearest of a sound
        # The other way: sums over a sound's vectors.
        back = over(np.maximum, nearest) * self._shares[0]
        for nth, own in zip(self._nth[1:], self._shares[1:], strict=True):
            products = vectors @ nth.T
            some = nearest[:, : len(nth)]
            np.maximum(some, products, out=some)
            back[:, : len(nth)] += over(np.maximum, products) * own
        nearest *= shares[:, None]
        found = over(np.add, nearest)
        found += back
        found *= 0.5
        return found[:, self._place]

    def _nearest(self, vectors: np.ndarray) -> np.ndarray:
        """float32[vectors, n]: the nearest vector of each sound, those with most first."""
        nearest = vectors @ self._nth[0].T
        for others in self._nth[1:]:
            some = nearest[:, : len(others)]
            np.maximum(some, vectors @ others.T, out=some)
        return nearest


class _Ties(NamedTuple):
    """How much each sound is tied to others and to itself: few of all pairs.

    Attributes:
      begins: int64[n], the first tie of each sound.
      others: int64[ties], the sound at the other end, sound by sound.
      weights: float64[ties]; those of a sound add up to 1.
      tied: bool[n], whether there is a tie to another sound.
    """

    begins: np.ndarray
    others: np.ndarray
    weights: np.ndarray
    tied: np.ndarray

    @classmethod
    def of(cls, sounds: Sounds, recordings: np.ndarray, threads: int) -> _Ties:
        """The ties of some sounds: symmetric before they are divided by their sums.

        Args:
          sounds: They.
          recordings: int[n], theirs.
          threads: Processor cores to use.
        """
        count = len(sounds)

        def of_rows(first: int) -> tuple[np.ndarray, np.ndarray]:
            """int64[2, ties] and float32[ties]: which are tied, and how like they are."""
            alike = sounds.rows(first, _ROWS)
            alike[recordings[first : first + _ROWS, None] == recordings] = 0.0
            least = np.full((len(alike), 1), _LEAST_TIE, np.float32)
            if count > TIES:
                least = np.maximum(np.partition(alike, -TIES, axis=1)[:, -TIES, None], least)
            pair = np.nonzero(alike >= least)
            return np.stack([pair[0] + first, pair[1]]), alike[pair]

        found = in_threads(of_rows, range(0, count, _ROWS), threads)
        one, other = np.concatenate([pair for pair, _ in found], axis=1)
        half = 0.5 * np.concatenate([alike for _, alike in found]).astype(np.float64) ** POWER
        itself = np.arange(count)
        begin = np.concatenate([one, other, itself])
        order = np.argsort(begin, kind="stable")
        weights = np.concatenate([half, half, np.full(count, OWN_TIE)])[order]
        ties = np.bincount(begin, minlength=count)
        begins = np.cumsum(ties) - ties
        weights /= np.repeat(np.add.reduceat(weights, begins), ties)
        others = np.concatenate([other, one, itself])[order]
        return cls(begins, others, weights, ties > 1)

    def means(self, values: np.ndarray) -> np.ndarray:
        """float64[n]: what each sound gets along its ties, of float64[n]."""
        return np.add.reduceat(self.weights * values[self.others], self.begins)
