"""Random parameters of a recording, and of its takes: the same ones, each a little moved."""

from typing import TypeVar

import numpy as np

_Option = TypeVar("_Option")


class Parameters:
    """Draws the parameters of a take.

    Draws of one recording are the same in each of its takes but for a small step, so that takes
    differ as two blows on one bell do, or two dogs of a breed. What decides about structure
    (`choose`, `whether`, `count`) is the same in all. Takes stay in step only if all make the same
    draws in the same order: nothing that depends on chance may decide whether one is made.

    Args:
      seed: Of the corpus.
      recording: Its number.
      take: The number of the take.
      variation: How far takes move: standard deviation of the step, in widths of what is drawn
        from. 0: takes have equal parameters.
    """

    def __init__(self, seed: int, recording: int, take: int, variation: float):
        self._shared = np.random.default_rng([seed, recording])
        self._own = np.random.default_rng([seed, recording, take + 1])
        self._variation = variation

    def whether(self, probability: float) -> bool:
        """True with a probability, in all takes alike."""
        return bool(self._shared.uniform() < probability)

    def choose(self, *options: _Option) -> _Option:
        """One of the options, in all takes alike."""
        return options[int(self._shared.integers(len(options)))]

    def count(self, low: int, high: int) -> int:
        """An integer of [low, high], in all takes alike."""
        return int(self._shared.integers(low, high + 1))

    def uniform(self, low: float, high: float) -> float:
        """A number of [low, high]."""
        moved = self._shared.uniform() + self._variation * self._own.standard_normal()
        return low + (high - low) * abs((moved + 1) % 2 - 1)  # reflected at both ends

    def log_uniform(self, low: float, high: float) -> float:
        """A number of [low, high] whose logarithm is uniform."""
        return float(np.exp(self.uniform(np.log(low), np.log(high))))

    def normals(self, count: int) -> np.ndarray:
        """Standard normal numbers, correlated between takes. float64[count]."""
        shared, own = self._shared.standard_normal(count), self._own.standard_normal(count)
        return (shared + self._variation * own) / np.sqrt(1 + self._variation**2)

    def normal(self, deviation: float) -> float:
        """A normal number of a standard deviation."""
        return deviation * float(self.normals(1)[0])
