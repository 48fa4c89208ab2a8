"""Splitting labelled segments for validation, but never a group of them (a recording)."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np


def group_codes(groups: Sequence[Hashable]) -> np.ndarray:
    """int64[segments], the groups numbered in order of their first segment."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(group, len(known)) for group in groups], np.int64)


def hold_out(labels, groups: Sequence[Hashable], fraction: float, seed: int) -> np.ndarray:
    """Chooses segments to hold out: whole groups, about the same share of every class [D].

    Classes take turns, the rarest first; each adds groups in random order until its share is
    reached, and none whose loss would leave some class without a group to train on. Nothing is
    held out unless the median class has enough groups for its share to be at least one.

    Args:
      labels: bool[segments, classes].
      groups: one hashable per segment.
      fraction: share of groups to hold out, in [0, 1).
      seed: of the order.

    Returns:
      bool[segments], True where held out.
    """
    codes = group_codes(groups)
    count = codes.max(initial=-1) + 1
    carries = np.zeros((count, labels.shape[1]), bool)  # which group has which class
    np.logical_or.at(carries, codes, labels)
    total = carries.sum(axis=0)
    wanted = np.floor(fraction * total).astype(int)
    if not total.any() or np.median(wanted[total > 0]) < 1:
        return np.zeros(len(labels), bool)
    rng = np.random.default_rng([seed, 1])
    chosen = np.zeros(count, bool)
    taken = np.zeros_like(total)
    for column in np.argsort(total, kind="stable"):
        for group in rng.permutation(np.flatnonzero(carries[:, column] & ~chosen)):
            if taken[column] >= wanted[column]:
                break
            if (taken + carries[group] < total)[carries[group]].all():
                chosen[group] = True
                taken += carries[group]
    return chosen[codes]


def stratified_folds(
    labels: np.ndarray, groups: Sequence[Hashable] | None, folds: int, seed: int
) -> list[np.ndarray]:
    """Folds for cross-validation: whole groups, classes spread evenly over them.

    Args:
      labels: bool[segments, classes].
      groups: one hashable per segment; None: each segment its own.
      folds: how many; fewer if there are fewer groups, or fewer segments of every class.
      seed: of the order.

    Returns:
      bool[segments] of each fold, True where held out; folds without which fewer than two classes
      would be left are not among them. Empty where no two folds can be made.

    Raises:
      ValueError: for groups that do not match the labels in number.
    """
    from sklearn import model_selection

    groups = list(range(len(labels)) if groups is None else groups)
    if len(groups) != len(labels):
        raise ValueError(f"{len(labels)} rows of labels but {len(groups)} groups")
    codes = group_codes(groups)
    # No more folds than the largest class has segments: the splitter raises an error at that.
    first = labels.argmax(axis=1)
    folds = min(folds, int(codes.max()) + 1, int(np.bincount(first).max()))
    if folds < 2:
        return []
    splitter = model_selection.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with fewer segments than there are folds
        for _, held_out in splitter.split(codes, first, codes):
            held = np.zeros(len(labels), bool)
            held[held_out] = True
            if held.any() and labels[~held].any(axis=0).sum() >= 2:
                found.append(held)
    return found
