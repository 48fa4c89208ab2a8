"""The shallow classifier: its settings, its predictions, and its files. NumPy alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from audio_triplet import storage
from audio_triplet.embeddings import description

_WEIGHTS_FILE = "weights.npz"
_CONFIG_FILE = "classifier.json"


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """How a shallow classifier is trained; the defaults were chosen on ESC-50 folds 1-4 [D].

    A *round* is one pass over the patches, or `min_round_steps` steps where a pass is shorter,
    so that 20 labelled clips and 20,000 are both trained for long enough.

    Attributes:
      hidden_units: width of the hidden layer (paper: 512); 0 for none.
      loss: "sigmoid", one yes or no per class, for any labels (paper); "softmax" for exactly one
        class per segment.
      max_rounds: rounds at most.
      min_round_steps: steps a round has at least.
      fixed_rounds: rounds where there are too few recordings to hold any out.
      criterion: the measure on the held-out recordings that chooses the rounds: "map"; or "loss",
        the cross-entropy of the segments' scores, which still ranks classifiers where a handful
        of held-out segments has a perfect mAP from the first round on.
      patience: stop after this many rounds without a better value of it.
      validation_fraction: share of each class's recordings held out, in [0, 1); 0 trains for
        `fixed_rounds`.
      batch_size: patches per step, at most.
      learning_rate: of Adam.
      weight_decay: decoupled from the gradient, in units of the learning rate; kernels only.
      dropout: rate on the hidden layer while training.
      standardise: subtract the training patches' mean and divide by their deviation, by feature.
      described: whether it takes descriptions (`embeddings.description`) instead of patches, and
        scores a segment by its own instead of by the mean of its patches' scores.
      by_loudness: of descriptions: whether louder patches count more.
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
    described: bool = False
    by_loudness: bool = False
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
      mean: float32[dim], subtracted from every input: a patch's embedding, or a description, which
        is three times as long.
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
        embeddings = self._checked(patch_embeddings)
        return self._predict(embeddings, description.describe_patches)

    def predict_segments(
        self,
        patch_embeddings,
        patch_segment,
        num_segments: int,
        window_patches: int = description.WINDOW_PATCHES,
        energy: np.ndarray | None = None,
    ) -> np.ndarray:
        """Scores of segments: the mean of their patches' (paper), or those of their descriptions.

        Args:
          patch_embeddings: float[patches, dim], those of a segment in the order of time.
          patch_segment: int[patches], which segment each belongs to; any order.
          num_segments: number of segments.
          window_patches: for descriptions, see `description.describe`.
          energy: float[patches], likewise.

        Returns:
          float32[num_segments, classes].

        Raises:
          ValueError: as `predict_patches`, and for a segment without a patch.
        """
        embeddings = self._checked(patch_embeddings)
        segment = checked_segments(patch_segment, len(embeddings), num_segments)
        if self.config.described:
            loud = energy if self.config.by_loudness else None
            return self._predict(
                description.describe(embeddings, segment, num_segments, window_patches, loud)
            )
        return _segment_means(self._predict(embeddings), segment, num_segments)

    def _checked(self, patch_embeddings) -> np.ndarray:
        """float32[patches, dim], validated to be finite and of the right dim."""
        dim = len(self.mean) // (description.PARTS if self.config.described else 1)
        return checked_embeddings(patch_embeddings, dim)

    def _predict(self, inputs: np.ndarray, prepare=None) -> np.ndarray:
        """Scores of inputs; of patches that have to be described, a part at a time."""
        prepare = prepare if prepare and self.config.described else lambda part: part
        scores = np.empty((len(inputs), len(self.weights[-1])), np.float32)
        for start in range(0, len(inputs), 8192):  # a copy of a part at a time
            part = slice(start, start + 8192)
            hidden = (prepare(inputs[part]) - self.mean) / self.scale
            for kernel, bias in zip(self.weights[:-2:2], self.weights[1:-2:2], strict=True):
                hidden = np.maximum(hidden @ kernel + bias, 0)
            logits = hidden @ self.weights[-2] + self.weights[-1]
            scores[part] = softmax(logits) if self.config.loss == "softmax" else sigmoid(logits)
        return scores

    def save(self, directory) -> None:
        """Writes `weights.npz` and `classifier.json` into `directory`, made if missing."""
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
            with storage.open_arrays(directory / _WEIGHTS_FILE) as arrays:
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


def checked_embeddings(embeddings, dim: int | None = None) -> np.ndarray:
    """float32[patches, dim], validated to be finite, not empty, and of a dim if one is given."""
    embeddings = np.asarray(embeddings, np.float32)
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise ValueError(f"embeddings must be float[patches, dim], got shape {embeddings.shape}")
    broken = ~np.isfinite(embeddings).all(axis=1)
    if broken.any():
        raise ValueError(
            f"embeddings of {broken.sum()} of {len(embeddings)} patches hold NaN or infinity, "
            f"the first is patch {np.flatnonzero(broken)[0]}"
        )
    if dim not in (None, embeddings.shape[1]):
        raise ValueError(
            f"embeddings have {embeddings.shape[1]} dimensions, the classifier was trained on {dim}"
        )
    return embeddings


def checked_segments(patch_segment, patches: int, segments: int) -> np.ndarray:
    """int64[patches], validated against both numbers."""
    segment = np.asarray(patch_segment)
    if segment.shape != (patches,) or not np.issubdtype(segment.dtype, np.integer):
        raise ValueError(
            f"patch_segment must be int[{patches}], one per patch; "
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
    """float32[num_segments, classes], mean of the rows of each segment."""
    order = np.argsort(segment, kind="stable")
    sizes = np.bincount(segment, minlength=num_segments)
    sums = np.add.reduceat(scores[order], np.cumsum(sizes) - sizes, axis=0)
    return sums / sizes[:, None].astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """float32, of the same shape."""
    return (0.5 + 0.5 * np.tanh(0.5 * logits)).astype(np.float32)  # does not overflow


def softmax(logits: np.ndarray) -> np.ndarray:
    """Of each row: the same dtype and shape, rows of sum 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
