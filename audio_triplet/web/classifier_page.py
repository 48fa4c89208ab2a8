"""The two pages of a classifier: its report, and the sounds to label next."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from audio_triplet.web import pages
from audio_triplet.web.charts import (
    Bar,
    ClassBars,
    Line,
    LineChart,
    class_bars,
    line_chart,
    score_bars,
)
from audio_triplet.web.clips import Clips, PictureGuide, Player
from audio_triplet.web.excerpts import EXCERPT_SECONDS, Excerpt, Quality
from audio_triplet.web.formatting import clean, number

# Columns of a manifest.
LABEL_COLUMNS = ("path", "recording_id", "labels", "split", "start_seconds", "end_seconds")

MAX_MATRIX_CLASSES = 60
MAX_MISTAKES = 12


def write_report(path: str, summary: Mapping, examples, manifest, checked) -> None:
    """Writes the page of a fitted classifier.

    Args:
      path: The HTML file.
      summary: The content of scores.json.
      examples: `examples.Examples` that it was fitted on.
      manifest: Their segments.
      checked: `cross_validation.Checked`, or None if nothing could be checked.
    """
    clips = Clips()
    is_single = checked is not None and checked.accuracy is not None
    matrix = _confusion_matrix(examples, checked.scores) if is_single else None
    curve = _learning_curve(summary)
    mistakes = _mistakes(examples, manifest, checked.scores, clips) if is_single else None
    meaning = _meaning(summary, examples.classes)
    sections = {
        "classes": ("Class by class", summary["score"]),
        "meaning": ("What a score means", meaning),
        "mixups": ("Confusion matrix", matrix),
        "curve": ("What more labels bring", curve),
        "mistakes": ("Mistakes to listen to", mistakes),
        "made": ("How this was made", True),
    }
    content = pages.page(
        "classifier_report.html",
        f"A classifier of {len(examples.classes)} sounds",
        {identifier: heading for identifier, (heading, shown) in sections.items() if shown},
        clips=clips,
        styles=("charts.css", "classifier_report.css"),
        score=summary["score"],
        base=summary["log_mel"],
        unchecked=summary["unchecked_classes"],
        bars=_class_bars(summary),
        counts=dict(zip(examples.classes, examples.labels.sum(axis=0).tolist(), strict=True)),
        meaning=meaning,
        matrix=matrix,
        curve=curve,
        mistakes=mistakes,
        facts=_facts(summary),
    )
    pages.write(path, content)


def _class_bars(summary: Mapping) -> ClassBars | list[Bar] | None:
    """Scores of the classes, compared with log mel's if that was checked too."""
    if summary["score"] is None:
        return None
    if summary["log_mel"] is None:
        return score_bars(summary["score"]["per_class"])
    return class_bars(
        summary["score"]["per_class"], summary["log_mel"]["per_class"], "the embedding"
    )


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What the scores of sounds mean.

    Attributes:
      precision: What was asked for.
      reliability: How often probabilities come true.
      errors: Expected calibration error of scores and of probabilities.
      classes: (class, `thresholds.Threshold` as JSON) of those that reach the precision.
      never: Those that do not.
    """

    precision: float
    reliability: LineChart
    errors: tuple[float, float]
    classes: list[tuple[str, Mapping]]
    never: list[str]


def _meaning(summary: Mapping, classes: Sequence[str]) -> Meaning | None:
    """None if nothing could be checked."""
    if not summary.get("calibration"):
        return None
    limits = list(zip(classes, summary["calibration"]["segment"]["thresholds"], strict=True))
    found = summary["reliability"]
    lines = [Line("right", "base", [0.0, 1.0], [0.0, 1.0])]
    for label, style, name in (
        ("score", "series-2", "scores"),
        ("probability", "mine", "probabilities"),
    ):
        bins = found[name]["bins"]
        x, y = ([each[key] for each in bins] for key in ("probability", "share"))
        lines.append(Line(label, style, x, y))
    chart = line_chart(
        "Share that is right, by what was said",
        "Each sound by its highest value, in tenths, on recordings that were held out; on the "
        "straight line what is said comes true.",
        lines,
        "highest value of a sound",
        width=380,
        height=260,
        limits=(0.0, 1.0),
    )
    return Meaning(
        summary["precision"],
        chart,
        (found["scores"]["error"], found["probabilities"]["error"]),
        [(name, limit) for name, limit in limits if limit["score"] is not None],
        [name for name, limit in limits if limit["score"] is None],
    )


@dataclasses.dataclass(frozen=True)
class MatrixCell:
    """How often a class was taken for another.

    Attributes:
      count: Sounds.
      share: Of the row, 0 to 1.
      found: The class of the column.
      is_right: Whether that is the row's.
    """

    count: int
    share: float
    found: str
    is_right: bool


@dataclasses.dataclass(frozen=True)
class Matrix:
    """The confusion matrix.

    Attributes:
      classes: Of rows and columns.
      rows: (class, sounds, cells) for each class.
      is_partial: Whether there are more classes than are shown.
    """

    classes: list[str]
    rows: list[tuple[str, int, list[MatrixCell]]]
    is_partial: bool


def _decisions(examples, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The true and the assigned class of each sound, where each has one class.

    Returns:
      Class int[segments], the class with the highest score int[segments], and bool[segments]:
      whether its own class had examples to learn from.
    """
    could_know = ~np.isnan(scores[examples.labels])
    found = np.nan_to_num(scores, nan=-1.0).argmax(axis=1)
    return examples.labels.argmax(axis=1), found, could_know


