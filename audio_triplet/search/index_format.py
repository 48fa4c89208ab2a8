"""The files of an index: a folder of parts that never change, and the list of them.

    index.json          the model, and the list of the parts
    part-ID/            embeddings, never changed once they are listed
        vectors.npy     float32 or float16[n, dim], of unit norm
        spans.npy       [n], start and end of each in its file, seconds
        segments.npy    [m], the vectors of each segment, and its keys
        names.jsonl     a line per segment: path, recording, labels, clock time
    faiss-ID.bin        of some of the parts

Parts are written aside, then index.json is replaced by one that lists them: a process that is
killed loses what it had not listed yet, and a reader sees the old index or the new one.
"""

import dataclasses
import datetime
import json
import mmap
import os
from collections.abc import Iterator, Sequence

import numpy as np

from audio_triplet import storage
from audio_triplet.data.keys import key_of
from audio_triplet.errors import SearchError

INDEX_FILE = "index.json"
DTYPES = ("float32", "float16")
KINDS = ("ivf", "hnsw")

# Vectors from which FAISS is worth its memory and its misses; below, exact search is quick.
FAISS_FROM = 1_000_000

# Vectors that are read at once.
BLOCK = 1 << 15

_VERSION = 1

# A row of spans.npy, seconds.
SPAN = np.dtype([("start", "<f8"), ("end", "<f8")])

# A row of segments.npy.
SEGMENT = np.dtype(
    [
        ("first", "<i8"),  # its first vector
        ("count", "<i8"),  # how many it has
        ("offset", "<i8"),  # of its line in names.jsonl
        ("key", "<i8"),  # see `segment_key`
        ("file", "<i8"),  # key of its path
        ("recording", "<i8"),  # key of its recording
        ("size", "<i8"),  # of its file when it was embedded
        ("mtime_ns", "<i8"),  # of its file when it was embedded
    ]
)


def segment_key(path: str, start_seconds: float, end_seconds: float) -> int:
    """The key of a segment, the same for every way to write its path."""
    return key_of(os.path.abspath(path), float(start_seconds), float(end_seconds))


@dataclasses.dataclass(frozen=True)
class FaissInfo:
    """A FAISS index of some of the parts.

    Attributes:
      file: Its name.
      parts: Names of the parts it covers, in the order of its vectors.
      kind: What FAISS calls it.
      effort: `nprobe` or `efSearch`: how much of it is looked at.
      recall: Share of the exact ten nearest that it finds.
      build_seconds: Time it took.
      bytes: Size.
    """

    file: str
    parts: tuple[str, ...]
    kind: str
    effort: int
    recall: float
    build_seconds: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class PartInfo:
    """A part as index.json lists it.

    Attributes:
      name: Its folder.
      vectors: How many it has.
      segments: Of how many segments.
      dropped: Segments that no longer count: their file has changed and was embedded again.
    """

    name: str
    vectors: int
    segments: int
    dropped: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class IndexInfo:
    """The content of index.json.

    Attributes:
      model: Folder of the SavedModel, where it was.
      model_digest: Its digest, which no other model has.
      dim: Dimensions.
      granularity: `patch` or `segment`; on disk `level`.
      hop_seconds: From one patch to the next.
      dtype: Of the stored vectors.
      parts: The parts.
      faiss: The FAISS index, if there is one.
      version: Of the format.
    """

    model: str
    model_digest: str
    dim: int
    granularity: str
    hop_seconds: float
    dtype: str
    parts: tuple[PartInfo, ...] = ()
    faiss: FaissInfo | None = None
    version: int = _VERSION

    @classmethod
    def read(cls, folder: str) -> "IndexInfo":
        """Reads index.json.

        Raises:
          SearchError: There is none, it is damaged, or of another version.
        """
        path = os.path.join(folder, INDEX_FILE)
        try:
            content = storage.read_json(path)
            if content["version"] != _VERSION:
                raise SearchError(
                    f"{path}: is of format {content['version']}, this package reads {_VERSION}; "
                    "build it again with audio-triplet index"
                )
            content["parts"] = tuple(
                PartInfo(**part | {"dropped": tuple(part["dropped"])}) for part in content["parts"]
            )
            if content["faiss"]:
                faiss = content["faiss"]
                content["faiss"] = FaissInfo(**faiss | {"parts": tuple(faiss["parts"])})
            return cls(granularity=content.pop("level"), **content)
        except FileNotFoundError:
            raise SearchError(
                f"{folder}: holds no index ({INDEX_FILE} is missing); build one with "
                "audio-triplet index"
            ) from None
        except NotADirectoryError:
            raise SearchError(f"{folder}: is a file; an index is a folder") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, SearchError):
                raise
            raise SearchError(
                f"{path}: is damaged ({error}); build the index again with audio-triplet index"
            ) from error

    def write(self, folder: str) -> None:
        """Replaces index.json, whole or not at all."""
        path = os.path.join(folder, INDEX_FILE)
        content = {
            "level" if name == "granularity" else name: value
            for name, value in dataclasses.asdict(self).items()
        }
        storage.write_json(path, content, sync=True)


