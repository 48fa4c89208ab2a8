"""Fits the classifier that is taken away, in a process of its own: what it imports is heavy.

    python -m audio_triplet.browse.fitting GIVEN WRITTEN

GIVEN holds given.npz (vectors, and the moment of each) and given.json (labels, recordings, spans,
model); WRITTEN gets the folder `classifier` and scores.json, as by `audio-triplet classify fit`.
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

    from audio_triplet.classify import classifier, cross_validation, report
    from audio_triplet.classify.examples import Examples
    from audio_triplet.config import ClassifyConfig
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet

    content = storage.read_json(os.path.join(given, "given.json"))
    with np.load(os.path.join(given, "given.npz"), allow_pickle=False) as arrays:
        vectors, owner = arrays["vectors"], arrays["owner"]
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
        owner,
        np.ones(len(vectors), np.float32),
    )
    config = ClassifyConfig()
    examples = Examples.of(embeddings)
    fitted = classifier.fit(examples, config)
    checked = cross_validation.cross_validate(examples, config)
    made = report.report_of(content["model"], examples, fitted, checked, config)
    storage.write_json(os.path.join(written, "scores.json"), made)
    classifier.SoundClassifier(
        examples.classes,
        fitted.classifier,
        content["model_digest"],
        made | {"fitted_on": content["spans"]},
    ).save(os.path.join(written, "classifier"))


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2])
