"""Raven's selection tables.

A selection has a row for each view and channel it is drawn in. With several sound files `Begin Time
(s)` counts through all of them, and `File Offset (s)` from the start of `Begin File`.
"""

import math

from audio_triplet.annotations.cells import Table
from audio_triplet.annotations.moments import Moment, named_sound
from audio_triplet.errors import ManifestError

TITLE = "Raven selection table"

_LABELS = (
    "annotation",
    "annotations",
    "species",
    "label",
    "labels",
    "common_name",
    "scientific_name",
    "class",
    "category",
    "call",
    "call_type",
    "sound_type",
    "tag",
    "tags",
)
_OF_BIRDNET = ("common_name", "scientific_name", "species_code")  # one bird by three names


def recognises(header: list[str]) -> bool:
    """Whether a table with this header is one."""
    times = "begin_time_s" in header and ("end_time_s" in header or "delta_time_s" in header)
    marks = ("selection", "view", "channel", "low_freq_hz", "file_offset_s")
    return times and any(mark in header for mark in marks)


def read(table: Table) -> list[Moment]:
    """The selections, each once for each of its labels.

    Raises:
      ManifestError: A time that is none, or two columns of labels.
    """
    label = _label_column(table)
    found: dict[str, Moment] = {}  # by its text: NaN is not equal to itself
    sounds: dict[tuple[str, str], str] = {}
    for line, row in table.rows:
        begin = table.number(line, row, "begin_time_s")
        length = table.number(line, row, "end_time_s") - begin
        if math.isnan(length):
            length = table.number(line, row, "delta_time_s")
        offset = table.number(line, row, "file_offset_s")
        start = begin if math.isnan(offset) else offset
        if math.isnan(start) or math.isnan(length):
            raise ManifestError(f"{table.path}, line {line}: a selection without times; remove it")
        names = (table.cell(row, "begin_path"), table.cell(row, "begin_file"))
        if names not in sounds:
            sounds[names] = named_sound(table.path, names)
        end = table.number(line, row, "end_time_s")
        if start != begin or math.isnan(end):
            # Many digits that are taken from each other leave a rest in the last one.
            end = round(start + length, 9)
        moment = Moment(
            sounds[names],
            start,
            end,
            table.cell(row, label) if label else "",
            table.number(line, row, "low_freq_hz"),
            table.number(line, row, "high_freq_hz"),
            table.number(line, row, "score", "confidence"),
        )
        found[repr(moment)] = moment
    return list(found.values())


def _label_column(table: Table) -> str:
    """The column of labels; "" if there is none."""
    there = [name for name in table.header if name in _LABELS]
    if len(there) > 1 and all(name in _OF_BIRDNET for name in there):
        return "common_name"
    if len(there) > 1:
        titles = [table.titles[table.header.index(name)] for name in there]
        raise ManifestError(
            f"{table.path}: columns {titles[0]!r} and {titles[1]!r} may both be the labels; rename "
            "one of them to Annotation and remove the other"
        )
    return there[0] if there else ""
