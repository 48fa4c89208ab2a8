"""Training runs side by side: their curves, their different settings, and their scores."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from audio_triplet import storage
from audio_triplet.config import RunConfig
from audio_triplet.errors import UsageError
from audio_triplet.web import pages
from audio_triplet.web.charts import SERIES, ClassBars, class_bars, line_chart
from audio_triplet.web.formatting import is_number
from audio_triplet.web.training_curves import LOSS_NOTE, metric_line

# More lines than this cannot be distinguished on a chart.
MAX_RUNS = len(SERIES)

_CURVES = (  # column of metrics.csv, title, how to read it
    ("loss", "Loss", f"Triplet loss, {LOSS_NOTE}"),
    (
        "active",
        "Active triplets",
        "Share of triplets that still violate the margin: only these change the network.",
    ),
    ("embedding_variance", "Variance of the embedding", "Near 0 it has collapsed to one point."),
    ("patches_per_second", "Speed", "Patches per second, whatever else the machine was doing."),
)
_SCORES = (  # key of metrics.json, heading
    ("qbe_map", "By-example mAP"),
    ("query_map", "Per-query mAP"),
    ("cls_map", "Classif. mAP"),
    ("accuracy", "Accuracy"),
)


@dataclasses.dataclass(frozen=True)
class Run:
    """The data of a run that the page shows.

    Attributes:
      name: Its folder's name.
      settings: Dotted names → values of its configuration.
      metrics: Rows of metrics.csv.
      scores: Content of metrics.json, empty if it was not scored.
    """

    name: str
    settings: dict[str, object]
    metrics: list[dict[str, float]]
    scores: dict


def load_runs(arguments: Sequence[str]) -> list[Run]:
    """Reads runs, each `FOLDER` or `FOLDER=SCORES`.

    Raises:
      ConfigError: A folder is not one of a run.
      UsageError: The scores of a run are missing or damaged.
    """
    from audio_triplet.training import metrics_log  # imports TensorFlow

    folders = [argument.partition("=")[::2] for argument in arguments]
    names = [os.path.basename(os.path.normpath(folder)) for folder, _ in folders]
    runs = []
    for (folder, scored), name in zip(folders, names, strict=True):
        name = name if names.count(name) == 1 else folder
        settings = _flat(dataclasses.asdict(RunConfig.read(folder)))
        scores = _read_scores(scored) if scored else {}
        runs.append(Run(name, settings, metrics_log.read_metrics(folder), scores))
    return runs


def _read_scores(folder: str) -> dict:
    path = os.path.join(folder, "metrics.json")
    try:
        content = storage.read_json(path)
        content["cls_per_class"].items()
        return content
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{path}: cannot be read ({error}); score the run by experiments.evaluate"
        ) from error


def _flat(settings: dict, prefix: str = "") -> dict[str, object]:
    flat = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def write_page(path: str, runs: Sequence[Run]) -> None:
    """Writes the page.

    Args:
      path: The HTML file.
      runs: At least one.
    """
    scored = [run for run in runs if run.scores]
    sections = {"curves": "Curves", "scores": "Scores", "settings": "Different settings"}
    if not scored:
        del sections["scores"]
    if len(runs) < 2:
        del sections["settings"]
    charts = [
        line_chart(
            title,
            note,
            [
                metric_line(run.name, style, run.metrics, column)
                for run, style in zip(runs, SERIES, strict=False)
            ],
            "training step",
        )
        for column, title, note in _CURVES
    ]
    content = pages.page(
        "runs.html",
        "Training runs compared",
        sections,
        styles=("charts.css",),
        runs=runs,
        charts=charts,
        scored=scored,
        columns=_SCORES,
        corpora=sorted({str(run.scores.get("corpus", "an unnamed corpus")) for run in scored}),
        comparisons=[(run.name, _compared(run, scored[0])) for run in scored[1:]],
        differences=_differences(runs),
    )
    pages.write(path, content)


def _compared(run: Run, first: Run) -> ClassBars | None:
    """A run's scores class by class, compared with those of the first."""
    scores = {k: v for k, v in run.scores["cls_per_class"].items() if is_number(v)}
    return class_bars(scores, first.scores["cls_per_class"], run.name, first.name)


def _differences(runs: Sequence[Run]) -> list[tuple[str, list[object]]]:
    """(setting, its value in each run) of those that are not the same in all."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    values = {key: [run.settings.get(key, "–") for run in runs] for key in keys}
    return [(key, row) for key, row in values.items() if len({str(value) for value in row}) > 1]
