"""Answers: storing, listing, taking back."""

from __future__ import annotations

from collections.abc import Sequence

from audio_triplet.browse.fields import Fields
from audio_triplet.browse.labels import Answer
from audio_triplet.browse.session import Session, checked_label
from audio_triplet.errors import BrowseError

_MOST_AT_ONCE = 10_000


def store(session: Session, fields: Fields) -> dict:
    """Stores one answer or several; they are on the disk when this returns."""
    several = fields.objects("labels", _MOST_AT_ONCE) if "labels" in fields else [fields]
    archive = session.archives.now()
    answers, requests = [], []
    for one in several:
        moment = one.moment()
        archive.file(moment.path)  # raises for what is not of the index
        answers.append(
            Answer(
                moment,
                checked_label(one.text("label")),
                one.answer("value"),
                one.text("who", "", 200) or fields.text("who", session.who, 200),
            )
        )
        requests.append(one.text("id", None, 200))
    if not answers:
        raise BrowseError("labels: is empty; send one at least")
    stored = session.labels.add(answers, session.who, requests)
    return _listed(session, "labels", stored) | {"stored": len(stored)}


def listed(session: Session, fields: Fields) -> dict:
    """The answers that count; with `since` those that have changed."""
    since, label = fields.whole("since", 0), fields.text("label", None)
    if not since:
        answers = session.answers()
        chosen = answers.all if label is None else answers.to(label)
        return {
            "labels": [answer.as_json() for answer in chosen],
            "labels_version": answers.version,
        }
    version = session.labels.version
    changed, removed = session.labels.since(since)
    found = [answer.as_json() for answer in changed]
    found += [answer.as_json() | {"removed": True} for answer in removed]
    if label is not None:
        found = [answer for answer in found if answer["label"] == label]
    return {"labels": found, "labels_version": version}


def undo(session: Session, fields: Fields) -> dict:
    """Takes back the last request of a person."""
    undone = session.labels.undo(fields.text("who", session.who, 200))
    return _listed(session, "undone", undone)


def redo(session: Session, fields: Fields) -> dict:
    """Gives it again."""
    redone = session.labels.redo(fields.text("who", session.who, 200))
    return _listed(session, "redone", redone)


def classes(session: Session, fields: Fields) -> dict:
    """How many answers each label has."""
    archive = session.archives.now()
    found: dict[str, dict] = {}
    recordings: dict[str, set] = {}
    for answer in session.answers().all:
        counts = found.setdefault(
            answer.label, {"label": answer.label, "yes": 0, "no": 0, "unsure": 0, "recordings": 0}
        )
        counts[{True: "yes", False: "no", None: "unsure"}[answer.value]] += 1
        if answer.moment.path in archive:
            recordings.setdefault(answer.label, set()).add(answer.moment.path)
    for label, paths in recordings.items():
        found[label]["recordings"] = len(paths)
    return {
        "classes": sorted(
            found.values(), key=lambda counts: -(counts["yes"] + counts["no"] + counts["unsure"])
        )
    }


def _listed(session: Session, name: str, answers: Sequence[Answer]) -> dict:
    return {
        name: [answer.as_json() for answer in answers],
        "labels_version": session.labels.version,
    }
