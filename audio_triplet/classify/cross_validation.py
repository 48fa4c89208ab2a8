"""What a classifier is worth on recordings it has not heard, with an interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from audio_triplet.classify.classifier import fit, predict
from audio_triplet.classify.examples import Examples
from audio_triplet.config import ClassifyConfig
from audio_triplet.evaluation import few_labels, metrics
from audio_triplet.evaluation.metrics import Interval

_BOOTSTRAP_REPEATS = 500


# --- what it is worth ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    """Scores of segments by classifiers that have not heard their recordings.

    Attributes:
      scores: float32[segments, classes], NaN where a class had no example to learn from.
      fold: int[segments].
      mean: Mean average precision of the classes that could be checked.
      interval: Of the mean: 95 %, the recordings drawn again.
      per_class: float64[classes], average precision, NaN for those that could not.
      accuracy: Share of segments whose highest score is their class; None unless each has one.
      accuracy_interval: Of the accuracy, likewise.
    """

    scores: np.ndarray
    fold: np.ndarray
    mean: float
    interval: Interval
    per_class: np.ndarray
    accuracy: float | None
    accuracy_interval: Interval | None


def cross_validate(
    examples: Examples, config: ClassifyConfig, choose: bool = True
) -> Checked | None:
    """Scores every segment by a classifier fitted on other recordings.

    Args:
      examples: Segments of at least two classes.
      config: How.
      choose: As in `fit`.

    Returns:
      The scores; None if no class has two recordings.
    """
    fold = assign_folds(examples.labels, examples.groups, config.folds, config.seed)
    scores = np.full(examples.labels.shape, np.nan, np.float32)
    for number in range(fold.max() + 1):
        inside = fold == number
        train = examples.select(~inside)
        learned = train.labels.any(axis=0)
        if learned.sum() >= 2:
            found = predict(fit(train, config, choose), examples.select(inside))
            scores[inside] = np.where(learned, found, np.nan)
    return _checked(examples, scores, fold, config)


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
    drawn = _draw_recordings(codes.max() + 1, config.seed)[:, codes]
    accuracy = accuracy_interval = None
    if examples.is_single(config):
        # A sound of a class that was not there to be learned cannot come out right.
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
        _map_interval(labels, scores, per_class, drawn),
        per_class,
        accuracy,
        accuracy_interval,
    )


def assign_folds(labels: np.ndarray, groups: Sequence, folds: int, seed: int) -> np.ndarray:
    """Divides recordings into folds so that every class is in as many of them as can be.

    Classes take turns, the rarest first; each of its recordings goes where the class, and then
    everything, is rarest.

    Args:
      labels: bool[segments, classes].
      groups: One hashable a segment, its recording.
      folds: How many; fewer if there are fewer recordings.
      seed: Of the order of recordings.

    Returns:
      int[segments].
    """
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    count = codes.max() + 1
    folds = min(folds, count)
    carries = np.zeros((count, labels.shape[1]), bool)
    np.logical_or.at(carries, codes, labels)
    size = np.bincount(codes)
    rng = np.random.default_rng([seed, 2])
    fold_of = np.full(count, -1)
    of_class, of_all = np.zeros((folds, labels.shape[1])), np.zeros(folds)
    for column in np.argsort(carries.sum(axis=0), kind="stable"):
        for group in rng.permutation(np.flatnonzero(carries[:, column] & (fold_of < 0))):
            fold = np.lexsort([of_all, of_class[:, column]])[0]
            fold_of[group] = fold
            of_class[fold] += carries[group]
            of_all[fold] += size[group]
    return fold_of[codes]


def _draw_recordings(recordings: int, seed: int) -> np.ndarray:
    """int[repeats, recordings]: how often each is in a bootstrap sample."""
    rng = np.random.default_rng([seed, 3])
    share = np.full(recordings, 1 / recordings)
    return rng.multinomial(recordings, share, size=_BOOTSTRAP_REPEATS)


def _map_interval(
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
    last = np.searchsorted(ordered, ordered, side="right") - 1  # of each one's tie
    weights = weights[:, order].astype(np.float64)
    gains = weights * targets[order]
    hits, total = np.cumsum(gains, axis=1)[:, last], np.cumsum(weights, axis=1)[:, last]
    precision = np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)
    positives = gains.sum(axis=1)
    result = np.full(len(weights), np.nan)
    some = positives > 0
    result[some] = (gains * precision).sum(axis=1)[some] / positives[some]
    return result


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """A point of a learning curve.

    Attributes:
      per_class: Labelled segments a class.
      means: Mean average precision with each draw of them.
    """

    per_class: int
    means: tuple[float, ...]


def learning_curve(
    examples: Examples,
    config: ClassifyConfig,
    counts: Sequence[int] = (1, 2, 5, 10, 20),
    draws: int = 2,
) -> list[CurvePoint]:
    """What fewer labels would have been worth, on the folds of `cross_validate`.

    Args:
      examples: Segments of at least two classes.
      config: How.
      counts: Labelled segments a class; those beyond what the classes have are left out.
      draws: Repeats, each with labelled segments of its own.

    Returns:
      A point for each count.
    """
    fold = assign_folds(examples.labels, examples.groups, config.folds, config.seed)
    most = int(np.median(examples.labels.sum(axis=0)))
    points = []
    for count in (count for count in counts if count < most):
        means = []
        for draw in range(draws):
            scores = np.full(examples.labels.shape, np.nan, np.float32)
            for number in range(fold.max() + 1):
                inside = fold == number
                train = examples.select(~inside)
                few = few_labels.draw(train.labels, train.groups, count, config.seed + draw)
                keep = np.zeros(len(train), bool)
                keep[few.segments] = True
                train = train.select(keep)
                learned = train.labels.any(axis=0)
                if learned.sum() >= 2:
                    found = predict(fit(train, config, False), examples.select(inside))
                    scores[inside] = np.where(learned, found, np.nan)
            checked = _checked(examples, scores, fold, config)
            if checked is not None:
                means.append(checked.mean)
        if means:
            points.append(CurvePoint(count, tuple(means)))
    return points
