"""A whole sweep on generated tones."""

import dataclasses
import json
import os

import pytest

from audio_triplet.errors import UsageError
from experiments.lib.sweep import parameters as sweep
from experiments.lib.sweep.table import SweepOptions, make_table
from tests.experiments.small import small_settings


@pytest.mark.slow
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
