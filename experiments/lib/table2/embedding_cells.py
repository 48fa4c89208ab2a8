"""The shallow classifier on one embedding, for every number of labelled clips and draw."""

from __future__ import annotations

import dataclasses
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

if TYPE_CHECKING:
    from experiments.lib.corpus import Corpus


def score(
    settings: ExperimentSettings,
    corpus: Corpus,
    row: str,
    seed: int,
    labels_per_class: Sequence[int],
    draws: int,
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
      rescore: Whether all are computed again, on an embedding that must exist.

    Returns:
      As `cells.fill`.
    """
    from audio_triplet.evaluation import classification
    from audio_triplet.evaluation.shallow_network import ClassifierConfig
    from experiments.lib import protocol

    classes = corpus.manifest.classes

    def scorer(missing: list[Cell]) -> Scorer:
        del missing
        everything = embeddings.of_row(settings, corpus, row, seed, rescore=rescore)
        sides = protocol.split_sides(everything, corpus.test_splits)

        def score_cell(cell: Cell) -> dict:
            drawn, summary = draw_labelled(sides.train.manifest, classes, cell)
            train, test = sides.train.select(drawn), sides.test
            classifier = classification.fit_classifier(
                train.vectors,
                train.segment_index,
                train.manifest.label_matrix(classes),
                segment_groups=protocol.recordings(train),
                config=ClassifierConfig(seed=cell.draw),
            )
            scores = classifier.predict_segments(
                test.vectors, test.segment_index, len(test.manifest)
            )
            return (
                summary
                | evaluate(scores, test.manifest, classes)
                | {"rounds": classifier.rounds, "held_back": bool(classifier.validation_map)}
            )

        return score_cell

    run = embeddings.run_name(row, seed)
    origin = embeddings.origin(settings, corpus, row, seed) | {
        "classifier": dataclasses.asdict(ClassifierConfig()) | {"seed": "draw"}
    }
    cells = cells_of(settings.output_dir, run, corpus, labels_per_class, draws, origin)
    seed_of_row = seed if table_rows.of(row).seeded else None
    return fill(cells, row, run, seed_of_row, scorer, again=rescore)
