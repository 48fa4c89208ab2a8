"""Training the shallow classifier: rounds of AdamW.

Training is a pure function of tensors that TensorFlow traces once, because Table 2 fits hundreds
of small classifiers: rebuilding and compiling a model each time would cost more than fitting it.
"""

from __future__ import annotations

import itertools

import numpy as np
import tensorflow as tf

from audio_triplet.evaluation.shallow_network import Classifier, ClassifierConfig

_ADAM_DECAY = (0.9, 0.999)
_ADAM_EPSILON = 1e-7


class Fit:
    """One classifier in training, see `classification.fit_classifier`."""

    def __init__(
        self,
        embeddings: np.ndarray,
        segment: np.ndarray,
        labels: np.ndarray,
        config: ClassifierConfig,
    ):
        """Draws the initial weights.

        Args:
          embeddings: float32[patches, dim].
          segment: int64[patches], the segment each patch is of.
          labels: bool[segments, classes].
          config: how to train; its rounds are the caller's to count.
        """
        self._config = config
        dim, classes = embeddings.shape[1], labels.shape[1]
        self._mean = np.zeros(dim, np.float32)
        self._scale = np.ones(dim, np.float32)
        if config.standardise:
            self._mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
            deviation = embeddings.std(axis=0, dtype=np.float64).astype(np.float32)
            # A feature that never changes says nothing: leave it at 0 rather than blow it up.
            constant = deviation <= 1e-6 * np.maximum(1e-6, np.abs(self._mean))
            self._scale = np.where(constant, np.float32(1), deviation)
        self._inputs = tf.constant((embeddings - self._mean) / self._scale)
        self._segment = tf.constant(segment, tf.int32)
        self._labels = tf.constant(labels, tf.float32)
        self._rng = np.random.default_rng([config.seed, 0])
        # Starting at the class frequencies spares the sigmoids their first hundred steps.
        bias = np.zeros(classes)
        if config.loss == "sigmoid":
            frequency = (labels[segment].sum(axis=0) + 0.5) / (len(segment) + 1)
            bias = np.log(frequency / (1 - frequency))
        sizes = [dim, *([config.hidden_units] if config.hidden_units else []), classes]
        self._weights = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            limit = np.sqrt(6 / (fan_in + fan_out))  # Glorot
            kernel = self._rng.uniform(-limit, limit, (fan_in, fan_out))
            self._weights += [tf.constant(kernel, tf.float32), tf.zeros([fan_out])]
        self._weights[-1] = tf.constant(bias, tf.float32)
        zeros = [tf.zeros_like(weight) for weight in self._weights]
        self._moments = (zeros, zeros)
        self._step = tf.constant(0)
        self._order = np.empty(0, np.int64)

    def train_round(self) -> None:
        """One round: a pass over the patches, or `min_round_steps` steps if that is more."""
        config, patches = self._config, len(self._segment)
        size = min(config.batch_size, patches)
        steps = max(patches // size, config.min_round_steps)
        while len(self._order) < steps * size:  # the rest of a pass begins the next round
            self._order = np.concatenate([self._order, self._rng.permutation(patches)])
        batches = self._order[: steps * size].reshape(steps, size)
        self._order = self._order[steps * size :]
        self._weights, self._moments, self._step = _train(
            self._weights,
            self._moments,
            self._step,
            self._inputs,
            self._segment,
            self._labels,
            tf.constant(batches, tf.int32),
            tf.constant(config.learning_rate, tf.float32),
            tf.constant(config.weight_decay, tf.float32),
            tf.constant(config.seed),
            dropout=config.dropout,
            softmax=config.loss == "softmax",
        )

    def classifier(self) -> Classifier:
        """The classifier as it is now; `rounds` is left at 0."""
        weights = tuple(weight.numpy() for weight in self._weights)
        return Classifier(self._config, self._mean, self._scale, weights, rounds=0)


@tf.function(reduce_retracing=True)
def _train(
    weights,
    moments,
    step,
    inputs,
    segment,
    labels,
    batches,
    learning_rate,
    weight_decay,
    seed,
    dropout: float,
    softmax: bool,
):
    """Runs AdamW over `batches`, int32[steps, size] of patch numbers.

    A function of its arguments alone, so that it is traced once and not once per classifier.

    Returns:
      The new weights, moments and step.
    """
    first, second = moments
    for batch in batches:
        patches = tf.gather(inputs, batch)  # [size, dim]
        targets = tf.gather(labels, tf.gather(segment, batch))  # [size, classes]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            hidden = patches
            if len(weights) == 4:
                hidden = tf.nn.relu(hidden @ weights[0] + weights[1])
                if dropout:
                    drawn = tf.random.stateless_uniform(tf.shape(hidden), [seed, step])
                    hidden = tf.where(drawn < dropout, 0.0, hidden / (1 - dropout))
            logits = hidden @ weights[-2] + weights[-1]
            if softmax:
                losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            else:
                losses = tf.reduce_sum(
                    tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=-1
                )
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, weights)
        step += 1
        time = tf.cast(step, tf.float32)
        rate = learning_rate * tf.sqrt(1 - _ADAM_DECAY[1] ** time) / (1 - _ADAM_DECAY[0] ** time)
        first = [
            _ADAM_DECAY[0] * m + (1 - _ADAM_DECAY[0]) * g
            for m, g in zip(first, gradients, strict=True)
        ]
        second = [
            _ADAM_DECAY[1] * v + (1 - _ADAM_DECAY[1]) * g * g
            for v, g in zip(second, gradients, strict=True)
        ]
        updated = []
        for i, (weight, m, v) in enumerate(zip(weights, first, second, strict=True)):
            decay = learning_rate * weight_decay if i % 2 == 0 else 0.0
            updated.append(weight - decay * weight - rate * m / (tf.sqrt(v) + _ADAM_EPSILON))
        weights = updated
    return weights, (first, second), step
