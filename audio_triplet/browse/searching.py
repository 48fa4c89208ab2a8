"""A search: examples and counter-examples, by moments, uploads, labels and words, to hits."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from audio_triplet.browse.archive import Archive, Moment
from audio_triplet.browse.labels import MOST_OF_A_LABEL
from audio_triplet.browse.session import Session, as_json
from audio_triplet.browse.uploads import PREFIX
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.errors import BrowseError
from audio_triplet.search import words
from audio_triplet.search.asking import ask
from audio_triplet.search.query import QuerySound
from audio_triplet.search.question import Patches

# The part of an upload, or of a file without times, that is searched by.
MAX_SECONDS = 600.0

# A mark that begins this near to the grid of the stored vectors is cut as they were.
_NEAR_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a search asks for.

    Attributes:
      path: A file of the index, or an upload; empty: none.
      start_seconds: Where the part begins; None: with the file.
      end_seconds: Where it ends; None: with the file.
      like: Further examples.
      unlike: Counter-examples.
      label: Its yes are examples, its no counter-examples; empty: none.
      word: A label of the answers, else of the index, else of its model's table; empty: none.
      top: How many hits.
      per_recording: Most hits of one recording; 0: any number; None: three, and more where there
        would be too few.
      exclude_own: Whether recordings of examples are left out.
      only: What is searched at all.
    """

    path: str = ""
    start_seconds: float | None = None
    end_seconds: float | None = None
    like: Sequence[Moment] = ()
    unlike: Sequence[Moment] = ()
    label: str = ""
    word: str = ""
    top: int = 20
    per_recording: int | None = None
    exclude_own: bool = True
    only: SoundFilter | None = None


def search(session: Session, asked: Asked) -> dict:
    """Searches.

    Returns:
      The answer of the API.

    Raises:
      BrowseError: Nothing is asked for, or it is not in the index.
      AudioError: A sound cannot be used.
      SearchError: The examples cancel one another out.
    """
    begin = time.perf_counter()
    archive = session.archives.now()
    like, unlike = list(asked.like), list(asked.unlike)
    if asked.label:
        for answer in reversed(session.answers().to(asked.label)):
            examples = like if answer.value else unlike
            is_enough = len(examples) >= MOST_OF_A_LABEL
            if answer.value is not None and not is_enough and _is_held(archive, answer.moment):
                examples.append(answer.moment)
        if not like:
            raise BrowseError(
                f"{asked.label}: has no moment that is answered with yes; answer one first", 409
            )
    word = None
    if asked.word:
        answered = [
            answer.moment
            for answer in session.answers().all
            if answer.value and answer.label in words.matching(asked.word, [answer.label])
            if _is_held(archive, answer.moment)
        ]
        like += answered[-MOST_OF_A_LABEL:]
        if not answered:
            word = words.look_up(asked.word, archive.index, session.vector)
    wanted = [_sound(session, archive, moment).patches for moment in like]
    wanted += [Patches.of_vectors(vector) for vector in word.vectors] if word else []
    queries, waveform = like, None
    if asked.path:
        query, sound = _of_path(session, archive, asked)
        queries, wanted = [query, *like], [sound.patches, *wanted]
        waveform = sound.waveform if len(wanted) == 1 and len(sound.waveform) else None
    if not wanted:
        raise BrowseError("the request: asks for nothing; send path, like, label, word or a file")
    own: set[int] = set()
    if asked.exclude_own and not asked.word:
        paths = {moment.path for moment in queries if not moment.path.startswith(PREFIX)}
        for path in paths:
            own |= archive.index.recordings_of(path)
    found = ask(
        archive.index,
        wanted,
        [_sound(session, archive, moment).patches for moment in unlike],
        top=asked.top,
        waveform=waveform,
        without=own,
        per_recording=asked.per_recording,
        only=asked.only,
    )
    hits = [
        {
            "score": round(hit.score, 6),
            **as_json(Moment(hit.path, hit.start_seconds, hit.end_seconds)),
            "recording_id": hit.recording_id,
            "labels": list(hit.labels),
            "clock_time": hit.clock_time,
        }
        for hit in found
    ]
    return {
        "hits": session.with_answers(hits),
        "queries": [as_json(moment) for moment in queries],
        "unlike": [as_json(moment) for moment in unlike],
        "word": {"sounds": word.sounds, "source": word.source} if word else None,
        "vectors": len(archive.index),
        "exact": archive.index.info.faiss is None or bool(asked.only),
        "seconds": round(time.perf_counter() - begin, 4),
    }


def _of_path(session: Session, archive: Archive, asked: Asked) -> tuple[Moment, QuerySound]:
    """The part of a file that is searched by."""
    file = session.file(asked.path)
    start, end = asked.start_seconds or 0.0, asked.end_seconds
    if end is not None and end <= start:
        raise BrowseError(f"end_seconds: {end:g} is not after {start:g}; send a later one")
    if not asked.path.startswith(PREFIX):
        if asked.start_seconds is None and end is None:
            numbers = archive.moments_of(asked.path)
            if len(numbers):
                first, last = archive.start[numbers].min(), archive.end[numbers].max()
                return Moment(asked.path, float(first), float(last)), _held(archive, numbers, 0.0)
        elif end is not None:
            moment = Moment(asked.path, start, end)
            return moment, _sound(session, archive, moment)
    seconds = session.headers.of(file).duration_seconds
    end = min(seconds, start + MAX_SECONDS, seconds if end is None else end)
    return Moment(asked.path, start, end), session.embed(file, start, end)


def _sound(session: Session, archive: Archive, moment: Moment) -> QuerySound:
    """A moment to search by: of the index if it has its patches, else embedded by the model.

    Patches follow each other from the start of the part; a rest shorter than one has none.
    """
    file = session.file(moment.path)
    if moment.path.startswith(PREFIX):
        return session.embed(file, moment.start_seconds, moment.end_seconds)
    try:
        numbers = archive.moments_in(moment)
    except BrowseError:
        numbers = np.zeros(0, np.int64)
    if len(numbers):
        hop = archive.index.info.hop_seconds
        off = (archive.start[numbers[0]] - moment.start_seconds + hop / 2) % hop - hop / 2
        shorter = archive.end[numbers[0]] - moment.end_seconds
        if abs(off) <= _NEAR_SECONDS and shorter <= _NEAR_SECONDS:
            return _held(archive, numbers, moment.start_seconds)
    end = min(moment.end_seconds, moment.start_seconds + MAX_SECONDS)
    return session.embed(file, moment.start_seconds, end)


def _held(archive: Archive, numbers: np.ndarray, begin_seconds: float) -> QuerySound:
    """Moments of the index as a query."""
    patches = Patches(
        archive.vectors(numbers), archive.start[numbers], begin_seconds, archive.energy[numbers]
    )
    return QuerySound(patches, np.zeros(0, np.float32))


def _is_held(archive: Archive, moment: Moment) -> bool:
    """Whether the index still holds an answered moment."""
    try:
        return len(archive.moments_in(moment)) > 0
    except BrowseError:
        return False
