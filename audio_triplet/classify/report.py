"""What `classify fit` says of a classifier: the content of scores.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audio_triplet.classify import calibration
from audio_triplet.classify.examples import Examples
from audio_triplet.config import ClassifyConfig
from audio_triplet.evaluation import metrics
from audio_triplet.provenance import provenance

if TYPE_CHECKING:
    from audio_triplet.classify.classifier import Fitted
    from audio_triplet.classify.cross_validation import Checked, CurvePoint


def report_of(
    model: str,
    examples: Examples,
    fitted: Fitted,
    checked: Checked | None,
    config: ClassifyConfig,
    checked_log_mel: Checked | None = None,
    curves: Mapping[str, Sequence[CurvePoint]] | None = None,
) -> dict[str, Any]:
    """The report of a fitted classifier.

    Args:
      model: Folder of its model.
      examples: What it was fitted on.
      fitted: The classifier.
      checked: Its cross-validated score; None if there is none.
      config: How it was fitted.
      checked_log_mel: Log mel's score, for comparison.
      curves: Learning curves by name.

    Returns:
      What JSON can hold.
    """
    recordings = examples.recordings()
    return {
        "model": model,
        "labelling": "single" if examples.is_single(config) else "multi",
        "hidden_units": config.hidden_units,
        "likeness": fitted.classifier.likeness is not None,
        "seed": config.seed,
        "regularised": fitted.regularised,
        "labels_per_class": float(np.median(examples.labels.sum(axis=0))),
        "segments": len(examples),
        "recordings": len(set(examples.groups)),
        "score": _score(checked, examples.classes),
        "log_mel": _score(checked_log_mel, examples.classes),
        "precision": config.precision,
        **_meaning(checked, examples, config.precision),
        "unchecked_classes": [
            name for name, count in zip(examples.classes, recordings, strict=True) if count < 2
        ],
        "learning_curve": {
            name: {str(point.per_class): point.means for point in points}
            for name, points in (curves or {}).items()
        },
        **provenance(),
    }


def _score(checked: Checked | None, classes: Sequence[str]) -> dict | None:
    """A cross-validated score, as scores.json has it; None if there is none."""
    if checked is None:
        return None
    return {
        "map": checked.mean,
        "map_interval": checked.interval,
        "accuracy": checked.accuracy,
        "accuracy_interval": checked.accuracy_interval,
        "folds": int(checked.fold.max()) + 1,
        "per_class": metrics.by_class(classes, checked.per_class),
    }


def _meaning(checked: Checked | None, examples: Examples, precision: float) -> dict[str, Any]:
    """What scores mean, for scores.json: `calibration`, and `reliability` before and after it."""
    if checked is None or checked.patch_scores is None:
        return {"calibration": None, "reliability": None}
    found = calibration.calibrate(
        checked.scores,
        checked.patch_scores,
        examples.segment_index,
        examples.labels,
        examples.groups,
        checked.fold,
        precision,
    )
    after = calibration.held_out(checked.scores, examples.labels, checked.fold)
    bins = {
        name: calibration.reliability(*calibration.top_class(values, examples.labels), bins=10)
        for name, values in (("scores", checked.scores), ("probabilities", after))
    }
    return {
        "calibration": {name: of.as_json() for name, of in found.items()},
        "reliability": {
            name: {
                "error": calibration.calibration_error(of),
                "bins": [dataclasses.asdict(each) for each in of],
            }
            for name, of in bins.items()
        },
    }
