"""Tables that are written: nothing is lost on the way back, and other readers agree."""

import csv
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from audio_triplet.annotations import own_table, reading, writing
from audio_triplet.annotations.moments import Moment

NAN = float("nan")


@pytest.fixture
def folder(tmp_path):
    """Three sounds: of 4, 3 and 2.5 s."""
    for name, seconds in (("b.wav", 3), ("site/a.wav", 4), ("site/a.flac", 2.5)):
        path = tmp_path / "sound" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(round(44100 * seconds)), 44100)
    return tmp_path


def _moments(folder):
    sound = folder / "sound"
    return [
        Moment(f"{sound}/b.wav", 0.1 + 0.2, 1.0 / 3, "owl", 100.5, 3000.0, 0.9),
        Moment(f"{sound}/b.wav", 1.0, 3.0, '"', 1.0, 2.0, -0.25),
        Moment(f"{sound}/site/a.flac", 0.25, 0.75, '=cmd|"x"', 0.0, 8000.0, 1e-7),
        Moment(f"{sound}/site/a.wav", 0.96, 1.92, '"été"', 0.5, 22050.0, 0.5),
        Moment(f"{sound}/site/a.wav", 2.0, 4.0, "-dog, @home'", 10.0, 20.0, 1.0),
    ]


def _same(found, expected):
    assert [(moment.path, moment.label) for moment in found] == [
        (moment.path, moment.label) for moment in expected
    ]
    for moment, other in zip(found, expected, strict=True):
        numbers = [
            [value for value in dataclasses.astuple(row) if isinstance(value, float)]
            for row in (moment, other)
        ]
        np.testing.assert_allclose(*numbers, rtol=0, atol=1e-9)


@pytest.mark.parametrize("form", ["raven", "csv", "json"])
def test_round_trip_of_all_in_one(folder, form):
    moments = _moments(folder)
    summary = writing.write(form, str(folder / "out"), "hits", moments[::-1])
    path = folder / "out" / f"hits{writing.FORMS[form].ending}"
    assert str(path) in summary and "3 recordings" in summary
    _same(reading.read_moments(path), moments)
    manifest = reading.read(path)
    assert manifest.frame["labels"].tolist() == [moment.label for moment in moments]


@pytest.mark.parametrize("form", ["raven", "csv", "json", "audacity"])
def test_round_trip_of_each_recording(folder, form):
    moments = _moments(folder)
    writing.write(form, str(folder / "out"), "hits", moments)
    ending, below = writing.FORMS[form].ending, folder / "out" / f"hits-{form}"
    tables = {
        "b.wav": below / f"b{ending}",
        "a.flac": below / "site" / f"a.flac{ending}",  # two sounds are called a
        "a.wav": below / "site" / f"a.wav{ending}",
    }
    assert sorted(path for path in below.rglob("*") if path.is_file()) == sorted(tables.values())
    for name, table in tables.items():
        expected = [moment for moment in moments if moment.path.endswith("/" + name)]
        if form == "audacity":  # belongs beside its sound, and has no scores
            sound = folder / "sound" / table.relative_to(below).parent
            table = table.rename(sound / table.name)
            expected = [dataclasses.replace(moment, score=NAN) for moment in expected]
        _same(reading.read_moments(table), expected)


def test_raven_opens_several_sounds_as_one(folder):
    """Begin Time counts through the sounds in order, File Offset within each: by hand."""
    writing.write("raven", str(folder), "hits", _moments(folder))
    with open(folder / "hits.selections.txt", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    # b.wav is 3 s long, a.flac 2.5 s.
    assert [float(row["Begin Time (s)"]) for row in rows] == pytest.approx(
        [0.3, 1.0, 3.25, 6.46, 7.5]
    )
    assert [float(row["End Time (s)"]) for row in rows] == pytest.approx(
        [1 / 3, 3.0, 3.75, 7.42, 9.5]
    )
    assert [float(row["File Offset (s)"]) for row in rows] == pytest.approx(
        [0.3, 1.0, 0.25, 0.96, 2.0]
    )
    assert [row["Begin File"] for row in rows] == ["b.wav"] * 2 + ["a.flac"] + ["a.wav"] * 2
    assert [row["Selection"] for row in rows] == list("12345")


def test_what_is_not_known_is_filled(folder):
    whole = [Moment(f"{folder}/sound/b.wav", 1.0, NAN), Moment("/gone/c.wav", 1.0, NAN, "x")]
    writing.write("raven", str(folder), "all", whole)
    rows = pd.read_csv(folder / "all.selections.txt", sep="\t")
    by_file = rows.set_index("Begin File")
    assert by_file.loc["b.wav", ["Low Freq (Hz)", "High Freq (Hz)"]].tolist() == [0, 22050]
    assert by_file.loc["b.wav", "End Time (s)"] - by_file.loc["b.wav", "Begin Time (s)"] == 2
    assert by_file.loc["c.wav", "End Time (s)"] == pytest.approx(1.96)


def test_crowsetta_reads_the_same(folder):
    crowsetta = pytest.importorskip("crowsetta")
    moments = [moment for moment in _moments(folder) if moment.label == "owl"]
    writing.write("raven", str(folder), "hits", moments)
    (box,) = crowsetta.formats.bbox.Raven.from_file(folder / "hits.selections.txt").to_bbox()
    assert (box.onset, box.offset) == pytest.approx((0.3, 1.0 / 3)) and box.label == "owl"
    assert (box.low_freq, box.high_freq) == (100.5, 3000.0)
    plain = [dataclasses.replace(moment, low_hz=NAN, high_hz=NAN) for moment in moments]
    writing.write("audacity", str(folder), "hits", plain)
    track = crowsetta.formats.seq.AudSeq.from_file(folder / "hits-audacity" / "b.labels.txt")
    times = (track.start_times[0], track.end_times[0])
    assert times == pytest.approx((0.3, 1 / 3)) and track.labels[0] == "owl"


def test_formulas_are_guarded(folder):
    writing.write("csv", str(folder), "hits", _moments(folder))
    with open(folder / "hits.labels.csv", newline="") as file:
        labels = [row["labels"] for row in csv.DictReader(file)]
    assert labels == ["owl", '"', '\'=cmd|"x"', '"été"', "'-dog, @home'"]
    for text in ("=1+1", "+1", "-x", "@a", "'=1", "''=1", "'dog", "dog", ""):
        assert own_table.unguarded(own_table.guarded(text)) == text
        assert not own_table.guarded(text).startswith(("=", "+", "-", "@"))


def test_label_studio_tasks(folder):
    writing.write("json", str(folder), "hits", _moments(folder)[:1])
    (task,) = json.loads((folder / "hits.json").read_text())
    assert task["data"] == {"audio": f"{folder}/sound/b.wav"}
    (result,) = task["annotations"][0]["result"]
    assert (result["type"], result["to_name"], result["original_length"]) == ("labels", "audio", 3)
    assert result["value"] == {
        "start": 0.1 + 0.2, "end": 1 / 3, "channel": 0, "labels": ["owl"]
    }  # fmt: skip
