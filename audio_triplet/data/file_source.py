"""Chunks decoded from sound files on the fly."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from audio_triplet import audio, features
from audio_triplet.data import chunks, decoded_cache
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.sources import ChunkSource, VisitOrder
from audio_triplet.errors import AudioError


def chunk_energies(waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mel energies of one chunk.

    Args:
      waveform: float32[samples] at 16 kHz; what is beyond a chunk is ignored.

    Returns:
      float32[frames, mels] with at most `CHUNK_FRAMES` frames and at least one (a waveform
      shorter than a window is padded with silence), zero frames only for an empty waveform; and
      the int32 number of frames.
    """
    config = features.DEFAULT
    waveform = waveform[: chunks.CHUNK_SAMPLES]
    samples = tf.size(waveform)
    missing = tf.where(samples > 0, tf.maximum(0, config.window_samples - samples), 0)
    energies = features.mel_energies(tf.pad(waveform, [[0, missing]]))
    return energies, tf.shape(energies)[0]


def chunk_energies_numpy(waveform: np.ndarray) -> np.ndarray:
    """The same where Python runs, which is faster: float32[samples] → float32[frames, mels]."""
    waveform = waveform[: chunks.CHUNK_SAMPLES]
    if 0 < len(waveform) < features.DEFAULT.window_samples:
        waveform = np.pad(waveform, (0, features.DEFAULT.window_samples - len(waveform)))
    return features.mel_energies_numpy(waveform)


class FileChunks(ChunkSource):
    """Chunks decoded from sound files on the fly.

    Attributes:
      table: The chunks.
      bad_files: Files that could not be read; their chunks come with no frames.
    """

    def __init__(
        self,
        table: chunks.ChunkTable,
        bad_files: BadFiles,
        *,
        classes: Sequence[str] | None = None,
        resampler: str = "soxr",
        in_graph: Callable[[tf.Tensor], tf.Tensor] | None = None,
        cache: decoded_cache.EnergyCache | None = None,
    ):
        """Makes a source.

        Args:
          table: What `scan` returned.
          bad_files: Where files are listed whose body cannot be decoded; says whether truncated
            ones are used.
          classes: Names and order of the labels; the manifest's own if None.
          resampler: `soxr` or `resampy`.
          in_graph: A graph function path → float32[samples] at 16 kHz, for pipelines in which
            Python cannot run; libsndfile in a Python function if None.
          cache: Keeps sound that libsndfile decoded for the next epoch; None: nothing is kept.
        """
        self.table, self.bad_files = table, bad_files
        self.classes = tuple(table.manifest.classes if classes is None else classes)
        self._resampler, self._in_graph, self._cache = resampler, in_graph, cache
        self.graph_only = in_graph is not None
        frame = table.manifest.frame
        self._paths = frame["path"].to_numpy(dtype=object)
        self._starts = frame["start_seconds"].to_numpy(np.float64)
        self._order = VisitOrder(table.first, table.count, table.recording_key)
        self.recordings = self._order.recordings
        with tf.device("/cpu:0"):
            self._recording = tf.constant(np.repeat(table.recording_key, table.count))
            self._segment = tf.constant(table.segment)
            self._position = tf.constant(table.position, tf.int64)
            self._key = tf.constant(table.key)
            self._row = tf.constant(table.row, tf.int64)
            self._labels = tf.constant(table.manifest.label_matrix(self.classes))

    def _visited_handles(self, seed, first_visit, distributed):
        del distributed  # visits are computed one by one, so any part of them is small
        return self._order.from_visit(seed, first_visit)

    def _all_handles(self):
        return tf.data.Dataset.range(len(self.table.segment))

    def _label_ids(self, handle):
        return tf.where(self._labels[self._segment[handle]])[:, 0]

    def _read(self, handle):
        segment, position = self._segment[handle], self._position[handle]
        if self._in_graph is None:
            energies = tf.numpy_function(self._energies, [segment, position], tf.float32)
            energies.set_shape([None, features.DEFAULT.mel_bands])
            frames = tf.shape(energies)[0]
        else:
            energies, frames = chunk_energies(self._decode_in_graph(segment, position))
        energies = tf.pad(energies, [[0, chunks.CHUNK_FRAMES - frames], [0, 0]])
        return {
            "mel_energies": tf.ensure_shape(
                energies, [chunks.CHUNK_FRAMES, features.DEFAULT.mel_bands]
            ),
            "frames": frames,
            "recording": self._recording[handle],
            "piece": self._key[handle],
            "labels": tf.ensure_shape(self._labels[segment], [len(self.classes)]),
            "segment": self._row[segment],
            "position": position,
        }

    def _energies(self, segment, position) -> np.ndarray:
        """The result of `_decode`, from the cache if it is there."""
        cache = self._cache
        if cache is None:
            return self._decode(segment, position)
        extent = map(float, self._extent(int(segment), int(position)))
        name = cache.name(self._paths[segment], *extent, self._resampler, self.bad_files.truncated)
        energies = None if name is None else cache.get(name)
        if energies is None:
            energies = self._decode(segment, position)
            if name is not None and len(energies):
                cache.put(name, energies)
        return energies

    def _extent(self, segment: int, position: int) -> tuple[float, float]:
        """Start in the file and length of a chunk, seconds."""
        offset = position * chunks.CHUNK_SECONDS
        rest = self.table.duration[segment] - offset
        return self._starts[segment] + offset, min(rest, chunks.READ_SECONDS)

    def _decode(self, segment, position) -> np.ndarray:
        """float32[frames, mels]; no frames if the chunk cannot be decoded."""
        path = self._paths[segment]
        try:
            waveform = audio.read_piece(
                path,
                *self._extent(int(segment), int(position)),
                resampler=self._resampler,
                truncated=self.bad_files.truncated,
                log=self.bad_files.log,
            )
        except AudioError as error:
            self.bad_files.add(path, error.reason)
            waveform = np.zeros(0, np.float32)
        return chunk_energies_numpy(waveform)

    def _decode_in_graph(self, segment, position):
        waveform = self._in_graph(tf.constant(self._paths.astype(str))[segment])
        rate = features.DEFAULT.sample_rate
        offset = tf.cast(position, tf.float64) * chunks.CHUNK_SECONDS
        start = tf.constant(self._starts)[segment] + offset
        rest = tf.constant(self.table.duration)[segment] - offset
        begin = tf.cast(tf.round(start * rate), tf.int32)
        samples = tf.cast(tf.round(rest * rate), tf.int32)
        return waveform[begin : begin + tf.minimum(samples, chunks.CHUNK_SAMPLES)]
