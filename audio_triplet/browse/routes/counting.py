"""How many moments are of a class, and how good its classifier is."""

from __future__ import annotations

import dataclasses

import numpy as np

from audio_triplet.browse import learning, logistic
from audio_triplet.browse.archive import Moment
from audio_triplet.browse.counting import Count, Drawn
from audio_triplet.browse.fields import Fields
from audio_triplet.browse.session import Session, as_json, checked_label
from audio_triplet.classify.estimate import Estimate
from audio_triplet.errors import BrowseError

_MOST_MORE = 500


def count(session: Session, fields: Fields) -> dict:
    """A count as it stands; `begun` is empty before it has begun."""
    label = fields.text("label")
    found = session.counts.of(label)
    return {"label": label, "begun": ""} if found is None else _as_json(session, found)


def ask_more(session: Session, fields: Fields) -> dict:
    """Begins a count, or asks for more moments."""
    label = checked_label(fields.text("label"))
    more = fields.whole("more", 16, 0, _MOST_MORE)
    found = session.counts.of(label)
    if found is None or fields.flag("again", False):
        fitted = session.fit(label)
        scores = logistic.probability(fitted.logits)
        seed = fields.whole("seed", 0)
        found = Count.begin(label, fitted.archive, scores, seed)
    sample = found.sample(session.answers().by_moment)
    found = found.ask_more(sample, more)
    session.counts.keep(found)
    return _as_json(session, found)


def quality(session: Session, fields: Fields) -> dict:
    """What the classifier's scores are worth, by the answers, and by the count's sample."""
    from audio_triplet.classify import calibration

    precision = fields.number("precision", 0.9, 0.5, 1.0)
    fitted = session.fit(fields.text("label"))
    examples, scored = fitted.examples, fitted.scored
    found_meaning = learning.meaning(examples, scored, precision)
    if scored is None or found_meaning is None:
        raise BrowseError(
            f"{fitted.label}: has no yes and no in two recordings each; answer more", 409
        )
    probability = logistic.probability(scored.moments)
    yes, fold = examples.yes[examples.owner], scored.fold[examples.owner]
    chosen, calibrator = found_meaning.thresholds[0], found_meaning.calibrators[0]
    calibrated = None
    if chosen.score is not None and calibrator is not None:
        calibrated = float(calibrator(np.array(chosen.score)))
    after = calibration.held_out(probability[:, None], yes[:, None], fold)[:, 0]
    bins = calibration.reliability(probability, yes, bins=10)
    bins_after = calibration.reliability(after, yes, bins=10)
    free = logistic.probability(fitted.logits)[fitted.archive.file_of >= 0]
    answer = {
        "label": fitted.label,
        "precision": precision,
        "threshold": dataclasses.asdict(chosen) | {"probability": calibrated},
        "moments_above": None if chosen.score is None else int((free >= chosen.score).sum()),
        "reliability": [dataclasses.asdict(one) for one in bins],
        "reliability_learned": [dataclasses.asdict(one) for one in bins_after],
        "calibration_error": _number(calibration.calibration_error(bins)),
        "calibration_error_learned": _number(calibration.calibration_error(bins_after)),
        "curve": precision_recall(probability, yes, np.ones(len(yes))),
        "sample": None,
    }
    found = session.counts.of(fitted.label)
    if found is not None:
        answer["sample"] = _of_sample(session, found, chosen.score)
    return answer


def precision_recall(
    scores: np.ndarray, yes: np.ndarray, weights: np.ndarray
) -> list[tuple[float, float, float]]:
    """(recall, precision, score) at each score, the highest first; those that are equal together.

    Args:
      scores: float[n]; NaN are left out.
      yes: bool[n].
      weights: float[n], how much each counts.
    """
    known = ~np.isnan(scores)
    order = np.argsort(-scores[known], kind="stable")
    ordered, weight = scores[known][order], weights[known][order]
    right, all_ = np.cumsum(weight * yes[known][order]), np.cumsum(weight)
    if not len(ordered) or right[-1] <= 0:
        return []
    last = np.append(ordered[1:] != ordered[:-1], True)
    points = np.column_stack([right / right[-1], right / all_, ordered])[last]
    return [tuple(point) for point in points.tolist()]


def _of_sample(session: Session, found: Count, threshold: float | None) -> dict:
    """Precision and recall by the sample, which was not chosen but drawn: each answer counts as
    often as its stratum has moments for it.
    """
    sample = found.sample(session.answers().by_moment)
    answered, _ = found.counts(sample)
    told = [one for one in sample if one.value is not None]
    scores = np.array([one.score for one in told])
    yes = np.array([bool(one.value) for one in told], bool)
    weights = np.array([found.sizes[one.stratum] / answered[one.stratum] for one in told])
    above = None if threshold is None else found.precision_at(sample, threshold)
    return {
        "answered": len(told),
        "curve": precision_recall(scores, yes, weights),
        "at_threshold": None if above is None else _estimate(above),
    }


def _as_json(session: Session, found: Count) -> dict:
    answers = session.answers()
    sample = found.sample(answers.by_moment)
    when = {one.moment.key: one.when for one in answers.to(found.label)}
    estimated = found.estimate(sample)
    return {
        "label": found.label,
        "begun": found.begun,
        "is_current": found.index_version == session.archives.now().version,
        "asked": len(sample),
        "ask": _shown(session, [one for one in sample if not one.is_answered]),
        **_estimate(estimated),
        "strata": [
            {
                "moments": one.moments,
                "answered": one.answered,
                "yes": one.yes,
                "interval": [one.interval.low, one.interval.high],
                "scores": [float(values[0]), float(values[-1])],
            }
            for one, values in zip(estimated.strata, found.scores, strict=True)
        ],
        "course": [
            {"answers": step, "share": one.share, "interval": [one.interval.low, one.interval.high]}
            for step, one in found.course(sample, when)
        ],
    }


def _estimate(found: Estimate) -> dict:
    return {
        "share": found.share,
        "interval": [found.interval.low, found.interval.high],
        "level": found.level,
        "moments": found.moments,
        "answered": found.answered,
    }


def _shown(session: Session, asked: list[Drawn]) -> list[dict]:
    """Moments to listen to; of those of files that the index still holds."""
    archive = session.archives.now()
    found = []
    for one in asked:
        if one.moment.path not in archive:
            continue
        moment = Moment(one.moment.path, one.moment.start_seconds, one.moment.end_seconds)
        number = int(archive.moments_in(moment)[0])
        found.append(
            {
                "score": round(one.score, 6),
                **as_json(moment),
                "labels": list(archive.labels(number)),
                "clock_time": archive.clock_time(number),
                "stratum": one.stratum,
            }
        )
    return session.with_answers(found)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
