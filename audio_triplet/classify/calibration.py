"""Scores as probabilities, and which classes they find.

The scores to learn from are those of classifiers that were not fitted on the sound's recording.
A probability holds where the classes are as frequent as among the labelled sounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audio_triplet.classify import thresholds
from audio_triplet.classify.thresholds import Threshold
from audio_triplet.evaluation.metrics import Interval

# [D] A monotone step function (isotonic) needs this many sounds of the class, and as many others; a
# logistic curve has two parameters. On ESC-50's fold 5, with 32 labelled clips of each class, the
# step function had the greater cross-entropy (2.20 to 1.58; of the bare scores 1.65), pooled over
# 1,600 clips of all classes it had the same (1.65). Niculescu-Mizil and Caruana (2005) say 1,000.
ISOTONIC_LEAST = 1000

# [D] A logistic curve that a few sounds decide is worse than the bare scores. So it is held to them
# (slope 1, offset 0) by a normal prior of this inverse variance. ESC-50's fold 5, cross-entropy of
# bare scores, a free curve, this one: 2.270, 2.406, 2.338 with 5 labels a class; 1.870, 1.872,
# 1.862 with 8; 1.580, 1.547, 1.549 with 16.
_HELD = 3.0

_EDGE = 1e-6  # scores this near to 0 and 1 are alike


@dataclasses.dataclass(frozen=True)
class Calibrator:
    """From the score of a class to its probability; never falling.

    Attributes:
      kind: `logistic`: 1 / (1 + exp(-(slope x logit(score) + offset))), x = (slope, offset);
        `isotonic`: straight lines between points (x, y).
      x: See `kind`.
      y: Probabilities of the points; empty for `logistic`.
    """

    kind: str
    x: tuple[float, ...]
    y: tuple[float, ...] = ()

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """float64[...] in [0, 1] from float[...] in [0, 1]."""
        scores = np.asarray(scores, np.float64)
        if self.kind == "isotonic":
            return np.interp(scores, self.x, self.y)
        slope, offset = self.x
        return 1 / (1 + np.exp(-(slope * _logit(scores) + offset)))


def _logit(scores: np.ndarray) -> np.ndarray:
    scores = np.clip(scores.astype(np.float64), _EDGE, 1 - _EDGE)
    return np.log(scores) - np.log1p(-scores)


def fit_calibrator(scores: np.ndarray, is_class: np.ndarray) -> Calibrator | None:
    """Learns the probability of a class.

    Args:
      scores: float[n] in [0, 1]; NaN are left out.
      is_class: bool[n].

    Returns:
      None if there is nothing to learn from: no sound of the class, or no other.
    """
    known = ~np.isnan(scores)
    scores, is_class = np.asarray(scores[known], np.float64), np.asarray(is_class[known], bool)
    yes = int(is_class.sum())
    no = len(is_class) - yes
    if not yes or not no:
        return None
    # Platt's targets: no probability of 0 or 1 is learned from a handful of sounds.
    highest, lowest = (yes + 1) / (yes + 2), 1 / (no + 2)
    if min(yes, no) >= ISOTONIC_LEAST:
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=lowest, y_max=highest).fit(scores, is_class)
        return Calibrator(
            "isotonic", tuple(steps.X_thresholds_.tolist()), tuple(steps.y_thresholds_.tolist())
        )
    from scipy.optimize import minimize

    logit, target = _logit(scores), np.where(is_class, highest, lowest)

    def loss(curve):
        slope, offset = curve
        value = slope * logit + offset
        error = 1 / (1 + np.exp(-value)) - target
        held = _HELD * np.array([slope - 1, offset])
        cross_entropy = np.sum(np.logaddexp(0, value) - target * value)
        return (
            cross_entropy + (held @ held) / (2 * _HELD),
            np.array([error @ logit, error.sum()]) + held,
        )

    slope, offset = (float(x) for x in minimize(loss, [1.0, 0.0], jac=True, method="BFGS").x)
    if slope <= 0:  # the scores say nothing, or the opposite: as frequent as it is
        share = (yes + 1) / (len(scores) + 2)
        slope, offset = 0.0, float(np.log(share) - np.log1p(-share))
    return Calibrator("logistic", (slope, offset))


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What the scores of a classifier mean.

    Attributes:
      calibrators: For each class; None where there was nothing to learn from.
      thresholds: For each class.
      precision: What the thresholds are to reach.
    """

    calibrators: tuple[Calibrator | None, ...]
    thresholds: tuple[Threshold, ...]
    precision: float

    @classmethod
    def fit(
        cls,
        scores: np.ndarray,
        labels: np.ndarray,
        groups: np.ndarray,
        fold: np.ndarray,
        precision: float,
    ) -> Calibration:
        """Learns it from scores of recordings that were held out.

        Args:
          scores: float[n, classes], NaN where there is none.
          labels: bool[n, classes].
          groups: A value per row, its recording.
          fold: int[n], the part that its recording is in.
          precision: What the thresholds are to reach.
        """
        columns = range(labels.shape[1])
        return cls(
            tuple(fit_calibrator(scores[:, k], labels[:, k]) for k in columns),
            tuple(
                thresholds.choose(scores[:, k], labels[:, k], groups, fold, precision)
                for k in columns
            ),
            precision,
        )

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """float64[n, classes] from scores, NaN where a class has none."""
        found = np.full(scores.shape, np.nan)
        for column, calibrator in enumerate(self.calibrators):
            if calibrator is not None:
                found[:, column] = calibrator(scores[:, column])
        return found

    def found(self, scores: np.ndarray) -> np.ndarray:
        """bool[n, classes]: which classes reach their thresholds."""
        least = [of.score if of.score is not None else np.inf for of in self.thresholds]
        return scores >= np.array(least)

    @property
    def decides(self) -> bool:
        """Whether any class can be found with the precision that was asked for."""
        return any(of.score is not None for of in self.thresholds)

    def as_json(self) -> dict[str, Any]:
        """What `of_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Reads what `as_json` made.

        Raises:
          KeyError, TypeError, ValueError: It is damaged.
        """
        calibrators = [
            None if of is None else Calibrator(of["kind"], tuple(of["x"]), tuple(of["y"]))
            for of in content["calibrators"]
        ]
        limits = ("precision_interval", "recall_interval")
        chosen = [
            Threshold(**{**of, **{name: Interval(*of[name]) for name in limits}})
            for of in content["thresholds"]
        ]
        if len(calibrators) != len(chosen):
            raise ValueError("calibrators and thresholds differ in number")
        return cls(tuple(calibrators), tuple(chosen), float(content["precision"]))


