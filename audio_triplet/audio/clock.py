"""When a recording was made, by the clock of its recorder: from chunks of a WAV or from its name.

Field recorders write the time into the file (GUANO, AudioMoth's comment, `bext`, `iXML`) or into
its name, or nowhere. What is no time, or an impossible one, is none; nothing here is an error.

By hand [D]: what is wanted of each chunk is one field, and it has to be found in files that are cut
or odd too. `metamoth` never returns from a WAV that is cut before its sound, and knows AudioMoth's
comment alone; `wavinfo` ends in an assertion where the size of the sound is not stated; `guano`
opens the sound too, by the module `wave`, and fails with it.
"""

from __future__ import annotations

import datetime
import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from audio_triplet.audio.files import InputFile, read_at
from audio_triplet.errors import AudioTripletError

_WAV_EXTENSIONS = (".wav", ".wave", ".bwf", ".rf64")
_MOST_CHUNKS = 1000
_MOST_BYTES = 1 << 16  # of a chunk; all that is read here stands at its beginning
_UNKNOWN_SIZE = 0xFFFFFFFF

# Date, time to the minute or second, zone. 20240612_053000, 2024-06-12T05-30-00Z, …_0530-0630.
_DATE_AND_TIME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<dash>[-_.:/]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"[-_T.@ $]{0,3}"
    r"(?P<hour>\d\d)(?P<colon>[-_.:h]?)(?P<minute>\d\d)"
    r"(?:(?P=colon)(?P<second>\d\d)(?!\d)(?:[.,](?P<fraction>\d{1,6})(?!\d))?"
    r"(?P<zone>Z(?![a-z])|[+-]\d\d:?\d\d(?!\d))?)?"
    r"(?!\d)",
    re.IGNORECASE,
)
# 240612-053000 (Zoom, Sony), 5207.240612053000 (SoundTrap).
_SHORT_YEAR = re.compile(
    r"(?:(?<!\d)(?P<a>\d{6})[-_](?P<b>\d{6})|(?<=\d\.)(?P<c>\d{6})(?P<d>\d{6}))(?!\d)"
)
_AUDIOMOTH_COMMENT = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4})"
    r"(?: \(UTC(?:([+-])(\d{1,2})(?::?(\d\d))?)?\))?"
)
# The first AudioMoths named a file by its Unix time, in hexadecimal.
_UNIX_TIME = re.compile(r"[0-9A-F]{8}")
_EPOCH = datetime.datetime(1970, 1, 1)
_FIRST_AUDIOMOTH = datetime.datetime(2017, 1, 1, tzinfo=datetime.UTC)


def recorded_at(path: str) -> datetime.datetime | None:
    """When a recording began, as its recorder's clock showed it.

    [D] First what recorders alone write (GUANO, AudioMoth's comment), then the name, then `bext`,
    `iXML` and `ICRD`, which editors renew when they save.

    Args:
      path: A sound file; need not be there, then its name alone counts.

    Returns:
      The time, with a zone where one is stated; None: it is not known.
    """
    chunks: dict[str, datetime.datetime] = {}
    if path.lower().endswith(_WAV_EXTENSIONS):
        try:
            with InputFile(path) as opened:
                chunks = _times_in_wav(opened.file, opened.size)
        except (OSError, AudioTripletError):
            pass  # whoever reads its sound says so
    of_recorder = chunks.get("guan") or chunks.get("ICMT")
    of_others = chunks.get("bext") or chunks.get("iXML") or chunks.get("ICRD")
    return of_recorder or time_in_name(path) or of_others


def time_in_name(path: str) -> datetime.datetime | None:
    """The time that a file's name states, or None.

    Args:
      path: The file; its folders do not count.
    """
    stem = os.path.splitext(os.path.basename(path))[0]
    for match in _DATE_AND_TIME.finditer(stem):
        if (found := _of_match(match)) is not None:
            return found
    for match in _SHORT_YEAR.finditer(stem):
        digits = match["a"] + match["b"] if match["a"] else match["c"] + match["d"]
        if (found := _moment("20" + digits[:2], *re.findall("..", digits[2:]))) is not None:
            return found
    if _UNIX_TIME.fullmatch(stem) and int(stem, 16) < 1 << 31:
        found = datetime.datetime.fromtimestamp(int(stem, 16), datetime.UTC)
        if found >= _FIRST_AUDIOMOTH:
            return found
    return None


