"""An encoder, its optimizer, and the step that trains it, on any number of replicas."""

import keras
import tensorflow as tf

from audio_triplet import distribution, features, losses, mining, models
from audio_triplet.config import EXPLICIT, RunConfig, TrainingConfig
from audio_triplet.errors import ConfigError, TrainingError

SCALARS = (
    "loss",
    "positive_distance",
    "negative_distance",
    "active",
    "embedding_variance",
    "valid",
    "learning_rate",
)


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
          batch: What `batching.triplet_batches` gives, distributed by the strategy.

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
