"""Copies of a query, found to the sample wherever they lie: in the sound files themselves.

The vectors nearest to a patch of the query say where a copy could be, to a few seconds. There the
file is read and its waveform compared with the query's. A file that is not there any more, or
cannot be read, has no copies: then the index's own answer stands.

No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np

from audio_triplet import audio
from audio_triplet.errors import AudioError
from audio_triplet.search.alignment import Pattern

# [D] Correlation of the waveforms from which a sound is a copy. Sounds that are only alike stay
# below 0.3, copies through lossy codecs above 0.9; see `experiments.hidden_clips`.
COPY_FROM = 0.6

# [D] How many places are looked at, and from what likeness of a patch on. Of a query with few
# patches, a click in silence, no patch may be cut as one of the index is: more places then.
PLACES, LOOKED_AT_FROM = 16, 0.6
PLACES_OF_FEW, LOOKED_AT_FROM_OF_FEW = 48, 0.3
FEW_PATCHES = 3

# Of a longer query only so much is compared.
MOST_SECONDS = 60.0

_PIECE_SECONDS = 1.0
_SLACK_SECONDS = 0.15
_PATCH_SECONDS = 1.0
# Within these a patch of the query may have been taken for another one of it.
_WIDE_SECONDS = 6.0
_CODEC_SECONDS = 0.1  # what a codec may add or take off at the ends of a file


class Place(NamedTuple):
    """Where a copy could lie.

    Attributes:
      path: The file.
      start_seconds: Where in it a patch begins.
      query_seconds: Where in the query the patch begins that it is like.
    """

    path: str
    start_seconds: float
    query_seconds: float


@dataclasses.dataclass(frozen=True)
class Copy:
    """A copy of the query.

    Attributes:
      place: Number of the place where it was found.
      start_seconds: Where it begins in its file.
      end_seconds: Where it ends.
      correlation: Of the waveforms; 1: the same but for its loudness.
    """

    place: int
    start_seconds: float
    end_seconds: float
    correlation: float


def places_for(patches: int) -> tuple[int, float]:
    """How many places to look at, and from what likeness on, for a query of so many patches."""
    if patches < FEW_PATCHES:
        return PLACES_OF_FEW, LOOKED_AT_FROM_OF_FEW
    return PLACES, LOOKED_AT_FROM


def find_copies(query: np.ndarray, places: Sequence[Place], rate: int, threads: int) -> list[Copy]:
    """Looks for copies of a query at some places.

    Args:
      query: float32[samples].
      places: Where to look: patches of sound that the query may share.
      rate: Samples per second of the query.
      threads: Files to read at once.

    Returns:
      Copies, best first; of several that overlap in one file the best.
    """
    query = query[: round(MOST_SECONDS * rate)]
    if len(query) < 2 or not places:
        return []
    looker = _Looker(query, rate)
    stretches = _stretches(places, len(query) / rate)

    def look(stretch: _Stretch) -> list[Copy]:
        try:
            return [
                Copy(_place_of(places, stretch, start), start, end, correlation)
                for start, end, correlation in looker.look(stretch)
            ]
        except (AudioError, OSError):
            return []

    with futures.ThreadPoolExecutor(max(1, min(threads, len(stretches)))) as pool:
        found = [copy for copies in pool.map(look, stretches) for copy in copies]
    found.sort(key=lambda copy: (-copy.correlation, copy.place))
    return _apart(found, places)


@dataclasses.dataclass(frozen=True)
class _Stretch:
    """Where in a file the query may begin, by all places that are near to each other.

    Attributes:
      path: The file.
      low: The first moment, seconds; may be negative.
      high: The last one.
      numbers: Of the places.
    """

    path: str
    low: float
    high: float
    numbers: tuple[int, ...]


def _stretches(places: Sequence[Place], seconds: float) -> list[_Stretch]:
    """What has to be read for a query of some seconds: no part of a file twice."""
    found: list[_Stretch] = []
    for number in sorted(range(len(places)), key=lambda number: places[number]):
        path, start, query = places[number]
        # So that the query overlaps the patch, and if that leaves too much open, so that the
        # patches that are alike are at the same moment.
        low = max(start - seconds, start - query - _WIDE_SECONDS)
        high = min(start + _PATCH_SECONDS, start - query + _WIDE_SECONDS)
        last = found[-1] if found else None
        if last and last.path == path and low <= last.high + _PIECE_SECONDS:
            numbers = (*last.numbers, number)
            found[-1] = _Stretch(path, min(low, last.low), max(high, last.high), numbers)
        else:
            found.append(_Stretch(path, low, high, (number,)))
    return sorted(found, key=lambda stretch: min(stretch.numbers))


def _place_of(places: Sequence[Place], stretch: _Stretch, start: float) -> int:
    """The place of a stretch that says best where a copy begins."""
    return min(
        stretch.numbers,
        key=lambda number: abs(places[number].start_seconds - places[number].query_seconds - start),
    )


class _Looker:
    """Looks for a query in files: first for a piece of it, which is quick, then for all of it."""

    def __init__(self, query: np.ndarray, rate: int):
        self._rate = rate
        self._seconds = len(query) / rate
        self._overhang = round(_CODEC_SECONDS * rate)
        self._whole = Pattern(query)
        loudest, count = _loudest(query, rate), round(_PIECE_SECONDS * rate)
        self._loudest = loudest / rate
        self._piece = Pattern(query[loudest : loudest + count])

    def look(self, stretch: _Stretch) -> Iterator[tuple[float, float, float]]:
        """Start, end and correlation of the copies that begin in a stretch.

        Raises:
          AudioError: The file cannot be read.
        """
        low = stretch.low + self._loudest - _SLACK_SECONDS
        high = stretch.high + self._loudest + _SLACK_SECONDS
        first, found = self._correlations(self._piece, stretch.path, low, high)
        for _ in stretch.numbers:
            best = int(found.argmax()) if len(found) else 0
            if not len(found) or found[best] < COPY_FROM:
                return
            start = first + best / self._rate - self._loudest
            correlation, around = float(found[best]), _SLACK_SECONDS
            if len(self._piece) < len(self._whole):
                start, correlation = self._confirmed(stretch.path, start)
            if correlation >= COPY_FROM:
                begin = max(0, round(start * self._rate)) / self._rate  # a sample's own moment
                yield begin, begin + self._seconds, correlation
                around = self._seconds
            width = round(around * self._rate)
            found[max(0, best - width) : best + width + 1] = 0

    def _confirmed(self, path: str, start: float) -> tuple[float, float]:
        """Where the whole query begins near a moment, and how well it fits there."""
        low, high = start - _SLACK_SECONDS, start + _SLACK_SECONDS
        first, found = self._correlations(self._whole, path, low, high)
        if not len(found):
            return start, 0.0
        best = int(found.argmax())
        return first + best / self._rate, float(found[best])

    def _correlations(
        self, sound: Pattern, path: str, low: float, high: float
    ) -> tuple[float, np.ndarray]:
        """How well a sound fits where it begins between two moments of a file.

        Returns:
          The first moment, seconds, and the correlation there and at each sample behind it.
        """
        rate = self._rate
        begin = max(0, round(low * rate))
        samples = round(high * rate) + len(sound) - begin
        if samples <= 0:
            return 0.0, np.zeros(0)
        read = audio.read_piece(path, begin / rate, samples / rate, rate)
        found = sound.correlations(read, self._overhang) if len(read) else np.zeros(0)
        return (begin - self._overhang) / rate, found


def _loudest(query: np.ndarray, rate: int) -> int:
    """The first sample of the second that carries most of a sound."""
    count = round(_PIECE_SECONDS * rate)
    if len(query) <= count:
        return 0
    squares = np.concatenate([[0.0], np.cumsum(np.diff(query, prepend=query[:1]) ** 2.0)])
    return int(np.argmax(squares[count:] - squares[:-count]))


def _apart(copies: Iterable[Copy], places: Sequence[Place]) -> list[Copy]:
    """Without those that overlap a better one of the same file."""
    taken: list[Copy] = []
    for copy in copies:
        path = places[copy.place].path
        if not any(
            places[other.place].path == path
            and copy.start_seconds < other.end_seconds
            and other.start_seconds < copy.end_seconds
            for other in taken
        ):
            taken.append(copy)
    return taken
