"""The page of predictions beside annotations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from audio_triplet.classify.checking import Figures
from audio_triplet.classify.comparison import ClassResult, Comparison, Mistake
from audio_triplet.web import pages
from audio_triplet.web.charts import Line, LineChart, line_chart
from audio_triplet.web.clips import Clips, Player
from audio_triplet.web.excerpts import Excerpt

# A page with more charts would be long; the tables have every class.
MAX_CHARTS = 24

_WAYS = (("moment", "mine", "moments"), ("event", "series-2", "events"))


@dataclasses.dataclass(frozen=True)
class Heard:
    """A mistake to listen to.

    Attributes:
      player: To hear it.
      label: The class.
      title: File and time.
      path: Its whole path.
      score: Of a prediction; None of a missed event.
    """

    player: Player
    label: str
    title: str
    path: str
    score: float | None


def write_check(path: str, found: Comparison, report: Mapping) -> None:
    """Writes the page.

    Args:
      path: The HTML file.
      found: What predictions are worth.
      report: The content of check.json.
    """
    clips = Clips()
    wrong, missed = (_heard(mistakes, clips) for mistakes in (found.false, found.missed))
    sections = {
        "moments": "By moment",
        "events": "By event",
        "curves": "Precision against recall",
        "mistakes": "Mistakes to listen to",
        "counted": "What is counted",
        "made": "How this was made",
    }
    shown = sorted(found.classes, key=lambda result: -result.event.true)[:MAX_CHARTS]
    content = pages.page(
        "check_report.html",
        "Predictions beside annotations",
        sections,
        clips=clips,
        styles=("charts.css",),
        found=found,
        figures=("precision", "recall", "f1", "ap"),
        curves=[_chart(result) for result in (found.total, *shown)],
        more_charts=len(found.classes) - len(shown),
        wrong=wrong,
        missed=missed,
        facts=_facts(report),
    )
    pages.write(path, content)


def _chart(result: ClassResult) -> LineChart:
    lines = [
        Line(words, style, *_corners(getattr(result, way).curve)) for way, style, words in _WAYS
    ]
    figures: Figures = result.event
    return line_chart(
        result.label.replace("_", " "),
        f"{figures.true} events annotated, {figures.predicted} predicted",
        lines,
        "recall",
        limits=(0.0, 1.0),
    )


def _corners(curve: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """A curve from left to right; a single point becomes a short line, to be seen."""
    if len(curve) == 1:
        curve = [(max(0.0, curve[0][0] - 0.02), curve[0][1]), curve[0]]
    return [recall for recall, _ in curve], [precision for _, precision in curve]


def _heard(mistakes: Sequence[Mistake], clips: Clips) -> list[Heard]:
    excerpts = [
        Excerpt(of.path, of.start_seconds, None if math.isinf(of.end_seconds) else of.end_seconds)
        for of in mistakes
    ]
    clips.add(excerpts)
    return [
        Heard(clips.player(excerpt, of.label), of.label, excerpt.title, of.path, of.score)
        for of, excerpt in zip(mistakes, excerpts, strict=True)
    ]


def _facts(report: Mapping) -> list[tuple[str, object]]:
    return [
        ("Predictions", ", ".join(report["predictions"])),
        ("Annotations", ", ".join(report["truth"])),
        *((name.replace("_", " ").capitalize(), value) for name, value in report["config"].items()),
        ("Command", report["command"]),
        ("Commit", report["commit"]),
        ("Machine", report["machine"]),
        ("Date", report["date"]),
    ]
