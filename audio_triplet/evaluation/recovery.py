"""How much of the supervised topline an unsupervised score recovers (the paper, evaluations)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def recovery(score: float, baseline: float, topline: float) -> float:
    """Recovered share of the gap between baseline and topline: (s - b) / (t - b).

    The paper's 41 % (retrieval) and 84 % (classification) are read this way. Below 0 the score
    is worse than the baseline, above 1 better than the topline.

    Args:
      score: of the representation in question.
      baseline: of log mel.
      topline: of the embedding trained with explicit labels.

    Returns:
      The share; NaN when topline equals baseline, as there is no gap to recover.
    """
    return _quotient(score - baseline, topline - baseline)


def ratio(score: float, topline: float) -> float:
    """The other reading [D]: s / t, without a baseline; NaN when the topline is 0."""
    return _quotient(score, topline)


def recovery_interval(
    scores: Sequence[float],
    baselines: Sequence[float],
    toplines: Sequence[float],
    seed: int = 0,
    confidence: float = 0.95,
    repeats: int = 10_000,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the recovery of the means over classes [D].

    The classes are drawn again, all three scores of a class together, as
    `metrics.bootstrap_interval` draws them. It says nothing about training seeds.

    Args:
      scores: of each class.
      baselines: of the same classes.
      toplines: of the same classes.
      seed: of the draws.
      confidence: share of the draws inside the interval.
      repeats: number of draws.

    Returns:
      (low, high). A draw without a gap between baseline and topline is left out; both are NaN if
      none is left.
    """
    columns = np.array([scores, baselines, toplines], np.float64)  # [3, classes]
    classes = columns.shape[1]
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(classes, np.full(classes, 1 / classes), size=repeats)
    score, baseline, topline = columns @ draws.T / classes  # [repeats] each
    has_gap = topline > baseline
    if not has_gap.any():
        return float("nan"), float("nan")
    shares = (score - baseline)[has_gap] / (topline - baseline)[has_gap]
    low, high = np.quantile(shares, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _quotient(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else float("nan")
