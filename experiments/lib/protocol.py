"""The evaluations of one representation on a corpus; all tables are scored here.

In: embeddings of a corpus's segments (see `split_sides`). Out: named scores, see `scores`.
"""

import dataclasses

import numpy as np
from absl import logging

from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import description
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.evaluation import classification, metrics, probe, retrieval
from audio_triplet.evaluation.shallow_network import ClassifierConfig


@dataclasses.dataclass(frozen=True)
class Sides:
    """The same representation of the training and the test segments."""

    train: EmbeddingSet
    test: EmbeddingSet


def split_sides(embeddings: EmbeddingSet, test_splits: tuple[str, ...]) -> Sides:
    """Splits embeddings of all labelled segments into training and test side.

    A segment without labels may belong to any class, so it is no evidence for or against one.

    Args:
      embeddings: All segments.
      test_splits: Names of the test splits.

    Returns:
      The two sides.
    """
    labelled = (embeddings.manifest.frame["labels"] != "").to_numpy()
    is_test = embeddings.manifest.frame["split"].isin(test_splits).to_numpy()
    return Sides(embeddings.select(labelled & ~is_test), embeddings.select(labelled & is_test))


def shuffle_labels(sides: Sides, seed: int) -> Sides:
    """The sides with the labels permuted among the segments of each: nothing is left to find."""
    rng = np.random.default_rng([seed, 2])

    def shuffled(side: EmbeddingSet) -> EmbeddingSet:
        frame = side.manifest.frame
        frame = frame.assign(labels=rng.permutation(frame["labels"].to_numpy(str)))
        return dataclasses.replace(side, manifest=Manifest(frame, side.manifest.name))

    return Sides(shuffled(sides.train), shuffled(sides.test))


def score(
    sides: Sides,
    classes: tuple[str, ...],
    config: ClassifierConfig,
    silence_energy: float | None = None,
    described: bool = False,
) -> dict:
    """All evaluations of the test side (the paper, evaluations 1 and 2; and a linear probe).

    The classifier and the probe are fitted on the training side; query by example needs none.

    Args:
      sides: Embeddings.
      classes: Names of the labels; each must occur on the test side to be scored.
      config: The classifier.
      silence_energy: Score also segments that are means over patches with more than this mean
        energy per cell, as `audible`.
      described: Score also the probe on descriptions of segments, as `described`, and segments that
        are means by loudness, as `loud`.

    Returns:
      What `retrieval_scores` and `probe_scores` return; `cls_map`, `accuracy` (None if segments
      have several labels), `roc_auc` and `d_prime` (None where undefined) and `cls_per_class` of
      the paper's classifier; `absent`, the names of the classes without a test segment, which all
      means leave out; `chance`, see `chance`;
      and if asked `audible`, with the scores of the first two and `silent_share`, the share of
      test segments that have a silent patch; `described`, what `described_scores` returns, and
      `loud`, the scores of the first two.
    """
    train, test = sides.train, sides.test
    segments = train.segment_means, test.segment_means
    labels = test.manifest.label_matrix(classes)
    found = retrieval_scores(segments[1], sides, classes)
    found |= probe_scores(*segments, sides, classes)
    classifier = classification.fit_classifier(
        train.vectors,
        train.segment_index,
        train.manifest.label_matrix(classes),
        segment_groups=recordings(train),
        config=config,
    )
    scores = classifier.predict_segments(test.vectors, test.segment_index, len(test.manifest))
    result = classification.evaluate_classifier(scores, labels)
    absent = [classes[number] for number in result.left_out]
    if absent:
        logging.warning(
            "%d of %d classes have no test segment and are left out: %s",
            len(absent),
            len(classes),
            ", ".join(absent),
        )
    found |= {
        "cls_map": result.mean,
        "accuracy": result.accuracy,
        "roc_auc": _finite(result.roc_auc),
        "d_prime": _finite(result.d_prime),
        "absent": absent,
        "cls_per_class": metrics.by_class(classes, result.per_class),
        "chance": chance(sides, classes),
    }
    if silence_energy is not None:
        loud = (
            train.audible_segment_means(silence_energy),
            test.audible_segment_means(silence_energy),
        )
        audible = _of_segments(*loud, sides, classes)
        silent = np.bincount(test.segment_index, test.energy <= silence_energy, len(test.manifest))
        found["audible"] = audible | {"silent_share": float(np.mean(silent > 0))}
    if described:
        found["described"] = described_scores(sides, classes)
        loud = train.loud_segment_means, test.loud_segment_means
        found["loud"] = _of_segments(*loud, sides, classes)
    return found


