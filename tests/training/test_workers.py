"""Two processes over loopback train one model; one is killed; both go on from the checkpoint."""

import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from audio_triplet.training import metrics_log
from tests.training import runs as t

STEPS = 20

WORKER = """
import os, signal, sys
from tests.training import runs as t
from audio_triplet.commands import terminal
from audio_triplet import distribution
from audio_triplet.data import shard_source
from audio_triplet.training import loop
from audio_triplet.training.trainer import Trainer
folder, die_at = sys.argv[1], int(sys.argv[2])
with terminal.clear_errors("worker"):
    strategy = distribution.build_strategy("multi_worker")
    assert distribution.workers(strategy) == strategy.num_replicas_in_sync == 2
    trainer = Trainer(t.config_of({steps}, checkpoint_steps=3), strategy)
    step = trainer.step
    def dying(batch):
        if trainer.steps_done == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(batch)
    if die_at:
        trainer.step = dying
    print("from step", trainer.steps_done)
    loop.run(trainer, shard_source.ShardChunks({prepared!r}, ("train",)), folder, progress=False)
    stop = trainer.replicas.any_worker(False)
    print("done", trainer.steps_done, distribution.is_chief(strategy), stop)
"""


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run_both(prepared, folder, die_at=0):
    """Output and exit code of both workers; the second one dies at that step."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    code = WORKER.format(prepared=prepared, steps=STEPS)
    processes = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code, folder, str(die_at if index else 0)],
                env=os.environ | {"TF_CONFIG": json.dumps(task)},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
    try:
        texts = [process.communicate(timeout=1800)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return texts, [process.returncode for process in processes]


@pytest.mark.slow
def test_killed_worker_stops_the_other_and_both_go_on(prepared, tmp_path):
    folder = str(tmp_path / "shared")
    texts, codes = run_both(prepared, folder, die_at=7)
    assert codes[1] == -signal.SIGKILL
    assert codes[0] == 1, texts[0]  # stopped, and did not hang
    told = texts[0].strip().splitlines()
    stopped = next((x for x in told if x.startswith("worker: another worker is gone")), texts[0])
    assert "start all workers again to go on from the last checkpoint" in stopped
    assert stopped.endswith("ckpt-6)")
    assert not any(line.startswith("Traceback") for line in told)

    texts, codes = run_both(prepared, folder)
    assert codes == [0, 0], texts
    assert "done 20 True False" in texts[0] and "done 20 False False" in texts[1]
    # Only the first worker wrote, and the losses are those of one process.
    rows = metrics_log.read_metrics(folder)
    assert [row["step"] for row in rows] == list(range(STEPS))
    _, alone = t.run(t.config_of(STEPS), prepared, tmp_path / "alone")
    np.testing.assert_allclose(t.losses(rows), t.losses(alone), atol=1e-4)
    for name in ("positive_distance", "negative_distance", "valid"):
        np.testing.assert_allclose(
            [row[name] for row in rows], [row[name] for row in alone], atol=1e-4
        )
