import os

import numpy as np
import pytest
import soundfile

from audio_triplet.commands import inputs
from audio_triplet.errors import CorpusError, UsageError
from tests.conftest import RATE


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "sound"
    for name in ("dog/a.wav", "cat/deep/b.wav", "c.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, np.zeros(800, "f4"), RATE)
    (root / "notes.txt").write_text("no sound")
    return root


def test_a_folder_a_file_and_a_manifest_together(tree, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "path,recording_id,labels,split,start_seconds,end_seconds\n"
        "sound/dog/a.wav,r1,dog,train,0,0.02\nsound/c.wav,r2,,test,,\n"
    )
    manifest, names = inputs.load_inputs([str(tree), str(tree / "c.wav"), str(table)])
    rows = list(
        zip(
            [os.path.relpath(path, tmp_path) for path in manifest.frame["path"]],
            manifest.frame["labels"],
            manifest.frame["end_seconds"].fillna(0),
            names,
            strict=True,
        )
    )
    assert rows == [
        ("sound/c.wav", "", 0, "c.wav"),
        ("sound/cat/deep/b.wav", "cat", 0, "cat/deep/b.wav"),
        ("sound/dog/a.wav", "dog", 0, "dog/a.wav"),
        ("sound/dog/a.wav", "dog", 0.02, "dog/a.wav"),
    ]
    # Two folders may hold files of one name: each is a recording of its own.
    assert manifest.frame["recording_id"].nunique() == 4


def test_a_manifest_alone_keeps_its_splits_and_recordings(tree, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("path,recording_id,split\nsound/dog/a.wav,r1,train\nsound/c.wav,r2,test\n")
    manifest, _ = inputs.load_inputs([f"manifest:{table}"])
    assert manifest.splits == ("test", "train")
    assert list(manifest.frame["recording_id"]) == ["r1", "r2"]


def test_what_is_no_sound_is_named(tree, tmp_path):
    for arguments, message in (
        ([], "name the sound"),
        (["/nowhere.wav"], "no such file or folder"),
        (["/nowhere.csv"], "no such manifest"),
        (["nosuch:x"], "unknown corpus"),
    ):
        with pytest.raises((UsageError, CorpusError), match=message):
            inputs.load_inputs(arguments)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="no audio files"):
        inputs.load_inputs([str(tmp_path / "empty")])
    strange = os.path.join(os.fsencode(tmp_path), b"\xff.wav")
    with open(strange, "wb"):
        pass
    with pytest.raises(UsageError, match="not UTF-8"):
        inputs.load_inputs([os.fsdecode(strange)])


def test_folders_are_labels_only_where_that_is_asked(tree, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    (tree / "site;a").mkdir()
    (tree / "c.wav").rename(tree / "site;a" / "c.wav")  # no class may be called so, a site may
    manifest, _ = inputs.load_inputs([str(tree)], labels="none")
    passed_over = f"{tree}: passed over: 1 .txt"
    assert set(manifest.frame["labels"]) == {""} and caplog.messages == [passed_over]
    caplog.clear()
    with pytest.raises(CorpusError, match="may not have ';'"):
        inputs.load_inputs([str(tree)], labels="folders")
    (tree / "site;a" / "c.wav").rename(tree / "c.wav")
    inputs.load_inputs([str(tree)], labels="folders")
    assert f"{tree}: its folders are taken for labels: 2 (cat, dog)" in caplog.messages


def test_a_table_labels_the_files_of_a_folder(tree, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("path,labels\nsound/dog/a.wav,bark\nsound/c.wav,rain;wind\nsound/no.wav,x\n")
    own = tmp_path / "own.csv"
    own.write_text("path,labels\nsound/cat/deep/b.wav,purr\n")
    manifest, names = inputs.load_inputs([str(tree), str(own)], labels=str(table))
    labels = dict(zip(names, manifest.frame["labels"], strict=True))
    assert labels == {"dog/a.wav": "bark", "c.wav": "rain;wind", "cat/deep/b.wav": ""}
    manifest, _ = inputs.load_inputs([str(own)], labels="none")
    assert list(manifest.frame["labels"]) == ["purr"]  # a manifest keeps its own
    table.write_text("path,labels\nelsewhere/a.wav,bark\n")
    with pytest.raises(UsageError, match="names none of the sounds"):
        inputs.load_inputs([str(tree)], labels=str(table))
    table.write_text("path,labels,start_seconds,end_seconds\nsound/c.wav,rain,0.1,0.2\n")
    with pytest.raises(UsageError, match=r"labels parts of .*c\.wav; give the table itself"):
        inputs.load_inputs([str(tree)], labels=str(table))
    with pytest.raises(UsageError, match=r"--labels=yes: no such file"):
        inputs.load_inputs([str(tree)], labels="yes")
