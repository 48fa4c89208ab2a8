"""Raven's selection tables.

A selection has a row for each view and channel it is drawn in. With several sound files `Begin Time
(s)` counts through all of them, and `File Offset (s)` from the start of `Begin File`.
"""

import math
import os
from collections.abc import Sequence

from audio_triplet.annotations.cells import Table, quoted
from audio_triplet.annotations.moments import Moment, named_sound, one_line, shortest
from audio_triplet.errors import ManifestError

TITLE = "Raven selection table"

_COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"),
    *("Low Freq (Hz)", "High Freq (Hz)", "Begin Path", "Begin File", "File Offset (s)"),
    *("Annotation", "Score"),
)
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


def text_of(moments: Sequence[Moment], sounds: dict[str, tuple[float, float]]) -> str:
    """The moments as a selection table; Raven opens the sounds in the order of their names.

    Args:
      moments: Of one sound or several, sorted by them.
      sounds: Seconds (NaN: not known) and sample rate of each. A moment without frequencies is
        given all of them, which Raven needs.
    """
    last: dict[str, float] = {}
    for moment in moments:
        last[moment.path] = max(moment.end_seconds, last.get(moment.path, 0.0))
    begins: dict[str, float] = {}
    after = 0.0
    for path, end in last.items():
        begins[path] = after
        seconds = sounds[path][0]
        after += end if math.isnan(seconds) else seconds
    lines = ["\t".join(_COLUMNS)]
    for number, moment in enumerate(moments, 1):
        start, before = moment.start_seconds, begins[moment.path]
        times = [start, moment.end_seconds]
        if before:
            times = [round(before + time, 9) for time in times]
        nyquist = sounds[moment.path][1] / 2
        cells = [
            *(str(number), "Spectrogram 1", "1"),
            *map(shortest, times),
            shortest(moment.low_hz) or "0.0",
            shortest(moment.high_hz) or shortest(nyquist),
            *(one_line(moment.path), one_line(os.path.basename(moment.path))),
            *(shortest(start), quoted(one_line(moment.label)), shortest(moment.score)),
        ]
        lines.append("\t".join(cells))
    return "".join(f"{line}\n" for line in lines)
