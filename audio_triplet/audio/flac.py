"""What libsndfile does not report of a FLAC file: whether it was cut out of a longer one."""

from __future__ import annotations

from typing import BinaryIO

from audio_triplet.audio.files import read_at

_MOST_BLOCKS = 1000


def begins_late(file: BinaryIO) -> bool:
    """Whether the first frame is not the first of its stream.

    What is cut without decoding (`ffmpeg -ss 3 -c copy`) keeps the numbers of its frames, and the
    length of the whole in its header.
    """
    if read_at(file, 0, 4) != b"fLaC":
        return False
    offset = 4
    for _ in range(_MOST_BLOCKS):
        block = read_at(file, offset, 4)
        if len(block) < 4:
            return False
        offset += 4 + int.from_bytes(block[1:], "big")
        if block[0] & 0x80:  # the last one
            break
    frame = read_at(file, offset, 5)
    return len(frame) == 5 and frame[0] == 0xFF and frame[1] >> 1 == 0x7C and frame[4] != 0
