"""What a run writes down of its steps."""

import os

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import distribution
from audio_triplet.data import shard_source
from audio_triplet.training import loop, metrics_log
from audio_triplet.training.metrics_log import METRICS_FILE, MetricsLog
from audio_triplet.training.trainer import SCALARS, Trainer
from benchmarks.faults.soak import resident_megabytes
from tests.training.runs import config_of, losses, run


def test_a_row_that_was_cut_short_is_not_read(tmp_path):
    """A kill may leave "0.1" of "0.123", which reads like a number."""
    log = MetricsLog(str(tmp_path), 0)
    scalars = dict.fromkeys(SCALARS, 0.125)
    log.add([(0, scalars), (1, scalars)], 10.0, 0.5)
    log.flush()
    log.add([(2, scalars | {"loss": 0.25})], 20.0, 0.5)
    log.flush()
    path = tmp_path / METRICS_FILE
    assert path.read_text().count("step") == 1
    rows = metrics_log.read_metrics(str(tmp_path))
    assert rows == log.rows and losses(rows) == [0.125, 0.125, 0.25]
    assert [row["patches_per_second"] for row in rows] == [10, 10, 20]
    path.write_bytes(path.read_bytes()[:-3])
    assert metrics_log.read_metrics(str(tmp_path)) == rows[:2]
    log = MetricsLog(str(tmp_path), 1)  # training goes on from its first checkpoint
    assert metrics_log.read_metrics(str(tmp_path)) == log.rows == rows[:1]
    log.add([(1, scalars)], 10.0, 0.5)
    path.unlink()
    log.flush()
    assert metrics_log.read_metrics(str(tmp_path)) == rows[:2]


def logged_steps(folder):
    """Steps of the loss in TensorBoard's events."""
    steps = []
    for name in os.listdir(folder / "tensorboard"):
        for event in tf.compat.v1.train.summary_iterator(str(folder / "tensorboard" / name)):
            steps += [event.step for value in event.summary.value if value.tag == "loss"]
    return steps


@pytest.mark.slow
def test_values_are_read_every_few_steps_and_checkpoints_come_when_due(prepared, tmp_path):
    _, rows = run(config_of(12, log_steps=5), prepared, tmp_path / "log")
    assert [row["step"] for row in rows] == list(range(12))
    assert logged_steps(tmp_path / "log") == [0, 4, 9, 11]
    run(config_of(8, log_steps=5, checkpoint_steps=3), prepared, tmp_path / "kept")
    kept = os.listdir(tmp_path / "kept" / "checkpoints")
    assert {name for name in kept if name.endswith(".index")} == {"ckpt-6.index", "ckpt-8.index"}
    again = losses(metrics_log.read_metrics(str(tmp_path / "kept")))
    np.testing.assert_allclose(again, losses(rows)[:8], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_logging_for_long_keeps_no_memory(tmp_path):
    """Each number that TensorBoard gets was once kept as a tensor, for ever: 2.6 MB here."""

    log = MetricsLog(str(tmp_path), 0)

    def add(first, last):
        for step in range(first, last):
            scalars = dict.fromkeys(SCALARS, 1 / (1 + step))
            log.add([(step, scalars)], 100 + 1 / (1 + step), 1 / (2 + step))

    add(0, 200)
    before = resident_megabytes()
    add(200, 1400)
    print(resident_megabytes() - before)
    assert resident_megabytes() - before < 1.2


@pytest.mark.slow
def test_collapse_is_recognised(prepared, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(metrics_log, "COLLAPSED_STEPS", 10)
    config = config_of(12, learning_rate=1e-20)
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    dense = trainer.encoder.get_layer("embedding")
    dense.kernel.assign(tf.zeros_like(dense.kernel))
    dense.bias.assign(tf.ones_like(dense.bias))
    source = shard_source.ShardChunks(prepared, ("train",))
    rows = loop.run(trainer, source, str(tmp_path), progress=False)
    assert rows[-1]["loss"] == pytest.approx(0.1, abs=1e-4)  # exactly at the margin
    assert caplog.text.count("collapsed for 10 steps") == 1
