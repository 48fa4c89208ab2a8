"""The training step: what it learns, allows, and compiles to; learning rates."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import distribution
from audio_triplet.config import TrainingConfig
from audio_triplet.data import batching, shard_source
from audio_triplet.embeddings.embed import embed_shards
from audio_triplet.training.trainer import Trainer, learning_rate
from tests.training.runs import SMALL, config_of, losses, run


@pytest.mark.slow
def test_loss_falls_and_the_embedding_separates_the_classes(prepared, tmp_path):
    trainer, rows = run(config_of(60), prepared, tmp_path, Trainer)
    assert np.mean(losses(rows)[-10:]) < 0.6 * np.mean(losses(rows)[:10])
    source = shard_source.ShardChunks(prepared)
    embeddings = embed_shards(source, source.manifest, trainer.encoder)
    label = embeddings.manifest.frame["labels"].to_numpy()
    means = embeddings.segment_means
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = (label[:, None] == label[None, :]) & ~np.eye(len(label), dtype=bool)
    assert cosine[same].mean() > cosine[label[:, None] != label[None, :]].mean() + 0.03


def test_explicit_negatives_lack_the_label(prepared):
    config = config_of(1, "explicit")
    trainer = Trainer(config, distribution.build_strategy("cpu"))
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


def test_schedules():
    config = TrainingConfig(steps=100, learning_rate=1e-3, schedule="cosine", warmup_steps=10)
    rate = learning_rate(config)
    at = [float(rate(step)) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(at, [0, 5e-4, 1e-3, 5e-4, 0], atol=1e-6)
    rising = learning_rate(TrainingConfig(learning_rate=1e-3, warmup_steps=10))
    np.testing.assert_allclose([float(rising(s)) for s in (0, 5, 10, 99)], [0, 5e-4, 1e-3, 1e-3])
    assert learning_rate(TrainingConfig(learning_rate=0.5)) == 0.5


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
    compiled = tf.function(other.replica_step, jit_compile=True)
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
