"""Representations of segments: patch vectors, and their mean.

A representation is any function from log mel patches to vectors: a trained encoder, or `flat`, the
paper's log mel baseline. All of them go through the same code from here on.
"""

import dataclasses
import os
import zipfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from audio_triplet import features, storage
from audio_triplet.data import chunks, sources
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

Representation = Callable[[tf.Tensor], tf.Tensor]
"""float32[n, 96, 64] log mel → float32[n, dim]."""


def flat(log_mel: tf.Tensor) -> tf.Tensor:
    """The log mel baseline: a patch as one vector, [n, 96, 64] → [n, 6144]."""
    return tf.reshape(log_mel, [-1, log_mel.shape[-2] * log_mel.shape[-1]])


def band_statistics(log_mel: tf.Tensor) -> tf.Tensor:
    """Mean and deviation over time of each band, [n, 96, 64] → [n, 128]: a fairer baseline [D].

    It does not ask sounds to begin at the same moment of a patch, as `flat` does.
    """
    mean, variance = tf.nn.moments(log_mel, axes=[-2])
    return tf.concat([mean, tf.sqrt(variance)], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentEmbeddings:
    """Patch vectors of a set of segments.

    Attributes:
      manifest: The segments that have a patch, in order.
      row: int64[segments], their rows in the corpus's whole manifest.
      patch: float32[patches, dim].
      patch_segment: int32[patches], the segment each patch is of.
      patch_energy: float32[patches], mean linear mel energy per cell.
    """

    manifest: Manifest
    row: np.ndarray
    patch: np.ndarray
    patch_segment: np.ndarray
    patch_energy: np.ndarray

    @property
    def segment(self) -> np.ndarray:
        """Mean of each segment's patch vectors: float32[segments, dim] (paper.md, Evaluations 1).

        Silent patches count like others, as in the paper.
        """
        return mean_by_segment(self.patch, self.patch_segment, len(self.manifest))

    def audible_segment(self, silence_energy: float) -> np.ndarray:
        """Mean over the patches louder than silence: float32[segments, dim] [D].

        A segment without such a patch is the mean of all it has.

        Args:
          silence_energy: Mean mel energy per cell up to which a patch is silent.
        """
        weight = (self.patch_energy > silence_energy).astype(np.float32)
        audible = np.bincount(self.patch_segment, weight, len(self.manifest)) > 0
        weight = np.where(audible[self.patch_segment], weight, 1.0)
        return mean_by_segment(self.patch, self.patch_segment, len(self.manifest), weight)

    def select(self, keep: np.ndarray) -> "SegmentEmbeddings":
        """The segments where bool[segments] `keep` is true."""
        number = np.cumsum(keep) - 1
        of_patch = keep[self.patch_segment]
        return SegmentEmbeddings(
            self.manifest.take(np.flatnonzero(keep)),
            self.row[keep],
            self.patch[of_patch],
            number[self.patch_segment[of_patch]].astype(np.int32),
            self.patch_energy[of_patch],
        )

    def save(self, path: str) -> None:
        """Writes the arrays as an .npz, whole or not at all; the manifest is not in it."""
        storage.save_arrays(
            path,
            {
                "patch": self.patch,
                "patch_segment": self.patch_segment,
                "patch_energy": self.patch_energy,
                "row": self.row,
                "names": _names(self.manifest),
            },
        )

    @classmethod
    def load(cls, path: str, manifest: Manifest) -> "SegmentEmbeddings":
        """Reads what `save` wrote.

        Args:
          path: The .npz.
          manifest: The corpus's whole manifest, as at embedding.

        Raises:
          CorpusError: The file is damaged, or of other segments.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {
                    name: file[name] for name in ("row", "patch", "patch_segment", "patch_energy")
                }
                names = file["names"]
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CorpusError(f"{path}: is damaged ({error}); delete it") from error
        row = arrays["row"]
        if len(row) and row.max() < len(manifest):
            manifest = manifest.take(row)
            if np.array_equal(names, _names(manifest)):
                return cls(manifest, **arrays)
        raise CorpusError(f"{path}: holds other segments; delete it")


def _names(manifest: Manifest) -> np.ndarray:
    """File names without folders: a corpus may have moved since."""
    return np.array([os.path.basename(path) for path in manifest.frame["path"]])


def mean_by_segment(
    values: np.ndarray, segment: np.ndarray, segments: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Mean of the rows of each segment.

    Args:
      values: float32[n, dim].
      segment: int[n], in [0, segments).
      segments: Number of segments, each with at least one row of positive weight.
      weight: float32[n]; all equal if None.

    Returns:
      float32[segments, dim].
    """
    weight = np.ones(len(values), np.float32) if weight is None else weight
    total = np.zeros((segments, values.shape[1]), np.float64)
    np.add.at(total, segment, values * weight[:, None])
    return (total / np.bincount(segment, weight, segments)[:, None]).astype(np.float32)


def embed(
    source: sources.ChunkSource,
    manifest: Manifest,
    representation: Representation,
    batch_size: int = 128,
) -> SegmentEmbeddings:
    """Applies a representation to every patch of a source, patches side by side as in training.

    Args:
      source: Pieces; the patches of a piece do not overlap and begin at its start.
      manifest: What the pieces' `segment` counts rows of.
      representation: Log mel patches → vectors.
      batch_size: Patches in a forward pass.

    Returns:
      The embeddings of the segments that have at least one patch (others could not be read), in
      the manifest's order.
    """

    def cut(piece):
        frames = piece["frames"]
        patches = features.patches(piece["mel_energies"])  # [11, 96, mels]
        count = tf.where(frames > 0, tf.maximum(1, frames // features.DEFAULT.patch_frames), 0)
        patches = patches[:count]
        return {
            "patch": patches,
            "energy": tf.reduce_mean(patches, [1, 2]),
            "segment": tf.fill([count], piece["segment"]),
            "position": piece["position"] * chunks.CHUNK_PATCHES
            + tf.range(tf.cast(count, tf.int64), dtype=tf.int64),
        }

    @tf.function(reduce_retracing=True)
    def forward(patches):
        return tf.cast(representation(features.log_mel(patches)), tf.float32)

    vectors, energies, rows, positions = [], [], [], []
    batches = source.in_order().map(cut, tf.data.AUTOTUNE).unbatch().batch(batch_size)
    for batch in batches.prefetch(2):
        vectors.append(forward(batch["patch"]).numpy())
        energies.append(batch["energy"].numpy())
        rows.append(batch["segment"].numpy())
        positions.append(batch["position"].numpy())
    if not vectors:
        raise CorpusError(f"{manifest.name}: not one patch could be read")
    row, position = np.concatenate(rows), np.concatenate(positions)
    order = np.lexsort([position, row])  # shards hold segments in an order of their own
    found, patch_segment = np.unique(row[order], return_inverse=True)
    return SegmentEmbeddings(
        manifest=manifest.take(found),
        row=found,
        patch=np.concatenate(vectors)[order],
        patch_segment=patch_segment.astype(np.int32),
        patch_energy=np.concatenate(energies)[order],
    )
