"""An archive of sound as embeddings: computed in bulk by a SavedModel, and kept in files.

    for found in embed(model, manifest):      # one Embedded a segment, as each is finished
    embed_to_folder(model, manifest, ...)     # a file of embeddings for each sound file
    EmbeddingSet.load(path)                   # all of them, or a single set, for what comes next

Files are decoded in threads, block by block, and the network gets full batches of patches from
however many files, so that an archive of short files is as quick as one of long ones. What comes
out is what the model says of each whole segment on its own. Memory is that of a few blocks and a
few batches, whatever the length of the recordings; only the embeddings of the recordings under way
are held.
"""

import collections
import dataclasses
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from audio_triplet import audio, features
from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import AudioError

_RATE = features.DEFAULT.sample_rate
_PATCH_SAMPLES = features.DEFAULT.patch_samples
PATCH_SECONDS = _PATCH_SAMPLES / _RATE
_BLOCK_SECONDS = 10.0
_WAITING_BATCHES = 4


# --- computing -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """The embeddings of one segment.

    Attributes:
      row: Its row in the manifest.
      vectors: float32[n, dim], of unit norm; n is 1 at segment level.
      start_seconds: float64[n], where in the file each begins.
      end_seconds: float64[n], where it ends.
      energy: float32[n], mean linear mel energy per cell; silence has next to none.
      seconds: Length of the segment's sound.
    """

    row: int
    vectors: np.ndarray
    start_seconds: np.ndarray
    end_seconds: np.ndarray
    energy: np.ndarray
    seconds: float


def embed(
    model: Callable,
    manifest: Manifest,
    config: EmbedConfig | None = None,
    bad_files: BadFiles | None = None,
    heard: Callable[[float], object] = lambda seconds: None,
) -> Iterator[Embedded]:
    """Embeds every segment of a manifest.

    Args:
      model: An `saved_model.Model`: float32[batch, samples] → dict with `patch_embeddings`.
      manifest: The segments.
      config: Level, hop, batch and threads.
      bad_files: Where files are listed that cannot be read; nothing comes of their segments.
      heard: Told the seconds of sound that are done since it was last called.

    Yields:
      Each segment as it is finished, in about the manifest's order.
    """
    config = config or EmbedConfig()
    bad_files = bad_files or BadFiles()
    by_mel = getattr(model, "has_encoder", False)
    decoded = _Decoder(manifest, config, by_mel)
    forward = _forward_mel(model) if by_mel else _forward(model)
    batches = _Batches(forward, config.batch_size, padded=by_mel)
    under_way: dict[int, _UnderWay] = collections.defaultdict(_UnderWay)
    starts = manifest.frame["start_seconds"].to_numpy(np.float64)
    hop_seconds = config.hop_samples / _RATE
    try:
        for row, kind, content in decoded:
            segment = under_way[row]
            if kind == "bad":
                bad_files.add(manifest.frame["path"].iloc[row], content)
                segment.failed = True
                segment.expected = segment.sent
            elif kind == "end":
                heard(max(0.0, content - segment.sent * hop_seconds))
                segment.seconds, segment.expected = content, segment.sent
            else:
                segment.sent += len(content[0])
                segment.energies.append(content[1])
                heard(len(content[0]) * hop_seconds)
                for done, vectors in batches.add(row, content[0]):
                    under_way[done].take(vectors)
            for done in [row for row in under_way if under_way[row].finished]:
                segment = under_way.pop(done)
                if not segment.failed:
                    yield segment.embedded(done, starts[done], config)
    finally:
        decoded.stop()
    for done, vectors in batches.rest():
        under_way[done].take(vectors)
    for row in sorted(under_way):
        if not under_way[row].failed:
            yield under_way[row].embedded(row, starts[row], config)


class _UnderWay:
    """A segment of which some patches may not have been heard yet."""

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

    def embedded(self, row: int, start_seconds: float, config: EmbedConfig) -> Embedded:
        vectors, energy = np.concatenate(self._vectors), np.concatenate(self.energies)
        start = start_seconds + np.arange(len(vectors)) * (config.hop_samples / _RATE)
        end = np.minimum(start + PATCH_SECONDS, start_seconds + self.seconds)
        if config.level == "segment":
            mean = vectors.mean(axis=0, keepdims=True)
            vectors = mean / max(np.linalg.norm(mean), 1e-12)
            energy = energy.mean(keepdims=True)
            start, end = start[:1], start[:1] + self.seconds
        return Embedded(row, vectors, start, end, energy, self.seconds)


def _forward_mel(model) -> Callable[[np.ndarray], np.ndarray]:
    """Mel energies of patches to embeddings, [n, 96, mels] → [n, dim], by the encoder alone."""
    return lambda energies: model.encode(features.log_mel(energies)).numpy()


def _forward(model: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """Waveforms of patches to embeddings, [n, samples] → [n, dim], by any model of the contract."""
    return lambda waveforms: model(tf.constant(waveforms))["patch_embeddings"][:, 0].numpy()


class _Batches:
    """Gathers patches of any segments, and embeds them a full batch at a time.

    Those of one batch have one shape, which matters for waveforms: whole patches are all of one
    length, and a segment shorter than that is one patch, which the model pads; in a batch with
    others of as many whole windows its answer is the same as alone.

    Where all patches are of one shape, the last batch is filled up: a smaller one may round
    otherwise in the last bit, and what is last differs when a run was stopped and goes on.
    """

    def __init__(self, forward: Callable[[np.ndarray], np.ndarray], batch_size: int, padded: bool):
        self._forward, self._batch_size, self._padded = forward, batch_size, padded
        self._waiting: dict[tuple, list[tuple[int, np.ndarray]]] = collections.defaultdict(list)
        self._count = 0

    def add(self, row: int, patches: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Takes patches of a segment; yields (row, embeddings) that are now known."""
        shape = patches.shape[1:]
        waiting = self._waiting[shape]
        for patch in patches:
            waiting.append((row, patch))
            self._count += 1
            if len(waiting) == self._batch_size:
                yield from self._run(shape)
            elif self._count > _WAITING_BATCHES * self._batch_size:
                yield from self._run(max(self._waiting, key=lambda n: len(self._waiting[n])))

    def rest(self) -> Iterator[tuple[int, np.ndarray]]:
        """What is still waiting."""
        for shape in list(self._waiting):
            yield from self._run(shape)

    def _run(self, shape: tuple) -> Iterator[tuple[int, np.ndarray]]:
        items = self._waiting[shape][:]
        self._waiting[shape].clear()  # in place: `add` holds on to the list
        self._count -= len(items)
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


