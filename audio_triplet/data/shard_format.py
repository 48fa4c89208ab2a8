"""The record of a prepared shard: writing it, reading it, and finding damage.

A shard is a TFRecord file of `tf.train.Example`s, one per chunk:

| feature | type | meaning |
|---|---|---|
| `mel_energies` | bytes | float16[frames, 64], linear, frame by frame, little-endian |
| `frames` | int64 | number of frames |
| `recording`, `piece` | int64 | stable keys of the recording and of the chunk |
| `turn`, `turns` | int64 | the chunk's number within its recording, and how many there are |
| `segment` | int64 | row of manifest.csv |
| `position` | int64 | the chunk's number within its segment |
| `labels` | int64 list | indices into the class list of prepared.json |

float16 keeps energies to 1 part in 2,000, which is 5e-4 in the logarithm, and up to 65,504, which
is beyond what a waveform within ±1 can give.

The features' names are those of the format's first version and stay.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from audio_triplet import features
from audio_triplet.data import chunks

MELS = features.DEFAULT.mel_bands
DTYPE = np.dtype("<f2")
FRAME_BYTES = DTYPE.itemsize * MELS

_ENERGIES = "mel_energies"
# Features that are single numbers and belong to the chunk itself.
_CHUNK_NUMBERS = ("frames", "recording", "piece", "segment", "position")


def encode(chunk: Mapping, number: int, count: int) -> bytes:
    """One record.

    Args:
      chunk: NumPy values of a chunk as `sources.ChunkSource` gives it.
      number: Which chunk of its recording it is.
      count: How many the recording has.

    Returns:
      A serialised tf.train.Example. Equal chunks give equal bytes.
    """
    frames = int(chunk["frames"])
    energies = np.minimum(chunk[_ENERGIES][:frames], np.finfo(np.float16).max)

    def integers(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    content = tf.train.BytesList(value=[energies.astype(DTYPE).tobytes()])
    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                _ENERGIES: tf.train.Feature(bytes_list=content),
                "frames": integers(frames),
                "recording": integers(int(chunk["recording"])),
                "piece": integers(int(chunk["piece"])),
                "turn": integers(number),
                "turns": integers(count),
                "segment": integers(int(chunk["segment"])),
                "position": integers(int(chunk["position"])),
                "labels": integers(*np.flatnonzero(chunk["labels"]).tolist()),
            }
        )
    )
    return example.SerializeToString(deterministic=True)


# Reading in TensorFlow graphs.


def parse_chunk(record: tf.Tensor, classes: int) -> dict[str, tf.Tensor]:
    """A chunk as `sources.ChunkSource` gives it.

    Args:
      record: A serialised record.
      classes: Length of the class list.
    """
    parsed = _parse(record, _CHUNK_NUMBERS, labels=True, energies=True)
    energies = tf.reshape(tf.io.decode_raw(parsed[_ENERGIES], tf.float16), [-1, MELS])
    energies = tf.pad(energies, [[0, chunks.CHUNK_FRAMES - tf.shape(energies)[0]], [0, 0]])
    energies = tf.ensure_shape(energies, [chunks.CHUNK_FRAMES, MELS])
    labels = tf.zeros([classes], tf.bool)
    if classes:
        one_hot = tf.one_hot(
            parsed["labels"], classes, on_value=True, off_value=False, dtype=tf.bool
        )
        labels = tf.reduce_any(one_hot, axis=0)
    return {name: parsed[name] for name in _CHUNK_NUMBERS} | {
        _ENERGIES: tf.cast(energies, tf.float32),
        "frames": tf.cast(parsed["frames"], tf.int32),
        "labels": labels,
    }


def parse_chunk_number(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """int64 number of a record's chunk within its recording, how many there are, recording key."""
    parsed = _parse(record, ("turn", "turns", "recording"))
    return parsed["turn"], parsed["turns"], parsed["recording"]


