import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from audio_triplet.classify import average_precision, classifier, cross_validation, suggestions
from audio_triplet.classify.classifier import SoundClassifier
from audio_triplet.classify.combined import CombinedClassifier, combined
from audio_triplet.classify.examples import Examples
from audio_triplet.config import ClassifyConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.errors import ClassifierError, ConfigError
from audio_triplet.evaluation.shallow_network import Classifier, ClassifierConfig

CONFIG = ClassifyConfig(folds=3)
LINEAR = ClassifyConfig(folds=3, likeness=False)


def embedded(labels, recordings=None, spread=0.35, patches=3, dim=8, seed=0) -> EmbeddingSet:
    """Segments whose patches lie around a place of each label's own."""
    rng = np.random.default_rng(seed)
    names = sorted({name for joined in labels for name in joined.split(";") if name})
    places = {name: np.eye(dim)[column] for column, name in enumerate(names)}
    vectors = [
        sum(places[name] for name in joined.split(";") if name) + spread * rng.normal(size=dim)
        for joined in labels
        for _ in range(patches)
    ]
    frame = pd.DataFrame(
        {
            "path": [f"/sound/{row}.wav" for row in range(len(labels))],
            "labels": labels,
        }
    )
    if recordings is not None:
        frame["recording_id"] = recordings
    return EmbeddingSet(
        Manifest(frame, "test"),
        np.array(vectors, np.float32),
        np.repeat(np.arange(len(labels), dtype=np.int32), patches),
        np.ones(patches * len(labels), np.float32),
    )


@pytest.fixture(scope="module")
def examples() -> Examples:
    return Examples.of(embedded(["cat", "dog", "owl", ""] * 9))


def test_examples_are_the_labelled_segments(examples):
    assert examples.classes == ("cat", "dog", "owl") and len(examples) == 27
    assert examples.vectors.shape == (81, 8) and (np.bincount(examples.segment_index) == 3).all()
    assert examples.recordings().tolist() == [9, 9, 9]
    part = examples.select(examples.labels[:, 1])
    np.testing.assert_array_equal(part.vectors, examples.vectors[examples.segment_index % 3 == 1])
    assert set(part.segment_index) == set(range(9))


def test_what_nothing_can_be_learned_from():
    with pytest.raises(ClassifierError, match="no segment has a label"):
        Examples.of(embedded(["", ""]))
    with pytest.raises(ClassifierError, match="'dog' is the only class"):
        Examples.of(embedded(["dog", "", "dog"]))
    several = Examples.of(embedded(["dog;cat", "dog"]))
    with pytest.raises(ClassifierError, match="several labels"):
        several.is_single(ClassifyConfig(labelling="single"))
    assert not several.is_single(CONFIG)
    with pytest.raises(ConfigError, match="none of auto, single, multi"):
        ClassifyConfig(labelling="both")


@pytest.mark.slow
@pytest.mark.parametrize("labelling", ["single", "multi"])
def test_cross_validated_score_of_what_can_be_told_apart(examples, labelling):
    checked = cross_validation.cross_validate(
        examples, dataclasses.replace(CONFIG, labelling=labelling), choose=False
    )
    expected = average_precision_score(examples.labels, checked.scores, average=None)
    np.testing.assert_allclose(checked.per_class, expected, atol=1e-6)
    assert checked.mean == pytest.approx(expected.mean()) and checked.mean > 0.9
    assert checked.interval.low <= checked.mean <= checked.interval.high
    assert (checked.accuracy is None) == (labelling == "multi")
    if labelling == "single":
        assert checked.accuracy == np.mean(checked.scores.argmax(1) == examples.labels.argmax(1))
        assert checked.accuracy_interval.low <= checked.accuracy <= checked.accuracy_interval.high


def test_no_recording_is_on_both_sides():
    """Each recording has a mark of its own and a random label: nothing else can be learned."""
    rng = np.random.default_rng(1)
    recordings = np.repeat(np.arange(24), 4)
    labels = np.array(["a", "b"])[np.arange(24) % 2][recordings]
    found = embedded(labels.tolist(), recordings.astype(str).tolist(), dim=24, patches=1)
    marks = rng.normal(size=(24, 24)).astype("f4")
    found = dataclasses.replace(found, vectors=marks[recordings])
    checked = cross_validation.cross_validate(Examples.of(found), CONFIG, choose=False)
    assert checked.accuracy < 0.8  # by heart it would be 1
    assert checked.interval.high - checked.interval.low > 0.1  # 24 draws, not 96
    assert all(len(set(checked.fold[recordings == one])) == 1 for one in range(24))


