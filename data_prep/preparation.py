"""Sound files → TFRecord shards of mel energies, written whole or not at all.

Two steps. `prepare` reads the headers and lays out the work: one small JSON file per shard, in
`in_progress/`. Then `write_shard` makes each shard from its file alone, in any order and any
number of processes or machines at a time: threads of this process by default, workers of a Beam
pipeline by `data_prep.beam`. The same corpus always gives the same bytes.

After a stop the same call continues: the layout is read again, finished shards are kept.
"""

import collections
import functools
import itertools
from collections.abc import Iterable
from importlib import metadata

from absl import logging
from tqdm import tqdm

from audio_triplet import audio, locks, storage
from audio_triplet.config import PrepareConfig
from audio_triplet.data import prepared
from audio_triplet.data.bad_files import BadFiles, listed_in
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.manifest_csv import UNUSED
from audio_triplet.data.splits import split_by_recording
from data_prep.engine import Engine
from data_prep.layout import (
    WORK_DIR,
    check_same,
    keep_finished_shards,
    lay_out,
    read_layout,
    work_path,
)
from data_prep.write_shards import is_finished

SUMMARY_FILE = "summary.json"


def prepare(
    manifest: Manifest,
    output_dir: str,
    config: PrepareConfig | None = None,
    progress: bool = True,
    engine: Engine | None = None,
) -> prepared.PreparedInfo:
    """Prepares a manifest into a folder, unless it is prepared already.

    Args:
      manifest: Segments; missing splits are drawn by recording.
      output_dir: Folder of the shards; made if missing. Anything that tf.io.gfile takes.
      config: Settings of the shards.
      progress: Whether to show a progress bar.
      engine: Reads headers and writes shards; None: threads of this process.

    Returns:
      The content of prepared.json.

    Raises:
      CorpusError: The folder holds another corpus, its shards are damaged, or too many files
        are bad.
      LockedError: Another process is preparing the folder.
    """
    config = config or PrepareConfig()
    scan = {key: manifest.frame.attrs.get(key) for key in ("requested", "passed_over")}
    manifest = split_by_recording(manifest)  # only segments that have no split
    manifest = manifest.select([split for split in manifest.splits if split != UNUSED])
    fingerprint = prepared.fingerprint(manifest, config)
    storage.check_readable(output_dir)
    if (info := _found(output_dir, fingerprint)) is None:
        storage.make_folder(output_dir)
        with locks.exclusive(output_dir):
            # The previous holder of the lock may have finished the folder.
            if (info := _found(output_dir, fingerprint)) is None:
                info = _prepare(
                    manifest,
                    output_dir,
                    config,
                    fingerprint,
                    scan,
                    progress,
                    engine or Engine(),
                )
    return info


def _found(folder: str, fingerprint: str) -> prepared.PreparedInfo | None:
    """The content of a finished folder's prepared.json; None if the folder is not finished.

    Raises:
      CorpusError: It is of another corpus.
    """
    if not storage.exists(storage.join(folder, prepared.INFO_FILE)):
        return None
    info = prepared.PreparedInfo.read(folder)
    check_same(folder, info.fingerprint, fingerprint)
    there = storage.names_in(folder)
    if not all(name in there for split in info.splits.values() for name in split.shards):
        return None
    if WORK_DIR in there:  # of a run killed at its very end
        storage.remove_folder(storage.join(folder, WORK_DIR))
    return info


