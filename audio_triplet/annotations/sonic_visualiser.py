"""Sonic Visualiser's annotation layers as CSV: instants, values and regions, in seconds.

With or without the header `TIME,VALUE,DURATION,LEVEL,LABEL`, of which a layer has what it needs.
"""

from audio_triplet.annotations import cells
from audio_triplet.annotations.moments import Moment, around, sound_of
from audio_triplet.errors import ManifestError

TITLE = "Sonic Visualiser layer"

_HEADER = ("TIME", "VALUE", "DURATION", "LEVEL", "LABEL")
_WITHOUT_HEADER = {
    1: ("TIME",),
    2: ("TIME", "LABEL"),
    4: ("TIME", "VALUE", "DURATION", "LABEL"),
    5: _HEADER,
}


def recognises(text: str) -> bool:
    """Whether a text begins as one."""
    first = text.lstrip("\r\n").split("\n", 1)[0].strip()
    cells_there = [cell.strip() for cell in first.split(",")]
    if cells_there[0] in ("TIME", "FRAME"):
        return all(cell in ("TIME", "FRAME", *_HEADER) for cell in cells_there)
    return cells_there[0].replace(".", "", 1).isdecimal() and len(cells_there) < 6


def read(path: str, text: str) -> list[Moment]:
    """What the layer marks; an instant becomes the patch around it.

    Raises:
      ManifestError: A layer of another kind, or in frames; a time that is none; or no sound that
        the layer belongs to.
    """
    rows = cells.rows_of(text, ",")
    header = tuple(cell.strip() for cell in rows[0][1])
    if header[0] == "FRAME":
        raise ManifestError(f"{path}: times in frames; export the layer with times in seconds")
    if header[0] == "TIME":
        rows = rows[1:]
    else:
        width = max(len(row) for _, row in rows)
        if width not in _WITHOUT_HEADER:
            raise ManifestError(
                f"{path}: three columns without names may be start, end and label, or time, value "
                "and label; write a first line start,end,label or TIME,VALUE,LABEL"
            )
        header = _WITHOUT_HEADER[width]
    sound, found = sound_of(path), []
    for line, row in rows:
        cell = dict(zip(header, (text.strip() for text in row), strict=False))
        start = cells.number(path, line, "TIME", cell.get("TIME", ""))
        length = cells.number(path, line, "DURATION", cell.get("DURATION", ""))
        if start != start:
            raise ManifestError(f"{path}, line {line}: no time; remove the line")
        begin, end = (start, start + length) if length > 0 else around(start)
        found.append(Moment(sound, begin, end, cell.get("LABEL", "")))
    return found
