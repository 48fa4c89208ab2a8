"""Query by example: does cosine distance put segments of one class together?

`query_by_example_map` is the paper's measure (Table 1, left): for each class, pairs of segments
within the class are ranked among pairs with one segment inside and one outside. It is exact,
every pair counted. `per_query_map` is classic retrieval, one ranking per segment, and `nearest`
returns the neighbours themselves, for reports.

Scores and ties. Average precision treats equal scores as one step, so two pairs that are
equally far apart must get bitwise the same score; a plain matrix product does not promise that,
because a BLAS adds in an order that depends on the shape of the block and the place in it. Here
(`_Cosines`) the unit vectors are cut into fixed-point halves whose products a float64 sums
*without any rounding*, so that the order cannot matter, and the cosine is then rounded once to
a multiple of 2^-30. A pair has one score whatever block it was computed in, and in either order;
copies of a segment tie; and so do pairs whose cosines are equal in exact arithmetic, unless they
fall within 1e-14 of the border between two multiples.
"""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent import futures

import numpy as np

from audio_triplet.evaluation import metrics

# A cosine c is held as the uint32 (c + 1) 2^30 + 1, so that 0, below every score, can mark pairs
# that do not count: nothing that asks for "at least this score" ever counts it.
_UNIT = 2.0**30
_EXCLUDED = 0

# Scores computed at a time (two float64 temporaries), and counted at a time by each worker.
_BLOCK_SCORES = 1 << 21
_BUFFER_SCORES = 1 << 24

# All scores are kept, 4 bytes each, up to this many segments (2.1 GB); beyond it those of a class
# are computed when its turn comes, which costs labels-per-segment x 2 as many products.
_TABLE_SEGMENTS = 23_000
_TILE_ROWS = 256


@dataclasses.dataclass(frozen=True)
class RetrievalResult:
    """Query-by-example mAP.

    Attributes:
      mean: mean of `per_class` over the classes that have a target pair; NaN if none has.
      per_class: float64[classes], average precision; NaN for a class without a target pair.
      target_pairs: int64[classes], pairs counted with both segments in the class.
      non_target_pairs: int64[classes], pairs counted with exactly one segment in it.
    """

    mean: float
    per_class: np.ndarray
    target_pairs: np.ndarray
    non_target_pairs: np.ndarray

    @property
    def left_out(self) -> np.ndarray:
        """int64[...], the classes without a target pair, which `mean` leaves out."""
        return np.flatnonzero(np.isnan(self.per_class))

    @property
    def chance(self) -> np.ndarray:
        """float64[classes], the share of target pairs: what a constant score would get."""
        pairs = self.target_pairs + self.non_target_pairs
        return np.where(self.target_pairs > 0, self.target_pairs / np.maximum(pairs, 1), np.nan)


@dataclasses.dataclass(frozen=True)
class QueryResult:
    """Retrieval mAP with every segment as a query.

    Attributes:
      mean: mean of `per_query` over the queries with something to find; NaN if there is none.
      per_query: float64[segments], average precision; NaN where nothing is relevant.
      per_class: float64[classes], mean of `per_query` over the queries of each class; NaN for a
        class without such a query.
    """

    mean: float
    per_query: np.ndarray
    per_class: np.ndarray


