"""A set of embeddings with where each is from, and its files (.npz, Parquet)."""

import contextlib
import dataclasses
import json
import os
import zipfile
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from audio_triplet import storage
from audio_triplet.config import EmbedConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embed import PATCH_SECONDS, Embedded
from audio_triplet.errors import ArchiveError

_COLUMNS = ("path", "recording_id", "labels", "split")
_SEGMENT_COLUMNS = ("segment_start_seconds", "segment_end_seconds", "stamp")
_EMBEDDING_COLUMNS = (
    "embeddings",
    "segment",
    "start_seconds",
    "end_seconds",
    "energy",
    "timestamps",
)
_CONFIG = ("model", "model_digest", "level", "hop_seconds")


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
      model_digest: Its `saved_model.Model.digest`.
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
            return self.start_seconds + PATCH_SECONDS / 2
        return (self.start_seconds + self.end_seconds) / 2

    @classmethod
    def of(
        cls, manifest: Manifest, found: Sequence[Embedded], model, config: EmbedConfig
    ) -> "EmbeddingSet":
        """What `embed` yielded, in the manifest's order; segments of which nothing came are left.

        Args:
          manifest: The one given to `embed`.
          found: At least one.
          model: The `saved_model.Model`.
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
            os.path.abspath(model.path),
            model.digest,
            config.level,
            config.hop_seconds,
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
        columns = {key: np.concatenate([part[key] for part, _, _ in parts]) for key in parts[0][0]}
        lengths = [len(part["path"]) for part, _, _ in parts]
        columns["segment"] = columns["segment"] + np.repeat(
            np.cumsum(lengths, dtype=np.int32) - np.array(lengths, np.int32),
            [len(part["segment"]) for part, _, _ in parts],
        )
        frame = pd.DataFrame({key: columns[key].tolist() for key in _COLUMNS})
        frame["start_seconds"] = columns["segment_start_seconds"]
        frame["end_seconds"] = columns["segment_end_seconds"]
        return cls(
            Manifest(frame, name),
            columns["stamp"],
            columns["embeddings"],
            columns["segment"],
            columns["start_seconds"],
            columns["end_seconds"],
            columns["energy"],
            config["model"],
            config["model_digest"],
            config["level"],
            config["hop_seconds"],
        )

    def select(self, keep: np.ndarray) -> "EmbeddingSet":
        """The segments where bool[segments] `keep` is true; at least one is."""
        number = np.cumsum(keep) - 1
        mine = keep[self.segment]
        return dataclasses.replace(
            self,
            manifest=self.manifest.take(np.flatnonzero(keep)),
            stamp=self.stamp[keep],
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
            write_parquet(path, [(self._columns(), self._config())])
            return
        config = np.array(json.dumps(self._config()))
        storage.save_arrays(path, {"config": config} | self._columns())

    def _columns(self) -> dict[str, np.ndarray]:
        """What the files hold."""
        frame = self.manifest.frame
        return {
            "embeddings": self.vectors,
            "timestamps": self.timestamps,
            "start_seconds": self.start_seconds,
            "end_seconds": self.end_seconds,
            "energy": self.energy,
            "segment": self.segment,
            "stamp": self.stamp,
            "segment_start_seconds": frame["start_seconds"].to_numpy(),
            "segment_end_seconds": frame["end_seconds"].to_numpy(),
            **{name: np.array(list(frame[name]), np.str_) for name in _COLUMNS},
        }

    def _config(self) -> dict:
        return {
            "model": self.model,
            "model_digest": self.model_digest,
            "level": self.level,
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
                for name in names
                if name.endswith((".npz", ".parquet"))
            )
            if not paths:
                raise ArchiveError(f"{path}: no embeddings (.npz, .parquet) in it")
        else:
            paths = [path]
        return cls._made_of([(*read_columns(found), found) for found in paths])


def stamp_of(path: str) -> tuple[int, int]:
    """Size and time of change of a file; a file with the same stamp is taken to be the same."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def read_columns(path: str) -> tuple[dict[str, np.ndarray], dict]:
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
            "make it again with audio-triplet embed"
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


def write_parquet(path: str, parts: Iterable[tuple[dict, dict]]) -> None:
    """One row an embedding, a row group a part; the configuration as JSON in the metadata.

    Segments without an embedding are not in it.
    """
    pa, parquet = _parquet()
    with storage.replacing(path) as temporary, contextlib.ExitStack() as opened:
        writer = None
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
                opened.enter_context(writer)
            writer.write_table(table)


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
