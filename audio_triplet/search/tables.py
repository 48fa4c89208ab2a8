"""Reading the tables of an index: its parts, names of segments, and which segments a filter takes.

`database` describes the tables. No pandas here: a search starts at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from audio_triplet.audio import clock
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.errors import LockedError, SearchError
from audio_triplet.search import database, earlier_format
from audio_triplet.search.index_format import (
    Duplicate,
    FaissInfo,
    IndexInfo,
    PartInfo,
)
from audio_triplet.search.outline import BANDS, Outline

_MINUTE = 60_000_000  # microseconds
_DAY = 24 * 60 * _MINUTE

# In this order, so that SQLite begins with the few folders.
_SEGMENTS_OF_FILES = (
    "SELECT s.id FROM folders o CROSS JOIN files f ON f.folder = o.id "
    "CROSS JOIN segments s ON s.file = f.id"
)

_SEGMENT = (
    "SELECT s.id, o.path || f.name, s.recording, r.name, l.text, f.recorded_at "
    "FROM segments s JOIN files f ON f.id = s.file JOIN folders o ON o.id = f.folder "
    "JOIN recordings r ON r.id = s.recording JOIN labels l ON l.id = s.labels"
)


@dataclasses.dataclass(frozen=True)
class Segment:
    """A segment's names.

    Attributes:
      id: Its number in the tables.
      path: Its file.
      recording: Number of its recording.
      recording_id: The recording's name.
      labels: Its labels.
      recorded_at: When its file began; None: it is not known.
    """

    id: int
    path: str
    recording: int
    recording_id: str
    labels: tuple[str, ...]
    recorded_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the vectors of a segment are.

    Attributes:
      segment: The segment's id.
      part: The part's id.
      first: The first vector in the part.
      count: How many there are.
    """

    segment: int
    part: int
    first: int
    count: int


