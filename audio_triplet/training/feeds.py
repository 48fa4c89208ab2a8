"""How a training step gets its batches: from the input pipeline, or by the device itself."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import logging

from audio_triplet.config import FEEDS
from audio_triplet.data import batching, resident, sources
from audio_triplet.errors import ConfigError
from audio_triplet.training.cadence import Stretch
from audio_triplet.training.trainer import Trainer

# Most steps in a call: a stop waits for them.
_STEPS_PER_CALL = 100
# The part of a device's free memory that a corpus may take; the step needs the rest [D].
_CORPUS_SHARE = 0.6


class Feed(abc.ABC):
    """Makes the steps of a run, in order.

    Attributes:
      most: Most steps in a call.
    """

    most: int = 1

    @abc.abstractmethod
    def make(self, count: int, stretch: Stretch) -> dict[str, tf.Tensor]:
        """Makes the next steps; the wait for their input is counted.

        Args:
          count: How many, at most `most`.
          stretch: Counts the wait.

        Returns:
          As `Trainer.step`; of several steps float32[count] each.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Drops the iterator: if its threads still ran when Python ends, it would never end."""


class PipelineFeed(Feed):
    """Batches by the input pipeline on the host, a step at a time."""

    def __init__(self, trainer: Trainer, source: sources.ChunkSource, first: int, service: str):
        """Args: the trainer, its sound, the first step, and a tf.data service if any."""
        config = trainer.config
        dataset = batching.triplet_batches(source, config.triplets, config.pipeline, first, service)
        self._step = trainer.step
        self._batches: Iterator[Any] = iter(trainer.distribute(dataset))

    def make(self, count: int, stretch: Stretch) -> dict[str, tf.Tensor]:
        """As `Feed.make`."""
        del count  # `most` is 1
        return self._step(stretch.next(self._batches))

    def close(self) -> None:
        """As `Feed.close`."""
        del self._batches


class ResidentFeed(Feed):
    """Batches made by the devices, of a corpus in their memory; many steps in a call."""

    most = _STEPS_PER_CALL

    def __init__(self, trainer: Trainer, source: sources.ChunkSource, first: int, bits: int = 16):
        """Args: the trainer, its sound, the first step, and the bits of a mel energy."""
        config, strategy = trainer.config, trainer.strategy
        with strategy.scope():
            feed = resident.ResidentFeed(
                source, config.triplets, config.pipeline, free_bytes(strategy), bits
            )
        self._steps = trainer.resident_steps(feed)
        visits = feed.visits(first).prefetch(2 * self.most)
        self._visits: Iterator[Any] = iter(visits)

    def make(self, count: int, stretch: Stretch) -> dict[str, tf.Tensor]:
        """As `Feed.make`."""
        visits = [stretch.next(self._visits) for _ in range(count)]
        return self._steps({name: tf.stack([v[name] for v in visits]) for name in visits[0]})

    def close(self) -> None:
        """As `Feed.close`."""
        del self._visits


def open_feed(
    name: str, trainer: Trainer, source: sources.ChunkSource, first: int, service: str = ""
) -> Feed:
    """The feed of a run.

    Args:
      name: `pipeline`; `resident`; `resident8`, in 8 bits; `auto`: resident on a GPU or TPU,
        where the corpus is prepared, on this machine, and fits.
      trainer: The trainer.
      source: Its sound.
      first: The first step.
      service: A tf.data service that makes the batches.

    Raises:
      ConfigError: The name is unknown, or the corpus cannot be resident.
    """
    if name not in FEEDS:
        raise ConfigError(f"feed={name!r} is none of {', '.join(FEEDS)}")
    if name.startswith("resident") and service:
        raise ConfigError(f"feed={name}: the device makes the batches; leave out --data_service")
    if name == "auto":
        name = _chosen(trainer.strategy, source, service)
    if name.startswith("resident"):
        return ResidentFeed(trainer, source, first, bits=8 if name == "resident8" else 16)
    return PipelineFeed(trainer, source, first, service)


def _chosen(strategy: tf.distribute.Strategy, source: sources.ChunkSource, service: str) -> str:
    devices = strategy.extended.worker_devices
    if service or all("CPU" in device for device in devices):
        return "pipeline"
    try:
        resident.check_fits(resident.shards_of(source).index, free_bytes(strategy))
    except ConfigError as reason:
        logging.info("batches are made on the host: %s", reason)
        return "pipeline"
    return "resident"


def free_bytes(strategy: tf.distribute.Strategy) -> int | None:
    """Bytes of each device that a corpus may take; None where TensorFlow does not tell."""
    devices = strategy.extended.worker_devices
    if any("TPU" in device for device in devices):
        return None
    if any("GPU" in device for device in devices):
        from tensorflow.python.client import device_lib

        limits = [d.memory_limit for d in device_lib.list_local_devices() if d.device_type == "GPU"]
        return int(_CORPUS_SHARE * min(limits)) if limits else None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    return int(_CORPUS_SHARE * free / len(devices))  # every replica has a copy
