"""Compares predictions with annotations: precision, recall, F1 and average precision of each class.

    audio-triplet classify check --predictions=mine/predictions.csv --truth=annotated --output_dir=o

Predictions are the table of predict, or tables of Raven, Audacity, BirdNET, Sonic Visualiser or
Label Studio, or a folder of such; annotations likewise. Both are compared by moment and by event.
Recordings that hold a class and have no prediction count as missed. Written: check.html, check.json
and check.csv; each figure says what it counts.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from audio_triplet import locks, storage
from audio_triplet.classify.check_config import CheckConfig
from audio_triplet.commands import config_flags
from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    from audio_triplet.classify.annotated import Tables
    from audio_triplet.classify.checking import Figures
    from audio_triplet.classify.comparison import Comparison
    from audio_triplet.classify.predictions import Predictions

_FIGURES = ("precision", "recall", "f1", "ap")


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_multi_string(
        "predictions", None, "A table of predictions, or a folder of tables.", required=True
    )
    flags.DEFINE_multi_string(
        "truth", None, "A table of annotations, or a folder of tables.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    config_flags.define_flags(CheckConfig)
    flags.DEFINE_boolean("page", True, "Write check.html too.")


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    values = flags.FLAGS
    if argv[1:]:
        raise UsageError(f"{argv[1]}: check takes no sound; name --predictions and --truth")
    with locks.exclusive(values.output_dir):
        locks.clear_leftovers(values.output_dir)
        config = config_flags.from_flags(CheckConfig)
        print(check(values.predictions, values.truth, values.output_dir, config, values.page))


def check(
    predictions: Sequence[str],
    truth: Sequence[str],
    output_dir: str,
    config: CheckConfig,
    page: bool = True,
) -> str:
    """Writes check.json, check.csv and check.html.

    Args:
      predictions: The table of predict, or tables of events or folders of such.
      truth: Tables of annotations, or folders of such.
      output_dir: Where the files go.
      config: How both are compared.
      page: Whether to write the page.

    Returns:
      Lines for the user.

    Raises:
      UsageError: There is nothing to compare.
      ManifestError: A table cannot be read.
    """
    from audio_triplet.classify import annotated, comparison
    from audio_triplet.provenance import provenance

    found = comparison.compare(
        _predictions(predictions), annotated.read(truth), config, _seconds_of
    )
    report = as_json(found) | {
        "predictions": [os.path.abspath(path) for path in predictions],
        "truth": [os.path.abspath(path) for path in truth],
        "config": dataclasses.asdict(config),
        **provenance(),
    }
    storage.make_folder(output_dir)
    storage.write_json(os.path.join(output_dir, "check.json"), report)
    with storage.open_replacing(os.path.join(output_dir, "check.csv")) as file:
        csv.writer(file).writerows(_table(found))
    lines = summary(found)
    if page:
        from audio_triplet.web import check_page

        path = os.path.join(output_dir, "check.html")
        check_page.write_check(path, found, report)
        lines.append(f"page: {path}")
    return "\n".join(lines)


def _predictions(paths: Sequence[str]) -> Predictions | Tables:
    """Predictions of either form.

    Raises:
      UsageError: Both forms at once, or several tables of predict.
    """
    from audio_triplet.classify import annotated, predictions

    own = [path for path in paths if os.path.isfile(path) and predictions.is_predictions(path)]
    if not own:
        return annotated.read(paths)
    if len(paths) > 1:
        raise UsageError(f"--predictions: {own[0]} is a table of predict; give that one alone")
    return predictions.read(own[0])


def _seconds_of(path: str) -> float | None:
    """A file's length by its header; None if it cannot be read."""
    from audio_triplet import audio
    from audio_triplet.errors import AudioError

    try:
        return float(audio.probe(path).duration_seconds)
    except AudioError:
        return None


def as_json(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON holds it: no infinity, no curves' hundreds of points in tuples."""
    content = dataclasses.asdict(found)
    for mistake in (*content["false"], *content["missed"]):
        if math.isinf(mistake["end_seconds"]):
            mistake["end_seconds"] = None
    return content


def _table(found: Comparison) -> list[list[str]]:
    """Rows of check.csv: class, way of counting, counts, figures with their limits."""
    from audio_triplet.annotations.own_table import guarded

    head = ["class", "by", "true", "predicted", "right"]
    for name in _FIGURES:
        head += [name, f"{name}_low", f"{name}_high"]
    rows = [head]
    for result in (*found.classes, found.total):
        for by, figures in (("moment", result.moment), ("event", result.event)):
            row = [guarded(result.label), by]
            row += [str(count) for count in (figures.true, figures.predicted, figures.right)]
            for name in _FIGURES:
                value, limits = getattr(figures, name), getattr(figures, f"{name}_interval")
                row += [_cell(value), *(map(_cell, limits or (None, None)))]
            rows.append(row)
    return rows


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def summary(found: Comparison) -> list[str]:
    """What was found, and what it counts, for the terminal."""
    lines = [
        f"{found.recordings} annotated recordings, {len(found.classes)} classes, "
        f"moments of {found.seconds:g} s"
    ]
    for by in ("moment", "event"):
        total: Figures = getattr(found.total, by)
        told = ", ".join(
            _told(name, getattr(total, name), getattr(total, f"{name}_interval"))
            for name in ("precision", "recall", "f1")
        )
        lines.append(
            f"by {by}: {told}; {total.right} right of {total.predicted} predicted, "
            f"{total.true} annotated"
        )
        lines.append(f"  ({found.counts[by]})")
    for names, words in (
        (found.without_prediction, "hold a class and have no prediction: all of it is missed"),
        (found.without_file, "are annotated, but their file is neither there nor predicted"),
        (found.without_annotation, "are predicted and not annotated: left out"),
    ):
        if names:
            more = "" if len(names) == 1 else f" and {len(names) - 1} more"
            lines.append(f"{len(names)} recordings {words} ({names[0]}{more})")
    if found.other_classes:
        lines.append(
            f"{len(found.other_classes)} predicted classes are never annotated, left out: "
            + ", ".join(list(found.other_classes)[:5])
        )
    return lines


def _told(name: str, value: float | None, limits: tuple[float, float] | None) -> str:
    if value is None:
        return f"{name} none"
    interval = f" ({limits[0]:.3f} to {limits[1]:.3f})" if limits else ""
    return f"{name} {value:.3f}{interval}"
