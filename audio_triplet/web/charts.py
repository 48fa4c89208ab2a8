"""Charts as SVG, and a colour for every class."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from audio_triplet.web.formatting import is_number, name, number, text

# --- charts --------------------------------------------------------------------------------------


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


_CHART_WIDTH, _CHART_HEIGHT = 320, 210
_CHART_LEFT, _CHART_RIGHT, _CHART_TOP, _CHART_BOTTOM = 34, 74, 8, 34
_LABEL_GAP = 13


def line_chart(title: str, note: str, lines: Sequence[Line], x_label: str) -> str:
    """A chart of lines from zero, each with its name at its end, as a figure.

    Args:
      title: What is shown.
      note: How to read it.
      lines: At least one with a finite value; else the figure says that there is nothing.
      x_label: Name of the horizontal axis.

    Returns:
      HTML with inline SVG, coloured by the page's style.
    """
    kept = []
    for line in lines:
        points = [
            (float(x), float(y))
            for x, y in zip(line.x, line.y, strict=True)
            if is_number(x) and is_number(y)
        ]
        if points:
            kept.append((line, points))
    heading, caption = f"<h3>{text(title)}</h3>", f"<figcaption>{text(note)}</figcaption>"
    if not kept:
        return (
            f'<figure class="chart">{heading}<p class="soft">Nothing was logged.</p>{caption}'
            "</figure>"
        )
    everything = [point for _, points in kept for point in points]
    x_low, x_high = min(x for x, _ in everything), max(x for x, _ in everything)
    y_ticks = ticks(min(0.0, *(y for _, y in everything)), max(y for _, y in everything))
    y_low, y_high = y_ticks[0], y_ticks[-1]
    right, bottom = _CHART_WIDTH - _CHART_RIGHT, _CHART_HEIGHT - _CHART_BOTTOM

    def place(x, y):
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return (_CHART_LEFT + across * (right - _CHART_LEFT), bottom - up * (bottom - _CHART_TOP))

    parts = []
    digits = decimals(y_ticks)
    for tick in y_ticks:
        y = place(x_low, tick)[1]
        parts.append(
            f'<line class="grid" x1="{_CHART_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_CHART_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{tick:.{digits}f}</text>"
        )
    for tick in ticks(x_low, x_high, 4):
        if x_low <= tick <= x_high:
            x = place(tick, y_low)[0]
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">'
                f"{tick:g}</text>"
            )
    parts.append(
        f'<text class="tick" x="{(_CHART_LEFT + right) / 2}" y="{_CHART_HEIGHT - 4}" '
        f'text-anchor="middle">{text(x_label)}</text>'
    )
    ends = spread([place(*points[-1])[1] for _, points in kept], _LABEL_GAP, _CHART_TOP, bottom)
    for (line, points), end in zip(kept, ends, strict=True):
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in points)
        parts.append(
            f'<polyline class="line {line.style}" points="{path}"/>'
            f'<text class="end {line.style}" x="{right + 6}" y="{end + 4:.1f}">'
            f"{text(line.label)}</text>"
        )
    told = "; ".join(
        f"{line.label} from {number(points[0][1])} to {number(points[-1][1])}"
        for line, points in kept
    )
    return (
        f'<figure class="chart">{heading}<svg viewBox="0 0 {_CHART_WIDTH} {_CHART_HEIGHT}" '
        f'role="img" aria-label="{text(title)}: {text(told)}">{"".join(parts)}</svg>{caption}'
        "</figure>"
    )


def class_bars(
    mine: Mapping[str, float | None],
    base: Mapping[str, float | None],
    title: str,
    base_title: str = "log mel",
) -> str:
    """Scores of each class as bars above a baseline's, the largest gain first.

    Args:
      mine: Class → score; those without a finite one, here or in `base`, are left out and counted.
      base: Class → the baseline's score.
      title: What `mine` is of, in a word or two.
      base_title: What `base` is of.

    Returns:
      HTML; empty if there is nothing to compare.
    """
    shown = [c for c in mine if is_number(mine[c]) and is_number(base.get(c))]
    if not shown:
        return ""
    shown.sort(key=lambda c: base[c] - mine[c])
    better = sum(mine[c] > base[c] for c in shown)
    left_out = len(set(mine) | set(base)) - len(shown)
    scale = max(max(mine[c], base[c]) for c in shown) or 1.0
    items = "".join(_class_bar(c, mine[c], base[c], scale, (title, base_title)) for c in shown)
    return (
        f"<p><b>{better} of {len(shown)} classes</b> are better off with {text(title)}."
        + (f" {left_out} without a figure are left out." if left_out else "")
        + f'</p><ol class="bars">{items}</ol>'
    )


def _class_bar(label: str, mine: float, base: float, scale: float, titles: tuple[str, str]) -> str:
    gain = mine - base
    return (
        f'<li><span class="who">{name(label)}</span><span class="track" aria-hidden="true">'
        f'<i class="k-joint" style="--v:{max(0, mine) / scale:.3f}"></i>'
        f'<i class="k-log_mel" style="--v:{max(0, base) / scale:.3f}"></i></span>'
        f'<span class="what"><span class="hidden">{text(titles[0])} </span>{mine:.2f}'
        f'<span class="hidden">, {text(titles[1])} {base:.2f}, difference</span> '
        f'<em class="{"up" if gain > 0 else "down"}">{"+" if gain > 0 else "−"}{abs(gain):.2f}</em>'
        "</span></li>"
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that enclose a range, about so many."""
    size = max(abs(low), abs(high))
    if not high - low > max(1e-9 * size, 1e-12):  # one value, as far as floats can tell
        high = low + (size if size > 1e-12 else 1.0)
    step = 10.0 ** math.floor(math.log10((high - low) / about))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if (high - low) / (factor * step) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def decimals(values: Sequence[float]) -> int:
    """Decimals that tell round numbers apart."""
    return next(
        (d for d in range(9) if all(abs(round(v, d) - v) < 1e-9 * max(1, abs(v)) for v in values)),
        9,
    )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near those wanted, at least `gap` apart and, if they fit, within the range."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    places = [0.0] * len(wanted)
    lowest = low
    for index in order:
        places[index] = max(lowest, wanted[index])
        lowest = places[index] + gap
    highest = high
    for index in reversed(order):
        places[index] = min(highest, places[index])
        highest = places[index] - gap
    return places


def class_colour(index: int) -> str:
    """A colour for the index-th class, `#rrggbb`, at least 2.5 : 1 on light and on dark paper.

    Hues by the golden angle, so that any first few are far apart; two lightnesses alternate. More
    than about ten colours cannot be told apart by anyone: show shape and name as well.
    """
    lightness = (0.63, 0.53)[index % 2]
    hue = math.radians(250 + 137.508 * index)
    for chroma in np.linspace(0.15, 0.0, 16):
        red_green_blue = _oklab(lightness, chroma * math.cos(hue), chroma * math.sin(hue))
        if all(0 <= value <= 1 for value in red_green_blue):
            break
    return "#" + "".join(f"{round(255 * _gamma(value)):02x}" for value in red_green_blue)


def _oklab(lightness: float, a: float, b: float) -> tuple[float, float, float]:
    """Linear sRGB of an OKLab colour (Ottosson 2020)."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _gamma(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
