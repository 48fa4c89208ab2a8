"""Short runs on the generated tones, for the tests of whatever a run leaves behind."""

import dataclasses

import pytest
from keras import layers

from audio_triplet import distribution, models
from audio_triplet.config import (
    EncoderConfig,
    PipelineConfig,
    RunConfig,
    TrainingConfig,
    TripletConfig,
)
from audio_triplet.data import shard_source
from audio_triplet.training import loop
from audio_triplet.training.trainer import Trainer

# For jax on a CPU: a test compiles a step for longer than it runs it.
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

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


def _one_convolution(x, block):
    return None, block.convolution(x, 256, 3, 8, pool=layers.MaxPooling2D(2), name="conv")


def shallow_trainer(config, strategy):
    """A trainer of a network with one convolution in place of VGGish's six.

    Tracing those takes most of a short run, for every replica. For tests of what goes on around
    the network; its checkpoints are none of `models.build`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_vggish", _one_convolution)
        return Trainer(config, strategy)


def run(config, prepared, folder, make=shallow_trainer, **arguments):
    """Runs a training.

    Args:
      config: The run.
      prepared: The corpus.
      folder: Of the run.
      make: `Trainer`, where the network matters.
      **arguments: Of `loop.run`.

    Returns:
      The trainer and the rows of metrics.csv.
    """
    source = shard_source.ShardChunks(prepared, ("train",))
    trainer = make(config, distribution.build_strategy("cpu"))
    rows = loop.run(trainer, source, str(folder), progress=False, **arguments)
    return trainer, rows


def losses(rows):
    return [row["loss"] for row in rows]
