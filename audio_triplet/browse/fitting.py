"""Fits the classifier that is taken away, in a process of its own: it needs TensorFlow.

    python -m audio_triplet.browse.fitting GIVEN WRITTEN

GIVEN holds given.npz (vectors) and given.json (labels, recordings, spans, model); WRITTEN gets the
folder `classifier` and scores.json, as by `audio-triplet classify fit`.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from audio_triplet import storage


def write(given: str, written: str) -> None:
    """Fits and checks a classifier.

    Args:
      given: Folder of vectors and labels.
      written: Folder for the classifier.
    """
    import pandas as pd

    from audio_triplet.classify import classifier, cross_validation
    from audio_triplet.classify.examples import Examples
    from audio_triplet.config import ClassifyConfig
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet
    from audio_triplet.evaluation import metrics
    from audio_triplet.provenance import provenance

    content = storage.read_json(os.path.join(given, "given.json"))
    with np.load(os.path.join(given, "given.npz"), allow_pickle=False) as arrays:
        vectors = arrays["vectors"]
    paths, starts, ends = zip(*content["spans"], strict=True)
    frame = pd.DataFrame(
        {
            "path": paths,
            "recording_id": content["recordings"],
            "labels": [";".join(labels) for labels in content["labels"]],
            "start_seconds": starts,
            "end_seconds": ends,
        }
    )
    embeddings = EmbeddingSet(
        Manifest(frame, "the answers"),
        vectors,
        np.arange(len(vectors), dtype=np.int32),
        np.ones(len(vectors), np.float32),
    )
    config = ClassifyConfig()
    examples = Examples.of(embeddings)
    fitted = classifier.fit(examples, config)
    checked = cross_validation.cross_validate(examples, config)
    score = None
    if checked is not None:
        score = {
            "map": checked.mean,
            "map_interval": checked.interval,
            "accuracy": checked.accuracy,
            "accuracy_interval": checked.accuracy_interval,
            "folds": int(checked.fold.max()) + 1,
            "per_class": metrics.by_class(examples.classes, checked.per_class),
        }
    recordings = examples.recordings()
    report = {
        "model": content["model"],
        "labelling": "single" if examples.is_single(config) else "multi",
        "hidden_units": config.hidden_units,
        "seed": config.seed,
        "regularised": fitted.regularised,
        "labels_per_class": float(np.median(examples.labels.sum(axis=0))),
        "segments": len(examples),
        "recordings": len(set(examples.groups)),
        "score": score,
        "log_mel": None,
        "unchecked_classes": [
            name for name, count in zip(examples.classes, recordings, strict=True) if count < 2
        ],
        "learning_curve": {},
        **provenance(),
    }
    storage.write_json(os.path.join(written, "scores.json"), report)
    classifier.SoundClassifier(
        examples.classes,
        fitted.classifier,
        content["model_digest"],
        report | {"fitted_on": content["spans"]},
    ).save(os.path.join(written, "classifier"))


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2])
