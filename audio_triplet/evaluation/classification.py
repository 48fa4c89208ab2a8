"""The shallow classifier on frozen embeddings (paper, Table 1 right, and Table 2).

One hidden layer of 512 units (or none: logistic regression) maps a patch embedding to class
scores; a segment's score is the mean over its patches. Training goes patch by patch, with the
segment's labels. How long to train is chosen on recordings held out of the training set, then
all of it is used for that long [D]; nothing is fitted on what is predicted later.

Training is a pure function of tensors that TensorFlow traces once, because Table 2 fits hundreds
of small classifiers: rebuilding and compiling a model each time would cost more than fitting it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from audio_triplet import storage
from audio_triplet.evaluation import metrics

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
        embeddings = _checked_embeddings(patch_embeddings)
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
            scores[part] = _softmax(logits) if self.config.loss == "softmax" else _sigmoid(logits)
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
        segment = _checked_segments(patch_segment, len(scores), num_segments)
        return _segment_means(scores, segment, num_segments)

    def save(self, directory) -> None:
        """Writes `weights.npz` and `classifier.json` into `directory`, made if need be."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        arrays = {f"weight_{i}": weight for i, weight in enumerate(self.weights)}
        storage.save_arrays(
            str(directory / _WEIGHTS_FILE), {"mean": self.mean, "scale": self.scale} | arrays
        )
        description = {
            "config": dataclasses.asdict(self.config),
            "rounds": self.rounds,
            "validation_map": self.validation_map,
        }
        (directory / _CONFIG_FILE).write_text(json.dumps(description, indent=2) + "\n")

    @classmethod
    def load(cls, directory) -> Classifier:
        """Reads what `save` wrote.

        Raises:
          ValueError: names the directory and what is missing or wrong in it.
        """
        directory = Path(directory)
        try:
            description = json.loads((directory / _CONFIG_FILE).read_text())
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


@dataclasses.dataclass(frozen=True)
class ClassificationResult:
    """Scores of a classifier on segments; NaN marks a class that could not be scored.

    Attributes:
      mean: mAP over the classes with a positive segment.
      per_class: float64[classes], average precision.
      accuracy: share of segments whose highest score is their class; None unless every segment
        has exactly one.
      roc_auc: mean over classes.
      roc_auc_per_class: float64[classes].
      d_prime: of the mean ROC AUC, as AudioSet's scores are usually given.
    """

    mean: float
    per_class: np.ndarray
    accuracy: float | None
    roc_auc: float
    roc_auc_per_class: np.ndarray
    d_prime: float

    @property
    def left_out(self) -> np.ndarray:
        """int64[...], the classes without a positive segment, which `mean` leaves out."""
        return np.flatnonzero(np.isnan(self.per_class))


def evaluate_classifier(scores, labels) -> ClassificationResult:
    """Scores the scores.

    Args:
      scores: float[segments, classes].
      labels: bool[segments, classes] (or 0/1).

    Returns:
      A `ClassificationResult`.

    Raises:
      ValueError: on differing shapes, NaN scores, or labels other than 0/1.
    """
    labels, scores = metrics.as_labels(labels), np.asarray(scores)
    per_class = metrics.average_precision_per_class(labels, scores)
    auc_per_class = metrics.roc_auc_per_class(labels, scores)
    auc = metrics.mean_over_classes(auc_per_class)
    accuracy = None
    if len(labels) and (labels.sum(axis=1) == 1).all():
        accuracy = float(np.mean(scores.argmax(axis=1) == labels.argmax(axis=1)))
    return ClassificationResult(
        mean=metrics.mean_over_classes(per_class),
        per_class=per_class,
        accuracy=accuracy,
        roc_auc=auc,
        roc_auc_per_class=auc_per_class,
        d_prime=metrics.d_prime(auc),
    )


