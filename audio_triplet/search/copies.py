"""Copies of a query, found to the sample wherever they lie: in the sound files themselves.

The vectors nearest to a patch of the query say where a copy could be, to a few seconds. There the
file is read and its waveform compared with the query's. A file that is not there any more, or
cannot be read, has no copies: then the index's own answer stands.

No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np

from audio_triplet import audio
from audio_triplet.errors import AudioError
from audio_triplet.search.alignment import Alignment, align

# [D] Correlation of the waveforms from which a sound is a copy. Sounds that are only alike stay
# below 0.3, copies through lossy codecs above 0.9; see `experiments.hidden_clips`.
COPY_FROM = 0.6

# [D] How many places are looked at, and from what likeness of a patch on. Of a query with few
# patches, a click in silence, no patch may be cut as one of the index is: more places then.
PLACES, LOOKED_AT_FROM = 16, 0.6
PLACES_OF_FEW, LOOKED_AT_FROM_OF_FEW = 48, 0.3
FEW_PATCHES = 4

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
    loudest = _loudest(query, rate)

    def look(number: int) -> Copy | None:
        try:
            return _look(query, loudest, places[number], number, rate)
        except (AudioError, OSError):
            return None

    with futures.ThreadPoolExecutor(max(1, min(threads, len(places)))) as pool:
        found = [copy for copy in pool.map(look, range(len(places))) if copy is not None]
    found.sort(key=lambda copy: (-copy.correlation, copy.place))
    return _apart(found, places)


def _loudest(query: np.ndarray, rate: int) -> int:
    """The first sample of the second that carries most of a sound."""
    count = round(_PIECE_SECONDS * rate)
    if len(query) <= count:
        return 0
    squares = np.concatenate([[0.0], np.cumsum(np.diff(query, prepend=query[:1]) ** 2.0)])
    return int(np.argmax(squares[count:] - squares[:-count]))


def _look(query: np.ndarray, loudest: int, place: Place, number: int, rate: int) -> Copy | None:
    """First a piece of the query is compared, which is quick, then all of it."""
    piece = query[loudest : loudest + round(_PIECE_SECONDS * rate)]
    seconds = len(query) / rate
    # Where the query would begin: so that it overlaps the patch, and if that leaves too much open,
    # so that the patches that are alike are at the same moment.
    low, high = place.start_seconds - seconds, place.start_seconds + _PATCH_SECONDS
    likely = place.start_seconds - place.query_seconds
    low, high = max(low, likely - _WIDE_SECONDS), min(high, likely + _WIDE_SECONDS)
    slack = (high - low) / 2 + _SLACK_SECONDS
    found = _within(piece, place.path, (low + high) / 2 + loudest / rate, slack, rate)
    if found is None or found[1].correlation < COPY_FROM:
        return None
    moment = found[0] - loudest / rate
    if len(piece) < len(query):
        found = _within(query, place.path, moment, _SLACK_SECONDS, rate)
        if found is None or found[1].correlation < COPY_FROM:
            return None
        moment = found[0]
    start = max(0.0, moment)
    return Copy(number, start, max(start, moment + seconds), found[1].correlation)


def _within(
    sound: np.ndarray, path: str, moment: float, slack: float, rate: int
) -> tuple[float, Alignment] | None:
    """The moment at which a sound fits best near a moment of a file, seconds."""
    first = max(0.0, moment - slack)
    seconds = moment + len(sound) / rate + slack - first
    if seconds <= 0:
        return None
    first = round(first * rate) / rate
    read = audio.read_piece(path, first, seconds, rate)
    if not len(read):
        return None
    aligned = align(sound, read, round(_CODEC_SECONDS * rate))
    return first + aligned.offset / rate, aligned


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