class _Decoder:
    """Decodes segments in threads; iterating gives (row, "patches" | "end" | "bad", content)."""

    def __init__(self, manifest: Manifest, config: EmbedConfig, by_mel: bool):
        self._frame, self._hop, self._by_mel = manifest.frame, config.hop_samples, by_mel
        self._rows = iter(range(len(manifest)))
        self._lock = threading.Lock()
        self._queue: queue.Queue = queue.Queue(4 * config.threads)
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"decode-{number}")
            for number in range(min(config.threads, len(manifest)))
        ]

    def __iter__(self) -> Iterator[tuple[int, str, object]]:
        for thread in self._threads:
            thread.start()
        working = len(self._threads)
        while working:
            row, kind, content = self._queue.get()
            if kind == "over":
                working -= 1
                if content is not None:
                    raise content
            else:
                yield row, kind, content

    def stop(self) -> None:
        """Ends the threads, whatever they are at."""
        self._stopped.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _put(self, row: int, kind: str, content) -> None:
        while not self._stopped.is_set():
            try:
                return self._queue.put((row, kind, content), timeout=0.2)
            except queue.Full:
                continue

    def _work(self) -> None:
        error = None
        try:
            while not self._stopped.is_set():
                with self._lock:
                    row = next(self._rows, None)
                if row is None:
                    break
                self._decode(row)
        except BaseException as raised:  # told in the consumer's thread
            error = raised
        self._put(-1, "over", error)

    def _decode(self, row: int) -> None:
        segment = self._frame.iloc[row]
        start, end = float(segment["start_seconds"]), float(segment["end_seconds"])
        seconds = 0.0
        try:
            blocks = _blocks(segment["path"], start, end)
            for patches, energies, heard in _patches(blocks, self._hop, self._by_mel):
                if self._stopped.is_set():
                    return
                if len(patches):
                    self._put(row, "patches", (patches, energies))
                seconds = heard / _RATE
            if not seconds:
                raise AudioError(segment["path"], f"no sound at {start:g} s")
        except AudioError as error:
            self._put(row, "bad", error.reason)
        else:
            self._put(row, "end", seconds)


