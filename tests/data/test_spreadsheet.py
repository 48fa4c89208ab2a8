"""Tables as spreadsheets and annotation tools write them, read as manifests."""

import codecs
import os

import numpy as np
import pandas as pd
import pytest

from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import ManifestError

PLAIN = "path,labels,start_seconds,end_seconds\nsub/a.wav,dog;été,0.5,83.5\nb.wav,cat,0,2\n"


def _read(folder, content, name="m.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Manifest.read(path)


def _cells(manifest):
    return manifest.frame.fillna(-1).values.tolist()


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le+mark", "utf-16-be+mark", "cp1252"]
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_separators_and_encodings_of_spreadsheets(tmp_path, separator, encoding, line_end, caplog):
    text = (
        "path,labels,start_seconds,end_seconds\n"
        'sub/a.wav,"dog;été",0#5,83#5\nb.wav,cat,0,2\ncafé/naïve.wav,"hélicoptère à l\'aube",,\n'
    ).replace("\n", line_end)
    plain = _read(tmp_path, text.replace("#", "."), "plain.csv")
    written = text.replace(",", separator).replace("#", ",")
    name, _, mark = encoding.partition("+")
    content = written.encode(name)
    if mark:
        content = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}[
            name
        ] + content
    caplog.set_level("INFO", logger="absl")
    read = _read(tmp_path, content)
    assert _cells(read) == _cells(plain)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and repr(separator) in said[0]
    assert ("utf_16" in said[0]) == encoding.startswith("utf-16")
    assert ("cp1252" in said[0]) == (encoding == "cp1252")


def test_a_code_page_far_down_a_table_is_found(tmp_path):
    text = "path;label\n" + "".join(f"{i}.wav;dog\n" for i in range(9000)) + "x.wav;été à Orléans\n"
    assert _read(tmp_path, text.encode("cp1252")).classes == ("dog", "été à Orléans")


@pytest.mark.parametrize(
    ("encoding", "labels"),
    [
        ("cp1252", "Müll"),
        ("cp1252", "Kohlmeise;Grünfink;Mönchsgrasmücke"),
        ("cp1250", "Łabędź krzykliwy;żuraw;świstun;žluva"),
        ("cp1251", "большая синица;собака"),
        ("cp932", "いぬ;とり;シジュウカラ"),
        ("gb18030", "喜鹊;大山雀;狗"),
    ],
)
def test_code_pages(tmp_path, encoding, labels, caplog):
    caplog.set_level("INFO", logger="absl")
    text = f"path,labels\na.wav,dog\nb.wav,{labels}\n"
    read = _read(tmp_path, text.encode(encoding))
    assert read.frame["labels"][1] == labels
    assert f"text as {encoding}, a guess" in caplog.text


def test_excels_line_that_names_the_separator(tmp_path):
    with pytest.raises(ManifestError, match="line 4: start_seconds is 'x'"):
        _read(tmp_path, "sep=;\r\npath;start\r\na.wav;1\r\nb.wav;x\r\n")
    assert len(_read(tmp_path, "sep=;\r\npath;start\r\na.wav;1\r\n")) == 1


@pytest.mark.parametrize("path", ["filename", "file", "Path", "FILE NAME", "Begin Path", "fname"])
@pytest.mark.parametrize("label", ["category", "Class", "label", "SPECIES"])
@pytest.mark.parametrize(
    ("start", "end"),
    [("start", "end"), ("Begin Time (s)", "End Time (s)"), ("onset", "offset"), ("begin", "END")],
)
def test_names_that_tools_give(tmp_path, path, label, start, end, caplog):
    plain = _read(tmp_path, PLAIN)
    caplog.set_level("INFO", logger="absl")
    header = f"{path},{label},{start},{end}\n"
    read = _read(tmp_path, header + PLAIN.split("\n", 1)[1])
    assert _cells(read) == _cells(plain)
    (said,) = [record.getMessage() for record in caplog.records]
    for name in (path, label, start, end):
        assert repr(name) in said


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("file,filename\na.wav,b.wav\n", ["'file'", "'filename'", "'path'"]),
        ("path,species,Category\na.wav,x,y\n", ["'species'", "'Category'", "'labels'"]),
        ("Path,begin,onset\na.wav,1,2\n", ["'begin'", "'onset'", "'start_seconds'"]),
        ("Path,PATH\na.wav,1\n", ["'Path'", "'PATH'"]),
        ("path,onset,duration\na.wav,1,2\n", ["'duration'", "'onset'", "end_seconds"]),
        ("path,offset\na.wav,1\n", ["'offset'", "start_seconds", "end_seconds"]),
    ],
)
def test_ambiguous_names_are_an_error_that_names_both(tmp_path, text, names):
    with pytest.raises(ManifestError) as caught:
        _read(tmp_path, text)
    assert all(name in str(caught.value) for name in names)


