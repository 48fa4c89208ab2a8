"""Training steps against PyTorch's, and the share of that rate with real input.

    python -m benchmarks.training_step
    python -m benchmarks.training_step --architectures=vggish --width=0.25 --vggish_batch=64

The same network (equal outputs for equal weights are checked), batch, mining, loss and Adam, each
in float32 and, where the processor has instructions for it, bfloat16; PyTorch channels last, plain
and by torch.compile. Operations counted are those of the convolutions, forward and both gradients;
they are compared with the largest rate of a float32 matrix product of 2048 × 2048. Goals: 1.3 times
PyTorch's best for vggish, 1 for resnet50.

Then bfloat16 against float32 in batches of 64 triplets. Goal on a CPU with AMX: 3 times as fast.

Then the loop from prepared shards and from sound files: patches per second against the rate on data
in memory. Goals for vggish of full width: at least 97 % of it from shards, 90 % from 16 kHz FLAC.
"""

import functools
import os
import tempfile

from absl import flags

from benchmarks import harness

_ARCHITECTURES = flags.DEFINE_list("architectures", ["vggish", "resnet50"], "Encoders.")
_WIDTH = flags.DEFINE_float("width", 1.0, "Width of the encoders.")
_BATCH_SIZE = {
    name: flags.DEFINE_integer(f"{name}_batch", size, "Triplets; a step embeds twice as many.")
    for name, size in (("vggish", 8), ("resnet50", 8))
}
_PRECISION_WIDTHS = flags.DEFINE_list(
    "precision_widths", ["1", "0.5", "0.25"], "Widths of vggish in bfloat16 and float32."
)
_COMPILE = flags.DEFINE_list("compile", ["vggish"], "Encoders also timed under torch.compile.")
_LOOP_WIDTHS = flags.DEFINE_list("loop_widths", ["1", "0.25"], "Widths of vggish in the loop.")


def _has_bfloat16() -> bool:
    """Whether it is done by instructions: without, a step takes fifteen times as long."""
    from audio_triplet import distribution

    return bool({"avx512_bf16", "amx_bf16"} & distribution.cpu_vendor_and_flags()[1])


def random_batch(batch_size: int) -> dict:
    """A batch of generated triplets, as `batching.triplet_batches` gives it."""
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
        "constraint": tf.fill([batch_size], 0),
    }


def trainer(architecture: str, width: float, precision: str, batch_size: int):
    """A `training.Trainer` on one CPU device."""
    from audio_triplet import distribution
    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig, TrainingConfig
    from audio_triplet.training.trainer import Trainer

    config = RunConfig(
        pipeline=PipelineConfig(batch_size),
        encoder=EncoderConfig(architecture, width=width),
        training=TrainingConfig(precision=precision),
    )
    return Trainer(config, distribution.build_strategy("cpu"))


def measure() -> list[harness.Table]:
    """Steps on data in memory, then the loop."""
    tables = [_step_table(architecture) for architecture in _ARCHITECTURES.value]
    if _PRECISION_WIDTHS.value and _has_bfloat16():
        tables.append(_precision_table([float(width) for width in _PRECISION_WIDTHS.value]))
    with tempfile.TemporaryDirectory() as folder:
        sources = _sources(folder)
        tables += [_loop_table(sources, float(width)) for width in _LOOP_WIDTHS.value]
    return tables


def _step_table(architecture: str) -> harness.Table:
    batch_size = _BATCH_SIZE[architecture].value
    table = harness.Table(
        f"Training step: {architecture}",
        f"width {_WIDTH.value:g}, {batch_size} triplets ({2 * batch_size} patches), all cores",
    )
    batch = random_batch(batch_size)
    calls, encoder = {}, None
    for precision in ("float32", "mixed_bfloat16")[: 1 + _has_bfloat16()]:
        made = trainer(architecture, _WIDTH.value, precision, batch_size)
        calls[f"TensorFlow (ours), {precision}"] = lambda made=made: float(made.step(batch)["loss"])
        encoder = encoder or made.encoder
    gigaflops = 2 * batch_size * training_flops(encoder) / 1e9
    if not harness.absent("torch"):
        calls |= _torch_steps(encoder, architecture, batch)
    taken = harness.interleaved(calls, harness.repeats())
    peak = _peak_gigaflops()
    ours = min((name for name in taken if "ours" in name), key=lambda name: taken[name].median)
    for name, measurement in taken.items():
        rate = gigaflops / measurement.median
        table.add(
            name,
            2 * batch_size / measurement.median,
            "patches/s",
            ours=None if "ours" in name else taken[ours].times_as_fast_as(measurement),
            more={"GFLOP/s": rate, "of the matrix product's": rate / peak},
        )
    table.add("matrix product, float32", None, more={"GFLOP/s": peak})
    table.skip_absent("torch")
    ratios = [
        taken[ours].times_as_fast_as(measurement)
        for name, measurement in taken.items()
        if "ours" not in name
    ]
    if ratios:
        wanted = 1.3 if architecture == "vggish" else 1.0
        table.goal("our best precision, times PyTorch's best", min(ratios), wanted)
    return table


