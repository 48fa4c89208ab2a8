"""The same seed gives the same numbers; what may differ, and by how much."""

import numpy as np
import pytest

from audio_triplet.training import metrics_log
from tests.training.runs import config_of, losses, run


@pytest.mark.slow
def test_another_seed_gives_another_run(prepared, tmp_path):
    _, rows = run(config_of(3), prepared, tmp_path / "one")
    _, others = run(config_of(3, seed=1), prepared, tmp_path / "other")
    assert losses(rows) != losses(others)


@pytest.fixture(scope="module")
def runs(commands, prepared, tmp_path_factory):
    """The same run with one thread, and twice with three, each in a process of its own.

    Returns:
      Name → its losses and the lines it printed.
    """
    folder = tmp_path_factory.mktemp("threads")
    started = {
        name: commands.start(
            "tests.robustness.few_threads",
            [threads, prepared, str(folder / name)],
            str(folder / f"{name}.log"),
        )
        for name, threads in (("one", "1"), ("three", "3"), ("three again", "3"))
    }
    found = {}
    for name, process in started.items():
        assert process.wait(300) == 0, process.text[-3000:]
        printed = dict(line.split(" ", 1) for line in process.text.splitlines() if " " in line)
        found[name] = (losses(metrics_log.read_metrics(str(folder / name))), printed)
    return found


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(runs):
    (some, printed), (others, again) = runs["three"], runs["three again"]
    assert len(some) == 6 and some == others
    assert len(printed["weights"]) == 64 and printed["weights"] == again["weights"]


@pytest.mark.slow
def test_the_number_of_threads_changes_rounding_only(runs):
    """Sums are split otherwise: 1 part in 10,000 after 6 steps, measured at 1e-6."""
    np.testing.assert_allclose(runs["one"][0], runs["three"][0], rtol=1e-4)


@pytest.mark.slow
def test_no_source_is_converted_before_the_first_step(runs):
    """TensorFlow's AutoGraph took four seconds of every start, for functions that need none."""
    assert runs["one"][1]["converted"] == "0"
