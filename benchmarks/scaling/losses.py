"""The same losses on any number of replicas and processes."""

import functools
import json
import os
import socket
from concurrent import futures

import numpy as np

from benchmarks import harness
from benchmarks.scaling.settings import Settings

# The paper's learning rate, and a higher one.
_RATES = (1e-4, 1e-3)


def measure(settings: Settings, prepared: str, folder: str) -> harness.Table:
    """The same run on 1, 2 and 4 replicas of one process, and on two processes.

    Sums in another order round differently, and training amplifies this with every step, the more
    the higher the learning rate. The same run on one replica, from weights that are one rounding
    apart, shows how much.
    """
    steps = settings.steps
    table = harness.Table(
        "One global batch on any number of devices",
        f"{steps} steps, 16 triplets, from the same "
        "weights; logical CPU devices, and two processes over loopback; largest difference of a "
        f"loss to that of one replica. The goal is for the paper's learning rate, {_RATES[0]:g}",
    )
    for rate in _RATES:
        output = os.path.join(folder, f"losses-{rate:g}")
        run = functools.partial(_losses_of, prepared=prepared, steps=steps, rate=rate)
        alone = run(os.path.join(output, "1"), count=1)
        found = {
            f"{count} replicas": run(os.path.join(output, f"{count}"), count=count)
            for count in (2, 4)
        }
        found["2 processes"] = _losses_of_workers(os.path.join(output, "workers"), run)
        found["1 replica, weights one rounding apart"] = run(
            os.path.join(output, "nudged"), count=1, nudged=True
        )
        worst = {
            name: max(abs(a - b) for a, b in zip(losses, alone, strict=True))
            for name, losses in found.items()
        }
        for name, difference in worst.items():
            table.add(f"{name}, learning rate {rate:g}", difference)
        if rate == _RATES[0]:
            del worst["1 replica, weights one rounding apart"]
            table.goal("largest difference of a loss", max(worst.values()), 1e-4, at_most=True)
    return table


def _losses_of(output: str, **run) -> list[float]:
    """`replica_losses` in a process of its own."""
    found, _ = harness.in_child("benchmarks.scaling.losses:replica_losses", output=output, **run)
    return found


def _losses_of_workers(output: str, run: functools.partial) -> list[float]:
    """`worker_losses` in two processes, with the settings of `run`."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    workers = [f"localhost:{free.getsockname()[1]}" for free in sockets]
    for free in sockets:
        free.close()

    def work(index):
        found, _ = harness.in_child(
            "benchmarks.scaling.losses:worker_losses",
            workers=workers,
            index=index,
            output=output,
            **run.keywords,
        )
        return found

    with futures.ThreadPoolExecutor(2) as executor:
        first, second = executor.map(work, range(2))
    assert first == second
    return first


def replica_losses(
    prepared: str, output: str, steps: int, rate: float, count: int, nudged: bool = False
) -> list[float]:
    """Losses on so many logical CPU devices; for a process of its own."""
    import tensorflow as tf

    from audio_triplet import distribution

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    )
    return _losses(distribution.build_strategy("mirrored"), prepared, output, steps, rate, nudged)


def worker_losses(
    prepared: str, output: str, steps: int, rate: float, workers: list[str], index: int
) -> list[float]:
    """Losses as one of several workers; for a process of its own."""
    task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    os.environ["TF_CONFIG"] = json.dumps(task)
    from audio_triplet import distribution

    return _losses(distribution.build_strategy("multi_worker"), prepared, output, steps, rate)


def _losses(
    strategy, prepared: str, output: str, steps: int, rate: float, nudged: bool = False
) -> list[float]:
    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig, TrainingConfig
    from audio_triplet.data import shard_source
    from audio_triplet.training import loop
    from audio_triplet.training.trainer import Trainer

    config = RunConfig(
        pipeline=PipelineConfig(16),
        encoder=EncoderConfig(width=0.125),
        training=TrainingConfig(steps=steps, learning_rate=rate, precision="float32"),
    )
    source = shard_source.ShardChunks(prepared, ("train",))
    trainer = Trainer(config, strategy)
    if nudged:
        for weight in trainer.encoder.trainable_variables:
            weight.assign(np.nextafter(np.asarray(weight), np.float32(np.inf)))
    return [row["loss"] for row in loop.run(trainer, source, output, progress=False)]