def _of_segments(
    train_segment: np.ndarray, test_segment: np.ndarray, sides: Sides, classes: tuple[str, ...]
) -> dict:
    """Retrieval and probe of other segment embeddings, without the scores of classes."""
    found = retrieval_scores(test_segment, sides, classes)
    found |= probe_scores(train_segment, test_segment, sides, classes)
    return {name: value for name, value in found.items() if "per_class" not in name}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def retrieval_scores(segment: np.ndarray, sides: Sides, classes: tuple[str, ...]) -> dict:
    """Query by example.

    Args:
      segment: float32[segments, dim] of the test side.
      sides: Gives the test side's labels and recordings.
      classes: Names of the labels.

    Returns:
      `qbe_map` (pairs, as in the paper), `query_map` (a mean over queries), and per class
      `qbe_per_class` and `query_per_class` (class → score, None where it cannot be computed).
    """
    labels = sides.test.manifest.label_matrix(classes)
    groups = recordings(sides.test)
    by_pair = retrieval.query_by_example_map(segment, labels, groups)
    by_query = retrieval.per_query_map(segment, labels, groups)
    return {
        "qbe_map": by_pair.mean,
        "query_map": by_query.mean,
        "qbe_per_class": metrics.by_class(classes, by_pair.per_class),
        "query_per_class": metrics.by_class(classes, by_query.per_class),
    }


def probe_scores(
    train_segment: np.ndarray, test_segment: np.ndarray, sides: Sides, classes: tuple[str, ...]
) -> dict:
    """The linear probe on segment embeddings: its penalty is chosen inside the training side.

    Args:
      train_segment: float32[segments, dim] of the training side.
      test_segment: The same of the test side.
      sides: Gives labels and recordings.
      classes: Names of the labels.

    Returns:
      `probe_map`, `probe_accuracy` (None if segments have several labels), `probe_per_class`,
      `probe_penalty`.
    """
    fitted = probe.fit_probe(
        train_segment, sides.train.manifest.label_matrix(classes), recordings(sides.train)
    )
    return scores_of_probe(fitted, test_segment, sides, classes)


def described_scores(sides: Sides, classes: tuple[str, ...]) -> dict:
    """The linear probe on descriptions of segments, fitted as `classify fit` fits [D].

    Args:
      sides: Embeddings.
      classes: Names of the labels.

    Returns:
      As `probe_scores`.
    """
    return scores_of_probe(*fit_described(sides, classes), sides, classes)


def fit_described(
    sides: Sides,
    classes: tuple[str, ...],
    config: probe.ProbeConfig | None = None,
    by_loudness: bool = True,
) -> tuple[probe.Probe, np.ndarray]:
    """Fits the linear probe on descriptions of the training side's segments.

    Args:
      sides: Embeddings.
      classes: Names of the labels.
      config: Of the probe; None for its defaults.
      by_loudness: Whether louder patches count more in a description.

    Returns:
      The probe, and the descriptions of the test side's segments, which it can score.
    """
    train, test = sides.train, sides.test
    given = description.to_learn_from(
        train.vectors, train.segment_index, len(train.manifest), train.energy, by_loudness
    )
    fitted = probe.fit_probe(
        given.rows,
        train.manifest.label_matrix(classes)[given.owner],
        recordings(train)[given.owner].tolist(),
        config,
        given.judged,
        given.weights,
    )
    loud = test.energy if by_loudness else None
    return fitted, description.describe(
        test.vectors, test.segment_index, len(test.manifest), energy=loud
    )


def scores_of_probe(
    fitted: probe.Probe, test_segment: np.ndarray, sides: Sides, classes: tuple[str, ...]
) -> dict:
    """Scores of a fitted probe on the test side.

    Args:
      fitted: The probe.
      test_segment: float32[segments, dim] of the test side.
      sides: Gives labels and recordings.
      classes: Names of the labels.

    Returns:
      As `probe_scores`.
    """
    result = classification.evaluate_classifier(
        fitted.predict(test_segment), sides.test.manifest.label_matrix(classes)
    )
    return {
        "probe_map": result.mean,
        "probe_accuracy": result.accuracy,
        "probe_per_class": metrics.by_class(classes, result.per_class),
        "probe_penalty": fitted.penalty,
    }


def chance(sides: Sides, classes: tuple[str, ...]) -> dict[str, float | None]:
    """The average of each score for embeddings without information: the mean over all rankings.

    Accuracy is that of guessing each class as often as it occurs on the training side.
    """
    labels, groups = sides.test.manifest.label_matrix(classes), recordings(sides.test)
    train_labels = sides.train.manifest.label_matrix(classes)
    expected = metrics.chance_average_precision
    pairs = retrieval.query_by_example_map(np.zeros((len(labels), 1)), labels, groups)
    by_pair = expected(pairs.target_pairs, pairs.target_pairs + pairs.non_target_pairs)
    by_query = []
    for row, own in enumerate(groups):
        others = groups != own
        shared = labels[:, labels[row]].any(axis=1)
        by_query.append(expected((shared & others).sum(), others.sum()))
    by_class = expected(labels.sum(axis=0), np.full(len(classes), len(labels)))
    single = (labels.sum(axis=1) == 1).all() and (train_labels.sum(axis=1) == 1).all()
    accuracy = float(train_labels.mean(axis=0) @ labels.mean(axis=0)) if single else None
    cls_map = metrics.mean_over_classes(by_class)
    return {
        "qbe_map": metrics.mean_over_classes(by_pair),
        "query_map": metrics.mean_over_classes(np.concatenate(by_query)),
        "cls_map": cls_map,
        "accuracy": accuracy,
        "probe_map": cls_map,
        "probe_accuracy": accuracy,
    }


def recordings(side: EmbeddingSet) -> np.ndarray:
    """The recording of each segment."""
    return side.recording_ids
