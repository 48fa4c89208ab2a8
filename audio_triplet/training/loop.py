"""Training an encoder on batches of triplets.

One step on every replica (`_replica_step`), one function that runs it on all of them (`step`), one
loop with checkpoints and logs (`run`). The step counter is the optimizer's, and batches are a
function of the step's number, so continuing a run needs nothing but the checkpoint.
"""

import contextlib
import math
import os
import signal
import time

import tensorflow as tf
from absl import logging
from tqdm import tqdm

from audio_triplet import distribution, features, locks, models, storage
from audio_triplet.commands import terminal
from audio_triplet.config import CONFIG_FILE, RunConfig
from audio_triplet.data import batching, sources
from audio_triplet.errors import CorpusError, Interrupted, TrainingError
from audio_triplet.training.checkpoints import KEPT_CHECKPOINTS, restore, tidy
from audio_triplet.training.metrics_log import METRICS_FILE, MetricsLog, read_metrics
from audio_triplet.training.trainer import Trainer

BAD_FILES = "bad_files.csv"


_SCALING_PATCHES = 512
"""Patches, about as many, from which `input_scaling` is estimated: fifty thousand frames."""


def run(
    trainer: Trainer,
    source: sources.ChunkSource,
    output_dir: str,
    *,
    resume: bool = True,
    progress: bool = True,
    service: str = "",
) -> list[dict[str, float]]:
    """Trains until `config.training.steps`, from the last checkpoint if there is one.

    Writes into `output_dir`: `config.json`, `checkpoints/`, `metrics.csv` (a row for every step),
    TensorBoard events under `tensorboard/`, and `bad_files.csv` if there are any.

    Args:
      trainer: A new trainer.
      source: Pieces of the training splits.
      output_dir: Folder of the run.
      resume: Whether to continue the run that is there; else it is replaced.
      progress: Whether to show a progress bar.
      service: grpc://HOST:PORT of a tf.data service that makes the batches; here if empty.

    Returns:
      The rows of metrics.csv.

    Raises:
      ConfigError: `output_dir` holds a run of another configuration.
      TrainingError: The loss is not finite, or another worker is gone.
      CorpusError: A shard is damaged.
      Interrupted: A signal asked the run to stop; it has checkpointed.
      LockedError: Another process is writing `output_dir`.
    """
    with only_writer(trainer, output_dir):
        return _run(trainer, source, output_dir, resume, progress, service)


def only_writer(trainer: Trainer, output_dir: str) -> contextlib.AbstractContextManager:
    """`locks.exclusive(output_dir)` for a run; of several workers the chief alone takes it."""
    if distribution.is_chief(trainer.strategy):
        return locks.exclusive(output_dir)
    return contextlib.nullcontext()


