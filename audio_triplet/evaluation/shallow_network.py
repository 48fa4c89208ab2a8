"""The paper's classifier: one hidden layer on frozen patch embeddings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from audio_triplet import storage

_WEIGHTS_FILE = "weights.npz"
_CONFIG_FILE = "classifier.json"
_ADAM_DECAY = (0.9, 0.999)
_ADAM_EPSILON = 1e-7


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """How a shallow classifier is trained; the defaults were chosen on ESC-50 folds 1-4 [D].

    A *round* is one pass over the patches, or `min_round_steps` steps where a pass is shorter,
    so that 20 labelled clips and 20,000 are both trained for long enough.

    Attributes:
      hidden_units: width of the hidden layer (paper: 512); 0 for none.
      loss: "sigmoid", one yes or no a class, for any labels (paper); "softmax" for exactly one
        class a segment.
      max_rounds: rounds at most.
      min_round_steps: steps a round has at least.
      fixed_rounds: rounds where there are too few recordings to hold any out.
      criterion: what the rounds are chosen by on the held-out recordings: "map"; or "loss", the
        cross-entropy of the segments' scores, which still tells classifiers apart where a handful
        of held-out segments has a perfect mAP from the first round on.
      patience: stop after this many rounds without a better value of it.
      validation_fraction: share of each class's recordings held out, in [0, 1); 0 trains for
        `fixed_rounds`.
      batch_size: patches a step, at most.
      learning_rate: of Adam.
      weight_decay: decoupled from the gradient, in units of the learning rate; kernels only.
      dropout: rate on the hidden layer while training.
      standardise: subtract the training patches' mean and divide by their deviation, by feature.
      seed: of the initial weights, batches, dropout, and the choice of held-out recordings.
    """

    hidden_units: int = 512
    loss: str = "sigmoid"
    max_rounds: int = 60
    min_round_steps: int = 20
    fixed_rounds: int = 15
    criterion: str = "map"
    patience: int = 8
    validation_fraction: float = 0.2
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    dropout: float = 0.5
    standardise: bool = True
    seed: int = 0

    def __post_init__(self):
        checks = {
            "hidden_units must be 0 or more": self.hidden_units >= 0,
            "loss must be 'sigmoid' or 'softmax'": self.loss in ("sigmoid", "softmax"),
            "criterion must be 'map' or 'loss'": self.criterion in ("map", "loss"),
            "validation_fraction must be in [0, 1)": 0 <= self.validation_fraction < 1,
            "dropout must be in [0, 1)": 0 <= self.dropout < 1,
            "learning_rate must be positive": self.learning_rate > 0,
            "weight_decay must be 0 or more": self.weight_decay >= 0,
        }
        for name in ("max_rounds", "min_round_steps", "fixed_rounds", "patience", "batch_size"):
            checks[f"{name} must be at least 1"] = getattr(self, name) >= 1
        for message, holds in checks.items():
            if not holds:
                raise ValueError(f"ClassifierConfig: {message}")


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained shallow classifier; predicts with NumPy alone.

    Attributes:
      config: how it was trained.
      mean: float32[dim], subtracted from every embedding.
      scale: float32[dim], divides it.
      weights: kernels and biases, float32, in order: [dim, hidden], [hidden], [hidden, classes],
        [classes], or only the last two with dim for hidden.
      rounds: rounds it was trained for.
      validation_map: mAP on held-out recordings after each round of the first fit; empty where
        nothing was held out.
    """

    config: ClassifierConfig
    mean: np.ndarray
    scale: np.ndarray
    weights: tuple[np.ndarray, ...]
    rounds: int
    validation_map: tuple[float, ...] = ()

    def predict_patches(self, patch_embeddings) -> np.ndarray:
        """float32[patches, classes] in [0, 1] from float[patches, dim].

        Raises:
          ValueError: for another dim, NaN or infinity.
        """
        embeddings = checked_embeddings(patch_embeddings)
        if embeddings.shape[1] != len(self.mean):
            raise ValueError(
                f"embeddings have {embeddings.shape[1]} dimensions, "
                f"the classifier was trained on {len(self.mean)}"
            )
        scores = np.empty((len(embeddings), len(self.weights[-1])), np.float32)
        for start in range(0, len(embeddings), 8192):  # a copy of a part at a time
            part = slice(start, start + 8192)
            hidden = (embeddings[part] - self.mean) / self.scale
            for kernel, bias in zip(self.weights[:-2:2], self.weights[1:-2:2], strict=True):
                hidden = np.maximum(hidden @ kernel + bias, 0)
            logits = hidden @ self.weights[-2] + self.weights[-1]
            scores[part] = softmax(logits) if self.config.loss == "softmax" else sigmoid(logits)
        return scores

    def predict_segments(self, patch_embeddings, patch_segment, num_segments: int) -> np.ndarray:
        """Mean of the patch scores of each segment (paper).

        Args:
          patch_embeddings: float[patches, dim].
          patch_segment: int[patches], which segment each belongs to; any order.
          num_segments: number of segments.

        Returns:
          float32[num_segments, classes].

        Raises:
          ValueError: as `predict_patches`, and for a segment without a patch.
        """
        scores = self.predict_patches(patch_embeddings)
        segment = checked_segments(patch_segment, len(scores), num_segments)
        return segment_means(scores, segment, num_segments)

    def save(self, directory) -> None:
        """Writes `weights.npz` and `classifier.json` into `directory`, made if need be."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        arrays = {f"weight_{i}": weight for i, weight in enumerate(self.weights)}
        storage.save_arrays(
            directory / _WEIGHTS_FILE, {"mean": self.mean, "scale": self.scale} | arrays
        )
        description = {
            "config": dataclasses.asdict(self.config),
            "rounds": self.rounds,
            "validation_map": self.validation_map,
        }
        storage.write_json(directory / _CONFIG_FILE, description)

    @classmethod
    def load(cls, directory) -> Classifier:
        """Reads what `save` wrote.

        Raises:
          ValueError: names the directory and what is missing or wrong in it.
        """
        directory = Path(directory)
        try:
            description = storage.read_json(directory / _CONFIG_FILE)
            with np.load(directory / _WEIGHTS_FILE, allow_pickle=False) as arrays:
                mean, scale = arrays["mean"], arrays["scale"]
                weights = tuple(arrays[f"weight_{i}"] for i in range(len(arrays.files) - 2))
            return cls(
                config=ClassifierConfig(**description["config"]),
                mean=mean,
                scale=scale,
                weights=weights,
                rounds=description["rounds"],
                validation_map=tuple(description["validation_map"]),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{directory}: not a saved classifier: {error}") from error


class Fit:
    """One classifier in training."""

    def __init__(self, embeddings, segment, labels, config: ClassifierConfig):
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
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
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
        while len(self._order) < steps * size:  # what is left of a pass begins the next round
            self._order = np.concatenate([self._order, self._rng.permutation(patches)])
        batches = self._order[: steps * size].reshape(steps, size)
        self._order = self._order[steps * size :]
        self._weights, self._moments, self._step = train(
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
        weights = tuple(weight.numpy() for weight in self._weights)
        return Classifier(self._config, self._mean, self._scale, weights, rounds=0)


@tf.function(reduce_retracing=True)
def train(
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

    A function of its arguments alone, so that it is traced once and not once a classifier.

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


def checked_embeddings(embeddings) -> np.ndarray:
    embeddings = np.asarray(embeddings, np.float32)
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise ValueError(f"embeddings must be float[patches, dim], got shape {embeddings.shape}")
    broken = ~np.isfinite(embeddings).all(axis=1)
    if broken.any():
        raise ValueError(
            f"embeddings of {broken.sum()} of {len(embeddings)} patches hold NaN or infinity, "
            f"the first is patch {np.flatnonzero(broken)[0]}"
        )
    return embeddings


def checked_segments(patch_segment, patches: int, segments: int) -> np.ndarray:
    """int64[patches], validated against both numbers."""
    segment = np.asarray(patch_segment)
    if segment.shape != (patches,) or not np.issubdtype(segment.dtype, np.integer):
        raise ValueError(
            f"patch_segment must be int[{patches}], one a patch; "
            f"got {segment.dtype}{list(segment.shape)}"
        )
    if segment.min() < 0 or segment.max() >= segments:
        raise ValueError(
            f"patch_segment holds {segment.min()} to {segment.max()}, "
            f"but there are {segments} segments"
        )
    empty = np.bincount(segment, minlength=segments) == 0
    if empty.any():
        raise ValueError(
            f"{empty.sum()} of {segments} segments have no patch, "
            f"the first is segment {np.flatnonzero(empty)[0]}"
        )
    return segment.astype(np.int64)


def segment_means(scores: np.ndarray, segment: np.ndarray, num_segments: int) -> np.ndarray:
    order = np.argsort(segment, kind="stable")
    sizes = np.bincount(segment, minlength=num_segments)
    sums = np.add.reduceat(scores[order], np.cumsum(sizes) - sizes, axis=0)
    return sums / sizes[:, None].astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return (0.5 + 0.5 * np.tanh(0.5 * logits)).astype(np.float32)  # does not overflow


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
