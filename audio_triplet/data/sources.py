"""Where chunks of sound come from: what a source offers, and in which order chunks are drawn.

A chunk is up to 11 patches (10.56 s) of one recording as mel energies: long enough that two of its
patches can be almost Δt = 10 s apart, short enough that a batch of them stays small however long
the recording is. The chunks of a segment tile it, on a grid of whole patches.

Draws are by recording: an epoch visits every recording once, by one of its chunks, the next one
each epoch. So a three-hour file weighs no more than a one-second one, and all of it has been used
after as many epochs as it has chunks. The n-th visit of a run is a pure function of the seed and n,
so a run resumes anywhere without any state of its own.

Two interfaces: `ChunkSource` reads whole chunks (`file_source`, `shard_source`), `PatchSource`
single patches of them (`shard_source`, where the shards are on this machine). Each names a chunk by
a *handle*: its index, or the serialised record itself.
"""

import abc
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from audio_triplet.data.bad_files import BadFiles
from audio_triplet.draws import uniforms_of_keys
from audio_triplet.errors import CorpusError


class ChunkSource(abc.ABC):
    """Chunks that are read whole. Sub-classes find and read them.

    A chunk, as a dict of tensors:
      `mel_energies` float32[chunks.CHUNK_FRAMES, mels], zero-padded at the end,
      `frames` int32, how many of them are real (0: the file could not be read),
      `recording` int64 and `piece` int64, stable keys of the recording and of the chunk,
      `labels` bool[classes],
      `segment` int64, row in the manifest,
      `position` int64, the chunk's number within its segment.

    Attributes:
      classes: Names of the labels.
      recordings: Number of recordings, i.e. of visits in an epoch.
      bad_files: Files that turned out to be unreadable; prepared shards have none.
      graph_only: Whether its pipeline is made of TensorFlow ops alone, and so runs in any process.
    """

    classes: tuple[str, ...]
    recordings: int
    bad_files: BadFiles
    graph_only = True

    @abc.abstractmethod
    def _visited_handles(self, seed: int, first_visit: int, distributed: bool) -> tf.data.Dataset:
        """Endless (handle, int64 epoch) from a visit on; for the arguments see `visits`."""

    @abc.abstractmethod
    def _all_handles(self) -> tf.data.Dataset:
        """Every handle once, segment by segment."""

    @abc.abstractmethod
    def _label_ids(self, handle) -> tf.Tensor:
        """int64[labels] of a chunk, without reading its sound."""

    @abc.abstractmethod
    def _read(self, handle) -> dict[str, tf.Tensor]:
        """Reads a chunk."""

    def patches(self) -> "PatchSource | None":
        """The same chunks as a source of single patches; None if they must be read whole.

        Raises:
          CorpusError: They are damaged.
        """
        return None

    def damage(self) -> str:
        """After an error in reading: which file is damaged, as a message; empty if none is."""
        return ""

    @tf.autograph.experimental.do_not_convert
    def visits(self, seed: int, first_visit: int = 0, distributed: bool = False) -> tf.data.Dataset:
        """Endless visits, each a chunk with its `epoch` int64, from the given visit on.

        Args:
          seed: Seed of their order.
          first_visit: Number of the first one; when distributed, about that.
          distributed: Whether a tf.data service distributes them to its workers. It does so with
            what comes first in the pipeline, which must then be small parts of an epoch.
        """

        def read(handle, epoch):
            return self._read(handle) | {"epoch": epoch}

        handles = self._visited_handles(seed, first_visit, distributed)
        return handles.map(read, tf.data.AUTOTUNE)

    @tf.autograph.experimental.do_not_convert
    def pairs(self, seed: int, first_pair: int = 0, distributed: bool = False) -> tf.data.Dataset:
        """Endless pairs of chunks that share a label, from the given pair on.

        The two are successive visits to that label (of a chunk with several labels, one is
        drawn); unlabelled chunks are skipped.

        Args:
          seed: As of `visits`.
          first_pair: Number of the first one; when distributed, about that.
          distributed: As of `visits`.

        Returns:
          Dataset of (chunk, chunk, int64 label).

        Raises:
          CorpusError: There are no labels.
        """
        if not self.classes:
            raise CorpusError("explicit-label triplets need labels, and this corpus has none")

        def read(handles, epochs, labels):
            first = self._read(tf.nest.map_structure(lambda t: t[0], handles))
            second = self._read(tf.nest.map_structure(lambda t: t[1], handles))
            return first | {"epoch": epochs[0]}, second | {"epoch": epochs[1]}, labels[0]

        # The pairs of a label depend on all visits before; each of several workers has its own.
        handles = self._visited_handles(seed, first_pair if distributed else 0, distributed)
        paired = paired_by_label(handles, self._label_ids, seed)
        return paired.skip(0 if distributed else first_pair).map(read, tf.data.AUTOTUNE)

    @tf.autograph.experimental.do_not_convert
    def in_order(self) -> tf.data.Dataset:
        """Every chunk once, segment by segment, for evaluation and preparation."""
        return self._all_handles().map(self._read, tf.data.AUTOTUNE)


