"""Predictions of an archive beside its annotations: which recordings, which moments, which events.

The figures themselves are `checking`'s.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from audio_triplet.classify import annotated, checking
from audio_triplet.classify.annotated import Tables
from audio_triplet.classify.check_config import CheckConfig
from audio_triplet.classify.checking import Figures, Items, Spans
from audio_triplet.classify.predictions import Predictions
from audio_triplet.errors import UsageError

# Of moments, where neither the predictions nor the user say it.
_SECONDS = 1.0

MAX_MISTAKES = 12


@dataclasses.dataclass(frozen=True)
class ClassResult:
    """A class, counted in both ways.

    Attributes:
      label: The class.
      moment: Counted by moment.
      event: Counted by event.
    """

    label: str
    moment: Figures
    event: Figures


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An event that was predicted and is not there, or is there and was not predicted.

    Attributes:
      label: The class.
      path: The sound file.
      start_seconds: Where it begins.
      end_seconds: Where it ends; infinite: with the file.
      score: Of a prediction; None of a missed event.
    """

    label: str
    path: str
    start_seconds: float
    end_seconds: float
    score: float | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What predictions are worth.

    Attributes:
      classes: Those of the annotations.
      total: All of them together: every pair of an item and a class counts the same.
      recordings: How many are counted.
      seconds: Of a moment.
      counts: What each figure counts, see `checking.COUNTS`.
      without_prediction: Recordings that hold a class and have no prediction: all of it is missed.
      without_file: Annotated recordings whose file is neither there nor predicted.
      without_annotation: Predicted recordings that no annotation names, and that are left out.
      other_classes: Predicted classes that no annotation names, left out: label → predictions.
      false: Predicted events that are not there, the highest score first; some of them.
      missed: Events that were not predicted; some of them.
    """

    classes: tuple[ClassResult, ...]
    total: ClassResult
    recordings: int
    seconds: float
    counts: Mapping[str, str]
    without_prediction: tuple[str, ...]
    without_file: tuple[str, ...]
    without_annotation: tuple[str, ...]
    other_classes: Mapping[str, int]
    false: tuple[Mistake, ...]
    missed: tuple[Mistake, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Predicted:
    """Predictions in one form, of the recordings that count.

    Attributes:
      moments: What is counted by moment.
      seconds: Their usual length.
      held: Label → (predicted bool[moments], scores float[moments]).
      events: Label → events.
      spoken_of: Recordings with a prediction.
    """

    moments: Spans
    seconds: float
    held: Callable[[str], tuple[np.ndarray, np.ndarray]]
    events: Mapping[str, Spans]
    spoken_of: set[int]


def compare(
    predictions: Predictions | Tables,
    truth: Tables,
    config: CheckConfig,
    seconds_of: Callable[[str], float | None],
) -> Comparison:
    """Counts predictions against annotations.

    Args:
      predictions: Of `classify predict`, or tables of events.
      truth: Annotations.
      config: How they are compared.
      seconds_of: A file's length; None if it cannot be read.

    Raises:
      UsageError: No annotation has a label, or no recording is in both.
    """
    predicted_paths = list(dict.fromkeys(predictions.paths))
    renamed = annotated.same_names(truth.paths, predicted_paths)
    paths = list(dict.fromkeys(renamed.get(path, path) for path in truth.paths))
    if config.unannotated == "empty":
        paths = list(dict.fromkeys([*paths, *predicted_paths]))
    numbers = {path: number for number, path in enumerate(paths)}
    moments = [
        dataclasses.replace(moment, path=renamed.get(moment.path, moment.path))
        for moment in truth.moments
    ]
    true = annotated.spans_of(moments, numbers)
    if not true:
        raise UsageError("--truth: no annotation has a label; there is nothing to compare with")
    if not set(predicted_paths) & set(paths):
        called = predicted_paths[0] if predicted_paths else "nothing at all"
        raise UsageError(
            f"--predictions: none of their recordings is annotated; {called} should be called as "
            f"{paths[0]} is"
        )
    lengths = _lengths(paths, true, predictions, numbers, seconds_of)
    given = _given(predictions, numbers, lengths, config)
    results: list[ClassResult] = []
    items: list[tuple[Items, Items]] = []
    false: list[Mistake] = []
    missed: list[Mistake] = []
    for label in sorted(true):
        is_class, _ = checking.covered(given.moments, true[label], config.min_overlap)
        by_moment = Items(is_class, *given.held(label), given.moments.recordings)
        events = given.events.get(label, annotated.no_spans())
        by_event, right, found = checking.by_event(events, true[label], config.min_overlap)
        counted = (checking.figures(of, config.seed) for of in (by_moment, by_event))
        results.append(ClassResult(label, *counted))
        items.append((by_moment, by_event))
        false += _mistakes(label, events.select(~right), paths, True)
        missed += _mistakes(label, true[label].select(~found), paths, False)
    total = ClassResult(
        "all classes",
        checking.figures(Items.together([of for of, _ in items]), config.seed),
        checking.figures(Items.together([of for _, of in items]), config.seed),
    )
    holding = {int(number) for of in true.values() for number in of.recordings}
    words = {"overlap": config.min_overlap, "seconds": given.seconds}
    return Comparison(
        tuple(results),
        total,
        len(paths),
        given.seconds,
        {name: text.format(**words) for name, text in checking.COUNTS.items()},
        tuple(paths[number] for number in sorted(holding - given.spoken_of)),
        tuple(p for p in paths if p not in set(predicted_paths) and not os.path.exists(p)),
        tuple(path for path in predicted_paths if path not in numbers),
        {
            label: len(of.starts)
            for label, of in sorted(given.events.items())
            if label not in true and len(of.starts)
        },
        tuple(sorted(false, key=lambda mistake: -(mistake.score or 0))[:MAX_MISTAKES]),
        tuple(_taking_turns(missed)[:MAX_MISTAKES]),
    )


def _given(
    predictions: Predictions | Tables,
    numbers: Mapping[str, int],
    lengths: Mapping[int, float],
    config: CheckConfig,
) -> _Predicted:
    """Predictions of either form."""
    if isinstance(predictions, Predictions):
        return _of_moments(predictions, numbers, lengths, config)
    return _of_events(predictions, numbers, lengths, config)


def _of_moments(
    predictions: Predictions,
    numbers: Mapping[str, int],
    lengths: Mapping[int, float],
    config: CheckConfig,
) -> _Predicted:
    """Of `classify predict`: its rows are the moments, and recordings without any get some."""
    if config.moment_seconds:
        raise UsageError(
            "--moment_seconds: the moments are the rows of predictions.csv; choose another "
            "--hop_seconds or --granularity when predicting"
        )
    which = np.array([numbers.get(path, -1) for path in predictions.paths])
    rows = which >= 0
    lasting = predictions.ends[rows] - predictions.starts[rows]
    seconds = float(np.median(lasting))
    spoken_of = set(which[rows].tolist())
    silent = {number: length for number, length in lengths.items() if number not in spoken_of}
    rest = checking.grid(silent, seconds)
    own = Spans(which[rows], predictions.starts[rows], predictions.ends[rows], np.zeros(rows.sum()))
    scores = predictions.scores[rows]
    if config.threshold:
        decided = scores >= config.threshold
    elif predictions.found is not None and predictions.found.any():
        decided = predictions.found[rows]
    else:
        decided = np.zeros(scores.shape, bool)
        decided[np.arange(len(scores)), np.nan_to_num(scores, nan=-1.0).argmax(axis=1)] = True
    columns = {label: column for column, label in enumerate(predictions.classes)}
    empty = len(rest.starts)

    def held(label: str) -> tuple[np.ndarray, np.ndarray]:
        if label not in columns:
            return np.zeros(len(scores) + empty, bool), np.full(len(scores) + empty, -np.inf)
        of = scores[:, columns[label]]
        return (
            np.append(decided[:, columns[label]], np.zeros(empty, bool)),
            np.append(np.where(np.isnan(of), -np.inf, of), np.full(empty, -np.inf)),
        )

    events = {}
    for label, column in columns.items():
        chosen = own.select(decided[:, column])
        chosen = dataclasses.replace(chosen, scores=scores[decided[:, column], column])
        events[label] = chosen.joined(config.join_seconds)
    moments = Spans(
        *(
            np.concatenate([getattr(part, field.name) for part in (own, rest)])
            for field in dataclasses.fields(Spans)
        )
    )
    return _Predicted(moments, seconds, held, events, spoken_of)


def _of_events(
    tables: Tables,
    numbers: Mapping[str, int],
    lengths: Mapping[int, float],
    config: CheckConfig,
) -> _Predicted:
    """Of another program: moments lie side by side in every recording."""
    spans = annotated.spans_of(tables.moments, numbers)
    lasting = [of.ends - of.starts for of in spans.values()]
    together = np.concatenate([*lasting, np.empty(0)])
    together = together[np.isfinite(together) & (together > 0)]
    usual = float(np.median(together)) if len(together) else _SECONDS
    seconds = config.moment_seconds or usual
    moments = checking.grid(lengths, seconds)
    nothing = annotated.no_spans()

    def held(label: str) -> tuple[np.ndarray, np.ndarray]:
        predicted, scores = checking.covered(moments, spans.get(label, nothing), config.min_overlap)
        return predicted & (scores >= config.threshold), scores

    events = {
        label: of.select(of.scores >= config.threshold).joined(config.join_seconds)
        for label, of in spans.items()
    }
    spoken_of = {int(number) for of in spans.values() for number in of.recordings}
    return _Predicted(moments, seconds, held, events, spoken_of)


def _lengths(
    paths: Sequence[str],
    truth: Mapping[str, Spans],
    predictions: Predictions | Tables,
    numbers: Mapping[str, int],
    seconds_of: Callable[[str], float | None],
) -> dict[int, float]:
    """Seconds of each recording: the file's; else where the last thing in it ends."""
    last = np.zeros(len(paths))
    for of in truth.values():
        until = np.where(np.isfinite(of.ends), of.ends, of.starts + _SECONDS)
        np.maximum.at(last, of.recordings, until)
    if isinstance(predictions, Predictions):
        ends = list(zip(predictions.paths.tolist(), predictions.ends.tolist(), strict=True))
    else:
        ends = [(moment.path, moment.end_seconds) for moment in predictions.moments]
    for path, end in ends:
        if path in numbers and np.isfinite(end):
            last[numbers[path]] = max(last[numbers[path]], end)
    known = [seconds_of(path) for path in paths]
    return {
        number: float(length if length is not None else last[number])
        for number, length in enumerate(known)
    }


def _mistakes(label: str, spans: Spans, paths: Sequence[str], is_scored: bool) -> list[Mistake]:
    """The first ones of a class, those with the highest score before others."""
    spans = spans.select(np.argsort(-spans.scores, kind="stable")[:MAX_MISTAKES])
    return [
        Mistake(label, paths[number], float(start), float(end), float(score) if is_scored else None)
        for number, start, end, score in zip(
            spans.recordings.tolist(), spans.starts, spans.ends, spans.scores, strict=True
        )
    ]


def _taking_turns(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """One of each class before a second of any."""
    seen: dict[str, int] = {}
    turns = []
    for mistake in mistakes:
        turns.append(seen.get(mistake.label, 0))
        seen[mistake.label] = turns[-1] + 1
    return [mistakes[row] for row in np.argsort(turns, kind="stable")]
