"""Whole tables on generated tones, and the command."""

import dataclasses
import json
import os

import pytest

from experiments import table2
from experiments.lib.table2.scratch_config import ScratchConfig
from experiments.lib.table2.table import Table2Options, make_table
from tests.conftest import flags_given
from tests.experiments.small import small_settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """A whole table on generated tones: its folder, its settings and options."""
    out = str(tmp_path_factory.mktemp("table2"))
    settings = small_settings(prepared, out, steps=2)
    options = Table2Options(
        rows=("joint", "scratch"),
        labels_per_class=(1, 2),
        draws=2,
        scratch=ScratchConfig(fixed_steps=3, batch_size=8),
    )
    make_table(settings, options)
    return out, settings, options


def test_contract_of_the_json(finished):
    out, _, _ = finished
    with open(os.path.join(out, "table2.json"), encoding="utf-8") as file:
        table = json.load(file)
    assert [(row["name"], row["labels_per_class"]) for row in table["rows"]] == [
        (name, count) for name in ("joint", "scratch") for count in (1, 2)
    ]
    for row in table["rows"]:
        assert 0 < row["cls_map"] <= 1 and 0 <= row["accuracy"] <= 1
        assert row["spread"]["cls_map"] >= 0 and row["draws"] == [0, 1]
        assert row["clips"] == 3 * row["labels_per_class"]
    config = table["config"]
    for name in ("command", "commit", "machine", "versions", "date", "scratch", "classifier"):
        assert config[name]
    assert config["scratch"]["fixed_steps"] == 3
    with open(os.path.join(out, "table2.md"), encoding="utf-8") as file:
        text = file.read()
    assert "| Network from scratch |" in text and "at least twice" in text
    assert config["command"] in text
    assert os.path.getsize(os.path.join(out, "table2.png")) > 10_000
    leftovers = [f for _, _, files in os.walk(out) for f in files if f.endswith(".tmp")]
    assert not leftovers


def test_rows_share_their_clips(finished):
    """A file for every row, number of labels and draw; the same clips in all rows."""
    out, _, _ = finished
    drawn_for = {}
    for run in ("joint-seed0", "scratch"):
        for count in (1, 2):
            for draw in (0, 1):
                path = os.path.join(out, "few_labels", run, f"labels{count}-draw{draw}.json")
                with open(path, encoding="utf-8") as file:
                    content = json.load(file)
                assert content["settings"]["draw"] == draw
                drawn_for.setdefault((count, draw), set()).add(tuple(content["scores"]["segments"]))
    assert all(len(drawn) == 1 for drawn in drawn_for.values())
    for draw in (0, 1):
        ((fewer,), (more,)) = drawn_for[1, draw], drawn_for[2, draw]
        assert set(fewer) < set(more)


def test_description_and_a_plain_network_from_scratch(finished):
    """Each embedding is described alike, log mel too; scores of both ways are kept beside."""
    out, settings, options = finished
    kept = changes(out, "runs", "few_labels/joint-seed0", "few_labels/scratch", "embeddings")
    more = dataclasses.replace(
        options, rows=("joint", "log_mel", "scratch_plain"), classify_by="description"
    )
    table = make_table(settings, more)
    assert all(os.stat(path).st_mtime_ns == time for path, time in kept.items())
    names = ("joint", "log_mel", "scratch_plain")
    assert [row["name"] for row in table["rows"]] == [name for name in names for _ in (1, 2)]
    assert table["config"]["classify_by"] == "description"
    assert table["config"]["classifier"]["window_patches"] == 5
    # Log mel tells tones of three classes apart, by one or two of each.
    assert min(row["cls_map"] for row in table["rows"][2:4]) > 0.7
    for name in ("joint-seed0-description", "log_mel-description", "scratch_plain"):
        assert len(os.listdir(os.path.join(out, "few_labels", name))) == 4
    with open(os.path.join(out, "few_labels", "scratch_plain", "labels1-draw0.json")) as file:
        recipe = json.load(file)["settings"]["scratch"]
    assert recipe["mixup"] == recipe["noise_sigma"] == recipe["max_mel_shift"] == 0


