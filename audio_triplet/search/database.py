"""The tables of an index: one SQLite file, beside the vectors that it describes.

    folders, files          a row per sound file: path, size and time of change, clock time
    recordings, labels      names that segments share
    segments                a row per segment: where its sound is, and where its vectors are
    parts, gone             the folders of vectors, and which of them no longer count
    faiss                   the FAISS index, if there is one
    outlines, duplicates    what recordings sound like, and which are the same
    about, constants        the model; values with a version, such as an archive's mean

A change is one transaction, so a process that is killed leaves the tables as they were before or
after. The journal is SQLite's older one (`DELETE`), not WAL [D]: WAL needs memory that all of its
processes share, so it works neither over a network nor on a medium that cannot be written.

Texts may hold names that are not UTF-8; they are stored as the bytes they are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator, Sequence

from audio_triplet import storage
from audio_triplet.data.keys import key_of
from audio_triplet.errors import LockedError, SearchError

DATABASE_FILE = "index.sqlite"
VERSION = 2  # of the format; 1 had index.json, segments.npy and names.jsonl

# What mends an index that is damaged.
REBUILD = "build the index again with audio-triplet index"

_APPLICATION = 0x41547269  # "ATri", in the file's head
_WAIT_SECONDS = 60.0  # for another process; a commit takes milliseconds
_AT_ONCE = 500  # numbers in one statement

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- Folders part-… of vectors, in the order they were added.
CREATE TABLE parts (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  vectors INTEGER NOT NULL
);

-- Vectors of a part that no longer count: their file has changed and was embedded again.
CREATE TABLE gone (
  part INTEGER NOT NULL,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL
);

-- At most one row. `parts`: ids of those it covers, in the order of its vectors, joined by ",".
CREATE TABLE faiss (
  file TEXT NOT NULL,
  parts TEXT NOT NULL,
  kind TEXT NOT NULL,
  effort INTEGER NOT NULL,
  recall REAL NOT NULL,
  build_seconds REAL NOT NULL,
  bytes INTEGER NOT NULL
);

-- With the separator at its end, so that path || name is a file's path.
CREATE TABLE folders (
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE
);

CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  folder INTEGER NOT NULL,
  name TEXT NOT NULL,
  size INTEGER NOT NULL,      -- when it was embedded
  mtime_ns INTEGER NOT NULL,  -- likewise
  recorded_at TEXT,           -- ISO 8601, where it is known
  UNIQUE (folder, name)
);

CREATE TABLE recordings (
  id INTEGER PRIMARY KEY,
  key INTEGER NOT NULL UNIQUE,  -- `key_of` its name, which is often a path: an eighth of its size
  name TEXT NOT NULL
);

-- All labels of a segment, joined by ";".
CREATE TABLE labels (
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
);

-- A segment keeps its id when its file changes and when parts are merged. Of one that is silent
-- `count` is 0 and it is in no part; of one that its file no longer has, `count` is NULL.
-- Times of clocks: microseconds since 1970 as the clock showed it, without zone.
CREATE TABLE segments (
  id INTEGER PRIMARY KEY,
  key INTEGER NOT NULL UNIQUE,  -- of path, start and end, see `segment_key`
  file INTEGER NOT NULL,
  start_seconds REAL,
  end_seconds REAL,             -- NULL: to the end of the file
  recording INTEGER NOT NULL,
  labels INTEGER NOT NULL,
  part INTEGER,
  first INTEGER,                -- its first vector in the part
  count INTEGER,                -- how many it has
  clock INTEGER,                -- when its file begins
  clock_first INTEGER,          -- when its first vector begins
  clock_last INTEGER            -- when its last vector begins
);
CREATE INDEX segments_of_file ON segments (file);
CREATE INDEX segments_of_recording ON segments (recording);
CREATE INDEX segments_with_labels ON segments (labels);
CREATE INDEX segments_by_clock ON segments (clock_first, clock_last, clock)
  WHERE clock_first IS NOT NULL;

-- Of segments that are whole recordings, to find copies; see `outline.Outline`.
CREATE TABLE outlines (
  segment INTEGER PRIMARY KEY,
  compared INTEGER NOT NULL,    -- whether it was with those before it
  descriptor BLOB NOT NULL,
  start INTEGER NOT NULL,
  length INTEGER NOT NULL,
  levels BLOB NOT NULL
);
CREATE INDEX outlines_to_compare ON outlines (segment) WHERE NOT compared;

CREATE TABLE duplicates (
  first INTEGER NOT NULL,       -- segments
  second INTEGER NOT NULL,
  kind TEXT NOT NULL,           -- exact: the same samples; near: the same recording
  offset_seconds REAL NOT NULL, -- how much later a moment is in the second
  likeness REAL NOT NULL,       -- correlation of the samples
  PRIMARY KEY (first, second)
) WITHOUT ROWID;
CREATE INDEX duplicates_by_second ON duplicates (second);

CREATE TABLE constants (
  name TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  blob BLOB NOT NULL
);
"""


def path_in(folder: str) -> str:
    """Where the tables of an index are."""
    return os.path.join(folder, DATABASE_FILE)


