"""The shells: flags, help, and the arguments they become."""

import subprocess
import sys

import pytest

from audio_triplet.errors import UsageError
from experiments import compare_runs, demo, evaluate, release, robustness, sweep, table1, table2
from experiments.lib import script, shared_flags
from experiments.lib.scored_corpus import ScoringSettings, settings_from_flags
from experiments.lib.sweep.table import SweepOptions
from experiments.lib.table1.flags import options_from_flags
from experiments.lib.table1.table import Table1Options
from experiments.lib.table2.table import Table2Options
from tests.conftest import flags_given

GIVEN = ["--corpus=x", "--output_dir=y"]


def test_flags_that_are_not_given_are_the_options_defaults():
    with flags_given(table1.define_flags, GIVEN):
        assert options_from_flags() == Table1Options()
    with flags_given(table2.define_flags, GIVEN):
        assert table2.options_from_flags() == Table2Options()
    with flags_given(sweep.define_flags, GIVEN):
        assert sweep.options_from_flags() == SweepOptions()
    for scored in (evaluate, robustness):
        with flags_given(scored.define_flags, [*GIVEN, "--model=m"]):
            assert settings_from_flags() == ScoringSettings("m", "x", "y")


def test_the_demo_is_table_1_with_other_values():
    with flags_given(demo.define_flags, ["--steps=7"]) as values:
        settings, options = shared_flags.settings_from_flags(), options_from_flags()
        assert values.output_dir == "demo" and settings.corpus is None
    assert options == Table1Options(rows=("log_mel", "joint", "explicit"))
    assert (settings.encoder.width, settings.training.steps) == (0.25, 7)
    assert settings.max_share == {"speech": 0.0, "music": 0.0}


def test_the_released_model_has_its_recipe():
    with flags_given(release.define_flags, GIVEN) as values:
        settings = shared_flags.settings_from_flags()
        assert (values.name, values.models_dir, values.score) == ("debian-sounds", "models", "")
    assert settings.test_splits == ("none",) and settings.triplets.constraints == "combined"


def test_help_lists_flags_wherever_they_are_defined():
    """In a process of its own, for absl asks the main module."""
    done = subprocess.run(
        [sys.executable, "-m", "experiments.demo", "--help"], capture_output=True, text=True
    )
    assert "The whole path on real recordings" in done.stdout
    for flag in ("--corpus", "--output_dir", "--rows", "--recipe", "--noise_sigma", "--rescore"):
        assert f"  {flag}" in done.stdout.replace("--[no]", "--"), flag


@pytest.mark.parametrize(
    ("given", "numbers"), [(["3", "1", "3"], (1, 3)), (["0"], (0,)), (["07"], (7,))]
)
def test_whole_numbers(given, numbers):
    assert script.whole_numbers("seeds", given, least=0) == numbers


@pytest.mark.parametrize("given", [[], ["a"], ["1.5"], ["-1"], ["1", ""]])
def test_what_is_no_whole_number(given):
    with pytest.raises(UsageError, match="--seeds=.*whole numbers of 0 or more"):
        script.whole_numbers("seeds", given, least=0)


def test_runs_to_compare_are_counted(tmp_path):
    with pytest.raises(UsageError, match="at least one run"):
        compare_runs.compare([], str(tmp_path))
    with pytest.raises(UsageError, match="shows at most"):
        compare_runs.compare([f"run{number}" for number in range(20)], str(tmp_path))