def _confusion_matrix(examples, scores: np.ndarray) -> Matrix:
    true, found, could_know = _decisions(examples, scores)
    counts = np.zeros((len(examples.classes), len(examples.classes)), int)
    np.add.at(counts, (true[could_know], found[could_know]), 1)
    kept = np.flatnonzero(counts.sum(axis=1) + counts.sum(axis=0))
    is_partial = len(kept) > MAX_MATRIX_CLASSES
    if is_partial:  # those that are mixed up the most
        wrong = counts - np.diag(counts.diagonal())
        most = np.argsort(-(wrong.sum(axis=1) + wrong.sum(axis=0)), kind="stable")
        kept = np.sort(most[:MAX_MATRIX_CLASSES])
    names, totals = examples.classes, counts.sum(axis=1).tolist()
    return Matrix(
        [names[column] for column in kept],
        [
            (
                names[row],
                totals[row],
                [
                    MatrixCell(
                        int(counts[row, column]),
                        counts[row, column] / (totals[row] or 1),
                        names[column],
                        bool(row == column),
                    )
                    for column in kept
                ],
            )
            for row in kept
        ],
        is_partial,
    )


def _learning_curve(summary: Mapping) -> LineChart | None:
    lines = []
    for key, label, style in (("embedding", "embedding", "mine"), ("log_mel", "log mel", "base")):
        points = summary["learning_curve"].get(key) or {}
        score = summary["score"] if key == "embedding" else summary["log_mel"]
        if points and score is not None:
            x = [int(count) for count in points]
            y = [float(np.mean(means)) for means in points.values()]
            # The score itself: of classifiers that have all labels but those of a fold.
            x.append(summary["labels_per_class"] * (1 - 1 / score["folds"]))
            y.append(score["map"])
            lines.append(Line(label, style, x, y))
    if not lines:
        return None
    return line_chart(
        "Mean average precision by labelled sounds per class",
        f"Means of two draws, on the folds of the score above. The last point is that score, "
        f"{number(summary['score']['map'])}: all labels but a fold's. If the line still rises at "
        "its end, more labels will help.",
        lines,
        "labelled sounds per class",
        width=380,
        height=240,
    )


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A sound that went to a wrong class.

    Attributes:
      player: To hear it.
      true: Its class.
      found: The class that it was taken for.
      score: Of that class.
    """

    player: Player
    true: str
    found: str
    score: float


@dataclasses.dataclass(frozen=True)
class Mistakes:
    """The surest wrong answers.

    Attributes:
      total: Sounds that were checked.
      wrong: Those that went to a wrong class.
      guide: How to read the pictures, or None.
      shown: The surest first.
    """

    total: int
    wrong: int
    guide: PictureGuide | None
    shown: list[Mistake]


def _mistakes(examples, manifest, scores: np.ndarray, clips: Clips) -> Mistakes:
    true, found, could_know = _decisions(examples, scores)
    wrong = np.flatnonzero(could_know & (found != true))
    chosen = wrong[np.argsort(-scores[wrong, found[wrong]], kind="stable")][:MAX_MISTAKES]
    excerpts = [Excerpt.of_row(row) for row in manifest.frame.iloc[chosen].itertuples()]
    clips.add(excerpts)
    shown = [
        Mistake(
            clips.player(excerpt, examples.classes[true[row]]),
            examples.classes[true[row]],
            examples.classes[found[row]],
            float(scores[row, found[row]]),
        )
        for row, excerpt in zip(chosen, excerpts, strict=True)
    ]
    guide = clips.picture_guide(excerpts[0], shown[0].true) if shown else None
    return Mistakes(int(could_know.sum()), len(wrong), guide, shown)


def _facts(summary: Mapping) -> list[tuple[str, object]]:
    classifier = "no hidden layer (logistic regression)"
    if summary["hidden_units"]:
        classifier = f"hidden layer of {summary['hidden_units']} units"
    elif summary.get("likeness"):
        classifier = "logistic regressions of descriptions, and of likenesses to labelled sounds"
    return [
        ("Labelled", f"{summary['segments']} sounds of {summary['recordings']} recordings"),
        (
            "Each sound has",
            "one class" if summary["labelling"] == "single" else "any of the classes",
        ),
        ("Classifier", classifier),
        (
            "Regularised by",
            f"{summary['regularised']}, chosen on recordings held out of what it is fitted on",
        ),
        (
            "Score",
            "recordings are divided into folds; each is scored by a classifier that was fitted, "
            "and regularised, on the others. The interval draws the recordings again",
        ),
        ("Model", summary["model"]),
        ("Command", summary["command"]),
        ("Commit", summary["commit"]),
        ("Machine", summary["machine"]),
        ("Date", summary["date"]),
        ("Seed", summary["seed"]),
    ]


# --- what to label next --------------------------------------------------------------------------


def label_rows(frame) -> Iterable[list[str]]:
    """Rows of a manifest without labels, by `LABEL_COLUMNS`, from a manifest's frame."""
    for row in frame.itertuples():
        end = "" if np.isnan(row.end_seconds) else f"{row.end_seconds:g}"
        yield [row.path, row.recording_id, "", "", f"{row.start_seconds:g}", end]


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A sound to label.

    Attributes:
      player: To hear it.
      file: Its file.
      path: Its whole path.
      guesses: (class, score) of the two likeliest classes.
    """

    player: Player
    file: str
    path: str
    guesses: list[tuple[str, float]]


def write_suggestions(
    path: str, frame, scores: np.ndarray, classes: Sequence[str], candidates: int
) -> None:
    """Writes the page to listen to sounds and to label them.

    Args:
      path: The HTML file.
      frame: Rows of a manifest, in the order to show.
      scores: float[rows, classes].
      classes: Names of the labels.
      candidates: How many sounds these were chosen from.
    """
    clips = Clips()
    excerpts = [Excerpt.of_row(row) for row in frame.itertuples()]
    clips.add(excerpts, Quality(max_seconds=EXCERPT_SECONDS))
    suggestions = [
        Suggestion(
            clips.player(excerpt, f"sound {index}"),
            excerpt.title,
            excerpt.path,
            [(classes[k], float(values[k])) for k in np.argsort(-values, kind="stable")[:2]],
        )
        for index, (excerpt, values) in enumerate(zip(excerpts, scores, strict=True), 1)
    ]
    rows = [[clean(cell) for cell in row] for row in label_rows(frame)]
    content = pages.page(
        "suggestions.html",
        "What to label next",
        {"sounds": "Listen and name"},
        clips=clips,
        data={"rows": {"columns": LABEL_COLUMNS, "rows": rows}},
        styles=("saving.css", "suggestions.css"),
        scripts=("saving.js", "suggestions.js"),
        candidates=candidates,
        classes=classes,
        guide=clips.picture_guide(excerpts[0], "the first sound"),
        suggestions=suggestions,
    )
    pages.write(path, content)
