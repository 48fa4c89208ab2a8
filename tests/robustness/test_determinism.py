"""The same seed gives the same numbers; what may differ, and by how much."""

import numpy as np
import pytest

from audio_triplet.training import metrics_log
from tests.training.runs import config_of, losses, run


def weights(trainer):
    return [variable.numpy() for variable in trainer.encoder.variables]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(prepared, tmp_path):
    one, rows = run(config_of(6), prepared, tmp_path / "one")
    other, again = run(config_of(6), prepared, tmp_path / "other")
    assert losses(rows) == losses(again)
    for mine, theirs in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_another_seed_gives_another_run(prepared, tmp_path):
    _, rows = run(config_of(3), prepared, tmp_path / "one")
    _, others = run(config_of(3, seed=1), prepared, tmp_path / "other")
    assert losses(rows) != losses(others)


@pytest.mark.slow
def test_the_number_of_threads_changes_rounding_only(commands, prepared, tmp_path):
    """Sums are split otherwise: 1 part in 10,000 after 6 steps, measured at 1e-6."""
    started = [
        commands.start(
            "tests.robustness.few_threads",
            [threads, prepared, str(tmp_path / threads)],
            str(tmp_path / f"{threads}.log"),
        )
        for threads in ("1", "3")
    ]
    for process in started:
        assert process.wait(300) == 0, process.text[-3000:]
    found = [losses(metrics_log.read_metrics(str(tmp_path / threads))) for threads in ("1", "3")]
    assert len(found[0]) == 6
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
