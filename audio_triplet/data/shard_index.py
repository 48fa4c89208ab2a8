"""The position of every chunk in its shards, so that a patch is read without its chunk.

A triplet needs one or two patches of a chunk of eleven. Reading, checking and parsing whole records
costs ten times as much as needed; with this shard index it is one positioned read of 12 kB per
patch. One pass over the shards makes it: TensorFlow checks every record's checksum, and the mean
energies of all patches are kept (so silent patches are known without reading them). It stays in the
prepared folder as `index-….npz` and `index-….energies`, and is made again when the size or date of
a shard changes. In memory it takes about 60 bytes per chunk.
"""

import collections
import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Sequence
from typing import IO

import numpy as np
import tensorflow as tf
from absl import logging

from audio_triplet import features, storage
from audio_triplet.data import shard_format
from audio_triplet.data.shard_format import DTYPE, FRAME_BYTES, MELS
from audio_triplet.errors import CorpusError

_FORMAT = 1
_TABLE, _ENERGIES = ".npz", ".energies"
_PATCH = features.DEFAULT.patch_frames
_OPEN_FILES = 512


@dataclasses.dataclass(frozen=True, eq=False)
class ShardIndex:
    """The chunks of some shards, recording by recording, in the order of their numbers.

    A chunk's index into the arrays below is its *handle*.

    Attributes:
      file: int32[chunks], which shard.
      offset: int64[chunks], the first byte of its energies in the shard.
      frames: int32[chunks].
      recording, piece: int64[chunks], stable keys of recording and chunk.
      segment, position: int64[chunks], see `shard_format`.
      labels: int64[…], the label ids of all chunks, one chunk after the other.
      label_begin: int64[chunks + 1], where those of a chunk begin.
      energies: float32[…], for all chunks, one after the other, the mean energy per cell of the
        patch that begins at each frame; on disk.
      energy_begin: int64[chunks], where those of a chunk begin.
      first, count, recording_key: int64[recordings], as in `chunks.ChunkTable`.
    """

    file: np.ndarray
    offset: np.ndarray
    frames: np.ndarray
    recording: np.ndarray
    piece: np.ndarray
    segment: np.ndarray
    position: np.ndarray
    labels: np.ndarray
    label_begin: np.ndarray
    energies: np.ndarray
    energy_begin: np.ndarray
    first: np.ndarray
    count: np.ndarray
    recording_key: np.ndarray

    def label_matrix(self, handles: np.ndarray, classes: int) -> np.ndarray:
        """Labels of chunks: bool[n, classes] from int64[n]."""
        begin = self.label_begin[handles]
        counts = self.label_begin[handles + 1] - begin
        source = np.arange(counts.sum()) + np.repeat(begin - np.cumsum(counts) + counts, counts)
        matrix = np.zeros((len(handles), classes), bool)
        matrix[np.repeat(np.arange(len(handles)), counts), self.labels[source]] = True
        return matrix

    def patch_energies(self, handles: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """As `sources.PatchSource.patch_energies`."""
        last = np.maximum(0, self.frames[handles] - _PATCH)[:, None]
        return self.energies[self.energy_begin[handles][:, None] + np.minimum(starts, last)]


def open_index(folder: str, files: Sequence[str]) -> ShardIndex:
    """Loads the index of some shards, or makes it.

    Args:
      folder: The prepared folder.
      files: Paths of the shards; `ShardIndex.file` counts them.

    Returns:
      The index.

    Raises:
      CorpusError: A shard is missing or damaged.
    """
    names = [os.path.basename(file) for file in files]
    key = _key(files)
    # Each choice of splits has an index of its own.
    stem = "index-" + hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]
    kept_in = folder
    if not os.access(folder, os.W_OK):
        kept_in = storage.cache_folder(key[:32])
    stem = os.path.join(kept_in, stem)
    table = _load(stem, key)
    if table is None:
        if kept_in != folder:
            logging.warning(
                "%s: the folder cannot be written; its shard index is kept in %s", folder, kept_in
            )
            os.makedirs(kept_in, exist_ok=True)
        logging.info("indexing the %d shards of %s, once", len(files), folder)
        _make(files, stem, key)
        table = _load(stem, key)
        if table is None:
            raise CorpusError(f"{stem}{_TABLE}: was just written and cannot be read")
    return _arrange(table, stem + _ENERGIES)


