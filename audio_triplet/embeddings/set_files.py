"""Files of embeddings: `EmbeddingSet` as .npz or Parquet, and vectors alone for a corpus.

    save_set(embeddings, "set.npz")              # with times, files and model: for all uses
    load_set("set.npz"), load_set("folder")
    save_for_corpus(embeddings, "row.npz")       # vectors alone, of the rows of a corpus' manifest
    load_for_corpus("row.npz", manifest)

No file holds a pickle. Keys on disk are of older versions: `level` is the granularity.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from audio_triplet import storage
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import (
    EmbeddingSet,
    Joined,
    Origin,
    stamps_of,
)
from audio_triplet.errors import ArchiveError, CorpusError

_NAMES = ("path", "recording_id", "labels", "split")
_SEGMENT_COLUMNS = ("segment_start_seconds", "segment_end_seconds", "stamp")
_VECTOR_COLUMNS = (
    "embeddings",
    "segment",
    "start_seconds",
    "end_seconds",
    "energy",
    "timestamps",
)
# Key on disk → field of `Origin`.
_ORIGIN_KEYS = {
    "model": "model",
    "model_digest": "model_digest",
    "level": "granularity",
    "hop_seconds": "hop_seconds",
}

Part = tuple[dict[str, np.ndarray], Origin]


def save_set(embeddings: EmbeddingSet, path: str, *, unique: bool = False) -> None:
    """Writes a set, whole or not at all: Parquet if the name ends so, else .npz.

    Both hold the same. The .npz has, an entry per vector, `embeddings`, `timestamps`,
    `start_seconds`, `end_seconds`, `energy` and `segment`, a row of the columns `path`,
    `recording_id`, `labels`, `split`, `segment_start_seconds`, `segment_end_seconds` and `stamp`;
    and `config`, JSON.

    Args:
      embeddings: A set with times, stamps and origin.
      path: The file.
      unique: Several processes may write the same .npz at the same time.

    Raises:
      ArchiveError: The set lacks times, stamps or origin; or Parquet is asked for, and pyarrow is
        not installed.
    """
    part = columns_of(embeddings)
    if path.endswith(".parquet"):
        write_parquet(path, [part])
    else:
        write_npz(path, part, unique=unique)


def write_npz(path: str, part: Part, *, unique: bool = False) -> None:
    """Writes what `columns_of` returns; see `save_set`."""
    columns, origin = part
    storage.save_arrays(path, {"config": np.array(_origin_json(origin))} | columns, unique=unique)


def load_set(path: str) -> EmbeddingSet:
    """Reads a set, or all sets below a folder as one.

    Raises:
      ArchiveError: There is none, one is damaged, or they do not fit together.
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
    return set_of([read_part(found) for found in paths], paths)


def join(sets: Sequence[EmbeddingSet]) -> EmbeddingSet:
    """Several sets as one.

    Raises:
      ArchiveError: They are of different models, granularities or hops.
      ManifestError: They share a segment.
    """
    return set_of(
        [columns_of(embeddings) for embeddings in sets],
        [embeddings.manifest.name for embeddings in sets],
    )


def columns_of(embeddings: EmbeddingSet) -> Part:
    """The columns and the origin that a file of the set holds.

    Raises:
      ArchiveError: The set lacks times, stamps or origin.
    """
    start_seconds, end_seconds, stamp, origin = embeddings.sources()
    joined = Joined(
        np.arange(len(embeddings.manifest)),
        embeddings.vectors,
        embeddings.segment_index,
        start_seconds,
        end_seconds,
        embeddings.energy,
    )
    return SegmentColumns(embeddings.manifest).part(joined, origin, stamp)


