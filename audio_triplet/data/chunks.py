"""The chunks of a manifest, found by reading the headers of its files alone.

A chunk is up to 10.56 s of one recording, the unit of reading; see `audio_triplet.data.sources`.

No TensorFlow here: laying out two million files, on one machine or on many, should not wait for it.
"""

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures

import numpy as np
from absl import logging

from audio_triplet import audio, storage
from audio_triplet.config import FrontEndConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.keys import key_of
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import AudioError, CorpusError

_FRONT_END = FrontEndConfig()

# Patches in a whole chunk: the most for which every pair is less than 10 s apart.
CHUNK_PATCHES = 11
CHUNK_FRAMES = CHUNK_PATCHES * _FRONT_END.patch_frames
CHUNK_SECONDS = CHUNK_PATCHES * _FRONT_END.patch_seconds
CHUNK_SAMPLES = (CHUNK_FRAMES - 1) * _FRONT_END.hop_samples + _FRONT_END.window_samples
# Sound that a chunk needs: its last window reaches past the start of the next chunk.
READ_SECONDS = CHUNK_SAMPLES / _FRONT_END.sample_rate

_PROBED_AT_A_TIME = 64


@dataclasses.dataclass(frozen=True, eq=False)
class ChunkTable:
    """All chunks of a manifest, recording by recording.

    Attributes:
      manifest: Only segments that can be read.
      row: int64[segments], their rows in the manifest that was scanned.
      duration: float64[segments], seconds of each segment.
      segment: int32[chunks], the segment a chunk is of.
      position: int32[chunks], its number within the segment.
      key: int64[chunks], stable keys.
      first: int64[recordings], index of each recording's first chunk; its others follow.
      count: int64[recordings], how many it has.
      recording_key: int64[recordings].
    """

    manifest: Manifest
    row: np.ndarray
    duration: np.ndarray
    segment: np.ndarray
    position: np.ndarray
    key: np.ndarray
    first: np.ndarray
    count: np.ndarray
    recording_key: np.ndarray

    @property
    def hours(self) -> float:
        """Hours of sound in all segments."""
        return float(self.duration.sum() / 3600)


