"""The classifiers on an embedding: fitted on the labelled clips, they score the test side."""

from __future__ import annotations

import dataclasses

import numpy as np

from audio_triplet.classify import by_likeness, combined
from audio_triplet.embeddings import description, loudness
from audio_triplet.evaluation import classification, probe
from audio_triplet.evaluation.shallow_network import ClassifierConfig
from experiments.lib import protocol
from experiments.lib.protocol import Sides
from experiments.lib.table2.classify_by import DESCRIPTION, LIKENESS, PATCHES


def settings(classify_by: str) -> dict:
    """The settings of a classifier, by its key in `CLASSIFY_BY`."""
    if classify_by == PATCHES:
        return dataclasses.asdict(ClassifierConfig())
    described = dataclasses.asdict(probe.ProbeConfig())
    described["window_patches"] = description.WINDOW_PATCHES
    described["energy_power"] = loudness.ENERGY_POWER
    if classify_by == DESCRIPTION:
        return described
    return described | {
        "most_vectors": by_likeness.MOST_VECTORS,
        "background": loudness.BACKGROUND,
        "sharpness": by_likeness.SHARPNESS,
        "penalty": by_likeness.PENALTY,
        "prior": by_likeness.PRIOR,
        "powers": [combined.DESCRIPTION, combined.LIKENESS],
    }


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
    ways = {PATCHES: _by_patches, DESCRIPTION: _by_description, LIKENESS: _by_likeness}
    return ways[classify_by](sides, classes, draw)


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


def _by_description(
    sides: Sides, classes: tuple[str, ...], draw: int, by_loudness: bool = True
) -> tuple[np.ndarray, dict]:
    """Logistic regression on descriptions, learned as `classify fit` learns [D]."""
    fitted, described = protocol.fit_described(
        sides, classes, probe.ProbeConfig(seed=draw), by_loudness
    )
    chosen = {"penalty": fitted.penalty, "held_back": bool(fitted.cross_validated)}
    return fitted.predict(described), chosen


def _by_likeness(sides: Sides, classes: tuple[str, ...], draw: int) -> tuple[np.ndarray, dict]:
    """That, and likenesses to each labelled segment, as `classify fit` combines them [D]."""
    train, test = sides.train, sides.test
    with_likeness = train.vectors.shape[1] <= by_likeness.MOST_DIMENSIONS
    described, chosen = _by_description(sides, classes, draw, by_loudness=not with_likeness)
    if not with_likeness:
        return described, chosen | {"likenesses": False}
    labels = train.manifest.label_matrix(classes)
    single = bool((labels.sum(axis=1) == 1).all())
    fitted = by_likeness.fit(
        train.vectors, train.segment_index, train.energy, labels, single, seed=draw
    )
    scores = fitted.predict_segments(
        test.vectors, test.segment_index, len(test.manifest), energy=test.energy
    )
    return combined.combined(described, scores, single), chosen | {"likenesses": True}
