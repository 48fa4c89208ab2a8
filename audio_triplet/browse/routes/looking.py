"""The index, its files, their sound and pictures, words to search by."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
from starlette.responses import Response, StreamingResponse

from audio_triplet.browse import pictures, sounds
from audio_triplet.browse.fields import Fields
from audio_triplet.browse.security import MAX_UPLOAD_BYTES
from audio_triplet.browse.session import Session
from audio_triplet.errors import AudioError
from audio_triplet.search import words

# A browser may keep sounds and pictures for a while, for itself.
_KEEP = {"cache-control": "private, max-age=600"}


def index(session: Session, fields: Fields) -> dict:
    """What the index holds."""
    archive = session.archives.now()
    info = archive.index.info
    return {
        "folder": session.folder,
        "files": len(archive.paths),
        "segments": archive.index.segments,
        "vectors": len(archive.index),
        "hop_seconds": info.hop_seconds,
        "granularity": info.granularity,
        "model": info.model,
        "model_digest": info.model_digest,
        "has_clock": archive.has_clock,
        "version": archive.version,
        "labels_file": session.labels.path,
        "labels_version": session.labels.version,
        "who": session.who,
        "ready": session.model_is_ready,
        "max_upload_bytes": MAX_UPLOAD_BYTES,
    }


def files(session: Session, fields: Fields) -> dict:
    """Files whose path contains a text."""
    text = fields.text("text", "").casefold()
    offset, limit = fields.whole("offset", 0), fields.whole("limit", 100, 1, 10_000)
    archive = session.archives.now()
    found = [n for n, path in enumerate(archive.paths) if text in path.casefold()]
    shown = found[offset : offset + limit]
    known = archive.file_of >= 0
    count = np.bincount(archive.file_of[known], minlength=len(archive.paths))
    last = np.zeros(len(archive.paths))
    np.maximum.at(last, archive.file_of[known], archive.end[known])
    return {
        "files": [
            {
                "path": archive.paths[number],
                "vectors": int(count[number]),
                "seconds": round(float(last[number]), 3),
                "clock_time": archive.recorded_at(number),
            }
            for number in shown
        ],
        "total": len(found),
    }


def file(session: Session, fields: Fields) -> dict:
    """A file with its moments."""
    path = fields.text("path")
    info = session.headers.of(session.file(path))
    archive, known = session.archives.now(), session.answers().by_moment
    found = {
        "path": path,
        "seconds": round(info.duration_seconds, 3),
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "decoder": info.decoder,
        "sound_rate": sounds.played_rate(info.sample_rate),
        "clock_time": "",
        "moments": [],
    }
    if path in archive:
        found["clock_time"] = archive.recorded_at(archive.file(path))
        for number in archive.moments_of(path):
            moment = archive.moment(number)
            found["moments"].append(
                {
                    "start_seconds": round(moment.start_seconds, 3),
                    "end_seconds": round(moment.end_seconds, 3),
                    "answers": known.get(moment.key, {}),
                }
            )
    return found


def sound(session: Session, fields: Fields, range_header: str = "", head: bool = False) -> Response:
    """A part of a file as WAV, or a range of its bytes."""
    file = session.file(fields.text("path"))
    start = fields.number("start_seconds", 0.0)
    end = fields.number("end_seconds", None)
    gain = fields.number("gain_db", 0.0, 0.0, 40.0)
    played = sounds.part(file, session.headers.of(file), start, end, gain)
    headers = {
        **_KEEP,
        "accept-ranges": "bytes",
        "content-type": "audio/wav",
    }
    wanted = _range(range_header, played.size)
    if wanted is None:
        headers["content-range"] = f"bytes */{played.size}"
        return Response(status_code=416, headers=headers)
    begin, end_byte = wanted
    headers["content-length"] = str(end_byte - begin)
    status = 200
    if range_header and (begin, end_byte) != (0, played.size):
        status = 206
        headers["content-range"] = f"bytes {begin}-{end_byte - 1}/{played.size}"
    if head:
        return Response(status_code=status, headers=headers)
    blocks = played.read(begin, end_byte)
    first = next(blocks)  # here, so that a file that cannot be read is an error
    return StreamingResponse(itertools.chain([first], blocks), status, headers)


def picture(session: Session, fields: Fields) -> Response:
    """A log mel picture of a part of a file."""
    file = session.file(fields.text("path"))
    start = fields.number("start_seconds", 0.0)
    end = fields.number("end_seconds", None)
    width = fields.whole("width", None, pictures.MIN_WIDTH, pictures.MAX_WIDTH)
    if end is None:
        end = min(session.headers.of(file).duration_seconds, start + pictures.MAX_SECONDS)
    if end <= start:
        raise AudioError(
            fields.text("path"), f"has no part from {start:g} s to {end:g} s", "ask for another"
        )
    return Response(pictures.picture(file, start, end, width), 200, _KEEP, "image/png")


def words_like(session: Session, fields: Fields) -> dict:
    """Labels that contain a text: of answers, the index, the model; first those that begin so."""
    text, limit = fields.text("text", "").casefold(), fields.whole("limit", 20, 1, 1000)
    count: dict[tuple[str, str], int] = {}
    for answer in session.answers().all:
        if answer.value:
            count[answer.label, "labels"] = count.get((answer.label, "labels"), 0) + 1
    for word, number in session.archives.now().words.items():
        count[word, "index"] = number
    known = {words.plain(word) for word, _ in count}
    for word, number in session.known_words.items():
        if words.plain(word) not in known:
            count[word, "model"] = number
    found = [pair for pair in count if text in pair[0].casefold()]
    found.sort(key=lambda pair: (not pair[0].casefold().startswith(text), -count[pair], pair))
    return {
        "words": [
            {"word": word, "count": count[word, source], "from": source}
            for word, source in found[:limit]
        ]
    }


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes that are asked for, [begin, end); None: there are none such.

    All of them for a header that is missing, or asks for several ranges or for other units.
    """
    match: Any = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", header.strip())
    if not match or not (match[1] or match[2]):
        return 0, size
    if not match[1]:  # so many at the end
        count = min(int(match[2]), size)
        return (size - count, size) if count else None
    begin = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if begin >= size:
        return None
    return (begin, end) if end > begin else (0, size)
