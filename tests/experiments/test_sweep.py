import dataclasses
import json
import os

import pytest

from audio_triplet.config import EncoderConfig, RunConfig, TrainingConfig, TripletConfig
from audio_triplet.errors import UsageError
from experiments.lib.sweep import parameters as sweep
from experiments.lib.sweep import rows as sweep_rows
from experiments.lib.sweep.table import SweepOptions, make_table
from tests.experiments.small import small_settings


def test_every_value_makes_a_valid_run_and_differs_from_the_others():
    best = RunConfig(
        triplets=TripletConfig("combined", augment=True),
        encoder=EncoderConfig(normalisation="batch", pooling="time", input_scaling=True),
        training=TrainingConfig(objective="contrastive", schedule="cosine"),
    )
    for parameter, values in sweep.PARAMETERS.items():
        base = best if parameter == "best_without" else RunConfig()
        made = [sweep.resolved(sweep.changed(base, change)) for change in values.values()]
        assert sweep.resolved(base) not in made or parameter in sweep.DEFAULT
        assert len({repr(config) for config in made}) == len(values)
        assert parameter in sweep.TITLES
        assert sweep.PAPER.get(parameter, next(iter(values))) in values


def test_the_baseline_is_made_only_once():
    """The paper's values are the base's own: each parameter shares its run, under any name."""
    plan = sweep.plan(RunConfig(), ["noise_sigma", "shares", "architecture"])
    assert list(plan)[0] == "base" and "noise_sigma=0.5" not in plan and "noise_sigma=1" in plan
    assert "shares=equal" not in plan and "shares=no mixing" in plan
    # "default" is no normalisation for vggish.
    assert "architecture=vggish, no norm" not in plan
    named = RunConfig(encoder=EncoderConfig(normalisation="none"))
    assert sweep.plan(named, ["architecture"]).keys() == plan.keys() - {
        label for label in plan if label.startswith(("noise", "shares"))
    }


def test_rows_by_hand():
    """Gains are against the baseline of the same seed: 0.5 - 0.3 and 0.4 - 0.3."""

    def scores(value):
        return dict.fromkeys((*sweep_rows.SCORES, *sweep_rows.COSTS), value)

    base = RunConfig(triplets=TripletConfig(noise_sigma=0.3))
    found = {"base": {0: scores(0.3), 1: scores(0.3)}}
    found |= {
        f"noise_sigma={value}": {0: scores(0.5), 1: scores(0.4)}
        for value in sweep.PARAMETERS["noise_sigma"]
    }
    rows = sweep_rows.rows_of(found, base, ["noise_sigma"])
    assert [row["value"] for row in rows] == ["0.1", "0.25", "0.3", "0.5", "1"]
    assert [row["value"] for row in rows if row["base"]] == ["0.3"]
    assert [row["value"] for row in rows if row["paper"]] == ["0.5"]
    assert rows[2]["gain"]["query_map"] == 0
    assert rows[1]["query_map"] == pytest.approx(0.45)
    assert rows[1]["gain"]["probe_map"] == pytest.approx(0.15)
    assert rows[1]["gain_spread"]["probe_map"] == pytest.approx(0.1 / 2**0.5)
    assert sweep.name_of_base(RunConfig(training=TrainingConfig(steps=120)), "steps") == "120"
    assert sweep.name_of_base(base, "mining") == "as given"


def test_a_sweep_runs_is_kept_and_scored_again(prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(
        sweep.PARAMETERS,
        "mining",
        {name: {"training": {"mining": name}} for name in ("semi_hard", "random")},
    )
    settings = small_settings(prepared, tmp_path, steps=2, log_steps=1)
    options = SweepOptions(parameters=("mining",))
    table = make_table(settings, options)
    assert [(row["value"], row["base"]) for row in table["rows"]] == [
        ("semi_hard", True),
        ("random", False),
    ]
    assert sorted(os.listdir(tmp_path / "runs")) == ["base-seed0", "mining=random-seed0"]
    assert json.loads((tmp_path / "sweep.json").read_text())["rows"] == table["rows"]
    assert "| semi_hard (base, paper" in (tmp_path / "sweep.md").read_text()
    assert (tmp_path / "sweep.png").stat().st_size > 5000
    for row in table["rows"]:
        assert 0 < row["query_map"] <= 1 and row["patches_per_second"] > 0
        assert row["parameters"] > 1000
    again = make_table(settings, dataclasses.replace(options, rescore=True))
    for row, earlier in zip(again["rows"], table["rows"], strict=True):
        assert row["query_map"] == pytest.approx(earlier["query_map"])
        assert row["patches_per_second"] == earlier["patches_per_second"]


def test_unknown_parameters(prepared, tmp_path):
    with pytest.raises(UsageError, match="choose from noise_sigma"):
        make_table(small_settings(prepared, tmp_path), SweepOptions(parameters=("nonsense",)))
