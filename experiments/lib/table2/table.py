"""Making Table 2: training and scoring what is missing, and writing the table."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from audio_triplet.config import EXPLICIT
from audio_triplet.evaluation import table_rows
from audio_triplet.evaluation.table_rows import (
    BASELINE,
    JOINT,
    SCRATCH,
    SCRATCH_ROWS,
    SHUFFLED,
)
from experiments.lib import script, tables
from experiments.lib.settings import ExperimentSettings, check_labelled
from experiments.lib.table2 import figure
from experiments.lib.table2.classify_by import PATCHES
from experiments.lib.table2.rows import rows_of
from experiments.lib.table2.scratch_config import ScratchConfig
from experiments.lib.table2.text import markdown

ROWS = (JOINT, BASELINE, EXPLICIT, SCRATCH)


def known_rows() -> tuple[str, ...]:
    """All rows that the table can have."""
    extra = (row for row in table_rows.extra_rows() if row != SHUFFLED)
    return (*table_rows.ROWS, *extra, *SCRATCH_ROWS)


@dataclasses.dataclass(frozen=True)
class Table2Options:
    """The extent of Table 2.

    Attributes:
      rows: Keys of the rows, in order.
      labels_per_class: Numbers of labelled clips, ascending.
      draws: Draws of the labelled clips.
      seeds: Seeds of the trained embeddings; every draw is scored with each.
      scratch: How the network from scratch is trained.
      classify_by: What the classifier on an embedding learns from, of `CLASSIFY_BY`.
      rescore: Whether kept embeddings are scored again, and nothing is trained.
    """

    rows: Sequence[str] = ROWS
    labels_per_class: Sequence[int] = (1, 2, 5, 10, 20)
    draws: int = 5
    seeds: Sequence[int] = (0,)
    scratch: ScratchConfig = ScratchConfig()
    classify_by: str = PATCHES
    rescore: bool = False


def make_table(settings: ExperimentSettings, options: Table2Options) -> dict:
    """Trains and scores what is missing, and writes the table.

    Args:
      settings: Corpus, folder, and how encoders are trained.
      options: The extent of the table.

    Returns:
      The content of table2.json.

    Raises:
      UsageError: A row is unknown, or an embedding is missing with `rescore`.
    """
    script.check_rows(options.rows, known_rows())

    # Imported late, so that wrong options are reported without waiting for TensorFlow.
    from experiments.lib.table2 import classifiers, embedding_cells, scratch_cells

    making = tables.Making.begin(settings.output_dir)
    corpus = check_labelled(settings.open_corpus())
    labels, draws = options.labels_per_class, options.draws
    cells = []
    for row in options.rows:
        if row in SCRATCH_ROWS:
            recipe = options.scratch if row == SCRATCH else options.scratch.plain()
            cells += scratch_cells.score(
                settings, corpus, labels, draws, recipe, options.rescore, row
            )
            continue
        for seed in options.seeds if table_rows.of(row).seeded else options.seeds[:1]:
            cells += embedding_cells.score(
                settings, corpus, row, seed, labels, draws, options.classify_by, options.rescore
            )
    run_of_joint = settings.run_config(JOINT, corpus, options.seeds[0])
    config = making.config(
        corpus,
        segments=len(corpus.manifest),
        classes=len(corpus.manifest.classes),
        run=settings.summary(run_of_joint),
        topline_learning_rate=settings.topline_learning_rate,
        classify_by=options.classify_by,
        classifier=classifiers.settings(options.classify_by),
        scratch=dataclasses.asdict(options.scratch),
    )
    table = {
        "rows": rows_of(cells),
        "config": config | {"seconds_of_cells": round(sum(cell["seconds"] for cell in cells))},
    }
    path = os.path.join(settings.output_dir, "table2")
    tables.write(path, table, markdown(table), figure.draw)
    return table
