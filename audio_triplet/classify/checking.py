"""Predictions against the truth: precision, recall, F1 and average precision, with intervals.

What is counted is an item: a moment, or an event. Of each it is known whether it is of the class,
whether it was predicted, and with which score; one that nobody predicted has no score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from audio_triplet.classify.average_precision import draw_recordings, weighted_average_precision
from audio_triplet.classify.matching import joined, match, overlaps
from audio_triplet.classify.proportions import share_interval
from audio_triplet.evaluation.metrics import Interval

# What each figure counts, for whoever shows it.
COUNTS = {
    "moment": "a moment of {seconds:g} s is of a class if an annotation overlaps it by at least "
    "{overlap:.0%} of the shorter of the two, and predicted to be if a prediction does",
    "event": "a prediction is right if it overlaps an annotation of its class by at least "
    "{overlap:.0%} of the shorter of the two; each annotation makes one prediction right at most, "
    "and each prediction finds one at most",
    "precision": "right among predicted",
    "recall": "predicted among those of the class, in all annotated recordings, also in those "
    "without a prediction",
    "f1": "harmonic mean of precision and recall",
    "ap": "mean of the precisions at each right one, the highest score first; one without a "
    "prediction counts with 0",
    "interval": "95 %; recordings are what is drawn again (F1, average precision), or what is "
    "counted (precision, recall: Korn and Graubard)",
}

_CHUNK = 4_000_000  # numbers held at once

# Average precision is drawn again by fewer samples where there are many items, and not at all where
# there are more than these.
_DRAWN_NUMBERS = 20_000_000
_LEAST_DRAWS = 50
_MOST_DRAWN = 5_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Items:
    """What is counted of a class.

    Attributes:
      is_class: bool[n].
      predicted: bool[n], whether it was said to be of the class.
      scores: float64[n], -inf for what has no prediction.
      recordings: int[n].
    """

    is_class: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray
    recordings: np.ndarray

    @classmethod
    def together(cls, parts: Sequence[Items]) -> Items:
        """All items of several."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclasses.dataclass(frozen=True)
class Figures:
    """What predictions of a class are worth.

    Attributes:
      true: Items of the class.
      predicted: Items that were said to be.
      right: Items of which both holds.
      precision: Right among predicted; None if nothing was predicted.
      precision_interval: 95 %.
      recall: Right among those of the class; None if there is none.
      recall_interval: 95 %.
      f1: Of both; None if there is neither.
      f1_interval: 95 %; None of a single recording.
      ap: Average precision; None without an item of the class.
      ap_interval: 95 %; None of a single recording, and of very many items.
      curve: (recall, precision) from the highest score down, thinned.
    """

    true: int
    predicted: int
    right: int
    precision: float | None
    precision_interval: Interval
    recall: float | None
    recall_interval: Interval
    f1: float | None
    f1_interval: Interval | None
    ap: float | None
    ap_interval: Interval | None
    curve: tuple[tuple[float, float], ...]


