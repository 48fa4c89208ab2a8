"""Recovery against the figures the abstract states."""

import math

import pytest

from audio_triplet.evaluation import recovery


def test_the_papers_own_table_gives_the_abstracts_figures():
    # The paper: retrieval 0.575 between 0.423 and 0.790 is "41 %".
    assert round(100 * recovery.recovery(0.575, 0.423, 0.790)) == 41
    # Classification 0.244 between 0.065 and 0.288 is 80 % of the gap and 85 % of the topline.
    assert round(100 * recovery.recovery(0.244, 0.065, 0.288)) == 80
    assert round(100 * recovery.ratio(0.244, 0.288)) == 85


def test_the_ends_of_the_scale():
    assert recovery.recovery(0.2, 0.2, 0.6) == 0
    assert recovery.recovery(0.6, 0.2, 0.6) == 1
    assert recovery.recovery(0.1, 0.2, 0.6) == pytest.approx(-0.25)


def test_no_gap_is_nan_not_an_exception():
    assert math.isnan(recovery.recovery(0.5, 0.4, 0.4))
    assert math.isnan(recovery.ratio(0.5, 0.0))
    assert math.isnan(recovery.recovery(float("nan"), 0.1, 0.4))
