"""Events: where in an archive something like the question sounds, from its start to its end.

A window as long as the question is moved over a stretch of sound. Where it scores best is an event;
neighbouring windows that score nearly as well are joined to it, so that a long rain is one event.
Its span is what answered: from the first to the last patch that is the nearest to one of the
question's.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from audio_triplet.search.question import NEVER, Question
from audio_triplet.search.scanning import Stretches, Vectors, window_maxima

# [D] Windows that score less by no more than this are joined to the best one beside them.
JOINED_WITHIN = 0.1

# [D] A recording shows three of its events, unless others have too few to show.
USUAL_PER_RECORDING = 3


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
      Events; no more is computed than is asked for.
    """
    waiting: list[tuple[float, int, Event]] = []  # a heap: best first, then as the stretches are
    number = 0
    for group in stretches.best_first():
        for part, first, count, bound in zip(*(array.tolist() for array in group), strict=True):
            while waiting and waiting[0][0] < -bound:
                yield heapq.heappop(waiting)[2]
            last = first + count
            likenesses = question.likenesses(
                parts[part].vectors[first:last], scales[part][first:last]
            )
            mask = keep[part]
            if mask is not None:
                likenesses[:, ~mask[first:last]] = NEVER
            starts = parts[part].spans["start"][first:last]
            for score, begin, end in _of_stretch(
                question, likenesses, starts, hop_seconds, most_each
            ):
                event = Event(score, part, first + begin, first + end)
                heapq.heappush(waiting, (-score, number, event))
            number += 1
    while waiting:
        yield heapq.heappop(waiting)[2]


def _of_stretch(
    question: Question,
    likenesses: np.ndarray,
    starts: np.ndarray,
    hop_seconds: float,
    most: int,
) -> Iterator[tuple[float, int, int]]:
    """Score, first and last vector of the events of one stretch, best first.

    Args:
      question: What is asked.
      likenesses: float32[q, n].
      starts: float64[n], seconds, ascending.
      hop_seconds: From one vector to the next, where none is left out.
      most: Most events.
    """
    slots = np.rint((starts - starts[0]) / hop_seconds).astype(int)
    # Two vectors of one slot are of a segment that is not on a grid: then each has its own.
    if (np.diff(slots) < 1).any():
        slots = np.arange(len(starts))
    length = int(slots[-1]) + 1
    width = min(question.width(hop_seconds), length)
    if length == len(starts):
        gridded = likenesses
    else:
        gridded = np.full((len(likenesses), length), NEVER, np.float32)
        gridded[:, slots] = likenesses
    if width == length:  # one window: nearly all stretches of an archive of clips
        score = float(question.scores(gridded.max(axis=1, keepdims=True))[0])
        if score > NEVER / 2 and most:
            answered = gridded[: question.wanted_patches].argmax(axis=1)
            yield (score, *_vectors_at(slots, int(answered.min()), int(answered.max())))
        return
    scores = question.scores(window_maxima(gridded, width))  # [windows]
    left = scores.copy()
    wanted = gridded[: question.wanted_patches]
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
        views = np.lib.stride_tricks.sliding_window_view(
            wanted[:, low : high + width], width, axis=1
        )  # [q, windows, width]
        answered = views.argmax(axis=2) + np.arange(low, high + 1)
        begin, end = int(answered.min()), int(answered.max())
        yield (score, *_vectors_at(slots, begin, end))
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
