"""The style of all figures: matplotlib without a display, plain axes, files whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audio_triplet import storage
from audio_triplet.evaluation import table_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#202124"
GRID = "#e8eaed"


def pyplot():
    """matplotlib.pyplot, for files only."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def bare(axis: Axes, grid: str = "") -> None:
    """Removes from an axis all that is not needed to read it.

    Args:
      axis: The axis.
      grid: `x` or `y` for lines across it.
    """
    axis.spines[["top", "right"]].set_visible(False)
    if grid:
        axis.grid(axis=grid, color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)


def legend_above(figure: Figure, axis: Axes, columns: int, inches: float, **more: object) -> None:
    """A legend above all panels (inside one it would lie on the data of some corpus).

    Args:
      figure: The figure, which is laid out below it.
      axis: The panel whose entries it has.
      columns: Entries in a row.
      inches: Its height.
      **more: For `Figure.legend`.
    """
    figure.legend(
        *axis.get_legend_handles_labels(),
        frameon=False,
        fontsize=9,
        loc="upper center",
        ncols=columns,
        **more,
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - inches / figure.get_size_inches()[1]))


def colour(row: str) -> str:
    """The colour of a table's row."""
    return table_rows.of(row).colour


def save(figure: Figure, path: str) -> None:
    """Writes a figure as PNG, whole or not at all, and closes it."""
    with storage.replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    pyplot().close(figure)
