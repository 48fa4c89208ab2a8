"""Training steps in float32 and bfloat16, and the share of a step spent waiting for input.

    python -m benchmarks.training_step --width=0.25 --output_dir=/tmp/training_step

Both precisions take turns on the same batches in memory: medians of interleaved repeats, and the
ratio. Then the whole loop from prepared shards and from sound files (generated ones, or --corpus):
patches a second beside the rate on data in memory, and the share of time in which it waited.
"""

import dataclasses
import json
import os
import statistics
import tempfile
import time

from absl import app, flags

from audio_triplet import cli
from data_prep import corpora


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("corpus", None, f"The sound: {corpora.accepted_forms()}; or generated.")
    flags.DEFINE_string("output_dir", None, "Folder for training_step.json.", required=True)
    flags.DEFINE_integer("batch_size", 64, "Triplets in a batch; a step embeds twice as many.")
    flags.DEFINE_float("width", 1.0, "Width of the encoder.")
    flags.DEFINE_string("architecture", "vggish", "Architecture of the encoder.")
    flags.DEFINE_integer("repeats", 5, "Timed repeats of each.")
    flags.DEFINE_integer("steps", 4, "Steps in a repeat.")
    flags.DEFINE_list("precisions", ["float32", "mixed_bfloat16"], "Precisions to compare.")


def main(argv):
    """Runs the command."""
    del argv
    cli.quiet_tensorflow()
    from experiments.provenance import provenance

    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        result = measure(folder)
    result |= provenance()
    os.makedirs(values.output_dir, exist_ok=True)
    path = os.path.join(values.output_dir, "training_step.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    for name, rate in result["patches_per_second"].items():
        print(f"{name:30s} {rate:8.1f} patches/s  {rate / result['reference']:5.2f} of float32")
    for name, share in result["input_wait"].items():
        print(f"waiting for input, {name:12s} {share:8.1%}")


def measure(folder: str) -> dict:
    """Times the steps.

    Args:
      folder: A temporary folder.

    Returns:
      `patches_per_second` by name, `reference` (float32 on data in memory), `input_wait`.
    """
    from audio_triplet import distribution, pieces, pipeline, shards, training
    from audio_triplet.config import (
        EncoderConfig,
        PipelineConfig,
        PrepareConfig,
        RunConfig,
        TrainingConfig,
    )
    from data_prep.preparation import prepare

    values = flags.FLAGS
    strategy = distribution.build_strategy("cpu")
    manifest = corpora.load_corpus(values.corpus or f"folders:{generate(folder)}")
    prepared = os.path.join(folder, "prepared")
    prepare(manifest, prepared, PrepareConfig())
    splits = shards.PreparedInfo.read(prepared).splits
    from_shards = shards.ShardPieces(prepared, tuple(splits))
    bad_files = pieces.BadFiles()
    from_files = pieces.FilePieces(pieces.scan(manifest, bad_files), bad_files)
    config = RunConfig(
        pipeline=PipelineConfig(values.batch_size),
        encoder=EncoderConfig(values.architecture, width=values.width),
        training=TrainingConfig(),
    )
    trainers = {
        precision: training.Trainer(
            dataclasses.replace(config, training=TrainingConfig(precision=precision)), strategy
        )
        for precision in values.precisions
    }
    batch = next(iter(pipeline.triplet_batches(from_shards, config.triplets, config.pipeline)))
    visits = {"shards": (from_shards, 1), "files": (from_files, 4)}
    streams = {
        name: iter(pipeline.triplet_batches(
            source, config.triplets, PipelineConfig(values.batch_size, per_visit)
        ))
        for name, (source, per_visit) in visits.items()
    }
    for trainer in trainers.values():
        trainer.step(batch)  # traces
    best = next(iter(trainers))
    rates = {name: [] for name in trainers}
    rates |= {f"{best} from {name}": [] for name in streams}
    waits = {name: [] for name in streams}
    patches = 2 * values.batch_size * values.steps
    for _ in range(values.repeats):
        for name, trainer in trainers.items():
            begin = time.perf_counter()
            for _ in range(values.steps):
                float(trainer.step(batch)["loss"])
            rates[name].append(patches / (time.perf_counter() - begin))
        for name, stream in streams.items():
            begin, waited = time.perf_counter(), 0.0
            for _ in range(values.steps):
                before = time.perf_counter()
                drawn = next(stream)
                waited += time.perf_counter() - before
                float(trainers[best].step(drawn)["loss"])
            elapsed = time.perf_counter() - begin
            rates[f"{best} from {name}"].append(patches / elapsed)
            waits[name].append(waited / elapsed)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "patches_per_second": medians,
        "reference": medians.get("float32", next(iter(medians.values()))),
        "input_wait": {name: statistics.median(found) for name, found in waits.items()},
        "batch_size": values.batch_size,
        "encoder": dataclasses.asdict(config.encoder),
    }


def generate(folder: str) -> str:
    """Writes 200 noisy tones of 5 s at 44.1 kHz as FLAC; returns their folder."""
    import numpy as np
    import soundfile

    sounds = os.path.join(folder, "sounds")
    os.makedirs(sounds)
    random = np.random.default_rng(0)
    time_axis = np.arange(5 * 44100) / 44100
    for number in range(200):
        tone = 0.3 * np.sin(2 * np.pi * random.uniform(100, 5000) * time_axis)
        sound = tone + 0.05 * random.normal(size=time_axis.size)
        soundfile.write(os.path.join(sounds, f"{number}.flac"), sound, 44100)
    return sounds


if __name__ == "__main__":
    define_flags()
    app.run(main)
