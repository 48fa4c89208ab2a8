"""Random parameters of a recording: what stays while it lasts."""

from typing import TypeVar

import numpy as np

_Option = TypeVar("_Option")


class Parameters:
    """Draws the parameters of a recording, apart from what chance does while it lasts.

    Args:
      seed: Of the corpus.
      recording: Its number.
    """

    def __init__(self, seed: int, recording: int):
        self._rng = np.random.default_rng([seed, recording])

    def whether(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self._rng.uniform() < probability)

    def choose(self, *options: _Option) -> _Option:
        """One of the options."""
        return options[int(self._rng.integers(len(options)))]

    def count(self, low: int, high: int) -> int:
        """An integer of [low, high]."""
        return int(self._rng.integers(low, high + 1))

    def uniform(self, low: float, high: float) -> float:
        """A number of [low, high]."""
        return float(self._rng.uniform(low, high))

    def log_uniform(self, low: float, high: float) -> float:
        """A number of [low, high] whose logarithm is uniform."""
        return float(np.exp(self.uniform(np.log(low), np.log(high))))

    def normals(self, count: int) -> np.ndarray:
        """Standard normal numbers. float64[count]."""
        return self._rng.standard_normal(count)

    def normal(self, deviation: float) -> float:
        """A normal number of a standard deviation."""
        return deviation * float(self._rng.standard_normal())