def later(begin: datetime.datetime, seconds: float) -> datetime.datetime:
    """The time so many seconds into a recording; beyond the calendar the last that it has."""
    try:
        return begin + datetime.timedelta(seconds=seconds)
    except OverflowError:
        return datetime.datetime.max.replace(tzinfo=begin.tzinfo)


def microseconds(moment: datetime.datetime) -> int:
    """Microseconds since 1970 of what a clock shows, without its zone."""
    return (moment.replace(tzinfo=None) - _EPOCH) // datetime.timedelta(microseconds=1)


def _times_in_wav(file: BinaryIO, size: int) -> dict[str, datetime.datetime]:
    """What the chunks of a WAV say, by the chunk's name."""
    found: dict[str, datetime.datetime | None] = {}
    for name, content in _chunks(file, size):
        text = content.decode("utf-8", "replace")
        if name == b"guan":
            stated = re.search(r"^Timestamp:\s*(\S.*)$", text, re.MULTILINE)
            found["guan"] = _of_text(stated[1]) if stated else None
        elif name == b"bext":
            written = content[320:338].decode("latin-1")
            found["bext"] = _of_text(f"{written[:10]} {written[10:]}")
        elif name == b"iXML":
            date, time = (
                re.search(rf"<BWF_ORIGINATION_{field}>\s*([^<]*?)\s*<", text)
                for field in ("DATE", "TIME")
            )
            found["iXML"] = _of_text(f"{date[1]} {time[1]}") if date and time else None
        elif name == b"LIST" and content[:4] == b"INFO":
            comment = _AUDIOMOTH_COMMENT.search(text)
            found["ICMT"] = _of_audiomoth(comment) if comment else None
            created = re.search(r"ICRD....([^\0]*)", text, re.DOTALL)  # fmt: skip
            found["ICRD"] = _of_text(created[1]) if created else None
    # A clock that was never set begins in 1970.
    return {name: time for name, time in found.items() if time is not None and time.year > 1970}


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Names and beginnings of a WAV's chunks, but for its sound; as far as they can be followed."""
    head = read_at(file, 0, 12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return
    offset, data_size = 12, 0
    for _ in range(_MOST_CHUNKS):
        header = read_at(file, offset, 8)
        if len(header) < 8:
            return
        name, length = struct.unpack("<4sI", header)
        if name == b"data":
            if length in (0, _UNKNOWN_SIZE):
                length = data_size
            if not length:
                return  # its end is not stated
        else:
            content = read_at(file, offset + 8, min(length, _MOST_BYTES))
            if name == b"ds64" and len(content) >= 16:
                data_size = struct.unpack("<Q", content[8:16])[0]
            yield name, content
        offset += 8 + length + length % 2
        if offset >= size:
            return


def _of_text(text: str) -> datetime.datetime | None:
    match = _DATE_AND_TIME.match(text.strip())
    return _of_match(match) if match else None


def _of_match(match: re.Match[str]) -> datetime.datetime | None:
    zone = None
    stated = match["zone"]
    if stated:
        zone = datetime.UTC if stated in "Zz" else _zone(stated[0], stated[1:3], stated[-2:])
    fields = [match[name] for name in ("year", "month", "day", "hour", "minute")]
    fraction = int((match["fraction"] or "0").ljust(6, "0"))
    return _moment(*fields, match["second"] or "0", microsecond=fraction, zone=zone)


def _of_audiomoth(match: re.Match[str]) -> datetime.datetime | None:
    hour, minute, second, day, month, year, sign, hours, minutes = match.groups()
    zone = datetime.UTC if "(UTC" in match[0] else None
    if sign:
        zone = _zone(sign, hours, minutes or "0")
    return _moment(year, month, day, hour, minute, second, zone=zone)


def _zone(sign: str, hours: str, minutes: str) -> datetime.timezone | None:
    offset = datetime.timedelta(hours=int(hours), minutes=int(minutes))
    if offset > datetime.timedelta(hours=14):
        return None
    return datetime.timezone(-offset if sign == "-" else offset)


def _moment(
    *fields: str, microsecond: int = 0, zone: datetime.timezone | None = None
) -> datetime.datetime | None:
    """A time of year, month … second; None if there is no such time."""
    try:
        year, month, day, hour, minute, second = map(int, fields)
        return datetime.datetime(year, month, day, hour, minute, second, microsecond, zone)
    except ValueError:
        return None
