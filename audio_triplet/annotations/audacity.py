r"""Audacity's label tracks: start, end and text between tabs; after some, `\`, low and high Hz."""

import re
from collections.abc import Sequence

from audio_triplet.annotations import cells
from audio_triplet.annotations.moments import Moment, around, one_line, shortest, sound_of
from audio_triplet.errors import ManifestError

TITLE = "Audacity label track"

_NUMBER = r"-?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?"
_LINE = re.compile(rf"(?:{_NUMBER}|\\)\t{_NUMBER}(?:\t[^\r\n]*)?")


def recognises(text: str) -> bool:
    """Whether the first lines of a text are of one."""
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    return bool(lines) and all(_LINE.fullmatch(line) for line in lines)


def read(path: str, text: str) -> list[Moment]:
    """The labels; a point becomes the patch around it.

    Raises:
      ManifestError: A time that is none, or no sound that the track belongs to.
    """
    sound, found = sound_of(path), []
    for line, row in cells.rows_of(text, "\t", by_quotes=False):
        numbers = [cells.number(path, line, "a number", cell.strip()) for cell in row[1:2]]
        if row[0].strip() == "\\":
            if not found or len(row) < 3:
                raise ManifestError(
                    f"{path}, line {line}: frequencies of no label; remove the line"
                )
            last = found[-1]
            low, high = numbers[0], cells.number(path, line, "a number", row[2].strip())
            # -1 stands for none.
            nan = float("nan")
            low, high = (value if value >= 0 else nan for value in (low, high))
            found[-1] = Moment(
                last.path, last.start_seconds, last.end_seconds, last.label, low, high
            )
            continue
        start = cells.number(path, line, "the start", row[0].strip())
        if not numbers or start != start:
            raise ManifestError(f"{path}, line {line}: no start and end; remove the line")
        end = numbers[0]
        if end == start:
            start, end = around(start)
        found.append(Moment(sound, start, end, "\t".join(row[2:]).strip()))
    return found


def text_of(moments: Sequence[Moment]) -> str:
    """The moments of one sound as a track; what has no label shows its score."""
    lines = []
    for moment in moments:
        label = moment.label or (f"{moment.score:.3f}" if moment.score == moment.score else "")
        times = shortest(moment.start_seconds), shortest(moment.end_seconds)
        lines.append("\t".join([*times, one_line(label)]))
        if moment.low_hz == moment.low_hz or moment.high_hz == moment.high_hz:
            edges = [shortest(value) or "-1" for value in (moment.low_hz, moment.high_hz)]
            lines.append("\t".join(["\\", *edges]))
    return "".join(f"{line}\n" for line in lines)
