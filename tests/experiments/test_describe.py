"""What is compared in `experiments.describe`, on patches made for it."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.errors import UsageError
from experiments import describe
from experiments.lib import protocol, scored_corpus
from tests.conftest import flags_given

CLASSES = ("cat", "dog", "owl")
OPTIONS = describe.Options(labels=(2,), draws=1, penalties=(0.1,))
MADE_BY = {"corpus": "here", "model": "none", "test_splits": ["b"], "command": "x", "commit": "y"}
MADE_BY |= {"date": "today", "machine": "this", "versions": {}}


@pytest.fixture(scope="module")
def embeddings() -> EmbeddingSet:
    """Of each class eight segments a split, of four patches about the class's place."""
    rng = np.random.default_rng(0)
    labels = list(CLASSES) * 16
    frame = pd.DataFrame(
        {
            "path": [f"/{row}.wav" for row in range(48)],
            "labels": labels,
            "split": ["a"] * 24 + ["b"] * 24,
        }
    )
    place = np.eye(5)[[CLASSES.index(name) for name in labels]].repeat(4, axis=0)
    vectors = (place + 0.15 * rng.normal(size=(192, 5))).astype("f4")
    energy = rng.uniform(0.5, 1, 192).astype("f4")
    energy[::4] = 0  # every segment begins with silence
    return EmbeddingSet(
        Manifest(frame, "test"), vectors, np.repeat(np.arange(48, dtype="i4"), 4), energy
    )


def test_every_way_tells_apart_what_lies_apart(embeddings, tmp_path):
    found = describe.rows(embeddings, CLASSES, ("b",), OPTIONS)
    assert [row["name"] for row in found] == list(describe.NAMES)
    assert {row["name"] for row in found} == set(describe.IN_WORDS)
    for row in found:
        columns = list(describe.LENGTHS) if row["name"] in describe.WAYS else []
        assert set(row["scores"]) == {"all", "2", *columns}
        for column in {"all", "two", "joined"} & set(row["scores"]):
            assert row["scores"][column] == [pytest.approx(1, abs=0.1)], (row["name"], column)
        assert row["scores"]["2"][0] > 0.7, row["name"]
    table = describe.write(found, MADE_BY, OPTIONS, str(tmp_path))
    assert json.loads((tmp_path / "describe.json").read_text())["rows"] == table["rows"]
    text = (tmp_path / "describe.md").read_text()
    assert "| description | 2 | all | patches alone | two patches | four joined |" in text
    assert f"| mean of the patches | {found[0]['scores']['2'][0]:.3f} |" in text


def test_evaluate_scores_what_classify_learns_from(embeddings):
    from audio_triplet.evaluation.probe import ProbeConfig

    sides = protocol.split_sides(embeddings, ("b",))
    found = protocol.described_scores(sides, CLASSES)
    options = dataclasses.replace(OPTIONS, labels=(), penalties=ProbeConfig().penalties)
    way = dataclasses.replace(options, ways=("windows + patches",))
    (row,) = describe.rows(embeddings, CLASSES, ("b",), way)
    assert found["probe_accuracy"] == pytest.approx(row["scores"]["all"][0])
    assert set(found) == {"probe_map", "probe_accuracy", "probe_per_class", "probe_penalty"}


def test_labels_of_the_test_side_are_not_learned_from(embeddings):
    """With labels that mean nothing on the training side, nothing is known of the test side."""
    frame = embeddings.manifest.frame.copy()
    frame.loc[:23, "labels"] = np.random.default_rng(1).permutation(frame["labels"][:24])
    lost = EmbeddingSet(
        Manifest(frame, "lost"), embeddings.vectors, embeddings.segment_index, embeddings.energy
    )
    for row in describe.rows(lost, CLASSES, ("b",), OPTIONS):
        assert row["scores"]["all"][0] < 0.8, row["name"]


def test_sounds_of_other_lengths(embeddings):
    side = describe.Patches.of(embeddings.select(np.arange(48) >= 24), CLASSES)
    lengths = describe.of_lengths(side)
    patch, two, joined = (lengths[name] for name in describe.LENGTHS)
    assert len(patch.vectors) == len(patch.labels) == 72  # without the silent ones
    np.testing.assert_array_equal(patch.labels[::3], side.labels)
    assert np.bincount(two.owner).tolist() == [2] * 24
    for segment in range(24):
        sums = side.energy[4 * segment : 4 * segment + 4]
        first = np.argmax(sums[1:] + sums[:-1]) + 4 * segment
        expected = side.vectors[first : first + 2]
        np.testing.assert_array_equal(two.vectors[2 * segment : 2 * segment + 2], expected)
    assert np.bincount(joined.owner).tolist() == [16] * 6
    np.testing.assert_array_equal(joined.labels.argmax(axis=1), [0, 0, 1, 1, 2, 2])
    of_cat = side.vectors.reshape(24, 4, 5)[:12:3].reshape(16, 5)
    np.testing.assert_array_equal(joined.vectors[:16], of_cat)


def test_options():
    given = ["--model=m", "--corpus=x", "--output_dir=y"]
    with flags_given(describe.define_flags, given):
        found = describe.options_from_flags()
        assert found == describe.Options(ways=describe.NAMES)
    for wrong in ("--labels=few", "--labels=0", "--penalties=", "--penalties=-1", "--ways=median"):
        with (
            flags_given(describe.define_flags, [*given, wrong]),
            pytest.raises(UsageError, match=wrong.split("=")[0]),
        ):
            describe.options_from_flags()


def test_all_splits_may_be_tested_in_turn(embeddings, tmp_path, monkeypatch):
    def embed_corpus(settings):  # it needs a split that is not tested
        assert settings.test_splits == ("a",)
        summary = MADE_BY | {"test_splits": ["a"]}
        return scored_corpus.ScoredCorpus(None, None, embeddings, CLASSES, summary)

    monkeypatch.setattr(scored_corpus, "embed_corpus", embed_corpus)
    settings = scored_corpus.ScoringSettings("model", "here", str(tmp_path), ("a", "b"))
    options = dataclasses.replace(OPTIONS, ways=("mean",))
    table = describe.make_table(settings, options)
    assert len(table["rows"][0]["scores"]["all"]) == 2
    assert table["config"]["test_splits"] == ["a", "b"]
    wrong = dataclasses.replace(settings, test_splits=("a", "c"))
    with pytest.raises(UsageError, match="has no split 'c' with labels"):
        describe.make_table(wrong, options)
