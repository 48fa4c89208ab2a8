"""Figures of Table 1: the rows, the classes, and the map of the joint embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audio_triplet.evaluation import table_rows
from audio_triplet.evaluation.table_rows import BASELINE, JOINT
from experiments.lib import figures
from experiments.lib.scores import PER_CLASS, TITLES

if TYPE_CHECKING:
    from audio_triplet.embeddings.embedding_set import EmbeddingSet

# With more classes than this only those with the largest gains and losses are drawn [D].
MAX_CLASSES = 60


def draw(table: dict, path: str) -> None:
    """Draws three scores of all rows as bars, chance as a line.

    Args:
      table: The content of table1.json.
      path: PNG file to write.
    """
    plt = figures.pyplot()
    rows = table["rows"]
    scores = ("qbe_map", "cls_map", "probe_accuracy")
    # A score may be nowhere: a class without test segments leaves no mean over classes.
    shown = [score for score in scores if any(row[score] is not None for row in rows)] or scores[:1]
    size = (4.2 * len(shown) + 1.6, 0.45 * len(rows) + 1.6)
    figure, axes = plt.subplots(1, len(shown), figsize=size, sharey=True, squeeze=False)
    axes = axes[0]
    for axis, score in zip(axes, shown, strict=True):
        values = [row[score] or 0.0 for row in rows]
        errors = [row["spread"][score] or 0.0 for row in rows]
        axis.barh(
            range(len(rows)),
            values,
            height=0.7,
            color=[figures.colour(row["name"]) for row in rows],
            xerr=errors if any(errors) else None,
            error_kw={"lw": 1, "ecolor": figures.INK},
        )
        for position, (value, error) in enumerate(zip(values, errors, strict=True)):
            axis.text(value + error, position, f" {value:.3f}", va="center", fontsize=9)
        if table["chance"][score] is not None:
            axis.axvline(table["chance"][score], color=figures.INK, lw=0.8, ls=":")
        axis.set_title(TITLES[score], fontsize=11)
        axis.set_xlim(0, 1.18 * max([*values, 1e-3]))
        labels = [table_rows.of(row["name"]).label for row in rows]
        axis.set_yticks(range(len(rows)), labels)
        figures.bare(axis)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figures.save(figure, path)


def draw_classes(table: dict, path: str) -> None:
    """Draws both scores of every class, joint and log mel, the largest gain first.

    Args:
      table: The content of table1.json, with both rows.
      path: PNG file to write.
    """
    plt = figures.pyplot()
    rows = {row["name"]: row for row in table["rows"]}
    joint, log_mel = rows[JOINT], rows[BASELINE]
    ordered = {}
    for score in ("qbe_map", "cls_map"):
        mine, base = joint[PER_CLASS[score]], log_mel[PER_CLASS[score]]
        known = [c for c in mine if None not in (mine[c], base[c])]
        known.sort(key=lambda c, mine=mine, base=base: base[c] - mine[c])
        better = f"{sum(mine[c] > base[c] for c in known)} of {len(known)}"
        if len(known) > MAX_CLASSES:
            known = known[: MAX_CLASSES // 2] + known[-MAX_CLASSES // 2 :]
        ordered[score] = better, [(c, mine[c], base[c]) for c in known]
    longest = max(len(classes) for _, classes in ordered.values())
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 0.19 * longest + 1.4))
    for axis, (score, (better, classes)) in zip(axes, ordered.items(), strict=True):
        for position, (_, mine, base) in enumerate(classes):
            axis.plot(
                [base, mine],
                [position, position],
                lw=2,
                solid_capstyle="butt",
                color="#aecbfa" if mine > base else "#f6aea9",
            )
        positions = range(len(classes))
        for column, row in ((2, BASELINE), (1, JOINT)):
            axis.scatter(
                [scores[column] for scores in classes],
                positions,
                s=16,
                color=figures.colour(row),
                label=table_rows.of(row).short_name,
                zorder=3,
            )
        axis.set_title(f"{TITLES[score]}: {better} classes better", fontsize=10)
        axis.set_yticks(positions, [c.replace("_", " ") for c, _, _ in classes], fontsize=7)
        axis.set_ylim(len(classes) - 0.4, -0.6)
        axis.set_xlim(left=0)
        figures.bare(axis, grid="x")
    figures.legend_above(figure, axes[0], 2, inches=0.25)
    figures.save(figure, path)


def draw_map(joint: EmbeddingSet, classes: tuple[str, ...], path: str, seed: int) -> None:
    """Draws the joint embedding in the plane.

    Args:
      joint: Of the test side.
      classes: Names of the classes.
      path: PNG file to write.
      seed: Of the layout.
    """
    from audio_triplet.web import queries
    from experiments.lib import map_figure

    first = queries.first_class(joint.manifest.label_matrix(classes))
    map_figure.draw(joint.segment_means, first, classes, path, seed)
