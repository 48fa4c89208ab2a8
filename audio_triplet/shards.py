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

import dataclasses
import json
import re

import numpy as np
import tensorflow as tf

from audio_triplet import features, pieces, storage
from audio_triplet.manifest import CorpusError, Manifest

FORMAT = 1
INFO_FILE = "prepared.json"
MANIFEST_FILE = "manifest.csv"
_MELS = features.DEFAULT.mel_bands


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """What a prepared split holds.

    Attributes:
      shards: File names.
      recordings: Number of recordings.
      pieces: Number of records.
      most_turns: Most pieces of one recording.
      seconds: Seconds of sound.
      shard_bytes: Size of each shard; empty in folders prepared before it was noted.
      shard_recordings: Recordings in each shard; likewise.
    """

    shards: tuple[str, ...]
    recordings: int
    pieces: int
    most_turns: int
    seconds: float
    shard_bytes: tuple[int, ...] = ()
    shard_recordings: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class PreparedInfo:
    """The content of prepared.json.

    Attributes:
      source: The corpus it was made from.
      fingerprint: Digest of the manifest and of all that shaped the records.
      classes: Names of the labels, in the order of their numbers.
      splits: Split name → what it holds.
      bad_files: [path, reason] of each file left out.
      front_end: The front end's parameters.
      versions: Package → version it was made with.
      format: Version of the record format.
    """

    source: str
    fingerprint: str
    classes: tuple[str, ...]
    splits: dict[str, SplitInfo]
    bad_files: tuple[tuple[str, str], ...] = ()
    front_end: dict = dataclasses.field(
        default_factory=lambda: dataclasses.asdict(features.DEFAULT)
    )
    versions: dict = dataclasses.field(default_factory=dict)
    format: int = FORMAT

    def write(self, folder: str) -> None:
        """Writes prepared.json, whole or not at all. It is written last: it says «finished»."""
        path = storage.join(folder, INFO_FILE)
        storage.write_whole(
            path, json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
        )

    @classmethod
    def read(cls, folder: str) -> "PreparedInfo":
        """Reads prepared.json.

        Raises:
          CorpusError: It is missing, broken, or of another format or front end.
        """
        path = storage.join(folder, INFO_FILE)
        try:
            content = json.loads(storage.read_text(path))
            splits = {
                name: SplitInfo(**{
                    key: tuple(value) if isinstance(value, list) else value
                    for key, value in split.items()
                })
                for name, split in content.pop("splits").items()
            }
            bad_files = tuple(map(tuple, content.pop("bad_files")))
            classes = tuple(content.pop("classes"))
            info = cls(splits=splits, bad_files=bad_files, classes=classes, **content)
        except OSError as error:
            raise CorpusError(
                f"{path}: cannot be read; is {folder} a folder made by data_prep.prepare?"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"{path}: is damaged ({error}); delete {folder} and prepare again"
            ) from error
        if info.format != FORMAT or info.front_end != dataclasses.asdict(features.DEFAULT):
            raise CorpusError(
                f"{path}: was prepared with another format or front end; prepare it again"
            )
        return info


def read_manifest(folder: str, name: str | None = None) -> Manifest:
    """The segments of a prepared folder, wherever it is."""
    with storage.local_copy(storage.join(folder, MANIFEST_FILE)) as path:
        return Manifest.read(path, name)


def shard_name(split: str, number: int, count: int) -> str:
    """File name of a shard; split names are made safe for file systems."""
    safe = re.sub(r"[^\w.-]", "_", split) or "all"
    return f"{safe}-{number:05d}-of-{count:05d}.tfrecord"


