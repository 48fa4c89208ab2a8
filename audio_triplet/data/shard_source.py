"""Prepared corpora: TFRecord shards of mel energies, and the pieces read from them.

A prepared folder holds `prepared.json` (what it is made of), `manifest.csv` (its segments) and,
for each split, `SPLIT-00000-of-00004.tfrecord` and so on. A record is one piece:

| feature | type | meaning |
|---|---|---|
| `mel_energies` | bytes | float16[frames, 64], linear, row by row, little-endian |
| `frames` | int64 | number of frames |
| `recording`, `piece` | int64 | stable keys |
| `turn`, `turns` | int64 | the piece's place among its recording's pieces, and their number |
| `segment` | int64 | row of manifest.csv |
| `position` | int64 | the piece's place in its segment |
| `labels` | int64 list | places in the class list of prepared.json |

float16 keeps energies to 1 part in 2,000, which is 5e-4 in the logarithm, and up to 65,504, which
is beyond what a waveform within ±1 can give.
"""

import os

import numpy as np
import tensorflow as tf
from absl import logging

from audio_triplet import features, storage
from audio_triplet.data import chunks, prepared, shard_index, sources
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.shard_format import INTEGERS, LABELS, TURNS, damaged, fault
from audio_triplet.errors import CorpusError

_MELS = features.DEFAULT.mel_bands


