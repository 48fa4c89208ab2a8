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
import hashlib
import itertools
import json
import os
import queue
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

from audio_triplet import audio, features, piece_table, storage
from audio_triplet.config import EmbedConfig
from audio_triplet.manifest import CorpusError, Manifest

_RATE = features.DEFAULT.sample_rate
_PATCH_SAMPLES = features.DEFAULT.patch_samples
_PATCH_SECONDS = _PATCH_SAMPLES / _RATE
_BLOCK_SECONDS = 10.0
_WAITING_BATCHES = 4
_COLUMNS = ("path", "recording_id", "labels", "split")
_SEGMENT_COLUMNS = ("segment_start_seconds", "segment_end_seconds", "stamp")
_EMBEDDING_COLUMNS = (
    "embeddings", "segment", "start_seconds", "end_seconds", "energy", "timestamps",
)
_CONFIG = ("model", "model_digest", "level", "hop_seconds")


class ArchiveError(CorpusError):
    """Embeddings that cannot be read, written or put together; the message names the mend."""


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
    bad_files: piece_table.BadFiles | None = None,
    heard: Callable[[float], object] = lambda seconds: None,
) -> Iterator[Embedded]:
    """Embeds every segment of a manifest.

    Args:
      model: An `export.Model`: float32[batch, samples] → dict with `patch_embeddings`.
      manifest: The segments.
      config: Level, hop, batch and threads.
      bad_files: Where files are listed that cannot be read; nothing comes of their segments.
      heard: Told the seconds of sound that are done since it was last called.

    Yields:
      Each segment as it is finished, in about the manifest's order.
    """
    config = config or EmbedConfig()
    bad_files = bad_files or piece_table.BadFiles()
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
        end = np.minimum(start + _PATCH_SECONDS, start_seconds + self.seconds)
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

    def __init__(
        self, forward: Callable[[np.ndarray], np.ndarray], batch_size: int, padded: bool
    ):
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
                raise audio.AudioError(segment["path"], f"no sound at {start:g} s")
        except audio.AudioError as error:
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


