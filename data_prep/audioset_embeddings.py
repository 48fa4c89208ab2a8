"""AudioSet's released VGGish embeddings: a baseline that needs no audio.

The archive (https://research.google.com/audioset/download.html) unpacks into `bal_train/`,
`unbal_train/` and `eval/` of TFRecord files. A record is a `tf.SequenceExample`: context `video_id`
[bytes], `start_time_seconds`, `end_time_seconds` [float], `labels` [int64, indices of
class_labels_indices.csv]; feature list `audio_embedding`, each second of the segment as 128 bytes.
VGGish's vectors were PCA-whitened, clipped to [−2, 2] and stored as uint8 (S. Hershey et al., "CNN
Architectures for Large-Scale Audio Classification", ICASSP 2017); they are not of unit length.
"""

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf
from google.protobuf.message import DecodeError

from audio_triplet.embedding import SegmentEmbeddings
from audio_triplet.manifest import Manifest
from data_prep import CorpusError, published
from data_prep.audioset import read_label_list

SIZE = 128
SPLITS = {"unbal_train": "train", "bal_train": "train", "eval": "eval"}
"""Sub-folder of the archive → split, as in `data_prep.audioset.TABLES`."""

_MIN, _MAX = -2.0, 2.0  # VGGish's postprocessor


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One released segment.

    Attributes:
      video_id: the YouTube id.
      start_seconds: where in the video it begins.
      end_seconds: where it ends.
      labels: indices of class_labels_indices.csv.
      frames: uint8[seconds, 128]; at least one.
    """

    video_id: str
    start_seconds: float
    end_seconds: float
    labels: tuple[int, ...]
    frames: np.ndarray


def dequantise(frames: np.ndarray) -> np.ndarray:
    """uint8[..., 128] → float32[..., 128] in [−2, 2], the inverse of VGGish's postprocessor."""
    return frames.astype(np.float32) * np.float32((_MAX - _MIN) / 255) + np.float32(_MIN)


def read(path: str) -> Iterator[Record]:
    """The records of one released TFRecord file, in its order.

    Raises:
      CorpusError: not readable, damaged, or another kind of record.
    """
    records = iter(tf.data.TFRecordDataset(path).as_numpy_iterator())
    number = 0
    while True:
        try:
            serialised = next(records, None)
        except tf.errors.OpError as error:
            cause = " ".join(str(error.message).split())
            raise CorpusError(
                f"{path}, record {number}: cannot be read ({cause}); copy it anew"
            ) from error
        if serialised is None:
            return
        try:
            yield _record(serialised)
        except (ValueError, IndexError, DecodeError) as error:
            raise CorpusError(
                f"{path}, record {number}: not a released AudioSet embedding ({error}); take "
                "the files of features.tar.gz"
            ) from error
        number += 1


def load(
    folder: str, label_list: str, parts: Sequence[str] = ("bal_train", "eval")
) -> SegmentEmbeddings:
    """The released embeddings as the evaluations take them.

    Args:
      folder: the unpacked archive; holds the sub-folders `parts`.
      label_list: `class_labels_indices.csv`.
      parts: of `SPLITS`; about 5.5 KB of memory a segment, so `unbal_train` takes 11 GB.

    Returns:
      One row a segment: labels = display names, split "train" or "eval", recording_id = the video;
      path = FILE#YTID, which is no audio. A "patch" is one second; its `patch_energy` is unknown
      and infinite, so that none counts as silent.

    Raises:
      CorpusError: a part, its files or the label list are missing or of the wrong kind, or a label
        is not in the list.
      ManifestError: a segment listed twice.
    """
    names = list(read_label_list(label_list).values())
    rows, frames = [], []
    for part in parts:
        if part not in SPLITS:
            raise ValueError(f"{part!r} is none of {', '.join(SPLITS)}")
        files = sorted(glob.glob(os.path.join(glob.escape(folder), part, "*.tfrecord")))
        if not files:
            raise CorpusError(
                f"{os.path.join(folder, part)}: no *.tfrecord there; unpack features.tar.gz of "
                "https://research.google.com/audioset/download.html and name its folder"
            )
        for path in files:
            for record in read(path):
                unknown = [label for label in record.labels if not 0 <= label < len(names)]
                if unknown:
                    raise CorpusError(
                        f"{path}: label {unknown[0]} of {record.video_id} is not in {label_list} "
                        f"(0 … {len(names) - 1}); take the list of the same release"
                    )
                labels = ";".join(names[label] for label in record.labels)
                rows.append((f"{path}#{record.video_id}", record.video_id, labels, SPLITS[part],
                             record.start_seconds, record.end_seconds))  # fmt: skip
                frames.append(record.frames)
    columns = ["path", "recording_id", "labels", "split", "start_seconds", "end_seconds"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["split"] = published.in_last_split(
        frame["split"], frame["recording_id"], ("train", "eval"), "AudioSet embeddings"
    )
    counts = [len(part) for part in frames]
    return SegmentEmbeddings(
        Manifest(frame, name="audioset-embeddings"),
        np.arange(len(frame)),
        dequantise(np.concatenate(frames)),
        np.repeat(np.arange(len(frame), dtype=np.int32), counts),
        np.full(sum(counts), np.inf, np.float32),
    )


def _record(serialised: bytes) -> Record:
    """Decodes one record; ValueError or IndexError if it is of another kind."""
    example = tf.train.SequenceExample.FromString(serialised)
    context = example.context.feature
    seconds = example.feature_lists.feature_list["audio_embedding"].feature
    frames = [np.frombuffer(second.bytes_list.value[0], np.uint8) for second in seconds]
    if not frames or any(frame.size != SIZE for frame in frames):
        raise ValueError(f"no audio_embedding of {SIZE} bytes a second")
    return Record(
        context["video_id"].bytes_list.value[0].decode("ascii"),
        context["start_time_seconds"].float_list.value[0],
        context["end_time_seconds"].float_list.value[0],
        tuple(context["labels"].int64_list.value),
        np.stack(frames),
    )