def chunks_in(duration_seconds: float | np.ndarray) -> np.ndarray:
    """Number of chunks of a segment; a remainder shorter than a patch is no chunk of its own.

    Args:
      duration_seconds: float or float[n], seconds.

    Returns:
      int64 of the same shape, at least 1.
    """
    config = _FRONT_END
    samples = np.round(np.asarray(duration_seconds) * config.sample_rate).astype(np.int64)
    frames = np.maximum(0, 1 + (samples - config.window_samples) // config.hop_samples)
    patches = np.maximum(1, frames // config.patch_frames)
    return -(-patches // CHUNK_PATCHES)


def read_length(path: str, truncated: str = "refuse") -> tuple[float, str]:
    """Seconds of a sound file by its header, and ""; or NaN, and the reason it cannot be read.

    Args:
      path: The file.
      truncated: Whether a truncated file is read, as for `audio.load_audio`.
    """
    try:
        return audio.probe(path, truncated).duration_seconds, ""
    except AudioError as error:
        return math.nan, error.reason


def read_lengths(paths: Sequence[str], truncated: str = "refuse") -> Iterator[tuple[float, str]]:
    """`read_length` of each path; many at a time where reading waits for a disk or a network.

    Where they do not, as in the page cache, threads only take Python's lock from each other.
    """

    def read_part(part: Sequence[str]) -> list[tuple[float, str]]:
        return [read_length(path, truncated) for path in part]

    # Many at a time: a future for each of two million files would take gigabytes.
    parts = [
        paths[first : first + _PROBED_AT_A_TIME]
        for first in range(0, len(paths), _PROBED_AT_A_TIME)
    ]
    threads = 64 if len(paths) and storage.is_remote(paths[0]) else 8
    with futures.ThreadPoolExecutor(threads) as pool:
        while parts:
            begin, own = time.perf_counter(), time.thread_time()
            yield from read_part(parts.pop(0))
            waited = 1 - (time.thread_time() - own) / (time.perf_counter() - begin)
            if waited > 0.5:  # and will for a while, so that this is not measured again too soon
                now, parts = parts[: 16 * threads], parts[16 * threads :]
                yield from itertools.chain.from_iterable(pool.map(read_part, now))


def scan(
    manifest: Manifest,
    bad_files: BadFiles,
    lengths: Callable[[Sequence[str]], Iterable[tuple[float, str]]] | None = None,
) -> ChunkTable:
    """Reads the header of every file and lists the chunks.

    Args:
      manifest: Segments; those of unreadable files are left out and listed.
      bad_files: Where unreadable files are listed; says whether truncated ones are used.
      lengths: Paths → what `read_length` returns for each, in their order; None: `read_lengths`.

    Returns:
      The chunks.

    Raises:
      CorpusError: No file can be read.
    """
    seconds = {}
    paths = manifest.frame["path"].unique()
    found = read_lengths(paths, bad_files.truncated) if lengths is None else lengths(paths)
    for path, (length, reason) in zip(paths, found, strict=True):
        seconds[path] = length
        if reason:
            bad_files.add(path, reason)
    duration = _durations(manifest, seconds, bad_files)
    usable = duration > 0  # false for NaN as well
    if not usable.any():
        path, reason = next(iter(bad_files.entries.items()))
        raise CorpusError(f"{manifest.name}: no file can be read; {path}: {reason}")

    codes, names = _codes(manifest.frame["recording_id"].to_numpy(dtype=object)[usable])
    order = np.argsort(codes, kind="stable")
    rows = np.flatnonzero(usable)[order]
    codes, duration = codes[order], duration[rows]
    count = chunks_in(duration)  # of each segment
    segment = np.repeat(np.arange(len(rows), dtype=np.int32), count)
    first = np.repeat(np.cumsum(count) - count, count)
    position = (np.arange(len(segment)) - first).astype(np.int32)
    kept = manifest.take(rows)
    segment_key = np.array(
        [
            key_of(os.path.basename(path), start)
            for path, start in zip(kept.frame["path"], kept.frame["start_seconds"], strict=True)
        ],
        np.int64,
    )
    recording_key = np.array([key_of(name) for name in names], np.int64)
    count = np.bincount(codes[segment], minlength=len(names)).astype(np.int64)  # of each recording
    return ChunkTable(
        manifest=kept,
        row=rows,
        duration=duration,
        segment=segment,
        position=position,
        key=(segment_key[segment] ^ recording_key[codes][segment]) ^ position,
        first=np.cumsum(count) - count,
        count=count,
        recording_key=recording_key,
    )


def _durations(manifest: Manifest, seconds: dict[str, float], bad_files: BadFiles) -> np.ndarray:
    """Seconds of each segment: float64[segments]; NaN, or not above 0, where it cannot be used."""
    frame = manifest.frame
    in_file = frame["path"].map(seconds).to_numpy(np.float64)
    end = frame["end_seconds"].to_numpy(np.float64)
    beyond = end > in_file + 0.1
    if beyond.any():
        logging.warning(
            "%s: %d segments end past the end of their file (%s, …); they are cut there",
            manifest.name,
            beyond.sum(),
            frame["path"].iloc[int(np.argmax(beyond))],
        )
    duration = np.fmin(end, in_file) - frame["start_seconds"].to_numpy(np.float64)
    for path in frame["path"][duration <= 0].unique():
        bad_files.add(path, "a segment begins past the end of the file; correct start_seconds")
    return duration


def _codes(values: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Numbers the different values in the order they first occur."""
    numbers: dict[str, int] = {}
    codes = np.fromiter(
        (numbers.setdefault(value, len(numbers)) for value in values), np.int64, len(values)
    )
    return codes, list(numbers)