# --- sets of embeddings --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingSet:
    """Embeddings of parts of sound files, with where they are from and who made them.

    Attributes:
      manifest: The segments that were embedded.
      stamp: int64[segments, 2], size and time of change (ns) of each segment's file when heard.
      vectors: float32[n, dim], of unit norm.
      segment: int32[n], row in the manifest.
      start_seconds: float64[n], where in the file each embedding begins.
      end_seconds: float64[n], where it ends.
      energy: float32[n], mean linear mel energy per cell.
      model: Folder of the model, where it was.
      model_digest: Its `export.Model.digest`.
      level: `patch` or `segment`.
      hop_seconds: From one patch to the next.
    """

    manifest: Manifest
    stamp: np.ndarray
    vectors: np.ndarray
    segment: np.ndarray
    start_seconds: np.ndarray
    end_seconds: np.ndarray
    energy: np.ndarray
    model: str
    model_digest: str
    level: str
    hop_seconds: float

    def __len__(self) -> int:
        """Number of embeddings."""
        return len(self.vectors)

    @property
    def timestamps(self) -> np.ndarray:
        """Centres, seconds in the file: of patches as the model tells them, of segments their own.

        A patch's centre may lie past the end of a file that is shorter than half a patch.
        """
        if self.level == "patch":
            return self.start_seconds + _PATCH_SECONDS / 2
        return (self.start_seconds + self.end_seconds) / 2

    @classmethod
    def of(
        cls, manifest: Manifest, found: Sequence[Embedded], model, config: EmbedConfig
    ) -> "EmbeddingSet":
        """What `embed` yielded, in the manifest's order; segments of which nothing came are left.

        Args:
          manifest: The one given to `embed`.
          found: At least one.
          model: The `export.Model`.
          config: As given to `embed`.
        """
        found = sorted(found, key=lambda one: one.row)
        rows = np.array([one.row for one in found])
        kept = manifest.take(rows)
        return cls(
            kept,
            np.array([stamp_of(path) for path in kept.frame["path"]], np.int64).reshape(-1, 2),
            np.concatenate([one.vectors for one in found]),
            np.repeat(np.arange(len(found), dtype=np.int32), [len(one.vectors) for one in found]),
            np.concatenate([one.start_seconds for one in found]),
            np.concatenate([one.end_seconds for one in found]),
            np.concatenate([one.energy for one in found]),
            os.path.abspath(model.path), model.digest, config.level, config.hop_seconds,
        )

    @classmethod
    def join(cls, sets: Sequence["EmbeddingSet"]) -> "EmbeddingSet":
        """Several sets as one.

        Raises:
          ArchiveError: They are of different models, levels or hops, or share a segment.
        """
        return cls._made_of([(one._columns(), one._config(), one.manifest.name) for one in sets])

    @classmethod
    def _made_of(cls, parts: Sequence[tuple[dict, dict, str]]) -> "EmbeddingSet":
        """One set of several sets' columns, configurations and names."""
        _, config, name = parts[0]
        for _, other, other_name in parts[1:]:
            for key in ("model_digest", "level", "hop_seconds"):
                if config[key] != other[key]:
                    raise ArchiveError(
                        f"{other_name}: its {key} is {other[key]}, that of {name} {config[key]}; "
                        "embed all with the same"
                    )
        columns = {
            key: np.concatenate([part[key] for part, _, _ in parts]) for key in parts[0][0]
        }
        lengths = [len(part["path"]) for part, _, _ in parts]
        columns["segment"] = columns["segment"] + np.repeat(
            np.cumsum(lengths, dtype=np.int32) - np.array(lengths, np.int32),
            [len(part["segment"]) for part, _, _ in parts],
        )
        frame = pd.DataFrame({key: columns[key].tolist() for key in _COLUMNS})
        frame["start_seconds"] = columns["segment_start_seconds"]
        frame["end_seconds"] = columns["segment_end_seconds"]
        return cls(
            Manifest(frame, name), columns["stamp"], columns["embeddings"], columns["segment"],
            columns["start_seconds"], columns["end_seconds"], columns["energy"], config["model"],
            config["model_digest"], config["level"], config["hop_seconds"],
        )

    def select(self, keep: np.ndarray) -> "EmbeddingSet":
        """The segments where bool[segments] `keep` is true; at least one is."""
        number = np.cumsum(keep) - 1
        mine = keep[self.segment]
        return dataclasses.replace(
            self, manifest=self.manifest.take(np.flatnonzero(keep)), stamp=self.stamp[keep],
            segment=number[self.segment[mine]].astype(np.int32),
            **{
                name: getattr(self, name)[mine]
                for name in ("vectors", "start_seconds", "end_seconds", "energy")
            },
        )

    def save(self, path: str) -> None:
        """Writes the set, whole or not at all: Parquet if the name ends so, else .npz.

        Both say the same. The .npz holds, one entry an embedding, `embeddings`, `timestamps`,
        `start_seconds`, `end_seconds`, `energy` and `segment`, a row of the columns `path`,
        `recording_id`, `labels`, `split`, `segment_start_seconds`, `segment_end_seconds` and
        `stamp`; and `config`, JSON. No pickle is in it.
        """
        if path.endswith(".parquet"):
            _write_parquet(path, [(self._columns(), self._config())])
            return
        config = np.array(json.dumps(self._config()))
        storage.save_arrays(path, {"config": config} | self._columns())

    def _columns(self) -> dict[str, np.ndarray]:
        """What the files hold."""
        frame = self.manifest.frame
        return {
            "embeddings": self.vectors, "timestamps": self.timestamps,
            "start_seconds": self.start_seconds, "end_seconds": self.end_seconds,
            "energy": self.energy, "segment": self.segment, "stamp": self.stamp,
            "segment_start_seconds": frame["start_seconds"].to_numpy(),
            "segment_end_seconds": frame["end_seconds"].to_numpy(),
            **{name: np.array(list(frame[name]), np.str_) for name in _COLUMNS},
        }

    def _config(self) -> dict:
        return {
            "model": self.model, "model_digest": self.model_digest, "level": self.level,
            "hop_seconds": self.hop_seconds,
        }

    @classmethod
    def load(cls, path: str) -> "EmbeddingSet":
        """Reads a set, or all sets below a folder.

        Raises:
          ArchiveError: There is none, or it is damaged.
        """
        if os.path.isdir(path):
            paths = sorted(
                os.path.join(folder, name)
                for folder, _, names in os.walk(path)
                for name in names if name.endswith((".npz", ".parquet"))
            )
            if not paths:
                raise ArchiveError(f"{path}: no embeddings (.npz, .parquet) in it")
        else:
            paths = [path]
        return cls._made_of([(*_read(found), found) for found in paths])


