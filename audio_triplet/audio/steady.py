"""Whether the packets of a file have one length, and time stamps that say their numbers.

Only then a seek by FFmpeg is known to land where it should, see `pyav`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from audio_triplet.audio.files import InputFile
from audio_triplet.audio.known import Known

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

# The first and the last packets may hold less sound.
_FEW_PACKETS = 4


class Packets(NamedTuple):
    """Packets of one length, whose time stamps say their numbers.

    Attributes:
      first: The first one's time stamp.
      number: How many.
    """

    first: int
    number: int


_known: Known[Packets | None] = Known(10_000)  # None: time stamps say nothing


def packets_of(
    file: InputFile,
    container: InputContainer,
    track: AudioStream,
    length: int,
    unit: float,
    rate: int,
) -> Packets | None:
    """The packets of a track if they are steady; looked for once a file.

    Args:
      file: The file.
      container: It, opened by FFmpeg; where it stands afterwards is anywhere.
      track: The track.
      length: Frames of a packet.
      unit: Packets per unit of time stamps.
      rate: Frames per second.

    Returns:
      None: they are not.
    """

    def find() -> Packets | None:
        found = _of_table(container, track, unit)
        return _by_reading(container, track, length, unit, rate) if found is None else found

    return _known.get(file.descriptor(), find)


def _of_table(container: InputContainer, track: AudioStream, unit: float) -> Packets | None:
    """By the table of an MP4 file that is not in fragments; none of its packets is read."""
    # What an Opus packet holds its time stamp does not know where it is damaged.
    if not container.format.name.startswith("mov") or track.codec_context.name == "opus":
        return None
    container.seek(0, stream=track)
    first = next(container.demux(track)).pts
    stamps = np.fromiter((entry.timestamp for entry in track.index_entries), np.int64)
    if first is None or track.duration is None or first not in stamps:
        return None
    stamps = stamps[int(np.flatnonzero(stamps == first)[0]) :]
    # Of a file in fragments the table holds those that were met.
    if abs(track.duration * unit - len(stamps)) > _FEW_PACKETS:
        return None
    if (np.rint((stamps - first) * unit) != np.arange(len(stamps))).any():
        return None
    return Packets(first, len(stamps))


def _by_reading(
    container: InputContainer, track: AudioStream, length: int, unit: float, rate: int
) -> Packets | None:
    """By reading all packets."""
    container.seek(0, stream=track)
    first, count = 0, 0
    for packet in container.demux(track):
        if packet.size:
            if packet.pts is None:
                return None
            if track.codec_context.name == "opus" and opus_frames(packet, rate) != length:
                return None  # by damage: its time stamps do not know
            first = first if count else packet.pts
            if round((packet.pts - first) * unit) != count:
                return None
            count += 1
    return Packets(first, count) if count else None


def opus_frames(packet: Packet, rate: int) -> int:
    """How many frames an Opus packet decodes to, by its first bytes (RFC 6716, section 3.1).

    Args:
      packet: The packet.
      rate: Frames per second.
    """
    head = memoryview(packet)[:2]
    mode, code = head[0] >> 3, head[0] & 3
    if mode < 12:
        length = (480, 960, 1920, 2880)[mode & 3]
    elif mode < 16:
        length = (480, 960)[mode & 1]
    else:
        length = 120 << (mode & 3)
    count = (1, 2, 2, head[-1] & 63)[code]
    return length * count * rate // 48_000