def _prepare(
    manifest: Manifest,
    folder: str,
    config: PrepareConfig,
    fingerprint: str,
    scan: dict[str, dict | None],
    progress: bool,
    engine: Engine,
) -> prepared.PreparedInfo:
    """Makes a missing layout, writes missing shards, and marks the folder as finished."""
    layout = read_layout(folder, fingerprint)
    locks.clear_leftovers(folder)
    if layout is None:
        read_lengths = functools.partial(
            engine.read_lengths, folder, fingerprint, truncated=config.truncated
        )
        layout = lay_out(manifest, folder, config, fingerprint, scan, read_lengths)
        keep_finished_shards(folder)
    decoded: dict[str, dict[str, int]] = {}
    with listed_in(folder, BadFiles(config.truncated)) as bad_files:
        bad_files.entries.update(layout["bad_files"])
        shard_bytes = _write_shards(layout, folder, config, progress, engine, bad_files, decoded)
    info = prepared.PreparedInfo(
        source=layout["source"],
        fingerprint=fingerprint,
        classes=tuple(layout["classes"]),
        splits={
            name: prepared.SplitInfo(
                shards=tuple(split["shards"]),
                recordings=split["recordings"],
                pieces=split["pieces"],
                most_turns=split["most_turns"],
                seconds=split["seconds"],
                shard_bytes=tuple(shard_bytes[shard] for shard in split["shards"]),
                shard_recordings=tuple(split["shard_recordings"]),
                shard_decoded=tuple(decoded[shard] for shard in split["shards"]),
            )
            for name, split in layout["splits"].items()
        },
        bad_files=tuple(sorted(bad_files.entries.items())),
        versions={name: metadata.version(name) for name in ("numpy", "soundfile", "soxr")},
    )
    summary = _summary(layout, info)
    counts = sum(map(collections.Counter, decoded.values()), collections.Counter())
    summary["decoded"] = dict(sorted(counts.items(), reverse=True))
    summary["truncated"] = [
        {"path": path, "reason": reason} for path, reason in sorted(bad_files.log.truncated.items())
    ]
    storage.write_json(storage.join(folder, SUMMARY_FILE), summary)
    info.write(folder)
    storage.remove_folder(storage.join(folder, WORK_DIR))
    logging.info(
        "prepared %d segments, %d chunks, %.2f h of %s into %s; %d bad files, %d truncated; %s",
        summary["segments"],
        summary["pieces"],
        summary["hours"],
        info.source,
        folder,
        len(info.bad_files),
        len(summary["truncated"]),
        audio.decoded(summary["decoded"]),
    )
    return info


def _write_shards(
    layout: dict,
    folder: str,
    config: PrepareConfig,
    progress: bool,
    engine: Engine,
    bad_files: BadFiles,
    decoded: dict[str, dict[str, int]],
) -> dict[str, int]:
    """Writes the shards that are not finished: file name → bytes of all; and → counts by decoder.

    Raises:
      CorpusError: Too many files turned out to be bad.
    """
    splits = layout["splits"].values()
    names = itertools.chain.from_iterable(split["shards"] for split in splits)
    counts = itertools.chain.from_iterable(split["shard_pieces"] for split in splits)
    chunks = dict(zip(names, counts, strict=True))
    todo = {name: count for name, count in chunks.items() if not is_finished(folder, name)}
    bar = tqdm(
        total=sum(chunks.values()),
        initial=sum(chunks.values()) - sum(todo.values()),
        unit="chunk",
        desc="preparing",
        disable=None if progress else True,  # None: off where there is no terminal
    )
    shard_bytes = {}

    def collect(names: Iterable[str]) -> None:
        for name in names:
            report = storage.read_json(work_path(folder, name, "done"))
            shard_bytes[name] = report["bytes"]
            bad_files.entries.update(report["bad_files"])
            bad_files.log.truncated.update(report.get("truncated", {}))
            decoded[name] = report.get("decoded", {})
            bad_files.check_share(layout["files"], config.max_bad_share, layout["source"])

    with bar:
        collect(name for name in chunks if name not in todo)
        collect(engine.write_shards(folder, todo, config.resampler, bar.update))
    return shard_bytes


def _summary(layout: dict, info: prepared.PreparedInfo) -> dict:
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
        "passed_over": layout.get("passed_over"),  # not in layouts of earlier versions
        "files": {"found": layout["files"], "broken": len(info.bad_files)},
        "bad_files": [{"path": path, "reason": reason} for path, reason in info.bad_files],
        "classes": layout["per_class"],
    }