def _run(trainer, source, output_dir, resume, progress, service) -> list[dict[str, float]]:
    config, batch_size = trainer.config, trainer.config.pipeline.batch_size
    checkpoint_dir = storage.join(output_dir, "checkpoints")
    chief = distribution.is_chief(trainer.strategy)
    if chief:
        storage.make_folder(output_dir)
        if not resume:
            _clear(output_dir)
        elif storage.exists(storage.join(output_dir, CONFIG_FILE)):
            config.check_continues(RunConfig.read(output_dir), output_dir)
        config.write(output_dir)
        locks.clear_leftovers(output_dir)
        tidy(checkpoint_dir)
    trainer.any_worker(False)  # the others read the folder when the chief is done with it
    manager = tf.train.CheckpointManager(
        trainer.checkpoint(), checkpoint_dir, max_to_keep=KEPT_CHECKPOINTS
    )
    restore(trainer, manager)
    logged = len(read_metrics(output_dir)) if chief else 0
    if logged and not trainer.steps_done:
        logging.warning(
            "%s: %s tells of %d steps, but no checkpoint is there: begins again",
            output_dir,
            METRICS_FILE,
            logged,
        )
    started = trainer.steps_done
    trainer.check_agreed(started, output_dir)
    log = MetricsLog(output_dir, started, chief)
    if started >= config.training.steps:
        return log.rows

    if started == 0 and config.encoder.input_scaling:
        here = batching.triplet_batches(source, config.triplets, config.pipeline)
        patches = [batch["anchor"] for batch in here.take(-(-_SCALING_PATCHES // batch_size))]
        models.scale_input(trainer.encoder, features.log_mel(tf.concat(patches, axis=0)))
    dataset = batching.triplet_batches(source, config.triplets, config.pipeline, started, service)
    batches = iter(trainer.distribute(dataset))
    bar = tqdm(
        total=config.training.steps,
        initial=started,
        unit="step",
        disable=None if progress and chief else True,  # None: off where there is no terminal
        desc=os.path.basename(os.path.normpath(output_dir)),
        smoothing=0.05,
    )
    try:
        with _StopSignals() as stop:
            several = distribution.workers(trainer.strategy) > 1
            last_saved = told = time.monotonic()
            pending: list[tuple[int, dict]] = []
            waited, since = 0.0, time.monotonic()
            for step in range(started, config.training.steps):
                before = time.monotonic()
                batch = next(batches)
                waited += time.monotonic() - before
                pending.append((step, trainer.step(batch)))
                bar.update()
                done = step + 1
                steps = config.training.checkpoint_steps
                due = bool(steps and done % steps == 0)
                told_now = due or step == started or done % config.training.log_steps == 0
                # Workers do the same at the same step: what only one of them knows, the time and
                # its signals, has to wait until they ask each other below.
                if told_now or not several:
                    minutes = (time.monotonic() - last_saved) / 60
                    due = due or minutes >= config.training.checkpoint_minutes
                last = done == config.training.steps or (stop.asked and not several)
                if not (told_now or due or last):
                    continue
                # Reading values waits for the device, so it is done only here.
                values = [(s, {k: float(v) for k, v in m.items()}) for s, m in pending]
                if step == started:
                    logging.info(
                        "first training step done %.1f s after the start of the program",
                        time.monotonic() - terminal.STARTED,
                    )
                elapsed = time.monotonic() - since
                rate = 2 * config.pipeline.batch_size * len(pending) / elapsed
                _check_finite(values, manager)
                log.add(values, rate, waited / elapsed)
                stopping = trainer.any_worker(stop.asked)
                last = last or stopping
                if bar.disable and (last or time.monotonic() - told > 60):
                    told = time.monotonic()
                    logging.info(
                        "step %d of %d: loss %.4f, %.0f patches/s, %.0f min left",
                        done,
                        config.training.steps,
                        values[-1][1]["loss"],
                        rate,
                        (config.training.steps - done) * 2 * config.pipeline.batch_size / rate / 60,
                    )
                bar.set_postfix_str(
                    f"loss {values[-1][1]['loss']:.4f}, {rate:.0f} patches/s", refresh=False
                )
                pending, waited, since = [], 0.0, time.monotonic()
                if chief and (last or due):
                    log.flush()
                    manager.save(done)
                    last_saved = since = time.monotonic()
                if stopping:
                    break
    except tf.errors.OpError as error:
        explained = _explained(error, trainer, source, manager)
        if explained is error:  # nothing is its own cause
            raise
        raise explained from error
    finally:
        # Its threads may call Python; were they still running when Python ends, it would never end.
        del batches
    bar.close()
    log.flush()
    bad_files = getattr(source, "bad_files", None)
    if chief and bad_files is not None and bad_files.entries:
        bad_files.write(storage.join(output_dir, BAD_FILES))
        logging.warning("%d bad files, listed in %s", len(bad_files.entries), BAD_FILES)
    if stopping and trainer.steps_done < config.training.steps:
        raise Interrupted(
            f"stopped at step {trainer.steps_done} of {config.training.steps}, checkpoint saved in "
            f"{checkpoint_dir}; the same command continues"
        )
    return log.rows


def _explained(error, trainer, source, manager) -> Exception:
    """What a user can do about an error inside the training step or the pipeline; or itself."""
    if isinstance(error, tf.errors.DataLossError) and (cause := source.damage()):
        return CorpusError(cause)
    first = str(error.message).strip().splitlines()[0][:300]
    if distribution.workers(trainer.strategy) > 1:
        kept = manager.latest_checkpoint or "none was written yet"
        return TrainingError(
            f"another worker is gone ({type(error).__name__}: {first}), so this one stops too; "
            f"start all workers again to go on from the last checkpoint ({kept})"
        )
    return error


def _check_finite(values, manager) -> None:
    bad = [step for step, scalars in values if not math.isfinite(scalars["loss"])]
    if bad:
        kept = manager.latest_checkpoint or "none was written yet"
        raise TrainingError(
            f"the loss is not finite from step {bad[0]} to {values[-1][0]}; the last good "
            f"checkpoint is kept: {kept}; try a lower --learning_rate or --precision=float32"
        )


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


class _StopSignals:
    """SIGINT and SIGTERM ask for a stop after the step; a second one ends the process at once."""

    def __enter__(self):
        self.asked = False
        self._earlier = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._earlier[number] = signal.signal(number, self._ask)
            except ValueError:  # not in the main thread: nobody sends us signals
                break
        return self

    def _ask(self, number, frame):
        del frame
        if self.asked:
            os._exit(128 + number)
        self.asked = True
        logging.warning("stopping after this step; once more to stop at once")

    def __exit__(self, *exception):
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
