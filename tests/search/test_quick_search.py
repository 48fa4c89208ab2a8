"""A search without TensorFlow: in a process that cannot import it, and the same hits."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import audio_triplet
from audio_triplet.embeddings.quick_model import ENCODER_FILE, QuickModel
from audio_triplet.embeddings.saved_model import Model
from audio_triplet.errors import ExportError
from audio_triplet.search.index import Index
from audio_triplet.search.query import embed_sound
from audio_triplet.search.sound_index import SoundIndex
from audio_triplet.search.word_table import WordTable
from tests.conftest import RATE, tone

# What has no place on the way of a search; importing one of them is an error.
ALONE = """
import sys

HEAVY = {"tensorflow", "keras", "pandas", "sklearn", "matplotlib", "scipy", "jinja2", "av"}

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Refusing())
"""
COMMAND = ALONE + "from audio_triplet.commands.main import run; run()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds")
    for number, hertz in enumerate((200, 210, 800, 3000)):
        soundfile.write(root / f"{number}.wav", tone(2.5, hertz, number), RATE)
    soundfile.write(root / "short.flac", tone(0.3, 3000, 4, 44100), 44100)
    return root


@pytest.fixture(scope="module")
def index(folder, small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "an.index"
    return audio_triplet.build_index(path, folder, small_model.path).index.folder


def test_the_command_runs_where_tensorflow_cannot_be_imported(index, folder):
    for query in (folder / "0.wav", folder / "short.flac"):
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, "search", query, f"--index={index}", "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "XNNPACK" not in done.stderr
        answer = json.loads(done.stdout)["hits"]
        expected = SoundIndex(index, Model(SoundIndex(index).index.info.model)).find(query)
        assert [(hit["path"], hit["start_seconds"]) for hit in answer] == [
            (hit.path, hit.start_seconds) for hit in expected
        ]
        assert [hit["score"] for hit in answer] == pytest.approx(
            [hit.score for hit in expected], abs=1e-4
        )


def test_a_word_is_asked_for_there_too(index, folder, small_model, tmp_path):
    vectors = {"hum": small_model.embed(folder / "0.wav").patches[:1]}
    WordTable(small_model.digest, vectors, {"hum": 1}, {}).write(tmp_path / "words.npz")
    asked = ["search", "--word=hums", f"--words_from={tmp_path}", f"--index={index}", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *asked], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "hums: asked by 1 labelled sound of the words of" in done.stderr
    [first, *_] = json.loads(done.stdout)["hits"]
    assert first["path"] == str(folder / "0.wav") and first["score"] > 0.999


def test_the_library_takes_the_same_way(index, folder):
    code = ALONE + (
        "import audio_triplet\n"
        "assert len(audio_triplet.open_index(sys.argv[1]).find(sys.argv[2])) > 3"
    )
    subprocess.run([sys.executable, "-c", code, index, folder / "0.wav"], check=True)


def test_the_encoder_of_the_index_serves_when_its_model_is_gone(
    index, folder, small_model, tmp_path
):
    model, moved = tmp_path / "model", tmp_path / "moved.index"
    shutil.copytree(small_model.path, model)
    audio_triplet.build_index(moved, folder, model)
    shutil.rmtree(model)
    opened = SoundIndex(moved)
    assert isinstance(opened.query_model, QuickModel) and opened.query_model.path == str(moved)
    assert opened.find(folder / "0.wav") == SoundIndex(index).find(folder / "0.wav")


def test_that_a_model_is_missing_is_known_without_tensorflow(index, tmp_path, monkeypatch):
    # Importing it takes seconds, in which a window's other answers wait.
    monkeypatch.setitem(sys.modules, "audio_triplet.embeddings.saved_model", None)
    with pytest.raises(ExportError, match="holds no saved_model"):
        SoundIndex(index, tmp_path).query_model  # noqa: B018


def test_a_given_model_must_be_that_of_the_index(index, folder, small_model):
    for model in (small_model.path, QuickModel(os.path.join(index, ENCODER_FILE))):
        opened = SoundIndex(index, model)
        assert isinstance(opened.query_model, QuickModel)
        assert opened.find(folder / "0.wav") == SoundIndex(index).find(folder / "0.wav")
    assert SoundIndex(index, small_model).query_model is small_model


def test_without_an_encoder_file_tensorflow_serves(index, folder, small_model, tmp_path, caplog):
    copy, model = tmp_path / "copy.index", tmp_path / "model"
    shutil.copytree(index, copy)
    shutil.copytree(small_model.path, model)
    for place in (copy, model):
        os.remove(place / ENCODER_FILE)
    with caplog.at_level("INFO", logger="absl"):
        hits = SoundIndex(copy, model).find(folder / "0.wav")
    assert "TensorFlow is used instead" in caplog.text
    expected = SoundIndex(index).find(folder / "0.wav")
    assert [hit.path for hit in hits] == [hit.path for hit in expected]


def test_a_sound_that_is_asked_for_knows_how_loud_its_patches_are(index, small_model):
    """Three patches of a tone, the second ten times as loud, the third silent."""
    sound = tone(3.0, 440, 0)
    sound *= np.repeat([0.05, 0.5, 0.0], RATE)[: len(sound)]
    model = QuickModel(os.path.join(small_model.path, ENCODER_FILE))
    asked = embed_sound(model, Index(index).info, sound, sample_rate=RATE, hop_seconds=1.0).patches
    assert len(asked.energy) == len(asked.vectors) == 2
    assert asked.energy[1] / asked.energy[0] == pytest.approx(10, rel=0.1)
    assert asked.shares[1] / asked.shares[0] == pytest.approx(10**0.5, rel=0.05)
