"""Events: where in an archive something like the question sounds, from its start to its end.

A window as long as the question is moved over a stretch of sound. Where it scores best is an event;
neighbouring windows that score nearly as well are joined to it, so that a long rain is one event.
Its span is what answered: from the first to the last patch that is the nearest to one of the
question's.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from audio_triplet.search.question import NEVER, Question
from audio_triplet.search.scanning import Stretches, Vectors

# [D] Windows that score less by no more than this are joined to the best one beside them.
JOINED_WITHIN = 0.1

# [D] A recording shows three of its events, unless others have too few to show.
USUAL_PER_RECORDING = 3

# Stretches that are looked at together: first so many, then twice as many each time, up to so many
# stretches and vectors.
_AT_FIRST = 32
_AT_MOST = 1024
_MOST_VECTORS = 1 << 15


class Event(NamedTuple):
    """Where something like the question sounds.

    Attributes:
      score: The best window's.
      part: Number of its part.
      first: Its first vector there.
      last: Its last vector there.
    """

    score: float
    part: int
    first: int
    last: int


def best_events(
    question: Question,
    parts: Sequence[Vectors],
    scales: Sequence[np.ndarray],
    keep: Sequence[np.ndarray | None],
    stretches: Stretches,
    hop_seconds: float,
    most_each: int,
) -> Iterator[Event]:
    """The events of stretches, best first, equal ones as the stretches are.

    Args:
      question: What is asked.
      parts: All parts of the archive.
      scales: As for `scanning.scan`.
      keep: As for `scanning.scan`.
      stretches: Where to look.
      hop_seconds: From one vector to the next.
      most_each: Most events of one stretch.

    Yields:
      Events; not many more are computed than are asked for.
    """
    waiting: list[tuple[float, int, Event]] = []  # a heap: best first, then as the stretches are
    number = 0
    for group in _groups(stretches):
        while waiting and waiting[0][0] < -float(group.bound[0]):
            yield heapq.heappop(waiting)[2]
        for place, event in _of_group(question, parts, scales, keep, group, hop_seconds, most_each):
            heapq.heappush(waiting, (-event.score, number + place, event))
        number += len(group.first)
    while waiting:
        yield heapq.heappop(waiting)[2]


def _groups(stretches: Stretches) -> Iterator[Stretches]:
    """Stretches by descending bound, few at first: most searches ask for no more."""
    size = _AT_FIRST
    for group in stretches.best_first():
        ends = np.cumsum(group.vectors)
        begin = 0
        while begin < len(ends):
            most = ends[begin] - group.vectors[begin] + _MOST_VECTORS
            fit = int(np.searchsorted(ends, most, side="right"))
            end = min(begin + size, max(fit, begin + 1))
            yield Stretches(*(array[begin:end] for array in group))
            begin, size = end, min(2 * size, _AT_MOST)


def _of_group(
    question: Question,
    parts: Sequence[Vectors],
    scales: Sequence[np.ndarray],
    keep: Sequence[np.ndarray | None],
    group: Stretches,
    hop_seconds: float,
    most: int,
) -> Iterator[tuple[int, Event]]:
    """The events of some stretches, each with the place of its stretch among them."""
    width = question.width(hop_seconds)
    for part in np.unique(group.part).tolist():
        places = np.flatnonzero(group.part == part)
        first, count = group.first[places], group.vectors[places]
        borders = np.cumsum([0, *count])
        vectors = np.arange(borders[-1]) + np.repeat(first - borders[:-1], count)
        likenesses = question.likenesses(parts[part].vectors[vectors], scales[part][vectors])
        mask = keep[part]
        if mask is not None:
            likenesses[:, ~mask[vectors]] = NEVER
        starts = np.asarray(parts[part].spans["start"][vectors])
        slots, lengths = _slots(starts, borders, hop_seconds)
        # Not for long recordings alone, of which none is a single window.
        single = _single_windows(question, likenesses, borders) if min(lengths) <= width else []
        many = _windows(question, likenesses, borders, slots, lengths, width)
        for number, place in enumerate(places.tolist()):
            found: Iterable[tuple[float, int, int]] = single[number : number + 1][:most]
            if lengths[number] > width:
                own = slots[borders[number] : borders[number + 1]]
                found = (
                    (score, *_vectors_at(own, begin, end))
                    for score, begin, end in _peaks(next(many), width, most)
                )
            for score, begin, end in found:
                if score > NEVER / 2:
                    start = int(first[number])
                    yield place, Event(score, part, start + begin, start + end)


def _slots(
    starts: np.ndarray, borders: np.ndarray, hop_seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where the vectors of stretches lie on the grid of hops.

    Args:
      starts: float64[n], seconds, ascending in each stretch.
      borders: int64[stretches + 1], where stretches begin and the last one ends: from 0 to n.
      hop_seconds: From one vector to the next, where none is left out.

    Returns:
      int64[n], the slot of each vector from the first of its stretch, and int64[stretches], how
      many slots a stretch has.
    """
    begins = np.repeat(starts[borders[:-1]], np.diff(borders))
    slots = np.rint((starts - begins) / hop_seconds).astype(int)
    # Two vectors of one slot are of a segment that is not on a grid: then each has its own.
    close = np.flatnonzero(np.diff(slots) < 1)
    runs = np.searchsorted(borders, close, side="right") - 1
    for run in np.unique(runs[close + 1 < borders[runs + 1]]):
        slots[borders[run] : borders[run + 1]] = np.arange(borders[run + 1] - borders[run])
    return slots, slots[borders[1:] - 1] + 1


