"""Which steps of a run are logged and saved, how fast they are, and who asks for a stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from audio_triplet.config import TrainingConfig

if TYPE_CHECKING:
    import tensorflow as tf


class Cadence:
    """Which steps are logged, and which are followed by a checkpoint.

    Workers that train together must do the same after the same step. Time and signals differ
    between workers, so they count only after logged steps, where workers ask each other.
    """

    def __init__(self, config: TrainingConfig, first_step: int, together: bool):
        """Args: settings of the run, its first step, and whether several workers train together."""
        self._config = config
        self._first_step = first_step
        self._together = together
        self._saved = time.monotonic()

    def due(self, done: int, stop_asked: bool) -> tuple[bool, bool]:
        """Decides what to do after a step.

        Args:
          done: Steps done.
          stop_asked: Whether this process is asked to stop.

        Returns:
          Whether to read and log values, and whether to save a checkpoint.
        """
        config = self._config
        save = bool(config.checkpoint_steps and done % config.checkpoint_steps == 0)
        log = save or done == self._first_step + 1 or done % config.log_steps == 0
        if log or not self._together:
            save |= (time.monotonic() - self._saved) / 60 >= config.checkpoint_minutes
        save |= done == config.steps or (stop_asked and not self._together)
        return log or save, save

    def steps_to_due(self, done: int, most: int) -> int:
        """How many steps, 1 to `most`, there are until the next that is logged or saved by number.

        Args:
          done: Steps done.
          most: A bound, for what is not known by number: time and signals.
        """
        config = self._config
        if done == self._first_step:
            return 1
        left = [most, config.steps - done, config.log_steps - done % config.log_steps]
        if config.checkpoint_steps:
            left.append(config.checkpoint_steps - done % config.checkpoint_steps)
        return max(1, min(left))

    def saved(self) -> None:
        """Notes that a checkpoint was written."""
        self._saved = time.monotonic()


class Stretch:
    """The steps since values were read last: their values, their rate, the wait for batches."""

    def __init__(self, patches_per_step: int):
        """Args: patches in a global batch, anchors and positives."""
        self._patches_per_step = patches_per_step
        self._pending: list[tuple[int, dict[str, tf.Tensor]]] = []
        self._waited = 0.0
        self._began = time.monotonic()

    def next(self, batches: Iterator) -> Any:
        """The next batch; the wait for it is counted."""
        before = time.monotonic()
        batch = next(batches)
        self._waited += time.monotonic() - before
        return batch

    def add(self, step: int, scalars: dict[str, tf.Tensor]) -> None:
        """Adds a step, whose values the device may still be computing; or several, from it on."""
        self._pending.append((step, scalars))

    def read(self) -> tuple[list[tuple[int, dict[str, float]]], float, float]:
        """Waits for the device and ends the stretch.

        Returns:
          (step, scalars) of each step; patches per second; the share of time that was spent
          waiting for batches.
        """
        values = [row for step, scalars in self._pending for row in _rows(step, scalars)]
        elapsed = time.monotonic() - self._began
        rate = self._patches_per_step * len(values) / elapsed
        wait_share = self._waited / elapsed
        self._pending, self._waited = [], 0.0
        self.restart_clock()
        return values, rate, wait_share

    def restart_clock(self) -> None:
        """Counts time from now on: the time since the last step was not spent on training."""
        self._began = time.monotonic()


def _rows(step: int, scalars: dict[str, tf.Tensor]) -> list[tuple[int, dict[str, float]]]:
    """(step, scalars) of each step from scalars of one step, or of several in a row."""
    columns = {name: np.ravel(value).tolist() for name, value in scalars.items()}
    count = len(columns["loss"])
    return [(step + n, {name: column[n] for name, column in columns.items()}) for n in range(count)]


class StopSignals:
    """SIGINT and SIGTERM ask for a stop after the step; a second one ends the process at once.

    Attributes:
      asked: Whether a stop is asked for.
    """

    def __enter__(self) -> StopSignals:
        self.asked = False
        self._earlier = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._earlier[number] = signal.signal(number, self._ask)
            except ValueError:  # not in the main thread: nobody sends us signals
                break
        return self

    def _ask(self, number, frame) -> None:
        del frame
        if self.asked:
            os._exit(128 + number)
        self.asked = True
        logging.warning("stopping after this step; a second signal stops at once")

    def __exit__(self, *exception) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
