"""WAV files that are sound but for their chunks: what recorders leave when their battery dies.

*   A `data` chunk of 0 bytes, with sound after it: the size was to be written at the end.
*   A chunk of an odd size without the byte that has to follow it: all after it lies one off.
"""

from __future__ import annotations

import functools
import struct
from typing import BinaryIO, cast

from absl import logging

from audio_triplet.audio.files import InputFile, read_at
from audio_triplet.audio.virtual_file import VirtualFile

_MOST_CHUNKS = 1000


class MendedFile(InputFile):
    """A WAV file with the same sound and a header of its `fmt ` and `data` chunks alone."""

    def __init__(self, original: InputFile, head: bytes, first_byte: int):
        self.name = original.name
        spliced = _Spliced(head, original.file, first_byte, original.size)
        self.file = cast(BinaryIO, spliced)
        self.size = len(head) + original.size - first_byte

    def close(self) -> None:
        """Nothing: the file belongs to another."""

    def descriptor(self) -> int | None:
        """None: the bytes are not those of the file."""
        return None


def mended(file: InputFile) -> MendedFile | None:
    """The file as it should be, if it is a WAV with one of these flaws; it is said, once a file.

    Args:
      file: The open file.

    Returns:
      Another view of it; None for other files, and where no sound follows.
    """
    head = read_at(file.file, 0, 12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    offset, layout, reason = 12, b"", ""
    for _ in range(_MOST_CHUNKS):
        name, size = _chunk(file, offset)
        body = offset + 8
        if name == b"fmt " and 16 <= size <= 4096:
            layout = read_at(file.file, body, size)
        elif name == b"data" and layout:
            if size == 0:
                if _is_chain(file, body):
                    return None
                reason = "its header says that it holds no sound"
                size = min(file.size - body, 0xFFFF_FFFF)
            if not reason:
                return None
            _say(file.name, reason)
            layout += bytes(len(layout) % 2)
            chunks = struct.pack("<4sI", b"fmt ", len(layout)) + layout
            chunks += struct.pack("<4sI", b"data", size)
            total = min(4 + len(chunks) + size, 0xFFFF_FFFF)
            return MendedFile(file, struct.pack("<4sI4s", b"RIFF", total, b"WAVE") + chunks, body)
        elif not _is_name(name):
            return None
        offset = body + size
        if size % 2:
            if _is_name(_chunk(file, offset + 1)[0]):
                offset += 1
            else:
                reason = f"its chunk {name.decode()!r} lacks a byte"
    return None


def _chunk(file: InputFile, offset: int) -> tuple[bytes, int]:
    """Name and size of the chunk at an offset; an empty name past the end."""
    header = read_at(file.file, offset, 8)
    return struct.unpack("<4sI", header) if len(header) == 8 else (b"", 0)


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _is_chain(file: InputFile, offset: int) -> bool:
    """Whether chunks, and nothing else, follow up to the end of the file."""
    for _ in range(_MOST_CHUNKS):
        if offset >= file.size:
            return True
        name, size = _chunk(file, offset)
        if not _is_name(name):
            return False
        offset += 8 + size + size % 2
        if offset > file.size + 1:
            return False
    return False


@functools.lru_cache(maxsize=10_000)
def _say(name: str, reason: str) -> None:
    logging.warning("%s: %s; read nevertheless, to its end", name, reason)


class _Spliced(VirtualFile):
    """Some bytes, then those of a file from an offset on."""

    def __init__(self, head: bytes, file: BinaryIO, first_byte: int, size: int):
        super().__init__(len(head) + size - first_byte)
        self._head, self._file, self._first = head, file, first_byte

    def _fill(self, buffer: memoryview, position: int) -> int:
        if position < len(self._head):
            data = self._head[position : position + len(buffer)]
        else:
            data = read_at(self._file, position - len(self._head) + self._first, len(buffer))
        buffer[: len(data)] = data
        return len(data)
