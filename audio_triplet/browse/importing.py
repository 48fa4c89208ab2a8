"""Labels from a manifest, from exported answers, or from a table of another program."""

from __future__ import annotations

import collections
import csv
import dataclasses
import os
import re
import tempfile
from collections.abc import Iterable

from audio_triplet.annotations.own_table import unguarded
from audio_triplet.browse.archive import Archive, Moment
from audio_triplet.browse.exporting import ANSWERS
from audio_triplet.browse.labels import Answer
from audio_triplet.browse.session import checked_label
from audio_triplet.errors import BrowseError, ManifestError

_VALUES = {"yes": True, "no": False, "unsure": None}
_TABLE_ENDING = re.compile(r"(\.labels?)?\.txt$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Imported:
    """What a table holds.

    Attributes:
      answers: Those about files of the index.
      unmatched: Names of sounds that are not in the index, each once.
      unmatched_rows: How many rows are about them, or have no label.
    """

    answers: list[Answer]
    unmatched: list[str]
    unmatched_rows: int


def read(
    archive: Archive, content: bytes, name: str, path: str = "", value: bool = True
) -> Imported:
    """Reads a table.

    Args:
      archive: The index.
      content: Of the table.
      name: Its file name.
      path: The sound that an Audacity table is of; empty: by the table's name.
      value: The answer that its labels are.

    Raises:
      ManifestError: It is in no format that is read; the message names the line.
      BrowseError: An Audacity table's sound is not known.
    """
    name = os.path.basename(name.replace("\\", "/")).replace("\0", "") or "table.csv"
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, name)
        with open(table, "wb") as file:
            file.write(content)
        try:
            rows = list(_own_rows(table) or _rows(archive, table, path, value))
        except ManifestError as error:
            message = str(error).replace(folder + os.sep, "")
            raise BrowseError(message, 415) from error
        return _matched(archive, rows, folder)


def _own_rows(table: str) -> list[Answer] | None:
    """The rows of exported answers; None: it is another table."""
    try:
        with open(table, encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != ANSWERS:
                return None
            found = []
            for row in reader:
                try:
                    path, start, end, label, value, who, when = row
                    moment = Moment(unguarded(path), float(start), float(end))
                    answer = _VALUES[value]
                except (ValueError, KeyError):
                    raise ManifestError(
                        f"{table}, line {reader.line_num}: is no answer; export it again"
                    ) from None
                found.append(Answer(moment, unguarded(label), answer, unguarded(who), when))
            return found
    except csv.Error:
        return None


def _rows(archive: Archive, table: str, path: str, value: bool) -> Iterable[Answer]:
    """The rows of any other table."""
    from audio_triplet.annotations import audacity, reading

    with open(table, "rb") as file:
        head = file.read(4096).decode("utf-8", "replace")
    if audacity.recognises("\n".join(head.splitlines()[:-1]) or head):
        _stand_in(archive, table, path)
    for row in reading.read(table).frame.itertuples():
        labels = [label.strip() for label in row.labels.split(";")]
        moment = Moment(path or row.path, float(row.start_seconds), float(row.end_seconds))
        for label in filter(None, labels):
            yield Answer(moment, label, value)


def _stand_in(archive: Archive, table: str, path: str) -> None:
    """Puts a file beside an Audacity table that is called as its sound: the table names none."""
    if not path:
        stem = _TABLE_ENDING.sub("", os.path.basename(table))
        found = [
            known
            for known in archive.paths
            if stem in (os.path.basename(known), os.path.splitext(os.path.basename(known))[0])
        ]
        if len(found) != 1:
            raise BrowseError(
                f"{os.path.basename(table)}: names no sound, and {len(found)} files of the index "
                "are called so; send the field path with it",
                409,
            )
        path = found[0]
    ending = os.path.splitext(path)[1]
    stem = os.path.splitext(table)[0]
    if stem + ending != table:
        with open(stem + ending, "xb"):
            pass


def _matched(archive: Archive, rows: list[Answer], folder: str) -> Imported:
    """The rows whose sound is in the index, by its path or by the end of it."""
    by_name: dict[str, list[str]] = collections.defaultdict(list)
    for path in archive.paths:
        by_name[os.path.basename(path)].append(path)
    places: dict[str, str | None] = {}
    answers, unmatched, rest = [], dict[str, None](), 0
    for row in rows:
        path = row.moment.path
        if path not in places:
            places[path] = _place(archive, by_name, path, folder)
        found = places[path]
        if found is None:
            unmatched[path.removeprefix(folder + os.sep)] = None
            rest += 1
            continue
        try:
            label = checked_label(row.label)
        except BrowseError:
            rest += 1
            continue
        start, end = row.moment.start_seconds, row.moment.end_seconds
        if end != end:  # to the end of the file
            numbers = archive.moments_of(found)
            end = float(archive.end[numbers].max()) if len(numbers) else start
        if not 0 <= start < end:
            rest += 1
            continue
        moment = Moment(found, start, end)
        answers.append(dataclasses.replace(row, moment=moment, label=label))
    return Imported(answers, list(unmatched), rest)


def _place(archive: Archive, by_name: dict[str, list[str]], path: str, folder: str) -> str | None:
    """The file of the index that a table means; None: none, or several."""
    if path in archive:
        return path
    parts = [
        part for part in re.split(r"[/\\]", path.removeprefix(folder)) if part not in ("", ".")
    ]
    if not parts:
        return None
    found = by_name.get(parts[-1], [])
    for count in range(2, len(parts) + 1):
        if len(found) <= 1:
            break
        ending = os.sep + os.path.join(*parts[-count:])
        longer = [known for known in found if known.endswith(ending)]
        if not longer:
            return None
        found = longer
    return found[0] if len(found) == 1 else None
