"""metrics.csv and TensorBoard of a run, and the warning of a collapse."""

import array
import csv
import io
import os
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from audio_triplet import storage
from audio_triplet.training.trainer import SCALARS

METRICS_FILE = "metrics.csv"
_COLUMNS = ("step", *SCALARS, "patches_per_second", "input_wait")

# Unit vectors with less variance than this lie within 6 degrees of each other.
COLLAPSED_VARIANCE = 0.01

# So many such steps in a row count as a collapse.
COLLAPSED_STEPS = 50


def read_metrics(output_dir: str) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv, oldest first; empty if there are none."""
    path = storage.join(output_dir, METRICS_FILE)
    if not storage.exists(path):
        return []
    # A kill, or a full disk, may have cut the last row short.
    text = storage.read_text(path)
    rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    return [{name: float(row[name]) for name in _COLUMNS} for row in rows]


class MetricsLog:
    """metrics.csv and TensorBoard, cut back to the step that training continues from."""

    def __init__(self, output_dir: str, first_step: int, chief: bool = True):
        self._path = storage.join(output_dir, METRICS_FILE)
        # A row for every step of a long run: numbers, not dictionaries, which take ten times as
        # much memory.
        self._numbers = array.array("d")
        for row in read_metrics(output_dir):
            if row["step"] < first_step:
                self._numbers.extend(row[name] for name in _COLUMNS)
        self._written = 0
        self._chief = chief
        self._writer = (
            tf.summary.create_file_writer(storage.join(output_dir, "tensorboard"))
            if chief
            else tf.summary.create_noop_writer()
        )
        self._collapsed_since: int | None = None
        self._warned = False
        self.flush()

    @property
    def rows(self) -> list[dict[str, float]]:
        """All rows so far."""
        return [dict(zip(_COLUMNS, row, strict=True)) for row in self._rows_from(0)]

    def _rows_from(self, first: int) -> Iterator[array.array]:
        width = len(_COLUMNS)
        for start in range(first * width, len(self._numbers), width):
            yield self._numbers[start : start + width]

    def add(self, values: Iterable[tuple[int, dict]], rate: float, input_wait: float) -> None:
        """Adds steps; TensorBoard gets the last of them, `flush` writes metrics.csv.

        Args:
          values: (step, scalars) of each, see `Trainer.step`. TensorBoard shows all scalars,
            metrics.csv has those of `SCALARS`.
          rate: Patches per second.
          input_wait: Share of the time that was spent waiting for batches.
        """
        row: dict[str, float] = {}
        for step, scalars in values:
            row = {"step": step, **scalars, "patches_per_second": rate, "input_wait": input_wait}
            self._numbers.extend(row[name] for name in _COLUMNS)
            self._watch(step, scalars["embedding_variance"])
        # As arrays: TensorFlow keeps a tensor for every Python number that it is given.
        with self._writer.as_default(step=np.asarray(row["step"], np.int64)):
            for name, value in row.items():
                if name != "step":
                    tf.summary.scalar(name, np.asarray(value, np.float32))

    def _watch(self, step: int, variance: float) -> None:
        """Warns once when the embedding has been a single point for a while.

        Many runs pass through such a point in their first steps and leave it again.
        """
        if variance >= COLLAPSED_VARIANCE:
            self._collapsed_since = None
        elif self._collapsed_since is None:
            self._collapsed_since = step
        elif step - self._collapsed_since >= COLLAPSED_STEPS and not self._warned:
            self._warned = True
            logging.warning(
                "step %d: the embedding has collapsed for %d steps (variance %.1e; all patches get "
                "almost the same vector, the loss stays at the margin); try a lower learning rate, "
                "warm-up, or batch normalisation",
                step,
                COLLAPSED_STEPS,
                variance,
            )

    def flush(self) -> None:
        """Brings metrics.csv up to date.

        The rows of earlier starts are written whole or not at all, what comes later is added to
        them, so that the hundred-thousandth step is as cheap to write as the first. Where the
        file is elsewhere, or has vanished, all of it is written.
        """
        if not self._chief:
            return
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        adds = self._written and not storage.is_remote(self._path) and os.path.exists(self._path)
        if not adds:
            writer.writerow(_COLUMNS)
        for row in self._rows_from(self._written if adds else 0):
            writer.writerow([int(row[0]), *(f"{value:.9g}" for value in row[1:])])
        if adds:
            with open(self._path, "ab") as file:
                file.write(text.getvalue().encode())
        else:
            storage.write_text(self._path, text.getvalue())
        self._written = len(self._numbers) // len(_COLUMNS)
        self._writer.flush()
