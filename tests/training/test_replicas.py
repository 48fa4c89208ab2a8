"""Training on several replicas."""

import json

import numpy as np
import pytest

from tests.training import replica_losses


@pytest.mark.slow
def test_replicas_mine_over_the_global_batch(commands, prepared, tmp_path):
    """1, 2 and 4 replicas with one global batch lose the same; 1 and 2 with a memory, too."""
    started = {}
    for count in (1, 2, 4):
        (tmp_path / str(count)).mkdir()
        started[count] = commands.start(
            "tests.training.replica_losses",
            [str(count), prepared, str(tmp_path / str(count))],
            str(tmp_path / f"{count}.log"),
        )
    found = {}
    for count, command in started.items():
        assert command.wait(300) == 0, command.text[-3000:]
        found[count] = json.loads((tmp_path / str(count) / "losses.json").read_text())
    assert len(found[1]["joint"]) == replica_losses.STEPS
    assert len(found[1]["combined"]) == replica_losses.COMBINED_STEPS
    for count, name in ((2, "joint"), (2, "combined"), (4, "joint")):
        np.testing.assert_allclose(found[count][name], found[1][name], atol=1e-4)
    resident, piped = found[2]["resident"], found[1]["joint"][: replica_losses.RESIDENT_STEPS]
    np.testing.assert_allclose(resident, piped, atol=1e-4)
