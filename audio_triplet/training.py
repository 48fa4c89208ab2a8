"""Training an encoder on batches of triplets.

One step on every replica (`_replica_step`), one function that runs it on all of them (`step`), one
loop with checkpoints and logs (`run`). The step counter is the optimizer's, and batches are a
function of the step's number, so continuing a run needs nothing but the checkpoint.
"""

import array
import contextlib
import csv
import dataclasses
import io
import math
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from audio_triplet import (
    cli,
    distribution,
    features,
    locks,
    losses,
    mining,
    models,
    pieces,
    pipeline,
    storage,
)
from audio_triplet.cli import Interrupted
from audio_triplet.config import CONFIG_FILE, EXPLICIT, ConfigError, RunConfig, TrainingConfig
from audio_triplet.manifest import CorpusError

METRICS_FILE = "metrics.csv"
BAD_FILES = "bad_files.csv"
SCALARS = (
    "loss", "positive_distance", "negative_distance", "active", "embedding_variance", "valid",
    "learning_rate",
)
_COLUMNS = ("step", *SCALARS, "patches_per_second", "input_wait")

COLLAPSED_VARIANCE = 0.01
"""Unit vectors with less variance than this lie within 6 degrees of each other."""

COLLAPSED_STEPS = 50
"""Steps of that which are called a collapse."""


_SCALING_PATCHES = 512
"""Patches, about as many, from which `input_scaling` is estimated: fifty thousand frames."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message says where it stopped and what is kept."""


def learning_rate(config: TrainingConfig):
    """A Keras learning rate: a number, or a schedule over the optimizer's steps."""
    if config.schedule == "constant" and not config.warmup_steps:
        return config.learning_rate
    decay_steps = max(1, config.steps - config.warmup_steps)
    if config.schedule == "constant":  # rises, then stays
        return keras.optimizers.schedules.PolynomialDecay(
            0.0, config.warmup_steps, config.learning_rate
        )
    if not config.warmup_steps:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, decay_steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps, warmup_target=config.learning_rate, warmup_steps=config.warmup_steps
    )


