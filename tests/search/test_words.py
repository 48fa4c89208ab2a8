"""Asking by a word: names, stocks of labelled sound, and what is not known."""

import dataclasses
import json
import os

import numpy as np
import pytest
import soundfile

import audio_triplet
from audio_triplet.errors import SearchError
from audio_triplet.search import words
from audio_triplet.search.asking import ask
from audio_triplet.search.question import Patches
from audio_triplet.search.sound_index import Query, SoundIndex
from audio_triplet.search.word_table import WORDS_FILE, WordTable
from tests.conftest import RATE, tone
from tests.zip_damage import refused_when_flagged


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of three sounds, the second of which has a plural and a dash in its name."""
    root = tmp_path_factory.mktemp("sounds")
    for label, hertz in (("Low_tone", 200), ("high-tones", 3000)):
        (root / label).mkdir()
        for number in range(3):
            sound = tone(2.2, hertz * (1 + 0.02 * number), number)
            soundfile.write(root / label / f"{number}.wav", sound, RATE)
    return root


@pytest.fixture(scope="module")
def index(folder, small_model, tmp_path_factory):
    root = tmp_path_factory.mktemp("an") / "index"
    return audio_triplet.build_index(root, folder, small_model, labels="folders")


@pytest.fixture(scope="module")
def unlabelled(folder, small_model, tmp_path_factory):
    paths = sorted(folder.rglob("*.wav"))
    return audio_triplet.build_index(tmp_path_factory.mktemp("no") / "index", paths, small_model)


def a_table(model, **vectors):
    counts = {word: 2 * len(of_word) for word, of_word in vectors.items()}
    return WordTable(model.digest, vectors, counts, {"corpus": "none"})


def unit(*rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("word", "labels", "expected"),
    [
        ("Dog", ["dog", "DOG", "dogs", "dog bark"], ["dog", "DOG"]),
        ("dogs", ["dog"], ["dog"]),
        ("glass breaking", ["Glass_Breaking"], ["Glass_Breaking"]),
        ("glasses", ["glass"], ["glass"]),
        ("glass", ["glas"], []),
        ("sea-wave", ["sea waves"], ["sea waves"]),
        ("berry", ["berries"], ["berries"]),
        ("finches", ["finch"], ["finch"]),
        ("STRAẞE", ["strasse"], ["strasse"]),
        ("cat", ["cattle", "cot"], []),
    ],
)
def test_a_word_is_its_label_in_any_spelling(word, labels, expected):
    assert words.matching(word, labels) == expected


def test_words_near_to_one_that_is_not_known():
    known = ["dog_bark", "door", "frog", "thunder", "rain"]
    assert words.nearest("dogs", known) == ["dog_bark"]
    assert words.nearest("frgo", known) == ["frog"]
    assert words.nearest("thunderstorm", known) == ["thunder"]
    assert words.nearest("rains", known)[0] == "rain"
    assert words.nearest("violin", known) == []


def test_the_labels_of_the_index_are_words(index, folder):
    hits = index.find(word="low tones", top=9, exclude_own=False)
    assert {hit.labels for hit in hits[:3]} == {("Low_tone",)}
    # As sounds that ask are, those of the word are left out of the answer.
    assert {hit.labels for hit in index.find(word="low tones", top=99)} == {("high-tones",)}
    # Each sound is an example, by the mean of its patches, worked out by hand.
    ids = index.index.tables.segments_with_label("Low_tone")
    means = [index.index.vectors_of_segments([number])[0].mean(axis=0) for number in ids]
    expected = ask(index.index, [Patches.of_vectors(mean) for mean in unit(*means)], top=9)
    assert [hit.path for hit in hits] == [hit.path for hit in expected]
    assert [hit.score for hit in hits] == pytest.approx([h.score for h in expected], abs=1e-5)


def test_words_of_another_index_of_a_manifest_and_of_a_table(
    index, unlabelled, folder, small_model, tmp_path
):
    by_index = unlabelled.find(word="high tone", words_from=index.index.folder, top=3)
    assert {os.path.basename(os.path.dirname(hit.path)) for hit in by_index} == {"high-tones"}
    manifest = tmp_path / "labels.csv"
    rows = [f"{folder}/high-tones/{number}.wav,high;squeak" for number in range(3)]
    rows += [f"{folder}/none.wav,high"]  # one that cannot be read among others
    manifest.write_text("\n".join(["path,labels", *rows]))
    by_manifest = unlabelled.find(word="squeak", words_from=manifest, top=3)
    assert by_manifest[0].score == pytest.approx(by_index[0].score, abs=1e-3)
    assert {hit.path for hit in by_manifest} == {hit.path for hit in by_index}
    assert unlabelled.find(word="high", words_from=manifest, top=3) == by_manifest
    vectors = small_model.embed(folder / "high-tones" / "1.wav").patches[:1]
    a_table(small_model, squeak=vectors).write(tmp_path / WORDS_FILE)
    for place in (tmp_path, tmp_path / WORDS_FILE):
        by_table = unlabelled.find(word="Squeaks", words_from=place, top=1)
        assert by_table[0].path == str(folder / "high-tones" / "1.wav")


def test_the_table_beside_the_model_serves_a_fresh_machine(
    index, unlabelled, folder, small_model, monkeypatch, tmp_path, caplog
):
    vectors = small_model.embed(folder / "Low_tone" / "1.wav").patches[:1]
    monkeypatch.setattr(words.model_files, "released_folders", lambda: [str(tmp_path)])
    table = a_table(small_model, hum=vectors, **{"low tone": vectors})
    table.write(tmp_path / WORDS_FILE)
    with caplog.at_level("INFO", logger="absl"):
        [hit] = unlabelled.find(word="hum", top=1)
    assert hit.path == str(folder / "Low_tone" / "1.wav")
    assert "hum: asked by 2 labelled sounds of the words of" in caplog.text
    # What the index knows itself comes first; with a sound a word is one query of two.
    assert index.find(word="low tone", top=99) == index.find(word="Low_tone", top=99)
    both = index.ask(
        [Query(folder / "high-tones" / "0.wav")], words=["hum"], exclude_own=False, top=99
    )
    assert both.words == ["hum"] and len({hit.labels for hit in both.hits[:6]}) == 2
    dataclasses.replace(table, model_digest="another").write(tmp_path / WORDS_FILE)
    with pytest.raises(SearchError, match="no sound is labelled in"):
        unlabelled.find(word="hum")
    with pytest.raises(SearchError, match="are of another model"):
        unlabelled.find(word="hum", words_from=tmp_path)


def test_a_word_that_is_not_known_is_told_with_its_neighbours(index, tmp_path, monkeypatch):
    monkeypatch.setattr(words.model_files, "released_folders", list)
    with pytest.raises(SearchError, match=r"'low': no sound is labelled so in .*near are Low_tone"):
        index.find(word="low")
    with pytest.raises(SearchError, match="'violin': .* nor alike; known are Low_tone, high-tones"):
        index.find(word="violin")
    with pytest.raises(SearchError, match="no index, no manifest and no table"):
        index.find(word="low", words_from=tmp_path / "none.csv")
    with pytest.raises(SearchError, match="nothing is asked for"):
        index.find()


def test_a_table_is_kept_in_half_precision(small_model, tmp_path):
    vectors = {"b": unit(*np.eye(24)[:3] + 0.1), "a": unit(*np.eye(24)[5:6])}
    a_table(small_model, **vectors).write(tmp_path / WORDS_FILE)
    back = WordTable.read(tmp_path)
    assert back.model_digest == small_model.digest and back.provenance == {"corpus": "none"}
    assert list(back.vectors) == ["a", "b"] and back.recordings == {"a": 2, "b": 6}
    for word, of_word in vectors.items():
        np.testing.assert_allclose(back.vectors[word], of_word, atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(back.vectors[word], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"PK not a zip", None])
def test_a_damaged_table_is_told(small_model, tmp_path, content):
    path = tmp_path / WORDS_FILE
    with pytest.raises(SearchError, match="there is no table of words"):
        WordTable.read(path)
    if content is None:
        np.savez(path, words=np.array(["a"]))
    else:
        path.write_bytes(content)
    with pytest.raises(SearchError, match="is damaged"):
        WordTable.read(path)
    a_table(small_model, a=unit(*np.eye(24)[:1])).write(path)
    refused_when_flagged(path, lambda: WordTable.read(path), SearchError)


def test_a_long_stock_is_spread_over():
    items = list(range(1000))
    some = words.spread(items)
    assert len(some) == words.MOST_SOUNDS and some[0] == 0 and some[-1] == 999
    assert np.ptp(np.diff(some)) <= 1
    assert words.spread([1, 2]) == [1, 2]


def test_silent_labelled_sounds_are_no_word(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(words.model_files, "released_folders", list)
    (tmp_path / "quiet").mkdir()
    (tmp_path / "loud").mkdir()
    soundfile.write(tmp_path / "quiet" / "0.wav", np.zeros(RATE, "f4"), RATE)
    soundfile.write(tmp_path / "loud" / "0.wav", tone(1.0, 500), RATE)
    index = audio_triplet.build_index(tmp_path / "index", tmp_path, small_model)
    with pytest.raises(SearchError, match="'quiet'"):
        SoundIndex(index.index.folder).find(word="quiet")


def test_the_command_asks_by_word_with_and_without_sounds(index, folder, capsys, monkeypatch):
    from audio_triplet.commands import search
    from tests.conftest import flags_given

    def told(*arguments):
        arguments = [f"--index={index.index.folder}", "--json", "--noexclude_own", *arguments]
        with flags_given(search.define_flags, arguments):
            search.main(["search", *[a for a in arguments if not a.startswith("--")]])
        return json.loads(capsys.readouterr().out)

    alone = told("--word=low_tone")
    assert alone["words"] == ["low_tone"] and alone["queries"] == []
    assert alone["hits"][0]["labels"] == ["Low_tone"]
    both = told(str(folder / "high-tones" / "0.wav"), "--word=low_tone", "--word=low tones")
    assert len(both["words"]) == 2 and len(both["queries"]) == 1
    assert both["hits"] != alone["hits"]