def figures(items: Items, seed: int = 0) -> Figures:
    """The figures of a class.

    Args:
      items: What is counted.
      seed: Of the draws of recordings.
    """
    truth, predicted = items.is_class, items.predicted
    right = truth & predicted
    precision, precision_interval = share_interval(truth[predicted], items.recordings[predicted])
    recall, recall_interval = share_interval(predicted[truth], items.recordings[truth])
    order = np.argsort(-items.scores, kind="stable")  # once, for all draws
    items = Items(truth[order], predicted[order], items.scores[order], items.recordings[order])
    truth, predicted, right = items.is_class, items.predicted, right[order]
    _, codes = np.unique(items.recordings, return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    f1 = ap = f1_interval = ap_interval = None
    either = int(truth.sum() + predicted.sum())
    if either:
        f1 = 2 * int(right.sum()) / either
    scored = np.isfinite(items.scores)
    curve = precision_recall(truth[scored], items.scores[scored], int(truth.sum()))
    if truth.any():
        ap = float(_precisions(items, scored, np.ones((1, len(truth))))[0])
    if count > 1:
        drawn = draw_recordings(count, seed)
        per = [np.bincount(codes, values, count) for values in (right, truth, predicted)]
        both = drawn @ (per[1] + per[2])
        if f1 is not None:
            shares = 2 * (drawn @ per[0])[both > 0] / both[both > 0]
            f1_interval = _between(shares, None)
        if ap is not None and len(truth) <= _MOST_DRAWN:
            step = max(1, _CHUNK // len(truth))
            drawn = drawn[: max(_LEAST_DRAWS, _DRAWN_NUMBERS // len(truth))]
            found = [
                _precisions(items, scored, drawn[part : part + step][:, codes])
                for part in range(0, len(drawn), step)
            ]
            ap_interval = _between(np.concatenate(found), ap)
    return Figures(
        int(truth.sum()),
        int(predicted.sum()),
        int(right.sum()),
        precision,
        precision_interval,
        recall,
        recall_interval,
        f1,
        f1_interval,
        ap,
        ap_interval,
        curve,
    )


def _precisions(items: Items, scored: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float64[repeats]: average precision, what has no prediction being never found."""
    truth = items.is_class
    total = (weights * truth).sum(axis=1)
    hits = (weights[:, scored] * truth[scored]).sum(axis=1)
    found = weighted_average_precision(truth[scored], items.scores[scored], weights[:, scored])
    share = np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0)
    return np.where(hits > 0, found * share, np.where(total > 0, 0.0, np.nan))


def _between(values: np.ndarray, observed: float | None) -> Interval | None:
    """95 % of bootstrap values; taken down by how much drawing twice lifts them (as in `fit`)."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    lifted = values.mean() - observed if observed is not None else 0.0
    return Interval(*np.clip(np.quantile(values, [0.025, 0.975]) - lifted, 0, 1).tolist())


def precision_recall(
    is_class: np.ndarray, scores: np.ndarray, true: int, points: int = 200
) -> tuple[tuple[float, float], ...]:
    """(recall, precision) at each score, from the highest down.

    Args:
      is_class: bool[n], of what has a score.
      scores: float[n].
      true: How many are of the class in all, with and without a score.
      points: How many are kept at most.
    """
    if not true or not len(scores):
        return ()
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(is_class[order])[last]
    kept = np.unique(np.linspace(0, len(last) - 1, min(points, len(last))).round().astype(int))
    return tuple(zip((hits / true)[kept].tolist(), (hits / (last + 1))[kept].tolist(), strict=True))


@dataclasses.dataclass(frozen=True, eq=False)
class Spans:
    """Parts of recordings that are of a class, or are said to be.

    Attributes:
      recordings: int[n].
      starts: float64[n], seconds.
      ends: float64[n], seconds; may be infinite.
      scores: float64[n].
    """

    recordings: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray

    def select(self, keep: np.ndarray) -> Spans:
        """Those where bool[n], or int[k], `keep` says so."""
        return Spans(self.recordings[keep], self.starts[keep], self.ends[keep], self.scores[keep])

    def joined(self, gap: float) -> Spans:
        """Spans of one recording that touch made one; see `matching.joined`."""
        parts = []
        for recording, rows in rows_of(self.recordings).items():
            own = self.select(rows)
            found = joined(own.starts, own.ends, own.scores, gap)
            parts.append((np.full(len(found[0]), recording), *found))
        if not parts:
            return self
        return Spans(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def rows_of(recordings: np.ndarray) -> dict[int, np.ndarray]:
    """The rows of each recording, in their order: recording → int[k].

    Args:
      recordings: int[n].
    """
    order = np.argsort(recordings, kind="stable")
    names, first = np.unique(recordings[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, first[1:]), strict=False))


def by_event(predicted: Spans, truth: Spans, least: float) -> tuple[Items, np.ndarray, np.ndarray]:
    """Items that are events: each prediction, and each true event that was not found.

    Args:
      predicted: Events said to be of the class.
      truth: Events of the class.
      least: See `matching.overlaps`.

    Returns:
      The items, the predictions first; bool[predicted]: the right ones; bool[truth]: those found.
    """
    right, found = np.zeros(len(predicted.starts), bool), np.zeros(len(truth.starts), bool)
    rows = rows_of(predicted.recordings)
    for recording, own in rows_of(truth.recordings).items():
        mine = rows.get(recording)
        if mine is None:
            continue
        allowed = overlaps(
            predicted.starts[mine],
            predicted.ends[mine],
            truth.starts[own],
            truth.ends[own],
            least,
        )
        right[mine], found[own] = match(allowed, predicted.scores[mine])
    missed = int((~found).sum())
    items = Items(
        np.append(right, np.ones(missed, bool)),
        np.append(np.ones(len(right), bool), np.zeros(missed, bool)),
        np.append(predicted.scores, np.full(missed, -np.inf)),
        np.append(predicted.recordings, truth.recordings[~found]),
    )
    return items, right, found


def covered(moments: Spans, spans: Spans, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Which moments a span lies in, and the highest score of those that do.

    Args:
      moments: Any parts of recordings.
      spans: Of a class.
      least: See `matching.overlaps`.

    Returns:
      bool[moments]; float64[moments], -inf where there is none.
    """
    inside = np.zeros(len(moments.starts), bool)
    scores = np.full(len(moments.starts), -np.inf)
    of_moments = rows_of(moments.recordings)
    for recording, chosen in rows_of(spans.recordings).items():
        rows, own = of_moments.get(recording), spans.select(chosen)
        if rows is None:
            continue
        held = overlaps(moments.starts[rows], moments.ends[rows], own.starts, own.ends, least)
        inside[rows] = held.any(axis=1)
        scores[rows] = np.where(held, own.scores, -np.inf).max(axis=1, initial=-np.inf)
    return inside, scores


def grid(lengths: Mapping[int, float], seconds: float) -> Spans:
    """Moments of equal length, side by side, from the start of each recording.

    Args:
      lengths: Recording → its seconds.
      seconds: Of a moment; the last one of a recording ends with it.
    """
    recordings, starts, ends = [], [], []
    for recording, length in lengths.items():
        # Not a moment more for what a rounded length is longer.
        count = max(1, int(np.ceil(length / seconds - 1e-6)))
        first = np.arange(count) * seconds
        recordings.append(np.full(count, recording))
        starts.append(first)
        ends.append(np.minimum(first + seconds, max(length, 1e-6)))
    if not recordings:
        return Spans(np.empty(0, int), *(np.empty(0) for _ in range(3)))
    total = np.concatenate(starts)
    return Spans(np.concatenate(recordings), total, np.concatenate(ends), np.zeros(len(total)))