class Tables:
    """The tables of an index, opened for reading. What a writer adds is seen at the next call.

    Attributes:
      owners: For an index of an earlier version that could not be converted: the `owners` of each
        part, by its name.
    """

    def __init__(
        self,
        folder: str,
        connection: sqlite3.Connection,
        owners: dict[str, np.ndarray] | None = None,
    ):
        """Takes an open connection; see `open`."""
        self.owners = owners or {}
        self._path = database.path_in(folder)
        self._connection = connection

    @classmethod
    def open(cls, folder: str) -> Tables:
        """Opens the tables; those of an earlier version are converted, if the folder permits it.

        Raises:
          SearchError: There is no index, or it is damaged.
        """
        try:
            return cls(folder, database.connect(folder))
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            raise SearchError(f"{folder}: is a file; an index is a folder") from None
        earlier_format.check(folder)
        try:
            earlier_format.convert(folder)
            return cls(folder, database.connect(folder))
        except (LockedError, OSError):
            return cls(folder, *earlier_format.in_memory(folder))

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _all(self, statement: str, parameters: Sequence = ()) -> list[tuple]:
        with database.errors_named(self._path):
            return self._connection.execute(statement, parameters).fetchall()

    def info(self) -> IndexInfo:
        """What the tables list, at one moment.

        Raises:
          SearchError: They are damaged.
        """
        with database.errors_named(self._path), database.transaction(self._connection):
            about = dict(self._all("SELECT name, value FROM about"))
            parts = self._all("SELECT id, name, vectors FROM parts ORDER BY id")
            faiss = self._all("SELECT * FROM faiss")
            gone: dict[int, list[tuple[int, int]]] = {}
            for part, first, count in self._all("SELECT part, first, count FROM gone"):
                gone.setdefault(part, []).append((first, count))
        try:
            return IndexInfo(
                **{field.name: about[field.name] for field in _ABOUT},
                parts=tuple(
                    PartInfo(number, name, vectors, tuple(sorted(gone.get(number, ()))))
                    for number, name, vectors in parts
                ),
                faiss=_faiss_of(faiss[0]) if faiss else None,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise SearchError(database.damaged(self._path, error)) from error

    @contextlib.contextmanager
    def attached_to(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Lets a writer's connection read these tables; see `database.attached`."""
        with database.attached(connection, self._connection):
            yield

    def version(self) -> int:
        """A number that changes when another process has changed the tables."""
        return self._all("PRAGMA data_version")[0][0]

    def count(self) -> tuple[int, int]:
        """Number of segments, silent ones included, and of files."""
        (segments,) = self._all("SELECT count(*) FROM segments WHERE count IS NOT NULL")
        (files,) = self._all("SELECT count(*) FROM files")
        return segments[0], files[0]

    def stamp(self, key: int) -> tuple[int, int] | None:
        """The stamp that a segment's file had when it was embedded; None: it is not in the index.

        Args:
          key: Of the segment, see `database.segment_key`.
        """
        rows = self._all(
            "SELECT f.size, f.mtime_ns FROM segments s JOIN files f ON f.id = s.file "
            "WHERE s.key = ? AND s.count IS NOT NULL",
            [key],
        )
        return rows[0] if rows else None

    def segments(self, ids: Iterable[int]) -> dict[int, Segment]:
        """The names of segments, by their ids."""
        found = {}
        for marks, group in database.in_groups(sorted(set(ids))):
            for row in self._all(f"{_SEGMENT} WHERE s.id IN ({marks})", group):
                found[row[0]] = _segment_of(*row)
        return found

    def recordings_of(self, path: str) -> set[int]:
        """Numbers of the recordings that a file belongs to; empty if it is not in the index."""
        rows = self._all(
            "SELECT DISTINCT s.recording FROM folders o JOIN files f ON f.folder = o.id "
            "JOIN segments s ON s.file = f.id "
            "WHERE o.path = CAST(? AS TEXT) AND f.name = CAST(? AS TEXT)",
            database.split_path(path),
        )
        return {row[0] for row in rows}

    def segments_of_recordings(self, recordings: Iterable[int]) -> list[int]:
        """Ids of the segments of recordings, by recording, file and time."""
        ids: list[int] = []
        for marks, group in database.in_groups(sorted(set(recordings))):
            ids += _firsts(
                self._all(
                    f"SELECT id FROM segments WHERE recording IN ({marks}) "
                    "ORDER BY recording, file, start_seconds, id",
                    group,
                )
            )
        return ids

    def places(self, ids: Sequence[int]) -> list[Place]:
        """Where the vectors of segments are now, in the order of `ids`; silent ones are nowhere."""
        found = {}
        for marks, group in database.in_groups(ids):
            for row in self._all(
                f"SELECT id, part, first, count FROM segments WHERE id IN ({marks}) AND count > 0",
                group,
            ):
                found[row[0]] = Place(*row)
        return [found[number] for number in ids if number in found]

    def segments_with_label(self, label: str) -> list[int]:
        """Ids of the segments that have a label."""
        sets = self._all("SELECT id, text FROM labels")
        wanted = [number for number, text in sets if label in text.split(";")]
        ids: list[int] = []
        for marks, group in database.in_groups(wanted):
            ids += _firsts(
                self._all(
                    f"SELECT id FROM segments WHERE labels IN ({marks}) AND count IS NOT NULL",
                    group,
                )
            )
        return sorted(ids)

    def labels(self) -> dict[str, int]:
        """Every label of the index, and how many segments have it."""
        found: dict[str, int] = {}
        for text, count in self._all(
            "SELECT l.text, count(*) FROM segments s JOIN labels l ON l.id = s.labels "
            "WHERE s.count IS NOT NULL GROUP BY l.id"
        ):
            for label in filter(None, text.split(";")):
                found[label] = found.get(label, 0) + count
        return found

    def every_segment(self) -> np.ndarray:
        """All segments by their ids: [n] of `id`, `file`, `recording` and `labels`, ids too."""
        fields = np.dtype([(name, "<i8") for name in ("id", "file", "recording", "labels")])
        with database.errors_named(self._path):
            rows = self._connection.execute(
                "SELECT id, file, recording, labels FROM segments WHERE count IS NOT NULL"
            )
            return np.fromiter(rows, fields)

    def every_file(self) -> dict[int, tuple[str, str | None]]:
        """Id of a file → its path, and when it began, ISO 8601 (None: it is not known)."""
        rows = self._all(
            "SELECT f.id, o.path || f.name, f.recorded_at FROM files f "
            "JOIN folders o ON o.id = f.folder"
        )
        return {number: (path, recorded_at) for number, path, recorded_at in rows}

    def recording_names(self, recordings: Iterable[int]) -> dict[int, str]:
        """Names of recordings, by their numbers."""
        found: dict[int, str] = {}
        for marks, group in database.in_groups(sorted(set(recordings))):
            found |= self._all(f"SELECT id, name FROM recordings WHERE id IN ({marks})", group)
        return found

    def label_sets(self) -> dict[int, tuple[str, ...]]:
        """What `labels` of `every_segment` stand for."""
        rows = self._all("SELECT id, text FROM labels")
        return {number: tuple(filter(None, text.split(";"))) for number, text in rows}

    def matching(self, only: SoundFilter) -> np.ndarray:
        """The segments of which a filter may take a vector.

        Args:
          only: The filter. Its paths are decided here; a segment may have vectors outside its
            times.

        Returns:
          [n] of `id` and, if the filter asks for times, `clock`: the microsecond since 1970 at
          which the segment's file begins.
        """
        if not only.needs_clock:
            return self._array(f"{_SEGMENTS_OF_FILES} WHERE {_path_condition(only)}", only)
        condition = self._clock_condition(only)
        if only.paths:
            condition += f" AND id IN ({_SEGMENTS_OF_FILES} WHERE {_path_condition(only)})"
        return self._array(f"SELECT id, clock FROM segments WHERE {condition}", only)

    def _array(self, statement: str, only: SoundFilter) -> np.ndarray:
        def takes_path(path: bytes) -> bool:
            return only.takes_path(os.fsdecode(path))

        fields = [("id", "<i8"), ("clock", "<i8")][: 2 if only.needs_clock else 1]
        with database.errors_named(self._path):
            self._connection.create_function("takes_path", 1, takes_path, deterministic=True)
            parameters = [*map(database.text, _globs(only))]
            rows = self._connection.execute(statement, parameters)
            return np.fromiter(rows, np.dtype(fields))

    def _clock_condition(self, only: SoundFilter) -> str:
        """What segments may have a vector at a time that a filter takes; numbers, no texts."""
        conditions = ["clock_first IS NOT NULL"]
        if only.before:
            conditions.append(f"clock_first < {clock.microseconds(only.before)}")
        if only.after:
            after = clock.microseconds(only.after)
            longest = self._all("SELECT value FROM about WHERE name = 'longest'") or [(0,)]
            # The second follows from the third, and lets SQLite begin there.
            conditions.append(f"clock_first >= {after - longest[0][0]} AND clock_last >= {after}")
        if only.hours:
            ranges = []
            for begin, end in only.hours:
                length = (end - begin) * _MINUTE % _DAY or _DAY
                since = f"((clock_first - {begin * _MINUTE}) % {_DAY} + {_DAY}) % {_DAY}"
                ranges.append(f"{since} < {length} OR {since} + clock_last - clock_first >= {_DAY}")
            conditions.append(f"({' OR '.join(ranges)})")
        return " AND ".join(conditions)

    def all_compared(self) -> bool:
        """Whether no recording waits to be compared with the others."""
        return not self._all("SELECT 1 FROM outlines WHERE NOT compared LIMIT 1")

    def descriptors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What recordings sound like in short.

        Returns:
          int64[n] ids of their segments, ascending; bool[n], whether each was compared already;
          uint8[n, DESCRIPTOR], see `outline.Outline.descriptor`.
        """
        rows = self._all("SELECT segment, compared, descriptor FROM outlines ORDER BY segment")
        ids = np.array([row[0] for row in rows], np.int64)
        compared = np.array([row[1] for row in rows], bool)
        content = np.frombuffer(b"".join(row[2] for row in rows), np.uint8)
        return ids, compared, content.reshape(len(rows), -1 if rows else 0)

    def outline(self, segment: int) -> Outline:
        """What a segment that has an outline sounds like."""
        ((start, length, levels),) = self._all(
            "SELECT start, length, levels FROM outlines WHERE segment = ?", [segment]
        )
        return Outline(start, length, np.frombuffer(levels, np.uint8).reshape(-1, BANDS))

    def duplicates(self) -> list[Duplicate]:
        """All segments that are the same recording, by pairs."""
        rows = self._all("SELECT * FROM duplicates ORDER BY first, second")
        return [Duplicate(*row) for row in rows]

    def copies(self) -> dict[int, list[int]]:
        """Segments that are the same recording: the id of each → all of its group, in order."""
        group: dict[int, list[int]] = {}
        for first, second in self._all("SELECT first, second FROM duplicates ORDER BY 1, 2"):
            one, other = group.setdefault(first, [first]), group.setdefault(second, [second])
            if one is not other:
                one += other
                group |= dict.fromkeys(other, one)
        return {segment: sorted(members) for segment, members in group.items()}

    def constant(self, name: str) -> tuple[int, bytes] | None:
        """Version and content of a constant that `index_writer.Writer` stored; None: it is new."""
        rows = self._all("SELECT version, blob FROM constants WHERE name = ?", [name])
        return rows[0] if rows else None


_ABOUT = [field for field in dataclasses.fields(IndexInfo) if field.name not in ("parts", "faiss")]


def read_info(folder: str) -> IndexInfo:
    """What an index is of, and its parts.

    Raises:
      SearchError: There is no index, or it is damaged.
    """
    tables = Tables.open(folder)
    try:
        return tables.info()
    finally:
        tables.close()


def exists(folder: str) -> bool:
    """Whether a folder holds an index, of this version or an earlier one."""
    names = (database.DATABASE_FILE, earlier_format.LIST_FILE)
    return any(os.path.exists(os.path.join(folder, name)) for name in names)


def _segment_of(
    number: int, path: str, recording: int, recording_id: str, labels: str, recorded_at: str | None
) -> Segment:
    began = datetime.datetime.fromisoformat(recorded_at) if recorded_at else None
    split = tuple(labels.split(";")) if labels else ()
    return Segment(number, path, recording, recording_id, split, began)


def _faiss_of(row: tuple) -> FaissInfo:
    file, parts, *rest = row
    return FaissInfo(file, tuple(map(int, parts.split(","))), *rest)


def _firsts(rows: list[tuple]) -> list[int]:
    return [row[0] for row in rows]


def _globs(only: SoundFilter) -> list[str]:
    """Patterns of whole paths that SQLite's GLOB reads as Python does."""
    if any("[" in pattern for pattern in only.paths):
        return []
    return [path if os.path.isabs(path) else f"*/{path}" for path in only.paths]


def _path_condition(only: SoundFilter) -> str:
    """What files a filter takes; its parameters are `_globs`."""
    globs = _globs(only)
    if not globs:
        return "takes_path(CAST(o.path || f.name AS BLOB))"
    # `A/*` takes all below A/, so the folder decides.
    return " OR ".join(
        "o.path GLOB CAST(? AS TEXT)"
        if glob.endswith("/*")
        else "o.path || f.name GLOB CAST(? AS TEXT)"
        for glob in globs
    )
