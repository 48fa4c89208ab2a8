"""Training steps in each precision, and what of that rate is left with real input.

    python -m benchmarks.training_step
    python -m benchmarks.training_step --architectures=vggish --width=0.25 --batch_size=64

Then the whole loop from prepared shards and from sound files: patches a second beside the rate on
data in memory. Goals: at least 97 % of it from shards, and 90 % from 16 kHz FLAC.
"""

import os
import tempfile

from absl import flags

from benchmarks import harness

_ARCHITECTURES = flags.DEFINE_list("architectures", ["vggish", "resnet50"], "Encoders.")
_WIDTH = flags.DEFINE_float("width", 1.0, "Width of the encoders.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Triplets; a step embeds twice as many.")
_STEPS = flags.DEFINE_integer("steps", 2, "Steps in a round.", lower_bound=1)
_LOOP_WIDTH = flags.DEFINE_float("loop_width", 0.25, "Width of vggish in the whole loop.")


def random_batch(batch_size: int) -> dict:
    """A batch of generated triplets, as `pipeline.triplet_batches` gives it."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape = [batch_size, 96, 64]
    return {
        "anchor": tf.constant(rng.gamma(0.5, size=shape), tf.float32),
        "positive": tf.constant(rng.gamma(0.5, size=shape), tf.float32),
        "recording": tf.range(batch_size, dtype=tf.int64),
        "drawn": tf.fill([batch_size], True),
        "valid": tf.fill([batch_size], True),
        "negative": tf.fill([batch_size], -1),
    }


def trainer(architecture: str, width: float, precision: str, batch_size: int):
    """A `training.Trainer` on one CPU device."""
    from audio_triplet import distribution, training
    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig, TrainingConfig

    config = RunConfig(
        pipeline=PipelineConfig(batch_size),
        encoder=EncoderConfig(architecture, width=width),
        training=TrainingConfig(precision=precision),
    )
    return training.Trainer(config, distribution.build_strategy("cpu"))


def measure() -> list[harness.Table]:
    """Steps on data in memory, then the loop."""
    tables = [_step_table(architecture) for architecture in _ARCHITECTURES.value]
    with tempfile.TemporaryDirectory() as folder:
        tables.append(_loop_table(folder))
    return tables


def _step_table(architecture: str) -> harness.Table:
    batch_size, steps = _BATCH_SIZE.value, _STEPS.value
    table = harness.Table(
        f"Training step: {architecture}",
        f"width {_WIDTH.value:g}, {batch_size} triplets ({2 * batch_size} patches), all cores",
    )
    batch = random_batch(batch_size)
    calls = {}
    for precision in ("float32", "mixed_bfloat16"):
        made = trainer(architecture, _WIDTH.value, precision, batch_size)
        calls[f"TensorFlow (ours), {precision}"] = lambda made=made: [
            float(made.step(batch)["loss"]) for _ in range(steps)
        ]
    taken = harness.interleaved(calls, harness.repeats())
    table.compare(taken, 2 * batch_size * steps, "patches/s", next(iter(calls)))
    return table


def _loop_table(folder: str) -> harness.Table:
    from audio_triplet import pieces, pipeline, shards
    from audio_triplet.config import PipelineConfig, PrepareConfig, TripletConfig
    from data_prep import corpora
    from data_prep.preparation import prepare

    batch_size, steps = 64, 2
    harness.progress("preparing 100 sounds of 10.56 s")
    sounds = harness.sounds(100, 10.56, 16_000)
    files = os.path.join(folder, "flac")
    harness.write_sounds(files, sounds, 16_000, "flac")
    manifest = corpora.load_corpus(f"folders:{files}")
    prepared = os.path.join(folder, "prepared")
    prepare(manifest, prepared, PrepareConfig(), progress=False)
    bad_files = pieces.BadFiles()
    sources = {
        "from prepared shards": shards.ShardPieces(prepared),
        "from 16 kHz FLAC": pieces.FilePieces(pieces.scan(manifest, bad_files), bad_files),
    }
    streams = {
        name: iter(pipeline.triplet_batches(source, TripletConfig(), PipelineConfig(batch_size)))
        for name, source in sources.items()
    }
    made = trainer("vggish", _LOOP_WIDTH.value, "float32", batch_size)
    batch = next(streams["from prepared shards"])

    def from_stream(stream):
        return lambda: [float(made.step(next(stream))["loss"]) for _ in range(steps)]

    calls = {"on data in memory": lambda: [float(made.step(batch)["loss"]) for _ in range(steps)]}
    calls |= {name: from_stream(stream) for name, stream in streams.items()}
    table = harness.Table(
        "Training loop",
        f"vggish, width {_LOOP_WIDTH.value:g}, {batch_size} triplets, float32, all cores",
    )
    taken = harness.interleaved(calls, harness.repeats(), warm_up=2)
    for name, measurement in taken.items():
        share = measurement.times_as_fast_as(taken["on data in memory"])
        table.add(
            name, 2 * batch_size * steps / measurement.median, "patches/s",
            more={"share of the rate in memory": share},
        )
        if name in streams:
            wanted = 0.97 if name == "from prepared shards" else 0.9
            table.goal(f"{name}, share of the rate in memory", share, wanted)
    return table


if __name__ == "__main__":
    harness.main(measure)
