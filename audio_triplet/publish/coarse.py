"""Vectors of a large archive in 2 bytes, and in 16 more, by which a page finds what to fetch.

The 2 bytes name the nearest of some thousand landmarks. What a vector is off its landmark is cut
into 16 pieces, and each piece is written as the number of the nearest of 256 that occur often
(product quantisation of residuals; Jégou, Douze and Schmid, 2011). A likeness is then a sum of 17
numbers looked up: the landmark's, and one of each piece.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from audio_triplet.publish.archive import eight_bits

PIECES, CELLS = 16, 256

# [D] So many vectors to a landmark, and at most so many landmarks, of 132 bytes each.
_PER_LANDMARK, _MOST_LANDMARKS = 32, 4096

_TRAINED_ON = 20_000  # residuals
_SAMPLES = 16  # vectors that a landmark is found by
_ROUNDS = 12
_BLOCK = 1 << 12


@dataclasses.dataclass(frozen=True, eq=False)
class Coarse:
    """Coarse vectors.

    Attributes:
      landmarks: int8[k, dim], and
      scales: float32[k], that they are to be multiplied by.
      nearest: uint16[n], the landmark of each vector.
      centres: float32[pieces, CELLS, dim / pieces], what a number of each piece stands for.
      codes: uint8[n, pieces].
    """

    landmarks: np.ndarray
    scales: np.ndarray
    nearest: np.ndarray
    centres: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, seed: int = 0) -> Coarse:
        """The coarse vectors of float32[n, dim], in `PIECES` pieces if that divides dim."""
        random = np.random.default_rng(seed)
        count = int(np.clip(len(vectors) // _PER_LANDMARK, 1, _MOST_LANDMARKS))
        found = centres_of(_drawn(vectors, _SAMPLES * count, random), count, random)
        # In 8 bits: what is left is measured from what the page has.
        landmarks, scales = eight_bits(found)
        meant = landmarks * scales[:, None]
        nearest = np.empty(len(vectors), np.uint16)
        for first in range(0, len(vectors), _BLOCK):
            nearest[first : first + _BLOCK] = nearest_of(vectors[first : first + _BLOCK], meant)
        pieces = math.gcd(PIECES, vectors.shape[1])
        drawn = np.sort(random.permutation(len(vectors))[:_TRAINED_ON])
        sample = _in_pieces(vectors[drawn] - meant[nearest[drawn]], pieces)
        centres = np.stack([centres_of(sample[:, n], CELLS, random) for n in range(pieces)])
        codes = np.empty((len(vectors), pieces), np.uint8)
        for first in range(0, len(vectors), _BLOCK):
            these = slice(first, first + _BLOCK)
            block = _in_pieces(vectors[these] - meant[nearest[these]], pieces)
            for piece in range(pieces):
                codes[these, piece] = nearest_of(block[:, piece], centres[piece])
        return cls(landmarks, scales, nearest, centres, codes)

    def vectors(self) -> np.ndarray:
        """float32[n, dim], what all of it stands for."""
        meant = [
            of_piece[codes] for of_piece, codes in zip(self.centres, self.codes.T, strict=True)
        ]
        landmarks = self.landmarks * self.scales[:, None]
        return landmarks[self.nearest] + np.concatenate(meant, axis=1)


def _drawn(vectors: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    return vectors[np.sort(random.permutation(len(vectors))[:count])]


def _in_pieces(vectors: np.ndarray, pieces: int) -> np.ndarray:
    """[n, dim] → [n, pieces, dim / pieces]."""
    return vectors.reshape(len(vectors), pieces, -1)


def centres_of(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """float32[count, width] by k-means (Lloyd) over float32[n, width]."""
    found = points[random.permutation(len(points))[np.arange(count) % len(points)]]
    for _ in range(_ROUNDS):
        nearest = np.concatenate(
            [
                nearest_of(points[first : first + _BLOCK], found)
                for first in range(0, len(points), _BLOCK)
            ]
        )
        counts = np.bincount(nearest, minlength=count)
        order = np.argsort(nearest, kind="stable")
        has = counts > 0
        begins = (np.cumsum(counts) - counts)[has]
        found[has] = np.add.reduceat(points[order], begins, axis=0) / counts[has, None]
    return found


def nearest_of(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """int64[n], the nearest centre of each point, by squared distance."""
    return ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
