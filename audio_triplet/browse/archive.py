"""The index as `browse` sees it: its files, its moments by number, their vectors.

A vector of the index is a *moment*. Moments are numbered from 0 as the index holds them. An
`Archive` is the index as it was when it was opened; `Archives` opens it again where it has grown.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from audio_triplet.audio import clock
from audio_triplet.errors import BrowseError
from audio_triplet.search.index import Index
from audio_triplet.search.index_format import with_energy

# Part of a vector's span that a marked span must cover for the vector to stand for it.
_COVERED = 0.9


# A changed index is opened again after so many times the time that opening took.
_RESTS = 10


@dataclasses.dataclass(frozen=True, order=True)
class Moment:
    """A part of a file.

    Attributes:
      path: The file, as the index names it.
      start_seconds: Where it begins.
      end_seconds: Where it ends.
    """

    path: str
    start_seconds: float
    end_seconds: float

    @property
    def key(self) -> tuple[str, int, int]:
        """The same for times that differ by rounding to milliseconds."""
        return self.path, round(1000 * self.start_seconds), round(1000 * self.end_seconds)


def covered(start: np.ndarray, end: np.ndarray, moment: Moment) -> np.ndarray:
    """Which vectors of a file stand for a marked span.

    Args:
      start: float64[n], where each begins, seconds.
      end: float64[n], where each ends.
      moment: The span.

    Returns:
      int64[m], the places of those that it covers, at least of the one that it covers most; none
      where it covers nothing.
    """
    shared = np.minimum(end, moment.end_seconds) - np.maximum(start, moment.start_seconds)
    share = shared / np.maximum(end - start, 1e-9)
    inside = np.flatnonzero(share >= _COVERED)
    if len(inside) or not len(share) or share.max() <= 0:
        return inside
    return np.array([share.argmax()])


class Archive:
    """The index as it was when it was opened.

    Attributes:
      version: Another one when the index has changed, the same for the same index.
      index: To be searched by vectors.
      paths: Files, as the index names them, in the order they were added.
      file_of: int32[moments], the file of each; −1: no longer counts.
      recording_of: int32[moments], the number of its recording in the index; −1 likewise.
      start: float64[moments], seconds.
      end: float64[moments], seconds.
      energy: float32[moments], mean mel energy per cell; NaN where the index does not know it.
    """

    def __init__(self, folder: str):
        """Opens the index.

        Args:
          folder: Its folder.

        Raises:
          SearchError: There is none, or it is damaged.
        """
        self.index = Index(folder)
        self._tables_version = self.index.tables.version()
        self.version = hashlib.blake2b(repr(self.index.info.parts).encode()).hexdigest()[:16]
        files = self.index.tables.every_file()
        self.paths = [path for path, _ in files.values()]
        self._recorded_at = [recorded_at for _, recorded_at in files.values()]
        self._file_numbers = {path: number for number, path in enumerate(self.paths)}
        segments = self.index.tables.every_segment()
        self._label_sets = self.index.tables.label_sets()
        self._owner = self.index.owners()
        most = max(int(self._owner.max(initial=0)), int(segments["id"].max(initial=0))) + 1
        numbers = dict(zip(files, range(len(files)), strict=True))
        self._labels_of = np.zeros(most, np.int64)  # by the segment's id
        self._labels_of[segments["id"]] = segments["labels"]
        file, recording = np.full(most, -1, np.int32), np.full(most, -1, np.int32)
        file[segments["id"]] = [numbers.get(number, -1) for number in segments["file"].tolist()]
        recording[segments["id"]] = segments["recording"]
        counts = self.index.mask()
        self.file_of = np.where(counts, file[self._owner], -1).astype(np.int32)
        self.recording_of = np.where(counts, recording[self._owner], -1).astype(np.int32)
        spans = [with_energy(np.asarray(part.spans)) for part in self.index.parts]
        empty = np.zeros(0)
        self.start = np.concatenate([empty, *(span["start"] for span in spans)])
        self.end = np.concatenate([empty, *(span["end"] for span in spans)])
        self.energy = np.concatenate([np.zeros(0, np.float32), *(s["energy"] for s in spans)])

    @property
    def is_current(self) -> bool:
        """Whether no other process has changed the index since it was opened."""
        return self.index.tables.version() == self._tables_version

    def __len__(self) -> int:
        """Number of moments, those that no longer count included."""
        return len(self.start)

    def __contains__(self, path: str) -> bool:
        """Whether a file is in the index, character by character."""
        return path in self._file_numbers

    def file(self, path: str) -> int:
        """The number of a file.

        Raises:
          BrowseError: It is no file of the index.
        """
        number = self._file_numbers.get(path)
        if number is None:
            shown = path if path.isprintable() else ascii(path)[1:-1]
            raise BrowseError(
                f"{shown[:300]}: is no file of this index; ask /api/files for those that are", 404
            )
        return number

    def moment(self, number: int) -> Moment:
        """A moment by its number."""
        return Moment(
            self.paths[self.file_of[number]], float(self.start[number]), float(self.end[number])
        )

    def labels(self, number: int) -> tuple[str, ...]:
        """The labels that the index has of a moment."""
        return self._label_sets.get(int(self._labels_of[self._owner[number]]), ())

    def recording_names(self, numbers: Iterable[int]) -> list[str]:
        """The recordings of moments."""
        recordings = [int(self.recording_of[number]) for number in numbers]
        names = self.index.tables.recording_names(recordings)
        return [names.get(recording, "") for recording in recordings]

    def recorded_at(self, file: int) -> str:
        """When a file was recorded, ISO 8601; "": not known."""
        return self._recorded_at[file] or ""

    def clock_time(self, number: int) -> str:
        """When a moment was, ISO 8601; "": not known."""
        text = self._recorded_at[int(self.file_of[number])]
        if not text:
            return ""
        began = datetime.datetime.fromisoformat(text)
        return clock.later(began, float(self.start[number])).isoformat(timespec="milliseconds")

    def moments_of(self, path: str) -> np.ndarray:
        """int64[n], the moments of a file in the order of time.

        Raises:
          BrowseError: It is no file of the index.
        """
        found = np.flatnonzero(self.file_of == self.file(path))
        return found[np.argsort(self.start[found], kind="stable")]

    def moments_in(self, moment: Moment) -> np.ndarray:
        """int64[n], the moments that a marked span covers; at least the one that it covers most.

        Raises:
          BrowseError: It is no file of the index, or the index holds nothing there.
        """
        found = self.moments_of(moment.path)
        places = covered(self.start[found], self.end[found], moment)
        if not len(places):
            raise BrowseError(
                f"{moment.path}: the index holds no sound from {moment.start_seconds:g} s to "
                f"{moment.end_seconds:g} s (silence is left out); mark another part"
            )
        return found[places]

    def vectors(self, numbers: np.ndarray | Sequence[int]) -> np.ndarray:
        """float32[n, dim], the vectors of moments int[n]."""
        numbers = np.asarray(numbers, np.int64)
        found = np.empty((len(numbers), self.index.info.dim), np.float32)
        first = self._first_of_parts
        of_part = np.searchsorted(first, numbers, side="right") - 1
        for number in np.unique(of_part):
            here = of_part == number
            found[here] = self.index.parts[number].vectors[numbers[here] - first[number]]
        return found

    def vector_of(self, moment: Moment) -> np.ndarray:
        """float32[dim], of unit norm: the mean of the vectors in a marked span.

        Raises:
          BrowseError: As `moments_in`.
        """
        mean = self.vectors(self.moments_in(moment)).mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    def blocks(self) -> list[tuple[int, Callable[[], np.ndarray]]]:
        """All vectors: the number of a block's first moment, and how its vectors are read.

        Returns:
          (first, function → float32 or float16[n, dim]) in order; blocks are independent.
        """
        block = 1 << 15
        found: list[tuple[int, Callable[[], np.ndarray]]] = []
        for part, offset in zip(self.index.parts, self._first_of_parts.tolist(), strict=True):
            for first in range(0, len(part), block):
                vectors = part.vectors[first : first + block]
                found.append((offset + first, functools.partial(np.asarray, vectors)))
        return found

    @functools.cached_property
    def _first_of_parts(self) -> np.ndarray:
        """int64[parts], the number of each part's first moment."""
        return np.cumsum([0, *(len(part) for part in self.index.parts)])[:-1]

    @property
    def has_clock(self) -> bool:
        """Whether the clock time of any file is known."""
        return any(self._recorded_at)

    @functools.cached_property
    def words(self) -> dict[str, int]:
        """Label of the index → how many segments have it."""
        return self.index.tables.labels()


class Archives:
    """Opens the index again where it has changed; any number of threads may ask.

    While somebody adds to it, it changes every few seconds; it is not opened so often that most of
    the time would go there. What was opened stays whole meanwhile.
    """

    def __init__(self, folder: str):
        """Opens the index.

        Raises:
          SearchError: There is none, or it is damaged.
        """
        self._folder = folder
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        begin = time.monotonic()
        self._now = Archive(self._folder)
        end = time.monotonic()
        self._rest_until = end + _RESTS * (end - begin)

    def now(self) -> Archive:
        """The index as it is now, or was a moment ago.

        Raises:
          SearchError: It has been damaged or removed.
        """
        with self._lock:
            if time.monotonic() >= self._rest_until and not self._now.is_current:
                self._open()
            return self._now
