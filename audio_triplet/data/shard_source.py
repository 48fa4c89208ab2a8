"""Chunks and patches read from a prepared folder of shards.

The folder holds `prepared.json` (what it is made of, see `prepared`), `manifest.csv` (its segments)
and, for each split, `SPLIT-00000-of-00004.tfrecord` and so on (see `shard_format`).
"""

import os

import numpy as np
import tensorflow as tf
from absl import logging

from audio_triplet import features, storage
from audio_triplet.data import prepared, shard_format, shard_index, sources
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

_PATCH = features.DEFAULT.patch_frames
_ENDLESS = np.iinfo(np.int64).max


class ShardChunks(sources.ChunkSource):
    """Chunks from a prepared folder, read whole.

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
          skip_damaged: Whether to read all shards once now, and skip those that cannot be read
            to their end; else the first damaged one raises an error that names it.

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
        self._has_long_recordings = max(part.most_turns for part in parts) > 1
        self.files = [storage.join(folder, name) for part in parts for name in part.shards]
        self._check_files([size for part in parts for size in part.shard_bytes], skip_damaged)
        if skip_damaged:
            self._leave_out_damaged([n for part in parts for n in part.shard_recordings])
        self._buffer = buffer
        self.bad_files = BadFiles()  # they were left out, and listed, when the folder was prepared

    def _check_files(self, sizes: list[int], only_missing: bool) -> None:
        """Raises CorpusError for a shard that is missing or, on this machine, of another size."""
        there = set(tf.io.gfile.listdir(self.folder))
        for number, file in enumerate(self.files):
            name = file.rsplit("/", 1)[-1] if storage.is_remote(file) else os.path.basename(file)
            if name not in there:
                raise CorpusError(shard_format.missing(file))
            if only_missing or not sizes or storage.is_remote(file):
                continue
            size = os.path.getsize(file)
            if size != sizes[number]:
                cause = f"has {size} bytes instead of {sizes[number]}"
                raise CorpusError(shard_format.damaged(file, cause))

    def _leave_out_damaged(self, recordings: list[int]) -> None:
        """Leaves out shards that cannot be read; the log names them and their share."""
        if not recordings:
            raise CorpusError(
                f"{self.folder}: was prepared by a version that did not note the recordings of "
                "each shard; prepare it again to skip damaged shards"
            )
        damaged = {
            number: cause
            for number, file in enumerate(self.files)
            if (cause := shard_format.read_error(file))
        }
        for number, cause in damaged.items():
            logging.warning(
                "left out %s with its %d recordings: %s",
                self.files[number],
                recordings[number],
                cause,
            )
        lost = sum(recordings[number] for number in damaged)
        if lost == self.recordings:
            raise CorpusError(f"{self.folder}: no shard can be read; prepare it again")
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
            if cause := shard_format.read_error(file):
                return shard_format.damaged(file, cause)
        return ""

    @property
    def manifest(self) -> Manifest:
        """The prepared folder's segments (rows are what `segment` counts)."""
        return prepared.read_manifest(self.folder, self.info.source)

    def _visited_handles(self, seed, first_visit, distributed):
        if distributed:
            return self._shard_by_shard(seed, first_visit)
        return self._epoch_by_epoch(seed, first_visit)

    def _epoch_by_epoch(self, seed: int, first_visit: int) -> tf.data.Dataset:
        """Epoch after epoch, each reading all shards in an order of its own."""
        first_epoch, skip = divmod(first_visit, self.recordings)
        files = len(self.files)

        def records(epoch):
            order = tf.map_fn(
                lambda position: sources.shuffled(position, seed, epoch, files),
                tf.range(files, dtype=tf.int64),
            )
            found = tf.data.Dataset.from_tensor_slices(tf.gather(self.files, order)).interleave(
                tf.data.TFRecordDataset,
                cycle_length=min(files, 8),
                deterministic=True,
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            found = self._of_epoch(found, epoch)
            found = found.shuffle(self._buffer, seed=seed + epoch)
            return found.map(lambda record: (record, epoch))

        def epochs(first):
            return tf.data.Dataset.range(first, _ENDLESS)

        if not skip:
            return epochs(first_epoch).flat_map(records)
        # Skipping at the very end would run through all the epochs before it.
        rest = records(tf.constant(first_epoch, tf.int64)).skip(skip)
        return rest.concatenate(epochs(first_epoch + 1).flat_map(records))

    def _shard_by_shard(self, seed: int, first_visit: int) -> tf.data.Dataset:
        """The same for a tf.data service: what it distributes are numbers of (epoch, shard)."""
        files = len(self.files)

        def records(number):
            epoch, position = number // files, number % files
            file = sources.shuffled(position, seed, epoch, files)
            found = tf.data.TFRecordDataset(tf.gather(self.files, file))
            found = self._of_epoch(found, epoch)
            return found.map(lambda record: (record, epoch))

        # Few at a time: a worker's open files should be of one epoch.
        return (
            tf.data.Dataset.range(first_visit * files // self.recordings, _ENDLESS)
            .interleave(
                records,
                cycle_length=max(1, min(files // 4, 8)),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .shuffle(self._buffer, seed=seed)
        )

    def _of_epoch(self, records: tf.data.Dataset, epoch: tf.Tensor) -> tf.data.Dataset:
        """Of each recording's chunks the one that an epoch visits."""
        if not self._has_long_recordings:
            return records

        def is_visited(record):
            number, count, recording_key = shard_format.parse_chunk_number(record)
            return number == sources.chunk_number(epoch, recording_key, count)

        return records.filter(is_visited)

    def _all_handles(self):
        return tf.data.TFRecordDataset(self.files)

    def _label_ids(self, handle):
        return shard_format.parse_label_ids(handle)

    def _read(self, handle):
        return shard_format.parse_chunk(handle, len(self.classes))


class ShardPatches(sources.PatchSource):
    """Single patches of a prepared folder on this machine, found by its shard index.

    Attributes:
      index: Where every chunk is.
      files: Paths of the shards.
    """

    def __init__(self, source: ShardChunks):
        """Reads or makes the shard index.

        Args:
          source: The same chunks, whole.

        Raises:
          CorpusError: A shard is damaged.
        """
        self.classes, self.files = source.classes, source.files
        self.index = shard_index.open_index(source.folder, source.files)
        if len(self.index.first) != source.recordings:
            raise CorpusError(
                f"{source.folder}: its shards hold {len(self.index.first)} recordings and not "
                f"{source.recordings} as {prepared.INFO_FILE} says; delete it and prepare "
                "again"
            )
        self._reader = shard_index.PositionedReader(source.files)
        self.order = sources.VisitOrder(
            self.index.first, self.index.count, self.index.recording_key
        )
        with tf.device("/cpu:0"):
            self._columns = {
                name: tf.constant(getattr(self.index, name))
                for name in ("frames", "recording", "piece", "labels", "label_begin")
            }

    def _gather(self, names, handles):
        """Columns of the shard index at some chunks."""
        return {name: tf.gather(self._columns[name], handles) for name in names}

    def all_labels(self) -> tuple[tf.Tensor, tf.Tensor]:
        """As `PatchSource.all_labels`."""
        return self._columns["labels"], self._columns["label_begin"]

    def chunk_metadata(self, handles) -> dict[str, tf.Tensor]:
        """As `PatchSource.chunk_metadata`."""
        labels = tf.zeros([tf.size(handles), 0], tf.bool)
        if self.classes:
            labels = tf.numpy_function(self._label_matrix, [handles], tf.bool)
            labels = tf.ensure_shape(labels, [*handles.shape, len(self.classes)])
        return self._gather(("frames", "recording", "piece"), handles) | {"labels": labels}

    def patch_energies(self, handles, starts) -> tf.Tensor:
        """As `PatchSource.patch_energies`."""
        energies = tf.numpy_function(self.index.patch_energies, [handles, starts], tf.float32)
        return tf.ensure_shape(energies, starts.shape)

    def cut(self, handles, starts) -> tf.Tensor:
        """As `PatchSource.cut`."""
        patches = tf.numpy_function(self._patches, [handles, starts], tf.float16)
        return tf.cast(
            tf.ensure_shape(patches, [*handles.shape, _PATCH, shard_format.MELS]), tf.float32
        )

    def _label_matrix(self, handles):
        return self.index.label_matrix(handles, len(self.classes))

    def _patches(self, handles, starts):
        index = self.index
        counts = np.clip(index.frames[handles] - starts, 0, _PATCH)
        offsets = index.offset[handles] + starts * np.int64(shard_format.FRAME_BYTES)
        return self._reader.frames(index.file[handles], offsets, counts, _PATCH)
