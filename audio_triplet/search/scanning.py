"""The pass over all vectors of an archive: a bound to the score of each stretch of sound.

A stretch is vectors that stand side by side and are of one segment. Its bound is the score of its
best window of so many vectors; `events` then looks closer at those that are worth it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import NamedTuple, Protocol

import numpy as np
import threadpoolctl

from audio_triplet.search.question import NEVER, Question

# Vectors that are multiplied at once: their likenesses stay in a core's cache.
BLOCK = 1 << 13

_AT_FIRST = 1024


class Vectors(Protocol):
    """Some of an archive's vectors.

    Attributes:
      vectors: float[n, dim], raw, memory-mapped.
      spans: [n] with the fields `start` and `end`, seconds in their file.
      owners: int32[n], the segment of each; a segment's vectors stand side by side, in order.
    """

    vectors: np.ndarray
    spans: np.ndarray
    owners: np.ndarray


class Stretches(NamedTuple):
    """Stretches of sound.

    Attributes:
      part: int64[n], number of the part of each.
      first: int64[n], its first vector there.
      vectors: int64[n], how many it has.
      bound: float32[n], none of it has a higher score.
    """

    part: np.ndarray
    first: np.ndarray
    vectors: np.ndarray
    bound: np.ndarray

    @classmethod
    def none(cls) -> Stretches:
        """No stretch."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, np.zeros(0, np.float32))

    @classmethod
    def joined(cls, some: Sequence[Stretches]) -> Stretches:
        """All of several."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*some, strict=True)))

    def best_first(self) -> Iterator[Stretches]:
        """By descending bound, equal ones as they are; without those that may not be found.

        Yields:
          First about `_AT_FIRST`, then the rest: most searches do not ask for it.
        """
        found = np.flatnonzero(self.bound > NEVER / 2)
        groups = [found]
        if len(found) > 2 * _AT_FIRST:
            bound = self.bound[found]
            reach = np.partition(bound, -_AT_FIRST)[-_AT_FIRST]
            groups = [found[bound >= reach], found[bound < reach]]
        for group in groups:
            order = group[np.argsort(-self.bound[group], kind="stable")]
            yield Stretches(*(array[order] for array in self))


class Nearest(NamedTuple):
    """Vectors that are near to one patch of the question, whatever their neighbours are.

    Attributes:
      part: int64[n], number of the part of each.
      vector: int64[n], its number there.
      likeness: float32[n], to the patch it is nearest to.
    """

    part: np.ndarray
    vector: np.ndarray
    likeness: np.ndarray

    @classmethod
    def none(cls) -> Nearest:
        """No vector."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))

    @classmethod
    def of(cls, part: int, first: int, likeness: np.ndarray, most: int) -> Nearest:
        """The nearest of float32[n] vectors that begin with number `first` of a part."""
        if len(likeness) > most:
            chosen = np.argpartition(likeness, -most)[-most:] if most else np.zeros(0, np.int64)
        else:
            chosen = np.arange(len(likeness))
        return cls(np.full(len(chosen), part), first + chosen, likeness[chosen])

    @classmethod
    def joined(cls, some: Sequence[Nearest]) -> Nearest:
        """All of several."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*some, strict=True)))

    def best(self, most: int) -> Nearest:
        """The nearest, in that order, without those that may not be found."""
        order = np.lexsort((self.vector, self.part, -self.likeness))[:most]
        order = order[self.likeness[order] > NEVER / 2]
        return Nearest(*(array[order] for array in self))


def first_of_runs(owners: np.ndarray) -> np.ndarray:
    """int64[segments], the first vector of each segment in a part."""
    if not len(owners):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])


def scan(
    question: Question,
    parts: Sequence[Vectors],
    scales: Sequence[np.ndarray],
    keep: Sequence[np.ndarray | None],
    numbers: Iterable[int],
    width: int,
    near: int,
    threads: int,
) -> tuple[Stretches, Nearest]:
    """One pass over parts: every segment with its bound, and the nearest vectors.

    Args:
      question: What is asked.
      parts: All parts of the archive.
      scales: float32[n] of each part, see `Likeness.scales`.
      keep: For each part bool[vectors], which of them may be found; None: all.
      numbers: Numbers of the parts to search.
      width: How many vectors may answer at once.
      near: How many of the nearest vectors to give.
      threads: Cores to use.
    """
    jobs = []
    for number in numbers:
        first = first_of_runs(parts[number].owners)
        total = len(parts[number].owners)
        # Blocks begin where segments do.
        edges = np.unique(np.searchsorted(first, np.arange(0, total, BLOCK)))
        edges = np.append(edges[edges < len(first)], len(first))
        borders = np.append(first, total)
        jobs += [(number, borders[low : high + 1]) for low, high in itertools.pairwise(edges)]

    def of_block(job: tuple[int, np.ndarray]) -> tuple[Stretches, Nearest]:
        number, borders = job
        low, high, part = borders[0], borders[-1], parts[number]
        found = question.likenesses(part.vectors[low:high], scales[number][low:high], True)
        mask = keep[number]
        if mask is not None:
            found[:, ~mask[low:high]] = NEVER
        stretches = Stretches(
            np.full(len(borders) - 1, number),
            borders[:-1],
            np.diff(borders),
            best_of_runs(question, found, borders - low, width),
        )
        return stretches, Nearest.of(number, low, found.max(axis=0), near)

    found = in_threads(of_block, jobs, threads)
    if not found:
        return Stretches.none(), Nearest.none()
    return (
        Stretches.joined([stretches for stretches, _ in found]),
        Nearest.joined([nearest for _, nearest in found]).best(near),
    )


def best_of_runs(
    question: Question, likenesses: np.ndarray, borders: np.ndarray, width: int
) -> np.ndarray:
    """The score of the best window of each run of vectors.

    Args:
      question: What is asked.
      likenesses: float32[q, n].
      borders: int64[runs + 1], where runs begin and the last one ends: from 0 to n.
      width: Vectors of a window; a shorter run is one window.

    Returns:
      float32[runs].
    """
    count = np.diff(borders)
    long = count > width
    if not long.all():
        nearest = np.maximum.reduceat(likenesses, borders[:-1], axis=1)  # [q, runs]
        best = question.scores(nearest)
        if not long.any():
            return best
    else:
        best = np.empty(len(count), np.float32)
    scores = question.scores(window_maxima(likenesses, width))  # [windows]
    # From the first window of a run to its last; every second reduction is of what lies between.
    pairs = np.stack([borders[:-1][long], borders[1:][long] - width + 1], axis=1).ravel()
    best[long] = np.maximum.reduceat(np.append(scores, np.float32(NEVER)), pairs)[::2]
    return best


def window_maxima(values: np.ndarray, width: int) -> np.ndarray:
    """The maxima over windows of a width, by doubling: float32[q, n] → [q, n - width + 1]."""
    have = 1
    while 2 * have <= width:
        values = np.maximum(values[:, :-have], values[:, have:])
        have *= 2
    rest = width - have
    return np.maximum(values[:, :-rest], values[:, rest:]) if rest else values


def in_threads(function: Callable, jobs: Sequence, threads: int) -> list:
    """Runs NumPy products side by side, each on one core."""
    if len(jobs) < 2 or threads < 2:
        return [function(job) for job in jobs]
    with _blas().limit(limits=1), futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, jobs))


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
    """NumPy's own threads; finding them takes milliseconds."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")
