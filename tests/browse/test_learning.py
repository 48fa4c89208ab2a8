"""Classifiers from answers: against scikit-learn, on held-out recordings, what comes next."""

import time

import numpy as np
import pytest
import threadpoolctl
from sklearn.linear_model import LogisticRegression

from audio_triplet.browse import choosing, learning, logistic
from audio_triplet.browse.learning import Background, Examples
from audio_triplet.embeddings import description


@pytest.fixture(autouse=True)
def one_thread():
    """As the server has it: threads of BLAS would wait for those of other tests."""
    with threadpoolctl.threadpool_limits(1, "blas"):
        yield


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("penalty", [0.01, 0.1, 3.0])
def test_logistic_regression_equals_scikit_learns(penalty):
    rng = np.random.default_rng(1)
    vectors = unit(rng.normal(size=(60, 12)))
    yes = vectors[:, 0] + 0.2 * rng.normal(size=60) > 0
    counts, scale = rng.uniform(0.1, 2, 60), rng.uniform(0.05, 0.3, 12)
    found = logistic.fit(vectors, yes, counts, scale, penalty)
    other = LogisticRegression(C=penalty, tol=1e-10, max_iter=10_000)
    other.fit(vectors / scale, yes, sample_weight=counts)
    np.testing.assert_allclose(found.weights * scale, other.coef_[0], atol=1e-5)
    assert found.bias == pytest.approx(other.intercept_[0], abs=1e-5)
    np.testing.assert_allclose(
        logistic.probability(found.logits(vectors)),
        other.predict_proba(vectors / scale)[:, 1],
        atol=1e-5,
    )


def test_features_that_only_some_have_equal_columns_of_zeros():
    rng = np.random.default_rng(2)
    vectors, more = rng.normal(size=(50, 5)), rng.normal(size=(20, 7))
    yes = vectors[:, 0] + np.pad(more[:, 0], (0, 30)) > 0.3 * rng.normal(size=50)
    counts, scale = rng.uniform(0.1, 2, 50), rng.uniform(0.5, 3, 12)
    found = logistic.fit(
        vectors, yes, counts, scale[:5], more=more, more_scale=scale[5:], penalty=0.3
    )
    whole = np.column_stack([vectors, np.pad(more, ((0, 30), (0, 0)))])
    other = LogisticRegression(C=0.3, tol=1e-10, max_iter=10_000)
    other.fit(whole / scale, yes, sample_weight=counts)
    weights = np.concatenate([found.weights, found.more]) * scale
    np.testing.assert_allclose(weights, other.coef_[0], atol=1e-5)
    np.testing.assert_allclose(
        found.logits(vectors[:20], more), other.decision_function(whole / scale)[:20], atol=1e-4
    )


def test_answers_of_several_moments_are_learned_from_by_description():
    # Yes and no have the same mean and differ in how they change.
    rng = np.random.default_rng(3)
    yes = np.arange(40) % 2 == 0
    steady = rng.normal(size=(40, 1, 16))
    changing = np.where(yes, 1.5, 0.2)[:, None, None] * rng.normal(size=(40, 5, 16))
    changing -= changing.mean(axis=1, keepdims=True)
    vectors = (steady + changing).reshape(-1, 16).astype(np.float32)
    many = Examples(vectors, np.repeat(np.arange(40), 5), yes, np.arange(40), np.full(200, np.nan))
    scale = vectors.std(axis=0)
    none = Background(np.zeros((0, 16), np.float32), np.zeros(0, int), scale, scale)
    assert held_out(many, none).average_precision > 0.95
    means = Examples.of_moments(vectors.reshape(40, 5, 16).mean(axis=1), yes, np.arange(40))
    assert held_out(means, none).average_precision < 0.8

    # The same solution as scikit-learn's on descriptions as they are.
    given = description.to_learn_from(vectors, many.owner, 40, np.ones(200))
    other = LogisticRegression(C=logistic.PENALTY, tol=1e-10, max_iter=10_000)
    columns = np.concatenate([scale, scale, scale])
    other.fit(given.rows / columns, yes[given.owner], sample_weight=given.weights / 6)
    found = learning.fit(many, none)
    expected = other.decision_function(description.describe_patches(vectors) / columns)
    np.testing.assert_allclose(found.logits(vectors), expected, atol=1e-3)

    # A part keeps whose vectors are whose.
    part = many.select(~yes)
    assert len(part) == 20 and part.owner.tolist() == np.repeat(np.arange(20), 5).tolist()
    assert (part.vectors == vectors.reshape(40, 5, 16)[~yes].reshape(-1, 16)).all()


