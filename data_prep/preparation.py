"""Sound files → TFRecord shards of mel energies, written whole or not at all.

Two steps. `prepare` reads the headers and lays out the work: one small JSON file a shard, in
`in_progress/`. Then `write_shard` makes each shard from its file alone, in any order and any
number of processes or machines at a time: threads of this process by default, workers of a Beam
pipeline by `data_prep.beam`. The same corpus gives the same bytes, whoever writes them.

A run that was stopped goes on where it was: the layout is read again, finished shards are kept.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from importlib import metadata

import numpy as np
import pandas as pd
from absl import logging
from tqdm import tqdm

from audio_triplet import audio, locks, piece_table, prepared_info, storage
from audio_triplet.config import PrepareConfig
from audio_triplet.manifest import UNUSED, CorpusError, Manifest, split_by_recording

PIECES_PER_SHARD = 1024  # about 100 MB when pieces are whole
SUMMARY_FILE = "summary.json"
BAD_FILES = "bad_files.csv"
WORK_DIR = "in_progress"
_LAYOUT = "layout.json"  # in WORK_DIR, written last: all shards' layouts are there
_ROWS_AT_A_TIME = 100_000


class Engine:
    """Where sound is read: here, in threads of this process; sub-classes do it elsewhere."""

    def read_lengths(
        self, folder: str, digest: str, paths: Sequence[str]
    ) -> Iterable[tuple[float, str]]:
        """Reads the header of every file.

        Args:
          folder: The folder to be prepared, with its `WORK_DIR`.
          digest: Of what is prepared, the files' sizes included.
          paths: The files.

        Returns:
          What `piece_table.read_length` returns for each, in their order.
        """
        del folder, digest
        return piece_table.read_lengths(paths)

    def write_shards(
        self,
        folder: str,
        todo: Mapping[str, int],
        resampler: str,
        advance: Callable[[int], object],
    ) -> Iterator[str]:
        """Runs `write_shard` for shards and yields the names of those that are finished.

        Args:
          folder: The folder to be prepared.
          todo: File name of each shard → its number of pieces.
          resampler: `soxr` or `resampy`.
          advance: To be called with the number of pieces done since the last call.
        """
        for name in todo:
            write_shard(folder, name, resampler, threads=cores(), advance=advance)
            yield name


def prepare(
    manifest: Manifest,
    output_dir: str,
    config: PrepareConfig | None = None,
    progress: bool = True,
    engine: Engine | None = None,
) -> prepared_info.PreparedInfo:
    """Prepares a manifest into a folder, or finds it prepared already.

    Args:
      manifest: Segments; where it names no splits they are drawn by recording.
      output_dir: Folder of the shards; made if need be. Anything that tf.io.gfile takes.
      config: How.
      progress: Whether to show a progress bar.
      engine: Where sound is read; threads of this process if None.

    Returns:
      What prepared.json says.

    Raises:
      CorpusError: The folder holds another corpus, its shards are damaged, or too many files
        are bad.
      LockedError: Another process is preparing the folder.
    """
    config = config or PrepareConfig()
    requested = manifest.frame.attrs.get("requested")
    manifest = split_by_recording(manifest)  # only segments that have no split
    manifest = manifest.select([split for split in manifest.splits if split != UNUSED])
    digest = fingerprint(manifest, config)
    storage.check_readable(output_dir)
    if (info := _found(output_dir, digest)) is None:
        storage.make_folder(output_dir)
        with locks.exclusive(output_dir):
            # Who held the lock before may have finished meanwhile.
            if (info := _found(output_dir, digest)) is None:
                info = _write(
                    manifest, output_dir, config, digest, requested, progress, engine or Engine()
                )
    return info


def _found(folder: str, digest: str) -> prepared_info.PreparedInfo | None:
    """What a finished folder says; None if there is something to do.

    Raises:
      CorpusError: It is of another corpus.
    """
    if not storage.exists(storage.join(folder, prepared_info.INFO_FILE)):
        return None
    info = prepared_info.PreparedInfo.read(folder)
    _refuse_other(folder, info.fingerprint, digest)
    there = storage.names_in(folder)
    if not all(name in there for split in info.splits.values() for name in split.shards):
        return None
    if WORK_DIR in there:  # of a run killed at its very end
        storage.remove_folder(storage.join(folder, WORK_DIR))
    return info


def _refuse_other(folder: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise CorpusError(
            f"{folder}: holds another corpus, or the same one prepared otherwise; "
            "choose another folder or delete this one"
        )


def fingerprint(manifest: Manifest, config: PrepareConfig) -> str:
    """Digest of everything that shapes the shards; of files elsewhere only their names."""
    digest = hashlib.sha256()
    settings = dataclasses.asdict(config) | {"format": prepared_info.FORMAT, "max_bad_share": None}
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


def _write(
    manifest, output_dir, config, digest, requested, progress, engine
) -> prepared_info.PreparedInfo:
    layout = _read_layout(output_dir, digest)
    locks.clear_leftovers(output_dir)
    if layout is None:
        layout = _lay_out(manifest, output_dir, config, digest, requested, engine)
        _take_over(output_dir)
    splits, bad_files = layout["splits"], piece_table.BadFiles()
    bad_files.entries.update(layout["bad_files"])
    counts = dict(zip(
        itertools.chain.from_iterable(split["shards"] for split in splits.values()),
        itertools.chain.from_iterable(split["shard_pieces"] for split in splits.values()),
        strict=True,
    ))
    todo = {
        name: count for name, count in counts.items() if not is_finished(output_dir, name)
    }
    bar = tqdm(
        total=sum(counts.values()),
        initial=sum(counts.values()) - sum(todo.values()),
        unit="piece",
        desc="preparing",
        disable=None if progress else True,  # None: off where there is no terminal
    )
    results = {}

    def collect(names):
        for name in names:
            results[name] = json.loads(storage.read_text(_work_path(output_dir, name, "done")))
            bad_files.entries.update(results[name]["bad_files"])
            bad_files.write(storage.join(output_dir, BAD_FILES))
            bad_files.check_share(layout["files"], config.max_bad_share, layout["source"])

    with bar:
        collect(name for name in counts if name not in todo)
        collect(engine.write_shards(output_dir, todo, config.resampler, bar.update))
    info = prepared_info.PreparedInfo(
        source=layout["source"],
        fingerprint=digest,
        classes=tuple(layout["classes"]),
        splits={
            name: prepared_info.SplitInfo(
                shards=tuple(split["shards"]),
                recordings=split["recordings"],
                pieces=split["pieces"],
                most_turns=split["most_turns"],
                seconds=split["seconds"],
                shard_bytes=tuple(results[shard]["bytes"] for shard in split["shards"]),
                shard_recordings=tuple(split["shard_recordings"]),
            )
            for name, split in splits.items()
        },
        bad_files=tuple(sorted(bad_files.entries.items())),
        versions={name: metadata.version(name) for name in ("numpy", "soundfile", "soxr")},
    )
    summary = _summary(layout, info)
    storage.write_whole(
        storage.join(output_dir, SUMMARY_FILE), json.dumps(summary, indent=1, ensure_ascii=False)
    )
    info.write(output_dir)
    storage.remove_folder(storage.join(output_dir, WORK_DIR))
    logging.info(
        "prepared %d segments, %d pieces, %.2f h of %s into %s; %d bad files",
        summary["segments"], summary["pieces"], summary["hours"], info.source, output_dir,
        len(info.bad_files),
    )
    return info


# --- laying out ---------------------------------------------------------------------------------


def _work_path(folder: str, name: str, kind: str) -> str:
    return storage.join(folder, WORK_DIR, f"{name}.{kind}.json")


def _read_layout(folder: str, digest: str) -> dict | None:
    """The layout an earlier, unfinished run wrote; None if there is none.

    Raises:
      CorpusError: It is of another corpus.
    """
    path = storage.join(folder, WORK_DIR, _LAYOUT)
    if not storage.exists(path):
        return None
    layout = json.loads(storage.read_text(path))
    _refuse_other(folder, layout["fingerprint"], digest)
    logging.info("%s: going on with what an earlier run began", folder)
    return layout


def _take_over(folder: str) -> None:
    """Keeps the shards of a folder that was finished and has lost some since."""
    path = storage.join(folder, prepared_info.INFO_FILE)
    if not storage.exists(path):
        return
    info = prepared_info.PreparedInfo.read(folder)
    for split in info.splits.values():
        for name, size in zip(split.shards, split.shard_bytes, strict=False):
            shard = storage.join(folder, name)
            if storage.exists(shard) and storage.size(shard) == size:
                # Which shard a bad file is in is not known any more; told by one, it is told.
                report = {"bytes": size, "bad_files": dict(info.bad_files)}
                storage.write_whole(_work_path(folder, name, "done"), json.dumps(report))
    storage.remove(path)


def _lay_out(manifest, folder, config, digest, requested, engine) -> dict:
    """Reads the headers, writes what each shard is to hold, manifest.csv, and the layout."""
    storage.make_folder(storage.join(folder, WORK_DIR))
    bad_files = piece_table.BadFiles()
    table = piece_table.scan(
        manifest, bad_files, functools.partial(engine.read_lengths, folder, digest)
    )
    files = manifest.frame["path"].nunique()
    bad_files.check_share(files, config.max_bad_share, manifest.name)
    frame = table.manifest.frame
    paths = frame["path"].to_numpy(dtype=object)
    starts = frame["start_seconds"].to_numpy(np.float64)
    recording = np.repeat(np.arange(len(table.count)), table.count)
    turn = np.arange(len(table.segment)) - table.first[recording]
    splits = {}
    for split, recordings, number, count in _deal(table, config):
        names = [prepared_info.shard_name(split, n, count) for n in range(count)]
        for shard, name in enumerate(names):
            mine = recordings[number == shard]
            at = np.concatenate(
                [np.arange(table.first[r], table.first[r] + table.count[r]) for r in mine]
            ) if len(mine) else np.zeros(0, np.int64)
            segment, position = table.segment[at], table.position[at]
            offset = position * piece_table.PIECE_SECONDS
            seconds = np.minimum(table.duration[segment] - offset, piece_table.READ_SECONDS)
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
            storage.write_whole(_work_path(folder, name, "work"), json.dumps(work))
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
    with storage.written_whole(storage.join(folder, prepared_info.MANIFEST_FILE)) as path:
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
    storage.write_whole(storage.join(folder, WORK_DIR, _LAYOUT), json.dumps(layout))
    return layout


def _deal(
    table: piece_table.PieceTable, config: PrepareConfig
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
        count = config.num_shards or math.ceil(total / PIECES_PER_SHARD)
        # Each shard gets a run of recordings with about the same number of pieces.
        begin = np.cumsum(table.count[recordings]) - table.count[recordings]
        yield split, recordings, begin * count // total, count


def _per_class(table: piece_table.PieceTable) -> dict[str, dict[str, float]]:
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


def _summary(layout: dict, info: prepared_info.PreparedInfo) -> dict:
    """The content of summary.json: counts, hours, bytes, totals of classes, bad files."""
    splits = {
        name: {
            "segments": layout["splits"][name]["segments"],
            "recordings": split.recordings,
            "pieces": split.pieces,
            "hours": round(split.seconds / 3600, 6),
            "shards": len(split.shards),
            "bytes": sum(split.shard_bytes),
        }
        for name, split in info.splits.items()
    }
    total = {
        key: sum(split[key] for split in splits.values())
        for key in ("segments", "recordings", "pieces", "hours", "bytes")
    }
    return {
        "source": info.source,
        "fingerprint": info.fingerprint,
        **total,
        "bytes_per_hour": round(total["bytes"] / total["hours"]) if total["hours"] else None,
        "splits": splits,
        "requested": layout["requested"],
        "files": {"found": layout["files"], "broken": len(info.bad_files)},
        "bad_files": [{"path": path, "reason": reason} for path, reason in info.bad_files],
        "classes": layout["per_class"],
    }


# --- writing shards -----------------------------------------------------------------------------


def is_finished(folder: str, name: str) -> bool:
    """Whether a shard is written whole; it is renamed to its name after its report is."""
    return storage.exists(_work_path(folder, name, "done")) and storage.exists(
        storage.join(folder, name)
    )


def write_shard(
    folder: str,
    name: str,
    resampler: str,
    *,
    threads: int = 1,
    attempt: str = "",
    advance: Callable[[int], object] = lambda pieces_done: None,
) -> None:
    """Makes one shard from its layout, unless it is finished; the bytes depend on that alone.

    Args:
      folder: The folder that is prepared.
      name: File name of the shard.
      resampler: `soxr` or `resampy`.
      threads: Pieces decoded at the same time.
      attempt: Keeps apart the unfinished files of workers that may make one shard twice.
      advance: Called with 1 after each piece.
    """
    if is_finished(folder, name):
        return
    # Only now: who lays out the work, and leaves it to others, need not wait for TensorFlow.
    import tensorflow as tf

    from audio_triplet import pieces, shards

    work = json.loads(storage.read_text(_work_path(folder, name, "work")))
    bad_files = piece_table.BadFiles()

    def record(index: int) -> bytes:
        file = work["file"][index]
        path, labels = work["paths"][file], np.zeros(work["classes"], bool)
        labels[work["labels"][file]] = True
        try:
            waveform = audio.read_piece(
                path, work["start"][index], work["seconds"][index], resampler=resampler
            )
        except audio.AudioError as error:
            bad_files.add(path, error.reason)
            waveform = np.zeros(0, np.float32)
        piece = {key: work[key][index] for key in ("recording", "piece", "segment", "position")}
        energies = pieces.piece_energies_numpy(waveform)
        piece |= {"mel_energies": energies, "frames": len(energies), "labels": labels}
        return shards.encode(piece, work["turn"][index], work["turns"][index])

    path = storage.join(folder, name)
    temporary = f"{path}{attempt}.tmp"
    with tf.io.TFRecordWriter(temporary) as writer:
        for made in _in_order(record, range(len(work["file"])), threads):
            writer.write(made)
            advance(1)
    report = {"bytes": storage.size(temporary), "bad_files": bad_files.entries}
    storage.write_whole(_work_path(folder, name, "done"), json.dumps(report))
    storage.rename(temporary, path)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _in_order(function: Callable, items: Sequence, threads: int) -> Iterator:
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
