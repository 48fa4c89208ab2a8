"""Exact search: the product of a query with every vector of memory-mapped parts."""

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import NamedTuple, Protocol

import numpy as np
import threadpoolctl

from audio_triplet.search import index_format
from audio_triplet.search.index_format import Part

# Vectors that are compared with many queries at once; and of their products, as a multiple of what
# is wanted, so many are few: they are sorted, more are partitioned first.
_COMPARED, _FEW = 4096, 8


class Neighbour(NamedTuple):
    """A vector that is near to a query.

    Attributes:
      score: Cosine to the query.
      part: Number of the vector's part.
      vector: Its number in the part.
    """

    score: float
    part: int
    vector: int


def nearest(
    parts: Sequence[Part],
    numbers: Sequence[int],
    query: np.ndarray,
    top: int,
    threads: int,
    keep: Sequence[np.ndarray | None],
) -> Iterator[list[Neighbour]]:
    """The vectors nearest to a query.

    Args:
      parts: All parts of an index.
      numbers: Numbers of the parts to search.
      query: float32[dim], of unit norm.
      top: How many vectors the first list holds.
      threads: Cores to use.
      keep: For each part bool[vectors], which of them may be found; None: all.

    Yields:
      Ever longer lists, best first, equal ones in the order they were added; the last holds all.
    """
    first = np.cumsum([0, *(len(parts[number]) for number in numbers)])
    scores = np.empty(first[-1], np.float32)
    if not len(scores):
        return
    jobs = []
    block = index_format.BLOCK
    for number, begin in zip(numbers, first, strict=False):
        vectors = parts[number].vectors
        jobs += [
            (vectors[start : start + block], begin + start)
            for start in range(0, len(vectors), block)
        ]

    def product(job):
        vectors, start = job
        out = scores[start : start + len(vectors)]
        np.dot(vectors.astype(np.float32, copy=False), query, out=out)

    _in_threads(product, jobs, threads)
    for number, begin in zip(numbers, first, strict=False):
        kept = keep[number]
        if kept is not None:
            scores[begin : begin + len(kept)][~kept] = -np.inf
    while True:
        # All that reach the last wanted score, then a stable sort: ties as they were added.
        wanted = min(top, len(scores))
        reach = np.partition(scores, -wanted)[-wanted]
        best = np.flatnonzero(scores >= max(reach, -4))  # cosines, never the -inf
        best = best[np.argsort(-scores[best], kind="stable")]
        which = np.searchsorted(first, best, side="right") - 1
        yield [
            Neighbour(float(scores[position]), numbers[part], int(position - first[part]))
            for position, part in zip(best, which, strict=True)
        ]
        if len(best) < wanted or wanted == len(scores):
            return
        top *= 4


class Vectors(Protocol):
    """What has vectors, such as a `Part`."""

    @property
    def vectors(self) -> np.ndarray:
        """float[n, dim]."""

    def __len__(self) -> int:
        """How many."""


def nearest_of_many(parts: Sequence[Vectors], queries: np.ndarray, top: int) -> np.ndarray:
    """Numbers of the vectors nearest to each query, those that are gone included.

    Args:
      parts: The parts; vectors are numbered over all of them.
      queries: float32[q, dim], of unit norm.
      top: How many; at most the vectors there are.

    Returns:
      int64[q, top], nearest first.
    """
    best = np.full((len(queries), top), -np.inf, np.float32)
    ids = np.full((len(queries), top), -1, np.int64)
    offset = 0
    for part in parts:
        for first in range(0, len(part), _COMPARED):
            block = part.vectors[first : first + _COMPARED].astype(np.float32, copy=False)
            scores = queries @ block.T
            near = np.flatnonzero(scores > best[:, -1:])  # soon few are
            if len(near) > _FEW * best.size:
                keep = np.argpartition(-scores, min(top, len(block)) - 1, axis=1)[:, :top]
                near = (keep + np.arange(len(queries))[:, None] * len(block)).ravel()
            if len(near):
                rows, numbers = np.divmod(near, len(block))
                found = scores.ravel()[near]
                best, ids = _with(best, ids, rows, found, numbers + offset + first)
        offset += len(part)
    return ids


def _with(
    best: np.ndarray, ids: np.ndarray, rows: np.ndarray, scores: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best of each row, [q, top], among those so far and others, [n] each."""
    count, top = best.shape
    rows = np.concatenate([np.repeat(np.arange(count), top), rows])
    scores, numbers = np.concatenate([best.ravel(), scores]), np.concatenate([ids.ravel(), numbers])
    order = np.lexsort((-scores, rows))
    first = np.searchsorted(rows[order], np.arange(count))
    kept = order[first[:, None] + np.arange(top)]
    return scores[kept], numbers[kept]


def _in_threads(function: Callable, jobs: Sequence, threads: int) -> None:
    """Runs NumPy products side by side, each on one core."""
    if len(jobs) < 2 or threads < 2:
        for job in jobs:
            function(job)
        return
    with _blas().limit(limits=1), futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(function, jobs))


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
    """NumPy's own threads; finding them takes milliseconds."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")
