"""Sound files → TFRecord shards of mel energies, written whole or not at all.

A run that was stopped goes on where it was: finished shards are kept. The same corpus gives the
same bytes, however many threads work.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator
from importlib import metadata

import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

from audio_triplet import pieces, shards
from audio_triplet.config import PrepareConfig
from audio_triplet.manifest import UNUSED, CorpusError, Manifest, split_by_recording

PIECES_PER_SHARD = 1024  # about 100 MB when pieces are whole


@dataclasses.dataclass(frozen=True, eq=False)
class _Shard:
    """One file to write: which pieces go into it."""

    split: str
    name: str
    handles: np.ndarray


def prepare(
    manifest: Manifest, output_dir: str, config: PrepareConfig | None = None, progress: bool = True
) -> shards.PreparedInfo:
    """Prepares a manifest into a folder, or finds it prepared already.

    Args:
      manifest: Segments; where it names no splits they are drawn by recording.
      output_dir: Folder of the shards; made if need be.
      config: How.
      progress: Whether to show a progress bar.

    Returns:
      What prepared.json says.

    Raises:
      CorpusError: The folder holds another corpus, its shards are damaged, or too many files
        are bad.
    """
    config = config or PrepareConfig()
    manifest = split_by_recording(manifest)  # only segments that have no split
    manifest = manifest.select([split for split in manifest.splits if split != UNUSED])
    digest = fingerprint(manifest, config)
    if tf.io.gfile.exists(os.path.join(output_dir, shards.INFO_FILE)):
        info = shards.PreparedInfo.read(output_dir)
        _refuse_other(output_dir, info.fingerprint, digest)
        return info
    return _write(manifest, output_dir, config, digest, progress)


def _refuse_other(folder: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise CorpusError(
            f"{folder}: holds another corpus, or the same one prepared otherwise; "
            "choose another folder or delete this one"
        )


def fingerprint(manifest: Manifest, config: PrepareConfig) -> str:
    """Digest of everything that shapes the shards."""
    digest = hashlib.sha256()
    settings = dataclasses.asdict(config) | {"format": shards.FORMAT, "max_bad_share": None}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    frame = manifest.frame
    digest.update(frame.to_csv(index=False).encode("utf-8", "surrogateescape"))
    for path in frame["path"].unique():
        size = os.path.getsize(path) if os.path.exists(path) else -1
        digest.update(f"{size};".encode())
    return digest.hexdigest()


def _write(manifest, output_dir, config, digest, progress) -> shards.PreparedInfo:
    tf.io.gfile.makedirs(output_dir)
    marker = os.path.join(output_dir, "in_progress.txt")
    if tf.io.gfile.exists(marker):
        with tf.io.gfile.GFile(marker) as file:
            _refuse_other(output_dir, file.read().strip(), digest)
    else:
        with tf.io.gfile.GFile(marker, "w") as file:
            file.write(digest)
    bad_files = pieces.BadFiles()
    bad_path = os.path.join(output_dir, "bad_files.csv")
    bad_files.read(bad_path)
    table = pieces.scan(manifest, bad_files)
    files = manifest.frame["path"].nunique()
    bad_files.write(bad_path)
    bad_files.check_share(files, config.max_bad_share, manifest.name)

    source = pieces.FilePieces(
        table, bad_files, classes=manifest.classes, resampler=config.resampler
    )
    plan = list(_plan(table, config))
    todo = [shard for shard in plan if not tf.io.gfile.exists(os.path.join(output_dir, shard.name))]
    turn = np.arange(len(table.segment)) - np.repeat(table.first, table.count)
    turns = np.repeat(table.count, table.count)
    dataset = source.read_handles(np.concatenate([np.zeros(0), *(s.handles for s in todo)]))
    read = iter(dataset.as_numpy_iterator())
    bar = tqdm(
        total=len(table.segment),
        unit="piece",
        desc="preparing",
        initial=len(table.segment) - sum(len(shard.handles) for shard in todo),
        disable=None if progress else True,  # None: off where there is no terminal
    )
    try:
        for shard in todo:
            path = os.path.join(output_dir, shard.name)
            with tf.io.TFRecordWriter(f"{path}.tmp") as writer:
                for handle in shard.handles:
                    writer.write(shards.encode(next(read), int(turn[handle]), int(turns[handle])))
                    bar.update()
            tf.io.gfile.rename(f"{path}.tmp", path, overwrite=True)
            bad_files.write(bad_path)
            bad_files.check_share(files, config.max_bad_share, manifest.name)
    finally:
        # Its threads call Python; were they still running when Python ends, it would never end.
        del read
    bar.close()
    manifest.write(os.path.join(output_dir, shards.MANIFEST_FILE))
    recording_split = _recording_splits(table)
    splits = {}
    for split in sorted({shard.split for shard in plan}):
        count = table.count[recording_split == split]
        of_split = (table.manifest.frame["split"] == split).to_numpy()
        splits[split] = shards.SplitInfo(
            shards=tuple(shard.name for shard in plan if shard.split == split),
            recordings=len(count),
            pieces=int(count.sum()),
            most_turns=int(count.max()),
            seconds=float(table.duration[of_split].sum()),
        )
    info = shards.PreparedInfo(
        source=manifest.name,
        fingerprint=digest,
        classes=tuple(manifest.classes),
        splits=splits,
        bad_files=tuple(sorted(bad_files.entries.items())),
        versions={name: metadata.version(name) for name in ("numpy", "soundfile", "soxr")},
    )
    info.write(output_dir)
    tf.io.gfile.remove(marker)
    logging.info(
        "prepared %d segments, %d pieces, %.2f h of %s into %s; %d bad files",
        len(table.manifest),
        len(table.segment),
        table.hours,
        manifest.name,
        output_dir,
        len(bad_files.entries),
    )
    return info


def _recording_splits(table: pieces.PieceTable) -> np.ndarray:
    """Split of each recording: object[recordings]."""
    return table.manifest.frame["split"].to_numpy(dtype=object)[table.segment[table.first]]


def _plan(table: pieces.PieceTable, config: PrepareConfig) -> Iterator[_Shard]:
    """Deals the recordings of each split out to shards, in a shuffled order."""
    recording_split = _recording_splits(table)
    for split in sorted(set(recording_split)):
        recordings = np.flatnonzero(recording_split == split)
        recordings = np.random.default_rng(config.seed).permutation(recordings)
        total = int(table.count[recordings].sum())
        count = config.num_shards or math.ceil(total / PIECES_PER_SHARD)
        # Each shard gets a run of recordings with about the same number of pieces.
        begin = np.cumsum(table.count[recordings]) - table.count[recordings]
        number = begin * count // total
        for shard in range(count):
            of_shard = recordings[number == shard]
            handles = [np.arange(table.first[r], table.first[r] + table.count[r]) for r in of_shard]
            yield _Shard(
                split,
                shards.shard_name(split, shard, count),
                np.concatenate(handles) if handles else np.zeros(0, np.int64),
            )
