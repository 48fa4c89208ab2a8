"""Curves of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from audio_triplet.web.charts import Line, line_chart
from audio_triplet.web.formatting import is_number

SHORT = {
    "gaussian_noise": "noise",
    "translation": "translation",
    "mixing": "mixing",
    "proximity": "proximity",
    "joint": "joint",
    "explicit": "explicit",
}


# --- training ------------------------------------------------------------------------------------


def training_section(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    runs = {row: metrics for row, metrics in runs.items() if metrics}
    if not runs:
        return ""
    charts = [
        line_chart(
            "Loss",
            "Triplet loss of each run, smoothed. Losses of different triplets do not compare: an easy "
            "constraint is soon satisfied, and teaches little.",
            [_line(SHORT.get(row, row), row, metrics, "loss") for row, metrics in runs.items()],
            "training step",
        )
    ]
    if "joint" in runs:
        charts.append(
            line_chart(
                "Distances, joint",
                "Mean squared distance of anchors to their positives and to their negatives: training "
                "pulls the first together and pushes the second apart, by the margin at least.",
                [
                    _line("positive", "joint", runs["joint"], "positive_distance"),
                    _line("negative", "log_mel", runs["joint"], "negative_distance"),
                ],
                "training step",
            )
        )
        charts.append(
            line_chart(
                "Active triplets and variance, joint",
                "Share of triplets that still violate the margin, the only ones that teach; and the "
                "variance of the embedding, which is near 0 if it has collapsed to one point.",
                [
                    _line("active", "joint", runs["joint"], "active"),
                    _line("variance", "log_mel", runs["joint"], "embedding_variance"),
                ],
                "training step",
            )
        )
    return f'<div class="charts">{"".join(charts)}</div>'


def _line(label: str, style: str, metrics: Sequence[Mapping[str, float]], key: str) -> Line:
    rows = [row for row in metrics if is_number(row.get(key)) and is_number(row.get("step"))]
    steps, values = smooth([row["step"] for row in rows], [row[key] for row in rows])
    return Line(label, f"k-{style}", steps, values)


def smooth(
    steps: Sequence[float], values: Sequence[float], points: int = 150
) -> tuple[list[float], list[float]]:
    """A centred moving mean over a fortieth of the run, thinned to about so many points.

    The window shrinks towards both ends, so that the first and last values are those measured.
    """
    values = np.asarray(values, np.float64)
    half = len(values) // 80
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    reach = np.minimum(half, np.minimum(place, len(values) - 1 - place))
    mean = (total[place + reach + 1] - total[place - reach]) / (2 * reach + 1)
    kept = np.unique(np.linspace(0, len(values) - 1, min(points, len(values))).round().astype(int))
    return [float(steps[i]) for i in kept], mean[kept].tolist()
