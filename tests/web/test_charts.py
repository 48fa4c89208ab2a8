"""Charts and the colours of classes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_triplet.web import charts, colours, templating
from audio_triplet.web.charts import Line
from tests.web.page_checks import Page


def drawn(chart):
    return templating.macro("charts.html", "line_chart", chart)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 8))
def test_ticks_enclose_the_range_evenly(one, other, about):
    low, high = sorted((one, other))
    found = charts.ticks(low, high, about)
    step = found[1] - found[0]
    assert found[0] <= low + 1e-6 * step and found[-1] >= high - 1e-6 * step
    assert 2 <= len(found) <= about + 2
    np.testing.assert_allclose(np.diff(found), step, rtol=1e-6)


@pytest.mark.parametrize("low, high", [(0.0, 5e-324), (5e-324, 5e-324), (0.1, 0.1 + 1e-17), (0, 0)])
def test_ticks_of_one_value_are_more_than_one(low, high):
    found = charts.ticks(low, high)
    assert found[0] <= low < high + 1e-300 <= found[-1] and len(set(found)) >= 2


def test_ticks_and_decimals_by_hand():
    assert charts.ticks(0, 0.095) == pytest.approx([0, 0.02, 0.04, 0.06, 0.08, 0.1])
    assert charts.decimals([0, 0.02, 0.1]) == 2 and charts.decimals([0.0, 50.0]) == 0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7))
def test_spread_labels_neither_touch_nor_change_order(wanted):
    places = charts.spread(wanted, 13, 0, 100)
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in places)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(np.array(places)[order]) >= 13 - 1e-6).all()


def test_lines_leave_out_what_is_not_finite():
    line = Line("loss", "k-joint", [0, 1, 2, 3], [0.1, math.nan, math.inf, 0.2])
    empty = Line("gone", "k-mixing", [0, 1], [math.nan, None])
    page = Page(drawn(charts.line_chart("Loss", "How to read it.", [line, empty], "step")))
    points = page.all("polyline")
    assert len(points) == 1 and len(points[0]["points"].split()) == 2
    assert page.all("svg")[0]["aria-label"] == "Loss: loss from 0.100 to 0.200"
    assert "Nothing was logged" in drawn(charts.line_chart("Loss", "", [empty], "step"))


def test_a_chart_of_one_point_or_of_a_constant():
    for values in ([3.0], [0.0, 0.0]):
        line = Line("x", "k-joint", list(range(len(values))), values)
        assert "nan" not in drawn(charts.line_chart("T", "", [line], "step"))


def luminance(colour):
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_class_colours_are_seen_on_both_papers_and_differ():
    found = [colours.class_colour(index) for index in range(60)]
    assert len(set(found)) == 60
    light, dark = luminance("#ffffff"), luminance("#1c1f23")
    for colour in found:
        mine = luminance(colour)
        assert (light + 0.05) / (mine + 0.05) >= 2.5 and (mine + 0.05) / (dark + 0.05) >= 2.5