def _single_windows(
    question: Question, likenesses: np.ndarray, borders: np.ndarray
) -> list[tuple[float, int, int]]:
    """Score, first and last vector that answer, of stretches that are one window each.

    Args:
      question: What is asked.
      likenesses: float32[q, n].
      borders: As for `_slots`.
    """
    begins, count = borders[:-1], np.diff(borders)
    nearest = np.maximum.reduceat(likenesses, begins, axis=1)  # [q, stretches]
    wanted = question.wanted_patches
    columns = np.arange(likenesses.shape[1])
    # The first vector of each stretch that is a patch's nearest.
    is_nearest = likenesses[:wanted] == np.repeat(nearest[:wanted], count, axis=1)
    answered = np.minimum.reduceat(np.where(is_nearest, columns, len(columns)), begins, axis=1)
    answered -= begins
    return list(
        zip(
            question.scores(nearest).tolist(),
            answered.min(axis=0).tolist(),
            answered.max(axis=0).tolist(),
            strict=True,
        )
    )


class _Windows(NamedTuple):
    """All windows of a stretch.

    Attributes:
      score: float32[windows].
      first: int[windows], the first slot that answers in each, and
      last: int[windows], the last.
    """

    score: np.ndarray
    first: np.ndarray
    last: np.ndarray


def _windows(
    question: Question,
    likenesses: np.ndarray,
    borders: np.ndarray,
    slots: np.ndarray,
    lengths: np.ndarray,
    width: int,
) -> Iterator[_Windows]:
    """The windows of each stretch that is longer than one.

    Args:
      question: What is asked.
      likenesses: float32[q, n].
      borders: As for `_slots`.
      slots: int64[n], and
      lengths: int64[stretches], as `_slots` gives them.
      width: Slots of a window.
    """
    long = lengths > width
    if not long.any():
        return
    columns = np.flatnonzero(np.repeat(long, np.diff(borders)))
    begins = np.cumsum([0, *lengths[long]])
    gridded = np.full((len(likenesses), begins[-1]), NEVER, np.float32)
    gridded[:, slots[columns] + np.repeat(begins[:-1], np.diff(borders)[long])] = likenesses[
        :, columns
    ]
    nearest, places = _window_maxima(gridded, width)  # [q, windows]
    wanted = places[: question.wanted_patches]
    windows = _Windows(question.scores(nearest), wanted.min(axis=0), wanted.max(axis=0))
    for begin, end in itertools.pairwise(begins.tolist()):
        score, first, last = (array[begin : end - width + 1] for array in windows)
        yield _Windows(score, first - begin, last - begin)


def _window_maxima(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """As `scanning.window_maxima`, and where each is: the first column that has it."""
    places = np.broadcast_to(np.arange(values.shape[1], dtype=np.int32), values.shape)
    have = 1
    while have < width:
        step = min(have, width - have)
        later = values[:, step:] > values[:, :-step]
        places = np.where(later, places[:, step:], places[:, :-step])
        values = np.maximum(values[:, :-step], values[:, step:])
        have += step
    return values, places


def _peaks(windows: _Windows, width: int, most: int) -> Iterator[tuple[float, int, int]]:
    """Score, first and last slot of the events of a stretch, best first.

    Args:
      windows: The stretch's.
      width: Slots of a window.
      most: Most events.
    """
    left = windows.score.copy()
    for _ in range(most):
        peak = int(left.argmax())
        score = float(left[peak])
        if score <= NEVER / 2:
            return
        low, high = peak, peak
        while low > 0 and left[low - 1] >= score - JOINED_WITHIN:
            low -= 1
        while high + 1 < len(left) and left[high + 1] >= score - JOINED_WITHIN:
            high += 1
        begin = int(windows.first[low : high + 1].min())
        end = int(windows.last[low : high + 1].max())
        yield score, begin, end
        # No window of another event may share a patch with this one.
        left[max(0, begin - width + 1) : end + 1] = NEVER
        left[low : high + 1] = NEVER


def _vectors_at(slots: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """The first and the last vector that lie on the grid from one slot to another."""
    return int(np.searchsorted(slots, begin)), int(np.searchsorted(slots, end, side="right")) - 1


def limited(
    events: Iterator[Event],
    top: int,
    per_recording: int | None,
    recording_of: Callable[[Event], int],
    counted: Mapping[int, int] | None = None,
) -> list[Event]:
    """The first events, not too many of one recording.

    Args:
      events: Best first.
      top: How many.
      per_recording: Most of one recording; 0: any number; None [D]: `USUAL_PER_RECORDING`, and more
        only if there would be less than `top` otherwise.
      recording_of: Gives the recording of an event.
      counted: How many of a recording are taken already.

    Returns:
      Up to `top`, best first.
    """
    most = USUAL_PER_RECORDING if per_recording is None else per_recording
    taken: list[Event] = []
    spare: list[Event] = []
    counts = dict(counted or {})
    for event in events:
        recording = recording_of(event)
        counts[recording] = counts.get(recording, 0) + 1
        if not most or counts[recording] <= most:
            taken.append(event)
            if len(taken) == top:
                return taken
        elif per_recording is None and len(spare) < top:
            spare.append(event)
    if spare:
        taken = sorted([*taken, *spare[: top - len(taken)]], key=lambda event: -event.score)
    return taken