def query_by_example_map(
    embeddings,
    labels,
    groups: Sequence[Hashable] | None = None,
    *,
    max_pairs: int | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> RetrievalResult:
    """Mean over classes of the average precision of within-class pairs (paper, Table 1 left).

    For each class the targets are the unordered pairs of two of its segments, the non-targets
    the pairs with exactly one segment in it; all are ranked together by cosine distance. Pairs
    within one group (the same recording) are left out of both [D]: they would be found by the
    recording's own noise floor.

    Args:
      embeddings: float[segments, dim], of any length: normalised here. A zero vector has no
        direction and is at cosine distance 1 from everything, itself and other zeros included.
      labels: bool[segments, classes] (or 0/1); several classes a segment, or none, are fine.
      groups: one hashable a segment (recording ids, numbers); None puts each segment in a
        group of its own.
      max_pairs: None counts every pair. A number draws that many of a class's target pairs and
        that many of its non-target pairs, without replacement (all, if there are fewer; those
        of one group fall away after the draw) [D]. Average precision depends on the share of
        targets, so sampled figures compare only with figures sampled the same way.
      seed: of that draw.
      workers: classes evaluated at a time; None takes one a CPU. The result does not depend on
        it. Memory: 4 bytes a pair of segments (1.6 GB at 20,000; nothing beyond 23,000, where
        it takes longer instead), and for each worker about 0.3 GB and 24 bytes a target pair.

    Returns:
      A `RetrievalResult`.

    Raises:
      ValueError: for embeddings that are not finite or not two-dimensional, labels that are not
        0/1, differing numbers of segments, or missing groups.
    """
    cosines = _Cosines(embeddings)
    labels = _checked_labels(labels, cosines.segments)
    same_group = _Groups(groups, cosines.segments)
    if max_pairs is not None and max_pairs < 1:
        raise ValueError(f"max_pairs must be at least 1, got {max_pairs}")

    def evaluate(column: int) -> tuple[float, int, int]:
        inside = labels[:, column]
        if max_pairs is None:
            targets = _target_scores(cosines, same_group, inside)
            others = _non_target_scores(cosines, same_group, inside)
        else:
            rng = np.random.default_rng([seed, column])
            targets = _sampled_scores(cosines, same_group, inside, max_pairs, rng, within=True)
            others = [_sampled_scores(cosines, same_group, inside, max_pairs, rng, within=False)]
        return _ranked(targets, others)

    sizes = labels.sum(axis=0)
    if max_pairs is None and cosines.segments <= _TABLE_SEGMENTS:
        cosines.tabulate()
    # Largest classes first, so that no worker is left alone with one at the end.
    order = np.argsort(-sizes, kind="stable")
    per_class = np.full(labels.shape[1], np.nan)
    counts = np.zeros((2, labels.shape[1]), np.int64)
    with futures.ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for column, outcome in zip(order, pool.map(evaluate, order), strict=True):
            per_class[column], counts[0, column], counts[1, column] = outcome
    return RetrievalResult(metrics.mean_over_classes(per_class), per_class, counts[0], counts[1])


def per_query_map(
    embeddings,
    labels,
    groups: Sequence[Hashable] | None = None,
    *,
    workers: int | None = None,
) -> QueryResult:
    """Mean over segments of the average precision of the rest, ranked by cosine distance.

    Each segment is a query; all others but those of its own group are ranked; relevant are
    those that share at least one class with it. Segments without any class are never queries
    but stay in the rankings.

    Args and errors as `query_by_example_map`.

    Returns:
      A `QueryResult`.
    """
    cosines = _Cosines(embeddings)
    labels = _checked_labels(labels, cosines.segments)
    same_group = _Groups(groups, cosines.segments)
    by_class = np.asfortranarray(labels)

    def evaluate(rows: np.ndarray) -> list[float]:
        scores = cosines.rows(rows)
        scores[same_group.pairs(rows)] = _EXCLUDED
        result = []
        for row, row_scores in zip(rows, scores, strict=True):
            shared = by_class[:, labels[row]].any(axis=1)
            targets = row_scores[shared & (row_scores != _EXCLUDED)]
            result.append(_ranked(targets, [row_scores[~shared]])[0])
        return result

    blocks = _blocks(np.arange(cosines.segments), cosines.segments)
    with futures.ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        per_query = np.concatenate(list(pool.map(evaluate, blocks)))
    answered = ~np.isnan(per_query)
    queries = (labels & answered[:, None]).sum(axis=0)
    total = np.where(answered, per_query, 0) @ labels
    per_class = np.where(queries > 0, total / np.maximum(queries, 1), np.nan)
    return QueryResult(metrics.mean_over_classes(per_query), per_query, per_class)


def nearest(
    embeddings, k: int, groups: Sequence[Hashable] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest segments of each by cosine, its own group left out.

    Args:
      embeddings: float[segments, dim], as `query_by_example_map`.
      k: neighbours wanted, 1 to segments - 1.
      groups: as `query_by_example_map`.

    Returns:
      indices: int64[segments, k], nearest first, equally near ones by index; -1 where the other
        groups hold fewer than k segments.
      similarities: float32[segments, k], their cosines; NaN where the index is -1.

    Raises:
      ValueError: as `query_by_example_map`, and for a k outside its range.
    """
    cosines = _Cosines(embeddings)
    same_group = _Groups(groups, cosines.segments)
    if not 1 <= k < cosines.segments:
        raise ValueError(f"k must be from 1 to segments - 1 = {cosines.segments - 1}, got {k}")
    indices = np.empty((cosines.segments, k), np.int64)
    similarities = np.empty((cosines.segments, k), np.float32)
    for rows in _blocks(np.arange(cosines.segments), cosines.segments):
        scores = cosines.rows(rows)
        scores[same_group.pairs(rows)] = _EXCLUDED
        for i, row in enumerate(rows):
            # All that reach the k-th best score, then a stable sort: ties in index order.
            reach = np.partition(scores[i], -k)[-k]
            candidates = np.flatnonzero(scores[i] >= reach)
            best = candidates[np.argsort(-scores[i][candidates].astype(np.int64), kind="stable")]
            indices[row] = best[:k]
            similarities[row] = (scores[i][best[:k]] - 1.0) / _UNIT - 1
        missing = np.take_along_axis(scores, indices[rows], axis=1) == _EXCLUDED
        indices[rows[:, None].repeat(k, 1)[missing], np.nonzero(missing)[1]] = -1
        similarities[rows] = np.where(missing, np.nan, similarities[rows])
    return indices, similarities


class _Cosines:
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
        for start in range(0, self.segments, _TILE_ROWS):
            tile = self._product(slice(start, start + _TILE_ROWS), slice(start, None))
            table[start : start + _TILE_ROWS, start:] = tile
            table[start:, start : start + _TILE_ROWS] = tile.T
        self._table = table

    def _product(self, rows: np.ndarray | slice, columns: np.ndarray | slice) -> np.ndarray:
        # One product at a time: a BLAS has threads of its own, and several callers at once
        # make them fight for the processors (measured: 3 times slower).
        with self._product_lock:
            high, low = self._high[columns].T, self._low[columns].T
            cosine = self._high[rows] @ low
            cosine += self._low[rows] @ high
            cosine += self._high[rows] @ high
        return _as_scores(cosine)

    def pairs(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """uint32[pairs], the scores of left[i] against right[i], the same as in `rows`."""
        scores = np.empty(len(left), np.uint32)
        step = max(1, _BLOCK_SCORES // self._high.shape[1])
        for start in range(0, len(left), step):
            a, b = left[start : start + step], right[start : start + step]
            cosine = (self._high[a] * self._low[b]).sum(axis=1)
            cosine += (self._low[a] * self._high[b]).sum(axis=1)
            cosine += (self._high[a] * self._high[b]).sum(axis=1)
            scores[start : start + step] = _as_scores(cosine)
        return scores


class _Groups:
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


def _as_scores(cosine: np.ndarray) -> np.ndarray:
    """uint32 scores (see `_UNIT`) of float64 cosines, which are overwritten."""
    cosine *= _UNIT
    np.rint(cosine, out=cosine)
    cosine += _UNIT + 1
    return cosine.astype(np.uint32)


def _checked_labels(labels, segments: int) -> np.ndarray:
    labels = metrics.as_labels(labels)
    if len(labels) != segments:
        raise ValueError(f"{segments} embeddings but {len(labels)} rows of labels")
    return labels


def _blocks(rows: np.ndarray, columns: int) -> Iterator[np.ndarray]:
    """Cuts `rows` into runs whose scores against `columns` segments make one block."""
    step = max(1, _BLOCK_SCORES // columns)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _target_scores(cosines: _Cosines, same_group: _Groups, inside: np.ndarray) -> np.ndarray:
    """uint32[pairs], the scores of all pairs within the class."""
    members = np.flatnonzero(inside)
    scores = np.empty(len(members) * (len(members) - 1) // 2, np.uint32)
    done = first = 0
    for rows in _blocks(members, max(1, len(members))):
        columns = members[first:]
        allowed = same_group.codes[rows][:, None] != same_group.codes[columns]
        allowed &= np.arange(len(columns)) > np.arange(len(rows))[:, None]  # each pair once
        found = cosines.rows(rows, columns)[allowed]
        scores[done : done + len(found)] = found
        done += len(found)
        first += len(rows)
    return scores[:done]


def _non_target_scores(
    cosines: _Cosines, same_group: _Groups, inside: np.ndarray
) -> Iterator[np.ndarray]:
    """Yields uint32[...], scores of the pairs across the class's border, with `_EXCLUDED` ones.

    Excluded pairs are marked rather than cut out: that saves a copy of everything. Buffers are
    large, because each costs one search for every target.
    """
    members = np.flatnonzero(inside)
    per_buffer = max(1, _BUFFER_SCORES // cosines.segments)
    for start in range(0, len(members), per_buffer):
        chunk = members[start : start + per_buffer]
        buffer = np.empty((len(chunk), cosines.segments), np.uint32)
        done = 0
        for rows in _blocks(chunk, cosines.segments):
            block = buffer[done : done + len(rows)]
            block[:] = cosines.rows(rows)
            block[:, members] = _EXCLUDED
            block[same_group.pairs(rows)] = _EXCLUDED
            done += len(rows)
        yield buffer.reshape(-1)


def _sampled_scores(
    cosines: _Cosines,
    same_group: _Groups,
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


def _ranked(targets: np.ndarray, others: Iterable[np.ndarray]) -> tuple[float, int, int]:
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
    first = np.flatnonzero(np.diff(targets, prepend=np.uint32(_EXCLUDED)))
    distinct = targets[first]
    above = np.zeros(len(distinct), np.int64)
    count = 0
    for scores in others:
        count += int(np.count_nonzero(scores))
        _add_counts(scores, distinct, above)
    if not len(distinct):
        return float("nan"), 0, count
    hits = len(targets) - first
    above += hits
    repeated = np.diff(first, append=len(targets))
    return float(np.sum(repeated * (hits / above)) / len(targets)), len(targets), count


def _add_counts(scores: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> None:
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
    for start in range(0, len(thresholds), _BLOCK_SCORES):  # no large temporary
        part = slice(start, start + _BLOCK_SCORES)
        counts[part] += len(scores) - np.searchsorted(scores, thresholds[part], side="left")
