"""Charts as dataclasses, which the macros of `templates/charts.html` draw as SVG and as bars.

[D] By hand rather than by a library: plotly adds 4.8 MB of script to every page, Vega (altair)
makes functions of text, which the pages' Content-Security-Policy forbids, and matplotlib's SVG is
three times as large (34 kB per chart) with colours that do not turn dark and no words for a screen
reader.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from audio_triplet.web.formatting import is_number, number

# CSS classes of lines that have no colour of their own; the first is drawn the strongest.
SERIES = tuple(f"series-{index}" for index in range(7))

# Margins for numbers, for the labels at the ends of lines, and for the axis' name.
_LEFT, _RIGHT_MARGIN, _TOP, _BOTTOM_MARGIN = 34, 74, 8, 34
_LABEL_GAP = 13


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
      label: At its end.
      style: CSS class that gives the colour.
      x: Positions, ascending.
      y: Values; those that are not finite are left out.
    """

    label: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line as it is drawn.

    Attributes:
      label: At its end.
      style: CSS class.
      points: `x,y x,y …` for a polyline.
      label_y: Where the label stands.
    """

    label: str
    style: str
    points: str
    label_y: float


@dataclasses.dataclass(frozen=True)
class LineChart:
    """A chart as the macro `line_chart` draws it; without curves it says that nothing was logged.

    Attributes:
      title: Title of the chart.
      note: How to read it.
      x_label: Name of the horizontal axis.
      width: Of the drawing, in the units of the positions.
      height: Likewise.
      summary: The lines in words, for those who do not see them.
      curves: The lines.
      x_ticks: (position, number) along the horizontal axis.
      y_ticks: (position, number) along the vertical axis.
    """

    title: str
    note: str
    x_label: str
    width: int
    height: int
    summary: str = ""
    curves: Sequence[Curve] = ()
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()

    @property
    def left(self) -> int:
        """Left end of the horizontal axis."""
        return _LEFT

    @property
    def right(self) -> int:
        """Right end of the horizontal axis."""
        return self.width - _RIGHT_MARGIN

    @property
    def bottom(self) -> int:
        """Height of the horizontal axis."""
        return self.height - _BOTTOM_MARGIN


def line_chart(
    title: str,
    note: str,
    lines: Sequence[Line],
    x_label: str,
    width: int = 320,
    height: int = 210,
    limits: tuple[float, float] | None = None,
) -> LineChart:
    """A chart of lines from zero, each with its name at its end.

    Args:
      title: What is shown.
      note: How to read it.
      lines: Those without a finite value are left out.
      x_label: Name of the horizontal axis.
      width: Of the drawing, in pixels at its usual size.
      height: Likewise.
      limits: Of both axes, as 0 and 1 for shares; None: those of the values.
    """
    series = [
        (
            line,
            [
                (float(x), float(y))
                for x, y in zip(line.x, line.y, strict=True)
                if is_number(x) and is_number(y)
            ],
        )
        for line in lines
    ]
    series = [(line, points) for line, points in series if points]
    chart = LineChart(title, note, x_label, width, height)
    if not series:
        return chart
    x_values = [x for _, points in series for x, _ in points]
    y_values = [y for _, points in series for _, y in points]
    x_low, x_high = min(x_values), max(x_values)
    y_ticks = ticks(min(0.0, *y_values), max(y_values))
    if limits is not None:
        x_low, x_high = limits
        y_ticks = ticks(*limits)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return _LEFT + (x - x_low) / ((x_high - x_low) or 1) * (chart.right - _LEFT)

    def down(y: float) -> float:
        return chart.bottom - (y - y_low) / ((y_high - y_low) or 1) * (chart.bottom - _TOP)

    label_ys = spread([down(points[-1][1]) for _, points in series], _LABEL_GAP, _TOP, chart.bottom)
    digits = decimals(y_ticks)
    return dataclasses.replace(
        chart,
        summary="; ".join(
            f"{line.label} from {number(points[0][1])} to {number(points[-1][1])}"
            for line, points in series
        ),
        curves=[
            Curve(
                line.label,
                line.style,
                " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points),
                label_y,
            )
            for (line, points), label_y in zip(series, label_ys, strict=True)
        ],
        x_ticks=[
            (across(tick), f"{tick:g}")
            for tick in ticks(x_low, x_high, 4)
            if x_low <= tick <= x_high
        ],
        y_ticks=[(down(tick), f"{tick:.{digits}f}") for tick in y_ticks],
    )


@dataclasses.dataclass(frozen=True)
class Bar:
    """The score of a class, above a baseline's if there is one.

    Attributes:
      label: The class.
      score: Its score.
      base: The baseline's, or None.
      length: Of the bar, 0 to 1.
      base_length: Of the baseline's.
    """

    label: str
    score: float
    base: float | None
    length: float
    base_length: float = 0.0


@dataclasses.dataclass(frozen=True)
class ClassBars:
    """Scores of classes and those of a baseline, as the macro `class_bars` draws them.

    Attributes:
      title: Name of the scores' representation.
      base_title: Name of the baseline.
      bars: The largest gain first.
      left_out: Classes that lack a figure on either side.
    """

    title: str
    base_title: str
    bars: list[Bar]
    left_out: int

    @property
    def better(self) -> int:
        """Classes that are better off than with the baseline."""
        return sum(bar.base is not None and bar.score > bar.base for bar in self.bars)


def class_bars(
    scores: Mapping[str, float | None],
    base: Mapping[str, float | None],
    title: str,
    base_title: str = "log mel",
) -> ClassBars | None:
    """Scores of each class as bars above a baseline's, the largest gain first.

    Args:
      scores: Class → score; those without a finite one, here or in `base`, are left out.
      base: Class → the baseline's score.
      title: Name of the representation of `scores`, in a word or two.
      base_title: Name of the baseline.

    Returns:
      None if there is nothing to compare.
    """
    shown = [
        (label, mine, theirs)
        for label, mine in scores.items()
        if is_number(mine) and is_number(theirs := base.get(label))
    ]
    if not shown:
        return None
    shown.sort(key=lambda row: row[2] - row[1])
    scale = max(max(mine, theirs) for _, mine, theirs in shown) or 1.0
    return ClassBars(
        title,
        base_title,
        [
            Bar(label, mine, theirs, max(0, mine) / scale, max(0, theirs) / scale)
            for label, mine, theirs in shown
        ],
        left_out=len(set(scores) | set(base)) - len(shown),
    )


def score_bars(scores: Mapping[str, float | None]) -> list[Bar]:
    """Scores between 0 and 1 of each class as bars, the best first; those without one left out."""
    shown = {label: score for label, score in scores.items() if is_number(score)}
    return [
        Bar(label, score, None, score)
        for label, score in sorted(shown.items(), key=lambda item: -item[1])
    ]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that enclose a range, about so many."""
    size = max(abs(low), abs(high))
    if not high - low > max(1e-9 * size, 1e-12):  # a single value, as far as floats can tell
        high = low + (size if size > 1e-12 else 1.0)
    step = 10.0 ** math.floor(math.log10((high - low) / about))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if (high - low) / (factor * step) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def decimals(values: Sequence[float]) -> int:
    """Number of decimals that distinguish round numbers."""
    return next(
        (d for d in range(9) if all(abs(round(v, d) - v) < 1e-9 * max(1, abs(v)) for v in values)),
        9,
    )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the given ones, at least `gap` apart and, if they fit, within the range."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    positions = [0.0] * len(wanted)
    lowest = low
    for index in order:
        positions[index] = max(lowest, wanted[index])
        lowest = positions[index] + gap
    highest = high
    for index in reversed(order):
        positions[index] = min(highest, positions[index])
        highest = positions[index] - gap
    return positions
