import dataclasses
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import distribution
from audio_triplet.config import (
    EncoderConfig,
    PipelineConfig,
    RunConfig,
    TrainingConfig,
    TripletConfig,
)
from audio_triplet.data import shard_source
from audio_triplet.embeddings.embed import embed_shards
from audio_triplet.errors import ConfigError, CorpusError, TrainingError
from audio_triplet.training import checkpoints, loop, metrics_log
from audio_triplet.training.metrics_log import METRICS_FILE, MetricsLog
from audio_triplet.training.trainer import SCALARS, Trainer, learning_rate

SMALL = EncoderConfig(width=0.0625, embedding_size=16)


def config_of(steps=6, constraints="joint", **training_fields):
    fields = {"steps": steps, "learning_rate": 1e-3, "log_steps": 2, "precision": "float32"}
    return RunConfig(
        corpus="tones",
        splits=("train",),
        triplets=TripletConfig(constraints=constraints),
        pipeline=PipelineConfig(batch_size=8),
        encoder=SMALL,
        training=TrainingConfig(**fields | training_fields),
    )


def combined(steps, **training_fields):
    """Combined pairs, the contrastive objective and scaled input; no batch normalisation, whose
    statistics are those of one replica."""
    config = config_of(steps, "combined", objective="contrastive", **training_fields)
    return dataclasses.replace(
        config, encoder=dataclasses.replace(SMALL, pooling="time", input_scaling=True)
    )


def run(config, prepared, folder, **arguments):
    source = shard_source.ShardChunks(prepared, ("train",))
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    rows = loop.run(trainer, source, str(folder), progress=False, **arguments)
    return trainer, rows


def losses(rows):
    return [row["loss"] for row in rows]


@pytest.mark.slow
def test_loss_falls_and_the_embedding_separates_the_classes(prepared, tmp_path):
    trainer, rows = run(config_of(60), prepared, tmp_path)
    assert np.mean(losses(rows)[-10:]) < 0.6 * np.mean(losses(rows)[:10])
    source = shard_source.ShardChunks(prepared)
    embeddings = embed_shards(source, source.manifest, trainer.encoder)
    label = embeddings.manifest.frame["labels"].to_numpy()
    means = embeddings.segment_means
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = (label[:, None] == label[None, :]) & ~np.eye(len(label), dtype=bool)
    assert cosine[same].mean() > cosine[label[:, None] != label[None, :]].mean() + 0.03


def embedded(encoder, batch):
    """Anchors and positives of a batch, float64[batch, dim] each."""
    from audio_triplet import features

    return (
        encoder(features.log_mel(batch[name])).numpy().astype("f8")
        for name in ("anchor", "positive")
    )


def losses_by_hand(objective, a, p, batch, memory=()):
    """The losses of a batch's valid triplets by a plain loop; of contrastive ones two each.

    Args:
      objective: triplet or contrastive.
      a, p: [batch, dim].
      batch: As NumPy arrays.
      memory: (vector, recording) of anchors that are negatives too.
    """
    recording, drawn = batch["recording"], batch["drawn"]
    found = []
    for i in np.flatnonzero(batch["valid"]):
        others = [j for j in range(len(a)) if recording[j] != recording[i] and drawn[j]]
        old = [vector for vector, key in memory if key not in (recording[i], None)]
        if objective == "contrastive":
            keys = [key for j in others for key in (a[j], p[j])] + old
            for query, own in ((a[i], p[i]), (p[i], a[i])):
                exps = [np.exp(query @ key / 0.1) for key in (own, *keys)]
                found.append(-np.log(exps[0] / sum(exps)))
            continue
        to_positive = ((a[i] - p[i]) ** 2).sum()
        chosen = batch["negative"][i]  # a negative that the constraint itself names
        if chosen >= 0:
            to_negative = ((a[i] - a[chosen]) ** 2).sum()
        else:
            distances = [((a[i] - key) ** 2).sum() for key in [a[j] for j in others] + old]
            beyond = [distance for distance in distances if distance > to_positive]
            to_negative = min(beyond) if beyond else max(distances)
        found.append(max(0, to_positive - to_negative + 0.1))
    return found


