"""Labelled segments, which a classifier learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from audio_triplet.config import ClassifyConfig
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.errors import ClassifierError


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled segments.

    Attributes:
      embeddings: Their embeddings.
      labels: bool[segments, classes].
      classes: Names of the labels.
    """

    embeddings: EmbeddingSet
    labels: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, embeddings: EmbeddingSet, classes: Sequence[str] | None = None) -> Examples:
        """The segments that have a label. One without is not taken for a counterexample.

        Args:
          embeddings: Of any segments.
          classes: Names of the labels, in order; all that occur if None.

        Raises:
          ClassifierError: There are fewer than two classes.
        """
        labelled = (embeddings.manifest.frame["labels"] != "").to_numpy()
        if not labelled.any():
            raise ClassifierError(
                f"{embeddings.manifest.name}: no segment has a label; fill the manifest's column "
                "`labels`, or sort the files into one folder per class"
            )
        chosen = embeddings.select(labelled)
        classes = tuple(classes or chosen.manifest.classes)
        if len(classes) < 2:
            raise ClassifierError(
                f"{embeddings.manifest.name}: {classes[0]!r} is the only class; label other sounds "
                "too, as `other` for instance, so that there is something to distinguish it from"
            )
        return cls(chosen, chosen.manifest.label_matrix(classes), classes)

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.labels)

    @property
    def vectors(self) -> np.ndarray:
        """float32[patches, dim]."""
        return self.embeddings.vectors

    @property
    def segment_index(self) -> np.ndarray:
        """int32[patches], the segment of each."""
        return self.embeddings.segment_index

    @property
    def groups(self) -> np.ndarray:
        """str[segments], recordings."""
        return self.embeddings.recording_ids

    def select(self, keep: np.ndarray) -> Examples:
        """The segments where bool[segments] `keep` is true."""
        return Examples(self.embeddings.select(keep), self.labels[keep], self.classes)

    def recordings(self) -> np.ndarray:
        """int[classes]: how many recordings each class has."""
        groups = self.groups
        return np.array([len(set(groups[column])) for column in self.labels.T])

    def is_single(self, config: ClassifyConfig) -> bool:
        """Whether each segment is of exactly one class.

        Raises:
          ClassifierError: `labelling` is `single`, but some segments have several labels.
        """
        single = bool((self.labels.sum(axis=1) == 1).all())
        if config.labelling == "single" and not single:
            raise ClassifierError(
                "labelling=single, but some segments have several labels; use multi, or auto"
            )
        return single and config.labelling != "multi"
