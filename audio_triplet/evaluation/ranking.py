"""Cosines between segments, and the ranks of pairs, block by block."""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np

# A cosine c is held as the uint32 (c + 1) 2^30 + 1, so that 0, below every score, can mark pairs
# that do not count: nothing that asks for "at least this score" ever counts it.
UNIT = 2.0**30
EXCLUDED = 0

# Scores computed at a time (two float64 temporaries), and counted at a time by each worker.
BLOCK_SCORES = 1 << 21
BUFFER_SCORES = 1 << 24
TILE_ROWS = 256


class Cosines:
    """Cosines of segments as multiples of 2^-30, the same in whatever block (see top).

    With u a unit vector, `high` is u rounded to multiples of 2^-26 and `low` the rest, rounded
    to a finer grid. Sums of high x high are multiples of 2^-52 and, by Cauchy-Schwarz, below 2;
    sums of high x low are multiples of 2^-(26 + low_bits) and below sqrt(dim) 2^-25: a float64
    holds all of these exactly. What is left out, low x low and the end of low, is below 1e-14.
    """

    def __init__(self, embeddings):
        embeddings = np.asarray(embeddings)
        if embeddings.ndim != 2 or 0 in embeddings.shape:
            raise ValueError(
                f"embeddings must be float[segments, dim], got shape {embeddings.shape}"
            )
        unit = embeddings.astype(np.float64)
        broken = ~np.isfinite(unit).all(axis=1)
        if broken.any():
            raise ValueError(
                f"embeddings of {broken.sum()} of {len(unit)} segments hold NaN or infinity, "
                f"the first is segment {np.flatnonzero(broken)[0]}"
            )
        # A power of two first: exact, and keeps the squares of huge and tiny values in range.
        _, exponent = np.frexp(np.abs(unit).max(axis=1, keepdims=True))
        unit = np.ldexp(unit, -exponent)
        norm = np.linalg.norm(unit, axis=1, keepdims=True)
        unit /= np.where(norm > 0, norm, 1)
        self.segments, dim = unit.shape
        low_bits = 51 - math.ceil(math.log2(dim) / 2)
        self._high = np.ldexp(np.rint(np.ldexp(unit, 26)), -26)
        unit -= self._high
        self._low = np.ldexp(np.rint(np.ldexp(unit, low_bits)), -low_bits)
        self._table: np.ndarray | None = None
        self._product_lock = threading.Lock()

    def rows(self, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        """uint32[rows, columns], the scores of `rows` against `columns` (None: all); a copy."""
        if self._table is not None:
            return self._table[rows] if columns is None else self._table[np.ix_(rows, columns)]
        return self._product(rows, slice(None) if columns is None else columns)

    def tabulate(self) -> None:
        """Computes all scores once, so that `rows` need only copy them."""
        table = np.empty((self.segments, self.segments), np.uint32)
        for start in range(0, self.segments, TILE_ROWS):
            tile = self._product(slice(start, start + TILE_ROWS), slice(start, None))
            table[start : start + TILE_ROWS, start:] = tile
            table[start:, start : start + TILE_ROWS] = tile.T
        self._table = table

    def _product(self, rows: np.ndarray | slice, columns: np.ndarray | slice) -> np.ndarray:
        # One product at a time: a BLAS has threads of its own, and several callers at once
        # make them fight for the processors (measured: 3 times slower).
        with self._product_lock:
            high, low = self._high[columns].T, self._low[columns].T
            cosine = self._high[rows] @ low
            cosine += self._low[rows] @ high
            cosine += self._high[rows] @ high
        return as_scores(cosine)

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """uint32[pairs], the scores of left[i] against right[i], the same as in `rows`."""
        scores = np.empty(len(left), np.uint32)
        step = max(1, BLOCK_SCORES // self._high.shape[1])
        for start in range(0, len(left), step):
            a, b = left[start : start + step], right[start : start + step]
            cosine = (self._high[a] * self._low[b]).sum(axis=1)
            cosine += (self._low[a] * self._high[b]).sum(axis=1)
            cosine += (self._high[a] * self._high[b]).sum(axis=1)
            scores[start : start + step] = as_scores(cosine)
        return scores


class Groups:
    """Which segments may not be paired: those of one recording."""

    def __init__(self, groups: Sequence[Hashable] | None, segments: int):
        if groups is None:
            codes = np.arange(segments)
        else:
            groups = list(groups)
            if len(groups) != segments:
                raise ValueError(f"{segments} embeddings but {len(groups)} groups")
            for row, group in enumerate(groups):
                if group is None or group != group:  # None, NaN
                    raise ValueError(f"segment {row} has no group (recording)")
            known: dict[Hashable, int] = {}
            codes = np.array([known.setdefault(group, len(known)) for group in groups])
        self.codes = codes
        self._order = np.argsort(codes, kind="stable")
        self._sizes = np.bincount(codes)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def pairs(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions in `rows`, and columns, of all pairs within a group, self pairs included."""
        sizes = self._sizes[self.codes[rows]]
        position = np.repeat(np.arange(len(rows)), sizes)
        within = np.arange(len(position)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return position, self._order[np.repeat(self._starts[self.codes[rows]], sizes) + within]


def as_scores(cosine: np.ndarray) -> np.ndarray:
    """uint32 scores (see `_UNIT`) of float64 cosines, which are overwritten."""
    cosine *= UNIT
    np.rint(cosine, out=cosine)
    cosine += UNIT + 1
    return cosine.astype(np.uint32)


def row_blocks(rows: np.ndarray, columns: int) -> Iterator[np.ndarray]:
    """Cuts `rows` into runs whose scores against `columns` segments make one block."""
    step = max(1, BLOCK_SCORES // columns)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


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
    """Yields uint32[...], scores of the pairs across the class's border, with `_EXCLUDED` ones.

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


def ranked(targets: np.ndarray, others: Iterable[np.ndarray]) -> tuple[float, int, int]:
    """Average precision of `targets` among `others`, ties as scikit-learn, and both counts.

    Only the distinct target scores matter: at each of them, precision needs the number of
    targets and of others with at least that score.

    Args:
      targets: uint32[...], scores; sorted in place.
      others: uint32[...] arrays of scores, which may hold `_EXCLUDED`; sorted in place, or not.

    Returns:
      Average precision (NaN without targets), number of targets, number of others.
    """
    targets.sort()
    first = np.flatnonzero(np.diff(targets, prepend=np.uint32(EXCLUDED)))
    distinct = targets[first]
    above = np.zeros(len(distinct), np.int64)
    count = 0
    for scores in others:
        count += int(np.count_nonzero(scores))
        add_counts(scores, distinct, above)
    if not len(distinct):
        return float("nan"), 0, count
    hits = len(targets) - first
    above += hits
    repeated = np.diff(first, append=len(targets))
    return float(np.sum(repeated * (hits / above)) / len(targets)), len(targets), count


def add_counts(scores: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> None:
    """Adds to `counts` how many `scores` reach each of the `thresholds`.

    Many scores against few thresholds are first counted in buckets (their leading bits); only
    buckets that hold a threshold need sorting. On 10^7 scores this took 12 to 20 ns a score
    where sorting all took 85 (numpy 1.26, AVX2); against more than about 10^6 thresholds
    nearly every bucket holds one, and sorting at once is as good.

    Args:
      scores: uint32[n]; sorted in place, or not.
      thresholds: uint32[t], ascending, without repeats.
      counts: int64[t].
    """
    bits = min(max(len(thresholds).bit_length() + 5, 18), 22)
    if len(scores) > 1 << bits and len(thresholds) < 1 << 20:
        bucket = scores >> np.uint32(32 - bits)
        threshold_bucket = thresholds >> np.uint32(32 - bits)
        mixed = np.zeros(1 << bits, bool)
        mixed[threshold_bucket] = True
        whole = np.bincount(bucket, minlength=1 << bits)
        whole[mixed] = 0
        counts += np.cumsum(whole[::-1])[::-1][threshold_bucket]
        scores = scores[mixed[bucket]]
    scores.sort()
    for start in range(0, len(thresholds), BLOCK_SCORES):  # no large temporary
        part = slice(start, start + BLOCK_SCORES)
        counts[part] += len(scores) - np.searchsorted(scores, thresholds[part], side="left")
