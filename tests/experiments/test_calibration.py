"""Probabilities of a classifier on a test side that it has not seen."""

import numpy as np
import pytest

from audio_triplet.classify.examples import Examples
from experiments import calibration
from tests.classify.test_classifier import embedded


def test_rows_of_sounds_that_overlap():
    labels = np.random.default_rng(0).permutation(["cat", "dog", "owl"] * 40).tolist()
    found = embedded(labels, spread=0.8)  # one draw of the classes' places for both sides
    first = np.arange(120) < 70
    train = Examples.of(found.select(first))
    test = Examples.of(found.select(~first), train.classes)
    table = calibration.rows(train, test, 0.8)
    names = [row["name"] for row in table["rows"]]
    assert names == [
        *("segments: scores", "segments: probabilities"),
        *("patches: scores", "patches: probabilities"),
    ]
    for row in table["rows"]:
        # Half of each score or a share of 1/3 is no better than this.
        assert 0 < row["brier"] < 3 * (1 / 3) * (2 / 3) and 0 <= row["error"] < 0.2
    segments, patches = table["thresholds"]
    assert segments["reached"] == segments["classes"] == 3
    assert 0.6 < segments["precision"] <= 1 and segments["found"] > 10
    assert patches["found"] > segments["found"]
    assert segments["precision_interval"][0] < segments["precision"]
    config = {"model": "m", "corpus": "c", "test_splits": ["test"], "precision": 0.8}
    config |= {"segments": {"train": 70, "test": 50}, "seconds": 1}
    config |= {"command": "c", "commit": "1", "machine": "m", "date": "d", "versions": {}}
    text = calibration.markdown(table | {"config": config})
    assert f"| 3 of 3 | {segments['found']} | {segments['precision']:.3f} (" in text


@pytest.mark.parametrize("value", [0.5, 0.25])
def test_measures_by_hand(value):
    # Two sounds, two classes, one each: Brier (v - 1)² + v² per sound, at ½ ½.
    values, labels = np.full((2, 2), value), np.eye(2, dtype=bool)
    found = calibration._measures(values, labels)
    assert found["brier"] == pytest.approx((value - 1) ** 2 + value**2)
    assert found["cross_entropy"] == pytest.approx(-np.log(value) - np.log(1 - value))
    assert found["error"] == pytest.approx(0.5 - value)
