"""An index: which of millions of embeddings are nearest to a query.

    with index_writer.Writer(folder, model_digest=..., ...) as writer:
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

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures

import numpy as np
import threadpoolctl

from audio_triplet.data.manifest import key_of
from audio_triplet.errors import SearchError
from audio_triplet.search.index_format import (
    BLOCK,
    Part,
    import_faiss,
    open_parts,
    other_model,
    set_effort,
)


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
        self.info, self._parts = open_parts(folder)
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
        keys = [np.delete(part.segments["file"], list(part.info.dropped)) for part in self._parts]
        return len(np.unique(np.concatenate(keys))) if keys else 0

    @property
    def bytes(self) -> int:
        """Size on the disk."""
        return sum(
            entry.stat().st_size
            for name in ("", *(part.info.name for part in self._parts))
            for entry in os.scandir(os.path.join(self.folder, name))
            if entry.is_file()
        )

    def check_model(self, model) -> None:
        """Raises SearchError unless this `saved_model.Model` made the index."""
        if model.digest != self.info.model_digest:
            raise SearchError(other_model(self.folder, self.info, model.path, model.digest))

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
        searches = (
            (self._nearest,)
            if exact or not self.info.faiss
            else (self._nearest_faiss, self._nearest)
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
            hits.append(Hit(score, told["path"], start, end, told["recording_id"], told["labels"]))
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
            jobs += [(vectors[at : at + BLOCK], begin + at) for at in range(0, len(vectors), BLOCK)]

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
    def _left_out(part: Part, without: np.ndarray) -> Iterator[slice]:
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
            faiss = import_faiss()
            told = self.info.faiss
            path = os.path.join(self.folder, told.file)
            try:
                self._faiss = faiss.read_index(path, faiss.IO_FLAG_MMAP)
            except RuntimeError as error:
                raise SearchError(f"{path}: cannot be read; build the index again") from error
            set_effort(self._faiss, told.effort)
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
            for first in range(0, len(part), BLOCK):
                block = part.vectors[first : first + BLOCK].astype(np.float32, copy=False)
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
            for first in range(0, len(part), BLOCK):
                yield part.vectors[first : first + BLOCK].astype(np.float32)


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
