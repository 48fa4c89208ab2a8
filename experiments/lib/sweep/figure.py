"""The figure of a sweep: a panel per parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.lib import figures
from experiments.lib.scores import TITLES as SCORE_TITLES
from experiments.lib.sweep.parameters import TITLES, is_ordered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"query_map": "#1a73e8", "probe_accuracy": "#d93025", "probe_map": "#188038"}


def draw(table: dict, path: str) -> None:
    """Draws a panel per parameter, scores less the baseline's; the last one is cost and score.

    Args:
      table: The content of sweep.json.
      path: PNG file to write.
    """
    plt = figures.pyplot()
    rows = table["rows"]
    parameters = list(dict.fromkeys(row["name"] for row in rows))
    shown = [
        score
        for score in ("query_map", "probe_accuracy", "probe_map")
        if all(row[score] is not None for row in rows)
    ][:2]
    costs = [row for row in rows if row["name"] in ("architecture", "width")]
    count = len(parameters) + bool(costs)
    columns = min(4, count)
    figure, axes = plt.subplots(
        math.ceil(count / columns),
        columns,
        squeeze=False,
        figsize=(max(4.0, 3.3 * columns), 2.9 * math.ceil(count / columns)),  # room for the legend
    )
    panels = list(axes.flat)
    for axis, parameter in zip(panels, parameters, strict=False):
        own = [row for row in rows if row["name"] == parameter]
        positions = range(len(own))
        for score in shown:
            spread = [row["gain_spread"][score] or 0.0 for row in own]
            axis.errorbar(
                positions,
                [row["gain"][score] for row in own],
                yerr=spread if any(spread) else None,
                marker="o",
                markersize=4,
                lw=1.2,
                capsize=2,
                color=_COLOURS[score],
                linestyle="-" if is_ordered(parameter) else "none",
                label=SCORE_TITLES[score],
            )
        axis.axhline(0, color="#9aa0a6", lw=0.8)
        slanted = any(len(row["value"]) > 6 for row in own)
        axis.set_xticks(
            positions,
            [row["value"] + ("*" if row["paper"] else "") for row in own],
            fontsize=7,
            rotation=35 if slanted else 0,
            ha="right" if slanted else "center",
        )
        axis.set_title(TITLES[parameter], fontsize=9)
    # One range for all panels: differences between seeds should not fill a panel.
    low, high = zip(*(axis.get_ylim() for axis in panels[: len(parameters)]), strict=True)
    for axis in panels[: len(parameters)]:
        axis.set_ylim(min(low), max(high))
    if costs:
        _draw_costs(panels[len(parameters)], costs, shown)
    for axis in panels[count:]:
        axis.set_visible(False)
    for axis in panels:
        axis.tick_params(axis="y", labelsize=7)
        figures.bare(axis)
    figures.legend_above(
        figure,
        panels[0],
        len(shown),
        inches=0.55,
        title="difference from the base; * the paper's value",
        title_fontsize=9,
    )
    figures.save(figure, path)


def _draw_costs(axis: Axes, rows: Sequence[dict], shown: Sequence[str]) -> None:
    """Draws scores over the cost of training."""
    for row in rows:
        for score in shown:
            axis.scatter(
                row["patches_per_second"],
                row[score],
                s=14,
                color=_COLOURS[score],
                marker="D" if row["base"] else "o",
            )
        if not row["base"]:  # it has a row for each parameter, all at one point
            axis.annotate(
                row["value"],
                (row["patches_per_second"], row[shown[0]]),
                fontsize=6,
                xytext=(2, 3),
                textcoords="offset points",
                rotation=35,
                rotation_mode="anchor",
            )
    axis.set_xscale("log")
    axis.set_xlabel("training, patches/s", fontsize=8)
    axis.set_title("cost and score (diamond: base)", fontsize=9)
