"""An index: which of millions of embeddings are nearest to a query.

    with Writer(folder, model_digest=..., ...) as writer:
        writer.add(embeddings)                # an archive.EmbeddingSet, as often as one likes
    hits = Index(folder).search(query, top=10)

Up to about a million vectors the search is exact: the product with every one of them, read from
memory-mapped files. `Writer.accelerate` adds a FAISS index for more; what was added after it is
still searched exactly, so that nothing added is ever missing from the answers.

An index is a folder:

    index.json          what belongs to it: the model, and the parts below
    part-ID/            embeddings, never changed once they are listed
        vectors.npy     float32 or float16[n, dim], of unit norm
        spans.npy       [n], where in its file each begins and ends, seconds
        segments.npy    [m], which vectors are of which segment, and keys to know it by
        names.jsonl     a line a segment: path, recording, labels
    faiss-ID.bin        of some of the parts

Parts are written aside, then index.json is replaced by one that lists them: a process that is
killed loses what it had not listed yet, and a reader sees the old index or the new one.

No TensorFlow here: inspecting an index starts at once.
"""

import contextlib
import dataclasses
import functools
import json
import logging as stdlib_logging
import mmap
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures

import numpy as np
import threadpoolctl
from absl import logging

from audio_triplet import locks
from audio_triplet.manifest import CorpusError, Manifest, key_of

INDEX_FILE = "index.json"
DTYPES = ("float32", "float16")
KINDS = ("ivf", "hnsw")
FAISS_FROM = 1_000_000
"""Vectors from which FAISS is worth its memory and its misses; below, exact search is quick."""

_VERSION = 1
_PART_VECTORS = 1 << 18  # parts below this are put together
_BLOCK = 1 << 15
_RECALL_QUERIES = 200
_RECALL_TOP = 10
_SPAN = np.dtype([("start", "<f8"), ("end", "<f8")])
_SEGMENT = np.dtype([
    ("first", "<i8"), ("count", "<i8"), ("offset", "<i8"), ("key", "<i8"), ("file", "<i8"),
    ("recording", "<i8"), ("size", "<i8"), ("mtime_ns", "<i8"),
])


class SearchError(CorpusError):
    """An index or a query that cannot be used; the message names it and the mend."""


@dataclasses.dataclass(frozen=True)
class Hit:
    """What a search found.

    Attributes:
      score: Cosine to the query.
      path: The file.
      start_seconds: Where in it.
      end_seconds: To where.
      recording_id: Its recording.
      labels: Its labels, separated by ";".
    """

    score: float
    path: str
    start_seconds: float
    end_seconds: float
    recording_id: str
    labels: str


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
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            if content["version"] != _VERSION:
                raise SearchError(
                    f"{path}: is of format {content['version']}, this package reads {_VERSION}; "
                    "build it again with audio-triplet-index"
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
                "audio-triplet-index"
            ) from None
        except NotADirectoryError:
            raise SearchError(f"{folder}: is a file; an index is a folder") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, SearchError):
                raise
            raise SearchError(
                f"{path}: is damaged ({error}); build the index again with audio-triplet-index"
            ) from error

    def write(self, folder: str) -> None:
        """Replaces index.json, whole or not at all."""
        path = os.path.join(folder, INDEX_FILE)
        with _synced(f"{path}.tmp", "w") as file:
            json.dump(dataclasses.asdict(self), file, indent=1)
        os.replace(f"{path}.tmp", path)
        _sync_folder(folder)