class SegmentColumns:
    """What a manifest says of its segments, as arrays: rows of a frame are slow to take."""

    def __init__(self, manifest: Manifest):
        """Reads the frame once."""
        frame = manifest.frame
        self._times = {name: frame[name].to_numpy() for name in ("start_seconds", "end_seconds")}
        self._names = {name: frame[name].to_numpy(object) for name in _NAMES}

    def part(self, found: Joined, origin: Origin, stamp: np.ndarray | None = None) -> Part:
        """Columns and origin of a file of embeddings.

        Args:
          found: The embeddings of some segments, whose rows are the manifest's.
          origin: What made them.
          stamp: int64[segments, 2], as in `EmbeddingSet`; by default the files' of now.
        """
        names = {name: values[found.row].astype(np.str_) for name, values in self._names.items()}
        columns = {
            "embeddings": found.vectors,
            "timestamps": origin.centres(found.start_seconds, found.end_seconds),
            "start_seconds": found.start_seconds,
            "end_seconds": found.end_seconds,
            "energy": found.energy,
            "segment": found.segment_index,
            "stamp": stamps_of(names["path"].tolist()) if stamp is None else stamp,
            **{f"segment_{name}": values[found.row] for name, values in self._times.items()},
            **names,
        }
        return columns, origin


def set_of(parts: Sequence[Part], names: Sequence[str]) -> EmbeddingSet:
    """One set of the columns of several.

    Args:
      parts: What `columns_of` and `read_part` return; at least one.
      names: What messages call each.

    Raises:
      ArchiveError: They are of different models, granularities or hops.
    """
    _, origin = parts[0]
    for (_, other), other_name in zip(parts[1:], names[1:], strict=True):
        for key in ("model_digest", "granularity", "hop_seconds"):
            if getattr(origin, key) != getattr(other, key):
                raise ArchiveError(
                    f"{other_name}: its {key} is {getattr(other, key)}, that of {names[0]} "
                    f"{getattr(origin, key)}; embed all with the same"
                )
    columns = {key: np.concatenate([columns[key] for columns, _ in parts]) for key in parts[0][0]}
    lengths = [len(columns["path"]) for columns, _ in parts]
    columns["segment"] = columns["segment"] + np.repeat(
        np.cumsum(lengths, dtype=np.int32) - np.array(lengths, np.int32),
        [len(columns["segment"]) for columns, _ in parts],
    )
    frame = pd.DataFrame({key: columns[key].tolist() for key in _NAMES})
    frame["start_seconds"] = columns["segment_start_seconds"]
    frame["end_seconds"] = columns["segment_end_seconds"]
    return EmbeddingSet(
        Manifest(frame, names[0]),
        columns["embeddings"],
        columns["segment"],
        columns["energy"],
        start_seconds=columns["start_seconds"],
        end_seconds=columns["end_seconds"],
        stamp=columns["stamp"],
        origin=origin,
    )


def read_part(path: str) -> Part:
    """Columns and origin of a file of embeddings.

    Raises:
      ArchiveError: It is not there, or damaged.
    """
    try:
        columns, config = _read_parquet(path) if path.endswith(".parquet") else _read_npz(path)
        n, m = len(columns["embeddings"]), len(columns["path"])
        lengths = {key: len(columns[key]) for key in _VECTOR_COLUMNS}
        lengths |= {key: len(columns[key]) - m + n for key in (*_NAMES, *_SEGMENT_COLUMNS)}
        wrong = [key for key, length in lengths.items() if length != n]
        origin = Origin(**{field: config[key] for key, field in _ORIGIN_KEYS.items()})
        if wrong:
            raise ValueError(f"{wrong[0]} is not as long as the rest")
        return columns, origin
    except FileNotFoundError:
        raise ArchiveError(f"{path}: no such file") from None
    except ArchiveError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(
            f"{path}: not a set of embeddings, or damaged ({' '.join(str(error).split())}); "
            "make it again with audio-triplet embed"
        ) from error


def _origin_json(origin: Origin) -> str:
    return json.dumps({key: getattr(origin, field) for key, field in _ORIGIN_KEYS.items()})


def _read_npz(path: str) -> tuple[dict, dict]:
    with storage.open_arrays(path) as file:
        columns = {name: file[name] for name in file.files}
    return columns, json.loads(str(columns.pop("config")))


# --- Parquet -------------------------------------------------------------------------------------


def _parquet():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ArchiveError(
            "Parquet needs pyarrow, which is not installed: pip install 'audio_triplet[parquet]'"
        ) from None
    return pyarrow, pyarrow.parquet


