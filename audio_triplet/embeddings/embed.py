"""Sound to embeddings: patches of many sounds, a full batch at a time.

    for found in embed_files(model, manifest):     # an Embedded per segment, as each is finished
    embed_manifest(model, manifest)                # the same as one EmbeddingSet
    embed_stream(model, blocks)                    # one sound, from wherever it comes
    embed_shards(source, manifest, encoder)        # prepared shards; any function of patches

Files are decoded in threads, block by block, and the network gets full batches of patches from
however many files, so that an archive of short files is as quick as one of long ones; a model that
takes patches one by one (`quick_model`) embeds them in the thread that decoded them. The result
equals the model's output for each whole segment on its own. Memory is that of a few blocks and a
few batches, whatever the length of the recordings; only the embeddings of segments in progress are
held.

TensorFlow and pandas come with a model and a manifest that need them: a query needs neither.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from audio_triplet import front_end
from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.embeddings.decoding import Decoder, End, Failure, Listen, Patches, Vectors
from audio_triplet.embeddings.embedding_set import PATCH_SECONDS, Embedded, EmbeddingSet, Origin
from audio_triplet.embeddings.patch_cutting import Cutting
from audio_triplet.embeddings.sounds import RATE
from audio_triplet.errors import CorpusError

if TYPE_CHECKING:
    from audio_triplet.data import sources
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.representations import Representation

_WAITING_BATCHES = 4


def embed_files(
    model: Any,
    manifest: Manifest,
    config: EmbedConfig | None = None,
    bad_files: BadFiles | None = None,
    on_progress: Callable[[float], object] = lambda seconds: None,
    listen: Listen | None = None,
) -> Iterator[Embedded]:
    """Embeds every segment of a manifest.

    Args:
      model: A `saved_model.Model`, or anything that makes float32[batch, samples] a dict with
        `patch_embeddings`; a `window_model.WindowModel`.
      manifest: The segments.
      config: Granularity, hop, batch and threads.
      bad_files: Unreadable files are added to it; their segments are left out. Says whether
        truncated ones are used.
      on_progress: Called with the seconds of sound that are done since the last call.
      listen: Hears the sound of each row while it is decoded, see `decoding.Listen`.

    Yields:
      Each segment as it is finished, in about the manifest's order.
    """
    config = config or EmbedConfig()
    bad_files = BadFiles() if bad_files is None else bad_files
    batches, cutting = _batches(model, config.batch_size)
    decoder = Decoder(manifest, config, cutting, bad_files, listen, _encode_alone(model, cutting))
    in_progress: dict[int, _Segment] = collections.defaultdict(_Segment)
    starts = manifest.frame["start_seconds"].to_numpy(np.float64)
    ends = manifest.frame["end_seconds"].to_numpy(np.float64)
    cut: list[int] = []  # rows that end past the end of their file
    hop_seconds, window = config.hop_samples / RATE, cutting.window_seconds
    try:
        for item in decoder:
            segment = in_progress[item.row]
            match item:
                case Failure(row, reason):
                    bad_files.add(manifest.frame["path"].iloc[row], reason)
                    segment.failed = True
                    segment.expected = segment.sent
                case End(row, seconds):
                    on_progress(max(0.0, seconds - segment.sent * hop_seconds))
                    segment.seconds, segment.expected = seconds, segment.sent
                    if ends[row] > starts[row] + seconds + 0.1:
                        cut.append(row)
                case Vectors() | Patches():
                    segment.sent += len(item.energies)
                    segment.energies.append(item.energies)
                    on_progress(len(item.energies) * hop_seconds)
                    if isinstance(item, Vectors):
                        segment.take(item.vectors)
                    else:
                        for known, vectors in batches.add(item.row, item.patches):
                            in_progress[known].take(vectors)
            for row in [row for row in in_progress if in_progress[row].finished]:
                segment = in_progress.pop(row)
                if not segment.failed:
                    yield segment.embedded(row, starts[row], config, window)
    finally:
        decoder.stop()
    for row, vectors in batches.rest():
        in_progress[row].take(vectors)
    for row in sorted(in_progress):
        if not in_progress[row].failed:
            yield in_progress[row].embedded(row, starts[row], config, window)
    if cut:
        logging.warning(
            "%s: %d segments end past the end of their file (%s, …); they are cut there",
            manifest.name,
            len(cut),
            manifest.frame["path"].iloc[min(cut)],
        )


def embed_manifest(
    model: Any,
    manifest: Manifest,
    config: EmbedConfig | None = None,
    bad_files: BadFiles | None = None,
    on_segment: Callable[[], object] = lambda: None,
    origin: Origin | None = None,
) -> EmbeddingSet:
    """Embeds a manifest as one set, in the manifest's order.

    Args:
      model: As for `embed_files`.
      manifest: The segments.
      config: As for `embed_files`.
      bad_files: As for `embed_files`.
      on_segment: Called for each segment that is finished.
      origin: As for `EmbeddingSet.of`.

    Returns:
      The embeddings of the segments that could be read, with rows and times.

    Raises:
      CorpusError: No segment could be read.
    """
    config = config or EmbedConfig()
    found = []
    for segment in embed_files(model, manifest, config, bad_files):
        found.append(segment)
        on_segment()
    if not found:
        raise CorpusError(f"{manifest.name}: no segment could be read")
    return EmbeddingSet.of(manifest, found, origin)


def embed_stream(
    model: Any,
    blocks: Iterable[np.ndarray],
    config: EmbedConfig | None = None,
    start_seconds: float = 0.0,
) -> Embedded | None:
    """Embeds one sound, block by block.

    Args:
      model: As for `embed_files`, or a `quick_model.QuickModel`.
      blocks: float32[samples] each, mono, at `rate_of(model)`.
      config: Granularity, hop and batch.
      start_seconds: Where in its file the sound begins.

    Returns:
      The embeddings, row 0; None if there is no sound.
    """
    config = config or EmbedConfig()
    batches, cutting = _batches(model, config.batch_size)
    segment = _Segment()
    for patches, energies, decoded in cutting.cut(
        blocks, config.hop_samples / RATE, front_end.mel_energies_at_once
    ):
        segment.seconds = decoded / cutting.rate
        if len(patches):
            segment.energies.append(energies)
            for _, vectors in batches.add(0, patches):
                segment.take(vectors)
    for _, vectors in batches.rest():
        segment.take(vectors)
    if not segment.seconds:
        return None
    return segment.embedded(0, start_seconds, config, cutting.window_seconds)


def rate_of(model: Any) -> int:
    """Samples per second of the sound that a model takes: 16 kHz, but for models of others."""
    return _cutting(model).rate


def window_seconds_of(model: Any) -> float:
    """How much a model hears at once: a patch, but for models of others."""
    return _cutting(model).window_seconds


def unit_mean(vectors: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """The mean of float32[n, dim], scaled to unit norm: float32[1, dim].

    Args:
      vectors: They.
      shares: float32[n], how much each counts, together 1; None: all alike.
    """
    mean = vectors.mean(axis=0, keepdims=True) if shares is None else shares[None] @ vectors
    return mean / max(np.linalg.norm(mean), 1e-12)


class _Segment:
    """A segment in progress: some patches may not have been embedded yet."""

    def __init__(self):
        self.sent, self.expected, self.seconds, self.failed = 0, None, 0.0, False
        self.energies: list[np.ndarray] = []
        self._count = 0
        self._vectors: list[np.ndarray] = []

    def take(self, vectors: np.ndarray) -> None:
        """The next patches' embeddings, in order."""
        self._count += len(vectors)
        self._vectors.append(vectors)

    @property
    def finished(self) -> bool:
        return self.expected == self._count

    def embedded(
        self, row: int, start_seconds: float, config: EmbedConfig, window_seconds: float
    ) -> Embedded:
        vectors, energy = np.concatenate(self._vectors), np.concatenate(self.energies)
        return gathered(row, vectors, energy, start_seconds, self.seconds, config, window_seconds)


