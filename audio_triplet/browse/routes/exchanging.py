"""Export and import."""

from __future__ import annotations

from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

from audio_triplet.browse import exporting, importing
from audio_triplet.browse.fields import Fields
from audio_triplet.browse.session import Session
from audio_triplet.errors import BrowseError

FORMS = ("classifier", "predictions", "manifest", "answers", "raven", "audacity")
_MAX_TABLE_BYTES = 50 << 20


def export(session: Session, fields: Fields) -> Response:
    """A file to take away."""
    form = fields.choice("form", FORMS)
    answers, archive = session.answers(), session.archives.now()
    if not answers.all:
        raise BrowseError("the labels: are none yet; answer something first", 409)
    if form == "answers":
        return _download("answers.csv", exporting.answers_csv(answers.all))
    if form == "manifest":
        return _download("labels.csv", exporting.manifest_csv(answers.all, archive))
    if form == "classifier":
        return _download("classifier.zip", exporting.classifier_zip(archive, answers.all))
    if form == "predictions":
        labels = sorted({answer.label for answer in answers.all if answer.value})
        if not labels:
            raise BrowseError("predictions: need a yes; answer one first", 409)
        fits = [session.fit(label) for label in labels]
        rows = exporting.predictions_csv(fits[0].archive, fits)
        return StreamingResponse(rows, 200, _headers("predictions.csv"), "text/csv")
    return _download(f"labels-{form}.zip", exporting.tables_zip(form, answers.all))


def import_(
    session: Session, fields: Fields, sent: BinaryIO | None = None, name: str | None = None
) -> dict:
    """Stores the labels of a table that was sent; those that are known already are not stored."""
    if sent is None:
        raise BrowseError("file: is missing; send a table as the field file of a form")
    content = sent.read(_MAX_TABLE_BYTES + 1)
    if len(content) > _MAX_TABLE_BYTES:
        raise BrowseError(f"file: is larger than {_MAX_TABLE_BYTES >> 20} MB; divide it", 413)
    archive = session.archives.now()
    path = fields.text("path", "")
    if path:
        archive.file(path)
    found = importing.read(archive, content, name or "table.csv", path, fields.flag("value", True))
    known = {(answer.moment.key, answer.label, answer.value) for answer in session.answers().all}
    new = [
        answer
        for answer in found.answers
        if (answer.moment.key, answer.label, answer.value) not in known
    ]
    if new:
        session.labels.add(new, session.who)
    return {
        "stored": len(new),
        "known": len(found.answers) - len(new),
        "unmatched": found.unmatched[:1000],
        "unmatched_rows": found.unmatched_rows,
        "labels_version": session.labels.version,
    }


def _download(name: str, content: bytes) -> Response:
    kind = "application/zip" if name.endswith(".zip") else "text/csv"
    return Response(content, 200, _headers(name), kind)


def _headers(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
