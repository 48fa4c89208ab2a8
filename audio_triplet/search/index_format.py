"""The files of an index: a folder of parts that never change, and the tables that list them.

    index.sqlite        the tables, see `database`
    part-ID/            embeddings, never changed once they are listed
        vectors.npy     float32 or float16[n, dim], of unit norm
        spans.npy       [n], start and end of each in its file, seconds, and its energy
        owners.npy      int32[n], id of each one's segment
    faiss-ID.bin        of some of the parts
    index.json          says to earlier versions of this package that the index is not theirs

Parts are written aside, then listed in one transaction: a process that is killed loses what it had
not listed yet, and a reader sees the old index or the new one. A segment's vectors stand side by
side in one part.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np

from audio_triplet.errors import SearchError
from audio_triplet.search import database

# Vectors that are read at once.
BLOCK = 1 << 15

# A row of spans.npy: seconds, and mean mel energy per cell. Parts of an earlier version have no
# energies; `with_energy` gives them NaN.
SPAN = np.dtype([("start", "<f8"), ("end", "<f8"), ("energy", "<f4")])

# A row of owners.npy.
OWNER = np.dtype("<i4")


@dataclasses.dataclass(frozen=True)
class FaissInfo:
    """A FAISS index of some of the parts.

    Attributes:
      file: Its name.
      parts: Ids of the parts it covers, in the order of its vectors.
      kind: What FAISS calls it.
      effort: `nprobe` or `efSearch`: how much of it is looked at.
      recall: Share of the exact ten nearest that it finds.
      build_seconds: Time it took.
      bytes: Size.
    """

    file: str
    parts: tuple[int, ...]
    kind: str
    effort: int
    recall: float
    build_seconds: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class PartInfo:
    """A part as the tables list it.

    Attributes:
      id: Its number, which no other part ever had.
      name: Its folder.
      vectors: How many it has.
      gone: (first, count) of vectors that no longer count: their file was embedded again.
    """

    id: int
    name: str
    vectors: int
    gone: tuple[tuple[int, int], ...] = ()

    @property
    def gone_vectors(self) -> int:
        """How many no longer count."""
        return sum(count for _, count in self.gone)

    def counting(self) -> np.ndarray:
        """Which of its vectors count: bool[vectors]."""
        counting = np.ones(self.vectors, bool)
        for first, count in self.gone:
            counting[first : first + count] = False
        return counting


@dataclasses.dataclass(frozen=True)
class IndexInfo:
    """What an index is of, and its parts.

    Attributes:
      model: Folder of the SavedModel, where it was.
      model_digest: Its digest, which no other model has.
      dim: Dimensions.
      granularity: `patch` or `segment`.
      hop_seconds: From one patch to the next.
      dtype: Of the stored vectors.
      parts: The parts, in the order they were added.
      faiss: The FAISS index, if there is one.
    """

    model: str
    model_digest: str
    dim: int
    granularity: str
    hop_seconds: float
    dtype: str
    parts: tuple[PartInfo, ...] = ()
    faiss: FaissInfo | None = None

    def about(self) -> dict[str, str | int | float]:
        """What stays as it is from the first vector on, by name."""
        names = ("model", "model_digest", "dim", "granularity", "hop_seconds", "dtype")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """Two segments that are the same recording.

    Attributes:
      first: Id of the one that was indexed first.
      second: Id of the other.
      kind: `exact`: all samples are the same; `near`: the recording is.
      offset_seconds: How much later a moment is in the second.
      likeness: Correlation of their samples where they fit best.
    """

    first: int
    second: int
    kind: str
    offset_seconds: float
    likeness: float


class Part:
    """An opened part: memory-mapped arrays."""

    def __init__(self, folder: str, info: PartInfo, dim: int, owners: np.ndarray | None = None):
        """Opens a part.

        Args:
          folder: The index.
          info: The part as the tables list it.
          dim: Dimensions of its vectors.
          owners: Its `owners`, if they are not on the disk.

        Raises:
          SearchError: It is damaged.
          FileNotFoundError: A file of it is missing.
        """
        self.info = info
        self.path = path = os.path.join(folder, info.name)
        names = ("vectors", "spans") if owners is not None else ("vectors", "spans", "owners")
        try:
            arrays = [
                np.load(os.path.join(path, f"{name}.npy"), mmap_mode="r", allow_pickle=False)
                for name in names
            ]
        except (ValueError, EOFError) as error:
            raise SearchError(database.damaged(path, error)) from error
        self.vectors: np.ndarray = arrays[0]
        self.spans: np.ndarray = arrays[1]
        self.owners = arrays[2] if owners is None else owners
        shapes = self.vectors.shape, self.spans.shape, self.owners.shape
        if shapes != ((info.vectors, dim), (info.vectors,), (info.vectors,)):
            raise SearchError(database.damaged(path, "it is not as long as the tables say"))

    def __len__(self) -> int:
        return self.info.vectors


def vector_blocks(parts: Sequence[Part]) -> Iterator[np.ndarray]:
    """All vectors in order, those that are gone included, float32[n, dim] at a time."""
    for part in parts:
        for first in range(0, len(part), BLOCK):
            yield part.vectors[first : first + BLOCK].astype(np.float32)


def sample_vectors(
    parts: Sequence[Part], count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors drawn at random, those that are gone included.

    Args:
      parts: The parts; vectors are numbered over all of them.
      count: How many, at most.
      seed: Of the draw.

    Returns:
      int64[n] their numbers, ascending, and float32[n, dim].
    """
    first = np.cumsum([0, *(len(part) for part in parts)])
    count = min(count, int(first[-1]))
    drawn = np.random.default_rng(seed).choice(int(first[-1]), count, replace=False)
    drawn.sort()
    vectors = [
        part.vectors[drawn[(drawn >= low) & (drawn < high)] - low]
        for part, low, high in zip(parts, first[:-1], first[1:], strict=True)
    ]
    return drawn, np.concatenate(vectors).astype(np.float32)


def runs_of(owners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each segment's vectors are in a part.

    Args:
      owners: int[n], see `Part`.

    Returns:
      int64[m] each: the segments' ids, their first vectors, and how many they have.
    """
    first = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]]) if len(owners) else np.arange(0)
    count = np.diff(np.r_[first, len(owners)])
    return np.asarray(owners[first], np.int64), first, count


def with_energy(spans: np.ndarray) -> np.ndarray:
    """Rows of a part's spans as `SPAN` has them, whatever version wrote them."""
    if "energy" in spans.dtype.names:
        return spans
    found = np.empty(len(spans), SPAN)
    found["start"], found["end"], found["energy"] = spans["start"], spans["end"], np.nan
    return found


def other_model(folder: str, info: IndexInfo, name: str, digest: str) -> str:
    """The message for vectors of another model than the index's."""
    return (
        f"{folder}: its vectors are of the model {info.model} ({info.model_digest[:12]}), those of "
        f"{name} are of another ({digest[:12]}) and cannot be compared; use that model, or make "
        "another index"
    )
