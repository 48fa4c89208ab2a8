"""Rows of Table 1, by hand."""

import numpy as np
import pytest

from experiments.lib.scores import SCORES
from experiments.lib.table1 import rows as table1_rows


def scores(qbe, cls, accuracy=0.5, others=None):
    """Scores of one trial; `others` are the classes' own, the mean apart."""
    by_class = others or {"a": qbe, "b": None}
    return {
        "qbe_map": qbe,
        "query_map": qbe,
        "cls_map": cls,
        "accuracy": accuracy,
        "probe_map": cls,
        "probe_accuracy": accuracy,
        "seconds": 1,
        "qbe_per_class": by_class,
        "query_per_class": {"a": qbe, "b": qbe},
        "cls_per_class": {"a": cls, "b": cls},
        "probe_per_class": {"a": cls, "b": cls},
        "chance": dict.fromkeys(SCORES, 0.1),
    }


def test_rows_by_hand():
    """The paper's own figures: (0.575 - 0.423) / (0.790 - 0.423) = 41 %; 0.244 / 0.288 = 85 %."""
    rows = {
        row["name"]: row
        for row in table1_rows.rows_of(
            {
                "log_mel": {("", 0): scores(0.423, 0.065)},
                "joint": {("", 0): scores(0.57, 0.25), ("", 1): scores(0.58, 0.238)},
                "explicit": {("", 0): scores(0.790, 0.288)},
            }
        )
    }
    joint = rows["joint"]
    assert joint["qbe_map"] == pytest.approx(0.575) and joint["seeds"] == [0, 1]
    assert joint["folds"] == [] and [trial["seed"] for trial in joint["each"]] == [0, 1]
    assert joint["recovery_qbe"] == pytest.approx(0.414, abs=1e-3)
    assert joint["ratio_cls"] == pytest.approx(0.847, abs=1e-3)
    assert joint["spread"]["qbe_map"] == pytest.approx(0.01 / 2**0.5)
    assert joint["qbe_per_class"] == {"a": pytest.approx(0.575), "b": None}
    assert rows["log_mel"]["recovery_qbe"] == 0 and rows["explicit"]["recovery_cls"] == 1
    assert rows["log_mel"]["spread"]["qbe_map"] is None


def test_folds_and_seeds_are_averaged_alike():
    """Means over four trials; the classes' scores are averaged before they are drawn again."""
    trials = {
        (fold, seed): scores(value, value, others={"a": value, "b": value + 0.2, "c": None})
        for (fold, seed), value in zip(
            [("fold1", 0), ("fold1", 1), ("fold2", 0), ("fold2", 1)],
            [0.1, 0.2, 0.3, 0.4],
            strict=True,
        )
    }
    base = {
        (fold, 0): scores(0.05, 0.1, others={"a": 0.05, "b": 0.55, "c": 0.9})
        for fold in ("fold1", "fold2")
    }
    (_, row) = table1_rows.rows_of({"log_mel": base, "joint": trials})
    assert row["qbe_map"] == pytest.approx(0.25)
    assert row["spread"]["qbe_map"] == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1))
    assert row["folds"] == ["fold1", "fold2"] and row["seeds"] == [0, 1]
    # Two classes, 0.25 and 0.45: a mean of two draws is one of them, or halfway.
    assert row["interval"]["qbe_map"] == pytest.approx([0.25, 0.45])
    gain = table1_rows.differences({"log_mel": base, "joint": trials})["qbe_map"]
    assert gain["mean"] == pytest.approx((0.2 - 0.1) / 2)
    assert (gain["better"], gain["classes"]) == (1, 2)
    assert gain["interval"] == pytest.approx([-0.1, 0.2])
    assert gain["recovery_interval"] is None  # without a topline
    top = {
        (fold, 0): scores(0.9, 0.9, others={"a": 0.45, "b": 0.95, "c": 0.9})
        for fold in ("fold1", "fold2")
    }
    three = {"log_mel": base, "joint": trials, "explicit": top}
    recovered = table1_rows.differences(three)["qbe_map"]["recovery_interval"]
    assert recovered == pytest.approx([-0.1 / 0.4, 0.2 / 0.4])


def test_rows_without_topline():
    (row,) = table1_rows.rows_of({"joint": {("", 0): scores(0.5, 0.2, None)}})
    assert row["recovery_qbe"] is None and row["ratio_cls"] is None and row["accuracy"] is None


def test_no_recovery_of_a_gap_that_is_not_there():
    rows = table1_rows.rows_of(
        {
            "log_mel": {("", 0): scores(0.4, 0.4)},
            "joint": {("", 0): scores(0.5, 0.5)},
            "explicit": {("", 0): scores(0.3, 0.6)},
        }
    )
    assert [row["recovery_qbe"] for row in rows] == [None] * 3
    assert rows[1]["ratio_qbe"] == pytest.approx(0.5 / 0.3)
    assert [row["recovery_cls"] for row in rows] == [0, pytest.approx(0.5), 1]