def _blocks(path: str, start_seconds: float, end_seconds: float) -> Iterator[np.ndarray]:
    """The sound of a segment block by block; `end_seconds` NaN means to the end."""
    first = round(start_seconds * _RATE)
    left = np.inf if np.isnan(end_seconds) else round((end_seconds - start_seconds) * _RATE)
    block_samples = round(_BLOCK_SECONDS * _RATE)
    if first == 0:
        for block in audio.stream_audio(path, _BLOCK_SECONDS):
            yield block[: int(min(left, len(block)))]
            left -= len(block)
            if left <= 0:
                return
    while first and left > 0:
        wanted = int(min(left, block_samples))
        block = audio.read_piece(path, first / _RATE, wanted / _RATE)
        yield block
        if len(block) < wanted:
            return
        first, left = first + wanted, left - wanted


def _patches(
    blocks: Iterable[np.ndarray], hop: int, by_mel: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Cuts a stream into patches.

    Args:
      blocks: float32[samples], to be put together.
      hop: Samples from one patch to the next, whole frames.
      by_mel: Whether patches are given as mel energies, else as waveforms.

    Yields:
      The patches that are complete, n may be 0, as float32[n, 96, mels] or float32[n, samples];
      their energies float32[n]; and the number of samples heard so far. A stream shorter than a
      patch is one patch: its mel energies padded with silence, or a waveform of as many samples
      as its whole windows have (at least one, padded), the shortest that has the same energies.
    """
    config = features.DEFAULT
    rest, skip, heard, count = np.zeros(0, np.float32), 0, 0, 0
    for block in blocks:
        heard += len(block)
        skipped = min(skip, len(block))
        rest, skip = np.concatenate([rest, block[skipped:]]), skip - skipped
        new = max(0, 1 + (len(rest) - _PATCH_SAMPLES) // hop)
        if new:
            yield *_cut(rest[: (new - 1) * hop + _PATCH_SAMPLES], hop, by_mel), heard
            skip = max(0, new * hop - len(rest))
            rest = rest[new * hop :]
            count += new
        else:
            yield np.zeros((0, 0), np.float32), np.zeros(0, np.float32), heard
    if heard and not count:
        windows = max(1, config.frames(len(rest)))
        samples = config.window_samples + (windows - 1) * config.hop_samples
        waveform = np.pad(rest[:samples], (0, max(0, samples - len(rest))))
        mel = np.pad(
            features.mel_energies_numpy(waveform), ((0, config.patch_frames - windows), (0, 0))
        )
        yield (mel if by_mel else waveform)[None], mel.mean()[None], heard


def _cut(waveform: np.ndarray, hop: int, by_mel: bool) -> tuple[np.ndarray, np.ndarray]:
    """The patches of a waveform that holds whole ones, and their energies."""
    config = features.DEFAULT
    view = np.lib.stride_tricks.sliding_window_view
    mel = features.mel_energies_numpy(waveform)  # [frames, mels]
    patches = view(mel, config.patch_frames, axis=0)[:: hop // config.hop_samples]
    patches = patches.transpose(0, 2, 1)  # [n, 96, mels], nothing is copied
    energies = patches.mean(axis=(1, 2))
    return (patches if by_mel else view(waveform, _PATCH_SAMPLES)[::hop]), energies