def test_class_with_one_recording_is_learned_but_not_scored():
    labels = ["cat"] * 6 + ["dog"] * 6 + ["owl"]
    examples = Examples.of(embedded(labels, spread=0.1))
    checked = cross_validation.cross_validate(examples, CONFIG, choose=False)
    assert np.isnan(checked.per_class).tolist() == [False, False, True]
    assert np.isnan(checked.scores[12, 2]) and not np.isnan(checked.scores[:12, :2]).any()
    assert checked.mean == pytest.approx(checked.per_class[:2].mean())
    assert checked.accuracy == 1.0  # of the twelve that could be right
    fitted = classifier.fit(examples, CONFIG)
    scores = fitted.classifier.predict_segments(
        examples.vectors, examples.segment_index, len(examples)
    )
    assert scores[:, 2].argmax() == 12


def test_nothing_to_check_where_every_class_has_one_recording():
    examples = Examples.of(embedded(["cat", "cat", "dog"], ["one", "one", "two"]))
    assert cross_validation.cross_validate(examples, CONFIG) is None
    assert cross_validation.learning_curve(examples, CONFIG) == []
    classifier.fit(examples, CONFIG)


def test_folds_spread_every_class():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 3)
    labels = np.zeros((90, 5), bool)
    labels[np.arange(90), np.array([0] * 10 + [1] * 8 + [2] * 7 + [3] * 3 + [4] * 2)[groups]] = True
    shuffle = rng.permutation(90)
    folds = cross_validation.assign_folds(labels[shuffle], groups[shuffle], 5, seed=3)
    assert all(len(set(folds[groups[shuffle] == group])) == 1 for group in range(30))
    for column, most in enumerate((2, 2, 2, 1, 1)):  # recordings of a class in one fold
        inside = labels[shuffle, column]
        for fold in range(5):
            assert len(set(groups[shuffle][inside & (folds == fold)])) <= most
    assert np.bincount(folds).min() >= 12
    assert cross_validation.assign_folds(labels[:6], groups[:6], 5, 0).max() == 1  # two recordings


def test_weighted_average_precision_is_that_of_repeated_items():
    rng = np.random.default_rng(0)
    targets, scores = rng.random(40) < 0.3, rng.integers(0, 12, 40) / 12  # with ties
    weights = rng.integers(0, 4, (6, 40))
    found = average_precision.weighted_average_precision(targets, scores, weights)
    for row, weight in enumerate(weights):
        places = np.repeat(np.arange(40), weight)
        expected = average_precision_score(targets[places], scores[places])
        assert found[row] == pytest.approx(expected)
    nothing = average_precision.weighted_average_precision(targets, scores, np.zeros((1, 40)))
    assert np.isnan(nothing).all()


def test_learning_curve_rises_with_labels():
    examples = Examples.of(embedded(["cat", "dog", "owl"] * 12, spread=0.8, patches=1, seed=2))
    curve = cross_validation.learning_curve(examples, CONFIG, (1, 6, 100))
    assert [point.per_class for point in curve] == [1, 6]
    assert all(len(point.means) == 2 for point in curve)
    assert np.mean(curve[0].means) < np.mean(curve[1].means)


def test_weight_decay_is_chosen_on_held_out_recordings(monkeypatch):
    from audio_triplet.evaluation import classification

    tried = []

    def curve(embeddings, segment, labels, held_out, config):
        assert held_out.any()
        tried.append(config.weight_decay)
        loss = {0.01: [-3, -2, -2.5], 0.1: [-3, -2, -1.5], 1.0: [-1.6]}[config.weight_decay]
        return {"loss": loss, "map": [0.5, 0.6, 0.7][: len(loss)]}

    monkeypatch.setattr(classification, "_held_out_curve", curve)
    examples = Examples.of(embedded(["cat", "dog"] * 10))
    fitted = classifier.fit(examples, ClassifyConfig(hidden_units=4))
    assert tried == [0.01, 0.1, 1.0]
    assert fitted.regularised == "weight decay 0.1, 3 rounds"
    assert fitted.classifier.described.validation_map == (0.5, 0.6, 0.7)
    assert [len(weight) for weight in fitted.classifier.described.weights] == [8, 4, 4, 2]