def _key(files: Sequence[str]) -> str:
    """Digest of what the index depends on: the shards' names, sizes and dates."""
    content = [_FORMAT, dataclasses.asdict(features.DEFAULT)]
    for file in files:
        try:
            stat = os.stat(file)
        except OSError as error:
            raise CorpusError(shard_format.missing(file)) from error
        content.append((os.path.basename(file), stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _load(stem: str, key: str) -> dict[str, np.ndarray] | None:
    """The arrays of an index; None if there are none, or damaged ones, or of other shards."""
    path = stem + _TABLE
    try:
        with storage.open_arrays(path) as file:
            table = {name: file[name] for name in file.files}
        size = os.path.getsize(stem + _ENERGIES)
        if str(table.pop("key")) == key and size == 4 * _windows(table["frames"]).sum():
            return table
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        logging.warning("%s: is damaged (%s); it is made again", path, error)
    return None


def _windows(frames: np.ndarray) -> np.ndarray:
    """At how many frames a patch can begin: int64, at least 1."""
    return np.maximum(1, frames.astype(np.int64) - _PATCH + 1)


def _make(files: Sequence[str], stem: str, key: str) -> None:
    """Reads all shards and writes their patches' energies, then the rest, each whole or not."""
    columns = collections.defaultdict(list)
    energies_path, table_path = stem + _ENERGIES, stem + _TABLE
    with storage.open_replacing(energies_path, "wb", unique=True) as energies:
        for number, path in enumerate(files):
            try:
                of_shard = _read_shard(path, energies)
            except (tf.errors.OpError, ValueError, IndexError) as error:
                cause = shard_format.cause_of(error)
                raise CorpusError(shard_format.damaged(path, cause)) from error
            for column, values in of_shard.items():
                columns[column].append(np.array(values, np.int64))
            columns["shard"].append(np.full(len(of_shard["offset"]), number))
    arrays = {column: np.concatenate(parts) for column, parts in columns.items()}
    storage.save_arrays(table_path, {"key": np.array(key)} | arrays, unique=True)


def _read_shard(path: str, energies: IO[bytes]) -> dict[str, list[int]]:
    """Columns of the records of a shard; their patches' energies are appended to a file."""
    columns = {
        name: [] for name in ("offset", "labels", "label_count", *shard_format.STORED_NUMBERS)
    }
    for chunk in shard_format.scan(path):
        columns["offset"].append(chunk.offset)
        columns["labels"].extend(chunk.labels)
        columns["label_count"].append(len(chunk.labels))
        for name, number in chunk.numbers.items():
            columns[name].append(number)
        energies.write(_patch_means(chunk.energies).tobytes())
    return columns


def _patch_means(energies: np.ndarray) -> np.ndarray:
    """Mean per cell of the patch that begins at each frame: float32[windows] of [frames, mels]."""
    frames = len(energies)
    of_frame = energies.astype(np.float32).sum(1)
    total = np.concatenate([[0.0], np.cumsum(of_frame, dtype=np.float64)])
    end = np.minimum(np.arange(int(_windows(np.array(frames)))) + _PATCH, frames)
    return ((total[end] - total[: len(end)]) / (_PATCH * MELS)).astype("<f4")


def _arrange(table: dict[str, np.ndarray], energies: str) -> ShardIndex:
    """The index, recording by recording."""
    order = np.lexsort((table["turn"], table["recording"]))
    label_end = np.cumsum(table["label_count"])
    energy_end = np.cumsum(_windows(table["frames"]))
    counts = table["label_count"][order]
    label_begin = np.concatenate([[0], np.cumsum(counts)])
    # Each chunk's run of labels, moved to where it now belongs.
    source = np.repeat((label_end - table["label_count"])[order] - label_begin[:-1], counts)
    recording_key, first, count = np.unique(
        table["recording"][order], return_index=True, return_counts=True
    )
    return ShardIndex(
        file=table["shard"][order].astype(np.int32),
        offset=table["offset"][order],
        frames=table["frames"][order].astype(np.int32),
        recording=table["recording"][order],
        piece=table["piece"][order],
        segment=table["segment"][order],
        position=table["position"][order],
        labels=table["labels"][source + np.arange(len(source))],
        label_begin=label_begin,
        energies=np.memmap(energies, "<f4", "r") if len(energy_end) else np.zeros(0, np.float32),
        energy_begin=(energy_end - _windows(table["frames"]))[order],
        first=first,
        count=count,
        recording_key=recording_key,
    )


class PositionedReader:
    """Reads from many files at given offsets; from several threads at once."""

    def __init__(self, paths: Sequence[str]):
        """Opens nothing yet.

        Args:
          paths: The files, which are known by their number.
        """
        self._paths = list(paths)
        self._open = {}
        self._lock = threading.Lock()

    def frames(
        self, files: np.ndarray, offsets: np.ndarray, counts: np.ndarray, most: int
    ) -> np.ndarray:
        """Reads runs of frames.

        Args:
          files: int[n], numbers of files.
          offsets: int[n], first byte of a run.
          counts: int[n], frames of a run.
          most: Frames of a row of the result.

        Returns:
          float16[n, most, mels], rows zero-padded at their end.

        Raises:
          CorpusError: A file is missing or shorter than it was.
        """
        energies = np.empty((len(files), most, MELS), DTYPE)
        if not energies.size:
            return energies
        content = energies.data.cast("B")
        size = most * FRAME_BYTES
        for row, (file, offset, count) in enumerate(
            zip(files.tolist(), offsets.tolist(), counts.tolist(), strict=True)
        ):
            if count < most:
                energies[row, count:] = 0
            end = row * size + count * FRAME_BYTES
            self._read(file, offset, content[row * size : end])
        return energies

    def _read(self, number: int, offset: int, into: memoryview) -> None:
        path = self._paths[number]
        try:
            file = self._file(number)  # held while reading: let go elsewhere, it stays open here
            got = os.preadv(file.fileno(), [into], offset)
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read any more ({error})") from error
        if got < len(into):
            raise CorpusError(f"{path}: is cut short; delete its folder and prepare again")

    def _file(self, number: int):
        """An open file; of too many, the oldest is let go, and closes when nobody reads it."""
        file = self._open.get(number)
        if file is None:
            file = open(self._paths[number], "rb", buffering=0)  # noqa: SIM115 (kept open)
            with self._lock:
                self._open[number] = file
                if len(self._open) > _OPEN_FILES:
                    self._open.pop(next(iter(self._open)))
        return file