def _precision_table(widths: list[float]) -> harness.Table:
    from audio_triplet import distribution

    batch_size = 64
    table = harness.Table(
        "Training step: bfloat16 beside float32",
        f"vggish, {batch_size} triplets ({2 * batch_size} patches), all cores",
    )
    batch = random_batch(batch_size)
    has_amx = "amx_bf16" in distribution.cpu_vendor_and_flags()[1]
    for width in widths:
        calls = {}
        for precision in ("mixed_bfloat16", "float32"):
            made = trainer("vggish", width, precision, batch_size)
            calls[precision] = lambda made=made: float(made.step(batch)["loss"])
        taken = harness.interleaved(calls, harness.repeats())
        ratio = taken["mixed_bfloat16"].times_as_fast_as(taken["float32"])
        for precision, measurement in taken.items():
            table.add(
                f"width {width:g}, {precision}",
                2 * batch_size / measurement.median,
                "patches/s",
                ours=ratio if precision == "float32" else None,
            )
        if has_amx:
            table.goal(f"width {width:g}, bfloat16 times float32, with AMX", ratio, 3.0)
    return table


def _torch_steps(encoder, architecture: str, batch: dict) -> dict:
    import torch

    from benchmarks import torch_twin

    torch.set_num_threads(harness.cores())
    anchor, positive = (torch.from_numpy(batch[name].numpy()) for name in ("anchor", "positive"))
    calls = {}
    for compiled in (False, True)[: 2 if architecture in _COMPILE.value else 1]:
        for precision in ("float32", "bfloat16")[: 1 + _has_bfloat16()]:
            step = torch_twin.Step(
                torch_twin.twin(encoder, architecture, _WIDTH.value),
                precision == "bfloat16",
                compiled,
            )
            name = f"PyTorch{' compiled' if compiled else ''}, {precision}"
            calls[name] = lambda step=step: step(anchor, positive)
    return calls


def training_flops(encoder) -> int:
    """Operations of a patch's training step: forward, and gradients of weights and inputs.

    Convolutions and the linear layer only; the first convolution needs no gradient of its input.
    """
    import math

    import keras

    total = 0
    for number, layer in enumerate(layer for layer in encoder.layers if hasattr(layer, "kernel")):
        positions = 1
        if isinstance(layer, keras.layers.Conv2D):
            positions = math.prod(layer.output.shape[1:3])
        total += (2 if number == 0 else 3) * 2 * math.prod(layer.kernel.shape) * positions
    return total


def _peak_gigaflops() -> float:
    """The best of TensorFlow's and PyTorch's float32 matrix products, all cores."""
    import tensorflow as tf

    size = 2048
    matrix = tf.random.normal([size, size])
    calls = {"TensorFlow": lambda: tf.matmul(matrix, matrix).numpy()}
    if not harness.absent("torch"):
        import torch

        other = torch.from_numpy(matrix.numpy())
        calls["PyTorch"] = lambda: torch.mm(other, other)
    taken = harness.interleaved(calls, harness.repeats())
    return 2 * size**3 / 1e9 / min(min(found.seconds) for found in taken.values())


def _sources(folder: str) -> dict:
    """Name → (source of chunks, batches made of a visit)."""
    from audio_triplet.config import PrepareConfig
    from audio_triplet.corpora import registry
    from audio_triplet.data import chunks, shard_source
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.file_source import FileChunks
    from data_prep.preparation import prepare

    harness.progress("preparing 128 sounds of 10.56 s")
    files = os.path.join(folder, "flac")
    harness.write_sounds(files, harness.sounds(128, 10.56, 16_000), 16_000, "flac")
    manifest = registry.load_corpus(f"folders:{files}")
    prepared = os.path.join(folder, "prepared")
    prepare(manifest, prepared, PrepareConfig(), progress=False)
    bad_files = BadFiles()
    from_files = FileChunks(chunks.scan(manifest, bad_files), bad_files)
    return {
        "from prepared shards": (shard_source.ShardChunks(prepared), 1),
        "from 16 kHz FLAC": (from_files, 1),
        "from 16 kHz FLAC, 4 batches per visit": (from_files, 4),
    }


def _loop_table(sources: dict, width: float) -> harness.Table:
    from audio_triplet.config import PipelineConfig, TripletConfig
    from audio_triplet.data import batching

    batch_size, steps = (8, 12) if width == 1 else (64, 16)
    made = trainer("vggish", width, "float32", batch_size)

    def opened(source, per_visit):
        config = PipelineConfig(batch_size, per_visit)
        stream = iter(batching.triplet_batches(source, TripletConfig(), config))
        for _ in range(8):  # two visits of four batches, so that reading ahead is paid before
            float(made.step(next(stream))["loss"])
        return stream

    before = {name: functools.partial(opened, *source) for name, source in sources.items()}
    batch = next(before["from prepared shards"]())

    def from_stream(stream):
        for _ in range(steps):
            float(made.step(next(stream))["loss"])

    in_memory = "on data in memory"
    calls = {in_memory: lambda: [float(made.step(batch)["loss"]) for _ in range(steps)]}
    calls |= dict.fromkeys(sources, from_stream)
    table = harness.Table(
        f"Training loop: vggish, width {width:g}", f"{batch_size} triplets, float32, all cores"
    )
    taken = harness.interleaved(calls, harness.repeats(), before=before)
    for name, measurement in taken.items():
        share = measurement.times_as_fast_as(taken[in_memory])
        table.add(
            name,
            2 * batch_size * steps / measurement.median,
            "patches/s",
            more={"share of the rate in memory": share},
        )
    for name, wanted in (("from prepared shards", 0.97), ("from 16 kHz FLAC", 0.9)):
        if width == 1:
            share = taken[name].times_as_fast_as(taken[in_memory])
            table.goal(f"{name}, share of the rate in memory", share, wanted)
    return table


if __name__ == "__main__":
    harness.main(measure)
