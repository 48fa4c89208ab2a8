"""`classify check`: predictions of any program beside annotations of any program."""

import csv
import json

import numpy as np
import pytest
import soundfile

from audio_triplet.classify import annotated, comparison
from audio_triplet.classify.check_config import CheckConfig
from audio_triplet.classify.predictions import FOUND, HEAD, PROBABILITY, Predictions
from audio_triplet.commands.classify import check
from audio_triplet.errors import ManifestError, UsageError
from tests.conftest import RATE, flags_given, tone

SECONDS = {"a.wav": 10.0, "b.wav": 4.0, "c.wav": 4.0, "d.wav": 4.0}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for name, seconds in SECONDS.items():
        soundfile.write(folder / name, tone(seconds, 400), RATE)
    return folder


def raven(path, rows, folder) -> str:
    """A selection table of (file, start, end, label[, score])."""
    lines = ["Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin Path\tAnnotation\tScore"]
    for number, (file, start, end, label, *score) in enumerate(rows, 1):
        cells = [number, "Spectrogram 1", start, end, f"{folder}/{file}", label, *score]
        lines.append("\t".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


TRUTH = [
    ("a.wav", 1.0, 2.0, "dog"),
    ("a.wav", 5.0, 6.0, "dog"),
    ("b.wav", 0.0, 4.0, "dog"),
    ("c.wav", 3.0, 4.0, "dog"),  # no prediction at all
    ("b.wav", 2.0, 3.0, "owl"),  # of a class that is never predicted
]
PREDICTED = [
    ("a.wav", 1.2, 2.4, "dog", 0.9),  # right
    ("a.wav", 8.0, 9.0, "dog", 0.7),  # nothing there
    ("b.wav", 1.0, 2.0, "dog", 0.6),  # right, its first part
    ("b.wav", 2.0, 2.4, "dog", 0.5),  # its second: they touch, and are one
    ("d.wav", 1.0, 2.0, "dog", 0.5),  # nobody said what is in there
    ("a.wav", 1.0, 2.0, "cat", 0.5),  # never annotated
]


@pytest.fixture
def tables(sounds, tmp_path):
    return (
        raven(tmp_path / "predicted.txt", PREDICTED, sounds),
        raven(tmp_path / "truth.txt", TRUTH, sounds),
    )


def run(tables, out, *arguments) -> tuple[dict, list[dict]]:
    out.mkdir(exist_ok=True)
    predictions, truth = tables
    given = [f"--predictions={predictions}", f"--truth={truth}", f"--output_dir={out}"]
    with flags_given(check.define_flags, [*given, *arguments]):
        check.main(["check"])
    with open(out / "check.csv", newline="") as file:
        return json.loads((out / "check.json").read_text()), list(csv.DictReader(file))


def test_a_hand_worked_example(tables, sounds, tmp_path, capsys):
    report, rows = run(tables, tmp_path / "out", "--moment_seconds=1")
    dog, owl = report["classes"]
    # Three predicted events: two are right; of four annotated ones two are found.
    event = dog["event"]
    assert (event["predicted"], event["right"], event["true"]) == (3, 2, 4)
    assert (event["precision"], event["recall"]) == (pytest.approx(2 / 3), 0.5)
    assert event["f1"] == pytest.approx(4 / 7)
    # By score right, wrong, right: 1/1 and 2/3, of four.
    assert event["ap"] == pytest.approx((1 + 2 / 3) / 4)
    # Seconds that are of a dog: a 1, 5; b 0 to 3; c 3: 7. Predicted: a 1, 8; b 1; and b 2, for of
    # the shorter prediction of 0.4 s all lies in it. Right: a 1, b 1, b 2.
    moment = dog["moment"]
    assert (moment["predicted"], moment["right"], moment["true"]) == (4, 3, 7)
    assert owl["event"]["recall"] == owl["moment"]["recall"] == 0
    assert owl["event"]["precision"] is None and owl["event"]["ap"] == 0
    # All classes together: the same predictions, one more event.
    assert report["total"]["event"]["recall"] == pytest.approx(2 / 5)
    assert report["without_prediction"] == [f"{sounds}/c.wav"]
    assert report["without_annotation"] == [f"{sounds}/d.wav"]
    assert report["other_classes"] == {"cat": 1} and report["without_file"] == []
    missed = [(m["label"], m["path"][-5:], m["start_seconds"]) for m in report["missed"]]
    assert sorted(missed) == [("dog", "a.wav", 5), ("dog", "c.wav", 3), ("owl", "b.wav", 2)]
    assert [(m["path"][-5:], m["score"]) for m in report["false"]] == [("a.wav", 0.7)]
    by_hand = next(row for row in rows if row["class"] == "dog" and row["by"] == "event")
    assert (by_hand["precision"], by_hand["recall"]) == ("0.6667", "0.5000")
    printed = capsys.readouterr().out
    assert (
        "by event: precision 0.667 (" in printed
        and "2 right of 3 predicted, 5 annotated" in printed
    )
    assert "1 recordings hold a class and have no prediction" in printed
    assert "at least 50% of the shorter of the two" in printed
    page = (tmp_path / "out" / "check.html").read_text()
    assert "Content-Security-Policy" in page and page.count('<figure class="chart"') == 3
    for identifier in ("moments", "events", "curves", "mistakes", "counted", "made"):
        assert f'id="{identifier}"' in page
    assert page.count('<button type="button" class="clip"') == 4  # one wrong, three missed
    assert "There are none" not in page and "at least 50% of the shorter" in page


def test_what_changes_with_each_choice(tables, tmp_path):
    def dog(*arguments):
        return run(tables, tmp_path / "out", "--nopage", *arguments)[0]["classes"][0]["event"]

    apart = dog("--join_seconds=-1")  # the second part finds nothing that is not found already
    assert (apart["predicted"], apart["right"]) == (4, 2)
    assert dog("--threshold=0.65")["predicted"] == 2 and dog("--threshold=0.65")["right"] == 1
    assert dog("--unannotated=empty")["predicted"] == 4
    assert dog("--min_overlap=0.9")["right"] == 1  # 1.2 to 2.4 shares 0.8 of a second


def test_files_of_another_computer_and_files_that_are_gone(sounds, tmp_path, capsys):
    elsewhere = r"C:\field\2024"
    truth = [*TRUTH[:3], ("gone.wav", 1.0, 2.0, "dog")]
    tables = (
        raven(tmp_path / "predicted.txt", PREDICTED[:3], sounds),
        raven(tmp_path / "truth.txt", truth, elsewhere),
    )
    report, _ = run(tables, tmp_path / "out", "--nopage")
    assert report["recordings"] == 3 and report["classes"][0]["event"]["right"] == 2
    assert report["classes"][0]["event"]["true"] == 4
    assert len(report["without_file"]) == len(report["without_prediction"]) == 1
    assert "gone.wav" in report["without_file"][0]
    assert "their file is neither there nor predicted" in capsys.readouterr().out


def test_which_file_is_meant(sounds, tmp_path):
    here = str(sounds / "a.wav")
    assert annotated.same_names([here], [here]) == {here: here}
    known = ["/x/SITE1/1.wav", "/x/SITE2/1.wav", "/x/2.wav"]
    found = annotated.same_names(["/y/SITE2/1.wav", "/y/2.wav", "/y/3.wav", "/y/1.wav"], known)
    assert found == {"/y/SITE2/1.wav": "/x/SITE2/1.wav", "/y/2.wav": "/x/2.wav"}
    # Two that may mean one file: the one that shares more, or none.
    assert annotated.same_names(["/y/A/2.wav", "/x/2.wav"], known) == {"/x/2.wav": "/x/2.wav"}
    assert annotated.same_names(["/y/A/2.wav", "/y/B/2.wav"], known) == {}
    # A file that is there means itself.
    assert annotated.same_names([here], ["/elsewhere/a.wav"]) == {}


def test_the_table_of_predict_by_its_rows(sounds, tmp_path):
    """Moments of a second; dog is found by its threshold, and c.wav was not predicted."""
    path = tmp_path / "predictions.csv"
    scores = {"a.wav": [0.1, 0.9, 0.2, 0, 0, 0.3, 0, 0, 0.8, 0], "b.wav": [0.7, 0.6, 0.1, 0.65]}
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*HEAD, FOUND, "cat", "dog", PROBABILITY + "cat", PROBABILITY + "dog"])
        for name, values in scores.items():
            for second, score in enumerate(values):
                label = "dog" if score >= 0.65 else ""
                times = [f"{second:.3f}", f"{second + 1:.3f}"]
                writer.writerow(
                    [f"{sounds}/{name}", *times, "cat", label, 1 - score, score, "", score]
                )
    truth = raven(tmp_path / "truth.txt", TRUTH, sounds)
    report, _ = run((path, truth), tmp_path / "out")
    dog, owl = report["classes"]
    # Of the class are a 1, 5, b 0 to 3, and the second 3 of c, which has no row.
    assert (dog["moment"]["true"], dog["moment"]["predicted"], dog["moment"]["right"]) == (7, 4, 3)
    # Scores .9 .8 .7 .65 .6 .3 .2 .1: right, wrong, then right but for .2; .1 is a 0 and b 2.
    precisions = [1, 2 / 3, 3 / 4, 4 / 5, 5 / 6, 6 / 9]
    assert dog["moment"]["ap"] == pytest.approx(sum(precisions) / 7)
    # a 1, a 8, b 0, b 3 are events; one of b's finds its event, the other nothing.
    assert (dog["event"]["predicted"], dog["event"]["right"]) == (4, 2)
    assert report["seconds"] == 1 and owl["moment"]["true"] == 1
    assert report["other_classes"] == {}
    assert report["without_prediction"] == [f"{sounds}/c.wav"]
    with pytest.raises(UsageError, match="--moment_seconds: the moments are the rows"):
        run((path, truth), tmp_path / "out", "--moment_seconds=2")


