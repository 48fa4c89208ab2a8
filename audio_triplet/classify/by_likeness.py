"""A classifier by likenesses: how like a sound is to each that was learned from, patch by patch.

A description of a segment (`embeddings.description`) forgets which patches it had. Here a sound is
compared with every labelled one as a search compares them, by their nearest patches, both ways; and
a logistic regression learns from these likenesses what is of which class (kernel logistic
regression). The measure has learned from the labels too: directions in which sounds of one class
differ count for less (within-class whitening: Hatch et al. 2006 for speakers). docs/lab_notes.md
has what it gains.

What was learned from is kept: some vectors of each labelled sound. NumPy alone predicts.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from collections.abc import Iterator

import numpy as np

from audio_triplet import storage
from audio_triplet.embeddings import description
from audio_triplet.embeddings.loudness import above_background, shares_of
from audio_triplet.evaluation.shallow_network import (
    checked_embeddings,
    checked_segments,
    sigmoid,
    softmax,
)
from audio_triplet.search.diffusion import Sounds, thinned
from audio_triplet.search.likeness import Likeness, Moments

# [D] So many vectors of a sound are kept, evenly spread; and of so many sounds, in turns of their
# classes: a fit takes the square of their number, of 4,000 24 s on two cores.
MOST_VECTORS = 6
MOST_LEARNED = 4000

# [D] The kernel is exp(SHARPNESS · (likeness - 1)); the penalty is the inverse strength of L2, on
# features whose mean square is 1. Chosen on ESC-50 and debian-sounds, at 1 to 32 labels a class.
SHARPNESS = 2.0
PENALTY = 30.0

# [D] As many patches that vary alike in every direction are added to those of the classes: few
# labels say little of how the sounds of a class differ.
PRIOR = 2000.0

# Beyond so many dimensions (log mel's 6,144) covariances say nothing, and take minutes.
MOST_DIMENSIONS = 2048

_FILE = "likeness.npz"
_PRODUCTS = 1 << 19  # of vectors, made at once: 2 MB, which stay near the processor


@dataclasses.dataclass(frozen=True, eq=False)
class LikenessClassifier:
    """A fitted classifier by likenesses.

    Attributes:
      mean: float32[dim], taken off a vector; then it is multiplied by
      map: float32[dim, dim], brought to unit norm, multiplied by
      within: float32[dim, dim], and brought to unit norm again.
      learned: float16[vectors, dim], of the sounds that were learned from, after all that.
      counts: int64[sounds], how many vectors each has, one at least.
      shares: float32[vectors], how much each counts in its sound: louder ones more.
      weights: float32[sounds, classes], of the kernel.
      bias: float32[classes]; -inf for a class without a sound.
      single: Whether a sound is of exactly one class: scores sum to one.
    """

    mean: np.ndarray
    map: np.ndarray
    within: np.ndarray
    learned: np.ndarray
    counts: np.ndarray
    shares: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    single: bool

    def __post_init__(self):
        dim, (sounds, classes) = len(self.mean), self.weights.shape
        fits = (
            self.map.shape == self.within.shape == (dim, dim)
            and self.learned.shape == (self.counts.sum(), dim)
            and self.counts.shape == (sounds,)
            and self.shares.shape == (len(self.learned),)
            and self.counts.min() >= 1
            and self.bias.shape == (classes,)
        )
        if not fits:
            raise ValueError("its arrays do not fit together")

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.bias)

    def predict_patches(self, patch_embeddings) -> np.ndarray:
        """float32[patches, classes] in [0, 1] from float[patches, dim].

        Raises:
          ValueError: For another dim, NaN or infinity.
        """
        mapped = self._mapped(checked_embeddings(patch_embeddings, len(self.mean)))
        return self._scores(mapped, np.ones(len(mapped), int), np.ones(len(mapped), np.float32))

    def predict_segments(
        self,
        patch_embeddings,
        patch_segment,
        num_segments: int,
        window_patches: int = description.WINDOW_PATCHES,
        energy: np.ndarray | None = None,
    ) -> np.ndarray:
        """Scores of segments: the means of their windows', each counted by its patches.

        Args:
          patch_embeddings: float[patches, dim], those of a segment in the order of time.
          patch_segment: int[patches], which segment each belongs to; any order.
          num_segments: Number of segments.
          window_patches: As for `description.describe`.
          energy: float[patches], by which silence is known, and left out of segments that have
            something else, and by which louder patches count more, above the background of
            their window; None: all count alike.

        Returns:
          float32[num_segments, classes].

        Raises:
          ValueError: As `predict_patches`, and for a segment without a patch.
        """
        vectors = checked_embeddings(patch_embeddings, len(self.mean))
        segment = checked_segments(patch_segment, len(vectors), num_segments)
        order = np.argsort(segment, kind="stable")
        energies = np.ones(len(vectors)) if energy is None else np.asarray(energy)
        order = order[description.audible_patches(energies[order], segment[order], num_segments)]
        segment = segment[order]
        window, windows = description.windows_of(np.bincount(segment), window_patches)
        lengths = np.bincount(window)
        shares = shares_of(above_background(energies[order], lengths), lengths)
        found = self._scores(self._mapped(vectors[order]), lengths, shares)
        first = np.cumsum(windows) - windows
        total = np.add.reduceat(found * lengths[:, None], first, axis=0)
        return (total / np.bincount(segment)[:, None]).astype(np.float32)

    def _mapped(self, vectors: np.ndarray) -> np.ndarray:
        return _unit(Likeness(self.mean, self.map).mapped(vectors) @ self.within)

    @functools.cached_property
    def _sounds(self) -> Sounds:
        return _split(self.learned, self.counts, self.shares)

    def _scores(self, mapped: np.ndarray, lengths: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """float32[sounds, classes] of sounds with these vectors, so many and so loud each."""
        scores = np.empty((len(lengths), self.classes), np.float32)
        for block, alike in _alike(self._sounds, mapped, lengths, shares):
            logits = _kernel(alike) @ self.weights + self.bias
            scores[block] = softmax(logits) if self.single else sigmoid(logits)
        return scores

    def save(self, folder: str) -> None:
        """Writes likeness.npz into a folder that is there."""
        arrays = {
            field.name: np.asarray(getattr(self, field.name)) for field in dataclasses.fields(self)
        }
        storage.save_arrays(os.path.join(folder, _FILE), arrays)

    @classmethod
    def load(cls, folder: str) -> LikenessClassifier | None:
        """Reads what `save` wrote; None if it wrote nothing there.

        Raises:
          ValueError: It is damaged.
        """

        def made(arrays: np.lib.npyio.NpzFile) -> LikenessClassifier:
            names = {field.name for field in dataclasses.fields(cls)} - {"shares"}
            given = {name: arrays[name] for name in names}
            single, counts = bool(given.pop("single")), given["counts"]
            # The first that were written count all vectors of a sound alike.
            given["shares"] = (
                arrays["shares"]
                if "shares" in arrays.files
                else shares_of(np.ones(counts.sum()), counts)
            )
            return cls(**given, single=single)

        return storage.made_of_arrays(os.path.join(folder, _FILE), made)


def fit(
    vectors: np.ndarray,
    segment_index: np.ndarray,
    energy: np.ndarray,
    labels: np.ndarray,
    single: bool,
    seed: int = 0,
) -> LikenessClassifier:
    """Fits a classifier; the same input gives the same one.

    Args:
      vectors: float32[n, dim], the patches of a segment in the order of time.
      segment_index: int[n], the segment of each.
      energy: float32[n], by which silence is known, and louder patches count more, above the
        background of their sound.
      labels: bool[segments, classes], of two classes at least.
      single: Whether each segment is of exactly one class.
      seed: Of which sounds are learned from, where they are more than `MOST_LEARNED`.

    Returns:
      The classifier.
    """
    order = np.argsort(segment_index, kind="stable")
    order = order[description.audible_patches(energy[order], segment_index[order], len(labels))]
    owner = segment_index[order]
    kept = _in_turns(labels, MOST_LEARNED, seed)
    borders = np.searchsorted(owner, np.arange(len(labels) + 1))
    chosen = [order[borders[n] : borders[n + 1]] for n in kept]
    thin = [thinned(each, MOST_VECTORS) for each in chosen]
    counts, labels = np.array([len(each) for each in thin]), labels[kept]
    raw = np.asarray(vectors, np.float32)[np.concatenate(thin)]
    shares = shares_of(above_background(energy[np.concatenate(thin)], counts), counts)

    measure = Likeness.of(Moments.of([raw], raw.shape[1]))
    mapped = measure.mapped(raw)
    owner = np.repeat(np.arange(len(counts)), counts)
    within = _within(mapped, labels[owner], shares * counts[owner])
    learned = _unit(mapped @ within).astype(np.float16)
    weights, bias = _regression(learned, counts, shares, labels, single)
    return LikenessClassifier(
        measure.mean, measure.map, within, learned, counts, shares, weights, bias, single
    )


def _regression(
    learned: np.ndarray, counts: np.ndarray, shares: np.ndarray, labels: np.ndarray, single: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the kernel and biases of the classes."""
    sounds = _split(learned, counts, shares)
    blocks = _alike(sounds, learned.astype(np.float32), counts, shares)
    kernel = _kernel(np.concatenate([alike for _, alike in blocks]).astype(np.float64))
    # Along its principal axes the problem is an ordinary one. Small and negative ones (the mean of
    # nearest patches is a kernel only nearly) are rounding, and left out.
    values, axes = np.linalg.eigh((kernel + kernel.T) / 2)
    keep = values > 1e-3
    axes = axes[:, keep] / np.sqrt(values[keep])
    features = kernel @ axes
    mean = features.mean(axis=0)
    size = max(np.sqrt(((features - mean) ** 2).sum(axis=1).mean()), 1e-6)  # all may be alike
    slope, bias = _logistic((features - mean) / size, labels, single)
    weights = axes @ slope / size  # [sounds, classes]
    return weights.astype(np.float32), (bias - mean @ slope / size).astype(np.float32)


