"""The map of the archive, and its time line."""

from __future__ import annotations

import datetime

import numpy as np
from starlette.responses import Response

from audio_triplet.browse import logistic
from audio_triplet.browse.archive import Archive
from audio_triplet.browse.fields import Fields
from audio_triplet.browse.session import Session
from audio_triplet.errors import BrowseError


def state(session: Session, fields: Fields, again: bool = False) -> dict:
    """Whether the map is there, and how its arrays lie."""
    archive = session.archives.now()
    state, found = session.map.state(session.folder, archive, again)
    answer = {"state": state, "points": 0, "of_vectors": len(archive.index), "files": []}
    answer |= {"arrays": {}, "version": archive.version, "is_current": False}
    if found is not None:
        answer |= {
            "points": len(found),
            "of_vectors": found.of_vectors,
            "files": found.paths,
            "arrays": found.layout(),
            "version": found.version,
            "is_current": found.version == archive.version,
        }
    return answer


def begin(session: Session, fields: Fields) -> dict:
    """Computes the map anew if the index has changed, or if it failed."""
    return state(session, fields, again=True)


def points(session: Session, fields: Fields) -> Response:
    """The arrays of the map."""
    _, found = session.map.state(session.folder, session.archives.now())
    if found is None:
        raise BrowseError("the map: is not ready yet; ask /api/map", 409)
    return Response(found.as_bytes(), media_type="application/octet-stream")


def timeline(session: Session, fields: Fields) -> dict:
    """Counts by day and part of the day: of moments, answers, and what a classifier finds."""
    minutes = fields.whole("minutes", 30, 1, 1440)
    threshold = fields.number("threshold", 0.5, 0.0, 1.0)
    label = fields.text("label", "")
    archive = session.archives.now()
    table = session.clock_table(archive)
    answer = {
        "minutes": minutes,
        "days": [datetime.date.fromordinal(int(day)).isoformat() for day in table.days()],
        "moments": table.counts(np.flatnonzero(archive.file_of >= 0), minutes),
        "yes": None,
        "no": None,
        "above": None,
    }
    if label:
        answers = session.answers().to(label)
        for name, value in (("yes", True), ("no", False)):
            moments = [one.moment for one in answers if one.value is value]
            answer[name] = table.counts(_first_moments(archive, moments), minutes)
        try:
            fitted = session.fit(label)
        except BrowseError:  # there is no yes yet
            return answer
        above = (logistic.probability(fitted.logits) >= threshold) & (archive.file_of >= 0)
        answer["above"] = table.counts(np.flatnonzero(above), minutes)
    return answer


def _first_moments(archive: Archive, moments: list) -> np.ndarray:
    """int64[n], the first moment of the index in each of those that it still holds."""
    found = []
    for moment in moments:
        try:
            found.append(int(archive.moments_in(moment)[0]))
        except BrowseError:
            continue
    return np.array(found, np.int64)
