"""`POST /api/search`."""

from __future__ import annotations

import os
from typing import BinaryIO

from audio_triplet.browse import searching
from audio_triplet.browse.fields import Fields
from audio_triplet.browse.session import Session
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.errors import AudioError, BrowseError


def search(
    session: Session, fields: Fields, sent: BinaryIO | None = None, name: str | None = None
) -> dict:
    """Searches by what the fields name, or by a sound that was sent.

    Args:
      session: The session.
      fields: As `docs/browse_api.md` lists them.
      sent: A sound.
      name: Its file name, for messages.
    """
    path = fields.text("path", "")
    if sent is not None:
        if path:
            raise BrowseError("path: does not go with a file; send one of them")
        path = session.uploads.add(sent)
    asked = searching.Asked(
        path,
        fields.number("start_seconds", None),
        fields.number("end_seconds", None),
        fields.moments("like"),
        fields.moments("unlike"),
        fields.text("label", ""),
        fields.text("word", ""),
        fields.whole("top", 20, 1, 1000),
        fields.whole("per_recording", None, 0, 1000),
        fields.flag("exclude_own", True),
        SoundFilter.of(
            fields.text("after", None),
            fields.text("before", None),
            fields.texts("hours"),
            fields.texts("paths"),
        ),
    )
    try:
        found = searching.search(session, asked)
    except AudioError as error:
        if error.path.startswith(session.uploads.folder + os.sep):
            shown = ascii(name)[1:-1] if name else "the file"
            raise BrowseError(f"{shown}: {error.reason}; {error.fix}", 415) from error
        raise
    if sent is not None:
        found["upload"] = path
    return found