def gathered(
    row: int,
    vectors: np.ndarray,
    energy: np.ndarray,
    start_seconds: float,
    seconds: float,
    config: EmbedConfig,
    window_seconds: float = PATCH_SECONDS,
) -> Embedded:
    """A segment of all of its patches.

    Args:
      row: Its row in the manifest.
      vectors: float32[n, dim], of its patches in order.
      energy: float32[n], of the patches.
      start_seconds: Where in its file it begins.
      seconds: Length of its sound.
      config: Granularity and hop.
      window_seconds: How long a patch is.
    """
    start = start_seconds + np.arange(len(vectors)) * (config.hop_samples / RATE)
    end = np.minimum(start + window_seconds, start_seconds + seconds)
    if config.granularity == "segment":
        vectors = unit_mean(vectors)
        energy = energy.mean(keepdims=True)
        start, end = start[:1], start[:1] + seconds
    return Embedded(row, vectors, start, end, energy, seconds)


def _batches(model: Any, batch_size: int) -> tuple[PatchBatches, Cutting]:
    """Batches for a model, and how sound is cut for them."""
    cutting = _cutting(model)
    if cutting.window_samples:
        return PatchBatches(model.embed_windows, batch_size, padded=False), cutting
    if cutting.by_mel:
        padded = not getattr(model, "patch_by_patch", False)
        return PatchBatches(_forward_mel(model), batch_size, padded), cutting
    return PatchBatches(_forward_waveform(model), batch_size, padded=False), cutting


