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