class PatchSource(abc.ABC):
    """Chunks whose patches can be read one by one.

    Drawing one or two patches of a chunk then costs these patches, not the eleven of the chunk.

    Attributes:
      classes: Names of the labels.
      order: Which chunk a visit goes to.
    """

    classes: tuple[str, ...]
    order: "VisitOrder"

    @abc.abstractmethod
    def all_labels(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Labels of all chunks, one after the other.

        Returns:
          int64[…] labels, and int64[chunks + 1], where those of a chunk begin.
        """

    @abc.abstractmethod
    def chunk_metadata(self, handles) -> dict[str, tf.Tensor]:
        """Metadata of chunks, without reading their sound.

        Args:
          handles: int64[n].

        Returns:
          `frames` int32[n], `recording` int64[n], `piece` int64[n], `labels` bool[n, classes].
        """

    @abc.abstractmethod
    def patch_energies(self, handles, starts) -> tf.Tensor:
        """Mean energy per cell of patches: float32[n, k].

        Args:
          handles: int64[n].
          starts: int32[n, k], the frame at which a patch begins. Past the last patch of the
            chunk the result is meaningless.
        """

    @abc.abstractmethod
    def cut(self, handles, starts) -> tf.Tensor:
        """Reads patches, zero-padded past the end of the chunk: float32[n, patch_frames, mels].

        Args:
          handles: int64[n].
          starts: int32[n], the frame at which a patch begins.
        """


class VisitOrder:
    """Computes which chunk of which recording a visit goes to, where chunks have indices.

    Recordings are visited in an order that depends on their keys and the seed alone: the same
    from sound files as from shards.

    Attributes:
      recordings: Number of recordings, i.e. of visits in an epoch.
    """

    def __init__(self, first: np.ndarray, count: np.ndarray, recording_key: np.ndarray):
        """Says which chunks belong to which recording.

        Args:
          first: int64[recordings], index of the first chunk; the others of it follow.
          count: int64[recordings], number of chunks.
          recording_key: int64[recordings], stable keys.
        """
        order = np.argsort(recording_key, kind="stable")
        self.recordings = len(order)
        # Tensors made here are captured by the pipeline's functions; made inside of these, they
        # would be copied into the graph.
        with tf.device("/cpu:0"):
            self._first = tf.constant(first[order], tf.int64)
            self._count = tf.constant(count[order], tf.int64)
            self._recording_key = tf.constant(recording_key[order], tf.int64)

    def chunks_visited(self, seed: int, visits) -> tuple[tf.Tensor, tf.Tensor]:
        """Which chunks are visited.

        Args:
          seed: Seed of the run.
          visits: int64[n], numbers of visits.

        Returns:
          int64[n] indices of chunks and int64[n] epochs.
        """
        handles, epoch = self.pairs_visited(seed, visits)
        return handles[:, 0], epoch

    def pairs_visited(
        self, seed: int, visits, far_share: float = 0.0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Which chunks are visited, and from which the positives come.

        Args:
          seed: Seed of the run.
          visits: int64[n], numbers of visits.
          far_share: Share of the positives that come from another chunk of the recording, drawn
            evenly from those that it has.

        Returns:
          int64[n, 2] indices of chunks, most of them twice the same, and int64[n] epochs.
        """
        epoch, position = visits // self.recordings, visits % self.recordings
        recording = shuffled_many(position, seed, epoch, self.recordings)
        key = tf.gather(self._recording_key, recording)
        first, count = tf.gather(self._first, recording), tf.gather(self._count, recording)
        number = chunk_number(epoch, key, count)
        other = number
        if far_share:
            drawn = uniforms_of_keys(key ^ (epoch * 0x9E3779B1 + seed * 0x85EBCA6B + 1), 2)
            further = 1 + tf.cast(drawn[:, 1] * tf.cast(count - 1, tf.float32), tf.int64)
            further = tf.minimum(further, count - 1)  # a product may be rounded up
            other = (number + tf.where(drawn[:, 0] < far_share, further, 0)) % count
        return first[:, None] + tf.stack([number, other], axis=1), epoch

    def from_visit(self, seed: int, first_visit: int) -> tf.data.Dataset:
        """Endless (int64 index of a chunk, int64 epoch) from a visit on."""

        def find(visit):
            chunks, epochs = self.chunks_visited(seed, visit[None])
            return chunks[0], epochs[0]

        return tf.data.Dataset.range(first_visit, np.iinfo(np.int64).max).map(find)


def chunk_number(epoch, recording_key, count) -> tf.Tensor:
    """Which of its `count` chunks a recording is visited by in an epoch: the next one each time."""
    return (epoch + recording_key % count) % count


def shuffled(position, seed: int, epoch, count: int) -> tf.Tensor:
    """Where a permutation drawn for `(seed, epoch)` puts `position`: int64 in [0, count)."""
    return shuffled_many(tf.cast(position, tf.int64)[None], seed, epoch[None], count)[0]


def shuffled_many(positions, seed: int, epoch, count: int) -> tf.Tensor:
    """Where permutations drawn for `(seed, epoch)` put positions: int64[n] in [0, count).

    Args:
      positions: int64[n].
      seed: Seed of the run.
      epoch: int64[n].
      count: How many positions there are.
    """
    # The op below `tf.random.experimental.index_shuffle`, which fills up seeds [n, 2] wrongly.
    seeds = tf.stack([tf.fill(tf.shape(epoch), tf.constant(seed, tf.int64)), epoch], axis=1)
    return tf.raw_ops.RandomIndexShuffle(
        index=positions,
        seed=tf.pad(seeds, [[0, 0], [1, 0]], constant_values=1),
        max_index=tf.constant(count - 1, tf.int64),
        rounds=4,
    )


def paired_by_label(handles: tf.data.Dataset, label_ids: Callable, seed: int) -> tf.data.Dataset:
    """Pairs visits to chunks that share a label, see `ChunkSource.pairs`.

    Args:
      handles: Dataset of (handle, epoch).
      label_ids: handle → int64[labels].
      seed: Seed of the run.

    Returns:
      Dataset of (two handles, int64[2] epochs, int64[2] twice their label).
    """

    def key(handle, epoch):
        labels = label_ids(handle)
        count = tf.size(labels)
        # The handles of an epoch differ, the draw need not: it is only which of its labels.
        draw = tf.random.stateless_uniform([], [seed, epoch], 0, 2**30, tf.int32)
        drawn = tf.math.floormod(draw, tf.maximum(1, count))
        label = tf.cond(count > 0, lambda: labels[drawn], lambda: tf.constant(-1, tf.int64))
        return handle, epoch, label

    return (
        handles.map(key)
        .filter(lambda handle, epoch, label: label >= 0)
        .group_by_window(
            key_func=lambda handle, epoch, label: label,
            reduce_func=lambda label, window: window.batch(2, drop_remainder=True),
            window_size=2,
        )
    )
