"""Prepared sound that lies whole in the device's memory: batches are made there, by the step.

A device that is much faster than its host cannot be fed: a batch of 1,024 patches is 25 MB. So the
mel energies of all shards are one float16 array on the device, and everything that makes a batch
(places, patches, constraints, augmentations) is part of the training step, as `batching` has it.
What the host sends are a few integers a step: which chunks it visits. The batches are those of the
pipeline, bit for bit on the same kind of device.

An hour of sound takes 48 MB; as log mel in 8 bits 25 MB, and the batches are then nearly the same.
"""

import os

import numpy as np
import tensorflow as tf

from audio_triplet import features, front_end
from audio_triplet.config import EXPLICIT, PipelineConfig, TripletConfig
from audio_triplet.data import batching, shard_format, shard_source, sources
from audio_triplet.data.shard_index import ShardIndex
from audio_triplet.errors import ConfigError, CorpusError

BITS = (16, 8)

_PATCH = features.DEFAULT.patch_frames
_SILENCE = float(np.log(features.DEFAULT.log_offset))


class ResidentPatches(sources.PatchSource):
    """Single patches of shards that lie in the device's memory; graph ops only, also under XLA.

    Attributes:
      classes: Names of the labels.
      order: Which chunk a visit goes to; for the host.
    """

    def __init__(self, shards: shard_source.ShardPatches, bits: int = 16):
        """Reads all shards. Under a strategy's scope every replica gets a copy.

        Args:
          shards: The same patches on the disk.
          bits: 16: energies as the shards have them; 8: log mel in 255 even steps from silence to
            the corpus's loudest cell.

        Raises:
          CorpusError: A shard cannot be read.
        """
        self.classes, self.order, self._shards = shards.classes, shards.order, shards
        index = shards.index
        frames = index.frames.astype(np.int64)
        energies = read_energies(index, shards.files)
        stored = {"mel_energies": energies} if bits == 16 else quantise(energies)
        arrays = stored | {
            "energies": np.asarray(index.energies, np.float32),
            "begin": np.cumsum(frames) - frames,
            "energy_begin": index.energy_begin.astype(np.int64),
            "frames": frames,
            "recording": index.recording.astype(np.int64),
            "piece": index.piece.astype(np.int64),
            "labels": _padded_labels(index),
        }
        # Variables, not constants: graphs refer to them, and a strategy copies them to its devices.
        self.arrays = {
            name: tf.Variable(value, trainable=False, name=name) for name, value in arrays.items()
        }

    def all_labels(self) -> tuple[tf.Tensor, tf.Tensor]:
        """As `PatchSource.all_labels`; on the host."""
        return self._shards.all_labels()

    def chunk_metadata(self, handles) -> dict[str, tf.Tensor]:
        """As `PatchSource.chunk_metadata`."""
        found = {name: self._gather(name, handles) for name in ("frames", "recording", "piece")}
        labels = tf.zeros([*handles.shape, 0], tf.bool)
        if self.classes:
            one_hot = tf.one_hot(
                self._gather("labels", handles), len(self.classes), True, False, dtype=tf.bool
            )  # [n, most labels, classes]
            labels = tf.reduce_any(one_hot, axis=1)
        return found | {"frames": tf.cast(found["frames"], tf.int32), "labels": labels}

    def patch_energies(self, handles, starts) -> tf.Tensor:
        """As `PatchSource.patch_energies`."""
        last = tf.maximum(self._gather("frames", handles) - _PATCH, 0)[:, None]
        starts = tf.minimum(tf.cast(starts, tf.int64), last)
        return self._gather("energies", self._gather("energy_begin", handles)[:, None] + starts)

    def cut(self, handles, starts) -> tf.Tensor:
        """As `PatchSource.cut`."""
        at = tf.cast(starts, tf.int64)[:, None] + tf.range(_PATCH, dtype=tf.int64)[None, :]
        inside = at < self._gather("frames", handles)[:, None]  # [n, patch frames]
        begin = self._gather("begin", handles)[:, None]
        # Past the chunk: any frame that exists, and then silence.
        at = begin + tf.where(inside, at, 0)
        if "mel_energies" in self.arrays:
            patches = tf.cast(self._gather("mel_energies", at), tf.float32)
        else:
            steps = tf.cast(self._gather("log_mel", at), tf.float32)
            loudness = tf.exp(steps * self.arrays["log_mel_step"])
            patches = features.DEFAULT.log_offset * (loudness - 1.0)
        return tf.where(inside[:, :, None], patches, 0.0)

    def _gather(self, name: str, indices) -> tf.Tensor:
        return tf.gather(self.arrays[name], indices)