def test_tables_that_the_program_of_birds_writes(sounds, tmp_path):
    folder = tmp_path / "birdnet"
    folder.mkdir()
    for name in ("a", "b"):
        lines = ["Start (s),End (s),Scientific name,Common name,Confidence,File"]
        lines += [
            f"{s},{s + 3},Strix aluco,Tawny Owl,0.{s + 2},{sounds}/{name}.wav" for s in (0, 3)
        ]
        (folder / f"{name}.BirdNET.results.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "a.wav").write_bytes((sounds / "a.wav").read_bytes())  # a copy beside its track
    track = tmp_path / "a.txt"
    track.write_text("1.0\t2.0\tTawny Owl\n7.0\t8.0\tTawny Owl\n")
    report, _ = run((folder, track), tmp_path / "out", "--nopage")
    [owl] = report["classes"]
    # Windows of 3 s: of the class are the first and the third, predicted the first two.
    assert report["seconds"] == 3 and report["recordings"] == 1
    moment = owl["moment"]
    assert (moment["true"], moment["predicted"], moment["right"]) == (2, 2, 1)
    # They touch and are one event, with the higher score.
    event = owl["event"]
    assert (event["true"], event["predicted"], event["right"]) == (2, 1, 1)
    assert report["without_annotation"] == [f"{sounds}/b.wav"]


def test_what_cannot_be_compared_is_one_line(tables, sounds, tmp_path):
    predictions, truth = tables
    with pytest.raises(UsageError, match="none of their recordings is annotated"):
        other = raven(tmp_path / "other.txt", [("x.wav", 0, 1, "dog")], "/nowhere")
        run((predictions, other), tmp_path / "out")
    with pytest.raises(UsageError, match="no annotation has a label"):
        empty = raven(tmp_path / "empty.txt", [("a.wav", 0, 1, "")], sounds)
        run((predictions, empty), tmp_path / "out")
    with pytest.raises(ManifestError, match="no such file or folder"):
        run(("/nowhere.csv", truth), tmp_path / "out")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ManifestError, match="holds no table"):
        run((tmp_path / "bare", truth), tmp_path / "out")
    with flags_given(check.define_flags, ["--predictions=p", "--truth=t", "--output_dir=o"]):
        with pytest.raises(UsageError, match="check takes no sound"):
            check.main(["check", "a.wav"])


def test_a_manifest_is_truth_too_and_a_whole_file_is_one_event(sounds, tmp_path):
    (tmp_path / "labels.csv").write_text(f"path,labels\n{sounds}/a.wav,dog;cat\n{sounds}/b.wav,\n")
    truth = annotated.read([str(tmp_path / "labels.csv")])
    assert [moment.label for moment in truth.moments] == ["dog", "cat"] and len(truth.paths) == 2
    rows = np.array([f"{sounds}/a.wav", f"{sounds}/b.wav"], object)
    scores = np.array([[0.8, 0.1], [0.7, 0.2]])
    predicted = Predictions(rows, np.zeros(2), np.array([10.0, 4.0]), ("dog", "cat"), scores)
    found = comparison.compare(predicted, truth, CheckConfig(threshold=0.5), lambda _: None)
    cat, dog = found.classes
    assert (dog.moment.true, dog.moment.predicted, dog.moment.right) == (1, 2, 1)
    assert (dog.event.true, dog.event.predicted, dog.event.right) == (1, 2, 1)
    assert cat.event.predicted == 0 and cat.moment.ap == pytest.approx(1 / 2)
    assert json.dumps(check.as_json(found), allow_nan=False)
