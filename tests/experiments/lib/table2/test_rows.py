"""Rows of Table 2, by hand."""

import pytest

from experiments.lib.table2 import rows as table2_rows


def cell(name, count, draw, cls_map, accuracy=0.5, seed=None, **more):
    return {
        "name": name,
        "seed": seed,
        "labels_per_class": count,
        "draw": draw,
        "cls_map": cls_map,
        "accuracy": accuracy,
        "cls_per_class": {"a": cls_map, "b": None},
        "clips": 2 * count,
        "short_classes": {},
        "repeated_classes": 0,
        "held_back": count >= 5,
        "seconds": 1.0,
    } | more


CELLS = [
    cell("joint", 1, 0, 0.30, seed=0),
    cell("joint", 1, 1, 0.40, seed=0),
    cell("joint", 5, 0, 0.50, seed=0),
    cell("joint", 5, 1, 0.54, seed=0),
    cell("scratch", 1, 0, 0.14),
    cell("scratch", 1, 1, 0.16),
    cell("scratch", 5, 0, 0.28),
    cell("scratch", 5, 1, 0.32),
]


def test_rows_by_hand():
    """At 1 label 0.35 / 0.15 = 2.33 times; at 5 labels 0.52 / 0.30 = 1.73 times."""
    rows = {(row["name"], row["labels_per_class"]): row for row in table2_rows.rows_of(CELLS)}
    one = rows["joint", 1]
    assert one["cls_map"] == pytest.approx(0.35)
    assert one["spread"]["cls_map"] == pytest.approx(0.1 / 2**0.5)
    assert one["times_scratch"] == pytest.approx(7 / 3)
    assert one["draws"] == [0, 1] and one["seeds"] == [0] and one["clips"] == 2
    assert one["cls_per_class"] == {"a": pytest.approx(0.35), "b": None}
    assert rows["joint", 5]["times_scratch"] == pytest.approx(0.52 / 0.30)
    assert rows["scratch", 5]["times_scratch"] == pytest.approx(1)
    twice, less = table2_rows.doubling(list(rows.values()))
    assert [row["labels_per_class"] for row in twice] == [1]
    assert [row["labels_per_class"] for row in less] == [5]


def test_rows_without_scratch_and_with_one_draw():
    (row,) = table2_rows.rows_of([cell("joint", 2, 0, 0.3, accuracy=None, seed=0)])
    assert row["times_scratch"] is None and row["accuracy"] is None
    assert row["spread"] == {"cls_map": None, "accuracy": None}
    assert table2_rows.doubling([row]) == ([], [])


def test_times_both_networks_from_scratch():
    """0.3 is twice 0.15, and 1.5 times 0.2."""
    given = [
        cell("joint", 1, 0, 0.3, seed=0),
        cell("scratch", 1, 0, 0.2),
        cell("scratch_plain", 1, 0, 0.15),
    ]
    rows = table2_rows.rows_of(given)
    assert rows[0]["times_scratch"] == pytest.approx(1.5)
    assert rows[0]["times_plain_scratch"] == pytest.approx(2)
    twice, less = table2_rows.doubling(rows, times="times_plain_scratch")
    assert [row["name"] for row in twice] == ["joint"] and not less
