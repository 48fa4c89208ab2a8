"""Tables of annotation programs: written here as those programs write them, read as moments."""

import dataclasses
import json

import pytest

from audio_triplet.annotations import reading
from audio_triplet.commands import inputs
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.errors import ManifestError

RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
    "Begin File\tFile Offset (s)\tSpecies\n"
    "1\tWaveform 1\t1\t1.5\t2.25\t300.0\t4000.5\ta.wav\t1.5\tdog\n"
    "1\tSpectrogram 1\t1\t1.5\t2.25\t300.0\t4000.5\ta.wav\t1.5\tdog\n"
    # The second file begins at second 10 of the whole.
    "2\tWaveform 1\t1\t12.1\t13.4\t200.0\t900.0\tb.wav\t2.1\towl\n"
    "2\tSpectrogram 1\t1\t12.1\t13.4\t200.0\t900.0\tb.wav\t2.1\towl\n"
)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    return tmp_path


def _write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def _told(moments):
    """(file's name, start, end, label, low, high, score), None for NaN."""
    rows = [dataclasses.astuple(moment) for moment in moments]
    return [
        (path.rsplit("/", 1)[1], *(None if value != value else value for value in values))
        for path, *values in rows
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_raven_with_views_and_several_files(folder, encoding, line_end):
    path = _write(folder, "any.txt", RAVEN.replace("\n", line_end), encoding)
    assert _told(reading.read_moments(path)) == [
        ("a.wav", 1.5, 2.25, "dog", 300.0, 4000.5, None),
        ("b.wav", 2.1, 3.4, "owl", 200.0, 900.0, None),
    ]


@pytest.mark.parametrize(
    "name", ["a.Table.1.selections.txt", "a.selections.txt", "a.txt", "a.wav.txt"]
)
def test_raven_of_one_file_is_known_by_its_name(folder, name):
    text = "Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n1\t0.5\t1.5\tdog\n2\t3\t4\t\n"
    assert _told(reading.read_moments(_write(folder, name, text))) == [
        ("a.wav", 0.5, 1.5, "dog", None, None, None),
        ("a.wav", 3.0, 4.0, "", None, None, None),
    ]


def test_raven_by_birdnet_and_paths_of_another_computer(folder):
    text = (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Common Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)\n"
        "1\tSpectrogram 1\t1\t0\t3.0\t0\t15000\tTawny Owl\ttawowl1\t0.91\tD:\\rec\\b.wav\t0\n"
    )
    assert _told(reading.read_moments(_write(folder, "x.txt", text))) == [
        ("b.wav", 0.0, 3.0, "Tawny Owl", 0.0, 15000.0, 0.91)
    ]


@pytest.mark.parametrize("name", ["a.txt", "a_labels.txt", "a Labels.txt", "a.wav.txt"])
def test_audacity_with_frequencies_and_points(folder, name):
    text = (
        '0.500000\t1.250000\tdog "big"\n\\\t300.000000\t4000.500000\n'
        "2.000000\t2.000000\tclick\n3.0\t4.0\n\\\t-1.000000\t-1.000000\n5,5\t6,5\town\n"
    )
    assert _told(reading.read_moments(_write(folder, name, text))) == [
        ("a.wav", 0.5, 1.25, 'dog "big"', 300.0, 4000.5, None),
        ("a.wav", 1.52, 2.48, "click", None, None, None),  # a patch of 0.96 s around it
        ("a.wav", 3.0, 4.0, "", None, None, None),
        ("a.wav", 5.5, 6.5, "own", None, None, None),
    ]


def test_birdnet(folder):
    own = (
        "Start (s),End (s),Scientific name,Common name,Confidence\n"
        "0.0,3.0,Strix aluco,Tawny Owl,0.9123\n"
    )
    expected = [("a.wav", 0.0, 3.0, "Tawny Owl", None, None, 0.9123)]
    assert _told(reading.read_moments(_write(folder, "a.BirdNET.results.csv", own))) == expected
    light = own.replace(",", ";")
    assert _told(reading.read_moments(_write(folder, "a.csv", light))) == expected
    whole = own.replace("Confidence\n", "Confidence,File\n").replace("0.9123\n", "0.9123,a.wav\n")
    assert (
        _told(reading.read_moments(_write(folder, "BirdNET_CombinedTable.csv", whole))) == expected
    )
    of_r = (
        "filepath,start,end,scientific_name,common_name,confidence,lat,lon\n"
        "/elsewhere/a.wav,0,3,Strix aluco,Tawny Owl,0.9123,-1,-1\n"
    )
    assert _told(reading.read_moments(_write(folder, "r.csv", of_r))) == expected
    kaleidoscope = (
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence\n"
        "/gone,site,a.wav,0.0,3.0,Strix aluco,Tawny Owl,0.9123\n"
    )
    assert _told(reading.read_moments(_write(folder, "k.csv", kaleidoscope))) == expected


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("1.500000000,0.25,0.750000000,dog\n", 1.5, 2.25),
        ("TIME,VALUE,DURATION,LABEL\n1.5,0.25,0.75,dog\n", 1.5, 2.25),
        ("1.5,440,0.75,0.9,dog\n", 1.5, 2.25),
        ("1.5,dog\n", 1.02, 1.98),
        ("TIME,LABEL\n1.5,dog\n", 1.02, 1.98),
        ("TIME,VALUE,LABEL\n1.5,3,dog\n", 1.02, 1.98),
    ],
)
def test_sonic_visualiser(folder, text, start, end):
    ((name, *rest),) = _told(reading.read_moments(_write(folder, "a.csv", text)))
    assert (name, rest[2]) == ("a.wav", "dog")
    assert rest[:2] == pytest.approx([start, end])


