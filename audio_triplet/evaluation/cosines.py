"""Cosines between segments, as integers that do not depend on how they were computed.

Average precision treats equal scores as one step, so two pairs that are equally far apart must get
bitwise the same score; a plain matrix product does not promise that, because a BLAS adds in an
order that depends on the shape of the block and the position in it. Here the unit vectors are cut
into fixed-point halves whose products a float64 sums *without any rounding*, so that the order
cannot matter, and the cosine is then rounded once to a multiple of 2^-30. A pair has one score
whatever block it was computed in, and in either order; copies of a segment tie; and so do pairs
whose cosines are equal in exact arithmetic, unless they fall within 1e-14 of the border between two
multiples.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator

import numpy as np

# A cosine c is held as the uint32 (c + 1) 2^30 + 1, so that 0, below every score, can mark pairs
# that do not count: nothing that asks for "at least this score" ever counts it.
UNIT = 2.0**30
EXCLUDED = 0

# Scores computed at a time (two float64 temporaries).
BLOCK_SCORES = 1 << 21
TILE_ROWS = 256


class Cosines:
    """Cosines of segments as multiples of 2^-30, the same in whatever block (see above).

    With u a unit vector, `high` is u rounded to multiples of 2^-26 and `low` the rest, rounded
    to a finer grid. Sums of high x high are multiples of 2^-52 and, by Cauchy-Schwarz, below 2;
    sums of high x low are multiples of 2^-(26 + low_bits) and below sqrt(dim) 2^-25: a float64
    holds all of these exactly. What is left out, low x low and the end of low, is below 1e-14.
    """

    def __init__(self, embeddings):
        embeddings = np.asarray(embeddings)
        if embeddings.ndim != 2 or 0 in embeddings.shape:
            raise ValueError(
                f"embeddings must be float[segments, dim], got shape {embeddings.shape}"
            )
        unit = embeddings.astype(np.float64)
        broken = ~np.isfinite(unit).all(axis=1)
        if broken.any():
            raise ValueError(
                f"embeddings of {broken.sum()} of {len(unit)} segments hold NaN or infinity, "
                f"the first is segment {np.flatnonzero(broken)[0]}"
            )
        # A power of two first: exact, and keeps the squares of huge and tiny values in range.
        _, exponent = np.frexp(np.abs(unit).max(axis=1, keepdims=True))
        unit = np.ldexp(unit, -exponent)
        norm = np.linalg.norm(unit, axis=1, keepdims=True)
        unit /= np.where(norm > 0, norm, 1)
        self.segments, dim = unit.shape
        low_bits = 51 - math.ceil(math.log2(dim) / 2)
        self._high = np.ldexp(np.rint(np.ldexp(unit, 26)), -26)
        unit -= self._high
        self._low = np.ldexp(np.rint(np.ldexp(unit, low_bits)), -low_bits)
        self._table: np.ndarray | None = None
        self._product_lock = threading.Lock()

    def rows(self, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        """uint32[rows, columns], the scores of `rows` against `columns` (None: all); a copy."""
        if self._table is not None:
            return self._table[rows] if columns is None else self._table[np.ix_(rows, columns)]
        return self._product(rows, slice(None) if columns is None else columns)

    def tabulate(self) -> None:
        """Computes all scores once, so that `rows` need only copy them."""
        table = np.empty((self.segments, self.segments), np.uint32)
        for start in range(0, self.segments, TILE_ROWS):
            tile = self._product(slice(start, start + TILE_ROWS), slice(start, None))
            table[start : start + TILE_ROWS, start:] = tile
            table[start:, start : start + TILE_ROWS] = tile.T
        self._table = table

    def _product(self, rows: np.ndarray | slice, columns: np.ndarray | slice) -> np.ndarray:
        # One product at a time: a BLAS has threads of its own, and several callers at once
        # make them fight for the processors (measured: 3 times slower).
        with self._product_lock:
            high, low = self._high[columns].T, self._low[columns].T
            cosine = self._high[rows] @ low
            cosine += self._low[rows] @ high
            cosine += self._high[rows] @ high
        return as_scores(cosine)

    def unrounded(self, rows: slice, columns: slice, high: np.ndarray, low: np.ndarray) -> None:
        """Writes the cosines of `rows` against `columns` in two parts, whose sum is not rounded.

        Args:
          rows: segments.
          columns: segments.
          high: float64[rows, columns], written: the sums of high x high.
          low: float64[rows, columns], written: those of high x low and low x high, which are
            exact together too: each is below 2^50 times the multiple that they are of.
        """
        np.matmul(self._high[rows], self._high[columns].T, out=high)
        np.matmul(self._halves[rows], self._swapped[columns].T, out=low)

    @functools.cached_property
    def _halves(self) -> np.ndarray:
        return np.concatenate([self._high, self._low], axis=1)

    @functools.cached_property
    def _swapped(self) -> np.ndarray:
        return np.concatenate([self._low, self._high], axis=1)

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """uint32[pairs], the scores of left[i] against right[i], the same as in `rows`."""
        scores = np.empty(len(left), np.uint32)
        step = max(1, BLOCK_SCORES // self._high.shape[1])
        for start in range(0, len(left), step):
            a, b = left[start : start + step], right[start : start + step]
            cosine = (self._high[a] * self._low[b]).sum(axis=1)
            cosine += (self._low[a] * self._high[b]).sum(axis=1)
            cosine += (self._high[a] * self._high[b]).sum(axis=1)
            scores[start : start + step] = as_scores(cosine)
        return scores


def as_scores(cosine: np.ndarray) -> np.ndarray:
    """uint32 scores (see `UNIT`) of float64 cosines, which are overwritten."""
    cosine *= UNIT
    np.rint(cosine, out=cosine)
    cosine += UNIT + 1
    return cosine.astype(np.uint32)


def row_blocks(rows: np.ndarray, columns: int) -> Iterator[np.ndarray]:
    """Cuts `rows` into runs whose scores against `columns` segments make one block."""
    step = max(1, BLOCK_SCORES // columns)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
