"""`classify estimate`: moments are drawn, answered in any program, and the share is told."""

import csv
import json
import pathlib

import numpy as np
import pytest

from audio_triplet.annotations import reading
from audio_triplet.classify import listening, predictions
from audio_triplet.commands.classify import estimate
from audio_triplet.errors import ManifestError, UsageError
from tests.conftest import flags_given

MOMENTS = 600


@pytest.fixture
def archive(tmp_path):
    """predictions.csv of 3 files, and which of its moments are dogs: about 1 in 10."""
    rng = np.random.default_rng(0)
    scores = rng.random(MOMENTS).round(4)
    is_dog = rng.random(MOMENTS) < 0.3 * scores**2
    path = tmp_path / "predictions.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*predictions.HEAD, "'=cat", "dog", "clock_time"])
        for row, score in enumerate(scores):
            start = 0.96 * (row // 3)
            name = f"{tmp_path}/{'abc'[row % 3]}.wav"
            times = [f"{start:.3f}", f"{start + 0.96:.3f}"]
            writer.writerow([name, *times, "dog", f"{1 - score:.4f}", score, "2024-06-12T04:59:59"])
    return str(path), is_dog


def run(path, out, *arguments, label="dog") -> list[dict]:
    out.mkdir(exist_ok=True)
    given = [f"--predictions={path}", f"--label={label}", f"--output_dir={out}", *arguments]
    with flags_given(estimate.define_flags, given):
        estimate.main(["estimate"])
    with open(out / "listen.csv", newline="") as file:
        return list(csv.DictReader(file))


def fill(out, answer, separator=",") -> None:
    with open(out / "listen.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(out / "listen.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, listening.COLUMNS, delimiter=separator)
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"answer": row["answer"] or answer(int(row["moment"]))})


def test_predictions_are_read_as_they_were_written(archive):
    found = predictions.read(archive[0])
    assert found.classes == ("=cat", "dog") and len(found) == MOMENTS
    np.testing.assert_allclose(found.scores.sum(axis=1), 1)
    assert found.found is None and found.ends[-1] == pytest.approx(0.96 * 200)
    with pytest.raises(ManifestError, match="dogg: no class of the predictions; there are dog"):
        found.column("dogg")


def test_draws_then_tells_the_share_and_narrows(archive, tmp_path, capsys):
    path, is_dog = archive
    out = tmp_path / "dogs"
    rows = run(path, out, "--count=60", "--nopage")
    assert "60 of 600 moments to listen to" in capsys.readouterr().out
    known = predictions.read(path)
    for row in rows:
        moment = int(row["moment"])
        assert row["path"] == known.paths[moment] and row["answer"] == ""
        assert float(row["start_seconds"]) == known.starts[moment]
        assert float(row["score"]) == known.scores[moment, 1]
    # Strata take turns; each has the scores above those of the one before.
    assert len({row["stratum"] for row in rows[:7]}) == 7
    assert run(path, out, "--nopage") == rows  # nothing answered, nothing changed

    fill(out, lambda moment: ("no", "yes")[is_dog[moment]], separator=";")
    rows = run(path, out, "--more=40", "--nopage")
    assert len(rows) == 100 and sum(row["answer"] == "" for row in rows) == 40
    answer = json.loads((out / "estimate.json").read_text())
    low, high = answer["interval"]
    assert low <= is_dog.mean() <= high and low <= answer["share"] <= high
    # The same by hand, from the table.
    share = 0.0
    for number, stratum in enumerate(answer["strata"], 1):
        heard = [r["answer"] for r in rows if int(r["stratum"]) == number and r["answer"]]
        assert stratum["answered"] == len(heard) and stratum["yes"] == heard.count("yes")
        share += stratum["moments"] / MOMENTS * heard.count("yes") / len(heard)
    assert answer["share"] == pytest.approx(share)
    assert f"dog: {100 * share:.2f} % of 600 moments (95 %: " in capsys.readouterr().out

    fill(out, lambda moment: ("0", "TRUE")[is_dog[moment]])
    run(path, out, "--nopage")
    later = json.loads((out / "estimate.json").read_text())
    assert later["answered"] == 100
    assert later["interval"][1] - later["interval"][0] < 0.9 * (high - low)
    fill(out, lambda moment: "")


def test_answers_of_the_page_and_of_other_programs(archive, tmp_path, capsys):
    path, is_dog = archive
    out = tmp_path / "dogs"
    rows = run(path, out, "--count=30", "--form=raven", "--form=csv", "--nopage")
    table = out / "listen.selections.txt"
    to_fill = reading.read_moments(table)
    assert len(to_fill) == 30 and all(row.label == "" for row in to_fill)
    by_time = {(r["path"], float(r["start_seconds"])): int(r["moment"]) for r in rows}
    lines = table.read_text().splitlines()
    label = lines[0].split("\t").index("Annotation")
    filled = [lines[0]]
    for line, row in zip(lines[1:], to_fill, strict=True):
        cells = line.split("\t")
        cells[label] = "dog" if is_dog[by_time[row.path, row.start_seconds]] else "no"
        filled.append("\t".join(cells))
    table.write_text("\n".join(filled[:-1]) + "\n")  # and one is deleted
    after = run(path, out, f"--answers={table}", "--nopage")
    answered = [row for row in after if row["answer"]]
    assert len(answered) == 29
    assert all(is_dog[int(row["moment"])] == (row["answer"] == "yes") for row in answered)
    last = next(row for row in after if not row["answer"])
    (tmp_path / "answers.csv").write_text(f"moment,answer\n{last['moment']},?\n")
    run(path, out, f"--answers={tmp_path / 'answers.csv'}", "--nopage")
    assert "1 answers are ?" in capsys.readouterr().out


def test_what_cannot_be_is_one_line(archive, tmp_path):
    path, _ = archive
    out = tmp_path / "dogs"
    run(path, out, "--count=20", "--nopage")
    with pytest.raises(UsageError, match="holds an estimate that differs in label, predictions;"):
        run(path, out, label="=cat")
    with pytest.raises(UsageError, match="differs in seed;"):
        run(path, out, "--seed=3")
    with pytest.raises(UsageError, match=r"x.wav: estimate takes no sound"):
        with flags_given(
            estimate.define_flags, ["--predictions=p", "--label=l", f"--output_dir={out}"]
        ):
            estimate.main(["estimate", "x.wav"])
    fill(out, lambda moment: "maybe")
    with pytest.raises(ManifestError, match="line 2: answer is 'maybe'; write yes, no, "):
        run(path, out)
    (out / "listen.csv").write_text("moment,path,answer\n100000,a.wav,no\n")
    with pytest.raises(ManifestError, match="moment 100000 was not drawn"):
        run(path, out)
    (out / "listen.csv").write_text("moment,path,answer\nseven,a.wav,no\n")
    with pytest.raises(ManifestError, match="line 2: moment is 'seven'"):
        run(path, out)
    text = pathlib.Path(path).read_text()
    for wrong, message in (
        ("path,labels\na.wav,dog\n", "no table of classify predict"),
        (text.splitlines()[0] + "\n", "holds no predictions"),
        (text.replace("0.960,", "much,", 1), "row 1: end_seconds is 'much'"),
    ):
        (tmp_path / "wrong.csv").write_text(wrong)
        with pytest.raises(ManifestError, match=message):
            predictions.read(tmp_path / "wrong.csv")
    with pytest.raises(ManifestError, match="no such file"):
        predictions.read(tmp_path / "none.csv")
