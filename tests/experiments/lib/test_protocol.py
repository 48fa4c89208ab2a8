"""Scores of a representation, at the edges: classes that the test side lacks."""

import numpy as np
import pandas as pd
import pytest

from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.evaluation import metrics
from audio_triplet.evaluation.shallow_network import ClassifierConfig
from experiments.lib import protocol


def test_absent_classes_are_named_and_left_out_of_every_mean(caplog):
    classes = ("bark", "bell", "rain")
    labels = ["bark", "bell", "rain", "bark;bell"] * 6 + ["bark", "bell", "bark;bell"] * 4
    split = ["train"] * 24 + ["test"] * 12  # no rain in it
    manifest = Manifest(
        pd.DataFrame(
            {
                "path": [f"/{number}.wav" for number in range(36)],
                "labels": labels,
                "split": split,
            }
        )
    )
    random = np.random.default_rng(0)
    clean = manifest.label_matrix(classes) @ np.eye(3, 8)
    embeddings = (clean + 0.6 * random.normal(size=clean.shape)).astype(np.float32)
    every = EmbeddingSet(
        manifest=manifest,
        row=np.arange(36),
        vectors=embeddings,
        segment_index=np.arange(36, dtype=np.int32),
        energy=np.ones(36, np.float32),
    )
    found = protocol.score(protocol.split_sides(every, ("test",)), classes, ClassifierConfig())
    assert found["absent"] == ["rain"]
    assert "1 of 3 classes have no test segment and are left out: rain" in caplog.text
    assert found["cls_per_class"]["rain"] is None and found["qbe_per_class"]["rain"] is None
    scored = [found["cls_per_class"][name] for name in ("bark", "bell")]
    assert found["cls_map"] == pytest.approx(np.mean(scored))
    assert found["d_prime"] == pytest.approx(metrics.d_prime(found["roc_auc"]))
    assert found["accuracy"] is None  # some segments have two labels
