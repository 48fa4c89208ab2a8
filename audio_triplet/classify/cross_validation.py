"""Scores of a classifier on recordings that it was not fitted on, with an interval.

The strength of its penalty is chosen inside each fold too, so that nothing of the scored recordings
is used. A class with one recording is left out of the score.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from audio_triplet.classify.average_precision import draw_recordings, mean_interval
from audio_triplet.classify.classifier import fit, predict
from audio_triplet.classify.examples import Examples
from audio_triplet.classify.folds import assign_folds
from audio_triplet.config import ClassifyConfig
from audio_triplet.evaluation import few_labels, metrics
from audio_triplet.evaluation.metrics import Interval


@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    """Scores of segments by classifiers that were not fitted on their recordings.

    Attributes:
      scores: float32[segments, classes], NaN where a class had no example to learn from.
      fold: int[segments].
      mean: Mean average precision of the classes that could be checked.
      interval: Of the mean: 95 %, the recordings drawn again.
      per_class: float64[classes], average precision, NaN for those that could not.
      accuracy: Share of segments whose highest score is their class; None unless each has one.
      accuracy_interval: Of the accuracy, likewise.
      patch_scores: float32[patches, classes], of which `scores` are the segments' means.
    """

    scores: np.ndarray
    fold: np.ndarray
    mean: float
    interval: Interval
    per_class: np.ndarray
    accuracy: float | None
    accuracy_interval: Interval | None
    patch_scores: np.ndarray | None = None


def cross_validate(
    examples: Examples, config: ClassifyConfig, choose: bool = True
) -> Checked | None:
    """Scores every segment by a classifier fitted on other recordings.

    Args:
      examples: Segments of at least two classes.
      config: Settings of the fit.
      choose: As in `fit`.

    Returns:
      The scores; None if no class has two recordings.
    """
    fold = assign_folds(examples.labels, examples.groups, config.folds, config.seed)
    scores, patch_scores = _scores(examples, fold, lambda train: train, config, choose)
    checked = _checked(examples, scores, fold, config)
    return checked and dataclasses.replace(checked, patch_scores=patch_scores)


def _scores(
    examples: Examples,
    fold: np.ndarray,
    pick: Callable[[Examples], Examples],
    config: ClassifyConfig,
    choose: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of each fold by a classifier fitted on what `pick` takes of the others.

    Returns:
      float32[segments, classes] and float32[patches, classes], NaN where there is none.
    """
    scores = np.full(examples.labels.shape, np.nan, np.float32)
    patch_scores = np.full((len(examples.vectors), scores.shape[1]), np.nan, np.float32)
    for number in range(fold.max() + 1):
        inside = fold == number
        if inside.all():
            continue  # all of one recording: no other to learn from
        train = pick(examples.select(~inside))
        learned = train.labels.any(axis=0)
        if learned.sum() >= 2:
            fitted, held_out = fit(train, config, choose), examples.select(inside)
            scores[inside] = np.where(learned, predict(fitted, held_out), np.nan)
            found = fitted.classifier.predict_patches(held_out.vectors)
            patch_scores[inside[examples.segment_index]] = np.where(learned, found, np.nan)
    return scores, patch_scores


def _checked(
    examples: Examples, scores: np.ndarray, fold: np.ndarray, config: ClassifyConfig
) -> Checked | None:
    labels = examples.labels
    per_class = np.full(labels.shape[1], np.nan)
    for column in range(labels.shape[1]):
        known = ~np.isnan(scores[:, column])
        if labels[known, column].any() and not labels[known, column].all():
            per_class[column] = metrics.average_precision(
                labels[known, column], scores[known, column]
            )
    if np.isnan(per_class).all():
        return None
    _, codes = np.unique(examples.groups, return_inverse=True)
    drawn = draw_recordings(codes.max() + 1, config.seed)[:, codes]
    accuracy = accuracy_interval = None
    if examples.is_single(config):
        # A sound of a class without training examples cannot be classified right.
        fair = ~np.isnan(scores[labels])
        right = np.nan_to_num(scores, nan=-1.0).argmax(axis=1) == labels.argmax(axis=1)
        if fair.any():
            accuracy = float(right[fair].mean())
            total = drawn[:, fair].sum(axis=1)
            shares = (drawn[:, fair] * right[fair]).sum(axis=1)[total > 0] / total[total > 0]
            accuracy_interval = Interval(*np.quantile(shares, [0.025, 0.975]).tolist())
    return Checked(
        scores,
        fold,
        metrics.mean_over_classes(per_class),
        mean_interval(labels, scores, per_class, drawn),
        per_class,
        accuracy,
        accuracy_interval,
    )


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """A point of a learning curve.

    Attributes:
      per_class: Labelled segments per class.
      means: Mean average precision of each draw.
    """

    per_class: int
    means: tuple[float, ...]


def learning_curve(
    examples: Examples,
    config: ClassifyConfig,
    counts: Sequence[int] = (1, 2, 5, 10, 20),
    draws: int = 2,
) -> list[CurvePoint]:
    """Scores with fewer labels, on the folds of `cross_validate`.

    Args:
      examples: Segments of at least two classes.
      config: Settings of the fit.
      counts: Labelled segments per class; only counts below the median class's are used.
      draws: Repeats, each with labelled segments of its own.

    Returns:
      A point for each count used.
    """
    fold = assign_folds(examples.labels, examples.groups, config.folds, config.seed)
    most = int(np.median(examples.labels.sum(axis=0)))
    points = []
    for count in (count for count in counts if count < most):
        means = []
        for draw in range(draws):
            few = functools.partial(_draw, per_class=count, seed=config.seed + draw)
            scores, _ = _scores(examples, fold, few, config, choose=False)
            checked = _checked(examples, scores, fold, config)
            if checked is not None:
                means.append(checked.mean)
        if means:
            points.append(CurvePoint(count, tuple(means)))
    return points


def _draw(examples: Examples, per_class: int, seed: int) -> Examples:
    """A few examples of each class."""
    keep = np.zeros(len(examples), bool)
    keep[few_labels.draw(examples.labels, examples.groups.tolist(), per_class, seed).segments] = (
        True
    )
    return examples.select(keep)
