"""Rows of a sweep, by hand."""

import pytest

from audio_triplet.config import RunConfig, TrainingConfig, TripletConfig
from experiments.lib.sweep import parameters as sweep
from experiments.lib.sweep import rows as sweep_rows


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
