"""The classifiers on an embedding: fitted on the labelled clips, they score the test side."""

from __future__ import annotations

import dataclasses

import numpy as np

from audio_triplet.embeddings import description
from audio_triplet.evaluation import classification, probe
from audio_triplet.evaluation.shallow_network import ClassifierConfig
from experiments.lib import protocol
from experiments.lib.protocol import Sides
from experiments.lib.table2.classify_by import DESCRIPTION, PATCHES


def settings(classify_by: str) -> dict:
    """The settings of a classifier, by its key in `CLASSIFY_BY`."""
    if classify_by == PATCHES:
        return dataclasses.asdict(ClassifierConfig())
    return dataclasses.asdict(probe.ProbeConfig()) | {"window_patches": description.WINDOW_PATCHES}


def score(
    classify_by: str, sides: Sides, classes: tuple[str, ...], draw: int
) -> tuple[np.ndarray, dict]:
    """Fits on the training side, and scores the test side.

    Args:
      classify_by: One of `CLASSIFY_BY`.
      sides: The labelled clips, and those to score.
      classes: Names of the labels.
      draw: Seed of what is drawn.

    Returns:
      Scores float[segments, classes]; and `held_back`, whether clips were held back for a choice,
      with what was chosen by them.
    """
    return {PATCHES: _by_patches, DESCRIPTION: _by_description}[classify_by](sides, classes, draw)


def _by_patches(sides: Sides, classes: tuple[str, ...], draw: int) -> tuple[np.ndarray, dict]:
    """The paper's shallow network; a segment's score is the mean of its patches'."""
    train, test = sides.train, sides.test
    classifier = classification.fit_classifier(
        train.vectors,
        train.segment_index,
        train.manifest.label_matrix(classes),
        segment_groups=protocol.recordings(train),
        config=ClassifierConfig(seed=draw),
    )
    scores = classifier.predict_segments(test.vectors, test.segment_index, len(test.manifest))
    return scores, {"rounds": classifier.rounds, "held_back": bool(classifier.validation_map)}


def _by_description(sides: Sides, classes: tuple[str, ...], draw: int) -> tuple[np.ndarray, dict]:
    """Logistic regression on descriptions, learned as `classify fit` learns [D]."""
    fitted, described = protocol.fit_described(sides, classes, probe.ProbeConfig(seed=draw))
    chosen = {"penalty": fitted.penalty, "held_back": bool(fitted.cross_validated)}
    return fitted.predict(described), chosen