def _cutting(model: Any) -> Cutting:
    window = getattr(model, "window", None)
    if window is not None:  # a `window_model.WindowModel`
        return Cutting(False, window.rate, window.samples)
    return Cutting(by_mel=getattr(model, "has_encoder", False))


def _forward_mel(model) -> Callable[[np.ndarray], np.ndarray]:
    """Mel energies of patches to embeddings, [n, 96, mels] → [n, dim], by the encoder alone."""
    return lambda energies: np.asarray(model.encode(front_end.log_mel_numpy(energies)))


def _encode_alone(model: Any, cutting: Cutting) -> Callable[[np.ndarray], np.ndarray] | None:
    """What embeds patches in the thread that decoded them; None if a model wants full batches."""
    if not cutting.by_mel or not getattr(model, "patch_by_patch", False):
        return None
    return lambda energies: model.encode_alone(front_end.log_mel_numpy(energies))


def _forward_waveform(model: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """Waveforms of patches to embeddings, [n, samples] → [n, dim], by any model of the contract."""
    import tensorflow as tf

    return lambda waveforms: model(tf.constant(waveforms))["patch_embeddings"][:, 0].numpy()


class PatchBatches:
    """Gathers patches of any segments, and embeds them a full batch at a time.

    Those of one batch have one shape, which matters for waveforms: whole patches are all of one
    length, and a segment shorter than that is one patch, which the model pads; in a batch with
    others of as many whole windows its answer is the same as alone.

    Where all patches are of one shape, the last batch is filled up: a smaller one may round
    differently in the last bit, and after a stop the last batch is another one.
    """

    def __init__(self, forward: Callable[[np.ndarray], np.ndarray], batch_size: int, padded: bool):
        """Begins with no patches.

        Args:
          forward: float32[n, …] patches of one shape → float32[n, dim].
          batch_size: Patches in a full batch.
          padded: Whether to fill up the last batch.
        """
        self._forward, self._batch_size, self._padded = forward, batch_size, padded
        self._waiting: dict[tuple, list[tuple[int, np.ndarray]]] = collections.defaultdict(list)
        self.count = 0

    def add(self, row: int, patches: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Takes patches of a segment; yields (row, embeddings) of those now computed."""
        shape = patches.shape[1:]
        waiting = self._waiting[shape]
        for patch in patches:
            waiting.append((row, patch))
            self.count += 1
            if len(waiting) == self._batch_size:
                yield from self.run(shape)
            elif self.count > _WAITING_BATCHES * self._batch_size:
                yield from self.run(max(self._waiting, key=lambda n: len(self._waiting[n])))

    def rest(self) -> Iterator[tuple[int, np.ndarray]]:
        """Embeds what is still waiting; yields as `add`."""
        for shape in list(self._waiting):
            yield from self.run(shape)

    def run(self, shape: tuple) -> Iterator[tuple[int, np.ndarray]]:
        """Embeds the waiting patches of one shape; yields as `add`."""
        items = self._waiting[shape][:]
        self._waiting[shape].clear()  # in place: `add` holds on to the list
        self.count -= len(items)
        if not items:
            return
        patches = np.stack([patch for _, patch in items])
        if self._padded:
            missing = self._batch_size - len(items)
            patches = np.pad(patches, [(0, missing)] + [(0, 0)] * len(shape))
        vectors = self._forward(patches)
        first = 0
        for row, run in itertools.groupby(items, key=lambda item: item[0]):
            last = first + sum(1 for _ in run)
            yield row, vectors[first:last]
            first = last


def embed_shards(
    source: sources.ChunkSource,
    manifest: Manifest,
    representation: Representation,
    batch_size: int = 128,
) -> EmbeddingSet:
    """Applies a representation to every patch of a source, patches side by side as in training.

    Args:
      source: Chunks; the patches of a chunk do not overlap and begin at its start.
      manifest: The manifest whose rows the chunks' `segment` numbers.
      representation: Log mel patches → vectors.
      batch_size: Patches in a forward pass.

    Returns:
      The embeddings of the segments that have at least one patch (others could not be read), in
      the manifest's order, with `row` and without times.

    Raises:
      CorpusError: There is no patch.
    """
    import tensorflow as tf

    from audio_triplet import features
    from audio_triplet.data import chunks

    @tf.autograph.experimental.do_not_convert
    def cut(chunk):
        frames = chunk["frames"]
        patches = features.patches(chunk["mel_energies"])  # [11, 96, mels]
        count = tf.where(frames > 0, tf.maximum(1, frames // features.DEFAULT.patch_frames), 0)
        patches = patches[:count]
        return {
            "patch": patches,
            "energy": tf.reduce_mean(patches, [1, 2]),
            "segment": tf.fill([count], chunk["segment"]),
            "position": chunk["position"] * chunks.CHUNK_PATCHES
            + tf.range(tf.cast(count, tf.int64), dtype=tf.int64),
        }

    @tf.function(reduce_retracing=True, autograph=False)
    def forward(patches):
        return tf.cast(representation(features.log_mel(patches)), tf.float32)

    vectors, energies, rows, positions = [], [], [], []
    batches = source.in_order().map(cut, tf.data.AUTOTUNE).unbatch().batch(batch_size)
    for batch in batches.prefetch(2):
        vectors.append(forward(batch["patch"]).numpy())
        energies.append(batch["energy"].numpy())
        rows.append(batch["segment"].numpy())
        positions.append(batch["position"].numpy())
    if not vectors:
        raise CorpusError(f"{manifest.name}: no patch could be read")
    row, position = np.concatenate(rows), np.concatenate(positions)
    order = np.lexsort([position, row])  # shards hold segments in an order of their own
    found, segment_index = np.unique(row[order], return_inverse=True)
    return EmbeddingSet(
        manifest=manifest.take(found),
        vectors=np.concatenate(vectors)[order],
        segment_index=segment_index.astype(np.int32),
        energy=np.concatenate(energies)[order],
        row=found,
    )
