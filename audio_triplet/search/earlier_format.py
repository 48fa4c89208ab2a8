"""Indices of earlier versions: reading them, and converting them where they are.

    index.json          the model, and the list of the parts
    part-ID/            vectors.npy and spans.npy, as now
        segments.npy    [m], the vectors of each segment, and its keys
        names.jsonl     a line per segment: path, recording, labels, clock time
    faiss-ID.bin        as now

Vectors stay where they are. The conversion writes what is new first, gives the tables their name,
and then removes what is no longer needed: killed at any moment, the index is the earlier one or the
new one.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sqlite3
from collections.abc import Iterator

import numpy as np
from absl import logging

from audio_triplet import locks, storage
from audio_triplet.audio import clock
from audio_triplet.errors import SearchError
from audio_triplet.search import database, filling
from audio_triplet.search.index_format import OWNER, FaissInfo, IndexInfo

LIST_FILE = "index.json"

_VERSION = 1
_SEGMENTS, _NAMES = "segments.npy", "names.jsonl"


def check(folder: str) -> None:
    """Checks that a folder holds an index of an earlier version.

    Raises:
      SearchError: It holds none, or a damaged one.
    """
    _read(folder)


def convert(folder: str) -> None:
    """Converts an index where it is; does nothing if that has been done.

    Raises:
      SearchError: It is damaged.
      LockedError: Another process is writing it.
      OSError: The folder cannot be written.
    """
    with locks.exclusive(folder):
        if os.path.exists(database.path_in(folder)):
            return
        logging.info("%s: is of an earlier version and is converted", folder)
        content = _read(folder)
        about = _about(content)
        with database.creating(folder, about) as connection:
            for name, owners in _fill(connection, folder, content).items():
                path = os.path.join(folder, name, "owners.npy")
                with storage.open_replacing(path, "wb", sync=True) as file:
                    np.save(file, owners)
        finish(folder)


def in_memory(folder: str) -> tuple[sqlite3.Connection, dict[str, np.ndarray]]:
    """The tables of an index that cannot be converted where it is, and the owners of its parts.

    Raises:
      SearchError: It is damaged.
    """
    logging.warning(
        "%s: is of an earlier version, and cannot be converted here; it is read anew each time",
        folder,
    )
    content = _read(folder)
    connection = database.create(":memory:", _about(content))
    owners = _fill(connection, folder, content)
    connection.execute("PRAGMA query_only = ON")
    return connection, owners


def finish(folder: str) -> None:
    """Removes what an index no longer needs, and tells earlier versions that it is not theirs.

    To them a folder without index.json would be theirs to begin anew, and to clear of all parts.
    Call it with the folder's lock held, when the tables have their name.
    """
    path = os.path.join(folder, LIST_FILE)
    marker = {"version": database.VERSION, "tables": database.DATABASE_FILE}
    try:
        if storage.read_json(path) == marker:
            return
    except (OSError, ValueError):
        pass
    storage.write_json(path, marker, sync=True)
    for entry in os.scandir(folder):
        if entry.name.startswith("part-") and entry.is_dir(follow_symlinks=False):
            for name in (_SEGMENTS, _NAMES):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(entry.path, name))


def _read(folder: str) -> dict:
    """The content of index.json."""
    path = os.path.join(folder, LIST_FILE)
    try:
        content = storage.read_json(path)
        version = content["version"]
        if version == database.VERSION:
            raise SearchError(f"{database.path_in(folder)}: is missing; {database.REBUILD}")
        if version != _VERSION:
            raise SearchError(
                f"{path}: is of format {version}, this package reads {database.VERSION} and "
                f"{_VERSION}; build it again with audio-triplet index"
            )
        _about(content), content["parts"], content["faiss"]
        return content
    except FileNotFoundError:
        raise SearchError(
            f"{folder}: holds no index ({database.DATABASE_FILE} is missing); build one with "
            "audio-triplet index"
        ) from None
    except NotADirectoryError:
        raise SearchError(f"{folder}: is a file; an index is a folder") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, SearchError):
            raise
        raise SearchError(database.damaged(path, error)) from error


def _about(content: dict) -> dict:
    info = IndexInfo(
        content["model"],
        content["model_digest"],
        content["dim"],
        content["level"],
        content["hop_seconds"],
        content["dtype"],
    )
    return info.about()


def _fill(connection: sqlite3.Connection, folder: str, content: dict) -> dict[str, np.ndarray]:
    """Fills the tables, and returns the owners of each part, by its name."""
    owners: dict[str, np.ndarray] = {}
    numbers: dict[str, int] = {}
    path = os.path.join(folder, LIST_FILE)
    try:
        filler = filling.Filler(connection)
        for part in content["parts"]:
            name, vectors = part["name"], part["vectors"]
            path = os.path.join(folder, name)
            if vectors:
                numbers[name] = filler.add_part(name, vectors)
                owners[name] = np.zeros(vectors, OWNER)
            for number, segment in enumerate(_segments(path, vectors)):
                own = slice(segment.first, segment.first + segment.count)
                if number not in part["dropped"]:
                    owners[name][own] = filler.add(segment, numbers.get(name))
                elif segment.count:
                    filler.add_gone(numbers[name], segment.first, segment.count)
        path = os.path.join(folder, LIST_FILE)
        if content["faiss"]:
            faiss = content["faiss"]
            parts = tuple(numbers[part] for part in faiss["parts"] if part in numbers)
            filler.set_faiss(FaissInfo(**faiss | {"parts": parts}))
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise SearchError(database.damaged(path, error)) from error
    return owners


def _segments(path: str, vectors: int) -> Iterator[filling.NewSegment]:
    """The segments of a part, dropped ones included."""
    table = np.load(os.path.join(path, "segments.npy"), allow_pickle=False)
    starts = np.zeros(0)
    if vectors:
        starts = np.load(os.path.join(path, "spans.npy"), allow_pickle=False)["start"]
    with open(os.path.join(path, "names.jsonl"), "rb") as file:
        lines = file.read()
    for row in table:
        begin, first, count = int(row["offset"]), int(row["first"]), int(row["count"])
        names = json.loads(lines[begin : lines.index(b"\n", begin)])
        stated = names.get("recorded_at")
        began = datetime.datetime.fromisoformat(stated) if stated else None
        own = (float(starts[first]), float(starts[first + count - 1])) if count else None
        yield filling.NewSegment(
            key=int(row["key"]),
            path=names["path"],
            start_seconds=own[0] if own else None,  # as near as it is known
            end_seconds=None,
            recording_id=names["recording_id"],
            labels=names["labels"],
            stamp=(int(row["size"]), int(row["mtime_ns"])),
            recorded_at=began or clock.time_in_name(names["path"]),
            first=first,
            count=count,
            starts=own,
        )