def _logistic(
    features: np.ndarray, labels: np.ndarray, single: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes [features, classes] and biases [classes]; a class without a sound has -inf."""
    from sklearn.linear_model import LogisticRegression

    def fitted(targets: np.ndarray) -> LogisticRegression:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few labels per class are intended
            return LogisticRegression(C=PENALTY, max_iter=300, tol=1e-4).fit(features, targets)

    slope = np.zeros((features.shape[1], labels.shape[1]))
    bias = np.full(labels.shape[1], -np.inf)
    if single:
        found = fitted(labels.argmax(axis=1))
        if len(found.classes_) == 2:  # one slope for both: half for one, half against the other
            halves = np.array([[-0.5], [0.5]])
            slope[:, found.classes_] = (halves * found.coef_).T
            bias[found.classes_] = (halves * found.intercept_)[:, 0]
        else:
            slope[:, found.classes_], bias[found.classes_] = found.coef_.T, found.intercept_
        return slope, bias
    for column, of_class in enumerate(labels.T):
        if of_class.all():  # nothing to tell it from
            bias[column] = np.inf
        elif of_class.any():
            found = fitted(of_class)
            slope[:, column], bias[column] = found.coef_[0], found.intercept_[0]
    return slope, bias


def _within(mapped: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float32[dim, dim], symmetric: what brings the differences inside classes to one size.

    Args:
      mapped: float32[n, dim].
      labels: bool[n, classes], of each vector.
      weights: float[n], how much each counts, on the mean 1.
    """
    counted = labels * weights[:, None].astype(np.float32)
    total = np.maximum(counted.sum(axis=0), 1e-6)[:, None]
    of_class = (counted.T @ mapped) / total  # [classes, dim]
    share = labels / np.maximum(labels.sum(axis=1, keepdims=True), 1)
    apart = (mapped - share.astype(np.float32) @ of_class).astype(np.float64)
    apart *= np.sqrt(weights)[:, None]
    dim = mapped.shape[1]
    products = apart.T @ apart
    alike = max(np.trace(products) / (len(mapped) * dim), 1e-12)
    covariance = (products + PRIOR * alike * np.eye(dim)) / (len(mapped) + PRIOR)
    values, axes = np.linalg.eigh(covariance / alike)
    return ((axes / np.sqrt(values)) @ axes.T).astype(np.float32)


def _alike(
    sounds: Sounds, vectors: np.ndarray, lengths: np.ndarray, shares: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """How like others are to sounds, some at a time: which, and float32[of them, sounds]."""
    ends = np.cumsum(lengths)
    rows, begin = max(1, _PRODUCTS // len(sounds)), 0
    while begin < len(lengths):
        first = ends[begin] - lengths[begin]
        end = max(begin + 1, int(np.searchsorted(ends, first + rows, side="right")))
        here = slice(first, ends[end - 1])
        alike = sounds.both_ways(vectors[here], lengths[begin:end], shares[here])
        yield slice(begin, end), alike
        begin = end


def _kernel(alike: np.ndarray) -> np.ndarray:
    return np.exp(SHARPNESS * (alike - 1))


def _split(learned: np.ndarray, counts: np.ndarray, shares: np.ndarray) -> Sounds:
    borders = np.cumsum(counts)[:-1]
    return Sounds(np.split(learned.astype(np.float32), borders), np.split(shares, borders))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _in_turns(labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """int64[…], ascending: so many segments at most, the classes in turns."""
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.where(labels[order], np.cumsum(labels[order], axis=0), len(labels)).min(axis=1)
    return np.sort(order[np.argsort(turn, kind="stable")[:most]])
