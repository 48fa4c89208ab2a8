"""An index that is searched by vectors: the nearest of millions of embeddings to a query.

    with index_writer.Writer(folder, model_digest=..., ...) as writer:
        writer.add(embeddings)                # an EmbeddingSet, any number of times
    hits = Index(folder).search(query, top=10)

Up to about a million vectors the search is exact, see `exact`. `Writer.accelerate` adds a FAISS
index for more, see `faiss_search`; vectors added after it are still searched exactly, so that
nothing added is ever missing from the answers. `index_format` describes the files of an index.

No TensorFlow here: inspecting an index starts at once.
"""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.audio import clock
from audio_triplet.data.keys import key_of
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.errors import SearchError
from audio_triplet.search import exact as exact_search
from audio_triplet.search.exact import Neighbour
from audio_triplet.search.faiss_search import FaissSearcher
from audio_triplet.search.index_format import (
    open_parts,
    other_model,
    sample_vectors,
    vector_blocks,
)

if TYPE_CHECKING:
    from audio_triplet.embeddings.embedding_set import NamedModel


@dataclasses.dataclass(frozen=True)
class Hit:
    """A sound that a search found.

    Attributes:
      score: Cosine to the query.
      path: The file.
      start_seconds: Where in it the sound begins.
      end_seconds: Where it ends.
      recording_id: Its recording.
      labels: Its labels.
      clock_time: When it was recorded, ISO 8601 to the millisecond; empty: not known.
    """

    score: float
    path: str
    start_seconds: float
    end_seconds: float
    recording_id: str
    labels: tuple[str, ...]
    clock_time: str = ""


class Index:
    """An index, opened for reading as it is now; later additions need a new `Index`.

    Attributes:
      folder: Its folder.
      info: Its index.json.
    """

    def __init__(self, folder: str, threads: int | None = None):
        """Opens an index.

        Args:
          folder: Its folder.
          threads: For exact search; None: one for each processor.

        Raises:
          SearchError: There is none, or it is damaged.
        """
        self.folder = folder
        self._threads = threads or os.cpu_count() or 1
        self.info, self._parts = open_parts(folder)
        self._faiss: FaissSearcher | None = None

    def __len__(self) -> int:
        """Number of vectors that are searched."""
        return sum(len(part) for part in self._parts) - sum(
            int(part.segments["count"][list(part.info.dropped)].sum()) for part in self._parts
        )

    @property
    def segments(self) -> int:
        """Number of segments, silent ones included."""
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

    def check_model(self, model: "NamedModel") -> None:
        """Raises SearchError unless this model made the index."""
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
        only: SoundFilter | None = None,
    ) -> list[Hit]:
        """The nearest segments.

        Args:
          query: float[dim], of any length but zero.
          top: How many.
          without: Keys of recordings to leave out, see `recordings_of`.
          per_recording: Most hits of one recording; 0: any number.
          exact: Search exactly even where there is a FAISS index.
          only: What is searched at all; exactly, as a FAISS index knows no such thing.

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
        keep = self._kept(only) if only else None
        searches = [functools.partial(self._exactly, keep=keep)]
        if self.info.faiss and not exact and keep is None:
            if self._faiss is None:
                self._faiss = FaissSearcher(self.folder, self.info.faiss, self._parts)
            searches.insert(0, functools.partial(self._by_faiss, self._faiss))
        hits: list[Hit] = []
        for search in searches:
            for found in search(query, top, without):
                hits = self._hits(found, top, per_recording)
                if len(hits) == top:
                    return hits
        return hits

    def _hits(self, found: Sequence[Neighbour], top: int, per_recording: int) -> list[Hit]:
        """The first `top` neighbours, best first, that `per_recording` allows."""
        hits: list[Hit] = []
        count: dict[int, int] = {}
        for score, number, vector in found:
            part = self._parts[number]
            segment = int(part.segment_of(vector))
            recording = int(part.segments["recording"][segment])
            count[recording] = count.get(recording, 0) + 1
            if per_recording and count[recording] > per_recording:
                continue
            names = part.names(segment)
            start, end = part.spans[vector].tolist()
            labels = tuple(names["labels"].split(";")) if names["labels"] else ()
            began = part.recorded_at(names)
            when = clock.later(began, start).isoformat(timespec="milliseconds") if began else ""
            hits.append(Hit(score, names["path"], start, end, names["recording_id"], labels, when))
            if len(hits) == top:
                break
        return hits

    def _kept(self, only: SoundFilter) -> list[np.ndarray]:
        """Which vectors of each part a filter takes: bool[vectors] each."""
        kept = []
        for part in self._parts:
            keep = np.zeros(len(part), bool)
            for segment, where in enumerate(part.ranges(np.arange(part.info.segments))):
                names = part.names(segment)
                if not only.takes_path(names["path"]):
                    continue
                began = part.recorded_at(names) if only.needs_clock else None
                keep[where] = [
                    only.takes_time(began and clock.later(began, start))
                    for start in part.spans["start"][where].tolist()
                ]
            kept.append(keep)
        return kept

    def _exactly(
        self,
        query: np.ndarray,
        top: int,
        without: np.ndarray,
        keep: Sequence[np.ndarray] | None = None,
    ) -> Iterator[list[Neighbour]]:
        """Ever longer lists, best first; the last holds all."""
        every = range(len(self._parts))
        return exact_search.nearest(self._parts, every, query, top, without, self._threads, keep)

    def _by_faiss(
        self, searcher: FaissSearcher, query: np.ndarray, top: int, without: np.ndarray
    ) -> Iterator[list[Neighbour]]:
        """Ever longer lists, best first; vectors that FAISS does not cover are searched exactly."""
        uncovered = exact_search.nearest(
            self._parts, searcher.uncovered, query, top, without, self._threads
        )
        rest = next(uncovered, [])
        for found in searcher.nearest(query, top, without):
            yield sorted([*found, *rest], key=lambda near: (-near.score, near.part, near.vector))

    def sample(self, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Vectors drawn at random, see `index_format.sample_vectors`."""
        return sample_vectors(self._parts, count, seed)

    def blocks(self) -> Iterator[np.ndarray]:
        """All vectors in order, float32[n, dim] at a time."""
        return vector_blocks(self._parts)
