"""Truncation that no decoder reports: by the boxes of an MP4, by the chunks of a CAF."""

from __future__ import annotations

import struct

from audio_triplet.audio.files import InputFile, read_at

_MOST_BOXES = 10_000


def lacks_table(file: InputFile) -> bool:
    """Whether a file ends before what says where in it the sound lies, which is written last."""
    return _lacks_mp4_index(file) or missing_share_of_caf(file) > 0


def _lacks_mp4_index(file: InputFile) -> bool:
    """Whether an MP4 (M4A, MOV, 3GP) ends before its box `moov`, which recorders write last."""
    offset, is_mp4 = 0, False
    for _ in range(_MOST_BOXES):
        header = read_at(file.file, offset, 16)
        if len(header) < 8:
            return is_mp4
        size, name = struct.unpack(">I4s", header[:8])
        if name == b"moov":
            return False
        is_mp4 = is_mp4 or name == b"ftyp"
        if size == 1 and len(header) == 16:
            size = struct.unpack(">Q", header[8:])[0]
        if is_mp4 and (size == 0 or size > file.size - offset):  # 0: to the end
            return True
        if not is_mp4 or size < 8:
            return False
        offset += size
    return False


def missing_share_of_caf(file: InputFile) -> float:
    """The share of a CAF's sound that its file is too short for; 0 for other files."""
    if read_at(file.file, 0, 4) != b"caff":
        return 0.0
    offset = 8
    for _ in range(_MOST_BOXES):
        header = read_at(file.file, offset, 12)
        if len(header) < 12:
            return 0.0
        name, size = struct.unpack(">4sq", header)
        there = file.size - offset - 12
        if name == b"data":
            return 1 - there / size if size > there >= 0 else 0.0
        if size < 0 or size > there:
            return 0.0
        offset += 12 + size
    return 0.0
