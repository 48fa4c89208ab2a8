"""The container of embeddings: vectors, the segments they belong to, and their origin.

No TensorFlow here: an index of sound is written and read without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from audio_triplet import audio
from audio_triplet.config import EmbedConfig, FrontEndConfig
from audio_triplet.embeddings.loudness import loudness_of
from audio_triplet.embeddings.model_files import is_of_others, located
from audio_triplet.errors import ArchiveError

if TYPE_CHECKING:
    from audio_triplet.data.manifest import Manifest

PATCH_SECONDS = FrontEndConfig().patch_samples / FrontEndConfig().sample_rate


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """The embeddings of one segment.

    Attributes:
      row: Its row in the manifest.
      vectors: float32[n, dim], of unit norm; n is 1 at segment granularity.
      start_seconds: float64[n], where in the file each begins.
      end_seconds: float64[n], where it ends.
      energy: float32[n], mean linear mel energy per cell; silence has next to none.
      seconds: Length of the segment's sound.
    """

    row: int
    vectors: np.ndarray
    start_seconds: np.ndarray
    end_seconds: np.ndarray
    energy: np.ndarray
    seconds: float


class Joined(NamedTuple):
    """Several segments' embeddings, in the order of their rows; see `EmbeddingSet`."""

    row: np.ndarray
    vectors: np.ndarray
    segment_index: np.ndarray
    start_seconds: np.ndarray
    end_seconds: np.ndarray
    energy: np.ndarray

    @classmethod
    def of(cls, found: Sequence[Embedded]) -> Joined:
        """Joins at least one segment."""
        found = sorted(found, key=lambda segment: segment.row)
        return cls(
            np.array([segment.row for segment in found]),
            np.concatenate([segment.vectors for segment in found]),
            np.repeat(
                np.arange(len(found), dtype=np.int32), [len(segment.vectors) for segment in found]
            ),
            np.concatenate([segment.start_seconds for segment in found]),
            np.concatenate([segment.end_seconds for segment in found]),
            np.concatenate([segment.energy for segment in found]),
        )


