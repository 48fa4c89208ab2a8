"""The table of words of a released model: which sounds speak for a word, and by which vectors."""

import shutil

import numpy as np
import pandas as pd

from audio_triplet.corpora.debian_sounds.classes import words_of
from audio_triplet.data.manifest import Manifest
from audio_triplet.search.word_table import WordTable
from experiments import release
from experiments.lib import word_vectors


def test_a_recording_comes_twice_when_all_have_come_once():
    recordings = np.array(["a"] * 50 + ["b", "c"] + ["d"] * 3)
    words = [["dog"]] * 55
    words[50] = ["dog", "bark"]
    rows = word_vectors.drawn(words, recordings, 6)
    assert sorted(rows) == ["bark", "dog"] and rows["bark"].tolist() == [50]
    counts = pd.Series(recordings[rows["dog"]]).value_counts()
    assert len(rows["dog"]) == 6 and counts.to_dict() == {"a": 2, "d": 2, "b": 1, "c": 1}
    assert (np.diff(rows["dog"]) > 0).all()


def test_vectors_that_stand_for_others_are_among_them_one_of_each_kind():
    random = np.random.default_rng(0)
    kinds = np.eye(6, 16)
    vectors = np.repeat(kinds, [100, 5, 5, 5, 5, 5], axis=0) + 0.02 * random.normal(size=(125, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4")
    some = word_vectors.chosen(vectors, [str(n) for n in range(125)], 6)
    assert len(some) == 6 and all((vectors == one).all(axis=1).any() for one in some)
    assert sorted((some @ kinds.T).argmax(axis=1)) == list(range(6))
    assert len(word_vectors.chosen(vectors[:3], ["a", "b", "c"], 6)) == 3


def test_one_long_recording_does_not_speak_for_all():
    vectors = np.repeat(np.eye(2, 4), [300, 3], axis=0).astype("f4")
    recordings = ["long"] * 300 + ["x", "y", "z"]
    [one] = word_vectors.chosen(vectors, recordings, 1)
    assert one.tolist() == [0, 1, 0, 0]


def test_words_of_a_file_are_its_class_and_what_it_is_called():
    path = "tuxpaint-stamps-default/tuxpaint/stamps/animals/mammals/dogs/dog"
    assert words_of(f"{path}.ogg", "wild_animal", "effect") == ["wild animal", "dog"]
    assert words_of(f"{path}_desc_be.ogg", "speech", "speech") == ["speech"]
    assert words_of("megaglest-data/units/swordman/sounds/swordman_die2.wav", "", "effect") == []
    assert words_of("0ad-data/audio/ambient/weather/rain_11.ogg", "", "ambience") == ["rain"]
    assert "elephant" in words_of("0ad-data/elephant_trained1.ogg", "wild_animal", "effect")
    assert "rain" not in words_of("0ad-data/elephant_trained1.ogg", "wild_animal", "effect")


def test_release_writes_the_words_of_any_labelled_corpus(tone_folder, small_model, tmp_path):
    model = str(tmp_path / "model")
    shutil.copytree(small_model.path, model)
    table = WordTable.read(release.write_words(model, f"folders:{tone_folder}"))
    assert sorted(table.vectors) == ["high", "low", "middle"]
    assert table.recordings == {"high": 6, "low": 7, "middle": 6}  # one of them is silent
    assert all(1 <= len(of_word) <= 8 for of_word in table.vectors.values())
    assert table.model_digest == small_model.digest
    assert table.provenance["corpus"] == f"folders:{tone_folder}"
    own = {word: vectors.mean(axis=0) for word, vectors in table.vectors.items()}
    near = {word: float((table.vectors["low"] @ mean).mean()) for word, mean in own.items()}
    assert max(near, key=near.get) == "low"


def test_without_words_a_table_is_empty():
    manifest = Manifest(pd.DataFrame({"path": ["a.wav"]}))
    assert word_vectors.drawn([[]], manifest.frame["recording_id"].to_numpy(str), 3) == {}
