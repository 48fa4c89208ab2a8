"""Labelled segments: what a classifier learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from audio_triplet.config import ClassifyConfig
from audio_triplet.embeddings.segments import SegmentEmbeddings
from audio_triplet.errors import ClassifierError

# --- what is learned from ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled segments.

    Attributes:
      vectors: float32[patches, dim].
      segment: int[patches], the segment of each.
      labels: bool[segments, classes].
      groups: str[segments], recordings.
      classes: Names of the labels.
    """

    vectors: np.ndarray
    segment: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, embeddings: SegmentEmbeddings, classes: Sequence[str] | None = None) -> Examples:
        """The segments that have a label. One without is not taken for a counterexample.

        Args:
          embeddings: Of any segments.
          classes: Names of the labels, in order; all that occur if None.

        Raises:
          ClassifierError: Fewer than two classes: there is nothing to tell apart.
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
                f"{embeddings.manifest.name}: {classes[0]!r} is the only class; label some other "
                "sounds too, as `other` for instance, for it to be told from"
            )
        return cls(
            chosen.patch,
            chosen.patch_segment,
            chosen.manifest.label_matrix(classes),
            chosen.manifest.frame["recording_id"].to_numpy(str),
            classes,
        )

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.labels)

    def select(self, keep: np.ndarray) -> Examples:
        """The segments where bool[segments] `keep` is true."""
        number = np.cumsum(keep) - 1
        of_patch = keep[self.segment]
        return Examples(
            self.vectors[of_patch],
            number[self.segment[of_patch]],
            self.labels[keep],
            self.groups[keep],
            self.classes,
        )

    def recordings(self) -> np.ndarray:
        """int[classes]: how many recordings each class has."""
        return np.array([len(set(self.groups[column])) for column in self.labels.T])

    def is_single(self, config: ClassifyConfig) -> bool:
        """Whether each segment is of exactly one class.

        Raises:
          ClassifierError: It was asked for, and is not so.
        """
        single = bool((self.labels.sum(axis=1) == 1).all())
        if config.labelling == "single" and not single:
            raise ClassifierError(
                "labelling=single, but some segments have several labels; use multi, or auto"
            )
        return single and config.labelling != "multi"
