"""How much of the supervised topline an unsupervised score recovers (the paper, evaluations)."""

from __future__ import annotations


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


def _quotient(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else float("nan")
