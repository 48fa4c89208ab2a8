"""The content of each shard, written down before any sound is decoded.

The layout of a folder is one JSON file per shard and one for all, in `in_progress/`; a run that was
stopped reads it again. TensorFlow is not needed here.
"""

import collections
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet import storage
from audio_triplet.config import PrepareConfig
from audio_triplet.data import chunks, prepared
from audio_triplet.data.bad_files import BadFiles, read_truncated
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

CHUNKS_PER_SHARD = 1024  # about 100 MB when chunks are whole
WORK_DIR = "in_progress"
LAYOUT_FILE = "layout.json"  # in WORK_DIR, written last: then all shards' layouts are there


def check_same(folder: str, found: str, wanted: str) -> None:
    """Raises CorpusError unless a folder has this fingerprint of corpus and settings."""
    if found != wanted:
        raise CorpusError(
            f"{folder}: holds another corpus, or the same one prepared with other settings; "
            "choose another folder or delete this one"
        )


def work_path(folder: str, name: str, kind: str) -> str:
    """A shard's file in `in_progress/`: its layout (kind `work`) or its report (kind `done`)."""
    return storage.join(folder, WORK_DIR, f"{name}.{kind}.json")


def read_layout(folder: str, fingerprint: str) -> dict | None:
    """The layout of an earlier, unfinished run; None if there is none.

    Raises:
      CorpusError: It is of another corpus.
    """
    path = storage.join(folder, WORK_DIR, LAYOUT_FILE)
    if not storage.exists(path):
        return None
    layout = storage.read_json(path)
    check_same(folder, layout["fingerprint"], fingerprint)
    logging.info("%s: continuing an earlier run", folder)
    return layout


def keep_finished_shards(folder: str) -> None:
    """Marks the remaining shards of a finished folder as done, if others were lost."""
    path = storage.join(folder, prepared.INFO_FILE)
    if not storage.exists(path):
        return
    info = prepared.PreparedInfo.read(folder)
    truncated = read_truncated(folder)
    for split in info.splits.values():
        decoded = split.shard_decoded or [{}] * len(split.shards)
        for name, size, counts in zip(split.shards, split.shard_bytes, decoded, strict=False):
            shard = storage.join(folder, name)
            if storage.exists(shard) and storage.size(shard) == size:
                # It is no longer known which shard a bad file is in; each may report it.
                report = {
                    "bytes": size,
                    "bad_files": dict(info.bad_files),
                    "truncated": truncated,
                    "decoded": counts,
                }
                storage.write_json(work_path(folder, name, "done"), report, indent=None)
    storage.remove(path)


def lay_out(
    manifest: Manifest,
    folder: str,
    config: PrepareConfig,
    fingerprint: str,
    scan: dict[str, dict | None] | None = None,
    read_lengths: Callable[[Sequence[str]], Iterable[tuple[float, str]]] | None = None,
) -> dict:
    """Reads the headers; writes the content of each shard, manifest.csv, and the layout.

    Args:
      manifest: The segments, each with a split.
      folder: The folder to prepare.
      config: Settings of the shards.
      fingerprint: As `prepared.fingerprint`.
      scan: For the summary: what the corpus's adapter "requested", and which files, by extension,
        were "passed_over".
      read_lengths: Reads the headers, see `chunks.scan`; it may keep files in `WORK_DIR`.

    Returns:
      The layout: the content of prepared.json and summary.json, except the shards' sizes.

    Raises:
      CorpusError: Too many files cannot be read.
    """
    storage.make_folder(storage.join(folder, WORK_DIR))
    bad_files = BadFiles(config.truncated)
    table = chunks.scan(manifest, bad_files, read_lengths)
    files = manifest.frame["path"].nunique()
    bad_files.check_share(files, config.max_bad_share, manifest.name)
    splits = {}
    for split, recordings, shard_of, count in _distribute(table, config):
        names = [prepared.shard_name(split, n, count) for n in range(count)]
        for shard, name in enumerate(names):
            work = _shard_work(table, recordings[shard_of == shard], manifest.classes)
            work["truncated"] = config.truncated
            storage.write_json(work_path(folder, name, "work"), work, indent=None)
        of_split = (table.manifest.frame["split"] == split).to_numpy()
        shard_chunks = np.bincount(shard_of, table.count[recordings], len(names)).astype(int)
        splits[split] = {
            "shards": names,
            "shard_pieces": shard_chunks.tolist(),
            "shard_recordings": np.bincount(shard_of, minlength=len(names)).tolist(),
            "segments": int(of_split.sum()),
            "recordings": len(recordings),
            "pieces": int(shard_chunks.sum()),
            "most_turns": int(table.count[recordings].max()),
            "seconds": float(table.duration[of_split].sum()),
        }
    with storage.replacing(storage.join(folder, prepared.MANIFEST_FILE)) as path:
        manifest.write(path)
    layout = {
        "fingerprint": fingerprint,
        "source": manifest.name,
        "classes": manifest.classes,
        "splits": splits,
        "per_class": _per_class(table),
        "files": files,
        "requested": None,
        **(scan or {}),
        "bad_files": bad_files.entries,
    }
    storage.write_json(storage.join(folder, WORK_DIR, LAYOUT_FILE), layout, indent=None)
    return layout


