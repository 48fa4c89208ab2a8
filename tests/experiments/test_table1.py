import json
import os
import subprocess
import sys

import pytest

from experiments import table1


def scores(qbe, cls, accuracy=0.5):
    return {"qbe_map": qbe, "query_map": qbe, "cls_map": cls, "accuracy": accuracy, "seconds": 1,
            "qbe_per_class": {"a": qbe, "b": None}, "cls_per_class": {"a": cls, "b": cls}}


def test_rows_by_hand():
    """The paper's own figures: (0.575 - 0.423) / (0.790 - 0.423) = 41 %; 0.244 / 0.288 = 85 %."""
    rows = {
        row["name"]: row for row in table1.rows_of({
            "log_mel": {0: scores(0.423, 0.065)},
            "joint": {0: scores(0.57, 0.25), 1: scores(0.58, 0.238)},
            "explicit": {0: scores(0.790, 0.288)},
        })
    }
    joint = rows["joint"]
    assert joint["qbe_map"] == pytest.approx(0.575) and joint["seeds"] == [0, 1]
    assert joint["recovery_qbe"] == pytest.approx(0.414, abs=1e-3)
    assert joint["ratio_cls"] == pytest.approx(0.847, abs=1e-3)
    assert joint["spread"]["qbe_map"] == pytest.approx(0.01 / 2**0.5)
    assert joint["qbe_per_class"] == {"a": pytest.approx(0.575), "b": None}
    assert rows["log_mel"]["recovery_qbe"] == 0 and rows["explicit"]["recovery_cls"] == 1
    assert rows["log_mel"]["spread"]["qbe_map"] is None


def test_rows_without_topline():
    (row,) = table1.rows_of({"joint": {0: scores(0.5, 0.2, None)}})
    assert row["recovery_qbe"] is None and row["ratio_cls"] is None and row["accuracy"] is None


def test_no_recovery_of_a_gap_that_is_not_there():
    rows = table1.rows_of({
        "log_mel": {0: scores(0.4, 0.4)}, "joint": {0: scores(0.5, 0.5)},
        "explicit": {0: scores(0.3, 0.6)},
    })
    assert [row["recovery_qbe"] for row in rows] == [None] * 3
    assert rows[1]["ratio_qbe"] == pytest.approx(0.5 / 0.3)
    assert [row["recovery_cls"] for row in rows] == [0, pytest.approx(0.5), 1]


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """A whole table of three rows on generated tones, made by the command."""
    out = str(tmp_path_factory.mktemp("table1"))
    command = [
        sys.executable, "-m", "experiments.table1", f"--corpus={prepared}", f"--output_dir={out}",
        "--rows=log_mel,joint,explicit", "--seeds=0,1", "--steps=8", "--batch_size=8",
        "--width=0.0625", "--log_steps=4",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out, command, done.stdout


def test_contract_of_the_json(finished):
    out, _, printed = finished
    with open(os.path.join(out, "table1.json"), encoding="utf-8") as file:
        table = json.load(file)
    assert [row["name"] for row in table["rows"]] == ["log_mel", "joint", "explicit"]
    for row in table["rows"]:
        assert {"name", "qbe_map", "cls_map", "recovery_qbe", "recovery_cls", "ratio_qbe",
                "ratio_cls", "seeds"} <= set(row)
        assert 0 <= row["qbe_map"] <= 1 and 0 <= row["cls_map"] <= 1
    assert table["rows"][1]["seeds"] == [0, 1]
    config = table["config"]
    for name in ("command", "commit", "machine", "versions", "date", "seconds"):
        assert config[name]
    assert "experiments.table1" in config["command"] and "| Joint |" in printed


def test_all_files_are_there(finished):
    out, _, _ = finished
    for name in ("table1.md", "table1.png", "report.html", "runs/joint-seed1/export/config.json",
                 "runs/explicit-seed0/metrics.csv", "embeddings/log_mel.npz",
                 "scores/joint-seed0.json"):
        assert os.path.getsize(os.path.join(out, name)) > 100, name
    leftovers = [f for _, _, files in os.walk(out) for f in files if f.endswith(".tmp")]
    assert not leftovers


def test_rerun_keeps_what_is_finished(finished):
    out, command, _ = finished
    kept = {}
    for part in ("runs", "scores", "embeddings"):
        for folder, _, files in os.walk(os.path.join(out, part)):
            for name in files:
                path = os.path.join(folder, name)
                kept[path] = os.stat(path).st_mtime_ns
    assert len(kept) > 20
    subprocess.run([*command, "--noreport"], check=True, capture_output=True)
    assert all(os.stat(path).st_mtime_ns == time for path, time in kept.items())


def test_other_settings_in_the_same_folder_are_refused(finished):
    _, command, _ = finished
    done = subprocess.run([*command, "--noise_sigma=0.9"], capture_output=True, text=True)
    assert done.returncode == 1 and "noise_sigma" in done.stderr
    assert "Traceback" not in done.stderr


def test_evaluate_scores_an_export(finished, tone_folder, tmp_path):
    out, _, _ = finished
    command = [
        sys.executable, "-m", "experiments.evaluate", f"--model={out}/runs/joint-seed0/export",
        f"--corpus=folders:{tone_folder}", f"--output_dir={tmp_path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    with open(os.path.join(out, "scores", "joint-seed0.json"), encoding="utf-8") as file:
        earlier = json.load(file)["scores"]
    # The same model on the same split, once from shards and once from the files.
    assert metrics["qbe_map"] == pytest.approx(earlier["qbe_map"], abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--corpus=esc50:nowhere"], "no such folder"), (["--rows=nonsense"], "choose from"),
     (["--max_share=speech"], "write kind=share"), (["--batch_size=1"], "at least 2")],
)
def test_wrong_flags_are_one_line(prepared, tmp_path, arguments, message):
    command = [sys.executable, "-m", "experiments.table1", f"--corpus={prepared}",
               f"--output_dir={tmp_path}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
