"""What people answered: one SQLite file, to which any number of tabs and processes may add.

Nothing is changed or deleted but the mark that an answer was taken back: the file holds every
answer, by whom and when. The answer that counts is the last one to a (path, span, label) that was
not taken back. What was added is on the disk when the call returns (WAL, `synchronous=FULL`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence

from audio_triplet.browse.archive import Moment
from audio_triplet.errors import BrowseError

_APPLICATION = 0x41546C62  # "ATlb": the file is ours, and no index
_VERSION = 1
# Answered moments of a label, or of a word, that are searched by: the latest.
MOST_OF_A_LABEL = 20

_WAIT_SECONDS = 30.0  # for another process that is writing

# `turn`: answers of one request, which are taken back together. `undone`: 1: taken back, 2: and
# cannot be given again. `change`: counts up with every change, so that a tab can ask what is new.
_SCHEMA = """
CREATE TABLE answers (
  number INTEGER PRIMARY KEY,
  path NOT NULL,
  start_seconds REAL NOT NULL,
  end_seconds REAL NOT NULL,
  label TEXT NOT NULL,
  value INTEGER CHECK (value IN (0, 1)),
  who TEXT NOT NULL,
  at TEXT NOT NULL,
  turn INTEGER NOT NULL,
  undone INTEGER NOT NULL DEFAULT 0,
  change INTEGER NOT NULL,
  request TEXT
);
CREATE UNIQUE INDEX by_request ON answers (request) WHERE request IS NOT NULL;
CREATE INDEX by_moment ON answers (path, start_seconds, end_seconds, label, undone, number);
CREATE INDEX by_turn ON answers (who, undone, turn);
CREATE INDEX by_change ON answers (change);
"""

_COLUMNS = "path, start_seconds, end_seconds, label, value, who, at"

# The rows that count: no later one to the same question that was not taken back.
_COUNTS = """
undone = 0 AND NOT EXISTS (
  SELECT 1 FROM answers AS later
  WHERE later.path = answers.path AND later.start_seconds = answers.start_seconds
    AND later.end_seconds = answers.end_seconds AND later.label = answers.label
    AND later.undone = 0 AND later.number > answers.number)
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer to whether a label holds of a moment.

    Attributes:
      moment: The part of a sound.
      label: The label.
      value: Whether it holds; None: heard, and not sure.
      who: Who said so.
      when: ISO 8601, UTC.
    """

    moment: Moment
    label: str
    value: bool | None
    who: str = ""
    when: str = ""

    def as_json(self) -> dict:
        """As the API has it."""
        return {
            "path": self.moment.path,
            "start_seconds": self.moment.start_seconds,
            "end_seconds": self.moment.end_seconds,
            "label": self.label,
            "value": self.value,
            "who": self.who,
            "when": self.when,
        }


class Labels:
    """The answers in a file, which is made if missing; any number of threads may use it.

    Attributes:
      path: The file.
    """

    def __init__(self, path: str):
        """Opens or makes the file.

        Raises:
          BrowseError: It is none of ours, of a later version, or cannot be written.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._set_up()
        except sqlite3.Error as error:
            raise BrowseError(
                f"{path}: cannot be used for labels ({error}); name a file that can be written "
                "by --labels"
            ) from error

    def _set_up(self) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("BEGIN IMMEDIATE")
        try:
            (application,) = run("PRAGMA application_id").fetchone()
            (version,) = run("PRAGMA user_version").fetchone()
            (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
            if tables == 0:
                for statement in _SCHEMA.split(";\n"):
                    run(statement)
                run(f"PRAGMA application_id = {_APPLICATION}")
                run(f"PRAGMA user_version = {_VERSION}")
            elif application != _APPLICATION:
                raise BrowseError(
                    f"{self.path}: is a database of another program; name another file by --labels"
                )
            elif version > _VERSION:
                raise BrowseError(
                    f"{self.path}: is of format {version}, this package reads {_VERSION}; "
                    "install a newer audio_triplet"
                )
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """A transaction, and the number of its change; on the disk at the end."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                (last,) = self._connection.execute("SELECT max(change) FROM answers").fetchone()
                yield self._connection, (last or 0) + 1
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise BrowseError(
                    f"{self.path}: cannot be written ({error}); nothing of this was stored, free "
                    "space or wait for the other process",
                    500,
                ) from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @property
    def version(self) -> int:
        """Counts up with every change, by whatever process."""
        with self._reading() as connection:
            return connection.execute("SELECT max(change) FROM answers").fetchone()[0] or 0

    def add(
        self, answers: Sequence[Answer], who: str, requests: Sequence[str | None] = ()
    ) -> list[Answer]:
        """Stores answers, all of them or none; they are on the disk at the end.

        Args:
          answers: What was answered.
          who: By whom, where an answer does not say.
          requests: For each an identifier of the caller's; one that was stored is not stored again.

        Returns:
          The answers as they are stored.

        Raises:
          BrowseError: They cannot be written.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        stored = []
        with self._writing() as (connection, change):
            for number, answer in enumerate(answers):
                request = requests[number] if requests else None
                answer = dataclasses.replace(answer, who=answer.who or who, when=answer.when or now)
                cursor = connection.execute(
                    f"INSERT OR IGNORE INTO answers ({_COLUMNS}, turn, change, request)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*_row(answer), change, change, request),
                )
                if not cursor.rowcount:
                    answer = _answer(
                        connection.execute(
                            f"SELECT {_COLUMNS} FROM answers WHERE request = ?", (request,)
                        ).fetchone()
                    )
                stored.append(answer)
            connection.executemany(  # what was taken back before cannot be given again
                "UPDATE answers SET undone = 2 WHERE undone = 1 AND who = ?",
                {(answer.who,) for answer in stored},
            )
        return stored

    def all(self, label: str | None = None) -> list[Answer]:
        """The answers that count, oldest first; of one label, if it is given."""
        return self._select(_COUNTS, label)

    def history(self, label: str | None = None) -> list[Answer]:
        """Every answer that was not taken back, oldest first, also those that changed since."""
        return self._select("undone = 0", label)

    def _select(self, condition: str, label: str | None) -> list[Answer]:
        of_label, values = ("", ()) if label is None else (" AND label = ?", (label,))
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM answers WHERE {condition}{of_label} ORDER BY number",
                values,
            ).fetchall()
        return [_answer(row) for row in rows]

    def since(self, change: int) -> tuple[list[Answer], list[Answer]]:
        """What has changed after a `version`.

        Returns:
          The answers that count now; and, with value None, those to questions that no longer have
          an answer.
        """
        with self._reading() as connection:
            questions = connection.execute(
                "SELECT DISTINCT path, start_seconds, end_seconds, label FROM answers"
                " WHERE change > ?",
                (change,),
            ).fetchall()
            found, removed = [], []
            for question in questions:
                row = connection.execute(
                    f"SELECT {_COLUMNS}, number FROM answers WHERE path = ? AND start_seconds = ?"
                    " AND end_seconds = ? AND label = ? AND undone = 0 ORDER BY number DESC",
                    question,
                ).fetchone()
                if row:
                    found.append((row[-1], _answer(row[:-1])))
                else:
                    removed.append(_answer((*question, None, "", "")))
        return [answer for _, answer in sorted(found, key=lambda pair: pair[0])], removed

    def undo(self, who: str) -> list[Answer]:
        """Takes back the answers of somebody's last request.

        Returns:
          What was taken back; nothing if there is nothing left.

        Raises:
          BrowseError: It cannot be written.
        """
        return self._mark(
            "SELECT max(turn) FROM answers WHERE who = ? AND undone = 0", who, undone=True
        )

    def redo(self, who: str) -> list[Answer]:
        """Gives again what was last taken back, unless something was answered since.

        Raises:
          BrowseError: It cannot be written.
        """
        return self._mark(
            "SELECT min(turn) FROM answers WHERE who = ? AND undone = 1", who, undone=False
        )

    def _mark(self, which: str, who: str, undone: bool) -> list[Answer]:
        with self._writing() as (connection, change):
            (turn,) = connection.execute(which, (who,)).fetchone()
            if turn is None:
                return []
            of_turn = ("WHERE turn = ? AND who = ? AND undone = ?", (turn, who, not undone))
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM answers {of_turn[0]} ORDER BY number", of_turn[1]
            ).fetchall()
            connection.execute(
                f"UPDATE answers SET undone = ?, change = ? {of_turn[0]}",
                (undone, change, *of_turn[1]),
            )
            return [_answer(row) for row in rows]


def _row(answer: Answer) -> tuple:
    value = None if answer.value is None else int(answer.value)
    return (
        _stored_path(answer.moment.path),
        answer.moment.start_seconds,
        answer.moment.end_seconds,
        answer.label,
        value,
        answer.who,
        answer.when,
    )


def _answer(row: Sequence) -> Answer:
    path, start, end, label, value, who, when = row
    moment = Moment(os.fsdecode(path), start, end)
    return Answer(moment, label, None if value is None else bool(value), who, when)


def _stored_path(path: str) -> str | bytes:
    """A path as text; one that is no UTF-8 as its bytes, for SQLite's text is UTF-8."""
    try:
        path.encode("utf-8")
        return path
    except UnicodeEncodeError:
        return os.fsencode(path)
