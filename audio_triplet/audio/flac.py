"""What libsndfile does not report of a FLAC file: whether it was cut out of a longer one.

What is cut without decoding (`ffmpeg -ss 3 -t 5 -c copy`) keeps the numbers of its frames, and in
its header the length of the whole: it looks truncated, and is whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import BinaryIO

from audio_triplet.audio.files import read_at

_MOST_BLOCKS = 1000
_TAIL = 1 << 16  # of the file's end, where the last frame begins
_MOST_TAIL = 1 << 22
_MOST_TRIED = 3  # what looks like a frame's header may be sound
_MOST_HEADER = 16  # bytes of a frame's header
_FRAMES = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}}
_FRAMES |= {code: 256 << code - 8 for code in range(8, 16)}


def begins_late(file: BinaryIO) -> bool:
    """Whether the first frame is not the first of its stream."""
    offset = _first_frame(file)
    if offset is None:
        return False
    frame = read_at(file, offset, 5)
    return len(frame) == 5 and frame[0] == 0xFF and frame[1] >> 1 == 0x7C and frame[4] != 0


def block_size(file: BinaryIO) -> int:
    """The greatest number of samples in a frame of a FLAC file; 0 for other files."""
    return int.from_bytes(read_at(file, 10, 2), "big") if read_at(file, 0, 4) == b"fLaC" else 0


def length(file: BinaryIO, size: int, stated: int) -> int:
    """How many samples a FLAC file holds, by the number of its last frame.

    Args:
      file: Its bytes.
      size: How many.
      stated: Length by its header.

    Returns:
      `stated`, unless the file ends with a whole frame, whose checksum is right, of another number.
    """
    offset = _first_frame(file)
    if offset is None:
        return stated
    greatest = int.from_bytes(read_at(file, 10, 2), "big")  # samples in a frame
    start = max(offset, size - _TAIL)
    tail = read_at(file, start, size - start)
    if any(end == stated for _, end in _frames_from_behind(tail, greatest)):
        return stated
    # Another length than is stated, or the end is cut: the last frame decides, by its checksum.
    start = max(offset, size - _MOST_TAIL)
    tail = read_at(file, start, size - start)
    last = itertools.islice(_frames_from_behind(tail, greatest), _MOST_TRIED)
    return next((end for first, end in last if _checksum(tail[first:]) == 0), stated)


def _first_frame(file: BinaryIO) -> int | None:
    """Where the sound begins in a FLAC file; None for other files."""
    if read_at(file, 0, 4) != b"fLaC":
        return None
    offset = 4
    for _ in range(_MOST_BLOCKS):
        block = read_at(file, offset, 4)
        if len(block) < 4:
            return None
        offset += 4 + int.from_bytes(block[1:], "big")
        if block[0] & 0x80:  # the last one
            break
    return offset


def _frames_from_behind(data: bytes, block_size: int) -> Iterator[tuple[int, int]]:
    """Frames that seem to begin in `data`, the last one first: offset, sample after its last."""
    at = len(data)
    while (at := data.rfind(b"\xff", 0, at)) >= 0:
        header = data[at : at + _MOST_HEADER]
        if len(header) > 5 and header[1] >> 1 == 0x7C:
            end = end_of(header, block_size)
            if end is not None:
                yield at, end


def end_of(header: bytes, block_size: int) -> int | None:
    """The number of the sample after a frame, by its header; None if that is none."""
    lead = header[4]
    n_bytes = 1 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length()
    if lead >= 0x80 and not 2 <= n_bytes <= 7:
        return None
    number = lead if n_bytes == 1 else lead & (0x7F >> n_bytes)
    for byte in header[5 : 4 + n_bytes]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 63
    at, code, rate = 4 + n_bytes, header[2] >> 4, header[2] & 15
    wide = {6: 1, 7: 2}.get(code, 0)
    frames = int.from_bytes(header[at : at + wide], "big") + 1 if wide else _FRAMES.get(code, 0)
    at += wide + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if at >= len(header) or not frames or _crc(header[:at], 8, 0x07) != header[at]:
        return None
    first = number if header[1] & 1 else number * block_size
    return first + frames


def _checksum(data: bytes) -> int:
    """FLAC's CRC-16 of a frame; 0 for one that is whole, with its own checksum."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _TABLE[value >> 8 ^ byte]
    return value


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """A CRC of so many bits, bit by bit."""
    value, top = 0, 1 << bits - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & (1 << bits) - 1
    return value


_TABLE = [_crc(bytes([byte]), 16, 0x8005) for byte in range(256)]
