"""Runs that are killed or interrupted, and the checkpoints they go on from."""

import os
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet.errors import TrainingError
from audio_triplet.training import metrics_log
from tests.training.runs import config_of, losses, run

STEPS = 24


def start(commands, prepared, out):
    arguments = [
        f"--corpus={prepared}",
        f"--output_dir={out}",
        f"--steps={STEPS}",
        "--batch_size=8",
        "--width=0.0625",
        "--log_steps=1",
        "--checkpoint_steps=3",
        "--precision=float32",
    ]
    return commands.start("experiments.train_embedding", arguments, f"{out}.log")


def newest(out):
    return tf.train.latest_checkpoint(os.path.join(out, "checkpoints"))


def wait_for_checkpoint(out, process):
    """Waits until the process has written a checkpoint of its own."""
    deadline, before = time.monotonic() + 120, newest(out)
    while newest(out) == before:
        assert time.monotonic() < deadline and process.poll() is None, process.text
        time.sleep(0.05)


@pytest.mark.slow
def test_kill_and_interrupt_lose_nothing(commands, prepared, tmp_path):
    killed, undisturbed = str(tmp_path / "killed"), str(tmp_path / "undisturbed")
    process = start(commands, prepared, killed)
    wait_for_checkpoint(killed, process)
    process.signal(signal.SIGKILL)
    process.wait()
    process = start(commands, prepared, killed)
    wait_for_checkpoint(killed, process)
    process.signal(signal.SIGTERM)
    if process.wait(120):  # it may have been done before the signal came
        assert process.returncode == 130, process.text
        assert "the same command continues" in process.text
    started = [start(commands, prepared, out) for out in (killed, undisturbed)]
    for process in started:
        assert process.wait(300) == 0, process.text
    one, other = (metrics_log.read_metrics(out) for out in (killed, undisturbed))
    assert len(one) == len(other) == STEPS
    np.testing.assert_allclose(losses(one), losses(other), rtol=1e-5)


@pytest.mark.slow
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(prepared, tmp_path):
    run(config_of(6, checkpoint_steps=2), prepared, tmp_path)
    for data in (tmp_path / "checkpoints").glob("ckpt-6.data*"):
        data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    trainer, rows = run(config_of(8, checkpoint_steps=2), prepared, tmp_path)
    assert [row["step"] for row in rows] == list(range(8)) and trainer.steps_done == 8
    for data in (tmp_path / "checkpoints").glob("ckpt-*.data*"):
        data.write_bytes(b"")
    with pytest.raises(TrainingError, match="no checkpoint can be read"):
        run(config_of(10, checkpoint_steps=2), prepared, tmp_path)
