"""What an index takes of another one's tables, chosen and written by whole sets.

The other's tables are attached to the connection as `other`, so rows go from one file to the other
without passing through Python. Numbers of the two differ: files are found by their paths, segments
and recordings by their keys, labels by their text.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import numpy as np

from audio_triplet.search import database
from audio_triplet.search.filling import Filler
from audio_triplet.search.index_format import PartInfo

_TABLES = ("taken_files", "taken", "taken_parts")

# `known`: the file's id here, NULL if it is new; `changed`: whether what is here of it is older.
_SCHEMA = """
CREATE TEMP TABLE taken_files (
  old INTEGER PRIMARY KEY, known INTEGER, changed INTEGER, size INTEGER, mtime_ns INTEGER,
  recorded_at TEXT
);
CREATE TEMP TABLE taken (
  number INTEGER PRIMARY KEY, old INTEGER, new INTEGER, key INTEGER, file INTEGER,
  start_seconds REAL, end_seconds REAL, recording INTEGER, labels INTEGER, part INTEGER,
  first INTEGER, count INTEGER, clock INTEGER, clock_first INTEGER, clock_last INTEGER
);
CREATE TEMP TABLE taken_parts (old INTEGER PRIMARY KEY, new INTEGER);
"""

_CHOOSE_FILES = """
INSERT INTO temp.taken_files
SELECT f.id, h.id, h.id IS NOT NULL AND (h.size, h.mtime_ns) != (f.size, f.mtime_ns),
  f.size, f.mtime_ns, f.recorded_at
FROM other.files f CROSS JOIN other.folders o ON o.id = f.folder
LEFT JOIN main.folders g ON g.path = o.path
LEFT JOIN main.files h ON h.folder = g.id AND h.name = f.name
WHERE h.id IS NULL OR h.mtime_ns < f.mtime_ns OR (h.size, h.mtime_ns) = (f.size, f.mtime_ns)
"""

# In the order of their vectors, silent ones last; those that are new here get the next ids.
_CHOOSE = """
INSERT INTO temp.taken
SELECT row_number() OVER own, s.id, coalesce(h.id, ? + sum(h.id IS NULL) OVER own),
  s.key, s.file, s.start_seconds, s.end_seconds, s.recording, s.labels,
  s.part, s.first, s.count, s.clock, s.clock_first, s.clock_last
FROM other.segments s CROSS JOIN temp.taken_files t ON t.old = s.file
LEFT JOIN main.segments h ON h.key = s.key
WHERE s.count IS NOT NULL AND (h.count IS NULL OR t.changed)
WINDOW own AS (ORDER BY s.part IS NULL, s.part, s.first, s.id ROWS UNBOUNDED PRECEDING)
"""

_FORGET_FILES = "DELETE FROM temp.taken_files WHERE old NOT IN (SELECT file FROM temp.taken)"

_OF_CHANGED_FILES = "file IN (SELECT known FROM temp.taken_files WHERE changed)"

# In the order in which segments name them first, as if these were added one by one.
_WRITE_NAMES = (
    """
    INSERT OR REPLACE INTO main.files
    SELECT h.id, h.folder, h.name, t.size, t.mtime_ns, t.recorded_at
    FROM temp.taken_files t CROSS JOIN main.files h ON h.id = t.known WHERE t.changed
    """,
    """
    INSERT OR IGNORE INTO main.folders (path)
    SELECT o.path FROM temp.taken t CROSS JOIN other.files f ON f.id = t.file
    CROSS JOIN other.folders o ON o.id = f.folder GROUP BY o.id ORDER BY min(t.number)
    """,
    """
    INSERT INTO main.files (folder, name, size, mtime_ns, recorded_at)
    SELECT g.id, f.name, c.size, c.mtime_ns, c.recorded_at
    FROM (SELECT file, min(number) AS number FROM temp.taken GROUP BY file) t
    CROSS JOIN temp.taken_files c ON c.old = t.file
    CROSS JOIN other.files f ON f.id = t.file CROSS JOIN other.folders o ON o.id = f.folder
    CROSS JOIN main.folders g ON g.path = o.path
    WHERE c.known IS NULL ORDER BY t.number
    """,
    """
    INSERT OR IGNORE INTO main.recordings (key, name)
    SELECT r.key, r.name FROM temp.taken t CROSS JOIN other.recordings r ON r.id = t.recording
    GROUP BY r.id ORDER BY min(t.number)
    """,
    """
    INSERT OR IGNORE INTO main.labels (text)
    SELECT l.text FROM temp.taken t CROSS JOIN other.labels l ON l.id = t.labels
    GROUP BY l.id ORDER BY min(t.number)
    """,
)

_WRITE_SEGMENTS = """
INSERT OR REPLACE INTO main.segments
SELECT t.new, t.key, h.id, t.start_seconds, t.end_seconds, q.id, m.id,
  p.new, t.first, t.count, t.clock, t.clock_first, t.clock_last
