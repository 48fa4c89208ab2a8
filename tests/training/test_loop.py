"""Runs that go on, are refused, or stop."""

import dataclasses
import math
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import distribution
from audio_triplet.config import TripletConfig
from audio_triplet.data import shard_source
from audio_triplet.errors import ConfigError, CorpusError, TrainingError
from audio_triplet.training import checkpoints, loop
from audio_triplet.training.trainer import Trainer
from tests.training.runs import combined, config_of, losses, run


@pytest.mark.slow
def test_resumed_run_equals_an_undisturbed_one(prepared, tmp_path):
    _, whole = run(config_of(8), prepared, tmp_path / "whole")
    run(config_of(4), prepared, tmp_path / "parts")
    _, parts = run(config_of(8), prepared, tmp_path / "parts")
    assert [row["step"] for row in parts] == list(range(8))
    np.testing.assert_allclose(losses(parts), losses(whole), rtol=1e-6)
    again, rows = run(config_of(8), prepared, tmp_path / "parts")  # nothing left to do
    assert again.steps_done == 8 and len(rows) == 8


@pytest.mark.slow
def test_a_run_with_memory_goes_on_as_if_it_had_not_stopped(prepared, tmp_path):
    _, whole = run(combined(6, memory=20), prepared, tmp_path / "whole")
    run(combined(3, memory=20), prepared, tmp_path / "parts")
    _, parts = run(combined(6, memory=20), prepared, tmp_path / "parts")
    np.testing.assert_allclose(losses(parts), losses(whole), rtol=1e-6)
    _, without = run(combined(6), prepared, tmp_path / "without")
    assert losses(without)[0] == pytest.approx(losses(whole)[0], rel=1e-6)
    assert losses(without)[3] < losses(whole)[3]
    with pytest.raises(ConfigError, match=r"memory \(there 20, now 0\)"):
        run(combined(7), prepared, tmp_path / "parts")


@pytest.mark.slow
def test_other_configuration_is_refused(prepared, tmp_path):
    run(config_of(2), prepared, tmp_path)
    other = dataclasses.replace(config_of(2), triplets=TripletConfig(noise_sigma=0.7))
    with pytest.raises(ConfigError, match=r"noise_sigma \(there 0.5, now 0.7\)"):
        run(other, prepared, tmp_path)
    _, rows = run(other, prepared, tmp_path, resume=False)
    assert len(rows) == 2
    scheduled = config_of(2, schedule="cosine")
    run(scheduled, prepared, tmp_path, resume=False)
    with pytest.raises(ConfigError, match="schedule depends"):
        run(config_of(4, schedule="cosine"), prepared, tmp_path)


@pytest.mark.slow
def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(prepared, tmp_path):
    run(config_of(4), prepared, tmp_path, Trainer)
    trainer = Trainer(config_of(8), distribution.build_strategy("cpu"))
    good = trainer.step

    def broken(batch):
        scalars = good(batch)
        if trainer.steps_done > 5:
            scalars["loss"] = tf.constant(math.nan)
        return scalars

    trainer.step = broken
    source = shard_source.ShardChunks(prepared, ("train",))
    with pytest.raises(TrainingError, match=r"not finite from step 5 .*ckpt-4"):
        loop.run(trainer, source, str(tmp_path), progress=False)
    assert checkpoints.load_encoder(str(tmp_path)) is not None
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).endswith("ckpt-4")


@pytest.mark.slow
def test_the_last_checkpoint_may_be_another_workers(tmp_path):
    managers = [
        tf.train.CheckpointManager(tf.train.Checkpoint(step=tf.Variable(3)), str(tmp_path), 2)
        for _ in range(2)
    ]
    assert loop._last_checkpoint(managers[0]) == "none was written yet"
    saved = managers[1].save(3)
    assert loop._last_checkpoint(managers[0]) == saved == str(tmp_path / "ckpt-3")


def test_run_elsewhere(prepared, tmp_path):
    """Shards, checkpoints, metrics and configuration on what only tf.io.gfile reaches."""
    away = "ram://training"
    tf.io.gfile.makedirs(f"{away}/prepared")
    for name in os.listdir(prepared):
        if os.path.isfile(os.path.join(prepared, name)):
            tf.io.gfile.copy(os.path.join(prepared, name), f"{away}/prepared/{name}")
    # Shards elsewhere are streamed, in another order than local ones: the twin reads them too.
    _, here = run(config_of(4), f"{away}/prepared", tmp_path, Trainer)
    run(config_of(2), f"{away}/prepared", f"{away}/run", Trainer)
    trainer, there = run(
        config_of(4), f"{away}/prepared", f"{away}/run", Trainer
    )  # goes on at step 2
    assert trainer.steps_done == 4
    np.testing.assert_allclose(losses(there), losses(here), rtol=1e-6)
    encoder = checkpoints.load_encoder(f"{away}/run")
    for mine, theirs in zip(encoder.weights, trainer.encoder.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert tf.io.gfile.exists(f"{away}/run/metrics.csv")


def test_damaged_shard_stops_the_run_and_is_named(prepared, tmp_path):
    folder = str(tmp_path / "prepared")
    shutil.copytree(prepared, folder)
    shard = os.path.join(folder, "train-00000-of-00001.tfrecord")
    with open(shard, "r+b") as file:
        file.seek(os.path.getsize(shard) // 2)
        file.write(b"damage")
    with pytest.raises(CorpusError, match=r"train-00000-of-00001\.tfrecord: the shard is damaged"):
        run(config_of(30), folder, tmp_path / "run")
