"""Search by FAISS: a separate index in the same folder, which finds most of the nearest.

FAISS finds vectors that are near; their scores are computed from the stored vectors, so they equal
those of exact search. The share of the exact answer that it finds is measured when it is built.

Of very many vectors FAISS keeps codes of a product quantiser, by which it tells only roughly what
is near: then the best of many more than are wanted are chosen by the stored vectors.
"""

from __future__ import annotations

import logging as stdlib_logging
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from absl import logging

from audio_triplet import storage
from audio_triplet.errors import SearchError
from audio_triplet.search import database
from audio_triplet.search.exact import Neighbour, nearest_of_many
from audio_triplet.search.index_format import (
    FaissInfo,
    IndexInfo,
    Part,
    sample_vectors,
    vector_blocks,
)

# Beyond this many neighbours exact search is as quick, and complete.
_MAX_WANTED = 8192

# [D] Searches by patches look at so many times as much: their answers are less near than the ten
# nearest of a vector of the index, by which the effort is measured.
HARDER = 4

# [D] How many of those that are near by their codes are scored by their vectors.
_RESCORED = 400

_RECALL_QUERIES = 200
_RECALL_TOP = 10


def import_faiss() -> ModuleType:
    """The module faiss.

    Raises:
      SearchError: It is not installed.
    """
    stdlib_logging.getLogger("faiss").setLevel("WARNING")  # faiss logs at length how it is loaded
    try:
        import faiss
    except ImportError:
        raise SearchError(
            "this needs faiss, which is not installed: pip install 'audio_triplet[search]'"
        ) from None
    return faiss


class FaissSearcher:
    """An opened FAISS index of some of an index's parts."""

    def __init__(self, folder: str, info: FaissInfo, parts: Sequence[Part]):
        """Opens it, memory-mapped.

        Args:
          folder: The index.
          info: The FAISS index as the tables list it.
          parts: All parts of the index.

        Raises:
          SearchError: faiss is not installed, or its file is damaged.
        """
        faiss = import_faiss()
        path = os.path.join(folder, info.file)
        try:
            self._searcher = faiss.read_index(path, faiss.IO_FLAG_MMAP)
        except RuntimeError as error:
            raise SearchError(f"{path}: cannot be read; {database.REBUILD}") from error
        _set_effort(self._searcher, info.effort)
        self._parts, self._is_coded = parts, ",PQ" in info.kind
        numbers = {part.info.id: number for number, part in enumerate(parts)}
        self._covered = [numbers[part] for part in info.parts]
        # Numbers of the parts that it does not cover.
        self.uncovered = [number for number in range(len(parts)) if number not in self._covered]

    def nearest(
        self, query: np.ndarray, top: int, keep: Sequence[np.ndarray | None]
    ) -> Iterator[list[Neighbour]]:
        """The vectors of the covered parts nearest to a query, in no order.

        Args:
          query: float32[dim], of unit norm.
          top: How many are wanted.
          keep: For each part bool[vectors], which of them may be found; None: all.

        Yields:
          Ever longer lists, up to a length from which exact search is better.
        """
        first = np.cumsum([0, *(len(self._parts[number]) for number in self._covered)])
        wanted = max(2 * top, _RESCORED if self._is_coded else 0)
        while wanted <= min(_MAX_WANTED, int(first[-1])):
            _, ids = self._searcher.search(query[None], wanted)
            ids = np.sort(ids[0][ids[0] >= 0])
            which = np.searchsorted(first, ids, side="right") - 1
            found: list[Neighbour] = []
            for position, number in enumerate(self._covered):
                vectors = ids[which == position] - first[position]
                if len(vectors):
                    found += self._scored(number, vectors, query, keep[number])
            yield found
            wanted *= 4

    def near(self, queries: np.ndarray, wanted: int) -> Iterator[tuple[int, np.ndarray]]:
        """The vectors whose product with one of several queries is greatest.

        Args:
          queries: float32[q, dim].
          wanted: How many for each query.

        Yields:
          The number of a covered part, and int64[n], vectors of it, ascending.
        """
        covered = [self._parts[number] for number in self._covered]
        first = np.cumsum([0, *map(len, covered)])
        wanted = min(wanted, int(first[-1]))
        queries = np.ascontiguousarray(queries, np.float32)
        looked = min(4 * wanted, int(first[-1])) if self._is_coded else wanted
        _, ids = self._searcher.search(queries, looked, params=self._harder(looked))
        if self._is_coded:
            ids = rescored(covered, queries, ids, wanted)
        found = np.unique(ids[ids >= 0])
        which = np.searchsorted(first, found, side="right") - 1
        for position, number in enumerate(self._covered):
            yield number, found[which == position] - first[position]

    def _harder(self, wanted: int) -> Any:
        """FAISS's parameters to look for more than the few that its effort was measured with."""
        faiss = import_faiss()
        inner = faiss.downcast_index(self._searcher)
        if hasattr(inner, "nprobe"):
            return faiss.SearchParametersIVF(nprobe=min(inner.nlist, HARDER * inner.nprobe))
        return faiss.SearchParametersHNSW(efSearch=max(wanted, HARDER * inner.hnsw.efSearch))

    def _scored(
        self, number: int, vectors: np.ndarray, query: np.ndarray, keep: np.ndarray | None
    ) -> list[Neighbour]:
        """Vectors of a part with their scores, without the excluded ones."""
        part = self._parts[number]
        if keep is not None:
            vectors = vectors[keep[vectors]]
        scores = part.vectors[vectors].astype(np.float32) @ query
        return [
            Neighbour(float(score), number, int(vector))
            for score, vector in zip(scores, vectors, strict=True)
        ]