def stamp_of(path: str) -> tuple[int, int]:
    """Size and time of change of a file; a file with the same stamp is taken to be the same."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _read(path: str) -> tuple[dict[str, np.ndarray], dict]:
    """Columns and configuration of a file of embeddings.

    Raises:
      ArchiveError: It is not there, or damaged.
    """
    try:
        columns, config = _read_parquet(path) if path.endswith(".parquet") else _read_npz(path)
        n, m = len(columns["embeddings"]), len(columns["path"])
        lengths = {key: len(columns[key]) for key in _EMBEDDING_COLUMNS}
        lengths |= {key: len(columns[key]) - m + n for key in (*_COLUMNS, *_SEGMENT_COLUMNS)}
        wrong = [key for key, length in lengths.items() if length != n]
        config = {key: config[key] for key in _CONFIG}
        if wrong:
            raise ValueError(f"{wrong[0]} is not as long as the rest")
        return columns, config
    except FileNotFoundError:
        raise ArchiveError(f"{path}: no such file") from None
    except ArchiveError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ArchiveError(
            f"{path}: not a set of embeddings, or damaged ({' '.join(str(error).split())}); "
            "make it again with audio-triplet-embed"
        ) from error


def _read_npz(path: str) -> tuple[dict, dict]:
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files}
    return columns, json.loads(str(columns.pop("config")))




def _parquet():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ArchiveError(
            "Parquet needs pyarrow, which is not installed: pip install 'audio_triplet[parquet]'"
        ) from None
    return pyarrow, pyarrow.parquet


def _write_parquet(path: str, parts: Iterable[tuple[dict, dict]]) -> None:
    """One row an embedding, a row group a part; the configuration as JSON in the metadata.

    Segments without an embedding are not in it.
    """
    pa, parquet = _parquet()
    temporary, writer = f"{path}.tmp", None
    try:
        for columns, config in parts:
            codes = pa.array(columns["segment"])
            of_segment = {name: columns[name] for name in (*_COLUMNS, *_SEGMENT_COLUMNS[:2])}
            of_segment["size"], of_segment["mtime_ns"] = columns["stamp"].T
            table = {name: pa.array(values).take(codes) for name, values in of_segment.items()}
            for name in _EMBEDDING_COLUMNS[2:]:
                table[name] = pa.array(columns[name])
            vectors = columns["embeddings"]
            table["embeddings"] = pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel()), vectors.shape[1]
            )
            table = pa.table(table)
            if writer is None:
                schema = table.schema.with_metadata({b"audio_triplet": json.dumps(config).encode()})
                writer = parquet.ParquetWriter(
                    temporary, schema, compression="zstd", use_dictionary=list(_COLUMNS)
                )
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    os.replace(temporary, path)


def _read_parquet(path: str) -> tuple[dict, dict]:
    pa, parquet = _parquet()
    try:
        table = parquet.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(error) from error
    config = json.loads((table.schema.metadata or {})[b"audio_triplet"])
    names = (*_COLUMNS, *_SEGMENT_COLUMNS[:2], "size", "mtime_ns")
    frame = table.select(list(names)).to_pandas()
    changes = (frame != frame.shift()) & ~(frame.isna() & frame.shift().isna())
    first = changes.any(axis=1).to_numpy()
    columns = {name: frame[name].to_numpy()[first] for name in names}
    columns["stamp"] = np.stack([columns.pop("size"), columns.pop("mtime_ns")], axis=1)
    columns["segment"] = (np.cumsum(first) - 1).astype(np.int32)
    for name in _EMBEDDING_COLUMNS[2:]:
        columns[name] = table[name].to_numpy()
    flat = table["embeddings"].combine_chunks().flatten().to_numpy()
    columns["embeddings"] = flat.reshape(len(frame), -1)
    return columns, config


# --- a folder of embeddings ----------------------------------------------------------------------

CONFIG_FILE = "embeddings.json"
FORMATS = ("files", "npz", "parquet")
_PARTS = "parts"
_MAX_NAME_BYTES = 240


@dataclasses.dataclass(frozen=True)
class Summary:
    """What `embed_to_folder` did.

    Attributes:
      files: Sound files embedded now.
      finished: Those that were finished before.
      seconds: Of sound embedded now.
      embeddings: Made now.
    """

    files: int
    finished: int
    seconds: float
    embeddings: int


def output_names(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """Where below an output folder the embeddings of each file go.

    Args:
      paths: Absolute paths of the sound files, each once.
      names: The same below the folder that each was found in.

    Returns:
      For each its name and `.npz`. No name leaves the folder; where two would meet (also on file
      systems that do not tell capitals apart), or one would be too long, a hash of the path is
      added.
    """
    safe = []
    for name in names:
        parts = [part for part in name.split(os.sep) if part not in ("", ".", "..")]
        safe.append(os.path.join(*parts) if parts else "sound")
    count = collections.Counter(name.casefold() for name in safe)
    result = []
    for path, name in zip(paths, safe, strict=True):
        folder, base = os.path.split(name)
        encoded = base.encode("utf-8", "surrogateescape")
        if count[name.casefold()] > 1 or len(encoded) > _MAX_NAME_BYTES:
            key = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=6)
            base = encoded[: _MAX_NAME_BYTES - 16].decode("utf-8", "ignore")
            base = f"{base}.{key.hexdigest()}"
        result.append(os.path.join(folder, f"{base}.npz"))
    return result


def embed_to_folder(
    model,
    manifest: Manifest,
    names: Sequence[str],
    output_dir: str,
    config: EmbedConfig | None = None,
    *,
    form: str = "files",
    overwrite: bool = False,
    bad_files: piece_table.BadFiles | None = None,
    begin: Callable[[Summary, float], object] = lambda summary, seconds: None,
    heard: Callable[[float], object] = lambda seconds: None,
) -> Summary:
    """Embeds sound files into a folder; what is finished stays finished.

    Every file's embeddings are written as soon as it is done, whole or not at all, so that the
    same call goes on after a stop. A sound file that has changed since is embedded again.

    Args:
      model: An `export.Model`.
      manifest: The segments; those of one file go into one output.
      names: For each row its file's name below the folder it was found in, see `output_names`.
      output_dir: The folder.
      config: Level, hop, batch and threads.
      form: `files`: one .npz a sound file, in a tree like theirs. `npz`, `parquet`: in the end all
        as one set, embeddings.npz or embeddings.parquet.
      overwrite: Embed all again.
      bad_files: Where files are listed that cannot be read.
      begin: Told what is finished already and the seconds of sound that are to be embedded, before
        it begins.
      heard: As for `embed`.

    Returns:
      What was done.

    Raises:
      ArchiveError: The folder holds embeddings of another model, level or hop.
      CorpusError: Of the sound that is left to embed, not one file can be read.
    """
    config = config or EmbedConfig()
    bad_files = bad_files or piece_table.BadFiles()
    os.makedirs(output_dir, exist_ok=True)
    _check_folder(output_dir, model, config, form, overwrite)
    frame = manifest.frame
    paths, first = np.unique(frame["path"].to_numpy(object), return_index=True)
    folder = output_dir if form == "files" else os.path.join(output_dir, _PARTS)
    outputs = dict(zip(
        paths, output_names(list(paths), [names[row] for row in first]), strict=True
    ))
    whole = os.path.join(output_dir, f"embeddings.{form}")
    earlier = None
    if form != "files" and os.path.exists(whole) and not overwrite:
        earlier = EmbeddingSet.load(whole)
    finished = set()
    if not overwrite:
        finished = {
            path for path in paths if _is_finished(os.path.join(folder, outputs[path]), path)
        } | _finished_in(earlier)
    rows = np.flatnonzero(~frame["path"].isin(finished).to_numpy())
    done = Summary(0, len(paths) - frame["path"].iloc[rows].nunique(), 0.0, 0)
    wanted, seconds = readable(manifest, rows, bad_files)
    if wanted is not None:
        begin(done, seconds)
        for one in _by_file(embed(model, wanted, config, bad_files, heard), wanted):
            found = EmbeddingSet.of(wanted, one, model, config)
            output = os.path.join(folder, outputs[found.manifest.frame["path"].iloc[0]])
            os.makedirs(os.path.dirname(output), exist_ok=True)
            found.save(output)
            done = dataclasses.replace(
                done, files=done.files + 1, embeddings=done.embeddings + len(found),
                seconds=done.seconds + sum(part.seconds for part in one),
            )
    if form != "files" and os.path.isdir(folder):
        _join_parts(folder, whole, earlier)
    return done


def readable(
    manifest: Manifest, rows: np.ndarray, bad_files: piece_table.BadFiles
) -> tuple[Manifest | None, float]:
    """Which of the sound that is left to embed can be read, by the headers.

    Args:
      manifest: All that is wanted.
      rows: int64[n], those of its rows that are left; the others were embedded before.
      bad_files: Where the files are listed that cannot be read.

    Returns:
      Those rows in their order, None if there are none; and their seconds of sound.

    Raises:
      CorpusError: Nothing can be read, and nothing was before.
    """
    if not len(rows):
        return None, 0.0
    try:
        table = piece_table.scan(manifest.take(rows), bad_files)
    except CorpusError:
        if len(rows) == len(manifest):
            raise
        return None, 0.0
    order = np.argsort(table.row, kind="stable")
    return table.manifest.take(order), float(table.duration.sum())


def _check_folder(output_dir, model, config: EmbedConfig, form: str, overwrite: bool) -> None:
    """Notes who fills the folder; refuses one that another model, level or hop filled."""
    path = os.path.join(output_dir, CONFIG_FILE)
    mine = {
        "model": os.path.abspath(model.path), "model_digest": model.digest,
        "embedding_size": model.embedding_size, "level": config.level,
        "hop_seconds": config.hop_seconds, "form": form, "precision": model.precision,
    }
    if os.path.exists(path) and not overwrite:
        try:
            with open(path, encoding="utf-8") as file:
                there = {"precision": "float32"} | json.load(file)  # of older versions
            wrong = [name for name in mine if name != "model" and there[name] != mine[name]]
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{path}: is damaged ({error}); delete it") from error
        if wrong:
            told = "; ".join(f"{name} was {there[name]}, is {mine[name]}" for name in wrong)
            raise ArchiveError(
                f"{output_dir}: holds embeddings made otherwise ({told}); choose another "
                "--output_dir, or --overwrite"
            )
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(mine, file, indent=1)
    os.replace(f"{path}.tmp", path)


def _is_finished(output: str, source: str) -> bool:
    """Whether a file of embeddings is there, whole, and of this sound file as it is now."""
    try:
        with np.load(output, allow_pickle=False) as file:
            return str(file["path"][0]) == source and tuple(file["stamp"][0]) == stamp_of(source)
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return False


def _finished_in(earlier: EmbeddingSet | None) -> set[str]:
    """The sound files of a set that have not changed since."""
    if earlier is None:
        return set()
    finished = set()
    for path, stamp in zip(earlier.manifest.frame["path"], earlier.stamp, strict=True):
        try:
            if tuple(stamp) == stamp_of(path):
                finished.add(path)
        except OSError:
            continue
    return finished


def _by_file(found: Iterable[Embedded], manifest: Manifest) -> Iterator[list[Embedded]]:
    """Gathers the segments of each file; those of a file with a bad segment come last."""
    paths = manifest.frame["path"].to_numpy(object)
    missing = collections.Counter(paths)
    waiting: dict[str, list[Embedded]] = collections.defaultdict(list)
    for one in found:
        path = paths[one.row]
        waiting[path].append(one)
        missing[path] -= 1
        if not missing[path]:
            yield waiting.pop(path)
    yield from waiting.values()


def _join_parts(folder: str, whole: str, earlier: EmbeddingSet | None) -> None:
    """Writes one set of all parts and of what an earlier set has that is not in them."""
    parts = sorted(
        os.path.join(current, name)
        for current, _, names in os.walk(folder) for name in names if name.endswith(".npz")
    )
    if not parts:
        return
    renewed = set()

    def read():
        for part in parts:
            columns, config = _read(part)
            renewed.update(columns["path"].tolist())
            yield columns, config
        if earlier is not None:
            keep = ~earlier.manifest.frame["path"].isin(renewed).to_numpy()
            if keep.any():
                kept = earlier.select(keep)
                yield kept._columns(), kept._config()

    if whole.endswith(".parquet"):
        _write_parquet(whole, read())
    else:
        EmbeddingSet._made_of([(*part, whole) for part in read()]).save(whole)
    shutil.rmtree(folder)
