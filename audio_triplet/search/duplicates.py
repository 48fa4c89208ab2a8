"""Recordings that an index holds twice: under two names, coded anew, louder, begun later.

    find(writer)                  compares what is new with all, and stores what is the same
    write_table(folder, tables)   duplicates.csv

Candidates are those with the nearest descriptors of their outlines; of these, outlines that fit at
some lag; and of these, the samples decide, so that sounds that are merely alike are no duplicates.
An excerpt of a recording is none [D]: in the rest of the recording there is something else.
"""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Callable, Iterator

import numpy as np
from absl import logging

from audio_triplet import audio, storage
from audio_triplet.annotations.own_table import guarded
from audio_triplet.errors import AudioError
from audio_triplet.search import outline
from audio_triplet.search.exact import nearest_of_many
from audio_triplet.search.index_format import Duplicate
from audio_triplet.search.index_writer import Writer
from audio_triplet.search.outline import FRAME_SECONDS, Outline
from audio_triplet.search.tables import Tables

TABLE_FILE = "duplicates.csv"
COLUMNS = ("first", "second", "kind", "offset_seconds", "likeness")

_CANDIDATES = 3
_AT_ONCE = 1024  # recordings whose comparison is stored together
# By frames: short outlines are alike by chance.
_LEAST_OUTLINE = ((25, 75), (0.8, 0.6))
_LEAST_COMMON = 0.9  # of the longer one's sound
_LEAST_SAMPLES, _LEAST_BRIGHT = 0.85, 0.7  # of all, and of what is above hum
_HUM_HERTZ = 300
_GLANCE, _GLANCE_SECONDS = 0.75, 1.0  # a first look
_PIECE_SECONDS, _WHOLE_SECONDS = 4.0, 12.0
_SEARCH_SECONDS = 0.1  # around the lag of the outlines
_RATE = 16_000
_REMEMBERED, _PIECES_REMEMBERED = 256, 32


def find(
    writer: Writer, on_progress: Callable[[int, int], object] = lambda done, count: None
) -> list[Duplicate]:
    """Compares the recordings that were not yet with all, and stores those that are the same.

    What was compared stays so, whatever happens; after a stop the same call continues.

    Args:
      writer: The index; what waits is listed first.
      on_progress: Called with how many were compared, and of how many.

    Returns:
      Those that are new.
    """
    writer.commit()
    if writer.tables.all_compared():
        return []
    ids, compared, descriptors = writer.tables.descriptors()
    new = np.flatnonzero(~compared)
    found: list[Duplicate] = []
    scaled = _scaled(descriptors)
    comparer = _Comparer(writer.tables)
    seen: set[tuple[int, int]] = set()
    for first in range(0, len(new), _AT_ONCE):
        rows = new[first : first + _AT_ONCE]
        near = nearest_of_many([_Vectors(scaled)], scaled[rows], min(_CANDIDATES + 1, len(ids)))
        pairs = {
            (int(min(ids[row], ids[other])), int(max(ids[row], ids[other])))
            for row, others in zip(rows, near, strict=True)
            for other in others
            if other != row
        }
        here = [same for pair in sorted(pairs - seen) if (same := comparer.compare(*pair))]
        seen |= pairs
        with writer.changing() as filler:
            filler.set_compared(ids[rows].tolist(), here)
        found += here
        on_progress(first + len(rows), len(new))
    return found


