"""Average precision over samples of recordings: the interval of a cross-validated score."""

from __future__ import annotations

import numpy as np

from audio_triplet.evaluation import metrics
from audio_triplet.evaluation.metrics import Interval

_BOOTSTRAP_REPEATS = 500


def draw_recordings(recordings: int, seed: int) -> np.ndarray:
    """int[repeats, recordings]: how often each recording is in a bootstrap sample."""
    rng = np.random.default_rng([seed, 3])
    share = np.full(recordings, 1 / recordings)
    return rng.multinomial(recordings, share, size=_BOOTSTRAP_REPEATS)


def mean_interval(
    labels: np.ndarray, scores: np.ndarray, per_class: np.ndarray, drawn: np.ndarray
) -> Interval:
    """95 % of the mean average precisions of samples of recordings, around the one observed.

    A recording drawn twice ties with itself, which lifts average precision; that is taken off.

    Args:
      labels: bool[segments, classes].
      scores: float[segments, classes].
      per_class: float[classes], NaN for those to leave out.
      drawn: int[repeats, segments], how often each segment is in a sample.
    """
    found = np.full((len(drawn), labels.shape[1]), np.nan)
    for column in np.flatnonzero(~np.isnan(per_class)):
        known = np.flatnonzero(~np.isnan(scores[:, column]))
        found[:, column] = weighted_average_precision(
            labels[known, column], scores[known, column], drawn[:, known]
        )
    scored = ~np.isnan(found)
    means = np.nansum(found, axis=1)[scored.any(axis=1)] / scored.sum(axis=1)[scored.any(axis=1)]
    lifted = means.mean() - metrics.mean_over_classes(per_class)
    return Interval(*np.clip(np.quantile(means, [0.025, 0.975]) - lifted, 0, 1).tolist())


def weighted_average_precision(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Average precision of a ranking in which each item counts as often as its weight says.

    Args:
      targets: bool[n].
      scores: float[n]; ties enter the ranking together.
      weights: number[repeats, n].

    Returns:
      float64[repeats], NaN where no target has weight.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = -scores[order]
    last = np.searchsorted(ordered, ordered, side="right") - 1  # of each score's tie
    weights = weights[:, order].astype(np.float64)
    gains = weights * targets[order]
    hits, total = np.cumsum(gains, axis=1)[:, last], np.cumsum(weights, axis=1)[:, last]
    precision = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
    positives = gains.sum(axis=1)
    result = np.full(len(weights), np.nan)
    scored = positives > 0
    result[scored] = (gains * precision).sum(axis=1)[scored] / positives[scored]
    return result
