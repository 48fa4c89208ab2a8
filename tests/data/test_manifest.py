"""The manifest: what it reads, what it refuses, and that no source is on both sides."""

import csv
import os
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.data.manifest import Manifest
from audio_triplet.data.manifest_csv import CORE_COLUMNS
from audio_triplet.data.splits import train_test
from audio_triplet.errors import ManifestError


def _file(folder, text, name="m.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _manifest(**columns):
    return Manifest(pd.DataFrame(columns), name="test corpus")


# --- reading ----------------------------------------------------------------------------------


def test_only_path_is_required(tmp_path):
    read = Manifest.read(_file(tmp_path, "path\na.wav\nsub/b.wav\n"))
    assert list(read.frame["path"]) == [f"{tmp_path}/a.wav", f"{tmp_path}/sub/b.wav"]
    assert list(read.frame["recording_id"]) == ["a.wav", "sub/b.wav"]
    assert list(read.frame["labels"]) == ["", ""]
    assert list(read.frame["start_seconds"]) == [0.0, 0.0]
    assert read.frame["end_seconds"].isna().all()
    assert read.frame["end_seconds"].dtype == np.float64
    assert read.splits == ("",)
    assert len(read) == 2


def test_all_columns_in_any_order(tmp_path):
    text = (
        "kind,end_seconds,start_seconds,split,labels,recording_id,path\n"
        "effect,2.5,1,test,dog; bark ;dog,r1,/abs/a.wav\n"
        "speech,,,train,,,b.wav\n"
    )
    read = Manifest.read(_file(tmp_path, text))
    first, second = read.frame.iloc[0], read.frame.iloc[1]
    assert (first.path, first.recording_id, first.labels) == ("/abs/a.wav", "r1", "dog;bark")
    assert (first.start_seconds, first.end_seconds, first.kind) == (1.0, 2.5, "effect")
    assert second.recording_id == "b.wav"
    assert read.classes == ("bark", "dog")
    assert read.splits == ("test", "train")


def test_values_that_look_like_missing_are_kept(tmp_path):
    read = Manifest.read(_file(tmp_path, "path,recording_id,labels\nNA,null,nan\n1e3,007,None\n"))
    assert list(read.frame["path"]) == [f"{tmp_path}/NA", f"{tmp_path}/1e3"]
    assert list(read.frame["recording_id"]) == ["null", "007"]
    assert read.classes == ("None", "nan")


def test_dots_and_double_slashes_are_taken_out_and_addresses_left(tmp_path):
    text = "path\n./a.wav\nx//./b.wav\n../c.wav\ngs://bucket/./d.wav\n.hidden/e.wav\nf./g.wav\n"
    read = Manifest.read(_file(tmp_path, text))
    assert list(read.frame["path"]) == [
        f"{tmp_path}/a.wav",
        f"{tmp_path}/x/b.wav",
        f"{tmp_path}/../c.wav",
        "gs://bucket/./d.wav",
        f"{tmp_path}/.hidden/e.wav",
        f"{tmp_path}/f./g.wav",
    ]


def test_spreadsheet_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b"\xef\xbb\xbfpath, labels\r\na.wav,dog\r\n\r\nb.wav,cat\r\n")
    read = Manifest.read(path)
    assert list(read.frame["recording_id"]) == ["a.wav", "b.wav"]
    assert read.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path'"),
        ("path\n", "no rows"),
        ("path,recording\na.wav,x\n", "did you mean 'recording_id'"),
        ("path,license\na.wav,x\n", "did you mean 'licence'"),
        ("path,path\na.wav,x\n", "two columns are called 'path'"),
        ("path,labels\na.wav,dog,cat\n", "line 2 has more than 2 cells"),
        ("path,labels\na.wav,dog\nb.wav,dog,cat\n", "well-formed"),
        ('path\n"a.wav\n', "well-formed"),
        ("path\na.wav\n\nb.wav\na.wav\n", "line 5: .*a.wav is listed a second time"),
        ("path\na.wav\n./a.wav\n", "line 3: .*a.wav is listed a second time"),
        ("path,labels\na.wav,x\n,y\n", "line 3: the path is empty"),
        ("path,start_seconds\na.wav,-1\n", "line 2: start_seconds -1 is negative"),
        ("path,start_seconds\na.wav,x\n", "line 2: start_seconds is 'x'"),
        ("path,start_seconds\na.wav,nan\n", "line 2: start_seconds is 'nan'"),
        ("path,end_seconds\na.wav,1\nb.wav,inf\n", "line 3: end_seconds is 'inf'"),
        ("path,end_seconds\na.wav,0\n", "line 2: end_seconds 0 is not after start_seconds 0"),
        ("path,start_seconds,end_seconds\na.wav,3,2.5\n", "end_seconds 2.5 is not after"),
        ("path,end_seconds\na.wav,-1\n", "end_seconds -1 is not after"),
        (
            "path,recording_id,split\na.wav,r,train\nb.wav,r,test\n",
            r"line 3: recording r is in several splits \(train, test\)",
        ),
        (
            "path,recording_id,split,end_seconds\na.wav,r,train,1\na.wav,s,test,2\n",
            "line 3: file .*a.wav is in several splits",
        ),
    ],
)  # fmt: skip
def test_one_line_names_file_and_mend(tmp_path, text, message):
    path = _file(tmp_path, text)
    with pytest.raises(ManifestError, match=message) as caught:
        Manifest.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_line_numbers_count_line_breaks_inside_cells(tmp_path):
    text = 'path,start_seconds\n"a\nb.wav",0\n\nc.wav,0\n"d\n\ne.wav",oops\n'
    # Lines: 1 header, 2–3 first row, 4 empty, 5 second row, 6–8 third row.
    with pytest.raises(ManifestError, match="line 6: start_seconds is 'oops'"):
        Manifest.read(_file(tmp_path, text))