def rescored(parts: Sequence[Part], queries: np.ndarray, ids: np.ndarray, top: int) -> np.ndarray:
    """The best of some vectors, by their products with queries.

    Args:
      parts: The parts; vectors are numbered over all of them.
      queries: float32[q, dim].
      ids: int64[q, n], vectors for each query; -1: none.
      top: How many are wanted.

    Returns:
      int64[q, top], best first; -1: there are no more.
    """
    known = np.unique(ids[ids >= 0])
    first = np.cumsum([0, *map(len, parts)])
    vectors = np.concatenate(
        [
            np.asarray(part.vectors[known[(known >= low) & (known < high)] - low], np.float32)
            for part, low, high in zip(parts, first[:-1], first[1:], strict=True)
        ]
    )
    best = np.full((len(queries), top), -1, np.int64)
    for number, (query, row) in enumerate(zip(queries, ids, strict=True)):
        row = row[row >= 0]
        scores = vectors[np.searchsorted(known, row)] @ query
        row = row[np.argsort(-scores, kind="stable")[:top]]
        best[number, : len(row)] = row
    return best


def build(
    folder: str, info: IndexInfo, parts: Sequence[Part], kind: str, recall: float
) -> FaissInfo:
    """Builds a FAISS index of all that an index lists, and measures what it misses.

    Args:
      folder: The index.
      info: Its content.
      parts: All its parts.
      kind: `ivf`, `hnsw` or `ivfpq`, see `index_writer.Writer.accelerate`.
      recall: Share of the exact ten nearest it must find; sets how much it looks at.

    Returns:
      The FAISS index. Its file is in the index's folder; the caller lists it.

    Raises:
      SearchError: faiss is not installed, there are too few vectors, or `recall` cannot be reached.
    """
    faiss = import_faiss()
    start = time.monotonic()
    total = sum(part.vectors for part in info.parts)
    if total < 2 * _RECALL_TOP:
        raise SearchError(f"{folder}: too few vectors ({total}) for FAISS")
    # Of codes many are looked at, so there are fewer lists, which are quicker to make.
    most = np.sqrt(total) if kind == "ivfpq" else 4 * np.sqrt(total)
    lists = max(1, min(1 << round(np.log2(most)), total // 39))
    code = "Flat" if info.dtype == "float32" else "SQfp16"
    name = {
        "ivf": f"IVF{lists},{code}",
        "hnsw": "HNSW32" if code == "Flat" else "HNSW32_SQfp16",
        "ivfpq": f"IVF{lists},PQ{info.dim // 2}",
    }[kind]
    built = faiss.index_factory(info.dim, name, faiss.METRIC_INNER_PRODUCT)
    if not built.is_trained:
        logging.info("training %s", name)
        built.train(sample_vectors(parts, max(64 * lists, 16_384))[1])
    logging.info("filling %s with %d vectors", name, total)
    for block in vector_blocks(parts):
        built.add(block)
    effort, found = _tune(built, parts, recall)
    seconds = time.monotonic() - start
    file_name = f"faiss-{secrets.token_hex(6)}.bin"
    path = os.path.join(folder, file_name)
    with storage.replacing(path) as temporary:
        faiss.write_index(built, temporary)
    covered = tuple(part.id for part in info.parts)
    return FaissInfo(file_name, covered, name, effort, found, seconds, os.path.getsize(path))


def _tune(built, parts: Sequence[Part], wanted: float) -> tuple[int, float]:
    """The least effort with which a FAISS index reaches a recall, and its recall at that effort."""
    numbers, queries = sample_vectors(parts, _RECALL_QUERIES)
    # Each query is itself in the index: it is left out on both sides.
    top = _RECALL_TOP + 1
    exact = nearest_of_many(parts, queries, top)
    truth = [set(row[row != own][:_RECALL_TOP]) for row, own in zip(exact, numbers, strict=True)]
    effort, most = 1, getattr(built, "nlist", 4096)
    is_coded = hasattr(built, "pq")
    while True:
        _set_effort(built, effort)
        _, ids = built.search(queries, min(_RESCORED, built.ntotal) if is_coded else top)
        if is_coded:
            ids = rescored(parts, queries, ids, top)
        found = [set(row[row != own][:_RECALL_TOP]) for row, own in zip(ids, numbers, strict=True)]
        recall = float(np.mean([len(a & b) / len(a) for a, b in zip(truth, found, strict=True)]))
        if recall >= wanted:
            return effort, recall
        if effort >= most:
            raise SearchError(f"FAISS finds {recall:.3f} at most; lower --recall below that")
        effort = min(most, effort * 2)


def _set_effort(built, effort: int) -> None:
    """Sets `nprobe` or `efSearch`: how much of the index is looked at."""
    inner = import_faiss().downcast_index(built)
    if hasattr(inner, "nprobe"):
        inner.nprobe = effort
    else:
        inner.hnsw.efSearch = effort
