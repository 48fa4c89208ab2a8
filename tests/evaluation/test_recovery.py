"""Recovery against the figures the abstract states."""

import math

import numpy as np
import pytest

from audio_triplet.evaluation import metrics, recovery


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


def test_the_interval_is_that_of_drawn_classes():
    rng = np.random.default_rng(0)
    baselines = rng.uniform(0, 0.3, 40)
    toplines = baselines + rng.uniform(0.2, 0.5, 40)
    scores = baselines + 0.6 * (toplines - baselines) + rng.normal(0, 0.05, 40)
    low, high = metrics.recovery_interval(scores, baselines, toplines)
    share = recovery.recovery(scores.mean(), baselines.mean(), toplines.mean())
    assert low < share < high
    by_hand = []
    for _ in range(4000):
        drawn = rng.integers(0, 40, 40)
        means = (column[drawn].mean() for column in (scores, baselines, toplines))
        by_hand.append(recovery.recovery(*means))
    np.testing.assert_allclose([low, high], np.quantile(by_hand, [0.025, 0.975]), atol=0.005)


def test_the_interval_without_spread_or_without_a_gap():
    exact = metrics.recovery_interval([0.3, 0.4], [0.1, 0.2], [0.5, 0.6])
    assert exact == pytest.approx((0.5, 0.5))
    assert all(map(math.isnan, metrics.recovery_interval([0.3, 0.4], [0.5, 0.6], [0.5, 0.6])))