def create(path: str, about: dict[str, str | int | float]) -> sqlite3.Connection:
    """Makes empty tables.

    Args:
      path: The file, which must not be there; or ":memory:".
      about: Names and values of the table `about`.

    Returns:
      A connection that writes without a journal: to fill the tables before they have their name.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text_of
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for name, value in about.items():
        if isinstance(value, str):
            connection.execute("INSERT INTO about VALUES (?, CAST(? AS TEXT))", (name, text(value)))
        else:
            connection.execute("INSERT INTO about VALUES (?, ?)", (name, value))
    return connection


@contextlib.contextmanager
def creating(folder: str, about: dict[str, str | int | float]) -> Iterator[sqlite3.Connection]:
    """Makes an index's tables, filled by the block, whole or not at all.

    Raises:
      OSError: They cannot be written.
    """
    path = path_in(folder)
    with storage.replacing(path, sync=True) as temporary, errors_named(path):
        with contextlib.closing(create(temporary, about)) as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")


def connect(folder: str, *, writing: bool = False) -> sqlite3.Connection:
    """Opens the tables of an index.

    Readers open them for writing too where they can: what a killed writer left half done is then
    rolled back by SQLite.

    Args:
      folder: The index.
      writing: Whether the connection may change them.

    Raises:
      SearchError: They are damaged, or of another version.
      OSError: They are not there, or cannot be read.
    """
    path = path_in(folder)
    os.stat(path)  # its own error says best what is wrong
    with errors_named(path):
        connection = _opened(path, "mode=rw")
        try:
            try:
                connection.execute("SELECT 1 FROM about").fetchone()
            except sqlite3.OperationalError as error:
                if writing or not _lacks_locks(error):
                    raise
                connection.close()
                connection = _opened(path, "mode=ro&nolock=1")
            _check(connection, path)
            if writing:
                connection.execute("PRAGMA synchronous = FULL")
            else:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def attached(connection: sqlite3.Connection, other: sqlite3.Connection) -> Iterator[None]:
    """Lets a connection read another index's tables, as `other.…`, while the block runs.

    Args:
      connection: The one that reads them; in no transaction.
      other: An open connection to them, see `connect`; they may be in memory.

    Raises:
      SearchError: They are damaged.
    """
    path = other.execute("PRAGMA database_list").fetchone()[2]
    with errors_named(path):
        if not path:
            connection.execute("ATTACH ':memory:' AS other")
            connection.deserialize(other.serialize(), name="other")
        else:
            _attach(connection, path)
        try:
            yield
        finally:
            connection.execute("DETACH other")


def _attach(connection: sqlite3.Connection, path: str) -> None:
    """Attaches tables for reading."""
    for options in ("mode=ro", "mode=ro&nolock=1"):
        connection.execute("ATTACH ? AS other", [_address(path, options)])
        try:
            connection.execute("SELECT 1 FROM other.about").fetchone()
            return
        except sqlite3.OperationalError as error:
            connection.execute("DETACH other")
            if options != "mode=ro" or not _lacks_locks(error):
                raise


def _address(path: str, options: str) -> str:
    name = urllib.parse.quote(os.fsencode(os.path.abspath(path)))
    return f"file:{name}?{options}"


def _opened(path: str, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        _address(path, options),
        uri=True,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # SQLite takes one call at a time
    )
    connection.text_factory = _text_of
    return connection


def _check(connection: sqlite3.Connection, path: str) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
        raise SearchError(damaged(path, "it is of another program"))
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise SearchError(
            f"{path}: is of format {version}, this package reads {VERSION}; build it again with "
            "audio-triplet index"
        )


def damaged(path: str, cause: object) -> str:
    """The message for a file of an index that cannot be used."""
    return f"{path}: is damaged ({cause}); {REBUILD}"


@contextlib.contextmanager
def errors_named(path: str) -> Iterator[None]:
    """Errors of SQLite become ours, or the file system's.

    Raises:
      SearchError: The file is damaged, or a writer was killed and this process may not write.
      LockedError: Another process has held it for a minute.
      OSError: The disk is full, or fails, or the file may not be written.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name == "SQLITE_FULL":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path) from error
        if name.startswith("SQLITE_READONLY") and os.path.exists(f"{path}-journal"):
            folder = os.path.dirname(path)
            raise SearchError(
                f"{path}: a process was killed while it wrote it, and here it cannot be put in "
                f"order; run audio-triplet index --index={folder} where it can be written"
            ) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            raise PermissionError(errno.EACCES, str(error), path) from error
        if name.startswith("SQLITE_IOERR"):
            raise OSError(errno.EIO, f"{error} ({name})", path) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
            raise LockedError(
                f"{path}: another process has held it for {_WAIT_SECONDS:g} s; wait for it"
            ) from error
        raise SearchError(damaged(path, error)) from error


def _lacks_locks(error: sqlite3.OperationalError) -> bool:
    """Whether a file system without locks is the cause."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_IOERR_LOCK", "SQLITE_IOERR_RDLOCK", "SQLITE_PROTOCOL"))


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "DEFERRED") -> Iterator[None]:
    """What the block reads and writes is of one moment; it is written whole or not at all."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # it may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


def text(value: str) -> bytes:
    """A text as it is bound to a parameter `CAST(? AS TEXT)`."""
    return value.encode("utf-8", "surrogateescape")


def _text_of(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def in_groups(numbers: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """Numbers, so many at a time as fit a statement, each with its question marks."""
    for first in range(0, len(numbers), _AT_ONCE):
        group = [int(number) for number in numbers[first : first + _AT_ONCE]]
        yield ",".join("?" * len(group)), group


def split_path(path: str) -> tuple[bytes, bytes]:
    """A file's path as the tables `folders` and `files` have it."""
    path = os.path.abspath(path)
    name = os.path.basename(path)
    return text(path[: len(path) - len(name)]), text(name)


def segment_key(path: str, start_seconds: float, end_seconds: float) -> int:
    """The key of a segment, the same for every way to write its path."""
    return key_of(os.path.abspath(path), float(start_seconds), float(end_seconds))
