"""Cells of Table 2: one score per run, number of labelled clips and draw; kept or computed."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from absl import logging

from experiments.lib.kept import KeptScores

if TYPE_CHECKING:
    import numpy as np

    from audio_triplet.data.manifest import Manifest
    from experiments.lib.corpus import Corpus


@dataclasses.dataclass(frozen=True)
class Cell:
    """One score to compute.

    Attributes:
      kept: The file of the score, with its settings.
      labels_per_class: Labelled clips per class.
      draw: Number of their draw.
    """

    kept: KeptScores
    labels_per_class: int
    draw: int


# Computes the scores of a cell.
Scorer = Callable[[Cell], dict]


def cells_of(
    output_dir: str,
    run: str,
    corpus: Corpus,
    labels_per_class: Sequence[int],
    draws: int,
    origin: dict,
) -> list[Cell]:
    """The cells of one run.

    Args:
      output_dir: Folder of the experiment.
      run: Name of the run.
      corpus: The corpus to score on.
      labels_per_class: Numbers of labelled clips.
      draws: Draws of each.
      origin: The settings that all scores of the run depend on.

    Returns:
      The cells draw by draw, so that finished cells give an estimate of the time left.
    """
    folder = os.path.join(output_dir, "few_labels", run)
    return [
        Cell(
            KeptScores(
                os.path.join(folder, f"labels{count}-draw{draw}.json"),
                origin | {"test_splits": corpus.test_splits, "labels": count, "draw": draw},
            ),
            count,
            draw,
        )
        for draw in range(draws)
        for count in labels_per_class
    ]


def fill(
    cells: Sequence[Cell],
    row: str,
    run: str,
    seed: int | None,
    scorer: Callable[[list[Cell]], Scorer],
    again: bool = False,
) -> list[dict]:
    """Scores of the cells: read where they are kept, else computed and kept.

    Args:
      cells: The cells of one run.
      row: The row they are of.
      run: Name of the run, for the log.
      seed: Seed of the row's encoder; None where it has none.
      scorer: Makes the function that scores cells, when first needed, from the missing cells.
      again: Whether all are computed again, even if they are kept.

    Returns:
      The scores, each with `name`, `seed`, `labels_per_class`, `draw`.
    """
    scores = [None if again else cell.kept.read() for cell in cells]
    missing = [cell for cell, kept in zip(cells, scores, strict=True) if kept is None]
    score, spent, done = scorer(missing) if missing else None, 0.0, 0
    for index, cell in enumerate(cells):
        if scores[index] is not None:
            continue
        started = time.monotonic()
        scores[index] = score(cell)
        scores[index]["seconds"] = round(time.monotonic() - started, 1)
        spent, done = spent + time.monotonic() - started, done + 1
        cell.kept.write(scores[index])
        logging.info(
            "%s, %d labels per class, draw %d: mAP %.3f; about %.0f min left for the row's %d more",
            run,
            cell.labels_per_class,
            cell.draw,
            scores[index]["cls_map"],
            seconds_left(spent, done, len(missing)) / 60,
            len(missing) - done,
        )
    return [
        {"name": row, "seed": seed, "labels_per_class": cell.labels_per_class, "draw": cell.draw}
        | found
        for cell, found in zip(cells, scores, strict=True)
    ]


def seconds_left(spent: float, done: int, cells: int) -> float:
    """An estimate from the finished cells, as if all took as long.

    Args:
      spent: Seconds for those that are done.
      done: How many those are.
      cells: How many there are in all.
    """
    return spent / done * (cells - done)


def draw_labelled(
    manifest: Manifest, classes: tuple[str, ...], cell: Cell
) -> tuple[np.ndarray, dict]:
    """The labelled clips of a cell, the same for every row.

    Args:
      manifest: The training side's labelled segments.
      classes: Names of the labels.
      cell: The cell.

    Returns:
      bool[segments], and what the score's file says of them: `clips`, how many; `short_classes`
      and `repeated_classes`, where there were fewer clips, or recordings, than asked for;
      `segments`, their indices among the training side's labelled ones.
    """
    import numpy as np

    from audio_triplet.evaluation import few_labels

    drawn = few_labels.draw(
        manifest.label_matrix(classes),
        manifest.frame["recording_id"].to_numpy(str).tolist(),
        cell.labels_per_class,
        cell.draw,
    )
    keep = np.zeros(len(manifest), bool)
    keep[drawn.segments] = True
    summary = {
        "clips": len(drawn.segments),
        "short_classes": {
            name: int(clips)
            for name, clips in zip(classes, drawn.clips, strict=True)
            if clips < cell.labels_per_class
        },
        "repeated_classes": int(np.sum(drawn.recordings < drawn.clips)),
        "segments": drawn.segments.tolist(),
    }
    return keep, summary


def evaluate(scores: np.ndarray, manifest: Manifest, classes: tuple[str, ...]) -> dict:
    """Classification mAP and accuracy on the test side.

    Args:
      scores: float[segments, classes].
      manifest: The test side's segments.
      classes: Names of the labels.

    Returns:
      `cls_map`, `accuracy` (None if segments have several labels), `cls_per_class`.
    """
    from audio_triplet.evaluation import classification, metrics

    result = classification.evaluate_classifier(scores, manifest.label_matrix(classes))
    return {
        "cls_map": result.mean,
        "accuracy": result.accuracy,
        "cls_per_class": metrics.by_class(classes, result.per_class),
    }
