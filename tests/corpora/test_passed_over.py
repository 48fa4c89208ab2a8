"""What a folder's scan does not take for sound is said, and kept in the summary."""

import json

import numpy as np
import pytest
import soundfile

from audio_triplet.commands.inputs import load_inputs
from audio_triplet.corpora import audioset, folders
from audio_triplet.corpora.passed_over import PassedOver
from audio_triplet.errors import CorpusError
from data_prep.preparation import prepare


def _write(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_the_line():
    passed_over = PassedOver()
    assert (str(passed_over), passed_over.counts()) == ("", {})
    for name in ["a.txt", "b.TXT", "c.mid", "README", ".hidden.mid"]:
        passed_over.add(name)
    assert str(passed_over) == "passed over: 2 .txt, 1 .mid, 1 without extension"
    assert passed_over.counts() == {".mid": 1, ".txt": 2, "without extension": 1}
    for number in range(10):
        passed_over.add(f"a.x{number}")
    assert str(passed_over).endswith(".x7, 3 others")


def test_folders_and_the_commands_inputs(tmp_path, caplog):
    _write(tmp_path, "dog/a.wav", "dog/a.txt", "dog/deep/b.mid", "c.txt", ".d.mid", ".git/e.txt")
    for load in (folders.load, lambda folder: load_inputs([folder])):
        caplog.clear()
        with caplog.at_level("INFO", logger="absl"):
            load(str(tmp_path))
        assert f"{tmp_path}: passed over: 2 .txt, 1 .mid" in caplog.text


def test_nothing_passed_over_is_not_said(tmp_path, caplog):
    _write(tmp_path, "a.wav")
    with caplog.at_level("INFO", logger="absl"):
        assert folders.load(str(tmp_path)).frame.attrs["passed_over"] == {}
    assert "passed over" not in caplog.text


def test_a_folder_without_sound_says_what_it_has(tmp_path):
    _write(tmp_path, "a.mid", "b.mid")
    with pytest.raises(CorpusError, match="no audio files in it; .*; passed over: 2 .mid"):
        folders.load(str(tmp_path))


def test_audioset(tmp_path):
    table = '# YTID, start_seconds, end_seconds, positive_labels\n-0RWZT-miFs, 0, 10, "/m/09x0r"\n'
    (tmp_path / "eval_segments.csv").write_text(table)
    (tmp_path / "class_labels_indices.csv").write_text(
        "index,mid,display_name\n0,/m/09x0r,Speech\n"
    )
    _write(tmp_path, "-0RWZT-miFs_0.wav", "-0RWZT-miFs_0.json", "log.json")
    assert audioset.load(str(tmp_path)).frame.attrs["passed_over"] == {".json": 2}


def test_the_summary_of_a_prepared_folder(tmp_path):
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000).astype("f4")
    (tmp_path / "sounds").mkdir()
    for name in "ab":
        soundfile.write(tmp_path / "sounds" / f"{name}.wav", sound, 16_000)
    _write(tmp_path / "sounds", "notes.txt", "score.mid", "score2.mid")
    prepare(folders.load(str(tmp_path / "sounds")), str(tmp_path / "out"), progress=False)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["passed_over"] == {".mid": 2, ".txt": 1}