class ResidentFeed:
    """Batches of triplets made on the device, by the training step itself.

    Attributes:
      patches: The corpus in the device's memory.
    """

    def __init__(
        self,
        source: sources.ChunkSource,
        triplet_config: TripletConfig,
        config: PipelineConfig,
        free_bytes: int | None = None,
        bits: int = 16,
    ):
        """Brings the corpus into memory; inside the strategy's scope.

        Args:
          source: Prepared shards on this machine.
          triplet_config: Constraints.
          config: Batch size, seed.
          free_bytes: Memory of a device that the corpus may take; None: unknown.
          bits: Of a mel energy, see `ResidentPatches`.

        Raises:
          ConfigError: The corpus is not prepared, or does not fit.
          CorpusError: As `batching.triplet_batches`.
        """
        shards = shards_of(source)
        batching.check_recordings(source)
        if triplet_config.constraints == EXPLICIT and not source.classes:
            raise CorpusError("explicit-label triplets need labels, and this corpus has none")
        check_fits(shards.index, free_bytes, bits)
        self.patches = ResidentPatches(shards, bits)
        self._triplets, self._config = triplet_config, config
        self._reader = batching.SinglePatches(self.patches, triplet_config, config)

    @tf.autograph.experimental.do_not_convert
    def visits(self, first_step: int = 0) -> tf.data.Dataset:
        """What the host sends for each step, from the given one on.

        Returns:
          Dataset of dicts: `step` int64, `handles` and `epochs` int64[batch, 2], with explicit
          labels `label` int64[batch].
        """
        steps = tf.data.Dataset.range(first_step, tf.int64.max)
        visited = tf.data.Dataset.zip((steps, self._reader.visited(first_step)))
        return visited.map(lambda step, visit: {"step": step} | visit)

    def batch(self, visit: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The global batch of a step, as `triplets.make_positives` returns it; graph ops only.

        Args:
          visit: Of a step, as `visits` gives it.
        """
        visit = dict(visit)
        step = visit.pop("step")
        drawn = self._reader.draw(step, visit)
        return batching.assemble(self._reader, step, drawn, self._triplets, self._config)


def shards_of(source: sources.ChunkSource) -> shard_source.ShardPatches:
    """The patches of shards on this machine.

    Raises:
      ConfigError: The source is something else.
    """
    patches = source.patches()
    if not isinstance(patches, shard_source.ShardPatches):
        raise ConfigError(
            "feed=resident: needs prepared shards on this machine's disk; prepare the corpus or "
            "copy its shards here, or use --feed=pipeline"
        )
    return patches


def corpus_bytes(index: ShardIndex, bits: int = 16) -> int:
    """Bytes that the corpus takes in a device's memory."""
    return int(index.frames.sum(dtype=np.int64)) * _bytes_per_frame(bits)


def _bytes_per_frame(bits: int) -> int:
    """Of its energies, and of the mean energy of the patch that begins there."""
    return shard_format.MELS * bits // 8 + 4


def check_fits(index: ShardIndex, free_bytes: int | None, bits: int = 16) -> None:
    """Raises ConfigError for a corpus that is larger than what a device has free."""
    needed = corpus_bytes(index, bits)
    if free_bytes is None or needed <= free_bytes:
        return
    seconds = index.frames.sum(dtype=np.int64) * features.DEFAULT.hop_seconds
    hours_per_gigabyte = 1e9 / _bytes_per_frame(bits) * features.DEFAULT.hop_seconds / 3600
    other = "--feed=resident8 (half as much), " if corpus_bytes(index, 8) <= free_bytes else ""
    raise ConfigError(
        f"feed=resident: {seconds / 3600:.1f} hours of sound take {needed / 1e9:.2f} GB, and "
        f"{free_bytes / 1e9:.2f} GB of the device's memory are free for them, "
        f"{free_bytes / 1e9 * hours_per_gigabyte:.1f} hours; use {other}--feed=pipeline, or a part "
        "of the corpus"
    )


def quantise(mel_energies: np.ndarray) -> dict[str, np.ndarray]:
    """Log mel in 8 bits; silence is 0, and stays silence.

    Args:
      mel_energies: float16[frames, mels], linear.

    Returns:
      `log_mel` uint8[frames, mels] and `log_mel_step` float32[]: nepers a step.
    """
    loudest = max(float(mel_energies.max(initial=0)), 1.0)
    step = np.float32((np.log(loudest + features.DEFAULT.log_offset) - _SILENCE) / 255)
    found = np.empty(mel_energies.shape, np.uint8)
    block = 100_000  # frames whose temporaries fit beside the corpus
    for begin in range(0, len(found), block):
        part = front_end.log_mel_numpy(mel_energies[begin : begin + block])
        found[begin : begin + block] = np.rint((part - np.float32(_SILENCE)) / step)
    return {"log_mel": found, "log_mel_step": np.asarray(step)}


def read_energies(index: ShardIndex, files: list[str]) -> np.ndarray:
    """Mel energies of all chunks, one after the other in the order of their handles.

    Args:
      index: Where they are.
      files: Paths of the shards.

    Returns:
      float16[frames, mels].

    Raises:
      CorpusError: A shard is missing or shorter than it was.
    """
    ends = np.cumsum(index.frames, dtype=np.int64)
    energies = np.empty((int(ends[-1]), shard_format.MELS), shard_format.DTYPE)
    for number, path in enumerate(files):
        try:
            with open(path, "rb", buffering=0) as file:
                for handle in np.flatnonzero(index.file == number).tolist():
                    part = energies[ends[handle] - index.frames[handle] : ends[handle]]
                    got = os.preadv(file.fileno(), [part.data], int(index.offset[handle]))
                    if got < part.nbytes:
                        raise CorpusError(shard_format.damaged(path, "it is cut short"))
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read any more ({error})") from error
    return energies


def _padded_labels(index: ShardIndex) -> np.ndarray:
    """Label ids of chunks: int64[chunks, most labels], -1 behind the last one."""
    counts = np.diff(index.label_begin)
    padded = np.full((len(counts), max(1, int(counts.max(initial=0)))), -1, np.int64)
    padded[np.arange(padded.shape[1])[None, :] < counts[:, None]] = index.labels
    return padded
