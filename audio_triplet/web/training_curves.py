"""Curves of training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from audio_triplet.web.charts import Line, LineChart, line_chart
from audio_triplet.web.formatting import is_number, spaced

Metrics = Sequence[Mapping[str, float]]  # rows of a run's metrics.csv

_STEPS = "training step"
LOSS_NOTE = (
    "smoothed. Losses of different triplets cannot be compared: an easy constraint is soon "
    "satisfied, and teaches little."
)


def training_charts(runs: Mapping[str, Metrics], titles: Mapping[str, str]) -> list[LineChart]:
    """The charts of a table's runs.

    Args:
      runs: Row of the table → its run's metrics.
      titles: Row → its name at the end of a line, where that is not the row's own.

    Returns:
      The loss of all of them, and distances and variance of the joint run; none without runs.
    """
    runs = {row: metrics for row, metrics in runs.items() if metrics}
    if not runs:
        return []
    charts = [
        line_chart(
            "Loss",
            f"Triplet loss of each run, {LOSS_NOTE}",
            [
                metric_line(titles.get(row, spaced(row)), f"k-{row}", metrics, "loss")
                for row, metrics in runs.items()
            ],
            _STEPS,
        )
    ]
    if "joint" not in runs:
        return charts

    def joint_chart(title: str, note: str, first: tuple, second: tuple) -> LineChart:
        lines = [
            metric_line(label, style, runs["joint"], key)
            for (label, key), style in ((first, "mine"), (second, "base"))
        ]
        return line_chart(title, note, lines, _STEPS)

    return [
        *charts,
        joint_chart(
            "Distances, joint",
            "Mean squared distance of anchors to their positives and to their negatives: training "
            "pulls the first together and pushes the second apart, by the margin at least.",
            ("positive", "positive_distance"),
            ("negative", "negative_distance"),
        ),
        joint_chart(
            "Active triplets and variance, joint",
            "Share of triplets that still violate the margin: only these change the network; and "
            "the variance of the embedding, which is near 0 if it has collapsed to one point.",
            ("active", "active"),
            ("variance", "embedding_variance"),
        ),
    ]


def metric_line(label: str, style: str, metrics: Metrics, column: str) -> Line:
    """A column of a run's metrics as a smoothed line; rows without a figure are left out."""
    rows = [row for row in metrics if is_number(row.get(column)) and is_number(row.get("step"))]
    steps, values = smooth([row["step"] for row in rows], [row[column] for row in rows])
    return Line(label, style, steps, values)


def smooth(
    steps: Sequence[float], values: Sequence[float] | np.ndarray, points: int = 150
) -> tuple[list[float], list[float]]:
    """A centred moving mean over a fortieth of the run, thinned to about so many points.

    The window shrinks towards both ends, so that the first and last values are those measured.

    Args:
      steps: Of each value.
      values: As many.
      points: How many to keep.

    Returns:
      Steps and values of those kept.
    """
    values = np.asarray(values, np.float64)
    half = len(values) // 80
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(half, np.minimum(index, len(values) - 1 - index))
    mean = (total[index + reach + 1] - total[index - reach]) / (2 * reach + 1)
    kept = np.unique(np.linspace(0, len(values) - 1, min(points, len(values))).round().astype(int))
    return [float(steps[i]) for i in kept], mean[kept].tolist()
