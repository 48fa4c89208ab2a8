"""Frames of an MP3: whether its length is stated, and where in the file a frame lies.

libsndfile reports neither, and looks for a frame from the start on, each time.
"""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO, NamedTuple

import numpy as np

from audio_triplet.audio.files import read_at
from audio_triplet.audio.known import Known

_HEAD = 4096  # of a file: taggers leave some padding before the first frame

# Bytes from a frame's start to its Xing header: by version and number of channels.
_BEFORE_XING = (36, 21, 13)
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_RATES = (44_100, 48_000, 32_000)  # of MPEG 1; of 2 half as many, of 2.5 a quarter
_EVERY = 32  # frames, of which one is kept in mind
_BLOCK = 1 << 20


class Frames(NamedTuple):
    """Where frames lie.

    Attributes:
      first: Byte of the first frame, which holds the Xing header and no sound.
      xing: Byte of that header in it.
      samples: Of each.
      offsets: int64[n], bytes of every 32nd frame behind it.
    """

    first: int
    xing: int
    samples: int
    offsets: np.ndarray


_known: Known[Frames | None] = Known(1_000)


class Entry(NamedTuple):
    """Where decoding may begin.

    Attributes:
      head: A first frame to put before it, which says how the sound is coded, and how much is left.
      offset: Byte of a later frame.
      sample: Its first sample.
    """

    head: bytes
    offset: int
    sample: int


def states_length(file: BinaryIO) -> bool:
    """Whether the first frame of an MP3 is a Xing/Info header with a count of frames."""
    return _xing(file) is not None


def entry(file: BinaryIO, descriptor: int, sample: int) -> Entry | None:
    """The last frame that begins at a sample or before it, of every 32nd.

    Args:
      file: Its bytes.
      descriptor: The operating system's number of it; frames are looked for once a file.
      sample: Counted from the start of the sound.

    Returns:
      None where frames do not follow each other up to there.
    """
    frames = _known.get(descriptor, lambda: _frames(file))
    if frames is None:
        return None
    number = sample // (_EVERY * frames.samples)
    if not 0 < number < len(frames.offsets):
        return None
    offset = int(frames.offsets[number])
    head = bytearray(read_at(file, frames.first, int(frames.offsets[0]) - frames.first))
    flags, count = struct.unpack_from(">II", head, frames.xing + 4)
    struct.pack_into(">I", head, frames.xing + 8, max(0, count - number * _EVERY))
    if flags & 2:
        left = len(head) + os.fstat(descriptor).st_size - offset
        struct.pack_into(">I", head, frames.xing + 12, min(left, 0xFFFF_FFFF))
    return Entry(bytes(head), offset, number * _EVERY * frames.samples)


def _xing(file: BinaryIO) -> int | None:
    """The byte of a Xing/Info header that counts frames."""
    offset = 0
    while (head := read_at(file, offset, 10))[:3] == b"ID3" and len(head) == 10:
        # The tag's size has seven bits per byte; a tag may be followed by another.
        offset += 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
    frame = read_at(file, offset, _HEAD)
    found = re.search(rb"Xing|Info", frame)
    if found is None or len(frame) < found.end() + 4:
        return None
    counts = struct.unpack(">I", frame[found.end() : found.end() + 4])[0] & 1
    return offset + found.start() if counts else None


def _frames(file: BinaryIO) -> Frames | None:
    """Follows the frames from the first to the last."""
    xing = _xing(file)
    if xing is None:
        return None
    for before in _BEFORE_XING:
        first = xing - before
        head = read_at(file, first, 4) if first >= 0 else b""
        # Layer III, of any version but the reserved one.
        if len(head) == 4 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 8:
            break
    else:
        return None
    kind, rate = head[1] & 0xFE, head[2] & 0x0C
    sizes = [_size(head[1], byte) if byte & 0x0C == rate else 0 for byte in range(256)]
    offsets, position = [], first
    begin, block = first, b""
    number = -1  # the first holds no sound
    while True:
        at = position - begin
        if at + 4 > len(block):  # of a day's recording no more than a block is in memory
            begin, block, at = position, read_at(file, position, _BLOCK), 0
        if len(block) < 4 or block[at] != 0xFF or block[at + 1] & 0xFE != kind:
            break
        size = sizes[block[at + 2]]
        if not size:
            break
        if number >= 0 and not number % _EVERY:
            offsets.append(position)
        number += 1
        position += size
    samples = 1152 if kind & 0x18 == 0x18 else 576
    return Frames(first, before, samples, np.array(offsets, np.int64)) if offsets else None


def _size(version: int, byte: int) -> int:
    """Bytes of a frame by the second and third byte of its header; 0: it says nothing valid."""
    place = byte >> 2 & 3
    kbits = (_KBITS_1 if version & 0x18 == 0x18 else _KBITS_2)[byte >> 4]
    if place == 3 or not kbits:
        return 0
    rate = _RATES[place] // {0x18: 1, 0x10: 2, 0x00: 4}[version & 0x18]
    return (144_000 if version & 0x18 == 0x18 else 72_000) * kbits // rate + (byte >> 1 & 1)
