import json

import numpy as np
import pytest
from scipy import special, stats
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import precision_score, recall_score

from audio_triplet.classify import calibration, proportions, thresholds
from audio_triplet.classify.calibration import Calibration


def sounds(count, seed=0, slope=0.5, offset=-1.0):
    """Scores, and classes drawn by a known probability: logistic in the score's logit."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.5, 1.5, count)
    truth = special.expit(slope * special.logit(np.clip(scores, 1e-6, 1 - 1e-6)) + offset)
    return scores, rng.random(count) < truth, truth


def test_the_logistic_curve_that_made_the_classes_is_found():
    scores, is_class, truth = sounds(900)
    found = calibration.fit_calibrator(scores, is_class)
    assert found.kind == "logistic"
    assert found.x == pytest.approx((0.5, -1.0), abs=0.25)
    assert np.abs(found(scores) - truth).mean() < 0.03
    order = np.argsort(scores)
    assert (np.diff(found(scores)[order]) >= 0).all()


def test_many_sounds_get_the_steps_of_scikit_learn():
    scores, is_class, truth = sounds(8000)
    assert min(is_class.sum(), (~is_class).sum()) >= calibration.ISOTONIC_LEAST
    found = calibration.fit_calibrator(scores, is_class)
    assert found.kind == "isotonic"
    steps = IsotonicRegression(out_of_bounds="clip").fit(scores, is_class)
    asked = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(found(asked), steps.predict(asked), atol=0.01)
    assert np.abs(found(scores) - truth).mean() < 0.03
    assert found(np.array([0.0]))[0] > 0 and found(np.array([1.0]))[0] < 1


def test_what_little_can_be_learned_from():
    scores = np.array([0.1, 0.2, 0.9, np.nan])
    assert calibration.fit_calibrator(scores, np.zeros(4, bool)) is None
    assert calibration.fit_calibrator(scores, np.array([1, 1, 1, 0], bool)) is None
    separable = calibration.fit_calibrator(scores, np.array([0, 0, 1, 0], bool))
    low, high = separable(np.array([0.0, 1.0]))
    assert 0 <= low < 0.35 and 0.5 < high <= 1 and np.isfinite(separable.x).all()
    # The higher the score, the less it is of the class: nothing is made of that.
    wrong = calibration.fit_calibrator(np.linspace(0, 1, 50), np.arange(50) < 10)
    assert wrong.x[0] == 0 and wrong(np.array([0.1, 0.9])) == pytest.approx(11 / 52)


def test_reliability_is_that_of_scikit_learn_and_by_hand():
    scores, is_class, _ = sounds(500)
    found = calibration.reliability(scores, is_class, 10)
    share, mean = calibration_curve(is_class, scores, n_bins=10)
    np.testing.assert_allclose([of.share for of in found], share)
    np.testing.assert_allclose([of.probability for of in found], mean)
    # Two at 0.1 of which one is right, two at 0.9 that are right: (0.4 x 2 + 0.1 x 2) / 4
    values, truth = np.array([0.1, 0.1, 0.9, 0.9, np.nan]), np.array([1, 0, 1, 1, 1], bool)
    by_hand = calibration.reliability(values, truth, 5)
    assert calibration.calibration_error(by_hand) == pytest.approx(0.25)
    assert np.isnan(calibration.calibration_error([]))
    top, right = calibration.top_class(
        np.array([[0.2, 0.7], [np.nan, 0.1], [np.nan, np.nan]]), np.array([[1, 0], [0, 1], [1, 0]])
    )
    assert top.tolist() == [0.7, 0.1] and right.tolist() == [0, 1]


def test_held_out_probabilities_are_better_calibrated_and_use_no_own_fold():
    scores, is_class, _ = sounds(1500)
    fold = np.arange(1500) % 5
    found = calibration.held_out(scores[:, None], is_class[:, None], fold)[:, 0]

    def error(values):
        return calibration.calibration_error(calibration.reliability(values, is_class))

    assert error(found) < 0.5 * error(scores)
    turned = is_class.copy()
    turned[fold == 2] = ~turned[fold == 2]
    again = calibration.held_out(scores[:, None], turned[:, None], fold)[:, 0]
    np.testing.assert_array_equal(found[fold == 2], again[fold == 2])
    assert (found[fold == 1] != again[fold == 1]).any()


def test_a_threshold_by_hand():
    # From the top: y y y n | y y n n. Careful precisions: 2/3, 3/4, 4/5, 4/6, 5/7, 6/8, 6/9, 6/10.
    scores = np.array([8, 7, 6, 5, 4, 3, 2, 1]) / 10
    is_class = np.array([1, 1, 1, 0, 1, 1, 0, 0], bool)
    each = np.arange(8)

    def lowest(precision, groups=each):
        return thresholds.lowest_score(scores, is_class, groups, precision)

    assert lowest(0.75) == 0.3 and lowest(0.8) == 0.6 and lowest(0.85) is None
    assert lowest(1.0) == 0.6
    # The first three are of one recording and count once: 2/3, 2.5/4, 3.4/5, 3.5/5, then 0.64.
    assert lowest(0.66, np.array([0, 0, 0, 1, 2, 2, 3, 3])) == 0.3
    assert lowest(0.75, np.array([0, 0, 0, 1, 2, 2, 3, 3])) is None
    # Equal scores are found together.
    scores[2:4] = 0.55
    assert lowest(0.75) == 0.3 and lowest(0.8) is None
    one, none = np.array([np.nan]), np.empty(0)
    assert thresholds.lowest_score(one, np.array([True]), np.zeros(1), 0.5) is None
    assert thresholds.lowest_score(none, np.empty(0, bool), none, 0.5) is None


@pytest.mark.parametrize("asked", [0.6, 0.8, 0.9])
def test_thresholds_reach_what_was_asked_on_new_recordings(asked):
    """Many small classes: their precisions on new sound are on average what was asked."""
    right = found = 0
    for seed in range(60):
        scores, is_class, _ = sounds(250, seed, slope=2.0, offset=0.0)
        least = thresholds.lowest_score(scores, is_class, np.arange(250), asked)
        if least is not None:
            scores, is_class, _ = sounds(4000, seed + 1000, slope=2.0, offset=0.0)
            found += (scores >= least).sum()
            right += is_class[scores >= least].sum()
    assert right / found >= asked - 0.02


def test_what_a_threshold_is_worth_is_counted_on_other_folds():
    scores, is_class, _ = sounds(600, slope=3.0, offset=0.0)
    fold, groups = np.arange(600) % 4, np.arange(600) // 2
    found = thresholds.choose(scores, is_class, groups, fold, 0.8)
    above = np.zeros(600, bool)
    for part in range(4):
        other = fold != part
        least = thresholds.lowest_score(scores[other], is_class[other], groups[other], 0.8)
        above[fold == part] = scores[fold == part] >= least
    assert found.precision == pytest.approx(precision_score(is_class, above))
    assert found.recall == pytest.approx(recall_score(is_class, above))
    assert (found.found, found.right) == (above.sum(), (above & is_class).sum())
    assert found.precision_interval.low < found.precision < found.precision_interval.high
    noise = np.random.default_rng(0).random(600)
    never = thresholds.choose(noise, is_class, groups, fold, 0.95)
    assert never.score is None and never.precision is None and never.recall == 0
    assert never.precision_interval == (0, 1)


def test_an_interval_of_independent_items_is_clopper_and_pearsons():
    right = np.arange(40) < 31
    share, found = proportions.share_interval(right, np.arange(40))
    expected = stats.binomtest(31, 40).proportion_ci(0.95, "exact")
    assert share == 31 / 40
    assert found == pytest.approx((expected.low, expected.high), abs=0.01)
    for every in (True, False):
        _, found = proportions.share_interval(np.full(12, every), np.arange(12))
        expected = stats.binomtest(12 * every, 12).proportion_ci(0.95, "exact")
        assert found == pytest.approx((expected.low, expected.high))
    # Twelve sounds of three recordings are worth three.
    _, found = proportions.share_interval(np.full(12, True), np.arange(12) // 4)
    assert found.low == pytest.approx(stats.binomtest(3, 3).proportion_ci(0.95, "exact").low)
    assert proportions.share_interval(np.empty(0, bool), np.empty(0)) == (None, (0, 1))
    assert proportions.share_interval(np.array([1, 0]), np.zeros(2))[1] == pytest.approx(
        (0.006, 0.994), abs=0.01
    )


@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_an_interval_of_groups_covers(alike):
    """Sounds of a recording that are right or wrong together."""
    rng = np.random.default_rng(1)
    groups, inside, repeats = np.repeat(np.arange(20), 5), 0, 300
    for _ in range(repeats):
        own, shared = rng.random(100) < 0.8, (rng.random(20) < 0.8)[groups]
        right = np.where((rng.random(20) < alike)[groups], shared, own)
        _, found = proportions.share_interval(right, groups)
        inside += found.low <= 0.8 <= found.high
    assert inside / repeats >= 0.93


def test_a_calibration_is_kept_as_json():
    scores, is_class, _ = sounds(600, slope=3.0, offset=0.0)
    both = np.column_stack([scores, np.full(600, np.nan)])
    labels = np.column_stack([is_class, ~is_class])
    fold = np.arange(600) % 3
    found = Calibration.fit(both, labels, np.arange(600), fold, 0.8)
    assert found.decides and found.calibrators[1] is None
    again = Calibration.of_json(json.loads(json.dumps(found.as_json())))
    assert again == found
    values = again.probabilities(both)
    assert np.isnan(values[:, 1]).all() and not np.isnan(values[:, 0]).any()
    expected = scores >= found.thresholds[0].score
    np.testing.assert_array_equal(again.found(both)[:, 0], expected)
    assert not again.found(both)[:, 1].any() and 0 < expected.mean() < 1


def test_a_few_sounds_do_not_decide_a_curve():
    """Minimum of the penalised cross-entropy, by a grid; with thousands the prior says nothing."""
    scores = np.array([0.9, 0.8, 0.3, 0.1, 0.2])
    truth = np.array([True, True, False, False, False])
    slope, offset = calibration.fit_calibrator(scores, truth).x
    logit, target = np.log(scores / (1 - scores)), np.where(truth, 3 / 4, 1 / 5)
    a, b = np.meshgrid(np.linspace(0, 2, 401), np.linspace(-1, 1, 401), indexing="ij")
    value = a[..., None] * logit + b[..., None]
    loss = (np.logaddexp(0, value) - target * value).sum(-1) + 1.5 * ((a - 1) ** 2 + b**2)
    best = np.unravel_index(loss.argmin(), loss.shape)
    np.testing.assert_allclose([slope, offset], [a[best], b[best]], atol=0.006)
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 20_000)
    truth = rng.random(logit.size) < 1 / (1 + np.exp(-(2 * logit - 1)))
    found = calibration.fit_calibrator(1 / (1 + np.exp(-logit[:1500])), truth[:1500]).x
    np.testing.assert_allclose(found, [2, -1], atol=0.35)