class _Part:
    """An opened part; everything but the names is memory-mapped."""

    def __init__(self, folder: str, info: PartInfo, dim: int):
        self.info = info
        self._path = os.path.join(folder, info.name)
        try:
            self.vectors, self.spans, self.segments = (
                np.load(os.path.join(self._path, f"{name}.npy"), mmap_mode="r")
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


class Index:
    """An index, opened for reading as it is now; what is added later is seen by the next one.

    Attributes:
      folder: Its folder.
      info: Its index.json.
    """

    def __init__(self, folder: str, threads: int | None = None):
        """Opens an index.

        Args:
          folder: Its folder.
          threads: For exact search; the processors there are if None.

        Raises:
          SearchError: There is none, or it is damaged.
        """
        self.folder = folder
        self._threads = threads or os.cpu_count() or 1
        self.info, self._parts = _open(folder)
        self._faiss = None

    def __len__(self) -> int:
        """Number of vectors that are searched."""
        return sum(len(part) for part in self._parts) - sum(
            int(part.segments["count"][list(part.info.dropped)].sum()) for part in self._parts
        )

    @property
    def segments(self) -> int:
        """Number of segments, silent ones and all."""
        return sum(part.info.segments - len(part.info.dropped) for part in self._parts)

    @property
    def files(self) -> int:
        """Number of files."""
        keys = [
            np.delete(part.segments["file"], list(part.info.dropped)) for part in self._parts
        ]
        return len(np.unique(np.concatenate(keys))) if keys else 0

    @property
    def bytes(self) -> int:
        """Size on the disk."""
        return sum(
            entry.stat().st_size
            for name in ("", *(part.info.name for part in self._parts))
            for entry in os.scandir(os.path.join(self.folder, name)) if entry.is_file()
        )

    def check_model(self, model) -> None:
        """Raises SearchError unless this `export.Model` made the index."""
        if model.digest != self.info.model_digest:
            raise SearchError(_other_model(self.folder, self.info, model.path, model.digest))

    def recordings_of(self, path: str) -> set[int]:
        """Keys of the recordings that a file belongs to; empty if it is not in the index."""
        key = key_of(os.path.abspath(path))
        found: set[int] = set()
        for part in self._parts:
            found.update(part.segments["recording"][part.segments["file"] == key].tolist())
        return found

    def search(
        self,
        query: np.ndarray,
        top: int = 10,
        *,
        without: Iterable[int] = (),
        per_recording: int = 0,
        exact: bool = False,
    ) -> list[Hit]:
        """The nearest segments.

        Args:
          query: float[dim], of any length but zero.
          top: How many.
          without: Keys of recordings to leave out, see `recordings_of`.
          per_recording: Most hits of one recording; 0: any number.
          exact: Search exactly even where there is a FAISS index.

        Returns:
          Up to `top` hits, nearest first; equally near ones in the order they were added.

        Raises:
          SearchError: The query does not fit the index.
        """
        query = np.asarray(query, np.float32)
        norm = np.linalg.norm(query)
        if query.shape != (self.info.dim,) or not np.isfinite(norm) or norm == 0:
            raise SearchError(
                f"{self.folder}: a query is {self.info.dim} finite numbers, not all zero; this one "
                f"has shape {query.shape} and length {norm:g}"
            )
        if top < 1:
            raise SearchError(f"top must be at least 1, not {top}")
        query = query / norm
        without = np.fromiter(without, np.int64)
        searches = (self._nearest,) if exact or not self.info.faiss else (
            self._nearest_faiss, self._nearest
        )
        hits: list[Hit] = []
        for search in searches:
            for found in search(query, top, without):
                hits = self._hits(found, top, per_recording)
                if len(hits) == top:
                    return hits
        return hits

    def _hits(self, found, top: int, per_recording: int) -> list[Hit]:
        """The first `top` of (score, part, vector), best first, that `per_recording` allows."""
        hits, count = [], {}
        for score, number, vector in found:
            part = self._parts[number]
            segment = int(part.segment_of(vector))
            recording = int(part.segments["recording"][segment])
            count[recording] = count.get(recording, 0) + 1
            if per_recording and count[recording] > per_recording:
                continue
            told = part.told(segment)
            start, end = part.spans[vector].tolist()
            hits.append(Hit(
                score, told["path"], start, end, told["recording_id"], told["labels"]
            ))
            if len(hits) == top:
                break
        return hits

    def _nearest(self, query, top, without) -> Iterator[list[tuple[float, int, int]]]:
        """Exact; yields ever longer lists of (score, part, vector), best first, to the last."""
        yield from self._ranked(query, top, without, range(len(self._parts)))

    def _ranked(self, query, top, without, numbers: Sequence[int]):
        """The same of some of the parts."""
        first = np.cumsum([0, *(len(self._parts[number]) for number in numbers)])
        scores = np.empty(first[-1], np.float32)
        if not len(scores):
            return
        jobs = []
        for number, begin in zip(numbers, first, strict=False):
            vectors = self._parts[number].vectors
            jobs += [
                (vectors[at : at + _BLOCK], begin + at) for at in range(0, len(vectors), _BLOCK)
            ]

        def product(job):
            vectors, at = job
            out = scores[at : at + len(vectors)]
            np.dot(vectors.astype(np.float32, copy=False), query, out=out)

        _in_threads(product, jobs, self._threads)
        for number, begin in zip(numbers, first, strict=False):
            mine = scores[begin : begin + len(self._parts[number])]
            for left_out in self._left_out(self._parts[number], without):
                mine[left_out] = -np.inf
        while True:
            # All that reach the last wanted score, then a stable sort: ties as they were added.
            wanted = min(top, len(scores))
            reach = np.partition(scores, -wanted)[-wanted]
            best = np.flatnonzero(scores >= max(reach, -4))  # cosines, never the -inf
            best = best[np.argsort(-scores[best], kind="stable")]
            place = np.searchsorted(first, best, side="right") - 1
            yield [
                (float(scores[at]), numbers[which], int(at - first[which]))
                for at, which in zip(best, place, strict=True)
            ]
            if len(best) < wanted or wanted == len(scores):
                return
            top *= 4

    @staticmethod
    def _left_out(part: _Part, without: np.ndarray) -> Iterator[slice]:
        gone = np.asarray(part.info.dropped, np.int64)
        if len(without):
            gone = np.union1d(gone, np.flatnonzero(np.isin(part.segments["recording"], without)))
        return part.ranges(gone)

    def _nearest_faiss(self, query, top, without) -> Iterator[list[tuple[float, int, int]]]:
        """By FAISS, scores computed anew from the stored vectors, and exactly where it ends."""
        searcher = self._open_faiss()
        covered = [
            next(n for n, part in enumerate(self._parts) if part.info.name == name)
            for name in self.info.faiss.parts
        ]
        others = [n for n in range(len(self._parts)) if n not in covered]
        rest = next(self._ranked(query, top, without, others), [])
        first = np.cumsum([0, *(len(self._parts[n]) for n in covered)])
        wanted = 2 * top
        while wanted <= min(8192, int(first[-1])):
            _, ids = searcher.search(query[None], wanted)
            ids = np.sort(ids[0][ids[0] >= 0])
            place = np.searchsorted(first, ids, side="right") - 1
            found = []
            for which, number in enumerate(covered):
                part = self._parts[number]
                mine = ids[place == which] - first[which]
                if not len(mine):
                    continue
                segment = part.segment_of(mine)
                gone = np.isin(segment, part.info.dropped) | np.isin(
                    part.segments["recording"][segment], without
                )
                mine = mine[~gone]
                scores = part.vectors[mine].astype(np.float32) @ query
                found += [
                    (float(score), number, int(vector))
                    for score, vector in zip(scores, mine, strict=True)
                ]
            yield sorted([*found, *rest], key=lambda one: (-one[0], one[1:]))
            wanted *= 4

    def _open_faiss(self):
        if self._faiss is None:
            faiss = _import_faiss()
            told = self.info.faiss
            path = os.path.join(self.folder, told.file)
            try:
                self._faiss = faiss.read_index(path, faiss.IO_FLAG_MMAP)
            except RuntimeError as error:
                raise SearchError(f"{path}: cannot be read; build the index again") from error
            _set_effort(self._faiss, told.effort)
        return self._faiss

    def nearest_exactly(self, queries: np.ndarray, top: int) -> np.ndarray:
        """Numbers of the nearest vectors, counted over all parts, dropped ones included.

        Args:
          queries: float32[q, dim], of unit norm.
          top: How many; at most the vectors there are.

        Returns:
          int64[q, top], nearest first.
        """
        best = np.full((len(queries), top), -np.inf, np.float32)
        ids = np.full((len(queries), top), -1, np.int64)
        offset = 0
        for part in self._parts:
            for first in range(0, len(part), _BLOCK):
                block = part.vectors[first : first + _BLOCK].astype(np.float32, copy=False)
                scores = np.concatenate([best, queries @ block.T], axis=1)
                numbers = np.arange(offset + first, offset + first + len(block))
                numbers = np.concatenate(
                    [ids, np.broadcast_to(numbers, (len(queries), len(block)))], axis=1
                )
                keep = np.argpartition(-scores, top - 1, axis=1)[:, :top]
                best = np.take_along_axis(scores, keep, 1)
                ids = np.take_along_axis(numbers, keep, 1)
            offset += len(part)
        return np.take_along_axis(ids, np.argsort(-best, axis=1, kind="stable"), 1)

    def sample(self, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Vectors drawn at random: int64[n] numbers over all parts, float32[n, dim]."""
        first = np.cumsum([0, *(len(part) for part in self._parts)])
        count = min(count, int(first[-1]))
        drawn = np.random.default_rng(seed).choice(int(first[-1]), count, replace=False)
        drawn.sort()
        vectors = [
            part.vectors[drawn[(drawn >= low) & (drawn < high)] - low]
            for part, low, high in zip(self._parts, first[:-1], first[1:], strict=True)
        ]
        return drawn, np.concatenate(vectors).astype(np.float32)

    def blocks(self) -> Iterator[np.ndarray]:
        """All vectors in order, float32[n, dim] at a time."""
        for part in self._parts:
            for first in range(0, len(part), _BLOCK):
                yield part.vectors[first : first + _BLOCK].astype(np.float32)


def combine(likes: Sequence[np.ndarray], unlikes: Sequence[np.ndarray] = ()) -> np.ndarray:
    """One query of several examples and counter-examples.

    [D] Rocchio's: the mean of the examples less half the mean of the counter-examples. It stays a
    vector, so that every kind of index can be asked by it.

    Args:
      likes: float[dim] of unit norm, at least one.
      unlikes: float[dim] of unit norm.

    Returns:
      float32[dim], of unit norm.

    Raises:
      SearchError: Nothing is left.
    """
    query = np.mean(likes, axis=0, dtype=np.float64)
    if len(unlikes):
        query = query - 0.5 * np.mean(unlikes, axis=0, dtype=np.float64)
    norm = np.linalg.norm(query)
    if norm < 1e-6:
        raise SearchError("the examples cancel one another out; choose others")
    return (query / norm).astype(np.float32)


class Writer:
    """Adds to an index, or begins one. One process at a time: a second is told so.

    Attributes:
      folder: The index.
      info: What is listed at the moment.
      silent: Vectors left out because they are silent.
      replaced: Segments dropped because their file had changed.
    """

    def __init__(
        self,
        folder: str,
        *,
        model: str,
        model_digest: str,
        dim: int,
        level: str = "patch",
        hop_seconds: float = 0.96,
        dtype: str = "float32",
        silence_energy: float = 1e-3,
        commit_vectors: int = 1 << 16,
        commit_seconds: float = 60.0,
    ):
        """Opens an index for writing.

        Args:
          folder: Its folder; need not be there.
          model: Folder of the SavedModel.
          model_digest: `export.Model.digest`.
          dim: Dimensions.
          level: `patch` or `segment`.
          hop_seconds: From one patch to the next.
          dtype: Of the stored vectors; an index keeps the one it was begun with.
          silence_energy: What is not louder is left out [D]: all silence is alike, and nobody
            looks for it.
          commit_vectors: What is added is listed when it is this much.
          commit_seconds: Or when it is this old.

        Raises:
          SearchError: The index is of another model or level.
          LockedError: Another process is writing it.
        """
        self.folder, self.silent, self.replaced = folder, 0, 0
        self._silence, self._commit_vectors = silence_energy, commit_vectors
        self._commit_seconds = commit_seconds
        self._waiting: list = []
        self._count, self._since = 0, time.monotonic()
        if dtype not in DTYPES:
            raise SearchError(f"dtype={dtype!r} is none of {', '.join(DTYPES)}")
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(locks.exclusive(folder))
        try:
            if os.path.exists(os.path.join(folder, INDEX_FILE)):
                self.info = IndexInfo.read(folder)
                self._check(model, model_digest, dim, level, hop_seconds)
            else:
                self._check_free()
                self.info = IndexInfo(
                    os.path.abspath(model), model_digest, int(dim), level, float(hop_seconds), dtype
                )
                self.info.write(folder)
            locks.clear_leftovers(folder)
            self._clear_unlisted()
            self._known = self._read_known()
        except BaseException:
            self._lock.close()
            raise

    def _check(self, name, model_digest, dim, level, hop_seconds) -> None:
        if (self.info.model_digest, self.info.dim) != (model_digest, dim):
            raise SearchError(_other_model(self.folder, self.info, name, model_digest))
        if (self.info.level, self.info.hop_seconds) != (level, hop_seconds):
            raise SearchError(
                f"{self.folder}: holds embeddings of {self.info.level} level, every "
                f"{self.info.hop_seconds:g} s, and {name} are of {level} level, every "
                f"{hop_seconds:g} s; make an index of their own for them"
            )

    def _check_free(self) -> None:
        strange = sorted(set(os.listdir(self.folder)) - {locks.LOCK_FILE})
        strange = [name for name in strange if not name.startswith(("part-", "faiss-", "index"))]
        if strange:
            raise SearchError(
                f"{self.folder}: no index, and not empty ({strange[0]!r}); name another folder"
            )

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind, *_) -> None:
        """Lists what is waiting, puts small parts together, and lets others write."""
        try:
            self.commit()
            if kind is None:
                self._merge()
        finally:
            self._lock.close()

    def missing(self, manifest: Manifest) -> np.ndarray:
        """Rows of a manifest that are not in the index, or whose file has changed: int64[n]."""
        rows = []
        frame = manifest.frame
        for row, (path, start, end) in enumerate(
            zip(frame["path"], frame["start_seconds"], frame["end_seconds"], strict=True)
        ):
            path = os.path.abspath(path)
            try:
                status = os.stat(path)
            except OSError:
                rows.append(row)  # to be told by who reads it
                continue
            stamp = (status.st_size, status.st_mtime_ns)
            if self._known.get(key_of(path, float(start), float(end))) != stamp:
                rows.append(row)
        return np.array(rows, np.int64)

    def add(self, embeddings) -> int:
        """Adds a set of embeddings; segments that are in the index already are passed over.

        Args:
          embeddings: An `archive.EmbeddingSet`.

        Returns:
          Number of vectors added.

        Raises:
          SearchError: It is of another model or level, or holds vectors not of unit norm.
        """
        name = embeddings.manifest.name
        self._check(
            name, embeddings.model_digest, embeddings.vectors.shape[1], embeddings.level,
            embeddings.hop_seconds,
        )
        norms = np.linalg.norm(embeddings.vectors, axis=1)
        if not np.allclose(norms, 1, atol=1e-2):
            raise SearchError(f"{name}: holds vectors that are not of unit norm; embed it again")
        frame = embeddings.manifest.frame
        keys = [
            key_of(os.path.abspath(path), float(start), float(end))
            for path, start, end in zip(
                frame["path"], frame["start_seconds"], frame["end_seconds"], strict=True
            )
        ]
        stamps = list(map(tuple, embeddings.stamp.tolist()))
        new = np.array([
            self._known.get(key) != stamp for key, stamp in zip(keys, stamps, strict=True)
        ])
        if not new.any():
            return 0
        self._known |= dict(zip(keys, stamps, strict=True))
        audible = new[embeddings.segment] & (embeddings.energy > self._silence)
        self.silent += int(new[embeddings.segment].sum() - audible.sum())
        self._waiting.append((embeddings, new, audible))
        self._count += int(audible.sum())
        age = time.monotonic() - self._since
        if self._count >= self._commit_vectors or age >= self._commit_seconds:
            self.commit()
        return int(audible.sum())

    def commit(self) -> None:
        """Lists all that was added: from here on it stays, whatever happens."""
        self._since = time.monotonic()
        if not self._waiting:
            return
        segments, spans, vectors, lines, first = [], [], [], [], 0
        for embeddings, new, audible in self._waiting:
            # In the order of the segments, as `first` and `count` tell them.
            order = np.flatnonzero(audible)
            order = order[np.argsort(embeddings.segment[order], kind="stable")]
            count = np.bincount(embeddings.segment[order], minlength=len(new))[new]
            segments.append(self._segment_rows(embeddings, new, count, first))
            first += len(order)
            vectors.append(embeddings.vectors[order].astype(self.info.dtype))
            span = np.empty(len(order), _SPAN)
            span["start"] = embeddings.start_seconds[order]
            span["end"] = embeddings.end_seconds[order]
            spans.append(span)
            lines += _lines(embeddings, new)
        table = np.concatenate(segments)
        table["offset"] = np.cumsum([0, *map(len, lines[:-1])])
        part = self._write_part(
            [np.concatenate(vectors)], np.concatenate(spans), table, lines, len(table), first
        )
        self._waiting, self._count = [], 0
        parts = self._without_changed(table)
        self._list(dataclasses.replace(self.info, parts=(*parts, part)))

    @staticmethod
    def _segment_rows(embeddings, new, count, first) -> np.ndarray:
        frame = embeddings.manifest.frame[new]
        rows = np.zeros(len(frame), _SEGMENT)
        rows["count"] = count
        rows["first"] = first + np.cumsum(count) - count
        paths = [os.path.abspath(path) for path in frame["path"]]
        rows["file"] = [key_of(path) for path in paths]
        rows["key"] = [
            key_of(path, float(start), float(end))
            for path, start, end in zip(
                paths, frame["start_seconds"], frame["end_seconds"], strict=True
            )
        ]
        rows["recording"] = [key_of(name) for name in frame["recording_id"]]
        rows["size"], rows["mtime_ns"] = embeddings.stamp[new].T
        return rows

    def _write_part(self, vectors, spans, segments, lines, n_segments, n_vectors) -> PartInfo:
        """Writes a part aside and renames it: whole, or not there."""
        name = f"part-{secrets.token_hex(6)}"
        path = os.path.join(self.folder, name)
        os.makedirs(f"{path}.tmp")
        mapped = np.lib.format.open_memmap(
            os.path.join(f"{path}.tmp", "vectors.npy"), "w+", self.info.dtype,
            (n_vectors, self.info.dim),
        ) if n_vectors else None
        if mapped is None:  # a file cannot be mapped that holds nothing
            np.save(
                os.path.join(f"{path}.tmp", "vectors.npy"),
                np.zeros((0, self.info.dim), self.info.dtype),
            )
        else:
            done = 0
            for block in vectors:
                mapped[done : done + len(block)] = block
                done += len(block)
            mapped.flush()
            del mapped
        for content, file_name in ((spans, "spans.npy"), (segments, "segments.npy")):
            with _synced(os.path.join(f"{path}.tmp", file_name), "wb") as file:
                np.save(file, content)
        with _synced(os.path.join(f"{path}.tmp", "names.jsonl"), "wb") as file:
            file.writelines(lines)
        os.rename(f"{path}.tmp", path)
        return PartInfo(name, int(n_vectors), int(n_segments))

    def _without_changed(self, table: np.ndarray) -> list[PartInfo]:
        """The parts that are listed, less the segments of files that are in `table` anew."""
        stamp_of = {
            int(row["file"]): (int(row["size"]), int(row["mtime_ns"])) for row in table
        }
        files = np.fromiter(stamp_of, np.int64)
        parts = []
        for info in self.info.parts:
            segments = self._segments(info)
            dropped = set(info.dropped)
            for number in np.flatnonzero(np.isin(segments["file"], files)):
                row = segments[number]
                if stamp_of[int(row["file"])] != (int(row["size"]), int(row["mtime_ns"])):
                    dropped.add(int(number))
            self.replaced += len(dropped) - len(info.dropped)
            parts.append(dataclasses.replace(info, dropped=tuple(sorted(dropped))))
        return parts

    def _segments(self, info: PartInfo) -> np.ndarray:
        return np.load(os.path.join(self.folder, info.name, "segments.npy"), mmap_mode="r")

    def _read_known(self) -> dict[int, tuple[int, int]]:
        """Segment key → stamp of its file, of all that counts."""
        known = {}
        for info in self.info.parts:
            rows = np.delete(self._segments(info), list(info.dropped))
            stamps = zip(rows["size"].tolist(), rows["mtime_ns"].tolist(), strict=True)
            known |= dict(zip(rows["key"].tolist(), stamps, strict=True))
        return known

    def _list(self, info: IndexInfo) -> None:
        info.write(self.folder)
        self.info = info

    def _clear_unlisted(self) -> None:
        """Removes what no index.json lists: what a killed writer, or a merge, left behind."""
        listed = {info.name for info in self.info.parts}
        if self.info.faiss:
            listed.add(self.info.faiss.file)
        for entry in list(os.scandir(self.folder)):
            if entry.name.startswith(("part-", "faiss-")) and entry.name not in listed:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)

    def _merge(self) -> None:
        """Puts small parts, and those of which much was dropped, together into one."""
        covered = set(self.info.faiss.parts) if self.info.faiss else set()
        small = [
            info for info in self.info.parts
            if info.name not in covered
            and (info.vectors < _PART_VECTORS or len(info.dropped) * 5 > info.segments)
        ]
        if len(small) < 2 and not any(info.dropped for info in small):
            return
        parts = [_Part(self.folder, info, self.info.dim) for info in small]
        kept = [np.delete(np.arange(p.info.segments), list(p.info.dropped)) for p in parts]
        tables, spans, lines = [], [], []
        for part, segments in zip(parts, kept, strict=True):
            tables.append(np.array(part.segments[segments]))
            spans += [part.spans[where] for where in part.ranges(segments)]
            lines += [part.line(int(segment)) for segment in segments]
        table = np.concatenate(tables)
        count = int(table["count"].sum())
        table["first"] = np.cumsum(table["count"]) - table["count"]
        table["offset"] = np.cumsum([0, *map(len, lines[:-1])])
        vectors = (
            part.vectors[where]
            for part, segments in zip(parts, kept, strict=True)
            for where in part.ranges(segments)
        )
        merged = self._write_part(
            vectors, np.concatenate(spans) if spans else np.empty(0, _SPAN), table, lines,
            len(table), count,
        )
        names = {info.name for info in small}
        rest = [info for info in self.info.parts if info.name not in names]
        self._list(dataclasses.replace(self.info, parts=(*rest, merged)))
        self._clear_unlisted()

    def accelerate(self, kind: str = "ivf", recall: float = 0.95) -> FaissInfo:
        """Builds a FAISS index of all that is listed, and measures what it misses.

        Args:
          kind: `ivf`: lists of similar vectors, of which some are looked at; little more memory
            than the vectors. `hnsw`: a graph of neighbours; quicker to ask, slower to build.
          recall: Share of the exact ten nearest it must find; sets how much it looks at.

        Returns:
          What was built.

        Raises:
          SearchError: faiss is not installed, there is nothing to build it of, or `recall` is
            beyond it.
        """
        faiss = _import_faiss()
        if kind not in KINDS:
            raise SearchError(f"faiss={kind!r} is none of {', '.join(KINDS)}")
        self.commit()
        self._list(dataclasses.replace(self.info, faiss=None))
        self._merge()
        start = time.monotonic()
        index = Index(self.folder)
        total = sum(info.vectors for info in self.info.parts)
        if total < 2 * _RECALL_TOP:
            raise SearchError(f"{self.folder}: too few vectors ({total}) for FAISS")
        lists = max(1, min(1 << round(np.log2(4 * np.sqrt(total))), total // 39))
        storage = "Flat" if self.info.dtype == "float32" else "SQfp16"
        name = {
            "ivf": f"IVF{lists},{storage}",
            "hnsw": "HNSW32" if storage == "Flat" else "HNSW32_SQfp16",
        }[kind]
        built = faiss.index_factory(self.info.dim, name, faiss.METRIC_INNER_PRODUCT)
        if not built.is_trained:
            logging.info("training %s", name)
            built.train(index.sample(64 * lists)[1])
        logging.info("filling %s with %d vectors", name, total)
        for block in index.blocks():
            built.add(block)
        effort, found = _tune(built, index, recall)
        seconds = time.monotonic() - start
        file_name = f"faiss-{secrets.token_hex(6)}.bin"
        path = os.path.join(self.folder, file_name)
        faiss.write_index(built, f"{path}.tmp")
        os.replace(f"{path}.tmp", path)
        told = FaissInfo(
            file_name, tuple(info.name for info in self.info.parts), name, effort, found, seconds,
            os.path.getsize(path),
        )
        self._list(dataclasses.replace(self.info, faiss=told))
        self._clear_unlisted()
        return told

    @property
    def uncovered(self) -> int:
        """Vectors that no FAISS index covers."""
        covered = set(self.info.faiss.parts) if self.info.faiss else set()
        return sum(info.vectors for info in self.info.parts if info.name not in covered)


def _tune(built, index: Index, wanted: float) -> tuple[int, float]:
    """The least effort with which a FAISS index finds enough, and the recall it then has."""
    numbers, queries = index.sample(_RECALL_QUERIES)
    # Each query is itself in the index: its own place is left out on both sides.
    top = _RECALL_TOP + 1
    exact = index.nearest_exactly(queries, top)
    truth = [set(row[row != own][:_RECALL_TOP]) for row, own in zip(exact, numbers, strict=True)]
    effort, recall, most = 1, 0.0, getattr(built, "nlist", 4096)
    while True:
        _set_effort(built, effort)
        _, ids = built.search(queries, top)
        found = [set(row[row != own][:_RECALL_TOP]) for row, own in zip(ids, numbers, strict=True)]
        recall = float(np.mean([len(a & b) / len(a) for a, b in zip(truth, found, strict=True)]))
        if recall >= wanted:
            return effort, recall
        if effort >= most:
            raise SearchError(f"FAISS finds {recall:.3f} at most; lower --recall below that")
        effort = min(most, effort * 2)


def _set_effort(built, effort: int) -> None:
    """Sets `nprobe` or `efSearch`."""
    faiss = _import_faiss()
    inner = faiss.downcast_index(built)
    if hasattr(inner, "nprobe"):
        inner.nprobe = effort
    else:
        inner.hnsw.efSearch = effort


def _import_faiss():
    stdlib_logging.getLogger("faiss").setLevel("WARNING")  # it tells at length how it is loaded
    try:
        import faiss
    except ImportError:
        raise SearchError(
            "this needs faiss, which is not installed: pip install 'audio_triplet[search]'"
        ) from None
    return faiss


def _open(folder: str) -> tuple[IndexInfo, list[_Part]]:
    """Reads index.json and opens its parts; again, if a writer replaced them between the two."""
    while True:
        info = IndexInfo.read(folder)
        parts: list[_Part] = []
        try:
            for part in info.parts:
                parts.append(_Part(folder, part, info.dim))
            return info, parts
        except FileNotFoundError as error:
            if IndexInfo.read(folder) == info:
                raise SearchError(
                    f"{error.filename}: is missing; build the index again with "
                    "audio-triplet-index"
                ) from error


def _other_model(folder: str, info: IndexInfo, name: str, digest: str) -> str:
    return (
        f"{folder}: its vectors are of the model {info.model} ({info.model_digest[:12]}), those of "
        f"{name} are of another ({digest[:12]}) and cannot be compared; use that model, or make "
        "another index"
    )


def _lines(embeddings, keep: np.ndarray) -> list[bytes]:
    frame = embeddings.manifest.frame[keep]
    return [
        _line({"path": os.path.abspath(path), "recording_id": recording, "labels": labels})
        for path, recording, labels in zip(
            frame["path"], frame["recording_id"], frame["labels"], strict=True
        )
    ]


def _line(told: dict) -> bytes:
    return json.dumps(told).encode() + b"\n"


def _in_threads(function, jobs: Sequence, threads: int) -> None:
    """Runs NumPy products side by side, each on one core."""
    if len(jobs) < 2 or threads < 2:
        for job in jobs:
            function(job)
        return
    with _blas().limit(limits=1), futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(function, jobs))


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
    """NumPy's own threads; finding them takes milliseconds."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def _synced(path: str, mode: str):
    """A file that is on the disk when it is closed."""
    with open(path, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
