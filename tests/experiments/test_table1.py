"""Whole tables on generated tones, and the command."""

import dataclasses
import json
import math
import os
import shutil

import numpy as np
import pytest

from audio_triplet.config import RunConfig
from audio_triplet.errors import ConfigError, UsageError
from experiments import table1
from experiments.lib import embeddings, kept
from experiments.lib.scores import SCORES
from experiments.lib.table1.table import Table1Options, make_table, open_folds
from tests.conftest import flags_given
from tests.experiments.small import FLAGS, small_settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """A whole table on generated tones: its settings, its options, its content."""
    out = tmp_path_factory.mktemp("table1")
    settings = small_settings(prepared, out, topline_learning_rate=2e-4)
    options = Table1Options(rows=("log_mel", "joint", "shuffled", "explicit"), seeds=(3,))
    return settings, options, make_table(settings, options)


def contents(out, *parts):
    """Path → time of change, of all files in parts of a folder."""
    return {
        path: os.stat(path).st_mtime_ns
        for part in parts
        for folder, _, files in os.walk(os.path.join(out, part))
        for path in (os.path.join(folder, name) for name in files)
    }


def test_contract_of_the_json(finished):
    settings, _, made = finished
    out = settings.output_dir
    with open(os.path.join(out, "table1.json"), encoding="utf-8") as file:
        table = json.load(file)
    assert kept.as_read(made) == table
    names = [row["name"] for row in table["rows"]]
    assert names == ["log_mel", "joint", "shuffled", "explicit"]
    for row in table["rows"]:
        assert {
            "name",
            "qbe_map",
            "cls_map",
            "recovery_qbe",
            "recovery_cls",
            "ratio_qbe",
            "ratio_cls",
            "seeds",
        } <= set(row)
        for score in SCORES:
            assert 0 <= row[score] <= 1
        low, high = row["interval"]["probe_map"]
        assert low <= row["probe_map"] <= high
    assert table["rows"][1]["seeds"] == [3] and table["rows"][0]["audible"]["query_map"] > 0
    assert set(table["differences"]) == {"qbe_map", "query_map", "cls_map", "probe_map"}
    assert table["chance"]["accuracy"] == pytest.approx(1 / 3, abs=0.05)
    config = table["config"]
    for name in ("command", "commit", "machine", "versions", "date", "seconds"):
        assert config[name]
    with open(os.path.join(out, "table1.md"), encoding="utf-8") as file:
        text = file.read()
    assert "| Joint |" in text and "| *Chance* |" in text and "silent patch" in text
    assert "| Joint less log mel |" in text and config["command"] in text


def test_all_files_are_there(finished):
    out = finished[0].output_dir
    for name in (
        "table1.png",
        "table1_classes.png",
        "table1_map.png",
        "report.html",
        "runs/joint-seed3/export/config.json",
        "runs/explicit-seed3/metrics.csv",
        "embeddings/log_mel.npz",
        "scores/shuffled-seed3.json",
    ):
        assert os.path.getsize(os.path.join(out, name)) > 100, name
    assert not [path for path in contents(out, "") if path.endswith(".tmp")]
    assert not os.path.exists(os.path.join(out, "runs", "shuffled-seed3"))


def test_the_topline_alone_has_its_own_learning_rate(finished):
    settings, _, table = finished
    rates = {
        name: RunConfig.read(
            os.path.join(settings.output_dir, "runs", f"{name}-seed3")
        ).training.learning_rate
        for name in ("joint", "explicit")
    }
    assert rates == {"joint": 3e-4, "explicit": 2e-4}
    assert "Adam 0.0003 (topline 0.0002), " in table1.markdown(table)


def test_rerun_keeps_what_is_finished(commands, finished, tmp_path):
    """The command itself, in a process of its own: its flags describe the same settings."""
    settings, _, made = finished
    out = settings.output_dir
    arguments = [
        f"--corpus={settings.corpus}",
        f"--output_dir={out}",
        "--rows=log_mel,joint,shuffled,explicit",
        "--seeds=3",
        "--topline_learning_rate=2e-4",
        *FLAGS,
    ]
    before = contents(out, "runs", "scores", "embeddings")
    assert len(before) > 15
    log = str(tmp_path / "log")
    process = commands.start("experiments.table1", [*arguments, "--noreport"], log)
    assert process.wait(300) == 0, process.text[-3000:]
    assert "| Joint |" in process.text
    assert contents(out, "runs", "scores", "embeddings") == before
    with open(os.path.join(out, "table1.json"), encoding="utf-8") as file:
        table = json.load(file)
    assert table["rows"] == kept.as_read(made)["rows"]
    assert "experiments.table1" in table["config"]["command"]


def test_a_row_whose_embeddings_are_gone_is_made_again(finished, tmp_path):
    """The folder vanished between the making of the embeddings and their scores."""
    settings, options, made = finished
    out, mine = settings.output_dir, str(tmp_path / "out")
    shutil.copytree(out, mine)
    shutil.rmtree(os.path.join(mine, "runs", "joint-seed3"))
    os.unlink(os.path.join(mine, "embeddings", "joint-seed3.npz"))
    again = make_table(
        dataclasses.replace(settings, output_dir=mine), dataclasses.replace(options, report=False)
    )
    for row, other in zip(again["rows"], made["rows"], strict=True):
        assert row["query_map"] == pytest.approx(other["query_map"], abs=1e-3)
    theirs = {os.path.relpath(path, out) for path in contents(out, "runs", "embeddings")}
    ours = {os.path.relpath(path, mine) for path in contents(mine, "runs", "embeddings")}
    events = {path for path in theirs | ours if "tensorboard" in path}
    assert ours - events == theirs - events


