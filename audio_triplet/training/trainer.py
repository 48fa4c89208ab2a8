"""An encoder, its optimizer, and the step that trains it, on any number of replicas."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from audio_triplet import constraints, distribution, features, losses, mining, models, triplets
from audio_triplet.config import EXPLICIT, RunConfig, TrainingConfig
from audio_triplet.data.resident import ResidentFeed
from audio_triplet.errors import ConfigError
from audio_triplet.training.memory import AnchorMemory
from audio_triplet.training.replicas import Replicas, placed

# Of every step, in metrics.csv.
SCALARS = (
    "loss",
    "positive_distance",
    "negative_distance",
    "active",
    "embedding_variance",
    "valid",
    "learning_rate",
)

# The device of a strategy of one replica on the processor.
_PROCESSOR = "/job:localhost/replica:0/task:0/device:CPU:0"


def learning_rate(
    config: TrainingConfig,
) -> float | keras.optimizers.schedules.LearningRateSchedule:
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
      replicas: What is exchanged between replicas.
      encoder: The network.
      optimizer: Adam; its `iterations` is the step counter.
      precision: Keras dtype policy that was chosen.
    """

    def __init__(
        self,
        config: RunConfig,
        strategy: tf.distribute.Strategy | None = None,
        for_other_hardware: bool = False,
    ):
        """Builds encoder and optimizer under the strategy.

        Args:
          config: The run.
          strategy: Where it runs.
          for_other_hardware: The step will be compiled for another device than the strategy's: it
            has nothing that is quicker on this machine alone.
        """
        self.config = config
        self.strategy = strategy or distribution.build_strategy()
        replicas = self.strategy.num_replicas_in_sync
        batch_size, training = config.pipeline.batch_size, config.training
        if batch_size % replicas:
            raise ConfigError(
                f"batch_size={batch_size} must be a multiple of the {replicas} replicas"
            )
        self.replicas = Replicas(self.strategy, batch_size)
        self.precision = distribution.choose_precision(training.precision, self.strategy)
        with self.strategy.scope():
            self.encoder = models.build(
                config.encoder,
                self.precision,
                training.seed,
                forward_gradients=not for_other_hardware
                and distribution.forward_gradients_are_faster(self.strategy, self.precision),
            )
            models.freeze(self.encoder, training.frozen_layers)
            self.optimizer = keras.optimizers.Adam(learning_rate(training))
            self.optimizer.build(self.encoder.trainable_variables)
            self._memory = AnchorMemory(training.memory, config.encoder.embedding_size)
        # Constraints of a batch, by their ids; one alone needs no loss of its own.
        ids = np.unique(triplets.pattern(config.triplets, batch_size))
        self._mixed = ids if len(ids) > 1 else ids[:0]

    @property
    def memory_variables(self) -> dict[str, tf.Variable]:
        """Embeddings of earlier anchors, see `AnchorMemory`; nothing without a memory."""
        return self._memory.variables

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of what `step` returns."""
        names = (constraints.names()[number] for number in self._mixed)
        return (*SCALARS, *(f"loss/{name}" for name in names))

    @property
    def steps_done(self) -> int:
        """Steps trained so far."""
        return int(self.optimizer.iterations.numpy())

    @tf.function(autograph=False)  # converting the source took four seconds of every start
    def step(self, batch: dict) -> dict[str, tf.Tensor]:
        """One training step on all replicas.

        Args:
          batch: What `batching.triplet_batches` gives, distributed by the strategy.

        Returns:
          float32 scalars by name: `SCALARS`, and where a batch has several constraints the loss
          of each, `loss/CONSTRAINT`.
        """
        per_replica = self.strategy.run(self.replica_step, args=(batch,))
        # Every replica has computed the means over the global batch already.
        return {
            name: self.strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in per_replica.items()
        }

    def resident_steps(self, feed: ResidentFeed) -> Callable[[dict], dict[str, tf.Tensor]]:
        """Steps on batches that the devices make themselves, many in a call.

        Args:
          feed: The corpus in the devices' memory.

        Returns:
          A function of `ResidentFeed.visits` of n steps, stacked, that trains them and returns
          what `step` does, float32[n] each.
        """

        def one(visit):
            per_replica = self.strategy.run(self._resident_replica_step, args=(feed, visit))
            means = (
                self.strategy.reduce(tf.distribute.ReduceOp.MEAN, per_replica[name], axis=None)
                for name in self.scalars
            )
            return tf.stack(list(means))

        @tf.function(autograph=False, reduce_retracing=True)
        def steps(visits):
            count = tf.shape(visits["step"])[0]
            values = tf.TensorArray(tf.float32, count, element_shape=[len(self.scalars)])

            def body(number, values):
                visit = {name: tensor[number] for name, tensor in visits.items()}
                return number + 1, values.write(number, one(visit))

            _, values = tf.while_loop(
                lambda number, values: number < count, body, (0, values), parallel_iterations=1
            )
            return dict(zip(self.scalars, tf.unstack(values.stack(), axis=1), strict=True))

        return steps

    def _resident_replica_step(self, feed: ResidentFeed, visit: dict) -> dict[str, tf.Tensor]:
        """A step whose batch is made here; of several replicas each takes its part of it."""
        batch = feed.batch(visit)
        if not self.replicas.alone:
            batch = {name: self.replicas.own_part(value) for name, value in batch.items()}
        return self.replica_step(batch)

    def replica_step(self, batch: dict) -> dict[str, tf.Tensor]:
        """A replica's step on its part of a batch."""
        config, replicas = self.config.training, self.replicas
        variables = self.encoder.trainable_variables
        with tf.GradientTape() as tape:
            patches = tf.concat([batch["anchor"], batch["positive"]], axis=0)
            # [2 * local batch, frames, mels]
            embeddings = self.encoder(features.log_mel(patches), training=True)
            anchor, positive = tf.split(embeddings, 2)  # each [local batch, dim]
            anchors = replicas.gather(anchor)  # [global batch, dim]
            allowed, certain = self._allowed(batch)
            candidates = self._memory.extend(anchors)  # [global batch + memory, dim]
            if config.objective == "contrastive":
                values, negative, active = self._contrast(anchor, positive, candidates, allowed)
            else:
                values, negative, active = self._mine(batch, anchor, positive, candidates, allowed)
            # The sum over the global batch's triplets, by their number: replicas' gradients add.
            mask = tf.cast(certain, tf.float32)
            count = tf.maximum(1.0, replicas.sum(tf.reduce_sum(mask)))
            local_loss = tf.reduce_sum(mask * values) / count
        gradients = [placed(gradient) for gradient in tape.gradient(local_loss, variables)]
        rate = tf.identity(self.optimizer.learning_rate)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if self._memory.size:
            self._memory.push(
                anchors, replicas.gather(batch["recording"]), replicas.gather(batch["drawn"])
            )

        def mean(values):
            return replicas.sum(tf.reduce_sum(mask * values)) / count

        centre = tf.reduce_mean(anchors, axis=0)
        return {
            "loss": mean(values),
            "positive_distance": mean(tf.reduce_sum((anchor - positive) ** 2, axis=1)),
            "negative_distance": mean(tf.reduce_sum((anchor - negative) ** 2, axis=1)),
            "active": mean(tf.cast(active, tf.float32)),
            "embedding_variance": tf.reduce_mean(tf.reduce_sum((anchors - centre) ** 2, axis=1)),
            "valid": count / self.config.pipeline.batch_size,
            "learning_rate": tf.cast(rate, tf.float32),
            **self._loss_of_each(batch, mask, values),
        }

    def _loss_of_each(self, batch, mask, values) -> dict[str, tf.Tensor]:
        """Mean loss of each constraint of a batch that has several: `loss/CONSTRAINT`."""
        if not len(self._mixed):
            return {}
        belongs = batch["constraint"][:, None] == self._mixed[None, :]
        weights = mask[:, None] * tf.cast(belongs, tf.float32)  # [local batch, constraints]
        sums = self.replicas.sum(tf.reduce_sum(weights * values[:, None], axis=0))
        counts = self.replicas.sum(tf.reduce_sum(weights, axis=0))
        means = tf.unstack(tf.math.divide_no_nan(sums, counts))
        names = [constraints.names()[number] for number in self._mixed]
        return {f"loss/{name}": mean for name, mean in zip(names, means, strict=True)}

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
        positives = self.replicas.gather(positive)
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
        """Which candidates may be negatives of which anchor, and which triplets count.

        Returns:
          bool[local batch, global batch + memory] and bool[local batch].
        """
        gather = self.replicas.gather
        recording, drawn = gather(batch["recording"]), gather(batch["drawn"])
        allowed = (batch["recording"][:, None] != recording[None, :]) & drawn[None, :]
        if self.config.triplets.constraints == EXPLICIT:
            labels = gather(batch["labels"])  # [global batch, classes]
            has_label = tf.transpose(tf.gather(labels, batch["label"], axis=1))
            allowed &= ~has_label
        allowed = self._memory.extend_allowed(allowed, batch["recording"])
        certain = batch["valid"] & ((batch["negative"] >= 0) | tf.reduce_any(allowed, axis=1))
        return allowed, certain

    def _take(self, candidates: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """The candidates of the given indices."""
        if self.replicas.alone and not self._memory.size:
            return tf.gather(candidates, index)
        # As a product: a gather's sparse gradient does not pass through the collective, and through
        # the memory's concatenation only by an op of unknown shape, which a TPU does not have.
        chosen = tf.one_hot(index, tf.shape(candidates)[0], dtype=candidates.dtype)
        return tf.linalg.matmul(chosen, candidates)

    def distribute(
        self, batches: tf.data.Dataset
    ) -> tf.data.Dataset | tf.distribute.DistributedDataset:
        """Batches distributed to the replicas; each worker makes them all and takes its part."""
        options = tf.data.Options()
        # By files, TensorFlow's choice, would give every worker a corpus of its own.
        policy = tf.data.experimental.AutoShardPolicy.DATA
        options.experimental_distribute.auto_shard_policy = policy
        # Its model of the pipeline runs in a thread that was seen to hold up the end of a run, or
        # a stop, for 5 to 110 s; every core has work without it.
        options.autotune.enabled = False
        batches = batches.with_options(options)
        if self.strategy.extended.worker_devices == (_PROCESSOR,):
            # They are where they are needed. The iterator for devices would have its end, and that
            # of the run, wait half a second for a thread of its own.
            return batches
        return self.strategy.experimental_distribute_dataset(batches)

    def checkpoint(self) -> tf.train.Checkpoint:
        """Everything that a run needs to continue."""
        return tf.train.Checkpoint(
            encoder=self.encoder, optimizer=self.optimizer, **self._memory.variables
        )
