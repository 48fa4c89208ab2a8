"""Vectors of a large archive in 16 bytes each, by which a page finds what to fetch.

A vector is cut into 16 pieces, and each piece is written as the number of the nearest of 256 that
occur often (product quantisation; Jégou, Douze and Schmid, 2011). A likeness is then a sum of 16
numbers looked up.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

PIECES, CELLS = 16, 256

_TRAINED_ON = 20_000
_ROUNDS = 12
_BLOCK = 1 << 14


@dataclasses.dataclass(frozen=True, eq=False)
class Coarse:
    """Coarse vectors.

    Attributes:
      centres: float32[pieces, CELLS, dim / pieces], what a number of each piece stands for.
      codes: uint8[n, pieces].
    """

    centres: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, seed: int = 0) -> Coarse:
        """The coarse vectors of float32[n, dim], in `PIECES` pieces if that divides dim."""
        random = np.random.default_rng(seed)
        drawn = np.sort(random.permutation(len(vectors))[:_TRAINED_ON])
        pieces = math.gcd(PIECES, vectors.shape[1])
        width = vectors.shape[1] // pieces
        sample = vectors[drawn].reshape(len(drawn), pieces, width)
        centres = np.stack([_centres(sample[:, piece], random) for piece in range(pieces)])
        codes = np.empty((len(vectors), pieces), np.uint8)
        for first in range(0, len(vectors), _BLOCK):
            block = vectors[first : first + _BLOCK].reshape(-1, pieces, width)
            for piece in range(pieces):
                codes[first : first + _BLOCK, piece] = _nearest(block[:, piece], centres[piece])
        return cls(centres.astype(np.float32), codes)

    def vectors(self) -> np.ndarray:
        """float32[n, dim], what the codes stand for."""
        meant = [
            of_piece[codes] for of_piece, codes in zip(self.centres, self.codes.T, strict=True)
        ]
        return np.concatenate(meant, axis=1)


def _centres(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """float[CELLS, width] by k-means (Lloyd) over float32[n, width]."""
    found = points[random.permutation(len(points))[np.arange(CELLS) % len(points)]]
    for _ in range(_ROUNDS):
        nearest = _nearest(points, found)
        counts = np.bincount(nearest, minlength=CELLS)
        sums = np.stack(
            [np.bincount(nearest, column, CELLS) for column in points.T.astype(float)], axis=1
        )
        found = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], found)
    return found


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """int64[n], the nearest centre of each point, by squared distance."""
    centres = centres.astype(np.float32)
    return ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