def test_rescore_makes_the_same_figures_from_the_embeddings(finished):
    settings, options, made = finished
    out = settings.output_dir
    untouched = contents(out, "runs", "embeddings")
    before = contents(out, "scores")
    again = make_table(settings, dataclasses.replace(options, report=False, rescore=True))
    assert contents(out, "runs", "embeddings") == untouched
    assert all(contents(out, "scores")[path] > time for path, time in before.items())
    for row, earlier in zip(again["rows"], made["rows"], strict=True):
        for score in SCORES:
            assert row[score] == pytest.approx(earlier[score], abs=1e-6)
    # Nothing is trained for it.
    with pytest.raises(UsageError, match="mixing-seed3.npz: is not there"):
        make_table(settings, dataclasses.replace(options, rows=("mixing",), rescore=True))


def test_other_settings_in_the_same_folder_are_refused(finished):
    settings, options, _ = finished
    other = dataclasses.replace(settings.triplets, noise_sigma=0.9)
    with pytest.raises(ConfigError, match="noise_sigma"):
        make_table(dataclasses.replace(settings, triplets=other), options)


def test_folds_in_turn(prepared, tmp_path):
    """Both splits tested on, with two seeds; untrained representations are made only once."""
    settings = small_settings(prepared, tmp_path)
    rows = ("log_mel_stats", "random")
    table = make_table(
        settings, Table1Options(rows=rows, seeds=(0, 1), folds=("all",), name="folds")
    )
    runs = {
        fold: embeddings.origin(settings, side, "joint", 0)["run"]
        for fold, side in open_folds(settings, ("all",)).items()
    }
    assert runs["test"]["splits"] == ("train",) and runs["train"]["splits"] == ("test",)
    assert sorted(os.listdir(tmp_path / "scores")) == sorted(
        [f"log_mel_stats-{fold}.json" for fold in runs]
        + [f"random-{fold}-seed{seed}.json" for fold in runs for seed in (0, 1)]
    )
    assert {name for name in os.listdir(tmp_path / "embeddings") if name.endswith("npz")} == {
        "log_mel_stats.npz",
        "random-seed0.npz",
        "random-seed1.npz",
    }
    statistics, untrained = table["rows"]
    assert len(statistics["each"]) == 2 and len(untrained["each"]) == 4
    assert untrained["spread"]["query_map"] > 0
    assert (tmp_path / "folds.png").stat().st_size > 1000
    assert "each of test, train in turn" in (tmp_path / "folds.md").read_text()


def test_evaluate_scores_an_export(finished, tone_folder, tmp_path):
    from experiments import evaluate
    from experiments.lib.scored_corpus import ScoringSettings

    out = finished[0].output_dir
    metrics = evaluate.evaluate(
        ScoringSettings(f"{out}/runs/joint-seed3/export", f"folders:{tone_folder}", str(tmp_path))
    )
    assert json.loads((tmp_path / "metrics.json").read_text())["qbe_map"] == metrics["qbe_map"]
    earlier = kept.read_json(os.path.join(out, "scores", "joint-seed3.json"))["scores"]
    # The same model on the same split, once from shards and once from the files.
    assert metrics["qbe_map"] == pytest.approx(earlier["qbe_map"], abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--corpus=esc50:nowhere"], "no such folder"),
        (["--rows=nonsense"], "choose from"),
        (["--rows=joint,joint"], "each row once"),
        (["--seeds=a"], "whole numbers"),
        (["--folds=all", "--test_splits=test"], "exclude each other"),
        (["--folds=nowhere"], "nowhere"),
        (["--max_share=speech"], "write kind=share"),
        (["--batch_size=1"], "at least 2"),
    ],
)
def test_wrong_flags_are_one_line(prepared, tmp_path, arguments, message):
    given = [f"--corpus={prepared}", f"--output_dir={tmp_path}", *arguments]
    with (
        flags_given(table1.define_flags, given),
        pytest.raises(SystemExit, match=f"table1: .*{message}"),
    ):
        table1.main([])


def test_shuffled_labels_stay_on_their_side(finished):
    from experiments.lib import protocol

    settings, _, _ = finished
    corpus = settings.open_corpus()
    joint = embeddings.of_row(settings, corpus, "joint", 3, rescore=True)
    sides = protocol.split_sides(joint, corpus.test_splits)
    mixed = protocol.shuffle_labels(sides, 0)
    for side, before in ((mixed.train, sides.train), (mixed.test, sides.test)):
        old, new = (part.manifest.frame["labels"].tolist() for part in (before, side))
        assert sorted(old) == sorted(new)
        np.testing.assert_array_equal(side.vectors, before.vectors)
    assert mixed.train.manifest.frame["labels"].tolist() != (
        sides.train.manifest.frame["labels"].tolist()
    )
    chance = protocol.chance(sides, corpus.manifest.classes)
    assert math.isclose(chance["accuracy"], 1 / 3, abs_tol=0.05)
