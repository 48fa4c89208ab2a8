"""The report of a table: scores, curves, a map with sound, and neighbours compared with log mel's.

`write_report` makes one self-contained HTML file of the results of `experiments.table1`. It
explains each figure, shows where joint is worse than log mel as well as where it is better, and
says how its examples were chosen.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

from audio_triplet.evaluation import table_rows
from audio_triplet.evaluation.table_rows import BASELINE, JOINT, TableRow
from audio_triplet.web import pages
from audio_triplet.web.charts import ClassBars, class_bars
from audio_triplet.web.clips import Clips
from audio_triplet.web.formatting import is_number
from audio_triplet.web.queries import answer, mix_ups, query_examples, sample_segments
from audio_triplet.web.sound_map import sound_map
from audio_triplet.web.training_curves import Metrics, training_charts


def write_report(
    path: str,
    table: Mapping,
    runs: Mapping[str, Metrics],
    log_mel,
    joint,
    classes: Sequence[str],
    seed: int = 0,
    title: str = "What unlabelled sound teaches",
) -> None:
    """Writes the page.

    Args:
      path: The HTML file.
      table: The content of table1.json. Rows and figures may be missing, or None.
      runs: Row → the rows of that run's metrics.csv (`training.read_metrics`).
      log_mel: `EmbeddingSet` of the test side, the baseline's.
      joint: The same segments' joint embedding.
      classes: Names of the labels.
      seed: Of samples, of ties between queries, and of the map.
      title: Of the page.

    Raises:
      ValueError: The two embeddings are of different segments.
    """
    rows = {row["name"]: row for row in table.get("rows", ())}
    config = table.get("config", {})
    segments, vectors = sample_segments(log_mel, joint, classes, seed)
    clips = Clips()
    answers = answer(segments, vectors)
    examples = query_examples(segments, answers, clips, seed)
    mixed_up = mix_ups(segments, answers, clips)
    drawn = sound_map(segments, vectors, clips, seed)
    shown_rows = [table_rows.of(name) for name in dict.fromkeys((JOINT, BASELINE, *rows, *runs))]
    short = {row.key: row.short_name for row in shown_rows}
    charts, panels = training_charts(runs, short), _class_panels(rows)
    sections = {
        "scores": ("Scores", rows),
        "classes": ("Class by class", panels),
        "queries": ("Queries and what they find", examples),
        "mixups": ("Mix-ups", mixed_up),
        "map": ("A map to listen to", True),
        "training": ("Training", charts),
        "made": ("How this was made", True),
    }
    content = pages.page(
        "table_report.html",
        title,
        {identifier: heading for identifier, (heading, shown) in sections.items() if shown},
        clips=clips,
        data={"map-data": drawn.data},
        styles=("charts.css", "table_report.css", "map.css"),
        scripts=("map.js",),
        colours=[row for row in shown_rows if row.key.isidentifier()],
        findings=_findings(rows),
        rows=[_score_row(row, rows) for row in rows.values()],
        seeds=max((len(row.get("seeds") or [0]) for row in rows.values()), default=1),
        panels=panels,
        examples=examples,
        mix_ups=mixed_up,
        sound_map=drawn,
        charts=charts,
        facts=_facts(config, len(segments), segments.total),
        settings=_settings(config),
    )
    pages.write(path, content)


@dataclasses.dataclass(frozen=True)
class Finding:
    """How joint compares with log mel in a task; a sentence below the title.

    Attributes:
      task: In words.
      score: Joint's.
      base: Log mel's.
      recovery: Part of the gap to the topline that it closes; None where there is no gap.
      top: The topline's score.
    """

    task: str
    score: float
    base: float
    recovery: float | None
    top: float | None


def _findings(rows: Mapping[str, Mapping]) -> list[Finding]:
    """The findings, as far as the table has their scores."""
    findings = []
    joint, log_mel, topline = (rows.get(name, {}) for name in ("joint", "log_mel", "explicit"))
    for key, task in (
        ("qbe_map", "finding sounds of the same class by example"),
        ("cls_map", "classification"),
    ):
        score, base, top = joint.get(key), log_mel.get(key), topline.get(key)
        if not (is_number(score) and is_number(base)):
            continue
        recovery = joint.get(f"recovery_{key[:3]}")
        if not (is_number(recovery) and is_number(top) and top > base):
            recovery = None
        findings.append(Finding(task, score, base, recovery, top))
    return findings


# Columns of the table: key, label next to the value on a phone.
_SHARES = ("recovery_qbe", "ratio_qbe", "recovery_cls", "ratio_cls")
_COLUMNS = (
    ("qbe_map", "By-example mAP"),
    ("recovery_qbe", "Recovery"),
    ("ratio_qbe", "Ratio"),
    ("cls_map", "Classif. mAP"),
    ("recovery_cls", "Recovery"),
    ("ratio_cls", "Ratio"),
    ("query_map", "Per-query mAP"),
    ("accuracy", "Accuracy"),
)


@dataclasses.dataclass(frozen=True)
class ScoreCell:
    """A figure of the table.

    Attributes:
      label: Of its column.
      value: The figure; None or NaN if it is missing.
      is_share: Whether it is shown in percent.
      spread: Standard deviation over seeds; None if there is none.
      gauge: Length of the bar below it, 0 to 1; None: no bar.
    """

    label: str
    value: object
    is_share: bool
    spread: float | None
    gauge: float | None


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """A row of the table.

    Attributes:
      row: Its key, name and explanation.
      cells: By `_COLUMNS`.
    """

    row: TableRow
    cells: list[ScoreCell]


def _score_row(row: Mapping, rows: Mapping[str, Mapping]) -> ScoreRow:
    spread = row.get("spread") or {}
    cells = []
    for key, label in _COLUMNS:
        value, gauge = row.get(key), None
        if key in ("qbe_map", "cls_map"):
            top = max([r[key] for r in rows.values() if is_number(r.get(key))], default=0) or 1
            gauge = max(0.0, value / top) if is_number(value) else 0.0
        deviation = spread.get(key) if is_number(value) and is_number(spread.get(key)) else None
        cells.append(ScoreCell(label, value, key in _SHARES, deviation, gauge))
    return ScoreRow(table_rows.of(row["name"]), cells)


def _class_panels(rows: Mapping[str, Mapping]) -> list[tuple[str, str, ClassBars]]:
    """(key, title, bars) of the scores of each class, joint's above log mel's."""
    joint, log_mel = rows.get("joint", {}), rows.get("log_mel", {})
    panels = []
    for key, title in (("qbe", "Query by example"), ("cls", "Classification")):
        scores, base = (row.get(f"{key}_per_class") or {} for row in (joint, log_mel))
        bars = class_bars(scores, base, "joint")
        if bars:
            panels.append((key, title, bars))
    return panels


_FACTS = {
    "command": "Command",
    "corpus": "Corpus",
    "train_splits": "Trained on",
    "test_splits": "Tested on",
    "segments": "Segments",
    "hours": "Hours of sound",
    "commit": "Commit",
    "date": "Date",
    "seconds": "Time taken",
    "machine": "Machine",
    "versions": "Versions",
}


def _facts(config: Mapping, shown: int, total: int) -> list[tuple[str, str]]:
    """(term, value) pairs from the table's config, on how it was made."""
    facts = []
    for key in [*_FACTS, *(key for key in config if key not in _FACTS)]:
        value = config.get(key)
        is_nested = isinstance(value, Mapping) and key not in _FACTS
        if value not in (None, [], "") and not is_nested:
            facts.append((_FACTS.get(key, key), _fact(key, value)))
    if total > shown:
        facts.append(
            (
                "Sample",
                f"Queries, mix-ups and map are of {shown} test sounds drawn from {total}; the "
                "scores are of all.",
            )
        )
    return facts


def _fact(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if key == "seconds" and is_number(value):
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    if key == "hours" and is_number(value):
        return f"{value:.2f}"
    if key == "corpus":
        return _without_home(str(value))
    return str(value)


def _without_home(value: str) -> str:
    home = os.path.expanduser("~")
    return value.replace(home, "~") if len(home) > 1 else value


def _settings(config: Mapping) -> str:
    """The nested settings of the config as JSON; empty if there are none."""
    nested = {key: v for key, v in config.items() if isinstance(v, Mapping) and key not in _FACTS}
    return json.dumps(nested, indent=1, ensure_ascii=False, default=str) if nested else ""