@pytest.mark.slow
def test_first_loss_by_hand(prepared, tmp_path):
    """The first step's loss from the batch and the initial weights, by a plain loop."""
    from audio_triplet.data import batching

    config = config_of(1)
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    source = shard_source.ShardChunks(prepared, ("train",))
    batches = batching.triplet_batches(source, config.triplets, config.pipeline)
    batch = next(batches.as_numpy_iterator())
    expected = losses_by_hand("triplet", *embedded(trainer.encoder, batch), batch)
    _, rows = run(config, prepared, tmp_path)
    assert rows[0]["loss"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert rows[0]["valid"] == pytest.approx(len(expected) / 8)


@pytest.mark.slow
def test_first_contrastive_loss_by_hand(prepared, tmp_path):
    """Each anchor and positive against all others of other recordings, by a plain loop."""
    from audio_triplet.data import batching

    config = combined(1)
    _, rows = run(config, prepared, tmp_path)
    fresh = Trainer(config, distribution.build_strategy("cpu"))
    source = shard_source.ShardChunks(prepared, ("train",))
    batches = batching.triplet_batches(source, config.triplets, config.pipeline)
    seen = [batch["anchor"].numpy() for batch in batches.take(64)]
    log_mel = np.log(np.concatenate(seen).astype("f8") + 0.01)
    scaling = fresh.encoder.get_layer("scaling")
    scaling.offset.assign(log_mel.mean(axis=(0, 1)))
    scaling.scale.assign(1 / np.maximum(log_mel.std(axis=(0, 1)), 0.1))
    batch = next(batches.as_numpy_iterator())
    expected = losses_by_hand("contrastive", *embedded(fresh.encoder, batch), batch)
    np.testing.assert_allclose(rows[0]["loss"], np.mean(expected), rtol=1e-3)
    # Scaled once, before the first step, and kept by the checkpoint.
    again = checkpoints.load_encoder(str(tmp_path)).get_layer("scaling")
    np.testing.assert_allclose(again.offset, scaling.offset, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["triplet", "contrastive"])
def test_remembered_anchors_are_negatives_too(prepared, tmp_path, objective):
    """Three steps' losses by a plain loop over the batch and the 11 anchors before it."""
    from audio_triplet.data import batching

    config = config_of(3, objective=objective, memory=11, learning_rate=1e-30)  # weights stay
    trainer, rows = run(config, prepared, tmp_path)
    source = shard_source.ShardChunks(prepared, ("train",))
    batches = batching.triplet_batches(source, config.triplets, config.pipeline)
    memory, used = [], 0
    for row, batch in zip(rows, batches.take(3).as_numpy_iterator(), strict=True):
        a, p = embedded(trainer.encoder, batch)
        expected = losses_by_hand(objective, a, p, batch, memory)
        used += sum(
            key not in (recording, None)
            for recording in batch["recording"][batch["valid"]]
            for _, key in memory
        )
        np.testing.assert_allclose(row["loss"], np.mean(expected), rtol=1e-4)
        keys = np.where(batch["drawn"], batch["recording"].astype(object), None)
        newest = list(zip(a, keys, strict=True))
        memory = [*newest, *memory][:11]
    assert used > 20  # the memory did matter


@pytest.mark.slow
def test_a_run_with_memory_goes_on_as_if_it_had_not_stopped(prepared, tmp_path):
    _, whole = run(combined(6, memory=20), prepared, tmp_path / "whole")
    run(combined(3, memory=20), prepared, tmp_path / "parts")
    _, parts = run(combined(6, memory=20), prepared, tmp_path / "parts")
    np.testing.assert_allclose(losses(parts), losses(whole), rtol=1e-6)
    _, without = run(combined(6), prepared, tmp_path / "without")
    assert losses(without)[0] == losses(whole)[0] and losses(without)[3] < losses(whole)[3]
    with pytest.raises(ConfigError, match=r"memory \(there 20, now 0\)"):
        run(combined(7), prepared, tmp_path / "parts")


def test_labels_are_not_remembered():
    with pytest.raises(ConfigError, match="explicit triplets .* use memory=0"):
        config_of(1, "explicit", memory=8)
    with pytest.raises(ConfigError, match="memory=-1 is negative"):
        config_of(1, memory=-1)


def test_explicit_negatives_lack_the_label(prepared):
    config = config_of(1, "explicit")
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    from audio_triplet.data import batching

    source = shard_source.ShardChunks(prepared, ("train",))
    batch = next(iter(batching.triplet_batches(source, config.triplets, config.pipeline)))
    allowed, _ = trainer._allowed(batch)
    labels, label = batch["labels"].numpy(), batch["label"].numpy()
    for i in range(8):
        for j in range(8):
            expected = (
                not labels[j, label[i]]
                and batch["recording"][i] != batch["recording"][j]
                and bool(batch["drawn"][j])
            )
            assert bool(allowed[i, j]) == expected


@pytest.mark.slow
def test_resumed_run_equals_an_undisturbed_one(prepared, tmp_path):
    _, whole = run(config_of(8), prepared, tmp_path / "whole")
    run(config_of(4), prepared, tmp_path / "parts")
    _, parts = run(config_of(8), prepared, tmp_path / "parts")
    assert [row["step"] for row in parts] == list(range(8))
    np.testing.assert_allclose(losses(parts), losses(whole), rtol=1e-6)
    again, rows = run(config_of(8), prepared, tmp_path / "parts")  # nothing left to do
    assert again.steps_done == 8 and len(rows) == 8


SCRIPT = """
import sys
from absl import app
sys.argv = ["x", "--corpus={corpus}", "--output_dir={out}", "--steps=40", "--batch_size=8",
            "--width=0.0625", "--log_steps=1", "--checkpoint_steps=3", "--precision=float32"]
from experiments import train_embedding
train_embedding.run()
"""


def start(prepared, out):
    code = SCRIPT.format(corpus=prepared, out=out)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def newest(out):
    return tf.train.latest_checkpoint(os.path.join(out, "checkpoints"))


def wait_for_checkpoint(out, process):
    """Waits until the process has written a checkpoint of its own."""
    deadline, before = time.monotonic() + 120, newest(out)
    while newest(out) == before:
        assert time.monotonic() < deadline and process.poll() is None, process.stdout.read()
        time.sleep(0.05)


@pytest.mark.slow
def test_kill_and_interrupt_lose_nothing(prepared, tmp_path):
    killed, undisturbed = str(tmp_path / "killed"), str(tmp_path / "undisturbed")
    process = start(prepared, killed)
    wait_for_checkpoint(killed, process)
    process.kill()
    process.wait()
    process = start(prepared, killed)
    wait_for_checkpoint(killed, process)
    process.send_signal(signal.SIGTERM)
    text = process.communicate(timeout=120)[0]
    if process.returncode:  # it may have been done before the signal came
        assert process.returncode == 130 and "the same command continues" in text, text
    for out in (killed, undisturbed):
        process = start(prepared, out)
        text = process.communicate(timeout=300)[0]
        assert process.returncode == 0, text
    one, other = (metrics_log.read_metrics(out) for out in (killed, undisturbed))
    assert len(one) == len(other) == 40
    np.testing.assert_allclose(losses(one), losses(other), rtol=1e-5)


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


def _told_steps(folder):
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
    assert _told_steps(tmp_path / "log") == [0, 4, 9, 11]
    run(config_of(8, log_steps=5, checkpoint_steps=3), prepared, tmp_path / "kept")
    kept = os.listdir(tmp_path / "kept" / "checkpoints")
    assert {name for name in kept if name.endswith(".index")} == {"ckpt-6.index", "ckpt-8.index"}
    again = losses(metrics_log.read_metrics(str(tmp_path / "kept")))
    np.testing.assert_allclose(again, losses(rows)[:8], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_logging_for_long_keeps_no_memory(tmp_path):
    """Each number that TensorBoard gets was once kept as a tensor, for ever: 13 MB here."""
    from benchmarks.faults.soak import resident_megabytes

    log = MetricsLog(str(tmp_path), 0)

    def add(first, last):
        for step in range(first, last):
            scalars = dict.fromkeys(SCALARS, 1 / (1 + step))
            log.add([(step, scalars)], 100 + 1 / (1 + step), 1 / (2 + step))

    add(0, 1000)
    before = resident_megabytes()
    add(1000, 7000)
    assert resident_megabytes() - before < 5


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
    run(config_of(4), prepared, tmp_path)
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


def test_schedules():
    config = TrainingConfig(steps=100, learning_rate=1e-3, schedule="cosine", warmup_steps=10)
    rate = learning_rate(config)
    at = [float(rate(step)) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(at, [0, 5e-4, 1e-3, 5e-4, 0], atol=1e-6)
    rising = learning_rate(TrainingConfig(learning_rate=1e-3, warmup_steps=10))
    np.testing.assert_allclose([float(rising(s)) for s in (0, 5, 10, 99)], [0, 5e-4, 1e-3, 1e-3])
    assert learning_rate(TrainingConfig(learning_rate=0.5)) == 0.5


REPLICAS = """
import json, sys
import tensorflow as tf
count = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)])
from tests.training import test_training as t
from audio_triplet import distribution
from audio_triplet.data import shard_source
from audio_triplet.training import loop
from audio_triplet.training.trainer import Trainer
trainer = Trainer(t.config_of(20), distribution.build_strategy("mirrored"))
assert trainer.strategy.num_replicas_in_sync == count
rows = loop.run(trainer, shard_source.ShardChunks({prepared!r}, ("train",)), sys.argv[2],
                    progress=False)
best = Trainer(t.combined(4, memory=12), trainer.strategy)
rows += loop.run(best, shard_source.ShardChunks({prepared!r}, ("train",)), sys.argv[2] + "-best",
                     progress=False)
print("LOSSES", json.dumps([[r["loss"], r["positive_distance"], r["negative_distance"]]
                            for r in rows]))
"""


@pytest.mark.slow
def test_replicas_mine_over_the_global_batch(prepared, tmp_path):
    """1, 2 and 4 replicas with one global batch give the same losses."""
    import json

    code = REPLICAS.format(prepared=prepared)
    found = []
    for count in (1, 2, 4):
        done = subprocess.run(
            [sys.executable, "-c", code, str(count), str(tmp_path / str(count))],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        line = next(x for x in done.stdout.splitlines() if x.startswith("LOSSES"))
        found.append(json.loads(line.removeprefix("LOSSES ")))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)
    np.testing.assert_allclose(found[2], found[0], atol=1e-4)


def test_batch_must_divide_over_replicas_and_strategies_are_known():
    with pytest.raises(ValueError, match="none of auto, cpu"):
        distribution.build_strategy("gpu")
    with pytest.raises(ValueError, match="no TPU"):
        distribution.build_strategy("tpu", "local")
    with pytest.raises(ValueError, match="precision"):
        distribution.choose_precision("float16", distribution.build_strategy("cpu"))


def test_multi_worker_needs_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="needs the environment variable TF_CONFIG"):
        distribution.build_strategy("multi_worker")


def test_what_a_tpu_cannot_read_is_refused_up_front():
    paths = {"corpus": "gs://bucket/prepared", "output_dir": "/home/me/run"}
    with pytest.raises(ConfigError, match="--output_dir=/home/me/run: .* gs:// only"):
        distribution.check_paths("tpu", "my-tpu", paths)
    with pytest.raises(ConfigError, match="gs:// only"):
        distribution.check_paths("auto", "grpc://10.0.0.2:8470", paths)
    distribution.check_paths("tpu", "local", paths)  # a TPU VM reads its own disks
    distribution.check_paths("mirrored", "", paths)
    distribution.check_paths("tpu", "my-tpu", {"corpus": "gs://bucket/prepared"})


HOST_OPS = {
    "PyFunc",
    "EagerPyFunc",
    "PyFuncStateless",
    "Print",
    "PrintV2",
    "Assert",
    "WriteSummary",
    "OutfeedEnqueueTuple",
    "XlaHostCompute",
    "XlaSendToHost",
    "XlaRecvFromHost",
    "Where",
    "Unique",
    "ReadFile",
    "IteratorGetNext",
}


def ops_of(graph) -> set[str]:
    """Kinds of all ops of a graph and of the functions it calls."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return {node.op for node in nodes}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "memory"), [("float32", 0), ("mixed_bfloat16", 0), ("float32", 12)]
)
def test_whole_step_compiles_with_xla_on_static_shapes(prepared, precision, memory):
    """As a TPU needs it: forward, mining, loss, gradient and update in one compiled program."""
    from audio_triplet.data import batching

    config = config_of(3, precision=precision, memory=memory)
    if memory:
        config = dataclasses.replace(
            config, encoder=dataclasses.replace(SMALL, normalize_loudness=True)
        )
    source = shard_source.ShardChunks(prepared, ("train",))
    batches = list(batching.triplet_batches(source, config.triplets, config.pipeline).take(3))
    for value in batches[0].values():
        assert value.shape.is_fully_defined() and value.dtype != tf.string
    plain = Trainer(config, distribution.build_strategy("cpu"))
    other = Trainer(config, distribution.build_strategy("cpu"))
    compiled = tf.function(other._replica_step, jit_compile=True)
    graph = compiled.get_concrete_function(batches[0]).graph
    assert not ops_of(graph) & HOST_OPS
    hlo = compiled.experimental_get_compiler_ir(batches[0])(stage="hlo")
    assert "<=" not in hlo  # no dimension is bounded instead of known
    for host in ("infeed", "outfeed", " send(", " recv(", "xla_ffi_python", "callback"):
        assert host not in hlo
    tolerance = 1e-5 if precision == "float32" else 5e-3
    for batch in batches:
        expected, found = plain.step(batch), compiled(batch)
        for name in ("loss", "positive_distance", "negative_distance"):
            assert float(found[name]) == pytest.approx(float(expected[name]), abs=tolerance)
    assert other.steps_done == 3


@pytest.mark.slow
def test_run_elsewhere(prepared, tmp_path):
    """Shards, checkpoints, metrics and configuration on what only tf.io.gfile reaches."""
    away = "ram://training"
    tf.io.gfile.makedirs(f"{away}/prepared")
    for name in os.listdir(prepared):
        if os.path.isfile(os.path.join(prepared, name)):
            tf.io.gfile.copy(os.path.join(prepared, name), f"{away}/prepared/{name}")
    # Shards elsewhere are streamed, in another order than local ones: the twin reads them too.
    _, here = run(config_of(4), f"{away}/prepared", tmp_path)
    run(config_of(2), f"{away}/prepared", f"{away}/run")
    trainer, there = run(config_of(4), f"{away}/prepared", f"{away}/run")  # goes on at step 2
    assert trainer.steps_done == 4
    np.testing.assert_allclose(losses(there), losses(here), rtol=1e-6)
    encoder = checkpoints.load_encoder(f"{away}/run")
    for mine, theirs in zip(encoder.weights, trainer.encoder.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert tf.io.gfile.exists(f"{away}/run/metrics.csv")


def test_damaged_shard_stops_the_run_and_is_named(prepared, tmp_path):
    import shutil

    folder = str(tmp_path / "prepared")
    shutil.copytree(prepared, folder)
    shard = os.path.join(folder, "train-00000-of-00001.tfrecord")
    with open(shard, "r+b") as file:
        file.seek(os.path.getsize(shard) // 2)
        file.write(b"damage")
    with pytest.raises(CorpusError, match=r"train-00000-of-00001\.tfrecord: the shard is damaged"):
        run(config_of(30), folder, tmp_path / "run")