def test_a_name_of_the_published_form_is_taken_before_others(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    read = _read(tmp_path, "path,labels,filename,category,start_seconds,start\na.wav,x,b,y,1,5\n")
    assert read.frame[["path", "labels", "start_seconds"]].values.tolist() == [
        [f"{tmp_path}/a.wav", "x", 1.0]
    ]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "filename, category, start" in said


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0,5", 0.5),
        ("1234,25", 1234.25),
        ("0:01:23.5", 83.5),
        ("0:01:23,5", 83.5),
        ("01:02:03", 3723.0),
        ("1:23", 83.0),
        ("90:15.25", 5415.25),
        ("1e1", 10.0),
    ],
)
def test_times(tmp_path, written, seconds):
    read = _read(tmp_path, f"path;start\na.wav;{written}\n")
    assert read.frame["start_seconds"].tolist() == [seconds]
    assert _read(tmp_path, f'path,start\na.wav,"{written}"\n').frame["start_seconds"][0] == seconds


@pytest.mark.parametrize("written", ["1:2:3:4", "1:60:00", "0:75", "1,2,3", "1.5s", "a:b", ":5"])
def test_what_is_no_time_is_an_error(tmp_path, written):
    with pytest.raises(ManifestError, match="line 3: start_seconds is"):
        _read(tmp_path, f"path;start\na.wav;\nb.wav;{written}\n")


def test_backslashes_where_only_they_hide_the_file(tmp_path):
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "a.wav").touch()
    (tmp_path / "odd\\name.wav").touch()
    read = _read(tmp_path, "path\nsub\\deep\\a.wav\nodd\\name.wav\nno\\where.wav\n")
    assert list(read.frame["path"]) == [
        f"{tmp_path}/sub/deep/a.wav",
        f"{tmp_path}/odd\\name.wav",
        f"{tmp_path}/no\\where.wav",
    ]
    if os.sep == "/":
        assert os.path.exists(read.frame["path"][0])


def test_lines_of_separators_alone_are_blank(tmp_path):
    text = "path,labels,note\na.wav,dog,\n,,\n , ,\n\nb.wav,cat,x\n,,\n"
    assert [os.path.basename(path) for path in _read(tmp_path, text).frame["path"]] == [
        "a.wav",
        "b.wav",
    ]
    with pytest.raises(ManifestError, match="line 8: start_seconds is 'x'"):
        _read(tmp_path, "path,start\n,\na.wav,1\n\n,\n , \nb.wav,2\nc.wav,x\n")
    with pytest.raises(ManifestError, match="line 2: the path is empty"):
        _read(tmp_path, "path,labels,note\n,,a note\n")
    with pytest.raises(ManifestError, match="no rows"):
        _read(tmp_path, "path,labels\n,\n")


def test_labels_that_differ_in_capitals_alone_are_said(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    read = _read(tmp_path, "path,labels\na.wav,Dog\nb.wav,dog \nc.wav,dog\nd.wav,owl;a  b\ne,a b\n")
    assert read.classes == ("Dog", "a  b", "a b", "dog", "owl")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "'Dog' and 'dog'" in said[0] and "'a  b' and 'a b'" in said[1]


def test_a_table_of_the_published_form_is_read_without_a_word(tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    made = Manifest(
        pd.DataFrame(
            {
                "path": [f"{tmp_path}/a;b.wav", f"{tmp_path}/c\td.wav"],
                "labels": ["dog;cat", "x|y"],
                "end_seconds": [0.1 + 0.2, np.nan],
            }
        )
    )
    made.write(tmp_path / "m.csv")
    pd.testing.assert_frame_equal(
        Manifest.read(tmp_path / "m.csv").frame.drop(columns="recording_id"),
        made.frame.drop(columns="recording_id"),
    )
    assert not caplog.records
