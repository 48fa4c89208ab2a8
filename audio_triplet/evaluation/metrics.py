"""Scores of rankings: average precision, ROC AUC, d', and an interval over classes.

All follow scikit-learn where ties are concerned: items with equal scores enter the ranking
together. A class that cannot be scored is NaN, never 0, so that means can leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def average_precision(targets, scores) -> float:
    """Average precision of one ranking, as `sklearn.metrics.average_precision_score`.

    The sum over distinct scores, from the highest down, of (gain in recall) x (precision),
    without interpolation.

    Args:
      targets: bool[n] (or 0/1), True for the items that should come first.
      scores: float[n], higher is earlier. Infinities are allowed, NaN is not.

    Returns:
      A float in (0, 1]; NaN without a target (where scikit-learn warns and says 0).

    Raises:
      ValueError: on differing shapes, NaN scores, or targets other than 0/1.
    """
    targets, scores = _column(targets, "targets"), _column(scores, "scores")
    return float(average_precision_per_class(targets, scores)[0])


def roc_auc(targets, scores) -> float:
    """Area under the ROC curve of one ranking, as `sklearn.metrics.roc_auc_score`.

    Arguments and errors as `average_precision`; NaN unless both kinds of item are present.
    """
    targets, scores = _column(targets, "targets"), _column(scores, "scores")
    return float(roc_auc_per_class(targets, scores)[0])


def average_precision_per_class(labels, scores) -> np.ndarray:
    """`average_precision` of each column.

    Args:
      labels: bool[n, classes] (or 0/1).
      scores: float[n, classes].

    Returns:
      float64[classes], NaN where a class has no positive.

    Raises:
      ValueError: as `average_precision`.
    """
    labels, scores = _checked(labels, scores)
    result = np.full(labels.shape[1], np.nan)
    for column in np.flatnonzero(labels.any(axis=0)):
        hits, false_alarms = _cumulative_counts(labels[:, column], scores[:, column])
        gain = np.diff(hits, prepend=0)
        result[column] = np.sum(gain * (hits / (hits + false_alarms))) / hits[-1]
    return result


def roc_auc_per_class(labels, scores) -> np.ndarray:
    """`roc_auc` of each column: the share of (positive, negative) pairs in order, ties half.

    Args and errors as `average_precision_per_class`.

    Returns:
      float64[classes], NaN where a class has no positive or no negative.
    """
    labels, scores = _checked(labels, scores)
    result = np.full(labels.shape[1], np.nan)
    for column in np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0)):
        hits, false_alarms = _cumulative_counts(labels[:, column], scores[:, column])
        width = np.diff(false_alarms, prepend=0)
        height = (hits + np.concatenate([[0], hits[:-1]])) / 2
        result[column] = np.sum(width * height) / (hits[-1] * false_alarms[-1])
    return result


def d_prime(auc) -> float | np.ndarray:
    """Sensitivity d' = sqrt(2) Phi^-1(AUC): the distance of two unit normals with that AUC.

    Args:
      auc: a float or float array in [0, 1]; NaN stays NaN.

    Returns:
      A float or float64 array of the same shape; infinite at AUC 0 and 1.

    Raises:
      ValueError: for an AUC outside [0, 1].
    """
    auc = np.asarray(auc, np.float64)
    if np.any((auc < 0) | (auc > 1)):
        raise ValueError("an AUC lies between 0 and 1")
    result = np.sqrt(2) * special.ndtri(auc)
    return float(result) if result.ndim == 0 else result


def chance_average_precision(targets, items) -> np.ndarray:
    """Mean average precision over all orders of the items, without ties.

    The i-th position holds a target with probability t/n, and before it are (i - 1) (t - 1)/(n - 1)
    others on average; so it is (H + (t - 1)/(n - 1) (n - H)) / n, with H = 1 + 1/2 + … + 1/n.

    Args:
      targets: int[...] or a number, targets t in each ranking.
      items: the same shape, items n in each.

    Returns:
      float64[...], at least one-dimensional; NaN without a target.
    """
    targets, items = np.atleast_1d(targets).astype(np.float64), np.atleast_1d(items)
    n = np.maximum(items, 1).astype(np.float64)
    harmonic = special.digamma(n + 1) + np.euler_gamma
    among_others = (targets - 1) / np.maximum(n - 1, 1)
    return np.where(targets > 0, (harmonic + among_others * (n - harmonic)) / n, np.nan)


def mean_over_classes(per_class) -> float:
    """Mean of the classes that could be scored: NaN entries left out, NaN if none remains."""
    per_class = np.asarray(per_class, np.float64)
    scored = per_class[~np.isnan(per_class)]
    return float(scored.mean()) if scored.size else float("nan")


def by_class(classes: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    """Scores with the names of their classes, as JSON wants them.

    Args:
      classes: names of the labels.
      values: float[classes].

    Returns:
      Class → score, None for NaN (JSON has none).
    """
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(classes, values, strict=True)
    }


def bootstrap_interval(
    values, seed: int, confidence: float = 0.95, repeats: int = 10_000
) -> Interval:
    """Percentile bootstrap interval of the mean over classes [D].

    The classes are what is drawn again, so the interval says how far the mean depends on which
    classes a corpus happens to have. It says nothing about training seeds.

    Args:
      values: float[classes], one score per class; NaN entries are left out.
      seed: of the draws.
      confidence: share of the bootstrap means inside the interval, in (0, 1).
      repeats: number of draws.

    Returns:
      `Interval(low, high)`; both NaN when no class has a score.

    Raises:
      ValueError: for infinite values, a confidence outside (0, 1), or repeats < 1.
    """
    values = np.asarray(values, np.float64).ravel()
    values = values[~np.isnan(values)]
    if not np.isfinite(values).all():
        raise ValueError("bootstrap_interval: values must be finite or NaN")
    if not 0 < confidence < 1:
        raise ValueError(f"bootstrap_interval: confidence must be in (0, 1), got {confidence}")
    if repeats < 1:
        raise ValueError(f"bootstrap_interval: repeats must be at least 1, got {repeats}")
    if not values.size:
        return Interval(float("nan"), float("nan"))
    means = _class_means(values[None], seed, repeats)[:, 0]
    return _middle(means, confidence)


def recovery_interval(
    scores,
    baselines,
    toplines,
    seed: int = 0,
    confidence: float = 0.95,
    repeats: int = 10_000,
) -> Interval:
    """Percentile bootstrap interval of `recovery.recovery` of the means over classes [D].

    The classes are drawn again, all three scores of a class together. As with
    `bootstrap_interval`, it says nothing about training seeds.

    Args:
      scores: float[classes].
      baselines: of the same classes.
      toplines: of the same classes.
      seed: of the draws.
      confidence: share of the draws inside the interval.
      repeats: number of draws.

    Returns:
      `Interval(low, high)`. A draw without a gap between baseline and topline is left out; both
      are NaN if none is left.
    """
    columns = np.array([scores, baselines, toplines], np.float64)  # [3, classes]
    score, baseline, topline = _class_means(columns, seed, repeats).T  # [repeats] each
    has_gap = topline > baseline
    if not has_gap.any():
        return Interval(float("nan"), float("nan"))
    return _middle((score - baseline)[has_gap] / (topline - baseline)[has_gap], confidence)


def _class_means(columns: np.ndarray, seed: int, repeats: int) -> np.ndarray:
    """Means over classes that are drawn again: float64[scores, classes] → [repeats, scores]."""
    rng, classes = np.random.default_rng(seed), columns.shape[1]
    # How often each class is drawn is all that matters: one multinomial per repeat. Not
    # scipy.stats.bootstrap: it would be as many lines, raise on a single class, and draw otherwise,
    # so that published intervals would move in the fourth digit.
    draws = rng.multinomial(classes, np.full(classes, 1 / classes), size=repeats)
    return draws @ columns.T / classes


def _middle(values: np.ndarray, confidence: float) -> Interval:
    """The interval that this share of the values lies in, as much below it as above."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def as_labels(labels, name: str = "labels") -> np.ndarray:
    """bool[n, classes] from bools or 0/1 numbers of the same shape.

    Raises:
      ValueError: for another rank, or values other than 0 and 1.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise ValueError(
            f"{name} must be bool[n, classes], one column per class; got shape {labels.shape}"
        )
    if labels.dtype != bool:
        converted = labels.astype(bool)
        if not np.array_equal(converted, labels):
            raise ValueError(f"{name} must hold only True/False or 0/1, got {labels.dtype} values")
        labels = converted
    return labels


def _column(values, name: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {values.shape}")
    return values[:, None]


def _checked(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores [n, classes], validated, with contiguous columns."""
    labels, scores = as_labels(labels), np.asarray(scores)
    if labels.shape != scores.shape:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} differ in shape")
    if not np.issubdtype(scores.dtype, np.number) or np.iscomplexobj(scores):
        raise ValueError(f"scores must be real numbers, got {scores.dtype}")
    missing = np.isnan(scores)
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise ValueError(f"scores hold {missing.sum()} NaN, the first at row {row}, class {column}")
    return np.asfortranarray(labels), np.asfortranarray(scores)


def _cumulative_counts(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets and non-targets at or above each distinct score, from the highest down.

    Args:
      targets: bool[n].
      scores: numbers[n] without NaN.

    Returns:
      Two float64[distinct] arrays (float64 so that products of counts do not overflow).
    """
    order = np.argsort(scores)[::-1]
    scores = scores[order]
    last_of_tie = np.append(scores[1:] != scores[:-1], True)
    hits = np.cumsum(targets[order])[last_of_tie]
    total = np.flatnonzero(last_of_tie) + 1
    return hits.astype(np.float64), (total - hits).astype(np.float64)
