"""Whether an MP3 file states its length, which libsndfile does not report."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from audio_triplet.audio.files import read_at


def states_length(file: BinaryIO) -> bool:
    """Whether the first frame of an MP3 is a Xing/Info header with a count of frames."""
    offset = 0
    while (head := read_at(file, offset, 10))[:3] == b"ID3" and len(head) == 10:
        # The tag's size has seven bits per byte; a tag may be followed by another.
        offset += 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
    frame = read_at(file, offset, 4096)  # taggers leave some padding
    found = re.search(rb"Xing|Info", frame)
    if found is None or len(frame) < found.end() + 4:
        return False
    return bool(struct.unpack(">I", frame[found.end() : found.end() + 4])[0] & 1)