def calibrate(
    scores: np.ndarray,
    patch_scores: np.ndarray,
    segment_index: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    fold: np.ndarray,
    precision: float,
) -> dict[str, Calibration]:
    """What the scores of segments mean, and those of patches.

    A patch is taken to be of its segment's class, so its probability is that the segment is. [D]
    Patches by the curve of segments are too sure: on ESC-50's fold 5 their top class's error was
    0.26, the bare scores' 0.21.

    Args:
      scores: float[segments, classes], of recordings that were held out.
      patch_scores: float[patches, classes], likewise.
      segment_index: int[patches].
      labels: bool[segments, classes].
      groups: A value per segment, its recording.
      fold: int[segments], the part that its recording is in.
      precision: What the thresholds are to reach.

    Returns:
      Granularity → its calibration.
    """
    of = segment_index
    return {
        "segment": Calibration.fit(scores, labels, groups, fold, precision),
        "patch": Calibration.fit(patch_scores, labels[of], groups[of], fold[of], precision),
    }


def held_out(scores: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Probabilities of each fold by what the others teach.

    Args:
      scores: float[n, classes], of recordings that were held out.
      labels: bool[n, classes].
      fold: int[n].

    Returns:
      float64[n, classes], NaN where the others have nothing to learn from.
    """
    found = np.full(scores.shape, np.nan)
    for number in np.unique(fold):
        inside = fold == number
        for column in range(scores.shape[1]):
            learned = fit_calibrator(scores[~inside, column], labels[~inside, column])
            if learned is not None:
                found[inside, column] = learned(scores[inside, column])
    return found


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """Sounds of about the same probability.

    Attributes:
      probability: Their mean.
      share: How many of them are of the class.
      count: How many they are.
    """

    probability: float
    share: float
    count: int


def reliability(
    probabilities: Sequence[float] | np.ndarray, is_class: Sequence[bool] | np.ndarray, bins=15
) -> list[ReliabilityBin]:
    """What share of the sounds is of the class, by their probability, in bins of equal width.

    Args:
      probabilities: float[n]; NaN are left out.
      is_class: bool[n].
      bins: How many between 0 and 1; empty ones are left out.
    """
    known = ~np.isnan(probabilities)
    values, truth = np.asarray(probabilities)[known], np.asarray(is_class)[known]
    which = np.minimum((values * bins).astype(int), bins - 1)
    return [
        ReliabilityBin(
            float(values[which == k].mean()), float(truth[which == k].mean()), int(inside)
        )
        for k, inside in enumerate(np.bincount(which, minlength=bins).tolist())
        if inside
    ]


def calibration_error(found: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error: how far share and probability are apart, by count; NaN if empty.

    Args:
      found: Of `reliability`.
    """
    total = sum(of.count for of in found)
    if not total:
        return float("nan")
    return sum(abs(of.share - of.probability) * of.count for of in found) / total


def top_class(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest probability of each row, and whether that class is right.

    Args:
      values: float[n, classes]; NaN are never highest.
      labels: bool[n, classes].

    Returns:
      float[n], bool[n]; rows without a number are left out.
    """
    rows = ~np.isnan(values).all(axis=1)
    values, labels = values[rows], labels[rows]
    best = np.nan_to_num(values, nan=-1.0).argmax(axis=1)
    each = np.arange(len(values))
    return values[each, best], labels[each, best]
