"""Query by example over every pair of many segments, by tiles.

The time of it is in passes over scores: a pair counts for each class of which one of its segments
is a member, a thousand million times for 20,000 segments with three labels each. Here every score
is computed once, in tiles of some rows, and counted there for all classes. Kept are each class's
target scores and the counts at them, never all scores. The counting loops are compiled (`loops`).
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Sequence
from concurrent import futures

import numpy as np
import threadpoolctl

from audio_triplet.evaluation import loops
from audio_triplet.evaluation.cosines import EXCLUDED, UNIT, Cosines
from audio_triplet.evaluation.pairs import Groups, target_scores

# Scores of a tile, 8 bytes each. The larger, the more is looked up in a class's table while that
# is in a cache.
TILE_SCORES = 1 << 25

# Products go by blocks of rows and columns, whose two float64 temporaries stay in a cache.
BLOCK_ROWS, BLOCK_COLUMNS = 256, 2048

# A class's table has two to four parts a threshold, and at most 2^24.
TABLE_BITS = 24

# Where there are more thresholds than this, what scores look up is not in a core's cache: they are
# brought into a rough order first, by parts with so many thresholds.
NEAR = 1 << 15
NEAR_BITS = 12


def rank_all(
    cosines: Cosines, same_group: Groups, labels: np.ndarray, workers: int | None = None
) -> list[tuple[float, int, int]]:
    """Average precision of each class's target pairs among its others, and both counts.

    Args:
      cosines: of the segments.
      same_group: the pairs that do not count.
      labels: bool[segments, classes].
      workers: threads; None takes one per CPU.

    Returns:
      Per class what `ranking.rank_targets` returns, to the bit.
    """
    # Largest classes first, so that no thread is left alone with one at the end.
    order = np.argsort(-labels.sum(axis=0), kind="stable")
    outcomes: list[tuple[float, int, int]] = [(float("nan"), 0, 0)] * len(order)
    with (
        threadpoolctl.threadpool_limits(1, "blas"),  # the threads here have a product each
        futures.ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
    ):
        classes = list(
            pool.map(lambda column: _Class.of(cosines, same_group, labels[:, column]), order)
        )
        _count_tiles(cosines, same_group, classes, pool)
        for column, outcome in zip(order, pool.map(_Class.outcome, classes), strict=True):
            outcomes[column] = outcome
    return outcomes


@dataclasses.dataclass(frozen=True)
class _Class:
    """A class's targets, ready to be looked up by score.

    Attributes:
      members: int64[members], ascending: its segments.
      targets: how many of its pairs count.
      others: how many pairs that count have exactly one segment in it.
      thresholds: uint32[t + 1], its distinct target scores, ascending, and one above all scores.
      repeats: uint32[t], how many targets have each.
      below, shift, counts: see `loops.count`.
    """

    members: np.ndarray
    targets: int
    others: int
    thresholds: np.ndarray
    repeats: np.ndarray
    below: np.ndarray
    shift: int
    counts: np.ndarray

    @classmethod
    def of(cls, cosines: Cosines, same_group: Groups, inside: np.ndarray) -> _Class:
        """The class of which some segments (bool[segments]) are members."""
        members = np.flatnonzero(inside)
        targets = target_scores(cosines, same_group, inside)
        spare = np.empty_like(targets)
        for shift in range(0, 32, loops.DIGIT_BITS):  # NumPy's sort is as quick with AVX-512 only
            loops.order_by_digit(targets, shift, spare)
            targets, spare = spare, targets
        thresholds, repeats = loops.distinct(targets)
        below, shift = np.zeros(1, np.uint32), 0
        if len(targets):
            bits = min(len(repeats).bit_length() + 1, TABLE_BITS)
            shift = max(_span(thresholds).bit_length() - bits, 0)
            below = loops.table(thresholds, shift)
        # Every pair across the border once, every target twice.
        pairs = len(members) * cosines.segments - int(same_group.sizes(members).sum())
        # No count is above the number of all pairs: below 2^32 up to 65,000 segments.
        number = np.uint32 if cosines.segments < 1 << 16 else np.int64
        counts = np.zeros(len(thresholds), number)
        others = pairs - 2 * len(targets)
        return cls(members, len(targets), others, thresholds, repeats, below, shift, counts)

    def count(self, lines: np.ndarray, first_segment: int) -> None:
        """Counts the scores of its members among `lines`, which begin with `first_segment`."""
        first, last = np.searchsorted(self.members, [first_segment, first_segment + len(lines)])
        chosen = self.members[first:last] - first_segment
        if not self.targets or not len(chosen):
            return
        if len(self.thresholds) > NEAR:
            span, bits = _span(self.thresholds), len(self.thresholds).bit_length() - NEAR_BITS
            shift = max(span.bit_length() - bits, 0)
            ordered = np.empty((1, len(chosen) * lines.shape[1]), np.uint32)
            loops.put_in_rough_order(
                lines, chosen, int(self.thresholds[0]), shift, (span >> shift) + 1, ordered[0]
            )
            lines, chosen = ordered, np.zeros(1, np.int64)
        loops.count(lines, chosen, self.thresholds, self.below, self.shift, self.counts)

    def outcome(self) -> tuple[float, int, int]:
        """See `rank_all`."""
        if not self.targets:
            return float("nan"), 0, self.others
        terms = loops.precisions(self.repeats, self.counts)
        return float(np.sum(terms) / self.targets), self.targets, self.others


def _span(thresholds: np.ndarray) -> int:
    return int(thresholds[-2]) - int(thresholds[0])


def _count_tiles(
    cosines: Cosines, same_group: Groups, classes: Sequence[_Class], pool: futures.Executor
) -> None:
    """Counts every score between a member and any other segment, once a member."""
    last = max((int(one.members[-1]) for one in classes if one.targets), default=-1)
    tiles = _Tiles(cosines, same_group, pool)
    for start in range(0, last + 1, tiles.rows):
        scores, mirrored = tiles.scores(start)

        def count(one: _Class, start=start, scores=scores, mirrored=mirrored) -> None:
            one.count(scores, start)
            one.count(mirrored, start + len(scores))

        list(pool.map(count, classes))


class _Tiles:
    """Scores of some rows against all segments from the first of them on.

    Attributes:
      rows: of a tile; the last may have fewer.
    """

    def __init__(self, cosines: Cosines, same_group: Groups, pool: futures.Executor):
        self._cosines = cosines
        self._same_group = same_group
        self._pool = pool
        self.rows = min(cosines.segments, max(1, TILE_SCORES // cosines.segments))
        # Used again for each tile: fresh memory costs as much as a pass over it.
        size = self.rows * cosines.segments
        self._scores, self._mirrored = np.empty(size, np.uint32), np.empty(size, np.uint32)
        self._of_thread = threading.local()

    def scores(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """The tile that begins with a segment; its arrays hold until the next.

        Returns:
          uint32[rows, segments - start], the scores of segments start, start + 1, …
          uint32[segments - start - rows, rows], the scores of all later segments against these.
        """
        stop = min(start + self.rows, self._cosines.segments)
        rows, columns = stop - start, self._cosines.segments - start
        scores = self._scores[: rows * columns].reshape(rows, columns)
        mirrored = self._mirrored[: rows * (columns - rows)].reshape(columns - rows, rows)

        def fill(corner: tuple[int, int]) -> None:
            top, left = corner
            block = scores[top : top + BLOCK_ROWS, left : left + BLOCK_COLUMNS]
            height, width = block.shape
            high, low = self._temporaries(height, width)
            first_row, first_column = start + top, start + left
            self._cosines.unrounded(
                slice(first_row, first_row + height),
                slice(first_column, first_column + width),
                high,
                low,
            )
            below = mirrored[max(left - rows, 0) : max(left + width - rows, 0), top : top + height]
            loops.round_scores(high, low, UNIT, block, below)

        corners = [
            (top, left)
            for left in range(0, columns, BLOCK_COLUMNS)
            for top in range(0, rows, BLOCK_ROWS)
        ]
        list(self._pool.map(fill, corners))
        position, column = self._same_group.pairs(np.arange(start, stop))
        here = column >= start
        scores[position[here], column[here] - start] = EXCLUDED
        later = column >= stop
        mirrored[column[later] - stop, position[later]] = EXCLUDED
        return scores, mirrored

    def _temporaries(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Two float64[rows, columns] of this thread's own."""
        if not hasattr(self._of_thread, "arrays"):
            self._of_thread.arrays = np.empty((2, BLOCK_ROWS * BLOCK_COLUMNS))
        high, low = self._of_thread.arrays[:, : rows * columns].reshape(2, rows, columns)
        return high, low