def fit_classifier(
    patch_embeddings,
    patch_segment,
    segment_labels,
    segment_groups: Sequence[Hashable] | None = None,
    config: ClassifierConfig | None = None,
    weight_decays: Sequence[float] = (),
) -> Classifier:
    """Trains a shallow classifier; the same input and seed give the same classifier.

    Args:
      patch_embeddings: float[patches, dim], held in memory.
      patch_segment: int[patches], the segment each patch belongs to; any order.
      segment_labels: bool[segments, classes] (or 0/1).
      segment_groups: one hashable a segment (its recording), so that no recording is on both
        sides of the hold-out; None: each segment its own.
      config: None for the defaults.
      weight_decays: values to choose from on the held-out recordings, with the rounds; without
        any, or where nothing can be held out, that of `config`.

    Returns:
      A `Classifier`, trained on everything given.

    Raises:
      ValueError: on embeddings that are not finite, shapes or numbers that do not fit together,
        segments without a patch, or softmax with a segment that has not exactly one class.
    """
    config = config or ClassifierConfig()
    embeddings = _checked_embeddings(patch_embeddings)
    labels = metrics.as_labels(segment_labels, "segment_labels")
    segment = _checked_segments(patch_segment, len(embeddings), len(labels))
    if config.loss == "softmax" and not (labels.sum(axis=1) == 1).all():
        raise ValueError("softmax needs exactly one class a segment; use loss='sigmoid'")
    if segment_groups is None:
        segment_groups = range(len(labels))
    groups = list(segment_groups)
    if len(groups) != len(labels):
        raise ValueError(f"{len(labels)} rows of labels but {len(groups)} groups")

    held_out = hold_out(labels, groups, config.validation_fraction, config.seed)
    curve, best = [], None
    rounds = config.fixed_rounds
    if held_out.any():
        choices = [dataclasses.replace(config, weight_decay=decay) for decay in weight_decays]
        for choice in choices or [config]:
            found = _held_out_curve(embeddings, segment, labels, held_out, choice)
            if best is None or max(found[choice.criterion]) > max(best[choice.criterion]):
                config, best = choice, found
        rounds, curve = int(np.argmax(best[config.criterion])) + 1, best["map"]

    fit = _Fit(embeddings, segment, labels, config)
    for _ in range(rounds):
        fit.train_round()
    return dataclasses.replace(fit.classifier(), rounds=rounds, validation_map=tuple(curve))


def _held_out_curve(embeddings, segment, labels, held_out, config) -> dict[str, list[float]]:
    """What held-out segments say after each round (more is better), until it has long not risen.

    Returns:
      `map`, mean average precision, and `loss`, the negative cross-entropy.
    """
    curve: dict[str, list[float]] = {"map": [], "loss": []}
    chosen = curve[config.criterion]
    kept, targets = ~held_out[segment], labels[held_out]
    fit = _Fit(embeddings[kept], segment[kept], labels, config)
    number = np.cumsum(held_out) - 1  # segments renumbered among the held-out ones
    inputs, owner = embeddings[~kept], number[segment[~kept]]
    while len(chosen) < config.max_rounds:
        fit.train_round()
        scores = fit.classifier().predict_segments(inputs, owner, held_out.sum())
        precision = metrics.average_precision_per_class(targets, scores)
        curve["map"].append(metrics.mean_over_classes(precision))
        true = np.where(targets, scores, 1 if config.loss == "softmax" else 1 - scores)
        curve["loss"].append(float(np.log(np.maximum(true, 1e-7)).sum(axis=1).mean()))
        if len(chosen) - 1 - int(np.argmax(chosen)) >= config.patience:
            break
    return curve


def hold_out(labels, groups: Sequence[Hashable], fraction: float, seed: int) -> np.ndarray:
    """Chooses segments to hold out: whole groups, about the same share of every class [D].

    Classes take turns, the rarest first; each adds groups in random order until its share is
    reached, and none whose loss would leave some class without a group to train on. Nothing is
    held out unless the median class has enough groups for its share to be at least one.

    Args:
      labels: bool[segments, classes].
      groups: one hashable a segment.
      fraction: share of groups to hold out, in [0, 1).
      seed: of the order.

    Returns:
      bool[segments], True where held out.
    """
    known: dict[Hashable, int] = {}
    codes = np.array([known.setdefault(group, len(known)) for group in groups], np.int64)
    carries = np.zeros((len(known), labels.shape[1]), bool)  # which group has which class
    np.logical_or.at(carries, codes, labels)
    total = carries.sum(axis=0)
    wanted = np.floor(fraction * total).astype(int)
    if not total.any() or np.median(wanted[total > 0]) < 1:
        return np.zeros(len(labels), bool)
    rng = np.random.default_rng([seed, 1])
    chosen = np.zeros(len(known), bool)
    taken = np.zeros_like(total)
    for column in np.argsort(total, kind="stable"):
        for group in rng.permutation(np.flatnonzero(carries[:, column] & ~chosen)):
            if taken[column] >= wanted[column]:
                break
            if (taken + carries[group] < total)[carries[group]].all():
                chosen[group] = True
                taken += carries[group]
    return chosen[codes]


class _Fit:
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


def _checked_embeddings(embeddings) -> np.ndarray:
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


def _checked_segments(patch_segment, patches: int, segments: int) -> np.ndarray:
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


def _segment_means(scores: np.ndarray, segment: np.ndarray, num_segments: int) -> np.ndarray:
    order = np.argsort(segment, kind="stable")
    sizes = np.bincount(segment, minlength=num_segments)
    sums = np.add.reduceat(scores[order], np.cumsum(sizes) - sizes, axis=0)
    return sums / sizes[:, None].astype(np.float32)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (0.5 + 0.5 * np.tanh(0.5 * logits)).astype(np.float32)  # does not overflow


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
