"""What each shard is to hold, written before any sound is decoded."""

import collections
import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet import storage
from audio_triplet.config import PrepareConfig
from audio_triplet.data import chunks, prepared
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

CHUNKS_PER_SHARD = 1024  # about 100 MB when pieces are whole
WORK_DIR = "in_progress"
LAYOUT_FILE = "layout.json"  # in WORK_DIR, written last: all shards' layouts are there
_ROWS_AT_A_TIME = 100_000


def refuse_other(folder: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise CorpusError(
            f"{folder}: holds another corpus, or the same one prepared otherwise; "
            "choose another folder or delete this one"
        )


def fingerprint(manifest: Manifest, config: PrepareConfig) -> str:
    """Digest of everything that shapes the shards; of files elsewhere only their names."""
    digest = hashlib.sha256()
    settings = dataclasses.asdict(config) | {"format": prepared.FORMAT, "max_bad_share": None}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    frame = manifest.frame
    for first in range(0, len(frame), _ROWS_AT_A_TIME):
        part = frame.iloc[first : first + _ROWS_AT_A_TIME]
        text = part.to_csv(index=False, header=first == 0)
        digest.update(text.encode("utf-8", "surrogateescape"))
    for path in frame["path"].unique():
        try:
            size = os.stat(path).st_size
        except (OSError, ValueError):
            size = -1
        digest.update(f"{size};".encode())
    return digest.hexdigest()


# --- laying out ---------------------------------------------------------------------------------


def work_path(folder: str, name: str, kind: str) -> str:
    return storage.join(folder, WORK_DIR, f"{name}.{kind}.json")


def read_layout(folder: str, digest: str) -> dict | None:
    """The layout an earlier, unfinished run wrote; None if there is none.

    Raises:
      CorpusError: It is of another corpus.
    """
    path = storage.join(folder, WORK_DIR, LAYOUT_FILE)
    if not storage.exists(path):
        return None
    layout = storage.read_json(path)
    refuse_other(folder, layout["fingerprint"], digest)
    logging.info("%s: going on with what an earlier run began", folder)
    return layout


def take_over(folder: str) -> None:
    """Keeps the shards of a folder that was finished and has lost some since."""
    path = storage.join(folder, prepared.INFO_FILE)
    if not storage.exists(path):
        return
    info = prepared.PreparedInfo.read(folder)
    for split in info.splits.values():
        for name, size in zip(split.shards, split.shard_bytes, strict=False):
            shard = storage.join(folder, name)
            if storage.exists(shard) and storage.size(shard) == size:
                # Which shard a bad file is in is not known any more; told by one, it is told.
                report = {"bytes": size, "bad_files": dict(info.bad_files)}
                storage.write_json(work_path(folder, name, "done"), report, indent=None)
    storage.remove(path)


def lay_out(manifest, folder, config, digest, requested, engine) -> dict:
    """Reads the headers, writes what each shard is to hold, manifest.csv, and the layout."""
    storage.make_folder(storage.join(folder, WORK_DIR))
    bad_files = BadFiles()
    table = chunks.scan(manifest, bad_files, functools.partial(engine.read_lengths, folder, digest))
    files = manifest.frame["path"].nunique()
    bad_files.check_share(files, config.max_bad_share, manifest.name)
    frame = table.manifest.frame
    paths = frame["path"].to_numpy(dtype=object)
    starts = frame["start_seconds"].to_numpy(np.float64)
    recording = np.repeat(np.arange(len(table.count)), table.count)
    turn = np.arange(len(table.segment)) - table.first[recording]
    splits = {}
    for split, recordings, number, count in _deal(table, config):
        names = [prepared.shard_name(split, n, count) for n in range(count)]
        for shard, name in enumerate(names):
            mine = recordings[number == shard]
            at = (
                np.concatenate(
                    [np.arange(table.first[r], table.first[r] + table.count[r]) for r in mine]
                )
                if len(mine)
                else np.zeros(0, np.int64)
            )
            segment, position = table.segment[at], table.position[at]
            offset = position * chunks.CHUNK_SECONDS
            seconds = np.minimum(table.duration[segment] - offset, chunks.READ_SECONDS)
            used, local = np.unique(segment, return_inverse=True)
            labels = table.manifest.take(used).label_matrix(manifest.classes) if len(used) else []
            work = {
                "classes": len(manifest.classes),
                "paths": paths[used].tolist(),
                "labels": [np.flatnonzero(row).tolist() for row in labels],
                "file": local.tolist(),
                "start": (starts[segment] + offset).tolist(),
                "seconds": seconds.tolist(),
                "recording": table.recording_key[recording[at]].tolist(),
                "piece": table.key[at].tolist(),
                "turn": turn[at].tolist(),
                "turns": table.count[recording[at]].tolist(),
                "segment": table.row[segment].tolist(),
                "position": position.tolist(),
            }
            storage.write_json(work_path(folder, name, "work"), work, indent=None)
        of_split = (frame["split"] == split).to_numpy()
        shard_pieces = np.bincount(number, table.count[recordings], len(names)).astype(int)
        splits[split] = {
            "shards": names,
            "shard_pieces": shard_pieces.tolist(),
            "shard_recordings": np.bincount(number, minlength=len(names)).tolist(),
            "segments": int(of_split.sum()),
            "recordings": len(recordings),
            "pieces": int(shard_pieces.sum()),
            "most_turns": int(table.count[recordings].max()),
            "seconds": float(table.duration[of_split].sum()),
        }
    with storage.replacing(storage.join(folder, prepared.MANIFEST_FILE)) as path:
        manifest.write(path)
    layout = {
        "fingerprint": digest,
        "source": manifest.name,
        "classes": manifest.classes,
        "splits": splits,
        "per_class": _per_class(table),
        "files": files,
        "requested": requested,
        "bad_files": bad_files.entries,
    }
    storage.write_json(storage.join(folder, WORK_DIR, LAYOUT_FILE), layout, indent=None)
    return layout


def _deal(
    table: chunks.ChunkTable, config: PrepareConfig
) -> Iterator[tuple[str, np.ndarray, np.ndarray, int]]:
    """Deals the recordings of each split out to shards, in a shuffled order.

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
        # Each shard gets a run of recordings with about the same number of pieces.
        begin = np.cumsum(table.count[recordings]) - table.count[recordings]
        yield split, recordings, begin * count // total, count


def _per_class(table: chunks.ChunkTable) -> dict[str, dict[str, float]]:
    """Class → its segments and hours; a segment of several classes counts to each."""
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


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def in_order(function: Callable, items: Sequence, threads: int) -> Iterator:
    """`map` in so many threads, only a few items ahead of who takes the results."""
    if threads == 1:
        yield from map(function, items)
        return
    waiting = collections.deque()
    with futures.ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
