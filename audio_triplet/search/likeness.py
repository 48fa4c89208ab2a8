"""How alike two sounds are in an archive: cosines about its own mean, its common traits held down.

What all sounds of an archive share (a site's hum, a microphone) tells none of them from another.
So a vector is taken less the archive's mean, and divided along each principal direction by a power
of the deviation there. Mean and covariance follow from sums that add up over parts (`Moments`).
The vectors on disk stay as they are: the linear map goes into the queries, and each vector
has one number, its length after the map. A search is then one pass over the raw vectors.

No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

# [D] The power of the deviations: 0 only centres, 1 whitens. On ESC-50's 50 classes 0.5 is best,
# where an archive has few classes 0 is; 0.25 lost nowhere more than 0.006. No archive can tell
# without labels which of them it is: see docs/lab_notes.md.
EXPONENT = 0.25

# [D] As many vectors of mean 0, and as many that vary alike in every direction, are added to an
# archive's own. A few clips say something of what all sounds share, and little of how they vary.
PRIOR_MEAN = 20.0
PRIOR_COVARIANCE = 1000.0

_BLOCK = 1 << 14  # vectors mapped at once


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Sums over vectors, from which their mean and covariance follow.

    Attributes:
      count: How many vectors.
      total: float64[dim], their sum.
      products: float64[dim, dim], the sum of their outer products.
    """

    count: int
    total: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray], dim: int) -> Moments:
        """The sums over float[n, dim] blocks."""
        count, total, products = 0, np.zeros(dim), np.zeros((dim, dim))
        for block in blocks:
            for first in range(0, len(block), _BLOCK):
                part = np.asarray(block[first : first + _BLOCK], np.float32)
                count += len(part)
                total += part.sum(axis=0, dtype=np.float64)
                products += part.T @ part  # of unit vectors: float32 is enough for 2^14 of them
        return cls(count, total, products)

    def __add__(self, other: Moments) -> Moments:
        """The sums over both."""
        return Moments(
            self.count + other.count, self.total + other.total, self.products + other.products
        )

    def __sub__(self, other: Moments) -> Moments:
        """The sums without those of some of the vectors."""
        return Moments(
            self.count - other.count, self.total - other.total, self.products - other.products
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Likeness:
    """The measure of one archive.

    Attributes:
      mean: float32[dim], what is taken off a vector.
      map: float32[dim, dim], symmetric; what it is multiplied by then.
    """

    mean: np.ndarray
    map: np.ndarray

    @classmethod
    def plain(cls, dim: int) -> Likeness:
        """Plain cosines: no mean, no map."""
        return cls(np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32))

    @classmethod
    def of(cls, moments: Moments, exponent: float = EXPONENT) -> Likeness:
        """The measure of the archive whose vectors have these sums.

        Args:
          moments: Of unit vectors.
          exponent: Each principal deviation is raised to this power, and divided by.

        Returns:
          The measure; plain cosines for an empty archive.
        """
        dim, count = len(moments.total), moments.count
        if count <= 0:
            return cls.plain(dim)
        own_mean = moments.total / count
        covariance = moments.products / count - np.outer(own_mean, own_mean)
        alike = max(np.trace(covariance) / dim, 1e-12) * np.eye(dim)
        covariance = (count * covariance + PRIOR_COVARIANCE * alike) / (count + PRIOR_COVARIANCE)
        variances, directions = np.linalg.eigh(covariance)
        # Along a direction in which next to nothing varies a power of it would blow up noise.
        variances = np.maximum(variances / variances.mean(), 1e-6)
        linear = (directions * variances ** (-exponent / 2)) @ directions.T
        mean = moments.total / (count + PRIOR_MEAN)
        return cls(mean.astype(np.float32), linear.astype(np.float32))

    def mapped(self, vectors: np.ndarray) -> np.ndarray:
        """float32[n, dim] of unit norm, whose products are the likenesses, of float[n, dim]."""
        found = (np.asarray(vectors, np.float32) - self.mean) @ self.map
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)

    def scales(self, vectors: np.ndarray) -> np.ndarray:
        """float32[n], one over the length of each vector after the map, of float[n, dim]."""
        scales = np.empty(len(vectors), np.float32)
        for first in range(0, len(vectors), _BLOCK):
            block = np.asarray(vectors[first : first + _BLOCK], np.float32)
            length = np.linalg.norm((block - self.mean) @ self.map, axis=1)
            scales[first : first + _BLOCK] = 1 / np.maximum(length, 1e-6)
        return scales

    def folded(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The queries with the map in them.

        Args:
          queries: float[q, dim], raw.

        Returns:
          weights: float32[q, dim].
          offsets: float32[q]. The likeness of query q to a raw vector x is
            (weights[q] · x - offsets[q]) times the vector's scale.
        """
        weights = self.mapped(queries) @ self.map
        return weights, weights @ self.mean