def parse_label_ids(record: tf.Tensor) -> tf.Tensor:
    """int64[labels] of a record, without decoding its energies."""
    return _parse(record, (), labels=True)["labels"]


def _parse(record, numbers, labels=False, energies=False) -> dict[str, tf.Tensor]:
    wanted = {name: tf.io.FixedLenFeature([], tf.int64) for name in numbers}
    if labels:
        wanted["labels"] = tf.io.RaggedFeature(tf.int64)
    if energies:
        wanted[_ENERGIES] = tf.io.FixedLenFeature([], tf.string)
    return tf.io.parse_single_example(record, wanted)


# Reading in NumPy, with the offset of every chunk in its file.


@dataclasses.dataclass(frozen=True, eq=False)
class StoredChunk:
    """A record of a shard and where its energies are.

    Attributes:
      offset: Their first byte in the shard.
      energies: float16[frames, mels].
      numbers: `frames`, `recording`, `piece`, `turn`, `segment`, `position`, by these names.
      labels: Label ids.
    """

    offset: int
    energies: np.ndarray
    numbers: dict[str, int]
    labels: list[int]


# What `StoredChunk.numbers` holds.
STORED_NUMBERS = ("frames", "recording", "piece", "turn", "segment", "position")


def scan(path: str) -> Iterator[StoredChunk]:
    """Reads a shard record by record; TensorFlow checks every record's checksum.

    Raises:
      ValueError, IndexError, tf.errors.OpError: The shard is damaged.
    """
    begin = 0
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        numbers = {name: feature[name].int64_list.value[0] for name in STORED_NUMBERS}
        content = feature[_ENERGIES].bytes_list.value[0]
        frames = numbers["frames"]
        if len(content) != frames * FRAME_BYTES:
            raise ValueError(f"a record has {len(content)} bytes for {frames} frames")
        yield StoredChunk(
            # A record: length in 8 bytes, checksum in 4, content, checksum in 4.
            offset=begin + 12 + _energies_offset(record, content),
            energies=np.frombuffer(content, DTYPE).reshape(frames, MELS),
            numbers=numbers,
            labels=list(feature["labels"].int64_list.value),
        )
        begin += 12 + len(record) + 4


def _energies_offset(record: bytes, content: bytes) -> int:
    """Where in a record the bytes of `mel_energies` begin.

    They follow the feature's name, each of three nested messages beginning with a tag and a length.
    """

    def header(length):
        return 1 + max(1, -(-length.bit_length() // 7))

    name = _ENERGIES.encode()
    bytes_list = header(len(content)) + len(content)
    feature = header(bytes_list) + bytes_list
    offset = record.index(name) + len(name)
    offset += header(feature) + header(bytes_list) + header(len(content))
    if record[offset : offset + len(content)] != content:
        raise ValueError("a record is not laid out as `shard_format.encode` does")
    return offset


# Damaged and missing shards: the cause, and the message with the fix.


def read_error(path: str) -> str:
    """Why a shard cannot be read to its end; empty if it can."""
    try:
        tf.data.TFRecordDataset(path, buffer_size=1 << 23).reduce(0, lambda count, _: count + 1)
    except tf.errors.OpError as error:
        return cause_of(error)
    return ""


def cause_of(error: Exception) -> str:
    """The cause of an error in reading a shard, without TensorFlow's names of its nodes."""
    message = getattr(error, "message", None) or str(error)
    return re.sub(r"\{\{.*\}\} | \[Op:.*", "", message.splitlines()[0] if message else "")


def damaged(path: str, cause: str) -> str:
    """The message for a damaged shard."""
    return (
        f"{path}: the shard is damaged ({cause}); delete it and prepare the folder again, which "
        "makes it again and keeps the others, or train with --skip_damaged"
    )


def missing(path: str) -> str:
    """The message for a shard that is not there."""
    return f"{path}: the shard is missing; prepare its folder again"
