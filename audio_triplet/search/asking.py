"""A search of an index by patches: copies first, then events, best first.

    found = ask(index, [Patches(vectors, starts)], top=10)

`scanning` passes over all vectors, or FAISS names some; `events` finds where something like the
question sounds; `diffusion` lets the best of them speak for each other; `copies` looks into the
sound files for the query itself.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.config import FRONT_END
from audio_triplet.errors import SearchError
from audio_triplet.search import copies, diffusion
from audio_triplet.search.events import Event, best_events, limited
from audio_triplet.search.index import Hit, Index
from audio_triplet.search.index_format import with_energy
from audio_triplet.search.question import NEVER, Patches, Question
from audio_triplet.search.scanning import Nearest, Stretches, best_of_runs, scan

if TYPE_CHECKING:
    from audio_triplet.data.sound_filter import SoundFilter
    from audio_triplet.search.tables import Segment

_FAISS_WANTED = 256  # vectors for each patch of the question


def ask(
    index: Index,
    wanted: Sequence[Patches],
    unwanted: Sequence[Patches] = (),
    *,
    top: int = 10,
    waveform: np.ndarray | None = None,
    without: Iterable[int] = (),
    per_recording: int | None = None,
    exact: bool = False,
    only: SoundFilter | None = None,
    fold_duplicates: bool = False,
    diffuse: bool = True,
) -> list[Hit]:
    """Searches an index.

    Args:
      index: The index.
      wanted: Sounds to find, at least one.
      unwanted: Counter-examples.
      top: How many hits.
      waveform: float32[samples] of the only wanted sound, from its beginning, at 16 kHz: copies of
        it are looked for in the sound files.
      without: Numbers of recordings to leave out.
      per_recording: Most hits of one recording; 0: any number; None: see `events.limited`.
      exact: Search exactly even where there is a FAISS index.
      only: What is searched at all; exactly.
      fold_duplicates: Whether to show one of each group of recordings that are the same, and name
        the others.
      diffuse: Whether the best answers speak for each other, see `diffusion`; else scores are
        likenesses to the query alone.

    Returns:
      Up to `top` hits, best first; equal ones in the order they were added.

    Raises:
      SearchError: The question does not fit the index, or `top` is below 1.
    """
    if top < 1:
        raise SearchError(f"top must be at least 1, not {top}")
    likeness, scales = index.likeness
    hop = index.info.hop_seconds
    question = Question.of(likeness, wanted, unwanted, hop)
    keep = index.kept(only, without)
    width = question.width(hop)
    near, near_from = copies.places_for(question.wanted_patches)
    near = near if waveform is not None else 0
    if index.info.faiss and not exact and not only:
        stretches, nearest = _by_faiss(index, question, scales, keep, width, near)
    else:
        numbers = range(len(index.parts))
        stretches, nearest = scan(
            question, index.parts, scales, keep, numbers, width, near, index.threads
        )
    answer = _Answer(index, index.tables.copies() if fold_duplicates else {})
    if waveform is not None:
        is_near = nearest.likeness >= near_from
        nearest = Nearest(*(array[is_near] for array in nearest))
        answer.add_copies(question, wanted[0], scales, nearest, waveform)
    most_each = min(per_recording or top, top)
    found = best_events(question, index.parts, scales, keep, stretches, hop, most_each)
    found = answer.without_copies(found)
    if diffuse:
        found = answer.diffused(question, found)
    events = limited(found, top, per_recording, answer.recording_of, answer.counts)
    best = max((event.score for event in events), default=0.0)
    hits = [dataclasses.replace(copy, score=max(copy.score, best)) for copy in answer.copies]
    hits += [answer.hit(event) for event in events]
    hits.sort(key=lambda hit: -hit.score)
    return hits[:top]


class _Answer:
    """The names of what was found, and the copies among it."""

    def __init__(self, index: Index, groups: Mapping[int, Sequence[int]]):
        self._index = index
        self._groups = groups  # segments that are the same: the id of each → all of them
        self._shown: dict[int, int] = {}  # the first of a group → the one that is shown
        self._segments: dict[int, Segment] = {}
        self.copies: list[Hit] = []
        self._spans: list[tuple[int, float, float]] = []  # of the copies: segment, start, end
        self.counts: dict[int, int] = {}  # of copies, by recording

    def _know(self, events: Sequence[Event]) -> None:
        """Looks up the segments of many events at once."""
        owners = {int(self._index.parts[event.part].owners[event.first]) for event in events}
        self._segments.update(self._index.tables.segments(owners - self._segments.keys()))

    def _segment(self, part: int, vector: int) -> Segment:
        owner = int(self._index.parts[part].owners[vector])
        if owner not in self._segments:
            self._segments.update(self._index.tables.segments([owner]))
        return self._segments[owner]

    def recording_of(self, event: Event) -> int:
        return self._segment(event.part, event.first).recording

    def diffused(self, question: Question, events: Iterator[Event]) -> Iterator[Event]:
        """The events by what the best of them say of each other, best first."""
        best = list(itertools.islice(events, diffusion.SHORTLIST))
        self._know(best)
        if best:
            parts = self._index.parts
            found_in = {event.part for event in best}
            # Quicker than memory maps.
            arrays = {n: np.asarray(parts[n].vectors) for n in found_in}
            spans = {n: np.asarray(parts[n].spans) for n in found_in}
            vectors = [arrays[e.part][e.first : e.last + 1] for e in best]
            energies = [with_energy(spans[e.part][e.first : e.last + 1])["energy"] for e in best]
            unlike: np.ndarray | float = 0.0
            if question.wanted_patches < len(question.weights):
                # The other way round than a query: an event that lies in a counter-example is it.
                likeness = question.likenesses(np.concatenate(vectors), self._scales(best))
                nearest = likeness[question.wanted_patches :].max(axis=0)
                counts = [len(each) for each in vectors]
                unlike = np.add.reduceat(nearest, _firsts(counts)) / counts
            compared = [diffusion.thinned(each, diffusion.MOST_VECTORS) for each in vectors]
            mapped = self._index.likeness[0].mapped(np.concatenate(compared))
            scores = diffusion.scores(
                np.array([event.score for event in best]),
                np.split(mapped, _firsts([len(each) for each in compared])[1:]),
                np.array([self.recording_of(event) for event in best]),
                unlike,
                self._index.threads,
                energies,
            )
            for number in np.argsort(-scores, kind="stable"):
                yield best[number]._replace(score=float(scores[number]))
        for event in events:
            yield event._replace(score=diffusion.rest_score(event.score))

    def _scales(self, events: Sequence[Event]) -> np.ndarray:
        """float32[vectors], of all events' vectors, one after the other."""
        scales = self._index.likeness[1]
        return np.concatenate([scales[e.part][e.first : e.last + 1] for e in events])

    def _is_shown(self, segment: int) -> bool:
        """Whether a segment may be shown: of a group the first that asks, which is the best."""
        group = self._groups.get(segment)
        return not group or self._shown.setdefault(group[0], segment) == segment

    def hit(self, event: Event) -> Hit:
        spans = self._index.parts[event.part].spans
        start, end = float(spans["start"][event.first]), float(spans["end"][event.last])
        segment = self._segment(event.part, event.first)
        return self._hit(segment, event.score, start, end)

    def _hit(self, segment: Segment, score: float, start: float, end: float) -> Hit:
        same = self._groups.get(segment.id, ())
        return self._index.hit(segment, score, start, end, same)

    def add_copies(
        self,
        question: Question,
        query: Patches,
        scales: Sequence[np.ndarray],
        nearest: Nearest,
        waveform: np.ndarray,
    ) -> None:
        """Looks for copies where a vector is near to a patch of the query."""
        places = []
        query = query.thinned()
        for part, vector in zip(nearest.part.tolist(), nearest.vector.tolist(), strict=True):
            one = slice(vector, vector + 1)
            parts = self._index.parts[part]
            likenesses = question.likenesses(parts.vectors[one], scales[part][one], True)
            patch = int(likenesses[:, 0].argmax())
            places.append(
                copies.Place(
                    self._segment(part, vector).path,
                    float(parts.spans["start"][vector]),
                    float(query.start_seconds[patch] - query.begin_seconds),
                )
            )
        rate, threads = FRONT_END.sample_rate, self._index.threads
        found = copies.find_copies(waveform, places, rate, threads)
        for copy in found:
            part, vector = int(nearest.part[copy.place]), int(nearest.vector[copy.place])
            segment = self._segment(part, vector)
            if not self._is_shown(segment.id):
                continue
            self.copies.append(
                self._hit(segment, copy.correlation, copy.start_seconds, copy.end_seconds)
            )
            self.counts[segment.recording] = self.counts.get(segment.recording, 0) + 1
            self._spans.append((segment.id, copy.start_seconds, copy.end_seconds))

    def without_copies(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events that are no copies; what lies beside one in time is another event."""
        for event in events:
            part = self._index.parts[event.part]
            owner = int(part.owners[event.first])
            if not self._is_shown(owner):
                continue
            copied = [span[1:] for span in self._spans if span[0] == owner]
            if copied:
                start, end = part.spans["start"][event.first], part.spans["end"][event.last]
                if any(start < copy_end and copy_start < end for copy_start, copy_end in copied):
                    continue
            yield event


def _firsts(counts: Sequence[int]) -> np.ndarray:
    """Where each begins of so many, one after the other: int64[n]."""
    return np.cumsum([0, *counts[:-1]])


def _by_faiss(
    index: Index,
    question: Question,
    scales: Sequence[np.ndarray],
    keep: Sequence[np.ndarray | None],
    width: int,
    near: int,
) -> tuple[Stretches, Nearest]:
    """Stretches around the vectors that FAISS finds near to a patch; others are scanned."""
    searcher = index.faiss()
    rest, rest_near = scan(
        question, index.parts, scales, keep, searcher.uncovered, width, near, index.threads
    )
    stretches, nearest = [rest], [rest_near]
    weights = question.weights[: question.wanted_patches]
    for number, vectors in searcher.near(weights, _FAISS_WANTED):
        part, mask = index.parts[number], keep[number]
        if mask is not None:
            vectors = vectors[mask[vectors]]
        if not len(vectors):
            continue
        found = question.likenesses(part.vectors[vectors], scales[number][vectors], True)
        one = Nearest.of(number, 0, found.max(axis=0), near)
        nearest.append(Nearest(one.part, vectors[one.vector], one.likeness))
        stretches.append(_around(index, question, number, scales, mask, vectors, width))
    return Stretches.joined(stretches), Nearest.joined(nearest).best(near)


def _around(
    index: Index,
    question: Question,
    number: int,
    scales: Sequence[np.ndarray],
    mask: np.ndarray | None,
    vectors: np.ndarray,
    width: int,
) -> Stretches:
    """The stretches of segments that are within a window of some vectors, with their bounds.

    Args:
      index: The index.
      question: What is asked.
      number: Of the part.
      scales: Of all parts.
      mask: bool[n], which vectors of the part may be found; None: all.
      vectors: int64[m], ascending.
      width: Of a window.
    """
    part = index.parts[number]
    owners = part.owners
    steps = np.arange(1 - width, width)
    places = np.clip(vectors[:, None] + steps, 0, len(owners) - 1)  # [m, 2 width - 1]
    places = np.unique(places[owners[places] == owners[vectors][:, None]])
    breaks = (np.diff(places) > 1) | (np.diff(owners[places]) != 0)
    borders = np.flatnonzero(np.r_[True, breaks, True])
    found = question.likenesses(part.vectors[places], scales[number][places], True)
    if mask is not None:
        found[:, ~mask[places]] = NEVER
    bound = best_of_runs(question, found, borders, width)
    first = places[borders[:-1]]
    return Stretches(np.full(len(first), number), first, np.diff(borders), bound)