FROM temp.taken t
CROSS JOIN other.files f ON f.id = t.file CROSS JOIN other.folders o ON o.id = f.folder
CROSS JOIN main.folders g ON g.path = o.path
CROSS JOIN main.files h ON h.folder = g.id AND h.name = f.name
CROSS JOIN other.recordings r ON r.id = t.recording CROSS JOIN main.recordings q ON q.key = r.key
CROSS JOIN other.labels l ON l.id = t.labels CROSS JOIN main.labels m ON m.text = l.text
LEFT JOIN temp.taken_parts p ON p.old = t.part
ORDER BY t.number
"""

_WRITE_OUTLINES = """
INSERT OR REPLACE INTO main.outlines
SELECT t.new, 0, u.descriptor, u.start, u.length, u.levels
FROM temp.taken t CROSS JOIN other.outlines u ON u.segment = t.old
"""

_RUN = np.dtype([(name, "<i8") for name in ("part", "first", "count", "segment")])


class Taking:
    """The segments that an index takes of another one.

    Attributes:
      segments: How many.
      parts: The other's parts that have vectors of them.
    """

    def __init__(self, connection: sqlite3.Connection):
        """Takes a writer's connection, to which the other's tables are attached; see `choosing`."""
        self._connection = connection
        with database.transaction(connection):  # of one moment of the other
            (last,) = connection.execute("SELECT max(id) FROM main.segments").fetchone()
            connection.execute(_CHOOSE_FILES)
            self.segments = connection.execute(_CHOOSE, [last or 0]).rowcount
            connection.execute(_FORGET_FILES)
            rows = connection.execute(
                "SELECT id, name, vectors FROM other.parts "
                "WHERE id IN (SELECT part FROM temp.taken) ORDER BY id"
            )
            self.parts = [PartInfo(*row) for row in rows]
        rows = connection.execute("SELECT part, first, count, new FROM temp.taken WHERE count > 0")
        self._runs = np.fromiter(rows, _RUN)

    def owners(self, part: PartInfo) -> tuple[np.ndarray, np.ndarray]:
        """Whose the vectors of one of the parts are here.

        Returns:
          int64[vectors] ids that segments have, or will have; and bool[vectors], which are taken.
        """
        runs = self._runs[self._runs["part"] == part.id]
        count = runs["count"]
        place = np.arange(count.sum()) + np.repeat(runs["first"] - np.cumsum(count) + count, count)
        owners, taken = np.zeros(part.vectors, np.int64), np.zeros(part.vectors, bool)
        owners[place], taken[place] = np.repeat(runs["segment"], count), True
        return owners, taken

    def write(self, filler: Filler, parts: dict[int, int]) -> bool:
        """Adds the segments; of files that have changed, what was here is gone.

        Args:
          filler: Of the transaction.
          parts: Ids of the other's parts → those that they have here.

        Returns:
          Whether all could be added; if not, the other index is damaged.
        """
        execute = self._connection.execute
        self._connection.executemany("INSERT INTO temp.taken_parts VALUES (?, ?)", parts.items())
        filler.replaced += filler.drop(_OF_CHANGED_FILES)
        for statement in _WRITE_NAMES:
            execute(statement)
        written = execute(_WRITE_SEGMENTS).rowcount
        execute(_WRITE_OUTLINES)
        longest = execute("SELECT max(clock_last - clock_first) FROM temp.taken").fetchone()
        filler.note_length(longest[0] or 0)
        return written == self.segments


@contextlib.contextmanager
def choosing(connection: sqlite3.Connection) -> Iterator[Taking]:
    """What to take of the index whose tables are attached, which must stay so in the block.

    A file that both hold in the same state gives the segments that are missing; of one that has
    changed all segments are those of the younger file.
    """
    try:
        connection.executescript(_SCHEMA)
        yield Taking(connection)
    finally:
        for table in _TABLES:
            connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
