"""UrbanSound8K's published layout."""

import pytest

from audio_triplet.corpora import urbansound8k
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data.splits import train_test
from audio_triplet.errors import CorpusError, ManifestError

_HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
_ROWS = [
    "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark",
    "100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing",
    "100263-2-0-121.wav,100263,60.5,64.5,1,5,2,children_playing",
    "7061-6-0-0.wav,7061,0.0,2.5,2,10,6,gun_shot",
]


def _corpus(root, rows=_ROWS, files=None):
    (root / "metadata").mkdir()
    (root / "metadata" / "UrbanSound8K.csv").write_text(_HEADER + "".join(f"{r}\n" for r in rows))
    if files is None:
        files = [f"fold{row.split(',')[5]}/{row.split(',')[0]}" for row in rows]
    for name in files:
        path = root / "audio" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return str(root)


def test_rows(tmp_path):
    made = load_corpus(f"urbansound8k:{_corpus(tmp_path)}")
    frame = made.frame
    assert list(frame["path"])[::3] == [
        str(tmp_path / "audio" / "fold5" / "100032-3-0-0.wav"),
        str(tmp_path / "audio" / "fold10" / "7061-6-0-0.wav"),
    ]
    assert list(frame["recording_id"]) == ["100032", "100263", "100263", "7061"]
    assert list(frame["labels"]) == ["dog_bark", "children_playing", "children_playing", "gun_shot"]
    assert list(frame["split"]) == ["fold5", "fold5", "fold5", "fold10"]
    # start and end are those in the Freesound recording, not in the slice.
    assert (frame["start_seconds"] == 0).all() and frame["end_seconds"].isna().all()
    # fold10 is the last by number, not by letter.
    assert set(train_test(made)[1].frame["split"]) == {"fold10"}


def test_other_extensions_and_missing_slices(tmp_path, caplog):
    files = ["fold5/100032-3-0-0.FLAC", "fold5/100032-3-0-0.txt", "fold5/7061-6-0-0.wav"]
    with caplog.at_level("WARNING", logger="absl"):
        made = urbansound8k.load(_corpus(tmp_path, files=files))
    # The last file lies in the wrong fold.
    assert list(made.frame["path"]) == [str(tmp_path / "audio" / files[0])]
    assert "3 of 4 clips are missing" in caplog.text


def test_a_recording_in_two_folds_stays_in_its_last(tmp_path):
    rows = [*_ROWS, "100032-3-0-9.wav,100032,9,10,1,10,3,dog_bark"]
    splits = urbansound8k.load(_corpus(tmp_path, rows)).frame["split"]
    assert list(splits) == ["unused", "fold5", "fold5", "fold10", "fold10"]


def test_clear_errors(tmp_path):
    with pytest.raises(CorpusError, match="no metadata/UrbanSound8K.csv in it; name the folder"):
        urbansound8k.load(str(tmp_path))
    root = _corpus(tmp_path, files=[])
    with pytest.raises(CorpusError, match="none of the 4 clips of UrbanSound8K is there"):
        urbansound8k.load(root)
    table = tmp_path / "metadata" / "UrbanSound8K.csv"
    table.write_text(_HEADER + _ROWS[0].replace(",5,", ",11,") + "\n")
    with pytest.raises(CorpusError, match="100032-3-0-0.wav is in fold '11'; folds are 1 … 10"):
        urbansound8k.load(root)
    table.write_text("filename,fold,category\na.wav,1,dog\n")
    with pytest.raises(CorpusError, match="no column slice_file_name, fsID, class; this is not"):
        urbansound8k.load(root)


def test_a_slice_listed_twice(tmp_path):
    with pytest.raises(ManifestError, match="urbansound8k, row 4: .* listed a second time"):
        urbansound8k.load(_corpus(tmp_path, [*_ROWS, _ROWS[0]]))
