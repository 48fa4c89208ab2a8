"""Sounds that were recorded otherwise than the labelled ones, brought to where those lie.

A telephone, a hissing recorder, a room: they move all embeddings of an archive alike, and draw
some of their features together. So the archive's mean, deviations and correlations are brought to
those of the labelled sounds (correlation alignment: Sun et al. 2016). What moves them too is what
the archive is of: one of birds alone has another mean than labels of all kinds. Therefore they are
brought to those that the labelled sounds of the predicted classes would have, in turns of scoring
and moving. No label is used beyond the classifier's. docs/lab_notes.md has what it gains.

No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np

from audio_triplet import storage
from audio_triplet.embeddings.description import audible_patches
from audio_triplet.search.diffusion import thinned
from audio_triplet.search.question import evenly

# [D] Turns of scoring and moving.
STEPS = 4

# [D] Of so many sounds half of the mean and of the deviations is believed, and of so many half of
# the correlations, of which there are more.
SOUNDS_FOR_MEAN = 20.0
SOUNDS_FOR_CORRELATIONS = 500.0

# [D] It is found by so many sounds, and patches of them, evenly spread, and used for all.
MOST_SOUNDS = 5000
MOST_PATCHES = 200_000

# [D] From so many deviations on, in so many sounds, an archive's mean lies apart from the one that
# its predicted classes have. ESC-50 as it is: 0 to 0.05, four fifths of it of no class 0.13; by
# telephone, in noise, in a room 0.16 to 0.33. docs/lab_notes.md has them.
APART = 0.15
SOUNDS_TO_TELL = 50

# Beyond so many dimensions (log mel's 6,144) covariances say nothing, and take minutes.
MOST_DIMENSIONS = 2048

_FILE = "ground.npz"

# Vectors float32[n, dim], the sound of each, how many sounds, and by name `energy` float32[n] →
# scores of sounds or of vectors, float32[…, classes]; as `CombinedClassifier.predict_segments`.
Scores = Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Ground:
    """Where the labelled sounds lie.

    Attributes:
      means: float32[classes, dim], of the patches of each class; of one without a sound, of all.
      within: float32[dim, dim], how patches vary inside the classes: covariance, all classes alike.
      sounds: float32[classes], how many sounds of each class there are.
    """

    means: np.ndarray
    within: np.ndarray
    sounds: np.ndarray

    def __post_init__(self):
        if (
            self.means.ndim != 2
            or self.within.shape != (self.means.shape[1],) * 2
            or self.sounds.shape != (len(self.means),)
        ):
            raise ValueError("its arrays do not fit together")

    @classmethod
    def of(
        cls, vectors: np.ndarray, segment_index: np.ndarray, energy: np.ndarray, labels: np.ndarray
    ) -> Ground:
        """Of labelled segments.

        Args:
          vectors: float32[n, dim].
          segment_index: int[n], the segment of each.
          energy: float32[n], by which silence is known, and left out.
          labels: bool[segments, classes]; a segment of several classes counts in each.
        """
        vectors, owner, share = _heard(vectors, segment_index, energy, len(labels))
        counted = (labels[owner] * share[:, None]).astype(np.float64)
        total = counted.sum(axis=0)
        means = np.where(
            total[:, None] > 0,
            counted.T @ vectors / np.maximum(total, 1e-12)[:, None],
            share @ vectors / share.sum(),
        )
        weight = counted.sum(axis=1)
        products = (vectors * weight[:, None]).T @ vectors - (means * total[:, None]).T @ means
        within = products / max(weight.sum(), 1e-12)
        arrays = means, within, labels.sum(axis=0)
        return cls(*(array.astype(np.float32) for array in arrays))

    def moments(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of sounds that are of the classes by these shares, of sum 1."""
        means = self.means.astype(np.float64)
        mean = shares @ means
        between = (means * shares[:, None]).T @ means - np.outer(mean, mean)
        return mean, self.within + between

    def save(self, folder: str) -> None:
        """Writes ground.npz into a folder that is there."""
        storage.save_arrays(os.path.join(folder, _FILE), dataclasses.asdict(self))

    @classmethod
    def load(cls, folder: str) -> Ground | None:
        """Reads what `save` wrote; None if it wrote nothing there.

        Raises:
          ValueError: It is damaged.
        """
        return storage.made_of_arrays(
            os.path.join(folder, _FILE),
            lambda arrays: cls(arrays["means"], arrays["within"], arrays["sounds"]),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Move:
    """What brings embeddings to the labelled sounds' ground.

    Attributes:
      begin: float64[dim], taken off a vector; then it is multiplied by
      map: float64[dim, dim], and
      end: float64[dim] is added; brought to unit norm.
    """

    begin: np.ndarray
    map: np.ndarray
    end: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """float[n, dim] → float32[n, dim] of unit norm."""
        moved = (np.asarray(vectors, np.float64) - self.begin) @ self.map + self.end
        norms = np.linalg.norm(moved, axis=1, keepdims=True)
        return (moved / np.maximum(norms, 1e-12)).astype(np.float32)


class Watch:
    """Looks at an archive that is scored, and tells whether it lies apart from the labelled sounds.

    Args:
      ground: Where these lie.
    """

    def __init__(self, ground: Ground):
        self._ground, self._count = ground, 0
        self._vectors = np.zeros(ground.means.shape[1])
        self._scores = np.zeros(len(ground.means))

    def add(self, vectors: np.ndarray, energy: np.ndarray, scores: np.ndarray) -> None:
        """A sound: float32[patches, dim], float32[patches], and float32[n, classes] of it."""
        kept = audible_patches(energy, np.zeros(len(vectors), int), 1)
        self._vectors += vectors[kept].mean(axis=0, dtype=np.float64)
        self._scores += scores.mean(axis=0, dtype=np.float64)
        self._count += 1

    @property
    def apart(self) -> float | None:
        """How far, if it is far: deviations, root mean square over the features; None: it is not.

        What chance alone makes of so many sounds, and of so many labelled ones, is taken off. An
        archive that is mostly of no labelled class may lie apart, too.
        """
        if self._count < SOUNDS_TO_TELL or not self._scores.any():
            return None
        shares = self._scores / self._scores.sum()
        mean, covariance = self._ground.moments(shares)
        variances = np.maximum(np.diag(covariance), 1e-6 * np.trace(covariance) / len(mean))
        shift = self._vectors / self._count - mean
        chance = 1 / self._count + np.sum(shares**2 / np.maximum(self._ground.sounds, 1))
        found = float(np.sqrt(max(np.mean(shift**2 / variances) - chance, 0.0)))
        return found if found >= APART else None


def find(
    ground: Ground,
    scores: Scores,
    sounds: Sequence[np.ndarray],
    energies: Sequence[np.ndarray],
) -> Move | None:
    """What brings the sounds of an archive to the ground of the labelled ones.

    Args:
      ground: Theirs.
      scores: What scores them.
      sounds: For each float32[patches, dim], one at least.
      energies: For each float32[patches], by which silence is known, and left out.

    Returns:
      None where nothing is heard.
    """
    if len(sounds) > MOST_SOUNDS:
        chosen = evenly(len(sounds), MOST_SOUNDS)
        sounds, energies = [sounds[n] for n in chosen], [energies[n] for n in chosen]
    if not len(sounds):
        return None
    most = max(1, MOST_PATCHES // len(sounds))
    sounds, energies = ([thinned(rows, most) for rows in of] for of in (sounds, energies))
    vectors, energy = np.concatenate(sounds), np.concatenate(energies)
    owner = np.repeat(np.arange(len(sounds)), [len(sound) for sound in sounds])
    heard, _, share = _heard(vectors, owner, energy, len(sounds))
    own_mean = share @ heard / share.sum()
    apart = heard - own_mean
    own = (apart * share[:, None]).T @ apart / share.sum()
    count = float(len(sounds))
    moved, found = vectors, None
    for _ in range(STEPS):
        wanted = scores(moved, owner, len(sounds), energy=energy).mean(axis=0, dtype=np.float64)
        if not wanted.any():  # of no class at all
            wanted += 1.0
        mean, covariance = ground.moments(wanted / wanted.sum())
        found = _move(own_mean, own, mean, covariance, count)
        moved = found(vectors)
    return found


def _move(
    own_mean: np.ndarray, own: np.ndarray, mean: np.ndarray, covariance: np.ndarray, count: float
) -> Move:
    """From mean and covariance of so many sounds to those that are wanted."""
    believed = count / (count + SOUNDS_FOR_MEAN)
    own_mean = believed * own_mean + (1 - believed) * mean
    own = believed * own + (1 - believed) * covariance
    # With these deviations, and the correlations that are wanted.
    least = 1e-6 * np.trace(covariance) / len(mean)
    scale = np.sqrt((np.diag(own) + least) / (np.diag(covariance) + least))
    believed = count / (count + SOUNDS_FOR_CORRELATIONS)
    own = believed * own + (1 - believed) * covariance * np.outer(scale, scale)
    # Where next to nothing varies a power of it would blow up noise.
    some = 1e-3 * np.trace(covariance) / len(mean) * np.eye(len(mean))
    return Move(own_mean, _power(own + some, -0.5) @ _power(covariance + some, 0.5), mean)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """A power of a symmetric positive matrix."""
    values, axes = np.linalg.eigh(matrix)
    return (axes * np.maximum(values, 1e-9) ** exponent) @ axes.T


def _heard(
    vectors: np.ndarray, segment_index: np.ndarray, energy: np.ndarray, segments: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Audible patches float64[m, dim], their segments, and how much each counts: a segment is 1."""
    kept = audible_patches(energy, segment_index, segments)
    owner = np.asarray(segment_index)[kept]
    share = 1.0 / np.bincount(owner, minlength=segments)[owner]
    return np.asarray(vectors, np.float64)[kept], owner, share