def _shard_work(
    table: chunks.ChunkTable, recordings: np.ndarray, classes: tuple[str, ...]
) -> dict[str, object]:
    """The input of `write_shards.write_shard` for a shard: a list per column, a row per chunk."""
    first, count = table.first[recordings], table.count[recordings]
    number = np.concatenate([np.arange(n) for n in count]) if len(count) else np.zeros(0, np.int64)
    chunk = np.repeat(first, count) + number
    segment, position = table.segment[chunk], table.position[chunk]
    offset = position * chunks.CHUNK_SECONDS
    seconds = np.minimum(table.duration[segment] - offset, chunks.READ_SECONDS)
    used, local = np.unique(segment, return_inverse=True)
    labels = table.manifest.take(used).label_matrix(classes) if len(used) else []
    frame = table.manifest.frame
    return {
        "classes": len(classes),
        "paths": frame["path"].iloc[used].tolist(),
        "labels": [np.flatnonzero(row).tolist() for row in labels],
        "file": local.tolist(),
        "start": (frame["start_seconds"].to_numpy()[segment] + offset).tolist(),
        "seconds": seconds.tolist(),
        "recording": np.repeat(table.recording_key[recordings], count).tolist(),
        "piece": table.key[chunk].tolist(),
        "turn": number.tolist(),
        "turns": np.repeat(count, count).tolist(),
        "segment": table.row[segment].tolist(),
        "position": position.tolist(),
    }


def _distribute(
    table: chunks.ChunkTable, config: PrepareConfig
) -> Iterator[tuple[str, np.ndarray, np.ndarray, int]]:
    """Distributes the recordings of each split to shards, in a shuffled order.

    Yields:
      Split, int64[n] recordings in their new order, int64[n] number of each one's shard, and the
      number of shards.
    """
    recording_split = table.manifest.frame["split"].to_numpy(dtype=object)[
        table.segment[table.first]
    ]
    for split in sorted(set(recording_split)):
        recordings = np.flatnonzero(recording_split == split)
        recordings = np.random.default_rng(config.seed).permutation(recordings)
        total = int(table.count[recordings].sum())
        count = config.num_shards or math.ceil(total / CHUNKS_PER_SHARD)
        # Each shard gets a run of recordings with about the same number of chunks.
        begin = np.cumsum(table.count[recordings]) - table.count[recordings]
        yield split, recordings, begin * count // total, count


def _per_class(table: chunks.ChunkTable) -> dict[str, dict[str, float]]:
    """Class → its segments and hours; a segment of several classes counts for each."""
    codes, unique = pd.factorize(table.manifest.frame["labels"])
    segments = np.bincount(codes, minlength=len(unique))
    seconds = np.bincount(codes, table.duration, len(unique))
    totals = collections.defaultdict(lambda: [0, 0.0])
    for joined, count, length in zip(unique, segments, seconds, strict=True):
        for label in filter(None, joined.split(";")):
            totals[label][0] += int(count)
            totals[label][1] += float(length)
    return {
        label: {"segments": count, "hours": round(length / 3600, 6)}
        for label, (count, length) in sorted(totals.items())
    }