class NamedModel(Protocol):
    """A model with a name and a digest, such as `saved_model.Model`."""

    path: str

    @property
    def digest(self) -> str:
        """A hash of its graph and weights."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """What made a set of embeddings.

    Attributes:
      model: Folder of the model, where it was.
      model_digest: Its `saved_model.Model.digest`.
      granularity: `patch` or `segment`.
      hop_seconds: From one patch to the next.
    """

    model: str
    model_digest: str
    granularity: str
    hop_seconds: float

    @classmethod
    def of(cls, model: NamedModel, config: EmbedConfig) -> Origin:
        """A model and how it was used."""
        return cls(located(model.path), model.digest, config.granularity, config.hop_seconds)

    def centres(self, start_seconds: np.ndarray, end_seconds: np.ndarray) -> np.ndarray:
        """float64[n], see `EmbeddingSet.timestamps`."""
        if self.granularity == "patch" and not is_of_others(self.model):
            return start_seconds + PATCH_SECONDS / 2
        return (start_seconds + end_seconds) / 2


class Sources(NamedTuple):
    """The sources of a set's vectors, as files and indices keep them; see `EmbeddingSet`."""

    start_seconds: np.ndarray
    end_seconds: np.ndarray
    stamp: np.ndarray
    origin: Origin


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingSet:
    """Embeddings of segments of sound.

    Attributes after `energy` are set where they are needed: times, stamps and origin in sets that
    are kept in files and in an index, rows in those of a table.

    Attributes:
      manifest: The segments that were embedded, in order.
      vectors: float32[n, dim]; of unit norm if by an encoder.
      segment_index: int32[n], the row in `manifest` of the segment that each vector is of.
      energy: float32[n], mean linear mel energy per cell.
      row: int64[segments], rows in the manifest that the segments were taken from.
      start_seconds: float64[n], where in the file each vector's sound begins.
      end_seconds: float64[n], where it ends.
      stamp: int64[segments, 2], see `stamp_of`, of each segment's file when it was embedded.
      origin: What made it.
    """

    manifest: Manifest
    vectors: np.ndarray
    segment_index: np.ndarray
    energy: np.ndarray
    _: dataclasses.KW_ONLY
    row: np.ndarray | None = None
    start_seconds: np.ndarray | None = None
    end_seconds: np.ndarray | None = None
    stamp: np.ndarray | None = None
    origin: Origin | None = None

    @classmethod
    def of(
        cls, manifest: Manifest, found: Sequence[Embedded], origin: Origin | None = None
    ) -> EmbeddingSet:
        """A set of what `embed_files` yielded, in the manifest's order.

        Args:
          manifest: The one given to `embed_files`.
          found: At least one segment.
          origin: What made it. With it the set gets stamps, and can be kept in a file or an index.
        """
        joined = Joined.of(found)
        kept = manifest.take(joined.row)
        return cls(
            kept,
            joined.vectors,
            joined.segment_index,
            joined.energy,
            row=joined.row,
            start_seconds=joined.start_seconds,
            end_seconds=joined.end_seconds,
            stamp=None if origin is None else stamps_of(kept.frame["path"]),
            origin=origin,
        )

    def __len__(self) -> int:
        """Number of vectors."""
        return len(self.vectors)

    def sources(self) -> Sources:
        """Times, stamps and origin, which a set must have to be kept in a file or an index.

        Raises:
          ArchiveError: The set lacks them.
        """
        if (
            self.start_seconds is None
            or self.end_seconds is None
            or self.stamp is None
            or self.origin is None
        ):
            raise ArchiveError(
                f"{self.manifest.name}: these embeddings do not say where they are from; embed the "
                "files with a model"
            )
        return Sources(self.start_seconds, self.end_seconds, self.stamp, self.origin)

    @property
    def recording_ids(self) -> np.ndarray:
        """str[segments], the recording of each segment."""
        return self.manifest.frame["recording_id"].to_numpy(str)

    @property
    def timestamps(self) -> np.ndarray:
        """float64[n], centres in the file, seconds: of patches as the model gives them.

        A patch's centre may lie past the end of a file that is shorter than half a patch.
        """
        start, end, _, origin = self.sources()
        return origin.centres(start, end)

    @property
    def segment_means(self) -> np.ndarray:
        """Mean of each segment's vectors: float32[segments, dim] (the paper, evaluations).

        Silent patches count like others, as in the paper.
        """
        return mean_by_segment(self.vectors, self.segment_index, len(self.manifest))

    @property
    def loud_segment_means(self) -> np.ndarray:
        """The same with each vector counted by its loudness: float32[segments, dim] [D]."""
        weight = loudness_of(self.energy)
        return mean_by_segment(self.vectors, self.segment_index, len(self.manifest), weight)

    def audible_segment_means(self, silence_energy: float) -> np.ndarray:
        """Mean over the patches louder than silence: float32[segments, dim] [D].

        A segment without such a patch is the mean of all it has.

        Args:
          silence_energy: Mean mel energy per cell up to which a patch is silent.
        """
        weight = (self.energy > silence_energy).astype(np.float32)
        audible = np.bincount(self.segment_index, weight, len(self.manifest)) > 0
        weight = np.where(audible[self.segment_index], weight, 1.0)
        return mean_by_segment(self.vectors, self.segment_index, len(self.manifest), weight)

    def select(self, keep: np.ndarray) -> EmbeddingSet:
        """The segments where bool[segments] `keep` is true."""
        number = np.cumsum(keep) - 1
        of_kept = keep[self.segment_index]

        def pick(values: np.ndarray | None, chosen: np.ndarray) -> np.ndarray | None:
            return None if values is None else values[chosen]

        return EmbeddingSet(
            self.manifest.take(np.flatnonzero(keep)),
            self.vectors[of_kept],
            number[self.segment_index[of_kept]].astype(np.int32),
            self.energy[of_kept],
            row=pick(self.row, keep),
            start_seconds=pick(self.start_seconds, of_kept),
            end_seconds=pick(self.end_seconds, of_kept),
            stamp=pick(self.stamp, keep),
            origin=self.origin,
        )


def mean_by_segment(
    values: np.ndarray, segment_index: np.ndarray, segments: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Mean of the rows of each segment.

    Args:
      values: float32[n, dim].
      segment_index: int[n], in [0, segments).
      segments: Number of segments, each with at least one row of positive weight.
      weight: float32[n]; all equal if None.

    Returns:
      float32[segments, dim].
    """
    weight = np.ones(len(values), np.float32) if weight is None else weight
    total = np.zeros((segments, values.shape[1]), np.float64)
    np.add.at(total, segment_index, values * weight[:, None])
    return (total / np.bincount(segment_index, weight, segments)[:, None]).astype(np.float32)


def stamp_of(path: str) -> tuple[int, int]:
    """Size and time of change (ns) of a file.

    A file with the same stamp is taken to be the same.

    Raises:
      OSError: It is not there.
    """
    status = audio.status(path)
    return status.st_size, status.st_mtime_ns


def stamps_of(paths: Iterable[str]) -> np.ndarray:
    """int64[files, 2], the stamp of each file."""
    return np.array([stamp_of(path) for path in paths], np.int64).reshape(-1, 2)