def scikit_learn(inputs, labels, asked, weights=None):
    """Logistic regression on standardised inputs: its class probabilities of other inputs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=classifier.PENALTY, max_iter=500))
    given = {"logisticregression__sample_weight": weights}
    return model.fit(inputs, labels.argmax(axis=1), **given).predict_proba(asked)


def test_linear_classifier_learns_from_descriptions_and_from_patches(examples):
    fitted = classifier.fit(examples, LINEAR, choose=False).classifier
    patches = examples.vectors.reshape(27, 3, 8)
    described = np.concatenate([patches.mean(1), patches.std(1), patches.max(1)], axis=1)
    alone = np.concatenate([examples.vectors, 0 * examples.vectors, examples.vectors], axis=1)
    rows = np.concatenate([described, alone])
    labels = np.concatenate([examples.labels, np.repeat(examples.labels, 3, axis=0)])
    owner, weights = examples.segment_index, np.repeat([1, 5 / 3], [27, 81])
    np.testing.assert_allclose(
        fitted.predict_segments(examples.vectors, owner, 27),
        scikit_learn(rows, labels, described, weights),
        atol=2e-3,
    )
    np.testing.assert_allclose(
        fitted.predict_patches(examples.vectors),
        scikit_learn(rows, labels, alone, weights),
        atol=2e-3,
    )
    several = Examples.of(embedded(["cat", "dog", "cat;dog", "owl"] * 4))
    scores = classifier.fit(several, CONFIG).classifier.predict_patches(several.vectors)
    assert scores[6::12].max() <= 1 and (scores.sum(axis=1) > 1.2).any()  # a sigmoid a class


def test_louder_patches_count_more_but_in_classifiers_of_earlier_versions(tmp_path):
    found = embedded(["cat", "dog", "owl"] * 9)
    loud = np.random.default_rng(2).uniform(0, 1, len(found.vectors)).astype("f4") ** 6
    learned = Examples.of(dataclasses.replace(found, energy=loud))
    fitted = classifier.fit(learned, LINEAR).classifier
    segments = found.vectors, found.segment_index, 27
    by_loudness = fitted.predict_segments(*segments, energy=loud)
    found_by = classifier.predict(classifier.Fitted(fitted, ""), learned)
    np.testing.assert_array_equal(found_by, by_loudness)
    alike = fitted.predict_segments(*segments)
    assert np.abs(by_loudness - alike).max() > 0.01
    fitted.save(str(tmp_path))
    path = tmp_path / "classifier.json"
    content = json.loads(path.read_text())
    assert content["config"].pop("by_loudness") is True
    path.write_text(json.dumps(content))
    beside_likenesses = classifier.fit(learned, CONFIG).classifier
    assert beside_likenesses.likeness and not beside_likenesses.described.config.by_loudness
    earlier = CombinedClassifier.load(str(tmp_path))
    np.testing.assert_array_equal(earlier.predict_segments(*segments, energy=loud), alike)


@pytest.mark.parametrize("labels", [["cat", "dog", "owl"] * 9, ["cat", "dog", "cat;dog"] * 9])
def test_likenesses_are_learned_from_beside_descriptions(labels):
    found = Examples.of(embedded(labels, spread=0.6))
    both = classifier.fit(found, CONFIG).classifier
    described = classifier.fit(found, LINEAR).classifier
    single = len(found.classes) == 3
    segments = found.vectors, found.segment_index, len(found)
    np.testing.assert_allclose(
        both.predict_segments(*segments),
        combined(
            described.predict_segments(*segments), both.likeness.predict_segments(*segments), single
        ),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        both.predict_patches(found.vectors),
        combined(
            described.predict_patches(found.vectors),
            both.likeness.predict_patches(found.vectors),
            single,
        ),
        atol=1e-6,
    )
    assert classifier.fit(found, ClassifyConfig(hidden_units=4)).classifier.likeness is None


def test_segments_of_one_patch_each_are_learned_from_as_they_are():
    examples = Examples.of(embedded(["cat", "dog", "owl"] * 9, patches=1))
    fitted = classifier.fit(examples, LINEAR, choose=False).classifier
    assert fitted.likeness is None
    assert not fitted.described.config.described and len(fitted.described.mean) == 8
    expected = scikit_learn(examples.vectors, examples.labels, examples.vectors)
    np.testing.assert_allclose(fitted.predict_patches(examples.vectors), expected, atol=2e-3)


def test_a_classifier_hears_how_patches_differ():
    """Two classes of the same mean: one steady, one that goes up and down."""
    rng = np.random.default_rng(0)
    found = embedded(["steady", "up and down"] * 20, patches=4, dim=6)
    swing = np.tile([1.0, -1.0], 80)[:, None] * (found.segment_index % 2)[:, None]
    vectors = (0.3 * rng.normal(size=(160, 6)) + swing).astype("f4")
    examples = Examples.of(dataclasses.replace(found, vectors=vectors))
    assert cross_validation.cross_validate(examples, CONFIG).mean > 0.95
    alike = dataclasses.replace(found, vectors=examples.embeddings.segment_means.repeat(4, axis=0))
    assert cross_validation.cross_validate(Examples.of(alike), CONFIG).mean < 0.8


def test_a_penalty_is_chosen_by_segments_and_not_by_their_patches(examples, monkeypatch):
    from audio_triplet.evaluation import probe

    given = {}
    original = probe.fit_probe

    def fit_probe(inputs, labels, groups, config, judged, weights):
        given.update(rows=len(inputs), judged=judged)
        return original(inputs, labels, groups, config, judged, weights)

    monkeypatch.setattr(probe, "fit_probe", fit_probe)
    classifier.fit(examples, CONFIG)
    assert given["rows"] == 27 + 81
    np.testing.assert_array_equal(given["judged"], np.arange(108) < 27)


def test_classifiers_of_earlier_versions_score_segments_by_their_patches(examples, tmp_path):
    """They say nothing of descriptions, and take patches."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(8, 3)).astype("f4"), rng.normal(size=3).astype("f4")
    config = ClassifierConfig(hidden_units=0, loss="softmax")
    old = Classifier(config, np.zeros(8, "f4"), np.ones(8, "f4"), weights, rounds=0)
    folder = str(tmp_path / "classifier")
    SoundClassifier(examples.classes, CombinedClassifier(old), "abc").save(folder)
    path = tmp_path / "classifier" / "classifier.json"
    content = json.loads(path.read_text())
    del content["config"]["described"]
    path.write_text(json.dumps(content))
    read = SoundClassifier.load(folder).classifier
    logits = examples.vectors @ weights[0] + weights[1]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(read.predict_patches(examples.vectors), scores, atol=1e-6)
    np.testing.assert_allclose(
        read.predict_segments(examples.vectors, examples.segment_index, 27),
        scores.reshape(27, 3, 3).mean(axis=1),
        atol=1e-6,
    )