def test_probabilities_have_a_meaning_once_they_are_held_out():
    rng = np.random.default_rng(0)
    many, archive = examples(rng, 80), background(rng)
    scored = learning.held_out_scores(many, archive)
    found = learning.meaning(many, scored)
    assert found.decides and 0 < found.thresholds[0].score < 1
    probability = logistic.probability(scored.moments)
    assert found.thresholds[0].score in probability
    calibrated = found.probabilities(probability[:, None])[:, 0]
    assert np.mean((calibrated - many.yes) ** 2) <= np.mean((probability - many.yes) ** 2) + 1e-3
    assert learning.meaning(many, None) is None


def test_separable_and_tiny_sets_have_a_solution():
    for vectors in (np.eye(4)[:2], np.tile(np.eye(4)[:2], (50, 1))):
        yes = np.arange(len(vectors)) % 2 == 0
        found = logistic.fit(vectors, yes, np.ones(len(yes)), np.full(4, 0.01))
        assert np.isfinite(found.weights).all()
        assert ((found.logits(vectors) > 0) == yes).all()


def examples(rng, count, dim=16, signal=1.0, per_recording=1):
    """Answers: yes leans to the first axis."""
    yes = np.arange(count) // per_recording % 2 == 0
    vectors = rng.normal(size=(count, dim))
    vectors[:, 0] += np.where(yes, 2 * signal, -2 * signal)
    return Examples.of_moments(unit(vectors), yes, np.arange(count) // per_recording)


def held_out(examples, background):
    return learning.held_out(examples, learning.held_out_scores(examples, background))


def background(rng, dim=16):
    vectors = unit(rng.normal(size=(300, dim)))
    scale = vectors.std(axis=0)
    return Background(vectors, np.arange(10_000, 10_300), scale, scale)


def test_held_out_score_is_high_for_a_signal_and_chance_without():
    rng = np.random.default_rng(0)
    found = held_out(examples(rng, 40), background(rng))
    assert found.average_precision > 0.95 and found.interval[0] > 0.8
    assert (found.folds, found.recordings, found.prevalence) == (5, 40, 0.5)
    chance = [
        held_out(examples(rng, 60, signal=0.0), background(rng)).average_precision for _ in range(8)
    ]
    assert 0.4 < np.mean(chance) < 0.65


def test_held_out_score_does_not_learn_from_the_recording_it_scores():
    rng = np.random.default_rng(0)
    # Each recording has its own direction, and its label is by chance: only a leak could tell.
    recordings = np.repeat(np.arange(30), 6)
    vectors = unit(rng.normal(size=(30, 16)))[recordings] + 0.01 * rng.normal(size=(180, 16))
    yes = rng.permutation(np.arange(30) % 2 == 0)[recordings]
    found = held_out(Examples.of_moments(unit(vectors), yes, recordings), background(rng))
    assert found.average_precision < 0.75


def test_there_is_no_score_without_two_recordings_of_each():
    rng = np.random.default_rng(0)
    few = examples(rng, 12, per_recording=4)  # yes in two recordings, no in one
    assert held_out(few, background(rng)) is None
    assert held_out(examples(rng, 3), background(rng)) is None
    assert held_out(examples(rng, 4), background(rng)) is not None


def test_learning_curve_ends_with_all():
    rng = np.random.default_rng(0)
    many, archive = examples(rng, 33), background(rng)
    points = learning.learning_curve(many, archive)
    assert [count for count, _ in points] == [5, 10, 15, 20, 30, 33]
    assert points[-1][1] == held_out(many, archive)


def test_a_yes_alone_is_enough():
    rng = np.random.default_rng(0)
    one = examples(rng, 1)
    found = learning.fit(one, background(rng))
    near = unit(one.vectors + 0.05 * rng.normal(size=(50, 16)))
    far = unit(rng.normal(size=(50, 16)))
    assert found.logits(near).min() > np.median(found.logits(far))


LOGITS = np.array([3.0, 2.9, 0.1, -0.2, -3.0, 2.8, 0.3, -1.0], np.float32)
RECORDINGS = np.array([0, 0, 0, 1, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("order", "count", "expected"),
    [
        # By hand: the best of each recording first, then the second ones.
        ("surest", 4, [0, 5, 6, 1]),
        ("surest", 99, [0, 5, 6, 1, 3, 7, 2, 4]),
        ("unsure", 4, [2, 3, 6, 7]),
        # 3, 1, −1, −3: 1 is nearest to 0.3.
        ("spread", 4, [0, 6, 7, 4]),
    ],
)
def test_what_comes_next(order, count, expected):
    free = np.ones(8, bool)
    assert choosing.choose(LOGITS, RECORDINGS, free, order, count).tolist() == expected


@pytest.mark.parametrize("order", choosing.ORDERS)
def test_answered_moments_do_not_come(order):
    free = np.ones(8, bool)
    free[[0, 3]] = False
    found = choosing.choose(LOGITS, RECORDINGS, free, order, 6, seed=1)
    assert set(found.tolist()) <= {1, 2, 4, 5, 6, 7} and len(set(found.tolist())) == len(found)
    assert not len(choosing.choose(LOGITS, RECORDINGS, ~np.ones(8, bool), order, 6))


def test_a_random_sample_is_of_all():
    logits, free = np.zeros(5000, np.float32), np.ones(5000, bool)
    recordings = np.arange(5000)
    first = choosing.choose(logits, recordings, free, "random", 500, seed=1)
    again = choosing.choose(logits, recordings, free, "random", 500, seed=1)
    other = choosing.choose(logits, recordings, free, "random", 500, seed=2)
    assert (first == again).all() and (first != other).any()
    assert abs(first.mean() - 2500) < 300


def test_fitting_and_choosing_among_100_000_is_quick():
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(100_000, 128)))
    many = Examples.of_moments(vectors[:400], np.arange(400) % 3 == 0, np.arange(400))
    scale = vectors[:10_000].std(axis=0)
    archive = Background(vectors[-1000:], np.arange(-1000, 0), scale, scale)
    begin = time.process_time()
    found = learning.fit(many, archive).logits(vectors)
    choosing.choose(found, np.arange(100_000), np.ones(100_000, bool), "surest", 20)
    assert time.process_time() - begin < 2.0  # 0.15 s where nothing else runs


