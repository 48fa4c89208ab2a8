"""What replicas and the processes that train together exchange.

With one replica and one process everything here returns its argument.
"""

from collections.abc import Callable

import tensorflow as tf

from audio_triplet import distribution
from audio_triplet.errors import TrainingError


class Replicas:
    """Sums and gathers over the replicas of a strategy."""

    def __init__(self, strategy: tf.distribute.Strategy, batch_size: int):
        """Args: the strategy, and the size of a global batch."""
        self._strategy = strategy
        self._batch_size = batch_size
        self.alone = strategy.num_replicas_in_sync == 1

    def gather(self, values: tf.Tensor) -> tf.Tensor:
        """Values of all replicas, in the order of the global batch; inside a replica's step."""
        if self.alone:
            return values
        if values.dtype == tf.bool:  # collectives take numbers only
            return self.gather(tf.cast(values, tf.int32)) > 0
        gathered = tf.distribute.get_replica_context().all_gather(placed(values), axis=0)
        # Mining tiles a static shape.
        return placed(tf.ensure_shape(gathered, [self._batch_size, *values.shape[1:]]))

    def own_part(self, values: tf.Tensor) -> tf.Tensor:
        """A replica's part of values of the global batch; inside its step."""
        context = tf.distribute.get_replica_context()
        count = self._batch_size // context.num_replicas_in_sync
        begin = context.replica_id_in_sync_group * count
        return tf.ensure_shape(values[begin : begin + count], [count, *values.shape[1:]])

    def sum(self, value: tf.Tensor) -> tf.Tensor:
        """Sum over replicas; inside a replica's step."""
        if self.alone:
            return value
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, placed(value))

    def any_worker(self, asks: bool) -> bool:
        """Whether any of the processes that train together asks; all get the same answer."""
        if distribution.workers(self._strategy) == 1:
            return asks
        return float(self._total(tf.constant(float(asks)))) > 0

    def check_agreed(self, step: int, output_dir: str) -> None:
        """Raises TrainingError unless all workers have restored the same step."""
        count = distribution.workers(self._strategy)
        if count > 1 and float(self._total(tf.constant(float(step)))) != (
            step * self._strategy.num_replicas_in_sync
        ):
            raise TrainingError(
                f"{output_dir}: the {count} workers do not find the same checkpoint there; it must "
                "be a folder that all of them share"
            )

    @tf.function(autograph=False)
    def _total(self, value: tf.Tensor) -> tf.Tensor:
        summed = self._strategy.run(self.sum, args=(value,))
        return self._strategy.experimental_local_results(summed)[0]


@tf.custom_gradient
def placed(value: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """The same value and gradient, each on the replica's device.

    With one device per worker, the collectives send where a tensor's device says, and reject one
    that says nothing, as tensors do that come out of another function or of a gradient.
    """
    return tf.identity(value), tf.identity