def test_likenesses_as_classify_fit_has_them(finished):
    out, settings, options = finished
    table = make_table(
        settings, dataclasses.replace(options, rows=("joint", "log_mel"), classify_by="likeness")
    )
    assert [row["name"] for row in table["rows"]] == ["joint", "joint", "log_mel", "log_mel"]
    assert min(row["cls_map"] for row in table["rows"]) > 0.7
    for name, both in (("joint-seed0-likeness", True), ("log_mel-likeness", False)):
        with open(os.path.join(out, "few_labels", name, "labels2-draw0.json")) as file:
            assert json.load(file)["scores"]["likenesses"] == both


def test_the_released_model_as_a_row(finished):
    """It is embedded and scored as it is; nothing is trained, and its digest is kept beside."""
    out, settings, options = finished
    kept = changes(out, "runs")
    table = make_table(settings, dataclasses.replace(options, rows=("released", "joint")))
    assert changes(out, "runs") == kept
    rows = [row for row in table["rows"] if row["name"] == "released"]
    assert [row["labels_per_class"] for row in rows] == [1, 2] and rows[0]["seeds"] == []
    assert min(row["cls_map"] for row in rows) > 0.7  # tones of three classes
    with open(os.path.join(out, "embeddings", "released.npz.json"), encoding="utf-8") as file:
        assert len(json.load(file)["model"]) >= 12


def changes(out, *parts):
    """Path → time of change, of all files in parts of a folder."""
    return {
        path: os.stat(path).st_mtime_ns
        for part in parts
        for folder, _, files in os.walk(os.path.join(out, part))
        for path in (os.path.join(folder, name) for name in files)
    }


def test_a_rerun_keeps_what_is_finished(finished):
    """Nothing is trained or scored again but the one score that is missing."""
    out, settings, options = finished
    missing = os.path.join(out, "few_labels", "scratch", "labels2-draw1.json")
    with open(missing, encoding="utf-8") as file:
        before = json.load(file)["scores"]
    os.remove(missing)
    kept = changes(out, "runs", "few_labels", "embeddings")
    assert len(kept) > 20
    make_table(settings, options)
    assert all(os.stat(path).st_mtime_ns == time for path, time in kept.items())
    # A score does not depend on which others were made in the same process.
    with open(missing, encoding="utf-8") as file:
        after = json.load(file)["scores"]
    assert after["cls_map"] == pytest.approx(before["cls_map"], abs=1e-3)
    assert after["segments"] == before["segments"]


def test_rescore_fits_the_classifiers_again_and_keeps_the_networks(finished):
    out, settings, options = finished
    kept = changes(out, "runs", "few_labels/scratch", "embeddings")
    again = changes(out, "few_labels/joint-seed0")
    with open(os.path.join(out, "table2.json"), encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    table = make_table(settings, dataclasses.replace(options, rescore=True))
    assert changes(out, "runs", "few_labels/scratch", "embeddings") == kept
    assert all(os.stat(path).st_mtime_ns > time for path, time in again.items())
    for row, earlier in zip(table["rows"], rows, strict=True):
        assert row["cls_map"] == pytest.approx(earlier["cls_map"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows=nonsense"], "choose from"),
        (["--labels_per_class=0,1"], "whole numbers"),
        (["--labels_per_class=few"], "whole numbers"),
        (["--scratch_steps=0"], "at least 1"),
    ],
)
def test_wrong_flags_are_one_line(prepared, tmp_path, arguments, message):
    given = [f"--corpus={prepared}", f"--output_dir={tmp_path}", *arguments]
    with (
        flags_given(table2.define_flags, given),
        pytest.raises(SystemExit, match=f"table2: .*{message}"),
    ):
        table2.main([])
