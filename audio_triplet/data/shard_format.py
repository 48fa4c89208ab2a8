"""The record of a prepared shard: written and parsed here, and nowhere else."""

import numpy as np
import tensorflow as tf


def encode(piece: dict, turn: int, turns: int) -> bytes:
    """One record.

    Args:
      piece: NumPy values of a piece as `ChunkSource` gives it.
      turn: Its place among the recording's pieces.
      turns: Their number.

    Returns:
      A serialised tf.train.Example. Equal pieces give equal bytes.
    """
    frames = int(piece["frames"])
    energies = np.minimum(piece["mel_energies"][:frames], np.finfo(np.float16).max)

    def integers(*values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                "mel_energies": tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[energies.astype("<f2").tobytes()])
                ),
                "frames": integers(frames),
                "recording": integers(int(piece["recording"])),
                "piece": integers(int(piece["piece"])),
                "turn": integers(turn),
                "turns": integers(turns),
                "segment": integers(int(piece["segment"])),
                "position": integers(int(piece["position"])),
                "labels": integers(*np.flatnonzero(piece["labels"]).tolist()),
            }
        )
    )
    return example.SerializeToString(deterministic=True)


INTEGERS = {
    name: tf.io.FixedLenFeature([], tf.int64)
    for name in ("frames", "recording", "piece", "segment", "position")
}
TURNS = {name: tf.io.FixedLenFeature([], tf.int64) for name in ("recording", "turn", "turns")}
LABELS = {"labels": tf.io.RaggedFeature(tf.int64)}


def fault(file: str) -> str:
    """Why a shard cannot be read to its end; empty if it can."""
    try:
        tf.data.TFRecordDataset(file, buffer_size=1 << 23).reduce(0, lambda count, _: count + 1)
    except tf.errors.OpError as error:
        return str(error.message).split(" [Op:")[0].split("}} ")[-1]
    return ""


def damaged(file: str, why: str) -> str:
    return (
        f"{file}: the shard is damaged ({why}); delete it and prepare the folder again, which "
        "makes it anew and keeps the others, or train with --skip_damaged"
    )
