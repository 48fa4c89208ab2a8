"""Means and deviations over seeds, folds and draws; None stands for what could not be scored."""

import math
from collections.abc import Iterable


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of what is not None; None if nothing is left."""
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def deviation(values: Iterable[float | None]) -> float | None:
    """Standard deviation (n - 1) of what is not None; None for fewer than two."""
    values = [value for value in values if value is not None]
    if len(values) < 2:
        return None
    centre = sum(values) / len(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))