def encode(piece: dict, turn: int, turns: int) -> bytes:
    """One record.

    Args:
      piece: NumPy values of a piece as `PieceSource` gives it.
      turn: Its place among the recording's pieces.
      turns: Their number.

    Returns:
      A serialised tf.train.Example. Equal pieces give equal bytes.
    """
    frames = int(piece["frames"])
    energies = np.minimum(piece["mel_energies"][:frames], np.finfo(np.float16).max)

    def integers(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    example = tf.train.Example(features=tf.train.Features(feature={
        "mel_energies": tf.train.Feature(bytes_list=tf.train.BytesList(
            value=[energies.astype("<f2").tobytes()])),
        "frames": integers(frames),
        "recording": integers(int(piece["recording"])),
        "piece": integers(int(piece["piece"])),
        "turn": integers(turn),
        "turns": integers(turns),
        "segment": integers(int(piece["segment"])),
        "position": integers(int(piece["position"])),
        "labels": integers(*np.flatnonzero(piece["labels"]).tolist()),
    }))
    return example.SerializeToString(deterministic=True)


_INTEGERS = {
    name: tf.io.FixedLenFeature([], tf.int64)
    for name in ("frames", "recording", "piece", "segment", "position")
}
_TURNS = {name: tf.io.FixedLenFeature([], tf.int64) for name in ("recording", "turn", "turns")}
_LABELS = {"labels": tf.io.RaggedFeature(tf.int64)}


class ShardPieces(pieces.PieceSource):
    """Pieces from a prepared folder.

    Attributes:
      folder: The prepared folder.
      info: Its prepared.json.
      manifest: Its segments, of the chosen splits and of others: records name rows of it.
      splits: The splits that are read.
    """

    def __init__(self, folder: str, splits: tuple[str, ...] = (), *, buffer: int = 2048):
        """Opens a prepared folder.

        Args:
          folder: Where prepared.json is; any path that tf.io.gfile takes.
          splits: Which splits to read; all if empty.
          buffer: Records held for shuffling.

        Raises:
          CorpusError: The folder is unfinished or damaged, or lacks one of the splits.
        """
        self.folder, self.info = folder, PreparedInfo.read(folder)
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
        self._files = [storage.join(folder, name) for part in parts for name in part.shards]
        gone = [file for file in self._files if not tf.io.gfile.exists(file)]
        if gone:
            raise CorpusError(f"{gone[0]}: the shard is missing; prepare {folder} again")
        self._buffer = buffer

    @property
    def manifest(self) -> Manifest:
        """The prepared folder's segments (rows are what `segment` counts)."""
        return read_manifest(self.folder, self.info.source)

    def _handles(self, seed, first_visit):
        first_epoch, skip = divmod(first_visit, self.recordings)
        files = len(self._files)

        def records(epoch):
            order = tf.map_fn(
                lambda place: pieces.shuffled(place, seed, epoch, files),
                tf.range(files, dtype=tf.int64),
            )
            names = tf.data.Dataset.from_tensor_slices(tf.gather(self._files, order))
            found = names.interleave(
                tf.data.TFRecordDataset, cycle_length=min(files, 8), deterministic=True,
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            if self._thin:
                def heard(record):
                    parsed = tf.io.parse_single_example(record, _TURNS)
                    return parsed["turn"] == pieces.turn_of(
                        epoch, parsed["recording"], parsed["turns"]
                    )

                found = found.filter(heard)
            found = found.shuffle(self._buffer, seed=seed + epoch)
            return found.map(lambda record: (record, epoch))

        def epochs(first):
            return tf.data.Dataset.range(first, np.iinfo(np.int64).max)

        if not skip:
            return epochs(first_epoch).flat_map(records)
        # Skipping at the very end would run through all the epochs before it.
        rest = records(tf.constant(first_epoch, tf.int64)).skip(skip)
        return rest.concatenate(epochs(first_epoch + 1).flat_map(records))

    def _all_handles(self):
        return tf.data.TFRecordDataset(self._files)

    def _label_ids(self, handle):
        return tf.io.parse_single_example(handle, _LABELS)["labels"]

    def _read(self, handle):
        parsed = tf.io.parse_single_example(
            handle, _INTEGERS | _LABELS | {"mel_energies": tf.io.FixedLenFeature([], tf.string)}
        )
        energies = tf.io.decode_raw(parsed["mel_energies"], tf.float16)
        energies = tf.reshape(energies, [-1, _MELS])
        energies = tf.pad(energies, [[0, pieces.PIECE_FRAMES - tf.shape(energies)[0]], [0, 0]])
        labels = tf.zeros([len(self.classes)], tf.bool)
        if self.classes:
            labels = tf.reduce_any(tf.one_hot(
                parsed["labels"], len(self.classes), on_value=True, off_value=False, dtype=tf.bool
            ), axis=0)
        return {
            "mel_energies": tf.cast(
                tf.ensure_shape(energies, [pieces.PIECE_FRAMES, _MELS]), tf.float32
            ),
            "frames": tf.cast(parsed["frames"], tf.int32),
            "recording": parsed["recording"],
            "piece": parsed["piece"],
            "labels": labels,
            "segment": parsed["segment"],
            "position": parsed["position"],
        }
