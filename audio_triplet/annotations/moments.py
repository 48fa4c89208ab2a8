"""A labelled moment, and how the sound file is found that it lies in."""

import dataclasses
import os
import re
from collections.abc import Iterable

from audio_triplet import storage
from audio_triplet.audio import is_audio
from audio_triplet.errors import ManifestError

# A point becomes a patch around it [D]: what the network sees.
POINT_SECONDS = 0.96

# What programs and people put between a sound's name and a table's ending.
_SUFFIXES = re.compile(
    r"(\.Table\.\d+|\.selections?|\.BirdNET|\.results?|\.selection\.table|[._ -]?labels?)+$",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Moment:
    """One label of one part of a sound.

    Attributes:
      path: The sound file.
      start_seconds: Where the part begins in it.
      end_seconds: Where it ends; NaN: with the file.
      label: Its label; "" if it has none.
      low_hz: Lower edge of what was marked; NaN if that is all frequencies.
      high_hz: Upper edge; NaN likewise.
      score: What a program gave it; NaN if nothing.
    """

    path: str
    start_seconds: float
    end_seconds: float
    label: str = ""
    low_hz: float = float("nan")
    high_hz: float = float("nan")
    score: float = float("nan")


def shortest(number: float) -> str:
    """The shortest text that is read as the same number; "" for NaN."""
    return "" if number != number else repr(float(number))


def one_line(text: str) -> str:
    """Text without tabs and line breaks, which end cells and rows."""
    return " ".join(text.splitlines()).replace("\t", " ")


def around(seconds: float) -> tuple[float, float]:
    """The part of a sound that a point stands for: start and end, seconds."""
    return max(0.0, seconds - POINT_SECONDS / 2), seconds + POINT_SECONDS / 2


def named_sound(table: str, names: Iterable[str]) -> str:
    """The sound file that a table names.

    Args:
      table: The table's file.
      names: What it says, the fullest first; any may be "", or of another computer.

    Returns:
      The first that is there, absolute or beside the table; else one of its last parts beside the
      table; else the first name as it stands, for whoever reads it to miss.
    """
    folder = os.path.dirname(os.path.abspath(table))
    names = [name.strip() for name in names if name.strip()]
    for name in names:
        if re.match(storage.URI, name):
            return name
        parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
        beside = [os.path.join(folder, *parts[first:]) for first in range(len(parts))]
        for path in [os.path.join(folder, name), *beside]:
            if os.path.isfile(path):
                return os.path.normpath(path)
    if not names:
        return sound_of(table)
    return os.path.join(folder, names[0])


def sound_of(table: str) -> str:
    """The sound file that a table belongs to by its own name, or as the only one beside it.

    Raises:
      ManifestError: There is none, or several.
    """
    folder, name = os.path.split(os.path.abspath(table))
    stem = os.path.splitext(name)[0]
    stems = {stem, os.path.splitext(stem)[0], _SUFFIXES.sub("", stem)}
    stems |= {os.path.splitext(other)[0] for other in stems if is_audio(other)}
    sounds = sorted(other for other in os.listdir(folder) if is_audio(other))
    same = [other for other in sounds if os.path.splitext(other)[0] in stems]
    exact = [other for other in sounds if other in stems]  # a.wav.txt, beside a.wav and a.mp3
    found = exact or same or (sounds if len(sounds) == 1 else [])
    if len(found) == 1:
        return os.path.join(folder, found[0])
    if found:
        raise ManifestError(
            f"{table}: belongs to {found[0]} or {found[1]}; move one of them elsewhere"
        )
    raise ManifestError(
        f"{table}: names no sound file, and none beside it is called {stem}; put it beside its "
        "sound, under the same name"
    )