def _scaled(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors of unit norm, each number as important as the others: float32[n, m]."""
    values = descriptors.astype(np.float32)
    values -= values.mean(axis=0)
    values /= values.std(axis=0) + 1
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)


class _Vectors:
    """Vectors as `exact.nearest_of_many` takes them."""

    def __init__(self, vectors: np.ndarray):
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)


class Reader:
    """Reads pieces of files; remembers the last, as a recording is compared with several."""

    def __init__(self):
        """Begins with none."""
        self.rate = functools.lru_cache(_REMEMBERED)(self._rate)
        self.piece = functools.lru_cache(_PIECES_REMEMBERED)(audio.read_piece)

    @staticmethod
    def _rate(path: str) -> int:
        return audio.probe(path).sample_rate


class _Comparer:
    """Compares recordings of an index."""

    def __init__(self, tables: Tables):
        self._reader = Reader()
        self._outline = functools.lru_cache(_REMEMBERED)(tables.outline)
        self._path = functools.lru_cache(_REMEMBERED)(
            lambda segment: tables.segments([segment])[segment].path
        )

    def compare(self, first: int, second: int) -> Duplicate | None:
        """Whether two segments are the same recording; None: they are not, or cannot be read."""
        one, other = self._outline(first), self._outline(second)
        paths = self._path(first), self._path(second)
        if paths[0] == paths[1] or not _as_long(one, other):
            return None
        fit, lag = outline.likeness(one, other)
        if fit < _least_outline(one, other) or not _together(one, other, lag):
            return None
        try:
            found = samples_alike(self._reader, *paths, one, other, lag * FRAME_SECONDS)
            if found is None:
                return None
            likeness, offset = found
            is_exact = offset == 0 and likeness > 0.999 and same_samples(*paths)
        except AudioError as error:
            logging.warning("%s; it was not compared with others", error)
            return None
        return Duplicate(first, second, "exact" if is_exact else "near", offset, likeness)


def _least_outline(one: Outline, other: Outline) -> float:
    return float(np.interp(min(one.length, other.length), *_LEAST_OUTLINE))


def _as_long(one: Outline, other: Outline) -> bool:
    """Whether all of one could be in the other."""
    shorter, longer = sorted((one.length, other.length))
    return shorter + 3 >= _LEAST_COMMON * longer


def _together(one: Outline, other: Outline, lag: float) -> bool:
    """Whether the sound of two recordings is at the same time, at a lag."""
    begin = max(one.start + lag, other.start)
    end = min(one.start + lag + one.length, other.start + other.length)
    return end - begin + 3 >= _LEAST_COMMON * max(one.length, other.length)


def samples_alike(
    reader: Reader,
    first: str,
    second: str,
    one: Outline,
    other: Outline,
    lag_seconds: float,
) -> tuple[float, float] | None:
    """How much alike the samples of two recordings are near a lag.

    Args:
      reader: Reads them.
      first: A file.
      second: Another.
      one: Outline of the first.
      other: Outline of the second.
      lag_seconds: How much later a moment is in the second.

    Returns:
      The least correlation of some pieces, and the lag to the sample; None: they are not alike.

    Raises:
      AudioError: One cannot be read.
    """
    rate = min(_RATE, reader.rate(first), reader.rate(second))
    (loudest,) = _loudest(one, lag_seconds, _GLANCE_SECONDS, 1)  # most that are unlike end here
    if not _piece_alike(
        reader, first, second, loudest, _GLANCE_SECONDS, lag_seconds, rate, _GLANCE
    ):
        return None
    alike = []
    for begin, seconds in _pieces(one, other, lag_seconds):
        match = _piece_alike(
            reader, first, second, begin, seconds, lag_seconds, rate, _LEAST_SAMPLES
        )
        if match is None:
            return None
        alike.append(match)
    lags = [lag for _, lag in alike]
    return min(correlation for correlation, _ in alike), float(np.median(lags))


def _pieces(one: Outline, other: Outline, lag_seconds: float) -> Iterator[tuple[float, float]]:
    """Begins and lengths of what is compared in the first file, seconds: all, or loud pieces."""
    start, seconds = one.start * FRAME_SECONDS, one.length * FRAME_SECONDS
    if seconds <= _WHOLE_SECONDS:
        end = min(start + seconds, (other.start + other.length) * FRAME_SECONDS - lag_seconds)
        start = max(start, other.start * FRAME_SECONDS - lag_seconds, -lag_seconds)
        yield start, max(2 * FRAME_SECONDS, end - start + FRAME_SECONDS)
        return
    for begin in _loudest(one, lag_seconds, _PIECE_SECONDS, 3):
        yield begin, _PIECE_SECONDS
    if one.length > len(one.levels):  # beyond what the outline shows
        yield start + _LEAST_COMMON * seconds - _PIECE_SECONDS, _PIECE_SECONDS


def _loudest(one: Outline, lag_seconds: float, seconds: float, count: int) -> Iterator[float]:
    """Where the loudest pieces of as many parts of a recording begin in its file."""
    loud = one.levels.max(axis=1).astype(np.float64)
    size = min(round(seconds / FRAME_SECONDS), len(loud))
    level = np.convolve(loud, np.ones(size), "valid")
    for part in np.array_split(np.arange(len(level)), count):
        begin = (one.start + part[int(level[part].argmax())]) * FRAME_SECONDS
        yield max(begin, -lag_seconds)


def _piece_alike(
    reader: Reader,
    first: str,
    second: str,
    begin: float,
    seconds: float,
    lag: float,
    rate: int,
    least: float,
) -> tuple[float, float] | None:
    """Correlation of a piece of the first file with the second, and its lag; None: not alike."""
    piece = reader.piece(first, begin, seconds, rate)
    around = max(0.0, begin + lag - _SEARCH_SECONDS)
    other = reader.piece(second, around, seconds + 2 * _SEARCH_SECONDS, rate)
    if len(piece) < 2 or len(other) < 2:
        return None
    alike, shift = _correlation(piece, other)
    if alike < least:
        return None
    # Hum is alike in all recordings of a recorder: what is above it must be as well.
    bright, _ = _correlation(*(_above_hum(samples, rate) for samples in (piece, other)))
    if bright < least - _LEAST_SAMPLES + _LEAST_BRIGHT:
        return None
    return min(1.0, alike), (round(around * rate) + shift - round(begin * rate)) / rate


def _correlation(one: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """Correlation of two signals where they fit best, upside down or not, and the second's lag."""
    import scipy.fft  # late: --help stays quick

    # Beyond its ends a signal is silent.
    points = scipy.fft.next_fast_len(len(one) + len(other), real=True)
    product = scipy.fft.rfft(other, points) * np.conj(scipy.fft.rfft(one, points))
    every = np.abs(scipy.fft.irfft(product, points))
    peak = int(every.argmax())
    lag = peak if peak < len(other) else peak - points
    low, high = max(0, lag), min(len(other), lag + len(one))
    norm = np.linalg.norm(one[low - lag : high - lag]) * np.linalg.norm(other[low:high])
    return (float(every[peak] / norm) if norm > 1e-9 else 0.0), lag


def _above_hum(samples: np.ndarray, rate: int) -> np.ndarray:
    """The samples without what is below 300 Hz."""
    import scipy.fft

    spectrum = scipy.fft.rfft(samples)
    spectrum[: round(_HUM_HERTZ * len(samples) / rate)] = 0
    return scipy.fft.irfft(spectrum, len(samples))


def same_samples(first: str, second: str) -> bool:
    """Whether two files have the same samples, at their own rate.

    Raises:
      AudioError: One cannot be read.
    """
    one, other = audio.probe(first), audio.probe(second)
    if (one.sample_rate, one.channels, one.frames) != (
        other.sample_rate,
        other.channels,
        other.frames,
    ):
        return False
    blocks = (audio.stream_audio(path, sample_rate=one.sample_rate) for path in (first, second))
    return all(np.array_equal(a, b) for a, b in zip(*blocks, strict=True))


def write_table(folder: str, tables: Tables) -> int:
    """Writes duplicates.csv, or removes it if there are none; returns how many pairs there are."""
    path = os.path.join(folder, TABLE_FILE)
    pairs = tables.duplicates()
    if not pairs:
        if os.path.exists(path):
            os.unlink(path)
        return 0
    names = tables.segments({n for same in pairs for n in (same.first, same.second)})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for same in pairs:
        files = (guarded(names[segment].path) for segment in (same.first, same.second))
        table.writerow([*files, same.kind, f"{same.offset_seconds:.3f}", f"{same.likeness:.3f}"])
    storage.write_text(path, text.getvalue())
    return len(pairs)
