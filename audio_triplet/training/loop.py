"""The training loop: steps until the end, with logs, checkpoints and a clean stop.

    with only_writer(trainer, output_dir):
        rows = run(trainer, source, output_dir)

`run` opens the folder, `_train` makes the steps.
"""

import contextlib
import math
import os
import time
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from audio_triplet import distribution, features, locks, models, storage
from audio_triplet.config import CONFIG_FILE, RunConfig
from audio_triplet.data import batching, sources
from audio_triplet.data.bad_files import BAD_FILES, listed_in
from audio_triplet.errors import CorpusError, Interrupted, TrainingError
from audio_triplet.training import feeds, initial
from audio_triplet.training.cadence import Cadence, StopSignals, Stretch
from audio_triplet.training.checkpoints import KEPT_CHECKPOINTS, restore, tidy
from audio_triplet.training.metrics_log import METRICS_FILE, MetricsLog, read_metrics
from audio_triplet.training.progress import Progress
from audio_triplet.training.trainer import Trainer

# About how many patches `input_scaling` is estimated from: fifty thousand frames.
_SCALING_PATCHES = 512


def run(
    trainer: Trainer,
    source: sources.ChunkSource,
    output_dir: str,
    *,
    resume: bool = True,
    progress: bool = True,
    service: str = "",
    feed: str = "auto",
    started: float | None = None,
) -> list[dict[str, float]]:
    """Trains until `config.training.steps`, from the last checkpoint if there is one.

    Writes into `output_dir`: `config.json`, `checkpoints/`, `metrics.csv` (a row for every step),
    TensorBoard events under `tensorboard/`, and `bad_files.csv` if there are any.

    Args:
      trainer: A new trainer.
      source: Chunks of the training splits.
      output_dir: Folder of the run.
      resume: Whether to continue an existing run; else it is replaced.
      progress: Whether to show a progress bar.
      service: grpc://HOST:PORT of a tf.data service that makes the batches; empty: this process.
      feed: What makes the batches: `pipeline`, `resident` or `auto`, see `feeds.open_feed`.
      started: `time.monotonic()` at the start of the program, for the log; None: now.

    Returns:
      The rows of metrics.csv.

    Raises:
      ConfigError: `output_dir` holds a run of another configuration, or the corpus cannot be
        resident.
      ExportError: The model to begin with cannot be used.
      TrainingError: The loss is not finite, or another worker is gone.
      CorpusError: A shard is damaged.
      Interrupted: A signal asked the run to stop; it has checkpointed.
      LockedError: Another process is writing `output_dir`.
    """
    started = time.monotonic() if started is None else started
    with only_writer(trainer, output_dir):
        manager, log = _open(trainer, output_dir, resume)
        if trainer.steps_done >= trainer.config.training.steps:
            return log.rows
        if trainer.steps_done == 0:
            begin(trainer, source)
        name = os.path.basename(os.path.normpath(output_dir))
        with (
            _bad_files_listed(trainer, source, output_dir),
            _progress(trainer, name, progress) as bar,
        ):
            stopped = _train(trainer, source, service, feed, manager, log, bar, started)
        log.flush()
        if stopped and trainer.steps_done < trainer.config.training.steps:
            raise Interrupted(
                f"stopped at step {trainer.steps_done} of {trainer.config.training.steps}, "
                f"checkpoint saved in {manager.directory}; the same command continues"
            )
        return log.rows


def only_writer(trainer: Trainer, output_dir: str) -> contextlib.AbstractContextManager:
    """`locks.exclusive(output_dir)` for a run; of several workers the chief alone takes it."""
    if distribution.is_chief(trainer.strategy):
        return locks.exclusive(output_dir)
    return contextlib.nullcontext()


@contextlib.contextmanager
def _bad_files_listed(
    trainer: Trainer, source: sources.ChunkSource, output_dir: str
) -> Iterator[None]:
    """Lists the source's bad files when training ends; of several workers the chief alone does."""
    if not distribution.is_chief(trainer.strategy):
        yield
        return
    with listed_in(output_dir, source.bad_files) as bad_files:
        yield
    if bad_files.entries or bad_files.log.truncated:
        logging.warning("%s", bad_files.summary(output_dir))


def _train(
    trainer: Trainer,
    source: sources.ChunkSource,
    service: str,
    feed_name: str,
    manager: tf.train.CheckpointManager,
    log: MetricsLog,
    progress: Progress,
    started: float,
) -> bool:
    """Makes the remaining steps; returns whether a signal stopped it before the last."""
    config, first = trainer.config, trainer.steps_done
    feed = feeds.open_feed(feed_name, trainer, source, first, service)
    cadence = Cadence(config.training, first, distribution.workers(trainer.strategy) > 1)
    stretch = Stretch(_patches_per_step(trainer))
    try:
        with StopSignals() as stop:
            done = first
            while done < config.training.steps:
                count = cadence.steps_to_due(done, feed.most)
                stretch.add(done, feed.make(count, stretch))
                done += count
                progress.step(count)
                log_due, save_due = cadence.due(done, stop.asked)
                if not log_due:
                    continue  # reading values waits for the device
                values, rate, wait_share = stretch.read()
                if done == first + 1:
                    logging.info(
                        "first training step done %.1f s after the start of the program",
                        time.monotonic() - started,
                    )
                _check_finite(values, manager)
                log.add(values, rate, wait_share)
                stopping = trainer.replicas.any_worker(stop.asked)
                ends = stopping or done == config.training.steps
                progress.report(done, values[-1][1]["loss"], rate, ends)
                if save_due or stopping:
                    _save(trainer, manager, log)
                    cadence.saved()
                    stretch.restart_clock()
                if stopping:
                    return True
    except tf.errors.OpError as error:
        explained = _explained(error, trainer, source, manager)
        if explained is error:  # nothing is its own cause
            raise
        raise explained from error
    finally:
        feed.close()
    return False