def test_by_the_api(client, moments):
    def kind(moment):
        return moment["path"].split("/")[-2]

    low = [m for m in moments if kind(m) == "low"]
    high = [m for m in moments if kind(m) == "high"]
    assert client.get("/api/next", params={"label": "hum"}).status_code == 409
    chosen = low[::2] + high[::2]
    for moment in chosen:
        answer = moment | {"label": "hum", "value": kind(moment) == "low"}
        assert client.post("/api/labels", json=answer).status_code == 200
    found = client.get("/api/next", params={"label": "hum", "count": "50"}).json()
    fit = found["fit"]
    assert (fit["yes"], fit["no"], fit["recordings"]) == (len(low[::2]), len(high[::2]), 6)
    assert fit["held_out"]["average_precision"] > 0.5 and fit["held_out"]["folds"] == 5
    assert fit == client.get("/api/fit", params={"label": "hum"}).json()
    answered = {(m["path"], m["start_seconds"]) for m in chosen}
    hits = [hit for hit in found["hits"] if kind(hit) in ("low", "high")]
    assert not answered & {(hit["path"], hit["start_seconds"]) for hit in found["hits"]}
    scores = {side: [h["score"] for h in hits if kind(h) == side] for side in ("low", "high")}
    assert min(scores["low"]) > max(scores["high"])  # their mean vectors differ that much
    assert len(found["hits"]) == len(moments) - len(chosen)
    assert client.get("/api/curve", params={"label": "never answered"}).json() == {"points": []}
    points = client.get("/api/curve", params={"label": "hum"}).json()["points"]
    assert points[-1]["answers"] == len(chosen)
    # An answer more, by another tab: fitted anew.
    client.post("/api/labels", json=low[1] | {"label": "hum", "value": False})
    assert client.get("/api/fit", params={"label": "hum"}).json()["no"] == fit["no"] + 1