def test_suggestions_are_the_least_sure_one_a_recording_first():
    scores = np.array([[0.9, 0.1, 0], [0.5, 0.4, 0.1], [0.5, 0.45, 0.05], [0.4, 0.6, 0.5]])
    np.testing.assert_allclose(suggestions.margins(scores), [0.8, 0.1, 0.05, 0.1], atol=1e-9)
    assert suggestions.suggest(scores, ["a", "b", "b", "c"], 10).tolist() == [2, 3, 0, 1]
    assert suggestions.suggest(scores, ["a", "b", "b", "c"], 2).tolist() == [2, 3]


def test_saved_and_read_without_pickle(examples, tmp_path):
    class Model:
        path, digest = "runs/other/export", "abc"

    fitted = classifier.fit(examples, CONFIG, choose=False).classifier
    folder = str(tmp_path / "classifier")
    SoundClassifier(examples.classes, fitted, "abc", {"model": "runs/mine/export"}).save(folder)
    read = SoundClassifier.load(folder)
    assert read.classes == examples.classes and read.metadata == {"model": "runs/mine/export"}
    np.testing.assert_array_equal(
        read.classifier.predict_patches(examples.vectors), fitted.predict_patches(examples.vectors)
    )
    np.testing.assert_array_equal(
        read.classifier.predict_segments(examples.vectors, examples.segment_index, 27),
        fitted.predict_segments(examples.vectors, examples.segment_index, 27),
    )
    read.check_model(Model)
    Model.digest = "abd"
    with pytest.raises(ClassifierError, match=r"runs/other/export: is not .* \(runs/mine/export\)"):
        read.check_model(Model)
    SoundClassifier(("a", "b"), fitted, "abc").save(folder)  # replaces it whole
    with pytest.raises(ClassifierError, match="differ in number"):
        SoundClassifier.load(folder)
    SoundClassifier(examples.classes, fitted, "abc").save(folder)
    for name in ("likeness.npz", "weights.npz"):
        path = tmp_path / "classifier" / name
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ClassifierError, match="is damaged"):
            SoundClassifier.load(folder)
        SoundClassifier(examples.classes, fitted, "abc").save(folder)
    (tmp_path / "classifier" / "sounds.json").write_text(json.dumps({"classes": 3}))
    with pytest.raises(ClassifierError, match="is damaged"):
        SoundClassifier.load(folder)
    with pytest.raises(ClassifierError, match="no such file"):
        SoundClassifier.load(str(tmp_path))