def _open(
    trainer: Trainer, output_dir: str, resume: bool
) -> tuple[tf.train.CheckpointManager, MetricsLog]:
    """Opens the folder of a run, and restores its last checkpoint if there is one."""
    config, chief = trainer.config, distribution.is_chief(trainer.strategy)
    checkpoint_dir = storage.join(output_dir, "checkpoints")
    if chief:
        storage.make_folder(output_dir)
        if not resume:
            _clear(output_dir)
        elif storage.exists(storage.join(output_dir, CONFIG_FILE)):
            config.check_continues(RunConfig.read(output_dir), output_dir)
        config.write(output_dir)
        locks.clear_leftovers(output_dir)
        tidy(checkpoint_dir)
    trainer.replicas.any_worker(False)  # the others read the folder after the chief has prepared it
    manager = tf.train.CheckpointManager(
        trainer.checkpoint(), checkpoint_dir, max_to_keep=KEPT_CHECKPOINTS
    )
    restore(trainer, manager)
    logged = len(read_metrics(output_dir)) if chief else 0
    if logged and not trainer.steps_done:
        logging.warning(
            "%s: %s has %d steps, but there is no checkpoint: the run starts over",
            output_dir,
            METRICS_FILE,
            logged,
        )
    trainer.replicas.check_agreed(trainer.steps_done, output_dir)
    return manager, MetricsLog(output_dir, trainer.steps_done, chief)


def _clear(output_dir: str) -> None:
    """Removes an earlier run: its own files only."""
    for name in ("checkpoints", "tensorboard"):
        folder = storage.join(output_dir, name)
        if tf.io.gfile.exists(folder):
            tf.io.gfile.rmtree(folder)
    for name in (CONFIG_FILE, METRICS_FILE, BAD_FILES):
        path = storage.join(output_dir, name)
        if storage.exists(path):
            tf.io.gfile.remove(path)


def begin(trainer: Trainer, source: sources.ChunkSource) -> None:
    """What precedes the first step: the weights of an earlier model, or the band scaling."""
    if trainer.config.init_model:
        initial.apply(trainer)
    elif trainer.config.encoder.input_scaling:
        _scale_input(trainer, source)


def _scale_input(trainer: Trainer, source: sources.ChunkSource) -> None:
    """Estimates the encoder's band scaling from the first batches."""
    config = trainer.config
    batches = batching.triplet_batches(source, config.triplets, config.pipeline)
    count = -(-_SCALING_PATCHES // config.pipeline.batch_size)
    patches = tf.concat([batch["anchor"] for batch in batches.take(count)], axis=0)
    models.scale_input(trainer.encoder, features.log_mel(patches))


def _progress(trainer: Trainer, name: str, shown: bool) -> Progress:
    shown &= distribution.is_chief(trainer.strategy)
    steps = trainer.config.training.steps
    return Progress(name, trainer.steps_done, steps, _patches_per_step(trainer), shown)


def _patches_per_step(trainer: Trainer) -> int:
    """Patches in a global batch: anchors and positives."""
    return 2 * trainer.config.pipeline.batch_size


def _save(trainer: Trainer, manager: tf.train.CheckpointManager, log: MetricsLog) -> None:
    """Saves the log, then a checkpoint, so that no saved step lacks its row."""
    if distribution.is_chief(trainer.strategy):
        log.flush()
        manager.save(trainer.steps_done)


def _check_finite(values, manager: tf.train.CheckpointManager) -> None:
    """Raises TrainingError if a loss is not finite."""
    bad = [step for step, scalars in values if not math.isfinite(scalars["loss"])]
    if bad:
        kept = _last_checkpoint(manager)
        raise TrainingError(
            f"the loss is not finite from step {bad[0]} to {values[-1][0]}; the last good "
            f"checkpoint is kept: {kept}; try a lower --learning_rate or --precision=float32"
        )


def _last_checkpoint(manager: tf.train.CheckpointManager) -> str:
    """Its name: looked up in the folder, because it may be another worker that writes them."""
    return tf.train.latest_checkpoint(manager.directory) or "none was written yet"


def _explained(error, trainer: Trainer, source, manager: tf.train.CheckpointManager) -> Exception:
    """An error that a user can fix as one of `audio_triplet.errors`; others as they are."""
    if isinstance(error, tf.errors.DataLossError) and (cause := source.damage()):
        return CorpusError(cause)
    first = str(error.message).strip().splitlines()[0][:300]
    if distribution.workers(trainer.strategy) > 1:
        kept = _last_checkpoint(manager)
        return TrainingError(
            f"another worker is gone ({type(error).__name__}: {first}), so this one stops too; "
            f"start all workers again to go on from the last checkpoint ({kept})"
        )
    return error
