"""Filling the tables of an index: files, segments and parts. The caller begins a transaction."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np

from audio_triplet.audio import clock
from audio_triplet.data.keys import key_of
from audio_triplet.search import database
from audio_triplet.search.index_format import Duplicate, FaissInfo
from audio_triplet.search.outline import Outline

_MOST_REMEMBERED = 100_000


@dataclasses.dataclass(frozen=True)
class NewSegment:
    """A segment to be added, or its new content.

    Attributes:
      key: See `database.segment_key`.
      path: Its file, absolute.
      start_seconds: Where it begins; None: not known.
      end_seconds: Where it ends; None: with its file, or not known.
      recording_id: Name of its recording.
      labels: Joined by ";".
      stamp: Size and time of change of its file when it was embedded.
      recorded_at: When its file begins; None: not known.
      first: Its first vector in the part.
      count: How many it has there; 0: it is silent.
      starts: Where its first and its last vector begin in the file; None if it has none.
    """

    key: int
    path: str
    start_seconds: float | None
    end_seconds: float | None
    recording_id: str
    labels: str
    stamp: tuple[int, int]
    recorded_at: datetime.datetime | None
    first: int
    count: int
    starts: tuple[float, float] | None


class Filler:
    """Adds to tables.

    Attributes:
      replaced: Segments whose file had changed.
    """

    def __init__(self, connection: sqlite3.Connection):
        """Takes a connection that may write."""
        self.replaced = 0
        self._connection = connection
        self._numbers: dict[tuple[str, bytes], int] = {}  # (table, text) → id
        self._recordings: dict[str, int] = {}
        self._files: dict[str, tuple[int, tuple[int, int]]] = {}  # path → id, stamp
        self._ids: dict[int, int] = {}  # key → id of segments that are not in the tables yet
        self._longest = self._one("SELECT value FROM about WHERE name = 'longest'") or 0
        self._next = (self._one("SELECT max(id) FROM segments") or 0) + 1

    def _one(self, statement: str, parameters: Iterable = ()):
        row = self._connection.execute(statement, tuple(parameters)).fetchone()
        return row[0] if row else None

    def add_part(self, name: str, vectors: int) -> int:
        """Lists a part, and returns its id."""
        # Ids are never used again, so that a reader knows its parts from later ones.
        number = max(
            self._one("SELECT value FROM about WHERE name = 'last_part'") or 0,
            self._one("SELECT max(id) FROM parts") or 0,
        )
        number += 1
        self._set("last_part", number)
        self._connection.execute("INSERT INTO parts VALUES (?, ?, ?)", (number, name, vectors))
        return number

    def remove_parts(self, numbers: Iterable[int]) -> None:
        """Lists parts no longer."""
        for number in numbers:
            self._connection.execute("DELETE FROM parts WHERE id = ?", (number,))
            self._connection.execute("DELETE FROM gone WHERE part = ?", (number,))

    def add_gone(self, part: int, first: int, count: int) -> None:
        """Says that vectors of a part no longer count."""
        self._connection.execute("INSERT INTO gone VALUES (?, ?, ?)", (part, first, count))

    def set_faiss(self, faiss: FaissInfo | None) -> None:
        """Lists a FAISS index instead of any earlier one."""
        self._connection.execute("DELETE FROM faiss")
        if faiss:
            values = dataclasses.asdict(faiss) | {"parts": ",".join(map(str, faiss.parts))}
            names = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            self._connection.execute(f"INSERT INTO faiss ({names}) VALUES ({marks})", values)

    def add_outline(self, segment: int, outline: Outline) -> None:
        """Stores what a segment sounds like; it is compared later."""
        self._connection.execute(
            "INSERT OR REPLACE INTO outlines VALUES (?, 0, ?, ?, ?, ?)",
            (
                segment,
                outline.descriptor().tobytes(),
                outline.start,
                outline.length,
                outline.levels.tobytes(),
            ),
        )

    def set_compared(self, segments: Iterable[int], found: Iterable[Duplicate]) -> None:
        """Stores what comparing segments with all others found."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO duplicates VALUES (?, ?, ?, ?, ?)",
            [dataclasses.astuple(duplicate) for duplicate in found],
        )
        self._connection.executemany(
            "UPDATE outlines SET compared = 1 WHERE segment = ?", [(n,) for n in segments]
        )

    def set_constant(self, name: str, version: int, blob: bytes) -> None:
        """Stores a constant instead of an earlier one of its name."""
        self._connection.execute(
            "INSERT OR REPLACE INTO constants VALUES (?, ?, ?)", (name, version, blob)
        )

    def ids(self, keys: Iterable[int]) -> list[int]:
        """The ids that segments have, or will have when they are added."""
        return [self._id_of(key)[0] for key in keys]

    def _id_of(self, key: int) -> tuple[int, bool]:
        """A segment's id, and whether it is in the tables already."""
        number = self._one("SELECT id FROM segments WHERE key = ?", (key,))
        if number is not None:
            return number, True
        if key not in self._ids:
            self._ids[key], self._next = self._next, self._next + 1
        return self._ids[key], False

    def add(self, new: NewSegment, part: int | None) -> int:
        """Adds a segment, or gives it its new content; its file's segments of before are gone.

        Args:
          new: The segment.
          part: Id of the part that has its vectors, if it has any.

        Returns:
          Its id.
        """
        file = self._file(new)
        number, is_there = self._id_of(new.key)
        if is_there:
            self.drop("id = ?", (number,))
        first_clock = last_clock = began = None
        if new.recorded_at is not None and new.starts is not None:
            began = clock.microseconds(new.recorded_at)
            first_clock, last_clock = (
                clock.microseconds(clock.later(new.recorded_at, start)) for start in new.starts
            )
            self.note_length(last_clock - first_clock)
        self._connection.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                new.key,
                file,
                new.start_seconds,
                new.end_seconds,
                self._recording(new.recording_id),
                self._number("labels", "text", new.labels),
                part if new.count else None,
                new.first if new.count else None,
                new.count,
                began,
                first_clock,
                last_clock,
            ),
        )
        return number

    def move(self, segments: np.ndarray, part: int, first: np.ndarray) -> None:
        """Says that segments' vectors, each from `first` on, are in another part now."""
        self._connection.executemany(
            "UPDATE segments SET part = ?, first = ? WHERE id = ?",
            zip(itertools.repeat(part), first.tolist(), segments.tolist()),
        )

    def _file(self, new: NewSegment) -> int:
        """The id of a segment's file, as it is now."""
        number, stamp = self._files.get(new.path) or self._stored_file(new)
        if stamp != new.stamp:
            self.replaced += self.drop("file = ?", (number,))
            self._connection.execute(
                "UPDATE files SET size = ?, mtime_ns = ?, recorded_at = ? WHERE id = ?",
                (*new.stamp, _iso(new.recorded_at), number),
            )
        if len(self._files) > _MOST_REMEMBERED:
            self._files.clear()
        self._files[new.path] = number, new.stamp
        return number

    def _stored_file(self, new: NewSegment) -> tuple[int, tuple[int, int]]:
        folder, name = database.split_path(new.path)
        number = self._number("folders", "path", folder)
        row = self._connection.execute(
            "SELECT id, size, mtime_ns FROM files WHERE folder = ? AND name = CAST(? AS TEXT)",
            (number, name),
        ).fetchone()
        if row:
            return row[0], (row[1], row[2])
        made = self._connection.execute(
            "INSERT INTO files (folder, name, size, mtime_ns, recorded_at) "
            "VALUES (?, CAST(? AS TEXT), ?, ?, ?)",
            (number, name, *new.stamp, _iso(new.recorded_at)),
        )
        return made.lastrowid or 0, new.stamp

    def note_length(self, microseconds: int) -> None:
        """Notes how far apart the first and the last vector of some segment are."""
        if microseconds > self._longest:
            self._longest = microseconds
            self._set("longest", microseconds)

    def drop(self, which: str, parameters: Sequence[int] = ()) -> int:
        """Says that what was embedded of some segments no longer counts.

        Args:
          which: They, a condition in SQL.
          parameters: Of the condition.

        Returns:
          How many there were.
        """
        self._connection.execute(
            f"INSERT INTO gone SELECT part, first, count FROM segments WHERE {which} AND count > 0",
            parameters,
        )
        for table, member in (
            ("outlines", "segment"),
            ("duplicates", "first"),
            ("duplicates", "second"),
        ):
            self._connection.execute(
                f"DELETE FROM {table} WHERE {member} IN (SELECT id FROM segments WHERE {which})",
                parameters,
            )
        done = self._connection.execute(
            "UPDATE segments SET part = NULL, first = NULL, count = NULL, clock = NULL, "
            f"clock_first = NULL, clock_last = NULL WHERE {which} AND count IS NOT NULL",
            parameters,
        )
        return done.rowcount

    def _recording(self, name: str) -> int:
        """The id of a recording, which gets one if it is new."""
        if name not in self._recordings:
            key = key_of(name)
            number = self._one("SELECT id FROM recordings WHERE key = ?", (key,))
            if number is None:
                number = self._connection.execute(
                    "INSERT INTO recordings (key, name) VALUES (?, CAST(? AS TEXT))",
                    (key, database.text(name)),
                ).lastrowid
            if len(self._recordings) > _MOST_REMEMBERED:
                self._recordings.clear()
            self._recordings[name] = number
        return self._recordings[name]

    def _number(self, table: str, column: str, value: str | bytes) -> int:
        """The id of a text in its table, which gets it if it is new."""
        stored = database.text(value) if isinstance(value, str) else value
        known = self._numbers.get((table, stored))
        if known is not None:
            return known
        number = self._one(f"SELECT id FROM {table} WHERE {column} = CAST(? AS TEXT)", (stored,))
        if number is None:
            statement = f"INSERT INTO {table} ({column}) VALUES (CAST(? AS TEXT))"
            number = self._connection.execute(statement, (stored,)).lastrowid
        if len(self._numbers) > _MOST_REMEMBERED:
            self._numbers.clear()
        self._numbers[table, stored] = number
        return number

    def _set(self, name: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))


def _iso(moment: datetime.datetime | None) -> str | None:
    return moment.isoformat() if moment else None
