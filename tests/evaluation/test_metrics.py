"""Ranking metrics against scikit-learn, hand-worked values and the normal distribution."""

import itertools
import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from audio_triplet.evaluation import metrics

# Few distinct scores, so that ties are the rule; halves are exact in every float type.
_RANKINGS = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=60)


@hypothesis.given(_RANKINGS, st.sampled_from([np.float32, np.float64, np.int64]))
def test_average_precision_equals_scikit_learn_with_ties(ranking, dtype):
    targets = np.array([target for target, _ in ranking])
    scores = np.array([score for _, score in ranking]).astype(dtype)
    actual = metrics.average_precision(targets, scores)
    if targets.any():
        assert actual == pytest.approx(sk.average_precision_score(targets, scores), abs=1e-12)
    else:
        assert np.isnan(actual)


@hypothesis.given(_RANKINGS)
def test_roc_auc_equals_scikit_learn_with_ties(ranking):
    targets = np.array([target for target, _ in ranking])
    scores = np.array([score / 2 for _, score in ranking])
    actual = metrics.roc_auc(targets, scores)
    if targets.any() and not targets.all():
        assert actual == pytest.approx(sk.roc_auc_score(targets, scores), abs=1e-12)
    else:
        assert np.isnan(actual)


def test_average_precision_by_hand():
    # Ranking 1 0 1 0: precision 1/1 at the first target, 2/3 at the second.
    assert metrics.average_precision([1, 0, 1, 0], [4, 3, 2, 1]) == pytest.approx((1 + 2 / 3) / 2)
    # The middle two tie and enter together: half the recall at 1/1, half at 2/3.
    assert metrics.average_precision([1, 0, 1, 0], [4, 3, 3, 1]) == pytest.approx((1 + 2 / 3) / 2)
    # All tie: the share of targets, whatever the order.
    assert metrics.average_precision([0, 0, 1, 0], [7, 7, 7, 7]) == 0.25


def test_infinite_scores_rank_first_and_last():
    scores = [-np.inf, 0.0, np.inf, np.inf]
    assert metrics.average_precision([1, 0, 1, 0], scores) == pytest.approx(0.5 * 1 / 2 + 0.5 / 2)


def test_per_class_is_each_column_and_marks_what_cannot_be_scored():
    rng = np.random.default_rng(0)
    labels = rng.random((200, 6)) < 0.2
    labels[:, 2], labels[:, 4] = False, True
    scores = rng.integers(0, 20, labels.shape).astype(np.float32)
    precision = metrics.average_precision_per_class(labels, scores)
    auc = metrics.roc_auc_per_class(labels, scores)
    assert precision.dtype == auc.dtype == np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about class 2
        expected = sk.average_precision_score(labels, scores, average=None)
    for column in (0, 1, 3, 4, 5):
        assert precision[column] == pytest.approx(expected[column], abs=1e-12)
    for column in (0, 1, 3, 5):
        expected_auc = sk.roc_auc_score(labels[:, column], scores[:, column])
        assert auc[column] == pytest.approx(expected_auc, abs=1e-12)
    assert np.isnan(precision[2]) and np.isnan(auc[2])
    assert precision[4] == 1 and np.isnan(auc[4])


def test_large_counts_do_not_overflow():
    # 300,000 x 300,000 pairs exceed int32 by far.
    targets = np.arange(600_000) % 2 == 0
    assert metrics.roc_auc(targets, np.zeros(600_000)) == 0.5


def test_d_prime_by_definition():
    # Two unit normals d apart have AUC = Phi(d / sqrt 2).
    for distance in (-1.0, 0.0, 0.3, 2.5):
        auc = stats.norm.cdf(distance / np.sqrt(2))
        assert metrics.d_prime(auc) == pytest.approx(distance, abs=1e-12)
    ends = metrics.d_prime([0, 0.5, 1, np.nan])
    np.testing.assert_array_equal(ends, [-np.inf, 0, np.inf, np.nan])
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.d_prime(1.01)


def test_mean_over_classes_leaves_out_the_unscored():
    assert metrics.mean_over_classes([0.2, np.nan, 0.6]) == pytest.approx(0.4)
    assert np.isnan(metrics.mean_over_classes([np.nan]))


def test_bootstrap_interval_is_that_of_the_normal_for_many_classes():
    values = np.random.default_rng(1).normal(0.4, 0.1, 400)
    interval = metrics.bootstrap_interval(values, seed=0)
    error = values.std() / np.sqrt(400)
    # The bootstrap mean is near normal; 10,000 draws place its quantiles within ~0.05 errors.
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)
    narrower = metrics.bootstrap_interval(values, seed=0, confidence=0.5)
    assert narrower.high == pytest.approx(values.mean() + 0.674 * error, abs=0.1 * error)


def test_bootstrap_interval_repeats_itself_and_leaves_nan_out():
    values = [0.11, 0.52, 0.93, 0.34, 0.76, 0.28]
    interval = metrics.bootstrap_interval(values, seed=3, repeats=500)
    assert interval == metrics.bootstrap_interval(values, seed=3, repeats=500)
    assert interval != metrics.bootstrap_interval(values, seed=4, repeats=500)
    with_nan = metrics.bootstrap_interval([*values, np.nan], seed=3, repeats=500)
    assert with_nan == interval
    assert metrics.bootstrap_interval([0.25] * 7, seed=0) == (0.25, 0.25)
    assert all(np.isnan(metrics.bootstrap_interval([np.nan], seed=0)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.average_precision([1, 0], [np.nan, 1]), "1 NaN, the first at row 0"),
        (lambda: metrics.average_precision([1, 0], [1.0]), "differ in shape"),
        (lambda: metrics.average_precision([1, 2], [1.0, 2]), "0/1"),
        (lambda: metrics.average_precision([[1, 0]], [1.0, 2]), "one dimension"),
        (lambda: metrics.average_precision([1, 0], ["a", "b"]), "real numbers"),
        (lambda: metrics.average_precision_per_class([0, 1], [0, 1]), "one column per class"),
        (lambda: metrics.bootstrap_interval([np.inf], seed=0), "finite"),
        (lambda: metrics.bootstrap_interval([1], seed=0, confidence=95), "confidence"),
        (lambda: metrics.bootstrap_interval([1], seed=0, repeats=0), "repeats"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("targets", "items"), [(1, 4), (2, 5), (5, 5), (3, 6)])
def test_chance_is_the_mean_over_all_orders(targets, items):
    """Every choice of places for the targets is as likely."""
    found = []
    for places in itertools.combinations(range(items), targets):
        hits = np.isin(np.arange(items), places)
        found.append(metrics.average_precision(hits, -np.arange(items)))
    (expected,) = metrics.chance_average_precision(targets, items)
    assert expected == pytest.approx(np.mean(found))


def test_no_chance_without_a_target():
    assert np.isnan(metrics.chance_average_precision([0, 0], [5, 0])).all()
