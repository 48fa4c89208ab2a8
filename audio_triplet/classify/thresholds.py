"""The score from which on a class is found with the precision that was asked for."""

from __future__ import annotations

import dataclasses

import numpy as np

from audio_triplet.classify.proportions import share_interval
from audio_triplet.evaluation.metrics import Interval


@dataclasses.dataclass(frozen=True)
class Threshold:
    """From which score on a class is found.

    Precision and recall are those of thresholds that were chosen on other recordings.

    Attributes:
      score: The least score; None: the precision cannot be reached.
      found: Sounds at or above it.
      right: Those of them that are of the class.
      precision: Right ones among those found; None if none was found.
      precision_interval: Of it, 95 %, recordings being what is counted.
      recall: Found ones among those of the class; None if there is none.
      recall_interval: Of it.
    """

    score: float | None
    found: int
    right: int
    precision: float | None
    precision_interval: Interval
    recall: float | None
    recall_interval: Interval


def lowest_score(
    scores: np.ndarray, is_class: np.ndarray, groups: np.ndarray, precision: float
) -> float | None:
    """The lowest score from which on the precision is at least what is asked.

    [D] Of `found` sounds of so many recordings with a share that is right, the precision is taken
    as (recordings x share + 1)/(recordings + 2): of a thousand thresholds one is good by chance, of
    three sounds all are often right, and those of one recording are right together.

    Args:
      scores: float[n]; NaN are left out.
      is_class: bool[n].
      groups: A value per sound, its recording.
      precision: In (0, 1].

    Returns:
      The score; None if it cannot be reached.
    """
    known = ~np.isnan(scores)
    order = np.argsort(-scores[known], kind="stable")
    ordered, right = scores[known][order], np.cumsum(is_class[known][order])
    _, first = np.unique(groups[known][order], return_index=True)
    recordings = np.cumsum(np.isin(np.arange(len(ordered)), first))
    found = np.arange(len(ordered)) + 1
    careful = (recordings * right / found + 1) / (recordings + 2)
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]  # of equal scores
    # As a precision of 1 is asked for: all that were found are right.
    reached = np.flatnonzero(
        last & ((careful >= precision) | ((right == found) & (precision >= 1)))
    )
    return float(ordered[reached[-1]]) if len(reached) else None


def choose(
    scores: np.ndarray,
    is_class: np.ndarray,
    groups: np.ndarray,
    fold: np.ndarray,
    precision: float,
) -> Threshold:
    """The threshold of a class, and what it is worth on other recordings.

    Args:
      scores: float[n], of classifiers that were not fitted on the sound's recording; NaN where
        there is none.
      is_class: bool[n].
      groups: A value per sound, its recording.
      fold: int[n], the part that its recording is in.
      precision: What is asked for.
    """
    above = np.zeros(len(scores), bool)
    for number in np.unique(fold):
        inside = fold == number
        least = lowest_score(scores[~inside], is_class[~inside], groups[~inside], precision)
        if least is not None:
            above |= inside & (scores >= least)
    best, best_interval = share_interval(is_class[above], groups[above])
    known = is_class & ~np.isnan(scores)
    recall, recall_interval = share_interval(above[known], groups[known])
    return Threshold(
        lowest_score(scores, is_class, groups, precision),
        int(above.sum()),
        int((above & is_class).sum()),
        best,
        best_interval,
        recall,
        recall_interval,
    )
