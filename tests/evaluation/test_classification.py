"""The shallow classifier: what it learns, what it may not see, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from audio_triplet.evaluation import classification
from audio_triplet.evaluation.classification import fit_classifier
from audio_triplet.evaluation.shallow_network import Classifier, ClassifierConfig

_QUICK = ClassifierConfig(hidden_units=16, max_rounds=6, fixed_rounds=6, patience=3)


def blobs(seed, segments=60, classes=3, dim=8, spread=0.5, centre_seed=0):
    """Segments of 1-4 patches around a centre per class, patches of all segments interleaved."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(centre_seed).normal(size=(classes, dim))
    target = np.arange(segments) % classes
    owner = rng.permutation(np.repeat(np.arange(segments), rng.integers(1, 5, segments)))
    patches = centres[target[owner]] + spread * rng.normal(size=(len(owner), dim))
    return patches.astype(np.float32), owner, np.eye(classes, dtype=bool)[target]


@pytest.mark.parametrize("hidden_units", [0, 512])
@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_learns_separable_classes(hidden_units, loss):
    config = ClassifierConfig(hidden_units=hidden_units, loss=loss)
    classifier = fit_classifier(*blobs(seed=1), config=config)
    patches, owner, labels = blobs(seed=2)
    scores = classifier.predict_segments(patches, owner, len(labels))
    result = classification.evaluate_classifier(scores, labels)
    assert result.mean > 0.98 and result.accuracy > 0.95
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_hidden_layer_learns_what_a_line_cannot():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 2, (400, 2))
    patches = (corners + 0.1 * rng.normal(size=corners.shape)).astype(np.float32)
    labels = np.eye(2, dtype=bool)[corners.sum(axis=1) % 2]  # exclusive or
    results = {}
    for hidden_units in (0, 64):
        config = ClassifierConfig(hidden_units=hidden_units, fixed_rounds=40, validation_fraction=0)
        classifier = fit_classifier(patches, np.arange(400), labels, config=config)
        scores = classifier.predict_patches(patches)
        results[hidden_units] = classification.evaluate_classifier(scores, labels).accuracy
    assert results[0] < 0.8 and results[64] > 0.98


def test_without_hidden_layer_it_is_logistic_regression():
    """Noisy classes, no decay: the optimum is unique up to a shift, and scikit-learn's."""
    patches, owner, labels = blobs(seed=3, segments=300, dim=3, spread=1.5)
    config = ClassifierConfig(
        hidden_units=0,
        loss="softmax",
        weight_decay=0,
        validation_fraction=0,
        fixed_rounds=200,
        batch_size=len(patches),
        learning_rate=0.03,
    )
    classifier = fit_classifier(patches, owner, labels, config=config)
    target = labels.argmax(axis=1)[owner]
    reference = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(patches, target)
    np.testing.assert_allclose(
        classifier.predict_patches(patches), reference.predict_proba(patches), atol=2e-3
    )


def test_several_labels_a_segment():
    """Each class is its own question: here, the sign of its own feature."""
    rng = np.random.default_rng(4)
    patches = rng.normal(size=(600, 5)).astype(np.float32)
    labels = patches[:, :4] > 0.5
    config = ClassifierConfig(hidden_units=64)
    classifier = fit_classifier(patches[:400], np.arange(400), labels[:400], config=config)
    result = classification.evaluate_classifier(
        classifier.predict_patches(patches[400:]), labels[400:]
    )
    assert result.mean > 0.95 and result.accuracy is None


def test_a_segment_scores_the_mean_of_its_patches():
    patches, owner, labels = blobs(seed=5)
    classifier = fit_classifier(patches, owner, labels, config=_QUICK)
    by_patch = classifier.predict_patches(patches)
    scores = classifier.predict_segments(patches, owner, len(labels))
    assert scores.shape == labels.shape and scores.dtype == np.float32
    for segment in range(len(labels)):
        expected = by_patch[owner == segment].mean(axis=0)
        np.testing.assert_allclose(scores[segment], expected, rtol=1e-5)


