"""Query by example: does cosine distance put segments of one class together?

`query_by_example_map` is the paper's measure (Table 1, left): for each class, pairs of segments
within the class are ranked among pairs with one segment inside and one outside. It is exact,
every pair counted. `per_query_map` is classic retrieval, one ranking per segment, and `nearest`
returns the neighbours themselves, for reports.

Equal distances tie exactly, as scikit-learn's average precision wants it: see `cosines`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Hashable, Sequence
from concurrent import futures

import numpy as np

from audio_triplet.evaluation import metrics
from audio_triplet.evaluation.cosines import EXCLUDED, UNIT, Cosines, row_blocks
from audio_triplet.evaluation.pairs import (
    Groups,
    non_target_scores,
    sampled_scores,
    target_scores,
)
from audio_triplet.evaluation.ranking import rank_targets

# All scores are kept, 4 bytes each, up to this many segments (64 MB). Beyond it they are counted
# tile by tile in compiled loops, worth the two seconds that compiling takes.
_TABLE_SEGMENTS = 4_000


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
      labels: bool[segments, classes] (or 0/1); several classes per segment, or none, are fine.
      groups: one hashable per segment (recording ids, numbers); None puts each segment in a
        group of its own.
      max_pairs: None counts every pair. A number draws that many of a class's target pairs and
        that many of its non-target pairs, without replacement (all, if there are fewer; those
        of one group fall away after the draw) [D]. Average precision depends on the share of
        targets, so sampled figures compare only with figures sampled the same way.
      seed: of that draw.
      workers: classes evaluated at a time; None takes one per CPU. The result does not depend on
        it. Memory beyond 4,000 segments: 0.3 GB, and 28 bytes per target pair of all classes.

    Returns:
      A `RetrievalResult`.

    Raises:
      ValueError: for embeddings that are not finite or not two-dimensional, labels that are not
        0/1, differing numbers of segments, or missing groups.
    """
    cosines = Cosines(embeddings)
    labels = _checked_labels(labels, cosines.segments)
    same_group = Groups(groups, cosines.segments)
    if max_pairs is not None and max_pairs < 1:
        raise ValueError(f"max_pairs must be at least 1, got {max_pairs}")

    if max_pairs is not None:
        outcomes = _rank_classes(
            lambda column: _sampled(cosines, same_group, labels, column, max_pairs, seed),
            labels,
            workers,
        )
    elif cosines.segments <= _TABLE_SEGMENTS:
        cosines.tabulate()
        outcomes = _rank_classes(
            lambda column: rank_targets(
                target_scores(cosines, same_group, labels[:, column]),
                non_target_scores(cosines, same_group, labels[:, column]),
            ),
            labels,
            workers,
        )
    else:
        from audio_triplet.evaluation import all_pairs  # late: it imports a compiler

        outcomes = all_pairs.rank_all(cosines, same_group, labels, workers)
    per_class = np.array([precision for precision, _, _ in outcomes])
    counts = np.array([pairs for _, *pairs in outcomes], np.int64).T
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
    cosines = Cosines(embeddings)
    labels = _checked_labels(labels, cosines.segments)
    same_group = Groups(groups, cosines.segments)
    by_class = np.asfortranarray(labels)

    def evaluate(rows: np.ndarray) -> list[float]:
        scores = cosines.rows(rows)
        scores[same_group.pairs(rows)] = EXCLUDED
        result = []
        for row, row_scores in zip(rows, scores, strict=True):
            shared = by_class[:, labels[row]].any(axis=1)
            targets = row_scores[shared & (row_scores != EXCLUDED)]
            result.append(rank_targets(targets, [row_scores[~shared]])[0])
        return result

    blocks = row_blocks(np.arange(cosines.segments), cosines.segments)
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
    cosines = Cosines(embeddings)
    same_group = Groups(groups, cosines.segments)
    if not 1 <= k < cosines.segments:
        raise ValueError(f"k must be from 1 to segments - 1 = {cosines.segments - 1}, got {k}")
    indices = np.empty((cosines.segments, k), np.int64)
    similarities = np.empty((cosines.segments, k), np.float32)
    for rows in row_blocks(np.arange(cosines.segments), cosines.segments):
        scores = cosines.rows(rows)
        scores[same_group.pairs(rows)] = EXCLUDED
        for i, row in enumerate(rows):
            # All that reach the k-th best score, then a stable sort: ties in index order.
            reach = np.partition(scores[i], -k)[-k]
            candidates = np.flatnonzero(scores[i] >= reach)
            best = candidates[np.argsort(-scores[i][candidates].astype(np.int64), kind="stable")]
            indices[row] = best[:k]
            similarities[row] = (scores[i][best[:k]] - 1.0) / UNIT - 1
        missing = np.take_along_axis(scores, indices[rows], axis=1) == EXCLUDED
        indices[rows[:, None].repeat(k, 1)[missing], np.nonzero(missing)[1]] = -1
        similarities[rows] = np.where(missing, np.nan, similarities[rows])
    return indices, similarities


def _checked_labels(labels, segments: int) -> np.ndarray:
    labels = metrics.as_labels(labels)
    if len(labels) != segments:
        raise ValueError(f"{segments} embeddings but {len(labels)} rows of labels")
    return labels


def _rank_classes(
    rank: Callable[[int], tuple[float, int, int]], labels: np.ndarray, workers: int | None
) -> list[tuple[float, int, int]]:
    """What `rank` says of each class, by threads."""
    # Largest classes first, so that no worker is left alone with one at the end.
    order = np.argsort(-labels.sum(axis=0), kind="stable")
    with futures.ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = dict(zip(order.tolist(), pool.map(rank, order.tolist()), strict=True))
    return [found[column] for column in range(len(order))]


def _sampled(
    cosines: Cosines,
    same_group: Groups,
    labels: np.ndarray,
    column: int,
    max_pairs: int,
    seed: int,
) -> tuple[float, int, int]:
    """`rank_targets` of pairs that are drawn."""
    rng = np.random.default_rng([seed, column])
    inside = labels[:, column]
    targets, others = (
        sampled_scores(cosines, same_group, inside, max_pairs, rng, within=within)
        for within in (True, False)
    )
    return rank_targets(targets, [others])
