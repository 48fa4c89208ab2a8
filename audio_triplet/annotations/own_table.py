"""Moments as CSV for spreadsheets; text that one would take for a formula is guarded by "'"."""

import csv
import io
import re
from collections.abc import Sequence

from audio_triplet.annotations.cells import Table
from audio_triplet.annotations.moments import Moment, named_sound, shortest

TITLE = "table of labelled moments"

COLUMNS = ("path", "start_seconds", "end_seconds", "labels", "low_hz", "high_hz", "score")

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def guarded(text: str) -> str:
    """Text that a spreadsheet shows as it is, instead of computing it."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The text that `guarded` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def recognises(header: list[str]) -> bool:
    """Whether a table with this header is one."""
    return tuple(header) == COLUMNS


def read(table: Table) -> list[Moment]:
    """The moments.

    Raises:
      ManifestError: A time that is none.
    """
    return [
        Moment(
            named_sound(table.path, [unguarded(table.cell(row, "path"))]),
            table.number(line, row, "start_seconds"),
            table.number(line, row, "end_seconds"),
            unguarded(table.cell(row, "labels")),
            *(table.number(line, row, name) for name in ("low_hz", "high_hz", "score")),
        )
        for line, row in table.rows
    ]


def text_of(moments: Sequence[Moment]) -> str:
    """The moments as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for moment in moments:
        numbers = (moment.low_hz, moment.high_hz, moment.score)
        writer.writerow(
            [
                guarded(moment.path),
                shortest(moment.start_seconds),
                shortest(moment.end_seconds),
                guarded(moment.label),
                *map(shortest, numbers),
            ]
        )
    return text.getvalue()
