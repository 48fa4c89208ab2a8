"""What is asked of an archive: the patches of sounds that are wanted and of sounds that are not.

A sound is as like a query as, on the mean over the query's patches, its own nearest patch is (late
interaction); louder patches count more. Several queries are joined by a mean that leans to the
nearest; a fifth of the likeness to counter-examples is taken off.

No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from audio_triplet.embeddings.loudness import shares_of
from audio_triplet.errors import SearchError
from audio_triplet.search.likeness import Likeness

# [D] Of a longer sound as many patches are asked for, evenly spread.
MOST_PATCHES = 64

# [D] How far the mean over several queries leans to the nearest (0: the nearest alone, infinite:
# the mean), and how much a counter-example counts. docs/lab_notes.md has the trial.
LEANING = 0.4
UNLIKE = 0.2

# What a vector that may not be found has for likeness: below every other.
NEVER = -4.0


@functools.lru_cache
def evenly(count: int, most: int) -> np.ndarray:
    """Numbers of so many of `count` things, at least as many, evenly spread: int64[most]."""
    found = np.linspace(0, count - 1, most).round().astype(int)
    found.flags.writeable = False  # the same for all who ask
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """A sound that is asked for.

    Attributes:
      vectors: float32[patches, dim], of unit norm, silent ones left out; at least one.
      start_seconds: float64[patches], where each begins, ascending.
      begin_seconds: Where the sound begins, silence included.
      energy: float32[patches], mean mel energy per cell; None: not known, all count alike.
    """

    vectors: np.ndarray
    start_seconds: np.ndarray
    begin_seconds: float = 0.0
    energy: np.ndarray | None = None

    @classmethod
    def of_vectors(cls, vectors: np.ndarray, hop_seconds: float = 0.96) -> Patches:
        """Patches that follow one another: float[patches, dim], or float[dim] of one."""
        vectors = np.atleast_2d(np.asarray(vectors, np.float32))
        return cls(vectors, hop_seconds * np.arange(len(vectors)))

    def thinned(self) -> Patches:
        """The same with `MOST_PATCHES` at most."""
        if len(self.vectors) <= MOST_PATCHES:
            return self
        chosen = evenly(len(self.vectors), MOST_PATCHES)
        energy = None if self.energy is None else self.energy[chosen]
        return Patches(self.vectors[chosen], self.start_seconds[chosen], self.begin_seconds, energy)

    @property
    def shares(self) -> np.ndarray:
        """float32[patches], how much each counts; together 1."""
        energy = np.ones(len(self.vectors)) if self.energy is None else self.energy
        return shares_of(energy)


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """What is asked, ready for a pass over the raw vectors of an archive.

    Attributes:
      weights: float32[q, dim], and
      offsets: float32[q], of all patches, see `Likeness.folded`.
      shares: float32[q], how much each counts in its example.
      first: int64[examples], the first patch of each example; those that are wanted first.
      wanted: How many examples are wanted.
      window_seconds: From the start of the first patch to that of the last that may answer at once.
    """

    weights: np.ndarray
    offsets: np.ndarray
    shares: np.ndarray
    first: np.ndarray
    wanted: int
    window_seconds: float

    @classmethod
    def of(
        cls,
        likeness: Likeness,
        wanted: Sequence[Patches],
        unwanted: Sequence[Patches] = (),
        hop_seconds: float = 0.96,
    ) -> Question:
        """A question to the archive of a measure.

        Args:
          likeness: The archive's.
          wanted: Sounds to find, at least one.
          unwanted: Counter-examples.
          hop_seconds: From one vector of the archive to the next.

        Raises:
          SearchError: Nothing is wanted, or vectors do not fit the archive.
        """
        if not wanted:
            raise SearchError("nothing is asked for; give at least one sound")
        examples = [example.thinned() for example in (*wanted, *unwanted)]
        for example in examples:
            vectors, dim = np.asarray(example.vectors), len(likeness.mean)
            if vectors.ndim != 2 or vectors.shape[1] != dim or not len(vectors):
                raise SearchError(
                    f"a query is [patches, {dim}] numbers; this one has shape {vectors.shape}"
                )
            norms = np.linalg.norm(vectors, axis=1)
            if not (np.isfinite(norms).all() and norms.all()):
                raise SearchError("a query is finite numbers, not all zero")
        weights, offsets = likeness.folded(np.concatenate([e.vectors for e in examples]))
        longest = max(float(np.ptp(example.start_seconds)) for example in examples[: len(wanted)])
        return cls(
            weights,
            offsets,
            np.concatenate([example.shares for example in examples]),
            np.cumsum([0, *(len(example.vectors) for example in examples[:-1])]),
            len(wanted),
            # One hop more: the archive's patches begin between those of the query.
            longest + hop_seconds,
        )

    @property
    def wanted_patches(self) -> int:
        """How many of the patches are of wanted sounds."""
        return int(self.first[self.wanted]) if self.wanted < len(self.first) else len(self.weights)

    def width(self, hop_seconds: float) -> int:
        """How many vectors of an archive may answer at once, at most.

        A query's patches may begin at half hops: a half counts as a whole one, by floats that are
        a little off too, so that every runtime has the same width.
        """
        return 1 + math.floor(self.window_seconds / hop_seconds + 0.5 + 1e-6)

    def likenesses(
        self, vectors: np.ndarray, scales: np.ndarray, wanted_only: bool = False
    ) -> np.ndarray:
        """The likeness of each patch of the question to each vector.

        Args:
          vectors: float[n, dim], raw.
          scales: float32[n], theirs, see `Likeness.scales`.
          wanted_only: Without the counter-examples' patches.

        Returns:
          float32[q, n].
        """
        rows = self.wanted_patches if wanted_only else len(self.weights)
        # This way round BLAS takes three quarters of the time, the turning included.
        products = np.asarray(vectors, np.float32) @ self.weights[:rows].T  # [n, q]
        found = np.subtract(products.T, self.offsets[:rows, None], order="C")  # [q, n]
        found *= scales
        return found

    def scores(self, nearest: np.ndarray) -> np.ndarray:
        """The scores of sounds.

        Args:
          nearest: float32[q, sounds], the likeness of each patch to its nearest in each sound. With
            the rows of the wanted sounds only the scores are upper bounds.

        Returns:
          float32[sounds].
        """
        first = self.first[self.first < len(nearest)]
        shares = self.shares[: len(nearest)]
        if len(first) == 1:
            each = (shares @ nearest)[None]  # [examples, sounds]
        else:
            each = np.add.reduceat(shares[:, None] * nearest, first, axis=0)
        score = _leaning_mean(each[: self.wanted])
        if len(each) > self.wanted:
            score = score - UNLIKE * np.maximum(_leaning_mean(each[self.wanted :]), 0)
        return score


def _leaning_mean(each: np.ndarray) -> np.ndarray:
    """The logarithm of the mean exponential over the first axis, at `LEANING`."""
    if len(each) == 1:
        return each[0]
    best = each.max(axis=0)
    return best + LEANING * np.log(np.exp((each - best) / LEANING).mean(axis=0))