def test_same_seed_same_classifier_to_the_bit():
    data = blobs(seed=6)
    one, same = (fit_classifier(*data, config=_QUICK) for _ in range(2))
    for a, b in zip(one.weights, same.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.validation_map == same.validation_map
    other = fit_classifier(*data, config=dataclasses.replace(_QUICK, seed=1))
    assert not np.array_equal(one.weights[0], other.weights[0])


def test_trains_for_the_best_round_then_on_everything():
    data = blobs(seed=7, spread=1.5)
    classifier = fit_classifier(*data, config=_QUICK)
    curve = classifier.validation_map
    assert classifier.rounds == int(np.argmax(curve)) + 1
    # Trained for that many rounds without a hold-out, on all of the data: the same classifier.
    config = dataclasses.replace(_QUICK, validation_fraction=0, fixed_rounds=classifier.rounds)
    expected = fit_classifier(*data, config=config)
    assert expected.validation_map == ()
    for a, b in zip(classifier.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_stops_when_patience_is_over():
    rng = np.random.default_rng(8)
    patches = rng.normal(size=(200, 4)).astype(np.float32)
    labels = np.eye(2, dtype=bool)[rng.integers(0, 2, 200)]  # nothing to learn
    config = dataclasses.replace(_QUICK, max_rounds=60, patience=2)
    classifier = fit_classifier(patches, np.arange(200), labels, config=config)
    assert len(classifier.validation_map) == classifier.rounds + 2


def test_one_clip_a_class_trains_without_hold_out():
    patches, owner, labels = blobs(seed=9, segments=3, spread=0.2)
    classifier = fit_classifier(patches, owner, labels)
    assert classifier.validation_map == ()
    assert classifier.rounds == ClassifierConfig().fixed_rounds
    test_patches, test_owner, test_labels = blobs(seed=10, spread=0.2)
    scores = classifier.predict_segments(test_patches, test_owner, len(test_labels))
    assert classification.evaluate_classifier(scores, test_labels).accuracy > 0.95


def test_features_of_any_size_and_constant_ones():
    patches, owner, labels = blobs(seed=11)
    scaled = np.concatenate([patches * 1e4 + 3e4, np.full((len(patches), 1), 7e5)], axis=1)
    classifier = fit_classifier(scaled, owner, labels)
    scores = classifier.predict_segments(scaled, owner, len(labels))
    assert classification.evaluate_classifier(scores, labels).mean > 0.98
    np.testing.assert_allclose(classifier.mean, scaled.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(classifier.scale[:-1], scaled[:, :-1].std(axis=0), rtol=1e-4)
    assert classifier.scale[-1] == 1
    # The constant feature may drift slightly at test time without taking over.
    drifted = scaled + np.eye(9)[8] * 0.1
    np.testing.assert_allclose(
        classifier.predict_segments(drifted, owner, len(labels)), scores, atol=0.2
    )


def test_evaluation_equals_scikit_learn():
    rng = np.random.default_rng(12)
    labels = np.eye(4, dtype=bool)[rng.integers(0, 4, 80)]
    scores = rng.integers(0, 9, (80, 4)) + 2 * labels
    result = classification.evaluate_classifier(scores, labels)
    np.testing.assert_allclose(
        result.per_class, sk.average_precision_score(labels, scores, average=None)
    )
    assert result.mean == pytest.approx(sk.average_precision_score(labels, scores))
    assert result.roc_auc == pytest.approx(sk.roc_auc_score(labels, scores))
    target = labels.argmax(axis=1)
    assert result.accuracy == pytest.approx(sk.accuracy_score(target, scores.argmax(axis=1)))
    assert not result.left_out.size


def test_absent_classes_are_left_out_and_named():
    labels = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1]])
    scores = np.array([[0.9, 0.3, 0.1], [0.2, 0.8, 0.3], [0.1, 0.7, 0.6]])
    result = classification.evaluate_classifier(scores, labels)
    assert list(result.left_out) == [1]
    assert result.mean == 1 and result.roc_auc == 1 and result.d_prime == np.inf
    assert result.accuracy == pytest.approx(1 / 3)  # column 1 wins where it should not


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_saved_and_loaded_it_predicts_the_same(tmp_path, loss):
    patches, owner, labels = blobs(seed=13)
    config = dataclasses.replace(_QUICK, loss=loss)
    classifier = fit_classifier(patches, owner, labels, config=config)
    classifier.save(tmp_path / "new" / "classifier")
    loaded = Classifier.load(tmp_path / "new" / "classifier")
    assert loaded.config == classifier.config and loaded.rounds == classifier.rounds
    assert loaded.validation_map == classifier.validation_map
    np.testing.assert_array_equal(
        loaded.predict_patches(patches), classifier.predict_patches(patches)
    )


def test_loading_something_else_names_the_directory(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: not a saved classifier"):
        Classifier.load(tmp_path)
    fit_classifier(*blobs(seed=14), config=_QUICK).save(tmp_path)
    description = json.loads((tmp_path / "classifier.json").read_text())
    description["config"]["colour"] = "blue"
    (tmp_path / "classifier.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="colour"):
        Classifier.load(tmp_path)


_PATCHES, _OWNER, _LABELS = blobs(seed=15, segments=6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((_PATCHES[0], _OWNER, _LABELS), r"float\[patches, dim\]"),
        ((_PATCHES * np.inf, _OWNER, _LABELS), "patches hold NaN or infinity"),
        ((_PATCHES, _OWNER[:-1], _LABELS), "one per patch"),
        ((_PATCHES, _OWNER * 1.0, _LABELS), "one per patch"),
        ((_PATCHES, _OWNER + 1, _LABELS), "but there are 6 segments"),
        ((_PATCHES, np.where(_OWNER == 2, 1, _OWNER), _LABELS), "first is segment 2"),
        ((_PATCHES, _OWNER, _LABELS[:, 0]), "segment_labels must be"),
        ((_PATCHES, _OWNER, _LABELS * 3), "0/1"),
        ((_PATCHES, _OWNER, _LABELS, ["a"]), "6 rows of labels but 1 groups"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_classifier(*arguments, config=_QUICK)


def test_bad_use_is_named():
    with pytest.raises(ValueError, match="exactly one class"):
        config = dataclasses.replace(_QUICK, loss="softmax")
        fit_classifier(_PATCHES, _OWNER, np.ones_like(_LABELS), config=config)
    classifier = fit_classifier(_PATCHES, _OWNER, _LABELS, config=_QUICK)
    with pytest.raises(ValueError, match="trained on 8"):
        classifier.predict_patches(_PATCHES[:, :5])
    with pytest.raises(ValueError, match="no patch"):
        classifier.predict_segments(_PATCHES, _OWNER, 7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": "hinge"},
        {"hidden_units": -1},
        {"dropout": 1.0},
        {"validation_fraction": 1.0},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"batch_size": 0},
        {"patience": 0},
    ],
)
def test_bad_configs_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClassifierConfig(**wrong)
