"""The linear probe, against scikit-learn used directly."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from audio_triplet.evaluation import grouped_splits, probe


def clouds(segments=90, dim=12, classes=3, seed=0, spread=1.5):
    """Gaussian clouds around a centre a class, features of very different scale."""
    rng = np.random.default_rng(seed)
    label = np.arange(segments) % classes
    centres = rng.normal(size=(classes, dim))
    points = centres[label] + spread * rng.normal(size=(segments, dim))
    return points * np.geomspace(1e-2, 1e2, dim) + 5, np.eye(classes, dtype=bool)[label]


@pytest.mark.parametrize("dim", [12, 200])
@pytest.mark.parametrize("classes", [2, 4])
def test_softmax_as_scikit_learn(dim, classes):
    """With more dimensions than segments too, where the problem is solved in a smaller basis."""
    inputs, labels = clouds(dim=dim, classes=classes)
    config = probe.ProbeConfig(penalties=(0.01,), max_iterations=2000)
    mine = probe.fit_probe(inputs[:60], labels[:60], config=config)
    reference = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=2000, tol=1e-6)
    ).fit(inputs[:60], labels[:60].argmax(axis=1))
    np.testing.assert_allclose(
        mine.predict(inputs[60:]), reference.predict_proba(inputs[60:]), atol=2e-3
    )


@pytest.mark.parametrize("single", [True, False])
def test_weights_as_scikit_learn(single):
    inputs, labels = clouds(classes=4)
    if not single:
        labels = labels | np.roll(labels, 1, axis=1) & (np.arange(90) % 2 == 0)[:, None]
    weights = np.random.default_rng(0).uniform(0.2, 6, 90)
    config = probe.ProbeConfig(penalties=(0.1,), max_iterations=2000)
    mine = probe.fit_probe(inputs, labels, config=config, weights=weights)
    scaled = StandardScaler().fit_transform(inputs)

    def expected(target):
        model = LogisticRegression(C=0.1, max_iter=2000, tol=1e-6)
        return model.fit(scaled, target, sample_weight=weights).predict_proba(scaled)

    if single:
        found = expected(labels.argmax(axis=1))
    else:
        found = np.stack([expected(column)[:, 1] for column in labels.T], axis=1)
    np.testing.assert_allclose(mine.predict(inputs), found, atol=2e-3)
    whole = np.arange(90) % 3 + 1
    twice = probe.fit_probe(inputs, labels, config=config, weights=whole).predict(inputs)
    assert np.abs(twice - mine.predict(inputs)).max() > 1e-3


def test_several_labels_as_scikit_learn():
    inputs, labels = clouds(classes=4)
    labels = labels | np.roll(labels, 1, axis=1) & (np.arange(90) % 2 == 0)[:, None]
    config = probe.ProbeConfig(penalties=(0.1,))
    mine = probe.fit_probe(inputs[:60], labels[:60], config=config)
    reference = make_pipeline(
        StandardScaler(), OneVsRestClassifier(LogisticRegression(C=0.1, max_iter=500, tol=1e-6))
    ).fit(inputs[:60], labels[:60])
    np.testing.assert_allclose(
        mine.predict(inputs[60:]), reference.predict_proba(inputs[60:]), atol=2e-3
    )


def test_the_penalty_is_what_cross_validation_by_recording_prefers():
    """Copies of a recording in several segments: parting them would prefer the weakest penalty.

    By hand: scikit-learn fitted on the other folds for every penalty, accuracy over all segments.
    """
    inputs, labels = clouds(segments=120, dim=30, classes=4, spread=2.5)
    groups = [f"recording{number // 12}/{number % 4}" for number in range(120)]
    config = probe.ProbeConfig(penalties=(1e-4, 1e-2, 1.0), patience=3)
    fitted = probe.fit_probe(inputs, labels, groups, config)
    scaled = StandardScaler().fit_transform(inputs)
    target = labels.argmax(axis=1)
    folds = grouped_splits.stratified_folds(labels, groups, config.folds, config.seed)
    assert (np.sum(folds, axis=0) == 1).all()
    for held in folds:
        assert not {g for g, h in zip(groups, held, strict=True) if h} & {
            g for g, h in zip(groups, held, strict=True) if not h
        }
    expected = []
    for penalty in config.penalties:
        right = 0
        for held in folds:
            model = LogisticRegression(C=penalty, max_iter=1000).fit(scaled[~held], target[~held])
            right += (model.predict(scaled[held]) == target[held]).sum()
        expected.append(right / 120)
    np.testing.assert_allclose(fitted.cross_validated, expected, atol=1.5 / 120)
    assert fitted.penalty == config.penalties[int(np.argmax(fitted.cross_validated))]


def test_a_class_without_segments_is_never_predicted():
    inputs, labels = clouds()
    labels = np.insert(labels, 1, False, axis=1)
    scores = probe.fit_probe(inputs, labels).predict(inputs)
    assert (scores[:, 1] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_constant_features_do_no_harm():
    inputs, labels = clouds()
    more = np.concatenate([inputs, np.full((90, 1), 3.0)], axis=1)
    config = probe.ProbeConfig(penalties=(0.1,))
    np.testing.assert_allclose(
        probe.fit_probe(more, labels, config=config).predict(more),
        probe.fit_probe(inputs, labels, config=config).predict(inputs),
        atol=1e-3,
    )


def test_one_recording_leaves_nothing_to_choose_by():
    inputs, labels = clouds()
    fitted = probe.fit_probe(inputs, labels, ["one"] * 90)
    assert fitted.cross_validated == () and fitted.penalty in probe.ProbeConfig().penalties


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:5], y), "do not fit"),
        (lambda x, y: (x * np.nan, y), "finite"),
        (lambda x, y: (x[::3], y[::3]), "two classes"),
    ],
)
def test_refused(change, message):
    with pytest.raises(ValueError, match=message):
        probe.fit_probe(*change(*clouds()))


@pytest.mark.parametrize("values", [{"penalties": ()}, {"penalties": (1.0, 0.1)}, {"folds": 1}])
def test_refused_configurations(values):
    with pytest.raises(ValueError, match="ProbeConfig"):
        probe.ProbeConfig(**values)


def test_classes_of_fewer_segments_than_there_are_folds_are_fitted():
    """Three segments a class and four folds; with one a class nothing is left to choose by."""
    random = np.random.default_rng(0)
    centres = 4 * random.normal(size=(3, 6))
    for each, folds in ((3, 3), (1, 0)):
        labels = np.repeat(np.eye(3, dtype=bool), each, axis=0)
        inputs = labels @ centres + 0.1 * random.normal(size=(3 * each, 6))
        fitted = probe.fit_probe(inputs, labels)
        assert (fitted.predict(inputs).argmax(axis=1) == labels.argmax(axis=1)).all()
        assert bool(fitted.cross_validated) == bool(folds)


@pytest.mark.filterwarnings("error")
def test_classes_that_every_segment_has_need_no_weights():
    embeddings = np.random.default_rng(0).normal(size=(12, 3))
    fitted = probe.fit_probe(embeddings, np.ones((12, 2), bool))
    assert not fitted.weights.any() and np.isposinf(fitted.bias).all()
