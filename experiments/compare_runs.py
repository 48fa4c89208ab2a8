"""Compares training runs on one page: their curves, what was set differently, and their scores.

    python -m experiments.compare_runs runs/a runs/b --output_dir=compared

Each folder is one that train_embedding wrote. Where experiments.evaluate has scored the run's
export into a folder, name that too, as runs/a=scores/a; runs that were scored are compared class by
class with the first. Written: compare.html.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence

from absl import flags

from audio_triplet import cli, locks
from audio_triplet.config import RunConfig

_CURVES = (  # column of metrics.csv, title, how to read it
    ("loss", "Loss", "Triplet loss, smoothed. Of different triplets it does not compare: an easy "
     "constraint is soon satisfied, and teaches little."),
    ("active", "Active triplets", "Share of triplets that still violate the margin: the only ones "
     "that teach."),
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


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("output_dir", None, "Folder for compare.html.", required=True)


def main(argv):
    """Runs the command."""
    cli.quiet_tensorflow()
    with cli.clear_errors("compare_runs"):
        if len(argv) < 2:
            raise cli.UsageError("name the folders of at least one run")
        if len(argv) - 1 > len(_STYLES):
            raise cli.UsageError(f"at most {len(_STYLES)} runs can be told apart on a chart")
        runs = load_runs(argv[1:])
        with locks.exclusive(flags.FLAGS.output_dir):
            path = os.path.join(flags.FLAGS.output_dir, "compare.html")
            write_page(path, runs)
        print(path)


def load_runs(arguments: Sequence[str]) -> list[Run]:
    """Reads runs, each `FOLDER` or `FOLDER=SCORES`.

    Raises:
      ConfigError: A folder is not one of a run.
      UsageError: The scores of one are missing or damaged.
    """
    from audio_triplet import training

    folders = [argument.partition("=")[::2] for argument in arguments]
    names = [os.path.basename(os.path.normpath(folder)) for folder, _ in folders]
    runs = []
    for (folder, scored), name in zip(folders, names, strict=True):
        name = name if names.count(name) == 1 else folder
        settings = _flat(dataclasses.asdict(RunConfig.read(folder)))
        scores = _read_scores(scored) if scored else {}
        runs.append(Run(name, settings, training.read_metrics(folder), scores))
    return runs


def _read_scores(folder: str) -> dict:
    path = os.path.join(folder, "metrics.json")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        content["cls_per_class"].items()
        return content
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise cli.UsageError(
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
    from experiments import pages
    from experiments.pages import Section

    charts = "".join(
        pages.line_chart(title, note, [
            _line(run, style, key) for run, style in zip(runs, _STYLES, strict=False)
        ], "training step")
        for key, title, note in _CURVES
    )
    pages.write(path, pages.page(
        "Training runs compared", f"<p>{len(runs)} runs, side by side.</p>",
        [
            Section("curves", "Curves", f'<div class="charts">{charts}</div>'),
            Section("scores", "Scores", _scores_section(runs)),
            Section("settings", "What was set differently", _settings_section(runs)),
        ],
    ))


def _line(run: Run, style: str, key: str):
    from experiments import pages
    from experiments.report import smooth

    rows = [row for row in run.metrics if pages.is_number(row.get(key))]
    steps, values = smooth([row["step"] for row in rows], [row[key] for row in rows])
    return pages.Line(run.name, f"k-{style}", steps, values)


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its first column names the rows. Cells are HTML."""
    titles = "".join(f'<th role="columnheader" scope="col">{title}</th>' for title in head)
    body = "".join(
        f'<tr role="row"><th role="rowheader" scope="row">{row[0]}</th>' + "".join(
            f'<td role="cell" data-label="{title}"><span>{cell}</span></td>'
            for title, cell in zip(head[1:], row[1:], strict=True)
        ) + "</tr>"
        for row in rows
    )
    return (
        f'<table class="stack" role="table"><caption>{caption}</caption><thead role="rowgroup">'
        f'<tr role="row">{titles}</tr></thead><tbody role="rowgroup">{body}</tbody></table>'
    )


def _scores_section(runs: Sequence[Run]) -> str:
    from experiments import pages

    scored = [run for run in runs if run.scores]
    if not scored:
        return ""
    columns = (("qbe_map", "By-example mAP"), ("query_map", "Per-query mAP"),
               ("cls_map", "Classif. mAP"), ("accuracy", "Accuracy"))
    body = _table(
        "Of experiments.evaluate, on " + ", ".join(sorted({
            str(pages.text(run.scores.get("corpus", "an unnamed corpus"))) for run in scored
        })),
        ["Run", *(title for _, title in columns)],
        [
            [pages.name(run.name), *(pages.number(run.scores.get(key)) for key, _ in columns)]
            for run in scored
        ],
    )
    first = scored[0]
    for other in scored[1:]:
        mine, base = other.scores["cls_per_class"], first.scores["cls_per_class"]
        shown = {label: value for label, value in mine.items() if pages.is_number(value)}
        body += (
            f"<h3>{pages.name(other.name)} and {pages.name(first.name)}, class by class</h3>"
            f'<p><span class="key k-joint">{pages.name(other.name)}</span> '
            f'<span class="key k-log_mel">{pages.name(first.name)}</span></p>'
            + pages.class_bars(shown, base, other.name, first.name)
        )
    return body


def _settings_section(runs: Sequence[Run]) -> str:
    from experiments import pages

    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    differing = [
        key for key in keys if len({str(run.settings.get(key)) for run in runs}) > 1
    ]
    if not differing:
        return "<p>Nothing.</p>" if len(runs) > 1 else ""
    return _table(
        "Only what is not the same in all.",
        ["Setting", *(str(pages.text(run.name)) for run in runs)],
        [
            [pages.name(key), *(pages.text(run.settings.get(key, "–")) for run in runs)]
            for key in differing
        ],
    )


def run() -> None:
    """Entry point of the command."""
    cli.start(__name__, define_flags, main)


if __name__ == "__main__":
    sys.exit(run())
