"""Bytes of prepared shards, and what reading them takes beside a training step."""

import os
import statistics

from audio_triplet import storage
from benchmarks import harness
from benchmarks.scaling.settings import AUDIOSET_CLIPS, Settings


def measure(settings: Settings, prepared: str) -> harness.Table:
    """Bytes of the shards, and how long reading them takes beside a training step."""
    from audio_triplet import distribution
    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig, TrainingConfig
    from audio_triplet.data import batching, shard_source
    from audio_triplet.training.trainer import Trainer

    summary = storage.read_json(os.path.join(prepared, "summary.json"))
    table = harness.Table(
        "Shards",
        "batches of 64 triplets, all four constraints, from the prepared shards into "
        "nothing, against a training step of the full network in float32; medians",
    )
    table.add("size", summary["bytes_per_hour"] / 1e6, "MB per hour of sound")
    table.add(
        "size of 2 M clips", summary["bytes"] / summary["segments"] * AUDIOSET_CLIPS / 1e9, "GB"
    )
    source = shard_source.ShardChunks(prepared, ("train",))
    config = RunConfig(
        pipeline=PipelineConfig(64),
        encoder=EncoderConfig(width=settings.width),
        training=TrainingConfig(precision="float32"),
    )
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    batches = iter(batching.triplet_batches(source, config.triplets, config.pipeline))
    batch = next(batches)
    reading = 50
    taken = harness.interleaved(
        {
            "read": lambda: [next(batches) for _ in range(reading)],
            "step": lambda: float(trainer.step(batch)["loss"]),
        },
        harness.repeats(),
    )
    read = taken["read"].median / reading
    table.add("reading and making triplets", 64 / read, "triplets/s")
    table.add(f"training step, width {settings.width:g}", 64 / taken["step"].median, "triplets/s")
    share = statistics.median(
        reading_seconds / reading / step_seconds
        for reading_seconds, step_seconds in zip(
            taken["read"].seconds, taken["step"].seconds, strict=True
        )
    )
    table.goal("% of a step's time that reading takes, on all cores", 100 * share, 1, at_most=True)
    return table