def _is_heard(record: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    """Whether a record is the piece by which its recording is heard in an epoch."""
    parsed = tf.io.parse_single_example(record, TURNS)
    return parsed["turn"] == sources.chunk_number(epoch, parsed["recording"], parsed["turns"])


_PATCH = features.DEFAULT.patch_frames


class ShardChunks(sources.ChunkSource):
    """Pieces from a prepared folder.

    Attributes:
      folder: The prepared folder.
      info: Its prepared.json.
      manifest: Its segments, of the chosen splits and of others: records name rows of it.
      splits: The splits that are read.
      files: Paths of their shards.
    """

    def __init__(
        self,
        folder: str,
        splits: tuple[str, ...] = (),
        *,
        buffer: int = 2048,
        skip_damaged: bool = False,
    ):
        """Opens a prepared folder.

        Args:
          folder: Where prepared.json is; any path that tf.io.gfile takes.
          splits: Which splits to read; all if empty.
          buffer: Records held for shuffling.
          skip_damaged: Whether to read all shards once now, and do without those that cannot be
            read to their end; else they are found out, and named, when they are reached.

        Raises:
          CorpusError: The folder is unfinished or damaged, or lacks one of the splits.
        """
        self.folder, self.info = folder, prepared.PreparedInfo.read(folder)
        self.splits = tuple(splits) or tuple(self.info.splits)
        missing = [split for split in self.splits if split not in self.info.splits]
        if missing:
            raise CorpusError(
                f"{folder}: no split {', '.join(missing)}; it has {', '.join(self.info.splits)}"
            )
        parts = [self.info.splits[split] for split in self.splits]
        self.recordings = sum(part.recordings for part in parts)
        self.classes = self.info.classes
        self._thin = max(part.most_turns for part in parts) > 1
        self.files = [storage.join(folder, name) for part in parts for name in part.shards]
        self._check_files([size for part in parts for size in part.shard_bytes], skip_damaged)
        if skip_damaged:
            self._leave_out_damaged([n for part in parts for n in part.shard_recordings])
        self._buffer = buffer

    def _check_files(self, sizes: list[int], only_missing: bool) -> None:
        """Refuses missing shards and, on this machine, shards of another size than written."""
        there = set(tf.io.gfile.listdir(self.folder))
        for number, file in enumerate(self.files):
            name = file.rsplit("/", 1)[-1] if storage.is_remote(file) else os.path.basename(file)
            if name not in there:
                raise CorpusError(f"{file}: the shard is missing; prepare {self.folder} again")
            if only_missing or not sizes or storage.is_remote(file):
                continue
            size = os.path.getsize(file)
            if size != sizes[number]:
                raise CorpusError(damaged(file, f"has {size} bytes instead of {sizes[number]}"))

    def _leave_out_damaged(self, recordings: list[int]) -> None:
        """Does without shards that cannot be read; they are named in the log, with their share."""
        if not recordings:
            raise CorpusError(
                f"{self.folder}: was prepared before the recordings of each shard were noted; "
                "prepare it again to do without damaged shards"
            )
        damaged = {number: why for number, file in enumerate(self.files) if (why := fault(file))}
        for number, why in damaged.items():
            logging.warning(
                "left out %s with its %d recordings: %s",
                self.files[number],
                recordings[number],
                why,
            )
        lost = sum(recordings[number] for number in damaged)
        if lost == self.recordings:
            raise CorpusError(f"{self.folder}: not one shard can be read; prepare it again")
        if damaged:
            logging.warning(
                "%s: %d of %d shards are damaged; %d of %d recordings are left out",
                self.folder,
                len(damaged),
                len(self.files),
                lost,
                self.recordings,
            )
        self.files = [file for number, file in enumerate(self.files) if number not in damaged]
        self.recordings -= lost

    def patches(self) -> "ShardPatches | None":
        """As `ChunkSource.patches`; shards elsewhere are read whole, one after the other."""
        return None if storage.is_remote(self.folder) else ShardPatches(self)

    def damage(self) -> str:
        """Reads all shards, to name the first that cannot be read."""
        for file in self.files:
            if why := fault(file):
                return damaged(file, why)
        return ""

    @property
    def manifest(self) -> Manifest:
        """The prepared folder's segments (rows are what `segment` counts)."""
        return prepared.read_manifest(self.folder, self.info.source)

    def _handles(self, seed, first_visit):
        first_epoch, skip = divmod(first_visit, self.recordings)
        files = len(self.files)

        def records(epoch):
            order = tf.map_fn(
                lambda place: sources.shuffled(place, seed, epoch, files),
                tf.range(files, dtype=tf.int64),
            )
            names = tf.data.Dataset.from_tensor_slices(tf.gather(self.files, order))
            found = names.interleave(
                tf.data.TFRecordDataset,
                cycle_length=min(files, 8),
                deterministic=True,
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            if self._thin:
                found = found.filter(lambda record: _is_heard(record, epoch))
            found = found.shuffle(self._buffer, seed=seed + epoch)
            return found.map(lambda record: (record, epoch))

        def epochs(first):
            return tf.data.Dataset.range(first, np.iinfo(np.int64).max)

        if not skip:
            return epochs(first_epoch).flat_map(records)
        # Skipping at the very end would run through all the epochs before it.
        rest = records(tf.constant(first_epoch, tf.int64)).skip(skip)
        return rest.concatenate(epochs(first_epoch + 1).flat_map(records))

    def _dealt_handles(self, seed, first_visit):
        files = len(self.files)

        def records(number):
            epoch, place = number // files, number % files
            file = sources.shuffled(place, seed, epoch, files)
            found = tf.data.TFRecordDataset(tf.gather(self.files, file))
            if self._thin:
                found = found.filter(lambda record: _is_heard(record, epoch))
            return found.map(lambda record: (record, epoch))

        # Few at a time: a worker's open files should be of one epoch.
        return (
            tf.data.Dataset.range(first_visit * files // self.recordings, np.iinfo(np.int64).max)
            .interleave(
                records,
                cycle_length=max(1, min(files // 4, 8)),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .shuffle(self._buffer, seed=seed)
        )

    def _all_handles(self):
        return tf.data.TFRecordDataset(self.files)

    def _label_ids(self, handle):
        return tf.io.parse_single_example(handle, LABELS)["labels"]

    def _read(self, handle):
        parsed = tf.io.parse_single_example(
            handle, INTEGERS | LABELS | {"mel_energies": tf.io.FixedLenFeature([], tf.string)}
        )
        energies = tf.io.decode_raw(parsed["mel_energies"], tf.float16)
        energies = tf.reshape(energies, [-1, _MELS])
        energies = tf.pad(energies, [[0, chunks.CHUNK_FRAMES - tf.shape(energies)[0]], [0, 0]])
        labels = tf.zeros([len(self.classes)], tf.bool)
        if self.classes:
            labels = tf.reduce_any(
                tf.one_hot(
                    parsed["labels"],
                    len(self.classes),
                    on_value=True,
                    off_value=False,
                    dtype=tf.bool,
                ),
                axis=0,
            )
        return {
            "mel_energies": tf.cast(
                tf.ensure_shape(energies, [chunks.CHUNK_FRAMES, _MELS]), tf.float32
            ),
            "frames": tf.cast(parsed["frames"], tf.int32),
            "recording": parsed["recording"],
            "piece": parsed["piece"],
            "labels": labels,
            "segment": parsed["segment"],
            "position": parsed["position"],
        }


class ShardPatches(sources.PatchSource):
    """Single patches of a prepared folder on this machine, found by its index."""

    def __init__(self, source: ShardChunks):
        """Reads or makes the index.

        Args:
          source: The same pieces, whole.

        Raises:
          CorpusError: A shard is damaged.
        """
        self.classes = source.classes
        self._index = shard_index.open_index(source.folder, source.files)
        if len(self._index.first) != source.recordings:
            raise CorpusError(
                f"{source.folder}: its shards hold {len(self._index.first)} recordings and not "
                f"{source.recordings} as {prepared.INFO_FILE} says; delete it and prepare "
                "again"
            )
        self._reader = shard_index.PositionedReader(source.files)
        self._lay_out(self._index.first, self._index.count, self._index.recording_key)
        with tf.device("/cpu:0"):
            self._columns = {
                name: tf.constant(getattr(self._index, name))
                for name in ("frames", "recording", "piece", "labels", "label_begin")
            }

    def _gather(self, names, handles):
        """Columns of the index at some pieces."""
        return {name: tf.gather(self._columns[name], handles) for name in names}

    def label_ids(self, handle):
        """As `PatchSource.label_ids`."""
        begin, end = tf.unstack(self._gather(["label_begin"], [handle, handle + 1])["label_begin"])
        return self._columns["labels"][begin:end]

    def outline(self, handles):
        """As `PatchSource.outline`."""
        labels = tf.zeros([tf.size(handles), 0], tf.bool)
        if self.classes:
            labels = tf.numpy_function(self._label_matrix, [handles], tf.bool)
            labels = tf.ensure_shape(labels, [*handles.shape, len(self.classes)])
        return self._gather(("frames", "recording", "piece"), handles) | {"labels": labels}

    def patch_energies(self, handles, starts):
        """As `PatchSource.patch_energies`."""
        energies = tf.numpy_function(self._index.patch_energies, [handles, starts], tf.float32)
        return tf.ensure_shape(energies, starts.shape)

    def cut(self, handles, starts):
        """As `PatchSource.cut`."""
        patches = tf.numpy_function(self._patches, [handles, starts], tf.float16)
        return tf.cast(tf.ensure_shape(patches, [*handles.shape, _PATCH, _MELS]), tf.float32)

    def _label_matrix(self, handles):
        return self._index.label_matrix(handles, len(self.classes))

    def _patches(self, handles, starts):
        index = self._index
        counts = np.clip(index.frames[handles] - starts, 0, _PATCH)
        offsets = index.offset[handles] + starts * np.int64(2 * _MELS)
        return self._reader.frames(index.file[handles], offsets, counts, _PATCH)
