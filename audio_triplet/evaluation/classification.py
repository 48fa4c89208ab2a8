"""Classification on frozen embeddings (paper, Table 1 right, and Table 2).

One hidden layer of 512 units (or none: logistic regression) maps a patch embedding to class
scores; a segment's score is the mean over its patches. Training goes patch by patch, with the
segment's labels. How long to train is chosen on recordings held out of the training set, then
all of it is used for that long [D]; nothing is fitted on what is predicted later.

The classifier itself is in `shallow_network`, its gradient steps in `shallow_training`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np

from audio_triplet.evaluation import grouped_splits, metrics
from audio_triplet.evaluation.shallow_network import (
    Classifier,
    ClassifierConfig,
    checked_embeddings,
    checked_segments,
)
from audio_triplet.evaluation.shallow_training import Fit


@dataclasses.dataclass(frozen=True)
class ClassificationResult:
    """Scores of a classifier on segments; NaN marks a class that could not be scored.

    Attributes:
      mean: mAP over the classes with a positive segment.
      per_class: float64[classes], average precision.
      accuracy: share of segments whose highest score is their class; None unless every segment
        has exactly one.
      roc_auc: mean over classes.
      roc_auc_per_class: float64[classes].
      d_prime: of the mean ROC AUC, as AudioSet's scores are usually given.
    """

    mean: float
    per_class: np.ndarray
    accuracy: float | None
    roc_auc: float
    roc_auc_per_class: np.ndarray
    d_prime: float

    @property
    def left_out(self) -> np.ndarray:
        """int64[...], the classes without a positive segment, which `mean` leaves out."""
        return np.flatnonzero(np.isnan(self.per_class))


def evaluate_classifier(scores, labels) -> ClassificationResult:
    """Compares a classifier's scores with the labels.

    Args:
      scores: float[segments, classes].
      labels: bool[segments, classes] (or 0/1).

    Returns:
      A `ClassificationResult`.

    Raises:
      ValueError: on differing shapes, NaN scores, or labels other than 0/1.
    """
    labels, scores = metrics.as_labels(labels), np.asarray(scores)
    per_class = metrics.average_precision_per_class(labels, scores)
    auc_per_class = metrics.roc_auc_per_class(labels, scores)
    auc = metrics.mean_over_classes(auc_per_class)
    accuracy = None
    if len(labels) and (labels.sum(axis=1) == 1).all():
        accuracy = float(np.mean(scores.argmax(axis=1) == labels.argmax(axis=1)))
    return ClassificationResult(
        mean=metrics.mean_over_classes(per_class),
        per_class=per_class,
        accuracy=accuracy,
        roc_auc=auc,
        roc_auc_per_class=auc_per_class,
        d_prime=float(metrics.d_prime(auc)),
    )


def fit_classifier(
    patch_embeddings,
    patch_segment,
    segment_labels,
    segment_groups: Sequence[Hashable] | None = None,
    config: ClassifierConfig | None = None,
    weight_decays: Sequence[float] = (),
) -> Classifier:
    """Trains a shallow classifier; the same input and seed give the same classifier.

    Args:
      patch_embeddings: float[patches, dim], held in memory.
      patch_segment: int[patches], the segment each patch belongs to; any order.
      segment_labels: bool[segments, classes] (or 0/1).
      segment_groups: one hashable per segment (its recording), so that no recording is on both
        sides of the hold-out; None: each segment its own.
      config: None for the defaults.
      weight_decays: values to choose from on the held-out recordings, with the rounds; without
        any, or where nothing can be held out, that of `config`.

    Returns:
      A `Classifier`, trained on everything given.

    Raises:
      ValueError: on embeddings that are not finite, shapes or numbers that do not fit together,
        segments without a patch, or softmax with a segment that has not exactly one class.
    """
    config = config or ClassifierConfig()
    embeddings = checked_embeddings(patch_embeddings)
    labels = metrics.as_labels(segment_labels, "segment_labels")
    segment = checked_segments(patch_segment, len(embeddings), len(labels))
    if config.loss == "softmax" and not (labels.sum(axis=1) == 1).all():
        raise ValueError("softmax needs exactly one class per segment; use loss='sigmoid'")
    if segment_groups is None:
        segment_groups = range(len(labels))
    groups = list(segment_groups)
    if len(groups) != len(labels):
        raise ValueError(f"{len(labels)} rows of labels but {len(groups)} groups")

    held_out = grouped_splits.hold_out(labels, groups, config.validation_fraction, config.seed)
    curve: list[float] = []
    rounds = config.fixed_rounds
    if held_out.any():
        choices = [dataclasses.replace(config, weight_decay=decay) for decay in weight_decays]
        tried = [
            (_held_out_curve(embeddings, segment, labels, held_out, choice), choice)
            for choice in choices or [config]
        ]
        criterion = config.criterion
        best, config = max(tried, key=lambda found: max(found[0][criterion]))  # the first of equals
        rounds, curve = int(np.argmax(best[criterion])) + 1, best["map"]

    fit = Fit(embeddings, segment, labels, config)
    for _ in range(rounds):
        fit.train_round()
    return dataclasses.replace(fit.classifier(), rounds=rounds, validation_map=tuple(curve))


def _held_out_curve(embeddings, segment, labels, held_out, config) -> dict[str, list[float]]:
    """Quality on held-out segments after each round, until it has not risen for `patience` rounds.

    Returns:
      `map`, mean average precision, and `loss`, the negative cross-entropy.
    """
    curve: dict[str, list[float]] = {"map": [], "loss": []}
    chosen = curve[config.criterion]
    kept, targets = ~held_out[segment], labels[held_out]
    fit = Fit(embeddings[kept], segment[kept], labels, config)
    number = np.cumsum(held_out) - 1  # segments renumbered among the held-out ones
    inputs, owner = embeddings[~kept], number[segment[~kept]]
    while len(chosen) < config.max_rounds:
        fit.train_round()
        scores = fit.classifier().predict_segments(inputs, owner, held_out.sum())
        precision = metrics.average_precision_per_class(targets, scores)
        curve["map"].append(metrics.mean_over_classes(precision))
        true = np.where(targets, scores, 1 if config.loss == "softmax" else 1 - scores)
        curve["loss"].append(float(np.log(np.maximum(true, 1e-7)).sum(axis=1).mean()))
        if len(chosen) - 1 - int(np.argmax(chosen)) >= config.patience:
            break
    return curve
