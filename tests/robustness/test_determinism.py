"""The same seed gives the same numbers; what may differ, and by how much."""

import json
import subprocess
import sys

import numpy as np
import pytest

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


THREADS = """
import json, sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
tf.config.threading.set_inter_op_parallelism_threads(int(sys.argv[1]))
from tests.training import runs as t
print("LOSSES", json.dumps(t.losses(t.run(t.config_of(6), {prepared!r}, sys.argv[2])[1])))
"""


@pytest.mark.slow
def test_the_number_of_threads_changes_rounding_only(prepared, tmp_path):
    """Sums are split otherwise: 1 part in 10,000 after 6 steps, measured at 1e-6."""
    code = THREADS.format(prepared=prepared)
    found = []
    for threads in ("1", "3"):
        done = subprocess.run(
            [sys.executable, "-c", code, threads, str(tmp_path / threads)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        line = next(line for line in done.stdout.splitlines() if line.startswith("LOSSES"))
        found.append(json.loads(line.removeprefix("LOSSES ")))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
