"""Training runs side by side."""

import dataclasses
import os
from collections.abc import Sequence

from audio_triplet import storage
from audio_triplet.config import RunConfig
from audio_triplet.errors import UsageError

_CURVES = (  # column of metrics.csv, title, how to read it
    (
        "loss",
        "Loss",
        "Triplet loss, smoothed. Of different triplets it does not compare: an easy "
        "constraint is soon satisfied, and teaches little.",
    ),
    (
        "active",
        "Active triplets",
        "Share of triplets that still violate the margin: the only ones that teach.",
    ),
    ("embedding_variance", "Variance of the embedding", "Near 0 it has collapsed to one point."),
    ("patches_per_second", "Speed", "Patches a second, on whatever else the machine was doing."),
)
_STYLES = ("joint", "translation", "gaussian_noise", "proximity", "mixing", "explicit", "log_mel")


@dataclasses.dataclass(frozen=True)
class Run:
    """What is shown of a run.

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
      UsageError: The scores of one are missing or damaged.
    """
    from audio_triplet.training import metrics_log

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
    found = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def write_page(path: str, runs: Sequence[Run]) -> None:
    """Writes the page.

    Args:
      path: The HTML file.
      runs: At least one.
    """
    from audio_triplet.web import pages
    from audio_triplet.web.charts import line_chart
    from audio_triplet.web.pages import Section

    charts = "".join(
        line_chart(
            title,
            note,
            [_line(run, style, key) for run, style in zip(runs, _STYLES, strict=False)],
            "training step",
        )
        for key, title, note in _CURVES
    )
    pages.write(
        path,
        pages.page(
            "Training runs compared",
            f"<p>{len(runs)} runs, side by side.</p>",
            [
                Section("curves", "Curves", f'<div class="charts">{charts}</div>'),
                Section("scores", "Scores", _scores_section(runs)),
                Section("settings", "What was set differently", _settings_section(runs)),
            ],
        ),
    )


def _line(run: Run, style: str, key: str):
    from audio_triplet.web import formatting
    from audio_triplet.web.charts import Line
    from audio_triplet.web.training_curves import smooth

    rows = [row for row in run.metrics if formatting.is_number(row.get(key))]
    steps, values = smooth([row["step"] for row in rows], [row[key] for row in rows])
    return Line(run.name, f"k-{style}", steps, values)


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its first column names the rows. Cells are HTML."""
    titles = "".join(f'<th role="columnheader" scope="col">{title}</th>' for title in head)
    body = "".join(
        f'<tr role="row"><th role="rowheader" scope="row">{row[0]}</th>'
        + "".join(
            f'<td role="cell" data-label="{title}"><span>{cell}</span></td>'
            for title, cell in zip(head[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<table class="stack" role="table"><caption>{caption}</caption><thead role="rowgroup">'
        f'<tr role="row">{titles}</tr></thead><tbody role="rowgroup">{body}</tbody></table>'
    )


def _scores_section(runs: Sequence[Run]) -> str:
    from audio_triplet.web import formatting
    from audio_triplet.web.charts import class_bars

    scored = [run for run in runs if run.scores]
    if not scored:
        return ""
    columns = (
        ("qbe_map", "By-example mAP"),
        ("query_map", "Per-query mAP"),
        ("cls_map", "Classif. mAP"),
        ("accuracy", "Accuracy"),
    )
    body = _table(
        "Of experiments.evaluate, on "
        + ", ".join(
            sorted(
                {
                    str(formatting.text(run.scores.get("corpus", "an unnamed corpus")))
                    for run in scored
                }
            )
        ),
        ["Run", *(title for _, title in columns)],
        [
            [
                formatting.name(run.name),
                *(formatting.number(run.scores.get(key)) for key, _ in columns),
            ]
            for run in scored
        ],
    )
    first = scored[0]
    for other in scored[1:]:
        mine, base = other.scores["cls_per_class"], first.scores["cls_per_class"]
        shown = {label: value for label, value in mine.items() if formatting.is_number(value)}
        body += (
            f"<h3>{formatting.name(other.name)} and {formatting.name(first.name)}, class by class</h3>"
            f'<p><span class="key k-joint">{formatting.name(other.name)}</span> '
            f'<span class="key k-log_mel">{formatting.name(first.name)}</span></p>'
            + class_bars(shown, base, other.name, first.name)
        )
    return body


def _settings_section(runs: Sequence[Run]) -> str:
    from audio_triplet.web import formatting

    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    differing = [key for key in keys if len({str(run.settings.get(key)) for run in runs}) > 1]
    if not differing:
        return "<p>Nothing.</p>" if len(runs) > 1 else ""
    return _table(
        "Only what is not the same in all.",
        ["Setting", *(str(formatting.text(run.name)) for run in runs)],
        [
            [formatting.name(key), *(formatting.text(run.settings.get(key, "–")) for run in runs)]
            for key in differing
        ],
    )
