"""The network from scratch, for every number of labelled clips and draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audio_triplet.evaluation.table_rows import BASELINE, SCRATCH
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
from experiments.lib.table2.scratch_config import ScratchConfig

if TYPE_CHECKING:
    from experiments.lib.corpus import Corpus


def score(
    settings: ExperimentSettings,
    corpus: Corpus,
    labels_per_class: Sequence[int],
    draws: int,
    recipe: ScratchConfig,
    rescore: bool = False,
    row: str = SCRATCH,
) -> list[dict]:
    """Scores of the network from scratch.

    Args:
      settings: The folder, and the encoder whose network it is.
      corpus: The corpus to score on.
      labels_per_class: Numbers of labelled clips.
      draws: Draws of each.
      recipe: How it is trained.
      rescore: Whether the log mel baseline's patches, which are scored, must exist. The
        networks' own scores are kept in any case, because they have no embedding.
      row: One of `SCRATCH_ROWS`.

    Returns:
      As `cells.fill`.
    """

    def scorer(missing: list[Cell]) -> Scorer:
        import numpy as np

        from experiments.lib import protocol
        from experiments.lib.table2 import scratch

        # The log mel baseline holds exactly the patches that the embeddings are made from.
        log_mel = embeddings.of_row(settings, corpus, BASELINE, 0, rescore=rescore)
        sides = protocol.split_sides(log_mel, corpus.test_splits)
        classes, train, test = corpus.manifest.classes, sides.train, sides.test
        labels = train.manifest.label_matrix(classes)
        recordings = protocol.recordings(train)
        draws = {cell.kept.path: draw_labelled(train.manifest, classes, cell) for cell in missing}
        ever_drawn = np.any([drawn for drawn, _ in draws.values()], axis=0)
        energies = scratch.read_energies(corpus.train, train.row[ever_drawn])
        single = bool((labels.sum(axis=1) == 1).all())
        network = scratch.FromScratch(settings.encoder, len(classes), single, recipe)
        patches = test.vectors.reshape(len(test.vectors), -1, scratch.MELS)

        def score_cell(cell: Cell) -> dict:
            drawn, summary = draws[cell.kept.path]
            clips = scratch.Clips(
                [energies[row] for row in train.row[drawn]], labels[drawn], recordings[drawn]
            )
            network.fit(clips, seed=cell.draw)
            scores = network.predict_segments(patches, test.segment_index, len(test.manifest))
            return (
                summary
                | evaluate(scores, test.manifest, classes)
                | {"steps": network.steps, "held_back": bool(network.validation_map)}
            )

        return score_cell

    origin = {
        "corpus": corpus.fingerprint,
        "encoder": dataclasses.asdict(settings.encoder),
        "scratch": dataclasses.asdict(recipe),
    }
    cells = cells_of(settings.output_dir, row, corpus, labels_per_class, draws, origin)
    return fill(cells, row, row, None, scorer)
