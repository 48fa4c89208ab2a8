"""The pages of an Ogg stream: its length, its links, and where a seek is safe."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from audio_triplet.errors import AudioError

OGG_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
OPUS_GRANULE_RATE = 48_000


# --- containers: what must be known beyond what libsndfile tells ---------------------------------


def read_at(file: BinaryIO, offset: int, n_bytes: int) -> bytes:
    file.seek(offset)
    parts = []
    while n_bytes > 0 and (part := file.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


@dataclass(frozen=True)
class Ogg:
    """The little of an Ogg file that exact seeking needs.

    Attributes:
        safe_granule: granule position (end of the last packet) of a page before the last two; None
            where the structure is not that of one plain stream, and only the start is safe.
        pre_skip: granules before the first frame (Opus).
        granule_rate: granules per second; None for the stream's own rate (Vorbis, FLAC).
    """

    safe_granule: int | None
    pre_skip: int = 0
    granule_rate: int | None = None

    def safe_target(self, frame: int, rate: int) -> int:
        """The frame to seek to, in order to read on to `frame`."""
        if self.safe_granule is None:
            return 0
        safe = (self.safe_granule - self.pre_skip) * rate // (self.granule_rate or rate)
        return frame if frame < safe else max(0, safe - 1)


def _ogg_pages(data: bytes, offset: int) -> tuple[list[tuple[int, int, int]], int]:
    """Follows the chain of pages from `offset`.

    Returns:
        Of each page that begins in `data` (serial, granule position, flags), and where the last
        one ends, which is beyond `data` for a page that is cut.
    """
    pages = []
    while data[offset : offset + 5] == b"OggS\0" and len(data) >= offset + 27:
        flags, granule, serial = struct.unpack_from("<BqI", data, offset + 5)
        n_segments = data[offset + 26]
        body = offset + 27 + n_segments
        pages.append((serial, granule, flags))
        if body > len(data):
            return pages, body
        offset = body + sum(data[offset + 27 : body])
    return pages, offset


def look_at_ogg(file: BinaryIO, size: int, name: str) -> Ogg | None:
    """Looks at the first and last pages of an Ogg file; None for other files.

    Raises:
        AudioError: the last page is cut, or the file is a chain of streams.
    """
    head = read_at(file, 0, 4096)
    if head[:4] != b"OggS":
        return None
    window = 4 * OGG_MAX_PAGE_BYTES
    start = max(0, size - window)
    tail = read_at(file, start, window)
    cut = False
    chain: list[tuple[int, int, int]] = []
    # "OggS" may occur by chance, so the chain that ends where the file does is looked for first.
    for match in re.finditer(b"OggS\0", tail):
        pages, end = _ogg_pages(tail, match.start())
        if end == len(tail):
            chain, cut = pages, False
            break
        cut = end > len(tail)
        chain = max(chain, pages, key=len)
    if cut:
        raise AudioError(name, "is truncated: its last Ogg page is cut", "fetch it again")
    first_pages, _ = _ogg_pages(head, 0)
    serials = {serial for serial, _, flags in first_pages if flags & 2}  # 2: begins a stream
    if chain and chain[-1][0] not in serials and len(first_pages) > len(serials):
        raise AudioError(
            name, "is a chain of Ogg streams, of which only the first can be read", "re-encode it"
        )
    granules = [granule for _, granule, _ in chain if granule >= 0]  # -1: no packet ends here
    if len(serials) != 1:
        return Ogg(None)
    if len(granules) >= 3:
        safe_granule = granules[-3]
    else:
        safe_granule = 0
    opus = head.find(b"OpusHead")
    if 0 <= opus <= len(head) - 12:
        return Ogg(safe_granule, struct.unpack_from("<H", head, opus + 10)[0], OPUS_GRANULE_RATE)
    return Ogg(safe_granule)
