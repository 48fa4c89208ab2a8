"""Two processes over loopback train one model; one is killed; both go on from the checkpoint."""

import json
import signal
import socket

import numpy as np
import pytest

from audio_triplet.training import metrics_log
from tests.training.runs import config_of, losses, run
from tests.training.worker import STEPS


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def run_both(commands, prepared, folder, die_at=0):
    """Output and exit code of both workers; the second one dies at that step."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    processes = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        processes.append(
            commands.start(
                "tests.training.worker",
                [prepared, folder, str(die_at if index else 0)],
                f"{folder}-{'dying' if die_at else 'again'}-{index}.log",
                environment={"TF_CONFIG": json.dumps(task)},
            )
        )
    codes = [process.wait(1800) for process in processes]
    return [process.text for process in processes], codes


@pytest.mark.slow
def test_killed_worker_stops_the_other_and_both_go_on(commands, prepared, tmp_path):
    folder = str(tmp_path / "shared")
    texts, codes = run_both(commands, prepared, folder, die_at=7)
    assert codes[1] == -signal.SIGKILL
    assert codes[0] == 1, texts[0]  # stopped, and did not hang
    lines = texts[0].strip().splitlines()
    stopped = next((x for x in lines if x.startswith("worker: another worker is gone")), texts[0])
    assert "start all workers again to go on from the last checkpoint" in stopped
    assert stopped.endswith("ckpt-6)")
    assert not any(line.startswith("Traceback") for line in lines)

    texts, codes = run_both(commands, prepared, folder)
    assert codes == [0, 0], texts
    assert f"done {STEPS} True False" in texts[0]
    assert f"done {STEPS} False False" in texts[1]
    # Only the first worker wrote, and the losses are those of one process.
    rows = metrics_log.read_metrics(folder)
    assert [row["step"] for row in rows] == list(range(STEPS))
    _, alone = run(config_of(STEPS), prepared, tmp_path / "alone")
    np.testing.assert_allclose(losses(rows), losses(alone), atol=1e-4)
    for name in ("positive_distance", "negative_distance", "valid"):
        np.testing.assert_allclose(
            [row[name] for row in rows], [row[name] for row in alone], atol=1e-4
        )
