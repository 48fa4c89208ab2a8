"""What an index is on disk: a folder of parts that never change, and the list of them."""

import dataclasses
import json
import logging as stdlib_logging
import mmap
import os
from collections.abc import Iterator

import numpy as np

from audio_triplet import storage
from audio_triplet.errors import SearchError

INDEX_FILE = "index.json"
DTYPES = ("float32", "float16")
KINDS = ("ivf", "hnsw")
FAISS_FROM = 1_000_000
"""Vectors from which FAISS is worth its memory and its misses; below, exact search is quick."""

_VERSION = 1
BLOCK = 1 << 15
SPAN = np.dtype([("start", "<f8"), ("end", "<f8")])
SEGMENT = np.dtype(
    [
        ("first", "<i8"),
        ("count", "<i8"),
        ("offset", "<i8"),
        ("key", "<i8"),
        ("file", "<i8"),
        ("recording", "<i8"),
        ("size", "<i8"),
        ("mtime_ns", "<i8"),
    ]
)


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
      model_digest: What tells that model from others.
      dim: Dimensions.
      level: `patch` or `segment`.
      hop_seconds: From one patch to the next.
      dtype: Of the stored vectors.
      parts: The parts.
      faiss: The FAISS index, if there is one.
      version: Of the format.
    """

    model: str
    model_digest: str
    dim: int
    level: str
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
                told = content["faiss"]
                content["faiss"] = FaissInfo(**told | {"parts": tuple(told["parts"])})
            return cls(**content)
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
        storage.write_json(path, dataclasses.asdict(self), sync=True)


class Part:
    """An opened part; everything but the names is memory-mapped."""

    def __init__(self, folder: str, info: PartInfo, dim: int):
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

    def told(self, segment: int) -> dict:
        """What that line says."""
        try:
            return json.loads(self.line(segment))
        except ValueError as error:
            raise SearchError(self._damaged(error)) from error

    def segment_of(self, vector):
        """The segment of a vector, or of each of int[n]."""
        return np.searchsorted(self.segments["first"], vector, side="right") - 1

    def ranges(self, segments: np.ndarray) -> Iterator[slice]:
        """The vectors of the given segments."""
        for first, count in zip(
            self.segments["first"][segments], self.segments["count"][segments], strict=True
        ):
            yield slice(int(first), int(first + count))


def set_effort(built, effort: int) -> None:
    """Sets `nprobe` or `efSearch`."""
    faiss = import_faiss()
    inner = faiss.downcast_index(built)
    if hasattr(inner, "nprobe"):
        inner.nprobe = effort
    else:
        inner.hnsw.efSearch = effort


def import_faiss():
    """The module faiss.

    Raises:
      SearchError: It is not installed.
    """
    stdlib_logging.getLogger("faiss").setLevel("WARNING")  # it tells at length how it is loaded
    try:
        import faiss
    except ImportError:
        raise SearchError(
            "this needs faiss, which is not installed: pip install 'audio_triplet[search]'"
        ) from None
    return faiss


def open_parts(folder: str) -> tuple[IndexInfo, list[Part]]:
    """Reads index.json and opens its parts; again, if a writer replaced them between the two."""
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


def other_model(folder: str, info: IndexInfo, name: str, digest: str) -> str:
    """The message for vectors of another model than the index's."""
    return (
        f"{folder}: its vectors are of the model {info.model} ({info.model_digest[:12]}), those of "
        f"{name} are of another ({digest[:12]}) and cannot be compared; use that model, or make "
        "another index"
    )
