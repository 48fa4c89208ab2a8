"""BirdNET's results: its own CSV, that for R and that for Kaleidoscope.

Its Raven tables and Audacity tracks are read as those.
"""

from audio_triplet.annotations.cells import Table
from audio_triplet.annotations.moments import Moment, named_sound
from audio_triplet.errors import ManifestError

TITLE = "BirdNET result table"

_NAMES = ("common_name", "scientific_name")


def recognises(header: list[str]) -> bool:
    """Whether a table with this header is one."""
    own = ("start_s" in header and "end_s" in header) or ("start" in header and "end" in header)
    kaleidoscope = "in_file" in header and "offset" in header and "duration" in header
    return (
        "confidence" in header and any(name in header for name in _NAMES) and (own or kaleidoscope)
    )


def read(table: Table) -> list[Moment]:
    """The detections, labelled by the common name.

    Raises:
      ManifestError: A time that is none, or no sound that the table belongs to.
    """
    found = []
    sounds: dict[tuple[str, ...], str] = {}
    for line, row in table.rows:
        start = table.number(line, row, "start_s", "start", "offset")
        end = table.number(line, row, "end_s", "end")
        if end != end:
            end = start + table.number(line, row, "duration")
        if start != start or end != end:
            raise ManifestError(f"{table.path}, line {line}: a detection without times; remove it")
        parts = [table.cell(row, name) for name in ("indir", "folder", "in_file")]
        joined = "/".join(part for part in parts if part) if parts[2] else ""
        names = (table.cell(row, "file", "filepath", "begin_path"), joined, parts[2])
        if names not in sounds:
            sounds[names] = named_sound(table.path, names)
        found.append(
            Moment(
                sounds[names],
                start,
                end,
                table.cell(row, *_NAMES),
                score=table.number(line, row, "confidence"),
            )
        )
    return found