def test_unused_segments_are_on_no_side(tmp_path):
    text = "path,recording_id,split\na.wav,r,unused\nb.wav,r,test\nc.wav,s,train\n"
    train, test = train_test(Manifest.read(_file(tmp_path, text)))
    assert list(train.frame["recording_id"]) == ["s"]
    assert [os.path.basename(path) for path in test.frame["path"]] == ["b.wav"]


def test_short_rows_are_filled(tmp_path):
    read = Manifest.read(_file(tmp_path, "path,labels,split,\na.wav\nb.wav,dog\nc.wav,,test,\n"))
    assert list(read.frame["labels"]) == ["", "dog", ""]
    assert list(read.frame["split"]) == ["", "", "test"]


def test_what_is_not_a_manifest(tmp_path):
    with pytest.raises(ManifestError, match="no such manifest"):
        Manifest.read(tmp_path / "absent.csv")
    with pytest.raises(ManifestError, match="is a folder"):
        Manifest.read(tmp_path)
    binary = tmp_path / "a.wav"
    binary.write_bytes(b"RIFF\xff\xfe\x00\x00WAVE")
    with pytest.raises(ManifestError, match="not UTF-8 text"):
        Manifest.read(binary)


def test_unknown_columns_are_ignored_and_said_once(tmp_path, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        read = Manifest.read(_file(tmp_path, "path,comment,bpm\na.wav,x,1\n"))
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 1
    assert "comment, bpm" in warned[0]
    assert "comment" not in read.frame


def test_a_path_may_come_in_several_parts(tmp_path):
    text = "path,start_seconds,end_seconds\na.wav,0,1\na.wav,1,2\na.wav,1,\na.wav,,\n"
    assert len(Manifest.read(_file(tmp_path, text))) == 4


# --- writing ----------------------------------------------------------------------------------


def test_paths_below_the_folder_are_written_relative(tmp_path):
    made = _manifest(path=[f"{tmp_path}/x/a.wav", "/elsewhere/b.wav"])
    made.write(tmp_path / "m.csv")
    with open(tmp_path / "m.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["x/a.wav", "/elsewhere/b.wav"]
    assert [row["end_seconds"] for row in rows] == ["", ""]
    moved = tmp_path / "moved"
    moved.mkdir()
    os.rename(tmp_path / "m.csv", moved / "m.csv")
    assert Manifest.read(moved / "m.csv").frame["path"][0] == f"{moved}/x/a.wav"


_NAMES = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=8
)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.dictionaries(
        # A name that begins with "/" would be another folder's; ".", ".." are no files.
        _NAMES.filter(lambda name: "/" not in name and name not in (".", "..")),
        st.tuples(
            _NAMES,
            st.lists(st.sampled_from(["dog", "été", "a b", 'q"uote', "x,y"]), unique=True),
            st.floats(0, 1e6),
            st.floats(1e-3, 1e6) | st.just(float("nan")),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_is_written_is_read_again(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("round trip, with spaces")
    made = Manifest(
        pd.DataFrame(
            {
                "path": [f"{folder}/{name}" for name in rows],
                "recording_id": [row[0] for row in rows.values()],
                "labels": [";".join(row[1]) for row in rows.values()],
                "start_seconds": [row[2] for row in rows.values()],
                "end_seconds": [row[2] + row[3] for row in rows.values()],
                "licence": [row[0] for row in rows.values()],
            }
        )
    )
    made.write(folder / "m.csv")
    read = Manifest.read(folder / "m.csv")
    pd.testing.assert_frame_equal(read.frame, made.frame)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    made = _manifest(path=["/a.wav"])
    made.write(tmp_path / "m.csv")
    before = (tmp_path / "m.csv").read_bytes()

    def full(*_args, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(ManifestError, match="m.csv: not written .*No space left.*free some space"):
        made.write(tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_bytes() == before
    assert os.listdir(tmp_path) == ["m.csv"]


# --- labels and splits ------------------------------------------------------------------------


def test_label_matrix_against_a_loop():
    made = _manifest(path=["/a", "/b", "/c"], labels=["dog;cat", "", "cat"])
    assert made.classes == ("cat", "dog")
    expected = [[True, True], [False, False], [True, False]]
    np.testing.assert_array_equal(made.label_matrix(), expected)
    np.testing.assert_array_equal(
        made.label_matrix(["dog", "owl"]), [[True, False], [False, False], [False, False]]
    )
    with pytest.raises(ManifestError, match="named twice"):
        made.label_matrix(["dog", "dog"])


def test_select_names_the_splits_there_are():
    made = _manifest(path=["/a", "/b", "/c"], split=["train", "test", ""])
    assert list(made.select(["test", ""]).frame["path"]) == ["/b", "/c"]
    assert list(made.select("test").frame.index) == [0]
    with pytest.raises(ManifestError, match=r"no split eval; there are: \(none\), test, train"):
        made.select(["eval"])


def test_errors_of_a_frame_name_the_corpus_and_row():
    with pytest.raises(ManifestError, match="test corpus, row 1: .* listed a second time"):
        _manifest(path=["/a", "/a"])
    with pytest.raises(ManifestError, match="no rows"):
        _manifest(path=[])
    with pytest.raises(ManifestError, match="no column 'path'"):
        _manifest(file=["/a"])


def test_a_frame_with_gaps_and_any_index_is_put_in_order():
    frame = pd.DataFrame(
        {"path": ["/a", "/b"], "labels": [None, "x"], "end_seconds": [None, 3], "extra": [1, 2]},
        index=[7, 7],
    )
    made = Manifest(frame)
    assert list(made.frame.columns) == list(CORE_COLUMNS)
    assert list(made.frame.index) == [0, 1]
    assert list(made.frame["labels"]) == ["", "x"]
    assert made.frame["end_seconds"].tolist()[1] == 3.0
    assert "extra" in frame


def test_no_tensorflow_is_imported():
    code = (
        "import sys, audio_triplet.data.manifest, audio_triplet.corpora.registry\n"
        "assert 'tensorflow' not in sys.modules, 'tensorflow was imported'"
    )
    root = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_fingerprint_depends_on_rows_sizes_of_files_and_settings(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"1234")
    made = _manifest(path=[f"{tmp_path}/a.wav", "gs://bucket/b.wav"])
    found = made.fingerprint({"rate": 16000, "kind": None})
    assert len(found) == 64 and found == made.fingerprint({"kind": None, "rate": 16000})
    assert found != made.fingerprint({"kind": None, "rate": 8000})
    labelled = Manifest(made.frame.assign(labels="dog"), made.name)
    assert found != labelled.fingerprint({"rate": 16000, "kind": None})
    (tmp_path / "a.wav").write_bytes(b"12345")
    assert found != made.fingerprint({"rate": 16000, "kind": None})
