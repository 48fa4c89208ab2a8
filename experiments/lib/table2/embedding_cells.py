"""The shallow classifier on one embedding, for every number of labelled clips and draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audio_triplet.evaluation import table_rows
from experiments.lib import embeddings
from experiments.lib.settings import ExperimentSettings
from experiments.lib.table2.cells import (
    Cell,
    Scorer,
    cells_of,
    draw_labelled,
    evaluate,
    fill,
)
from experiments.lib.table2.classify_by import PATCHES

if TYPE_CHECKING:
    from experiments.lib.corpus import Corpus


def score(
    settings: ExperimentSettings,
    corpus: Corpus,
    row: str,
    seed: int,
    labels_per_class: Sequence[int],
    draws: int,
    classify_by: str = PATCHES,
    rescore: bool = False,
) -> list[dict]:
    """Scores of one embedding.

    Args:
      settings: The folder, and how encoders are trained.
      corpus: The corpus to score on.
      row: The row.
      seed: Seed of its encoder.
      labels_per_class: Numbers of labelled clips.
      draws: Draws of each.
      classify_by: What the classifier learns from, of `CLASSIFY_BY`.
      rescore: Whether all are computed again, on an embedding that must exist.

    Returns:
      As `cells.fill`.
    """
    from experiments.lib import protocol
    from experiments.lib.table2 import classifiers

    classes = corpus.manifest.classes

    def scorer(missing: list[Cell]) -> Scorer:
        del missing
        everything = embeddings.of_row(settings, corpus, row, seed, rescore=rescore)
        sides = protocol.split_sides(everything, corpus.test_splits)

        def score_cell(cell: Cell) -> dict:
            drawn, summary = draw_labelled(sides.train.manifest, classes, cell)
            labelled = protocol.Sides(sides.train.select(drawn), sides.test)
            scores, fitted = classifiers.score(classify_by, labelled, classes, cell.draw)
            return summary | evaluate(scores, sides.test.manifest, classes) | fitted

        return score_cell

    run = embeddings.run_name(row, seed)
    kept = run if classify_by == PATCHES else f"{run}-{classify_by}"
    origin = embeddings.origin(settings, corpus, row, seed) | {
        "classifier": classifiers.settings(classify_by) | {"seed": "draw"}
    }
    cells = cells_of(settings.output_dir, kept, corpus, labels_per_class, draws, origin)
    seed_of_row = seed if table_rows.of(row).seeded else None
    return fill(cells, row, kept, seed_of_row, scorer, again=rescore)