def write_parquet(path: str, parts: Iterable[Part]) -> None:
    """Writes a row per vector and a row group per part; the origin as JSON in the metadata.

    Segments without a vector are not in it.

    Args:
      path: The file, written whole or not at all.
      parts: What `columns_of` and `read_part` return, one at a time in memory.

    Raises:
      ArchiveError: pyarrow is not installed.
    """
    pa, parquet = _parquet()
    with storage.replacing(path) as temporary, contextlib.ExitStack() as opened:
        writer = None
        for columns, origin in parts:
            codes = pa.array(columns["segment"])
            of_segment = {name: columns[name] for name in (*_NAMES, *_SEGMENT_COLUMNS[:2])}
            of_segment["size"], of_segment["mtime_ns"] = columns["stamp"].T
            table = {name: pa.array(values).take(codes) for name, values in of_segment.items()}
            for name in _VECTOR_COLUMNS[2:]:
                table[name] = pa.array(columns[name])
            vectors = columns["embeddings"]
            table["embeddings"] = pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel()), vectors.shape[1]
            )
            table = pa.table(table)
            if writer is None:
                metadata = {b"audio_triplet": _origin_json(origin).encode()}
                writer = parquet.ParquetWriter(
                    temporary,
                    table.schema.with_metadata(metadata),
                    compression="zstd",
                    use_dictionary=list(_NAMES),
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
    names = (*_NAMES, *_SEGMENT_COLUMNS[:2], "size", "mtime_ns")
    frame = table.select(list(names)).to_pandas()
    changes = (frame != frame.shift()) & ~(frame.isna() & frame.shift().isna())
    first = changes.any(axis=1).to_numpy()
    columns = {name: frame[name].to_numpy()[first] for name in names}
    columns["stamp"] = np.stack([columns.pop("size"), columns.pop("mtime_ns")], axis=1)
    columns["segment"] = (np.cumsum(first) - 1).astype(np.int32)
    for name in _VECTOR_COLUMNS[2:]:
        columns[name] = table[name].to_numpy()
    flat = table["embeddings"].combine_chunks().flatten().to_numpy()
    columns["embeddings"] = flat.reshape(len(frame), -1)
    return columns, config


# --- vectors alone, for a corpus -----------------------------------------------------------------


def save_for_corpus(embeddings: EmbeddingSet, path: str) -> None:
    """Writes vectors, energies and rows as an .npz, whole or not at all, without the manifest.

    Args:
      embeddings: A set with rows, such as `embed_shards` makes.
      path: The .npz.

    Raises:
      CorpusError: The set has no rows.
    """
    if embeddings.row is None:
        raise CorpusError(f"{embeddings.manifest.name}: embeddings without rows of a corpus")
    storage.save_arrays(
        path,
        {
            "patch": embeddings.vectors,
            "patch_segment": embeddings.segment_index,
            "patch_energy": embeddings.energy,
            "row": embeddings.row,
            "names": _base_names(embeddings.manifest),
        },
    )


def load_for_corpus(path: str, manifest: Manifest) -> EmbeddingSet:
    """Reads what `save_for_corpus` wrote.

    Args:
      path: The .npz.
      manifest: The corpus' whole manifest, as when it was embedded.

    Returns:
      The set, with rows.

    Raises:
      CorpusError: The file is damaged, or of other segments.
    """
    try:
        with storage.open_arrays(path) as file:
            row, vectors, segment_index, energy, names = (
                file[name] for name in ("row", "patch", "patch_segment", "patch_energy", "names")
            )
    except ValueError as error:
        raise CorpusError(f"{path}: is damaged ({error}); delete it") from error
    if len(row) and row.max() < len(manifest):
        taken = manifest.take(row)
        if np.array_equal(names, _base_names(taken)):
            return EmbeddingSet(taken, vectors, segment_index, energy, row=row)
    raise CorpusError(f"{path}: holds other segments; delete it")


def _base_names(manifest: Manifest) -> np.ndarray:
    """File names without folders: a corpus may have moved since."""
    return np.array([os.path.basename(path) for path in manifest.frame["path"]])