class Trainer:
    """An encoder, its optimizer, and the step that trains it.

    Attributes:
      config: The run.
      strategy: Where it runs.
      encoder: The network.
      optimizer: Adam; its `iterations` is the step counter.
      precision: Keras dtype policy that was chosen.
    """

    def __init__(self, config: RunConfig, strategy: tf.distribute.Strategy | None = None):
        """Builds encoder and optimizer under the strategy."""
        self.config = config
        self.strategy = strategy or distribution.build_strategy()
        replicas = self.strategy.num_replicas_in_sync
        if config.pipeline.batch_size % replicas:
            raise ConfigError(
                f"batch_size={config.pipeline.batch_size} must be a multiple of the {replicas} "
                "replicas"
            )
        self.precision = distribution.choose_precision(config.training.precision, self.strategy)
        with self.strategy.scope():
            self.encoder = models.build(config.encoder, self.precision, config.training.seed)
            self.optimizer = keras.optimizers.Adam(learning_rate(config.training))
            self.optimizer.build(self.encoder.trainable_variables)
            self._memory = self._new_memory()

    def _new_memory(self) -> dict[str, tf.Variable]:
        """`embeddings` of earlier anchors, newest first, and their `recordings`, -1 if none.

        Every replica has all of it, and writes the same.
        """
        memory, dim = self.config.training.memory, self.config.encoder.embedding_size
        if not memory:
            return {}
        settings = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        return {
            "embeddings": tf.Variable(tf.zeros([memory, dim]), **settings),
            "recordings": tf.Variable(tf.fill([memory], tf.constant(-1, tf.int64)), **settings),
        }

    @property
    def steps_done(self) -> int:
        """Steps trained so far."""
        return int(self.optimizer.iterations.numpy())

    @tf.function
    def step(self, batch: dict) -> dict[str, tf.Tensor]:
        """One training step on all replicas.

        Args:
          batch: What `pipeline.triplet_batches` gives, distributed by the strategy.

        Returns:
          float32 scalars by name, see `SCALARS`.
        """
        per_replica = self.strategy.run(self._replica_step, args=(batch,))
        # Every replica has computed the means over the global batch already.
        return {
            name: self.strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in per_replica.items()
        }

    def _replica_step(self, batch: dict) -> dict[str, tf.Tensor]:
        config = self.config.training
        variables = self.encoder.trainable_variables
        with tf.GradientTape() as tape:
            patches = tf.concat([batch["anchor"], batch["positive"]], axis=0)
            # [2 * local batch, frames, mels]
            embeddings = self.encoder(features.log_mel(patches), training=True)
            anchor, positive = tf.split(embeddings, 2)  # each [local batch, dim]
            anchors = self._gather(anchor)  # [global batch, dim]
            allowed, certain = self._allowed(batch)
            candidates = self._with_memory(anchors)  # [global batch + memory, dim]
            if config.objective == "contrastive":
                values, negative, active = self._contrast(anchor, positive, candidates, allowed)
            else:
                values, negative, active = self._mine(batch, anchor, positive, candidates, allowed)
            # The sum over the global batch's triplets, by their number: replicas' gradients add.
            mask = tf.cast(certain, tf.float32)
            count = tf.maximum(1.0, self._sum(tf.reduce_sum(mask)))
            local_loss = tf.reduce_sum(mask * values) / count
        gradients = [_placed(gradient) for gradient in tape.gradient(local_loss, variables)]
        rate = tf.identity(self.optimizer.learning_rate)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self._remember(batch, anchors)

        def mean(values):
            return self._sum(tf.reduce_sum(mask * values)) / count

        centre = tf.reduce_mean(anchors, axis=0)
        return {
            "loss": mean(values),
            "positive_distance": mean(tf.reduce_sum((anchor - positive) ** 2, axis=1)),
            "negative_distance": mean(tf.reduce_sum((anchor - negative) ** 2, axis=1)),
            "active": mean(tf.cast(active, tf.float32)),
            "embedding_variance": tf.reduce_mean(tf.reduce_sum((anchors - centre) ** 2, axis=1)),
            "valid": count / self.config.pipeline.batch_size,
            "learning_rate": tf.cast(rate, tf.float32),
        }

    def _mine(self, batch, anchor, positive, candidates, allowed):
        """The triplet loss with mined negatives.

        Returns:
          float32[local batch] losses, float32[local batch, dim] negatives, and bool[local batch],
          whether the negative is not yet farther than the positive by the margin.
        """
        config = self.config.training
        if config.mining == "semi_hard":
            mined = mining.semi_hard_negatives(anchor, positive, candidates, allowed)
        elif config.mining == "hardest":
            mined = mining.hardest_negatives(anchor, candidates, allowed)
        else:
            seed = tf.stack([config.seed, tf.cast(self.optimizer.iterations, tf.int32)])
            mined = mining.random_negatives(allowed, seed)
        index = tf.where(batch["negative"] >= 0, batch["negative"], mined)
        negative = self._take(candidates, index)
        hinge = losses.triplet_loss(anchor, positive, negative, config.margin)
        return hinge, negative, hinge > 0

    def _contrast(self, anchor, positive, candidates, allowed):
        """The contrastive loss, anchors and positives being queries and keys alike.

        Returns:
          float32[local batch] losses, float32[local batch, dim] the nearest negatives among the
          candidates, and bool[local batch], whether such a one is nearer than the positive.
        """
        positives = self._gather(positive)
        keys = tf.concat([candidates, positives], axis=0)  # [2 * global batch + memory, dim]
        both = tf.concat([allowed, allowed[:, : tf.shape(positives)[0]]], axis=1)
        temperature = self.config.training.temperature
        forth = losses.contrastive_loss(anchor, positive, keys, both, temperature)
        back = losses.contrastive_loss(positive, anchor, keys, both, temperature)
        nearest = mining.hardest_negatives(anchor, candidates, allowed)
        negative = tf.gather(tf.stop_gradient(candidates), nearest)
        near, far = (tf.reduce_sum(anchor * other, axis=1) for other in (positive, negative))
        return 0.5 * (forth + back), negative, far > near

    def _allowed(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor]:
        """Which candidates may be whose negative, and which triplets count.

        Returns:
          bool[local batch, global batch + memory] and bool[local batch].
        """
        recording, drawn = self._gather(batch["recording"]), self._gather(batch["drawn"])
        allowed = (batch["recording"][:, None] != recording[None, :]) & drawn[None, :]
        if self.config.triplets.constraints == EXPLICIT:
            labels = self._gather(batch["labels"])  # [global batch, classes]
            has_label = tf.transpose(tf.gather(labels, batch["label"], axis=1))
            allowed &= ~has_label
        if self._memory:
            remembered = self._memory["recordings"][None, :]
            others = (batch["recording"][:, None] != remembered) & (remembered >= 0)
            allowed = tf.concat([allowed, others], axis=1)
        certain = batch["valid"] & ((batch["negative"] >= 0) | tf.reduce_any(allowed, axis=1))
        return allowed, certain

    def _with_memory(self, anchors: tf.Tensor) -> tf.Tensor:
        """Anchors of the global batch, and behind them those that are remembered."""
        if not self._memory:
            return anchors
        return tf.concat([anchors, self._memory["embeddings"]], axis=0)

    def _remember(self, batch: dict, anchors: tf.Tensor) -> None:
        """Puts the global batch's anchors into the memory; the oldest go."""
        if not self._memory:
            return
        drawn, recordings = self._gather(batch["drawn"]), self._gather(batch["recording"])
        recordings = tf.where(drawn, recordings, -1)
        for name, newest in (("embeddings", anchors), ("recordings", recordings)):
            kept = tf.concat([newest, self._memory[name]], axis=0)
            self._memory[name].assign(kept[: self.config.training.memory])

    def _gather(self, values: tf.Tensor) -> tf.Tensor:
        """Values of all replicas, in the order of the global batch."""
        if self.strategy.num_replicas_in_sync == 1:
            return values
        if values.dtype == tf.bool:  # collectives take numbers only
            return self._gather(tf.cast(values, tf.int32)) > 0
        gathered = tf.distribute.get_replica_context().all_gather(_placed(values), axis=0)
        batch = self.config.pipeline.batch_size
        # Mining tiles a static shape.
        return _placed(tf.ensure_shape(gathered, [batch, *values.shape[1:]]))

    def _take(self, candidates: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """The candidates at the given places."""
        if self.strategy.num_replicas_in_sync == 1 and not self._memory:
            return tf.gather(candidates, index)
        # As a product: a gather's sparse gradient does not pass through the collective, and through
        # the memory's concatenation only by an op of unknown shape, which a TPU has not.
        chosen = tf.one_hot(index, tf.shape(candidates)[0], dtype=candidates.dtype)
        return tf.linalg.matmul(chosen, candidates)

    def _sum(self, value: tf.Tensor) -> tf.Tensor:
        """Sum over replicas."""
        if self.strategy.num_replicas_in_sync == 1:
            return value
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, _placed(value))

    def distribute(self, batches: tf.data.Dataset) -> tf.distribute.DistributedDataset:
        """Batches dealt out to the replicas; each worker makes them all and takes its part."""
        options = tf.data.Options()
        # By files, TensorFlow's choice, would give every worker a corpus of its own.
        policy = tf.data.experimental.AutoShardPolicy.DATA
        options.experimental_distribute.auto_shard_policy = policy
        # Its model of the pipeline runs in a thread that was seen to hold up the end of a run, or
        # a stop, for 5 to 110 s; every core has work without it.
        options.autotune.enabled = False
        return self.strategy.experimental_distribute_dataset(batches.with_options(options))

    def any_worker(self, asks: bool) -> bool:
        """Whether any of the processes that train together asks; all get the same answer."""
        if distribution.workers(self.strategy) == 1:
            return asks
        return float(self._total(tf.constant(float(asks)))) > 0

    def check_agreed(self, step: int, output_dir: str) -> None:
        """Raises TrainingError unless all workers have restored the same step."""
        count = distribution.workers(self.strategy)
        if count > 1 and float(self._total(tf.constant(float(step)))) != (
            step * self.strategy.num_replicas_in_sync
        ):
            raise TrainingError(
                f"{output_dir}: the {count} workers do not find the same checkpoint there; it must "
                "be a folder that all of them share"
            )

    @tf.function
    def _total(self, value: tf.Tensor) -> tf.Tensor:
        summed = self.strategy.run(self._sum, args=(value,))
        return self.strategy.experimental_local_results(summed)[0]

    def checkpoint(self) -> tf.train.Checkpoint:
        """All that a run needs to go on."""
        return tf.train.Checkpoint(encoder=self.encoder, optimizer=self.optimizer, **self._memory)


