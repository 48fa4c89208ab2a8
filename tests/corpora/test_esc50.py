"""ESC-50's published layout."""

import os
import pathlib

import pytest

from audio_triplet.corpora import esc50
from audio_triplet.data.splits import train_test
from audio_triplet.errors import CorpusError

_REAL = pathlib.Path(__file__).parents[3] / "shared" / "corpora" / "esc50"
_HEADER = "filename,fold,target,category,esc10,src_file,take\n"


def _corpus(folder, rows, files):
    (folder / "meta").mkdir()
    (folder / "audio").mkdir()
    (folder / "meta" / "esc50.csv").write_text(_HEADER + "".join(row + "\n" for row in rows))
    for name in files:
        (folder / "audio" / name).write_bytes(b"x")
    return str(folder)


_ROWS = [
    "1-100-A-0.wav,1,0,dog,True,100,A",
    "1-100-B-0.wav,1,0,dog,True,100,B",
    "5-007-A-19.wav,5,19,thunderstorm,False,007,A",
]


def test_columns_and_any_extension(tmp_path):
    files = ["1-100-A-0.ogg", "1-100-B-0.FLAC", "5-007-A-19.flac", "5-007-A-19.wav", "x.txt"]
    frame = esc50.load(_corpus(tmp_path, _ROWS, files)).frame
    # The named extension is preferred where a clip lies there twice.
    assert [os.path.basename(path) for path in frame["path"]] == [files[0], files[1], files[3]]
    assert list(frame["recording_id"]) == ["100", "100", "007"]
    assert list(frame["labels"]) == ["dog", "dog", "thunderstorm"]
    assert list(frame["split"]) == ["fold1", "fold1", "fold5"]
    assert list(frame["licence"]) == ["CC BY 3.0", "CC BY 3.0", "CC BY-NC 3.0"]


def test_missing_clips_are_counted(tmp_path, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        made = esc50.load(_corpus(tmp_path, _ROWS, ["1-100-B-0.ogg"]))
    assert len(made) == 1
    assert "2 of 3 clips are missing" in caplog.text


def test_nothing_found(tmp_path):
    with pytest.raises(CorpusError, match="none of the 3 clips.*extensions: wav, flac"):
        esc50.load(_corpus(tmp_path, _ROWS, ["1-100-A-0.txt"]))


def test_folder_without_audio_folder_or_table(tmp_path):
    with pytest.raises(CorpusError, match="no meta/esc50.csv in it"):
        esc50.load(str(tmp_path))
    folder = _corpus(tmp_path, _ROWS, [])
    os.rmdir(tmp_path / "audio")
    with pytest.raises(CorpusError, match="none of the 3 clips"):
        esc50.load(folder)


def test_another_table(tmp_path):
    folder = _corpus(tmp_path, _ROWS, [])
    (tmp_path / "meta" / "esc50.csv").write_text("filename,label\na.wav,dog\n")
    with pytest.raises(CorpusError, match="no column fold, category, src_file"):
        esc50.load(folder)


def test_a_source_in_two_folds_stays_in_its_last(tmp_path):
    rows = [*_ROWS, "2-100-C-0.wav,2,0,dog,True,100,C"]
    folder = _corpus(tmp_path, rows, [row.split(",")[0] for row in rows])
    assert list(esc50.load(folder).frame["split"]) == ["unused", "unused", "fold5", "fold2"]


@pytest.mark.skipif(not _REAL.is_dir(), reason="no ESC-50 at ../shared/corpora/esc50")
def test_the_real_corpus():
    """Published: 2,000 clips, 50 classes × 40, 5 folds × 400 (8 a class)."""
    made = esc50.load(str(_REAL))
    assert len(made) == 2000
    assert len(made.classes) == 50
    assert (made.label_matrix().sum(axis=0) == 40).all()
    # The four sources that the published table has in two folds.
    unused = made.select("unused").frame
    assert sorted(unused["recording_id"]) == ["131943", "134049", "209698", "234879"]
    train, test = train_test(made)
    assert (len(train), len(test)) == (1596, 400)
    assert (test.label_matrix().sum(axis=0) == 8).all()
    for fold in range(1, 6):
        train, test = train_test(made, f"fold{fold}")
        assert not set(train.frame["recording_id"]) & set(test.frame["recording_id"])
