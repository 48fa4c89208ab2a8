"""Folds of recordings for cross-validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def assign_folds(
    labels: np.ndarray, groups: Sequence | np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """Divides recordings into folds so that every class is in as many of them as possible.

    Classes take turns, the rarest first; each of its recordings goes where the class, and then
    everything, is rarest.

    Args:
      labels: bool[segments, classes].
      groups: A hashable per segment, its recording.
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