@tf.custom_gradient
def _placed(value: tf.Tensor):
    """The same value and gradient, each on the replica's device.

    With one device a worker, the collectives send where a tensor's device says, and refuse one
    that says nothing, as tensors do that come out of another function or of a gradient.
    """
    return tf.identity(value), tf.identity


def run(
    trainer: Trainer,
    source: pieces.PieceSource,
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
        _tidy_checkpoints(checkpoint_dir)
    trainer.any_worker(False)  # the others read the folder when the chief is done with it
    manager = tf.train.CheckpointManager(
        trainer.checkpoint(), checkpoint_dir, max_to_keep=_KEPT_CHECKPOINTS
    )
    restore(trainer, manager)
    logged = len(read_metrics(output_dir)) if chief else 0
    if logged and not trainer.steps_done:
        logging.warning(
            "%s: %s tells of %d steps, but no checkpoint is there: begins again", output_dir,
            METRICS_FILE, logged,
        )
    started = trainer.steps_done
    trainer.check_agreed(started, output_dir)
    log = _Log(output_dir, started, chief)
    if started >= config.training.steps:
        return log.rows

    if started == 0 and config.encoder.input_scaling:
        here = pipeline.triplet_batches(source, config.triplets, config.pipeline)
        patches = [batch["anchor"] for batch in here.take(-(-_SCALING_PATCHES // batch_size))]
        models.scale_input(trainer.encoder, features.log_mel(tf.concat(patches, axis=0)))
    dataset = pipeline.triplet_batches(source, config.triplets, config.pipeline, started, service)
    batches = iter(trainer.distribute(dataset))
    bar = tqdm(
        total=config.training.steps, initial=started, unit="step",
        disable=None if progress and chief else True,  # None: off where there is no terminal
        desc=os.path.basename(os.path.normpath(output_dir)), smoothing=0.05,
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
                        time.monotonic() - cli.STARTED,
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
                        "step %d of %d: loss %.4f, %.0f patches/s, %.0f min left", done,
                        config.training.steps, values[-1][1]["loss"], rate,
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


_KEPT_CHECKPOINTS = 2


def _tidy_checkpoints(folder: str) -> None:
    """Makes TensorFlow's list of checkpoints what is there, and removes what no list names.

    A checkpoint is whole when its index is there, which is written last. A run killed between
    that, the list, and the removal of an older checkpoint leaves one too many, or a part of one;
    and a lost list must not make a run begin again beside good checkpoints.
    """
    locks.clear_leftovers(folder)
    files = tf.io.gfile.listdir(folder) if tf.io.gfile.exists(folder) else []
    numbers = {name: re.fullmatch(r"ckpt-(\d+)\.(?:index|data-.*)", name) for name in files}
    whole = sorted({int(n[1]) for name, n in numbers.items() if n and name.endswith(".index")})
    kept = whole[-_KEPT_CHECKPOINTS:]
    if kept:
        paths = [storage.join(folder, f"ckpt-{number}") for number in kept]
        state = tf.train.get_checkpoint_state(folder)
        if state is None or list(state.all_model_checkpoint_paths) != paths:
            lines = [f'model_checkpoint_path: "ckpt-{kept[-1]}"']
            lines += [f'all_model_checkpoint_paths: "ckpt-{number}"' for number in kept]
            # The manager passes over what is not later than the last one it preserves for ever.
            lines += [f"all_model_checkpoint_timestamps: {2 + n}.0" for n in range(len(kept))]
            lines += ["last_preserved_timestamp: 1.0"]
            storage.write_whole(storage.join(folder, "checkpoint"), "\n".join(lines) + "\n")
    for name, number in numbers.items():
        if number and int(number[1]) not in kept:
            tf.io.gfile.remove(storage.join(folder, name))


def restore(trainer: Trainer, manager: tf.train.CheckpointManager) -> None:
    """Restores the newest checkpoint that can be read, if there is any.

    Raises:
      TrainingError: There are checkpoints, and none can be read.
    """
    checkpoints = list(reversed(manager.checkpoints))
    for path in checkpoints:
        try:
            manager.checkpoint.restore(path).assert_existing_objects_matched()
        except Exception as error:  # TensorFlow tells a damaged file by many types
            logging.warning("checkpoint %s cannot be read: %s", path, str(error).split("\n")[0])
            continue
        logging.info("continuing at step %d from %s", trainer.steps_done, path)
        return
    if checkpoints:
        raise TrainingError(
            f"{manager.directory}: no checkpoint can be read; --noresume starts the run again"
        )


def load_encoder(output_dir: str, precision: str = "float32") -> keras.Model:
    """The encoder of a run, from its configuration and newest checkpoint.

    Raises:
      ConfigError: There is no run.
      TrainingError: There is no checkpoint that can be read.
    """
    config = RunConfig.read(output_dir)
    training = dataclasses.replace(config.training, precision=precision)
    config = dataclasses.replace(config, training=training)
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    manager = tf.train.CheckpointManager(
        trainer.checkpoint(), storage.join(output_dir, "checkpoints"), max_to_keep=None
    )
    if not manager.checkpoints:
        raise TrainingError(f"{output_dir}: has no checkpoint yet")
    restore(trainer, manager)
    return trainer.encoder


def read_metrics(output_dir: str) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv, oldest first; empty if there are none."""
    path = storage.join(output_dir, METRICS_FILE)
    if not storage.exists(path):
        return []
    # A kill, or a full disk, may have cut the last row short.
    text = storage.read_text(path)
    rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    return [{name: float(row[name]) for name in _COLUMNS} for row in rows]


class _Log:
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
            if chief else tf.summary.create_noop_writer()
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
        row = {}
        for step, scalars in values:
            row = {"step": step, **scalars, "patches_per_second": rate, "input_wait": input_wait}
            self._numbers.extend(row[name] for name in _COLUMNS)
            self._watch(step, scalars["embedding_variance"])
        # As arrays: TensorFlow keeps a tensor for every Python number that it ever met.
        with self._writer.as_default(step=np.asarray(row["step"], np.int64)):
            for name in _COLUMNS[1:]:
                tf.summary.scalar(name, np.asarray(row[name], np.float32))

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
                "warm-up, or batch normalisation", step, COLLAPSED_STEPS, variance,
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
            storage.write_whole(self._path, text.getvalue())
        self._written = len(self._numbers) // len(_COLUMNS)
        self._writer.flush()


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

