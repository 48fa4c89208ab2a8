"""The evaluations of one representation on a corpus: one code path for every row of every table."""

import dataclasses

import numpy as np
from absl import logging

from audio_triplet.embedding import SegmentEmbeddings
from audio_triplet.evaluation import classification, retrieval


@dataclasses.dataclass(frozen=True)
class Sides:
    """The same representation of the training and the test segments."""

    train: SegmentEmbeddings
    test: SegmentEmbeddings


def split_sides(embeddings: SegmentEmbeddings, test_splits: tuple[str, ...]) -> Sides:
    """Parts embeddings of all labelled segments into training and test side by their split.

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


def score(
    sides: Sides,
    classes: tuple[str, ...],
    config: classification.ClassifierConfig,
) -> dict:
    """Query by example and classification of the test side (paper.md, Evaluations 1 and 2).

    The classifier is trained on the training side; query by example needs no training.

    Args:
      sides: Embeddings.
      classes: Names of the labels; each must occur on the test side to be scored.
      config: The classifier.

    Returns:
      `qbe_map` (pairs, as in the paper), `query_map` (a mean over queries), `cls_map`,
      `accuracy` (None if segments have several labels), `roc_auc` and `d_prime` of the
      classification (None where undefined), per class `qbe_per_class`, `cls_per_class` (class →
      score, None where it cannot be computed), and `absent`, the names of the classes without a
      test segment, which all means leave out.
    """
    test, train = sides.test, sides.train
    labels = test.manifest.label_matrix(classes)
    groups = test.manifest.frame["recording_id"].to_numpy(str)
    by_pair = retrieval.query_by_example_map(test.segment, labels, groups)
    by_query = retrieval.per_query_map(test.segment, labels, groups)
    classifier = classification.fit_classifier(
        train.patch,
        train.patch_segment,
        train.manifest.label_matrix(classes),
        segment_groups=train.manifest.frame["recording_id"].to_numpy(str),
        config=config,
    )
    scores = classifier.predict_segments(test.patch, test.patch_segment, len(test.manifest))
    result = classification.evaluate_classifier(scores, labels)
    absent = [classes[number] for number in result.left_out]
    if absent:
        logging.warning(
            "%d of %d classes have no test segment and are left out: %s", len(absent),
            len(classes), ", ".join(absent),
        )
    return {
        "qbe_map": by_pair.mean,
        "query_map": by_query.mean,
        "cls_map": result.mean,
        "accuracy": result.accuracy,
        "roc_auc": _finite(result.roc_auc),
        "d_prime": _finite(result.d_prime),
        "absent": absent,
        "qbe_per_class": per_class(classes, by_pair.per_class),
        "cls_per_class": per_class(classes, result.per_class),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def per_class(classes: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    """Class → value, None for NaN (JSON has none)."""
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(classes, values, strict=True)
    }
