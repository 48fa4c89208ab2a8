"""Classifiers of labels, and what to listen to next."""

from __future__ import annotations

import dataclasses

import numpy as np
from starlette.responses import Response

from audio_triplet.browse import choosing, learning, logistic
from audio_triplet.browse.fields import Fields
from audio_triplet.browse.learner import Fit
from audio_triplet.browse.session import Session
from audio_triplet.errors import BrowseError


def fit(session: Session, fields: Fields) -> dict:
    """A label's classifier, and its score on held-out recordings."""
    label = fields.text("label")
    if fields.flag("if_any", False) and not any(one.value for one in session.answers().to(label)):
        return {"label": label, "yes": 0, "held_out": None}
    return _as_json(session.fit(label))


def following(session: Session, fields: Fields) -> dict:
    """What to listen to next."""
    order = fields.choice("order", choosing.ORDERS, choosing.ORDERS[0])
    count = fields.whole("count", 20, 1, 1000)
    fitted = session.fit(fields.text("label"))
    archive = fitted.archive
    free = archive.file_of >= 0
    free[fitted.answered] = False
    seed = fields.whole("seed", fitted.labels_version)
    numbers = choosing.choose(fitted.logits, archive.recording_of, free, order, count, seed)
    scores = logistic.probability(fitted.logits[numbers])
    return {
        "hits": session.hits(archive, numbers, scores),
        "label": fitted.label,
        "order": order,
        "fit": _as_json(fitted),
    }


def curve(session: Session, fields: Fields) -> dict:
    """The score on held-out recordings as it was after so many answers; no points without a yes.

    A page asks for it after `fit`; the only yes may have been taken back in between.
    """
    label = fields.text("label")
    if not any(answer.value for answer in session.answers().to(label)):
        return {"points": []}
    fitted = session.fit(label)
    points = learning.learning_curve(fitted.examples, fitted.background)
    return {
        "points": [
            {
                "answers": count,
                "average_precision": score.average_precision,
                "interval": list(score.interval),
            }
            for count, score in points
        ]
    }


def scores(session: Session, fields: Fields) -> Response:
    """The probability of each point of the map."""
    fitted = session.fit(fields.text("label"))
    _, found = session.map.state(session.folder, fitted.archive)
    if found is None:
        raise BrowseError("the map: is not ready yet; ask /api/map", 409)
    numbers = found.numbers(fitted.archive)
    values = logistic.probability(fitted.logits[numbers]) if len(fitted.logits) else numbers
    values = np.where(numbers >= 0, values, np.nan)
    return Response(values.astype("<f4").tobytes(), media_type="application/octet-stream")


def _as_json(fitted: Fit) -> dict:
    score = fitted.held_out
    yes = int(fitted.examples.yes.sum())
    return {
        "label": fitted.label,
        "yes": yes,
        "no": len(fitted.examples) - yes,
        "recordings": len(set(fitted.examples.recordings.tolist())),
        "seconds": round(fitted.seconds, 4),
        "held_out": None if score is None else dataclasses.asdict(score),
        "labels_version": fitted.labels_version,
    }