class Part:
    """An opened part; everything but the names is memory-mapped."""

    def __init__(self, folder: str, info: PartInfo, dim: int):
        """Opens a part.

        Args:
          folder: The index.
          info: The part as index.json lists it.
          dim: Dimensions of its vectors.

        Raises:
          SearchError: It is damaged.
          FileNotFoundError: A file of it is missing.
        """
        self.info = info
        self._path = os.path.join(folder, info.name)
        try:
            self.vectors, self.spans, self.segments = (
                np.load(os.path.join(self._path, f"{name}.npy"), mmap_mode="r", allow_pickle=False)
                for name in ("vectors", "spans", "segments")
            )
        except (ValueError, EOFError) as error:
            raise SearchError(self._damaged(error)) from error
        expected = (info.vectors, dim), (info.vectors,), (info.segments,)
        if (self.vectors.shape, self.spans.shape, self.segments.shape) != expected:
            raise SearchError(self._damaged("it is not as long as index.json says"))
        with open(os.path.join(self._path, "names.jsonl"), "rb") as file:
            self._names = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _damaged(self, cause) -> str:
        return f"{self._path}: is damaged ({cause}); build the index again"

    def __len__(self) -> int:
        return self.info.vectors

    def line(self, segment: int) -> bytes:
        """The line of a segment in names.jsonl."""
        offset = int(self.segments["offset"][segment])
        return self._names[offset : self._names.find(b"\n", offset) + 1]

    def names(self, segment: int) -> dict[str, str]:
        """The content of that line: `path`, `recording_id` and `labels`, joined by ";".

        And `recorded_at`, ISO 8601, where it is known; what was indexed earlier lacks it.
        """
        try:
            return json.loads(self.line(segment))
        except ValueError as error:
            raise SearchError(self._damaged(error)) from error

    def recorded_at(self, names: dict[str, str]) -> datetime.datetime | None:
        """When a segment's recording began, of what `names` says; None: not known."""
        from audio_triplet.audio import clock  # here, so that --help stays quick

        if "recorded_at" not in names:
            return clock.time_in_name(names["path"])
        try:
            return datetime.datetime.fromisoformat(names["recorded_at"])
        except ValueError as error:
            raise SearchError(self._damaged(error)) from error

    def segment_of(self, vector: int | np.ndarray) -> np.ndarray:
        """The segment of a vector, or of each of int[n]."""
        return np.searchsorted(self.segments["first"], vector, side="right") - 1

    def ranges(self, segments: np.ndarray) -> Iterator[slice]:
        """The vectors of the given segments."""
        for first, count in zip(
            self.segments["first"][segments], self.segments["count"][segments], strict=True
        ):
            yield slice(int(first), int(first + count))


def open_parts(folder: str) -> tuple[IndexInfo, list[Part]]:
    """Reads index.json and opens its parts; again, if a writer replaced them between the two.

    Raises:
      SearchError: There is no index, or it is damaged.
    """
    while True:
        info = IndexInfo.read(folder)
        parts: list[Part] = []
        try:
            for part in info.parts:
                parts.append(Part(folder, part, info.dim))
            return info, parts
        except FileNotFoundError as error:
            if IndexInfo.read(folder) == info:
                raise SearchError(
                    f"{error.filename}: is missing; build the index again with audio-triplet index"
                ) from error


def vector_blocks(parts: Sequence[Part]) -> Iterator[np.ndarray]:
    """All vectors in order, dropped segments included, float32[n, dim] at a time."""
    for part in parts:
        for first in range(0, len(part), BLOCK):
            yield part.vectors[first : first + BLOCK].astype(np.float32)


def sample_vectors(
    parts: Sequence[Part], count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors drawn at random, dropped segments included.

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


def other_model(folder: str, info: IndexInfo, name: str, digest: str) -> str:
    """The message for vectors of another model than the index's."""
    return (
        f"{folder}: its vectors are of the model {info.model} ({info.model_digest[:12]}), those of "
        f"{name} are of another ({digest[:12]}) and cannot be compared; use that model, or make "
        "another index"
    )
