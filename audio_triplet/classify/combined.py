"""What a description of a sound says of its classes, and what its likenesses say, as one score.

Each is a classifier of its own, and each is right where the other is not. The score is the product
of powers of their probabilities, brought to a sum of one; where a sound may be of several classes,
the sum of their logits, weighted alike.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from audio_triplet.classify.adaptation import Ground
from audio_triplet.classify.by_likeness import LikenessClassifier
from audio_triplet.embeddings import description
from audio_triplet.evaluation.shallow_network import Classifier, sigmoid, softmax

# [D] The powers. Chosen on ESC-50 and debian-sounds, at 1 to 32 labels a class.
DESCRIPTION, LIKENESS = 0.5, 1.0

_LEAST = 1e-7  # a probability is at least, and at most one less


@dataclasses.dataclass(frozen=True, eq=False)
class CombinedClassifier:
    """A classifier of descriptions (or patches), and one of likenesses where there is one.

    Attributes:
      described: Always there.
      likeness: None: the other alone decides.
      ground: Where the sounds lie that it learned from; None: not known, as in classifiers of
        earlier versions.
    """

    described: Classifier
    likeness: LikenessClassifier | None = None
    ground: Ground | None = None

    def __post_init__(self):
        if self.likeness and self.likeness.classes != self.classes:
            raise ValueError("its two parts have different classes")
        if self.ground and len(self.ground.means) != self.classes:
            raise ValueError("its ground has other classes")

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.described.weights[-1])

    def predict_patches(self, patch_embeddings) -> np.ndarray:
        """float32[patches, classes] in [0, 1] from float[patches, dim].

        Raises:
          ValueError: For another dim, NaN or infinity.
        """
        scores = self.described.predict_patches(patch_embeddings)
        if not self.likeness:
            return scores
        likeness = self.likeness.predict_patches(patch_embeddings)
        return combined(scores, likeness, self.likeness.single)

    def predict_segments(
        self,
        patch_embeddings,
        patch_segment,
        num_segments: int,
        window_patches: int = description.WINDOW_PATCHES,
        energy: np.ndarray | None = None,
    ) -> np.ndarray:
        """Scores of segments.

        Args:
          patch_embeddings: float[patches, dim], those of a segment in the order of time.
          patch_segment: int[patches], which segment each belongs to; any order.
          num_segments: Number of segments.
          window_patches: As for `description.describe`.
          energy: float[patches], by which silence is known, and by which louder patches count
            more; None: nothing is silent, all count alike.

        Returns:
          float32[num_segments, classes].

        Raises:
          ValueError: As `predict_patches`, and for a segment without a patch.
        """
        given = patch_embeddings, patch_segment, num_segments, window_patches, energy
        scores = self.described.predict_segments(*given)
        if not self.likeness:
            return scores
        likeness = self.likeness.predict_segments(*given)
        return combined(scores, likeness, self.likeness.single)

    def save(self, folder: str) -> None:
        """Writes its parts into a folder that is there."""
        self.described.save(folder)
        if self.likeness:
            self.likeness.save(folder)
        if self.ground:
            self.ground.save(folder)

    @classmethod
    def load(cls, folder: str) -> CombinedClassifier:
        """Reads what `save` wrote; classifiers from before likenesses have none.

        Raises:
          ValueError: It is missing or damaged.
        """
        return cls(Classifier.load(folder), LikenessClassifier.load(folder), Ground.load(folder))


def combined(described: np.ndarray, likeness: np.ndarray, single: bool) -> np.ndarray:
    """The scores of both together.

    Args:
      described: float[n, classes], by descriptions.
      likeness: float[n, classes], by likenesses.
      single: Whether each sound is of exactly one class.

    Returns:
      float[n, classes], of sum 1 where `single`.
    """
    given = (described, DESCRIPTION), (likeness, LIKENESS)
    if single:
        logits = sum(power * np.log(np.maximum(each, _LEAST)) for each, power in given)
        return softmax(logits)
    limited = [(np.clip(each, _LEAST, 1 - _LEAST), power) for each, power in given]
    logits = sum(power * (np.log(each) - np.log1p(-each)) for each, power in limited)
    return sigmoid(logits)
