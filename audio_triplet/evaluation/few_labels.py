"""Drawing the few labelled clips of limited supervision (paper, Table 2).

A draw is stratified (each class gets its own), nested (for one seed, the draw of 2 clips per class
contains that of 1), and spreads over recordings: two clips of one recording are nearly the same
sound, so a second clip of a recording is taken only when every recording of the class has given
one [D].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np

from audio_triplet.errors import FewLabelsError
from audio_triplet.evaluation import metrics


@dataclasses.dataclass(frozen=True, eq=False)
class FewLabels:
    """The clips drawn as the labelled ones.

    Attributes:
      segments: int64[drawn], their indices, ascending, each once.
      clips: int64[classes], how many were drawn for each class: `per_class`, or all there are.
      recordings: int64[classes], the number of their recordings.
    """

    segments: np.ndarray
    clips: np.ndarray
    recordings: np.ndarray


def draw(labels, groups: Sequence[Hashable], per_class: int, seed: int) -> FewLabels:
    """Draws the labelled clips.

    A clip with several labels may be drawn for one of them and carries the others too; so with
    such clips a class can have more labelled clips than were drawn for it.

    Args:
      labels: bool[segments, classes] (or 0/1), the clips to draw from.
      groups: one hashable per segment: its recording.
      per_class: clips per class; a class with fewer gives all it has.
      seed: another seed, another draw.

    Returns:
      The draw. It depends on the order of the segments, and of each class on no other class.

    Raises:
      FewLabelsError: for fewer than one clip per class, no labelled clip at all, or groups that do
        not match the labels in number.
    """
    labels, groups = metrics.as_labels(labels), list(groups)
    if per_class < 1:
        raise FewLabelsError(f"at least 1 labelled clip per class is needed, not {per_class}")
    if len(groups) != len(labels):
        raise FewLabelsError(f"{len(labels)} rows of labels but {len(groups)} groups")
    if not labels.any():
        raise FewLabelsError("no clip has a label; there is nothing to draw from")
    chosen = np.zeros(len(labels), bool)
    clips = np.zeros(labels.shape[1], np.int64)
    recordings = np.zeros(labels.shape[1], np.int64)
    for column in range(labels.shape[1]):
        order = _order(np.flatnonzero(labels[:, column]), groups, [seed, column])[:per_class]
        chosen[order] = True
        clips[column] = len(order)
        recordings[column] = len({groups[segment] for segment in order})
    return FewLabels(np.flatnonzero(chosen), clips, recordings)


def _order(segments: np.ndarray, groups: list[Hashable], seed: list[int]) -> np.ndarray:
    """Segments in random order, the first of every recording before the second of any."""
    shuffled = np.random.default_rng(seed).permutation(segments)
    seen: dict[Hashable, int] = {}
    rank = np.zeros(len(shuffled), np.int64)  # how many of its recording came earlier
    for position, segment in enumerate(shuffled):
        rank[position] = seen.get(groups[segment], 0)
        seen[groups[segment]] = rank[position] + 1
    return shuffled[np.argsort(rank, kind="stable")].astype(np.int64)
