"""The figure of Table 2: scores over the number of labelled clips."""

from __future__ import annotations

from audio_triplet.config import EXPLICIT
from experiments.lib import figures
from experiments.lib.table2.rows import SCORES
from experiments.lib.table2.text import TITLES, label


def draw(table: dict, path: str) -> None:
    """Draws the scores over the number of labels, with bands of one standard deviation.

    Args:
      table: The content of table2.json.
      path: PNG file to write.
    """
    plt = figures.pyplot()
    rows = table["rows"]
    names = list(dict.fromkeys(row["name"] for row in rows))
    counts = sorted({row["labels_per_class"] for row in rows})
    shown = [score for score in SCORES if any(row[score] is not None for row in rows)]
    figure, axes = plt.subplots(1, len(shown), figsize=(5.4 * len(shown) + 0.4, 4.2), squeeze=False)
    for axis, score in zip(axes[0], shown, strict=True):
        for name in names:
            own = sorted(
                (row for row in rows if row["name"] == name and row[score] is not None),
                key=lambda row: row["labels_per_class"],
            )
            labels = [row["labels_per_class"] for row in own]
            values = [row[score] for row in own]
            spread = [row["spread"][score] or 0.0 for row in own]
            axis.plot(
                labels,
                values,
                marker="o",
                markersize=4,
                color=figures.colour(name),
                label=label(name),
                linestyle="--" if name == EXPLICIT else "-",
            )
            axis.fill_between(
                labels,
                [max(0.0, v - s) for v, s in zip(values, spread, strict=True)],
                [min(1.0, v + s) for v, s in zip(values, spread, strict=True)],
                color=figures.colour(name),
                alpha=0.18,
                linewidth=0,
            )
        axis.set_xscale("log")
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel("labelled clips per class")
        axis.set_title(TITLES[score], fontsize=11)
        figures.bare(axis, grid="y")
    figures.legend_above(figure, axes[0][0], len(names), inches=0.3)
    figures.save(figure, path)