def test_label_studio(folder):
    def region(start, end, *labels):
        value = {"start": start, "end": end, "channel": 0, "labels": list(labels)}
        return {"type": "labels", "value": value, "from_name": "l", "to_name": "audio"}

    text = {"type": "textarea", "value": {"start": 0.5, "end": 1.5, "text": ["not a label"]}}
    whole = {"type": "choices", "value": {"choices": ["night"]}}
    tasks = [
        {
            "data": {"audio": "/data/upload/1/0123abcd-a.wav"},
            "annotations": [
                {"result": [region(0.5, 1.5, "dog", "bark"), text], "was_cancelled": False},
                {"result": [region(9, 10, "no")], "was_cancelled": True},
            ],
        },
        {
            "data": {"audio": "/data/local-files/?d=some/where/b.wav"},
            "annotations": [{"result": [whole]}],
        },
    ]
    expected = [
        ("a.wav", 0.5, 1.5, "dog", None, None, None),
        ("a.wav", 0.5, 1.5, "bark", None, None, None),
        ("b.wav", 0.0, None, "night", None, None, None),
    ]
    assert _told(reading.read_moments(_write(folder, "p.json", json.dumps(tasks)))) == expected
    short = [
        {"audio": "0123abcd-a.wav", "id": 1, "label": [
            {"start": 0.5, "end": 1.5, "labels": ["dog", "bark"]}]},
        {"audio": "b.wav", "id": 2, "choice": "night"},
    ]  # fmt: skip
    path = _write(folder, "min.json", json.dumps(short, indent=1))
    assert _told(reading.read_moments(path)) == expected


def test_labels_of_one_part_are_one_row_of_the_manifest(folder):
    text = "0\t2\tdog\n0\t2\towl\n1\t2\tdog\n"
    path = _write(folder, "a.txt", text)
    for manifest in (
        load_corpus(f"manifest:{path}"),
        inputs.load_inputs([str(path)])[0],
        inputs.load_inputs([f"manifest:{path}"])[0],
    ):
        assert manifest.frame[["labels", "start_seconds", "end_seconds"]].values.tolist() == [
            ["dog;owl", 0.0, 2.0],
            ["dog", 1.0, 2.0],
        ]
        assert manifest.frame["path"].tolist() == [str(folder / "a.wav")] * 2
        assert manifest.recordings == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "1,2,dog\n", "three columns without names may be start, end and label, or time"),
        ("a.csv", "FRAME,LABEL\n44100,dog\n", "times in frames"),
        ("c.txt", "1\t2\tdog\n", "names no sound file, and none beside it is called c"),
        ("a.txt", "\\\t2\t3\n", "line 1: frequencies of no label"),
        ("a.json", '[{"image": 3}]', "task 1 is none of Label Studio's"),
        ("a.json", '[{"audio": ', "not well-formed JSON"),
        ("a.txt", "some words\nand more\n", "no column 'path'"),
        (
            "a.txt",
            "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\tAnnotation\n1\t0\t1\tx\ty\n",
            "'Species' and 'Annotation' may both be the labels",
        ),
        (
            "a.txt",
            "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t0\tx\tdog\n",
            "line 2: end_time_s is 'x'",
        ),
        (
            "a.txt",
            "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t3\t1\tdog\n",
            "end_seconds 1 is not after start_seconds 3",
        ),
    ],
)
def test_one_line_says_what_is_wrong(folder, name, text, message):
    path = _write(folder, name, text)
    with pytest.raises(ManifestError, match=message) as caught:
        reading.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_of_two_sounds_by_one_name_is_an_error(folder):
    (folder / "a.flac").touch()
    path = _write(folder, "a.txt", "1\t2\tdog\n")
    with pytest.raises(ManifestError, match=r"belongs to a.flac or a.wav"):
        reading.read(path)
    path = _write(folder, "a.wav.txt", "1\t2\tdog\n")
    assert [moment.path for moment in reading.read_moments(path)] == [str(folder / "a.wav")]


def test_manifests_are_read_as_manifests(folder, caplog):
    caplog.set_level("INFO", logger="absl")
    text = "path,labels,start_seconds,end_seconds\na.wav,dog,0,1\n"
    read = reading.read(_write(folder, "m.csv", text))
    assert read.frame["labels"].tolist() == ["dog"] and not caplog.records
