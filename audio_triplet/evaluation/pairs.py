"""The pairs of segments that count for a class, and their scores, block by block.

Target pairs have both segments in the class, non-target pairs exactly one; pairs of one group (a
recording) never count.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from audio_triplet.evaluation.cosines import EXCLUDED, Cosines, row_blocks
from audio_triplet.evaluation.grouped_splits import group_codes

# Scores handed on at a time by each worker.
BUFFER_SCORES = 1 << 24


class Groups:
    """Which segments may not be paired: those of one group (a recording).

    Attributes:
      codes: int64[segments], the groups as numbers.
    """

    def __init__(self, groups: Sequence[Hashable] | None, segments: int):
        if groups is None:
            codes = np.arange(segments)
        else:
            groups = list(groups)
            if len(groups) != segments:
                raise ValueError(f"{segments} embeddings but {len(groups)} groups")
            for row, group in enumerate(groups):
                if group is None or group != group:  # NaN
                    raise ValueError(f"segment {row} has no group (recording)")
            codes = group_codes(groups)
        self.codes = codes
        self._order = np.argsort(codes, kind="stable")
        self._sizes = np.bincount(codes)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """int64[rows], how many segments the group of each has, itself included."""
        return self._sizes[self.codes[rows]]

    def pairs(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All pairs within a group that have one segment in `rows`, self pairs included.

        Returns:
          Positions in `rows`, and columns: int64[pairs] each.
        """
        sizes = self.sizes(rows)
        position = np.repeat(np.arange(len(rows)), sizes)
        within = np.arange(len(position)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return position, self._order[np.repeat(self._starts[self.codes[rows]], sizes) + within]


def target_scores(cosines: Cosines, same_group: Groups, inside: np.ndarray) -> np.ndarray:
    """uint32[pairs], the scores of all pairs within the class."""
    members = np.flatnonzero(inside)
    scores = np.empty(len(members) * (len(members) - 1) // 2, np.uint32)
    done = first = 0
    for rows in row_blocks(members, max(1, len(members))):
        columns = members[first:]
        allowed = same_group.codes[rows][:, None] != same_group.codes[columns]
        allowed &= np.arange(len(columns)) > np.arange(len(rows))[:, None]  # each pair once
        found = cosines.rows(rows, columns)[allowed]
        scores[done : done + len(found)] = found
        done += len(found)
        first += len(rows)
    return scores[:done]


def non_target_scores(
    cosines: Cosines, same_group: Groups, inside: np.ndarray
) -> Iterator[np.ndarray]:
    """Yields uint32[...], scores of the pairs across the class's border, with `EXCLUDED` ones.

    Excluded pairs are marked rather than cut out: that saves a copy of everything. Buffers are
    large, because each costs one search for every target.
    """
    members = np.flatnonzero(inside)
    per_buffer = max(1, BUFFER_SCORES // cosines.segments)
    for start in range(0, len(members), per_buffer):
        chunk = members[start : start + per_buffer]
        buffer = np.empty((len(chunk), cosines.segments), np.uint32)
        done = 0
        for rows in row_blocks(chunk, cosines.segments):
            block = buffer[done : done + len(rows)]
            block[:] = cosines.rows(rows)
            block[:, members] = EXCLUDED
            block[same_group.pairs(rows)] = EXCLUDED
            done += len(rows)
        yield buffer.reshape(-1)


def sampled_scores(
    cosines: Cosines,
    same_group: Groups,
    inside: np.ndarray,
    max_pairs: int,
    rng: np.random.Generator,
    within: bool,
) -> np.ndarray:
    """uint32[pairs], scores of at most `max_pairs` pairs within, or across, the class's border."""
    members, others = np.flatnonzero(inside), np.flatnonzero(~inside)
    size = len(members)
    total = size * (size - 1) // 2 if within else size * len(others)
    if total <= max_pairs:
        index = np.arange(total)
    else:
        index = rng.choice(total, max_pairs, replace=False)
    if within:
        # Pair number i of the strict lower triangle: row r holds the numbers from r(r-1)/2 on.
        row = ((1 + np.sqrt(1 + 8 * index.astype(np.float64))) / 2).astype(np.int64)
        row -= row * (row - 1) // 2 > index  # where the square root was rounded up
        left, right = members[row], members[index - row * (row - 1) // 2]
    else:
        left, right = members[index // max(1, len(others))], others[index % max(1, len(others))]
    allowed = same_group.codes[left] != same_group.codes[right]
    return cosines.pairs(left[allowed], right[allowed])
