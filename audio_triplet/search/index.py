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
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.errors import SearchError
from audio_triplet.search import database, measuring
from audio_triplet.search import exact as exact_search
from audio_triplet.search.exact import Neighbour
from audio_triplet.search.faiss_search import FaissSearcher
from audio_triplet.search.index_format import (
    OWNER,
    IndexInfo,
    Part,
    other_model,
    sample_vectors,
    vector_blocks,
    with_energy,
)
from audio_triplet.search.likeness import Likeness
from audio_triplet.search.tables import Segment, Tables

if TYPE_CHECKING:
    from audio_triplet.embeddings.embedding_set import NamedModel

_NAMED_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Hit:
    """A sound that a search found.

    Attributes:
      score: Cosine to the query; from `asking` about the archive's own mean.
      path: The file.
      start_seconds: Where in it the sound begins.
      end_seconds: Where it ends.
      recording_id: Its recording.
      labels: Its labels.
      clock_time: When it was recorded, ISO 8601 to the millisecond; empty: not known.
      copies: Files that are the same recording, if copies are folded.
    """

    score: float
    path: str
    start_seconds: float
    end_seconds: float
    recording_id: str
    labels: tuple[str, ...]
    clock_time: str = ""
    copies: tuple[str, ...] = ()


class Index:
    """An index, opened for reading as it is now; later additions need a new `Index`.

    Attributes:
      folder: Its folder.
      info: What it is of, and its parts.
      tables: Names of segments, labels and constants.
      parts: Its vectors, memory-mapped, in the order in which `blocks` numbers them.
      threads: Cores to use.
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
        self.threads = threads or os.cpu_count() or 1
        self.tables = Tables.open(folder)
        self._version = self.tables.version()  # first: a change after it is noticed
        self.info, self.parts = _open_parts(folder, self.tables)
        self._numbers = {part.info.id: number for number, part in enumerate(self.parts)}
        self._faiss: FaissSearcher | None = None

    def __len__(self) -> int:
        """Number of vectors that are searched."""
        return sum(len(part) - part.info.gone_vectors for part in self.parts)

    @property
    def segments(self) -> int:
        """Number of segments, silent ones included."""
        return self.tables.count()[0]

    @property
    def files(self) -> int:
        """Number of files."""
        return self.tables.count()[1]

    @property
    def bytes(self) -> int:
        """Size on the disk."""
        return sum(
            entry.stat().st_size
            for name in ("", *(part.info.name for part in self.parts))
            for entry in os.scandir(os.path.join(self.folder, name))
            if entry.is_file()
        )

    def check_model(self, model: "NamedModel") -> None:
        """Raises SearchError unless this model made the index."""
        if model.digest != self.info.model_digest:
            raise SearchError(other_model(self.folder, self.info, model.path, model.digest))

    def recordings_of(self, path: str) -> set[int]:
        """Numbers of the recordings that a file belongs to; empty if it is not in the index."""
        return self.tables.recordings_of(path)

    def search(
        self,
        query: np.ndarray,
        top: int = 10,
        *,
        without: Iterable[int] = (),
        per_recording: int = 0,
        exact: bool = False,
        only: SoundFilter | None = None,
        fold_duplicates: bool = False,
    ) -> list[Hit]:
        """The nearest segments.

        Args:
          query: float[dim], of any length but zero.
          top: How many.
          without: Numbers of recordings to leave out, see `recordings_of`.
          per_recording: Most hits of one recording; 0: any number.
          exact: Search exactly even where there is a FAISS index.
          only: What is searched at all; exactly, as a FAISS index knows no such thing.
          fold_duplicates: Of recordings that are the same, only the best is a hit; it names the
            others.

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
        keep = self.kept(only, without)
        groups = self.tables.copies() if fold_duplicates else {}
        searches = [functools.partial(self._exactly, keep=keep)]
        if self.info.faiss and not exact and not only:
            searches.insert(0, functools.partial(self._by_faiss, self.faiss(), keep=keep))
        hits: list[Hit] = []
        for search in searches:
            for found in search(query, top):
                hits = self._hits(found, top, per_recording, groups)
                if len(hits) == top:
                    return hits
        return hits

    def faiss(self) -> FaissSearcher:
        """Its FAISS index, opened at the first call.

        Raises:
          SearchError: There is none, faiss is not installed, or its file is damaged.
        """
        if self._faiss is None:
            if self.info.faiss is None:
                raise SearchError(f"{self.folder}: has no FAISS index; build one with --faiss=ivf")
            self._faiss = FaissSearcher(self.folder, self.info.faiss, self.parts)
        return self._faiss

    @functools.cached_property
    def likeness(self) -> tuple[Likeness, list[np.ndarray]]:
        """The archive's likeness and the scales of its vectors, see `measuring.load`."""
        return measuring.load(self.folder, self.tables, self.info, self.parts)

    def hit(
        self, segment: Segment, score: float, start: float, end: float, copies: Sequence[int] = ()
    ) -> Hit:
        """A hit in a segment.

        Args:
          segment: The segment.
          score: Its likeness.
          start: Where in its file it begins, seconds.
          end: Where it ends.
          copies: Ids of segments that are the same, to be named beside it.
        """
        began = segment.recorded_at
        when = clock.later(began, start).isoformat(timespec="milliseconds") if began else ""
        others = self.tables.segments(other for other in copies if other != segment.id)
        paths = tuple(other.path for other in others.values())
        return Hit(
            score, segment.path, start, end, segment.recording_id, segment.labels, when, paths
        )

    def _hits(
        self,
        found: Sequence[Neighbour],
        top: int,
        per_recording: int,
        groups: dict[int, list[int]],
    ) -> list[Hit]:
        """The first `top` neighbours, best first, that `per_recording` and `groups` allow."""
        hits: list[Hit] = []
        shown: dict[int, int] = {}  # the first of a group → its segment that is shown
        count: dict[int, int] = {}
        for near, segment in self._named(found):
            group = groups.get(segment.id, ())
            if group and shown.setdefault(group[0], segment.id) != segment.id:
                continue
            count[segment.recording] = count.get(segment.recording, 0) + 1
            if per_recording and count[segment.recording] > per_recording:
                continue
            span = self.parts[near.part].spans[near.vector]
            start, end = float(span["start"]), float(span["end"])
            hits.append(self.hit(segment, near.score, start, end, group))
            if len(hits) == top:
                break
        return hits

    def _named(self, found: Sequence[Neighbour]) -> Iterator[tuple[Neighbour, Segment]]:
        """Neighbours with their segments, which are looked up so many at a time."""
        for first in range(0, len(found), _NAMED_AT_ONCE):
            group = found[first : first + _NAMED_AT_ONCE]
            owners = [int(self.parts[near.part].owners[near.vector]) for near in group]
            segments = self.tables.segments(owners)
            yield from ((n, segments[owner]) for n, owner in zip(group, owners, strict=True))

    def kept(
        self, only: SoundFilter | None = None, without: Iterable[int] = ()
    ) -> list[np.ndarray | None]:
        """Which vectors of each part may be found: bool[vectors] each; None: all."""
        kept: list[np.ndarray | None] = [
            part.info.counting() if part.info.gone else None for part in self.parts
        ]
        if only:
            for number, taken in enumerate(self._taken(only)):
                counting = kept[number]
                kept[number] = taken if counting is None else counting & taken
        if left_out := self.tables.segments_of_recordings(without):
            for number, where in self._places(left_out):
                keep = kept[number]
                if keep is None:
                    keep = kept[number] = np.ones(len(self.parts[number]), bool)
                keep[where] = False
        return kept

    def _taken(self, only: SoundFilter) -> Iterator[np.ndarray]:
        """Which vectors of each part a filter takes: bool[vectors] each."""
        segments = self.tables.matching(only)
        most = max((int(part.owners.max()) for part in self.parts), default=0)
        segments = segments[segments["id"] <= most]
        is_taken = np.zeros(most + 1, bool)  # by the segments' ids
        is_taken[segments["id"]] = True
        began = np.zeros(most + 1, np.int64)
        if only.needs_clock:
            began[segments["id"]] = segments["clock"]
        for part in self.parts:
            taken = is_taken[part.owners]
            if only.needs_clock:
                vectors = np.flatnonzero(taken)
                since = np.rint(part.spans["start"][vectors] * 1e6).astype(np.int64)
                taken[vectors] = only.takes_times(began[part.owners[vectors]] + since)
            yield taken

    def _places(self, segments: Sequence[int]) -> Iterator[tuple[int, slice | np.ndarray]]:
        """The vectors of segments: the number of their part, and which they are in it."""
        places = self.tables.places(segments)
        if self._version == self.tables.version():
            for place in places:
                yield self._numbers[place.part], slice(place.first, place.first + place.count)
            return
        # The tables have changed since: this index's own parts know where its vectors are.
        for segment in segments:
            for number, part in enumerate(self.parts):
                where = np.flatnonzero(part.owners == segment)
                if len(where):
                    yield number, where

    def _exactly(
        self, query: np.ndarray, top: int, keep: Sequence[np.ndarray | None]
    ) -> Iterator[list[Neighbour]]:
        """Ever longer lists, best first; the last holds all."""
        every = range(len(self.parts))
        return exact_search.nearest(self.parts, every, query, top, self.threads, keep)

    def _by_faiss(
        self,
        searcher: FaissSearcher,
        query: np.ndarray,
        top: int,
        keep: Sequence[np.ndarray | None],
    ) -> Iterator[list[Neighbour]]:
        """Ever longer lists, best first; vectors that FAISS does not cover are searched exactly."""
        uncovered = exact_search.nearest(
            self.parts, searcher.uncovered, query, top, self.threads, keep
        )
        rest = next(uncovered, [])
        for found in searcher.nearest(query, top, keep):
            yield sorted([*found, *rest], key=lambda near: (-near.score, near.part, near.vector))

    def mask(self, only: SoundFilter | None = None, without: Iterable[int] = ()) -> np.ndarray:
        """Which vectors may be found, of all as `blocks` and `sample` number them.

        Args:
          only: What is searched at all; None: everything.
          without: Numbers of recordings to leave out.

        Returns:
          bool[vectors]; false where a vector no longer counts.
        """
        kept = self.kept(only, without)
        return np.concatenate(
            [
                np.ones(len(part), bool) if keep is None else keep
                for part, keep in zip(self.parts, kept, strict=True)
            ]
            or [np.zeros(0, bool)]
        )

    def owners(self) -> np.ndarray:
        """Ids of the segments of all vectors, as `blocks` and `sample` number them: int32[n]."""
        return np.concatenate([part.owners for part in self.parts] or [np.zeros(0, OWNER)])

    def vectors_of_recording(self, recording: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The vectors of a recording, by file and in the order of time.

        Args:
          recording: Its number, see `recordings_of`.

        Returns:
          float32[n, dim], and where each begins and ends in its file: float64[n], seconds.
        """
        return self.vectors_of_segments(self.tables.segments_of_recordings([recording]))

    def vectors_of_segments(
        self, segments: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The vectors of segments, one after the other.

        Args:
          segments: Their ids.

        Returns:
          As `vectors_of_recording`.
        """
        places = list(self._places(segments))
        if not places:
            return np.zeros((0, self.info.dim), np.float32), np.zeros(0), np.zeros(0)
        vectors = [self.parts[number].vectors[where] for number, where in places]
        spans = np.concatenate(
            [with_energy(self.parts[number].spans[where]) for number, where in places]
        )
        joined = vectors[0] if len(vectors) == 1 else np.concatenate(vectors)
        return joined.astype(np.float32, copy=False), spans["start"], spans["end"]

    def sample(self, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Vectors drawn at random, see `index_format.sample_vectors`."""
        return sample_vectors(self.parts, count, seed)

    def blocks(self) -> Iterator[np.ndarray]:
        """All vectors in order, float32[n, dim] at a time."""
        return vector_blocks(self.parts)


def _open_parts(folder: str, tables: Tables) -> tuple[IndexInfo, list[Part]]:
    """Opens the parts that are listed; again, if a writer replaced them in between.

    Raises:
      SearchError: The index is damaged.
    """
    while True:
        info = tables.info()
        parts: list[Part] = []
        try:
            for part in info.parts:
                parts.append(Part(folder, part, info.dim, tables.owners.get(part.name)))
            return info, parts
        except FileNotFoundError as error:
            if tables.info() == info:
                raise SearchError(f"{error.filename}: is missing; {database.REBUILD}") from error
