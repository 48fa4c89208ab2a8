"""Answers, predictions and classifiers as files to take away."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet import storage
from audio_triplet.annotations import moments as annotated
from audio_triplet.annotations import writing
from audio_triplet.annotations.own_table import guarded
from audio_triplet.browse import logistic
from audio_triplet.browse.archive import Archive, Moment
from audio_triplet.browse.labels import Answer
from audio_triplet.browse.learner import Fit
from audio_triplet.browse.learning import side_by_side
from audio_triplet.classify import predictions
from audio_triplet.config import ClassifyConfig
from audio_triplet.errors import BrowseError

if TYPE_CHECKING:
    from audio_triplet.classify.calibration import Calibration

# What a moment is of which every answer is no.
OTHER = "other"

ANSWERS = ("path", "start_seconds", "end_seconds", "label", "value", "who", "when")
_MANIFEST = ("path", "recording_id", "labels", "split", "start_seconds", "end_seconds")
_VALUES = {True: "yes", False: "no", None: "unsure"}
_ROWS_AT_ONCE = 4096


def answers_csv(answers: Sequence[Answer]) -> bytes:
    """Every answer, with who and when; the only form in which nothing is lost."""
    rows = [
        (
            guarded(answer.moment.path),
            answer.moment.start_seconds,
            answer.moment.end_seconds,
            guarded(answer.label),
            _VALUES[answer.value],
            guarded(answer.who),
            answer.when,
        )
        for answer in answers
    ]
    return _csv([ANSWERS, *rows])


def labelled(answers: Sequence[Answer]) -> dict[Moment, list[str]]:
    """The labels of each moment that has a yes or a no; `OTHER` where all are no."""
    found: dict[Moment, list[str]] = {}
    for answer in answers:
        if answer.value is not None:
            labels = found.setdefault(answer.moment, [])
            if answer.value:
                labels.append(answer.label)
    return {moment: sorted(set(labels)) or [OTHER] for moment, labels in found.items()}


def manifest_csv(answers: Sequence[Answer], archive: Archive) -> bytes:
    """The labelled moments as a manifest, with the recordings of the index."""
    rows = []
    for moment, labels in labelled(answers).items():
        recording = moment.path
        if moment.path in archive and len(numbers := archive.moments_of(moment.path)):
            recording = archive.recording_names([int(numbers[0])])[0]
        path = os.path.abspath(moment.path)
        times = moment.start_seconds, moment.end_seconds
        rows.append((path, recording, ";".join(labels), "", *times))
    return _csv([_MANIFEST, *rows])


def tables_zip(form: str, answers: Sequence[Answer]) -> bytes:
    """The moments with a yes as tables of another program, one for each recording.

    Args:
      form: One of `annotations.writing.FORMS`.
      answers: Those that count.
    """
    moments = [
        annotated.Moment(
            answer.moment.path, answer.moment.start_seconds, answer.moment.end_seconds, answer.label
        )
        for answer in answers
        if answer.value
    ]
    with tempfile.TemporaryDirectory() as folder:
        if moments:
            writing.write(form, folder, "labels", moments)
        return _zipped(folder)


def predictions_csv(archive: Archive, fits: Sequence[Fit]) -> Iterator[bytes]:
    """A row for every moment with its scores, as `classify predict` writes them.

    The class `OTHER` has what the likeliest class leaves, and no threshold.

    Yields:
      UTF-8, some thousand rows at a time.
    """
    classes = [fit.label for fit in fits] + [OTHER]
    clock, meaning = archive.has_clock, _meaning(fits)
    yield _csv([predictions.header(classes, meaning is not None, clock)])
    valid = np.flatnonzero(archive.file_of >= 0)
    for first in range(0, len(valid), _ROWS_AT_ONCE):
        numbers = valid[first : first + _ROWS_AT_ONCE]
        scores = np.stack([logistic.probability(fit.logits[numbers]) for fit in fits], axis=1)
        scores = np.column_stack([scores, 1 - scores.max(axis=1)])  # [n, classes + 1]
        rows = []
        told = predictions.results(classes, scores, meaning)
        for number, result in zip(numbers.tolist(), told, strict=True):
            moment = archive.moment(number)
            rows.append(
                (
                    guarded(moment.path),
                    f"{moment.start_seconds:.3f}",
                    f"{moment.end_seconds:.3f}",
                    *result.cells,
                    *([archive.clock_time(number)] if clock else []),
                )
            )
        yield _csv(rows)


def _meaning(fits: Sequence[Fit]) -> Calibration | None:
    """What the scores of all classes mean; None where that is known of none."""
    from audio_triplet.classify.calibration import Calibration
    from audio_triplet.classify.thresholds import Threshold
    from audio_triplet.evaluation.metrics import Interval

    unknown = Threshold(None, 0, 0, None, Interval(0.0, 1.0), None, Interval(0.0, 1.0))
    known = [fit.meaning for fit in fits]
    if not any(known):
        return None
    return Calibration(
        (*(of.calibrators[0] if of else None for of in known), None),
        (*(of.thresholds[0] if of else unknown for of in known), unknown),
        ClassifyConfig.precision,
    )


def classifier_zip(archive: Archive, answers: Sequence[Answer]) -> bytes:
    """A classifier of all labels as `classify fit` writes it, and its scores.json.

    It is fitted in a process of its own, which needs a few seconds and some memory.

    Raises:
      BrowseError: There are fewer than two classes, or fitting failed.
    """
    vectors, labels, recordings, spans = [], [], [], []
    for moment, names in labelled(answers).items():
        try:
            numbers = archive.moments_in(moment)
        except BrowseError:  # the index no longer holds the file
            continue
        vectors.append(archive.vectors(side_by_side(archive, numbers)))
        labels.append(names)
        recordings += archive.recording_names([int(numbers[0])])
        spans.append([moment.path, moment.start_seconds, moment.end_seconds])
    classes = sorted({name for names in labels for name in names})
    if len(classes) < 2:
        raise BrowseError(
            "classifier: needs moments of two classes at least; answer some with no", 409
        )
    info = archive.index.info
    with tempfile.TemporaryDirectory() as folder:
        given = os.path.join(folder, "given.npz")
        written = os.path.join(folder, "written")
        os.mkdir(written)
        owner = np.repeat(np.arange(len(vectors), dtype=np.int32), [len(of) for of in vectors])
        storage.save_arrays(given, {"vectors": np.concatenate(vectors), "owner": owner})
        storage.write_json(
            os.path.join(folder, "given.json"),
            {
                "labels": labels,
                "recordings": recordings,
                "spans": spans,
                "model": info.model,
                "model_digest": info.model_digest,
            },
        )
        command = [sys.executable, "-m", "audio_triplet.browse.fitting", folder, written]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise BrowseError(
                f"classifier: could not be fitted ({' '.join(last)}); label more", 409
            )
        return _zipped(written)


def _zipped(folder: str) -> bytes:
    """All files of a folder as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for current, _, names in os.walk(folder):
            for name in sorted(names):
                path = os.path.join(current, name)
                inside = os.path.relpath(path, folder)
                with open(path, "rb") as file:
                    # Names that are no UTF-8 cannot stand in a zip.
                    archive.writestr(inside.encode("utf-8", "replace").decode(), file.read())
    return buffer.getvalue()


def _csv(rows: Sequence[Sequence]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")
