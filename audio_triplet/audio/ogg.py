"""Where a seek in an Ogg file is safe, which libsndfile does not report."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from audio_triplet.audio.decoder import OnTruncated, Truncated, Undecodable
from audio_triplet.audio.files import read_at

_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
_OPUS_GRANULE_RATE = 48_000


@dataclass(frozen=True)
class OggStream:
    """Metadata of an Ogg file that exact seeking needs.

    Attributes:
      safe_granule: Granule position (end of the last packet) of a page before the last two; None
        where the structure is not that of one plain stream, and only the start is safe.
      pre_skip: Granules before the first frame (Opus).
      granule_rate: Granules per second; None for the stream's own rate (Vorbis, FLAC).
    """

    safe_granule: int | None
    pre_skip: int = 0
    granule_rate: int | None = None

    def is_proven(self, length: int | None, frames: int, rate: int) -> bool:
        """Whether a length counted from the packets (`ogg_pages`) is that of the decoder."""
        if length is None:
            return False
        return frames == (length - self.pre_skip) * rate // (self.granule_rate or rate)

    def safe_target(self, frame: int, rate: int) -> int:
        """The frame to seek to, in order to read on to `frame`."""
        if self.safe_granule is None:
            return 0
        safe = (self.safe_granule - self.pre_skip) * rate // (self.granule_rate or rate)
        return frame if frame < safe else max(0, safe - 1)


@dataclass(frozen=True)
class _Page:
    """The fields of a page's header that are needed here."""

    serial: int  # of its stream
    granule: int  # -1: no packet ends in this page
    flags: int

    @property
    def begins_stream(self) -> bool:
        return bool(self.flags & 2)


def read_stream(
    file: BinaryIO, size: int, name: str, on_truncated: OnTruncated
) -> OggStream | None:
    """Reads the first and last pages of an Ogg file.

    Args:
      file: Its bytes.
      size: How many.
      name: The file, for messages.
      on_truncated: Called if the last page is cut.

    Returns:
      What seeking needs; None for files that are not Ogg.

    Raises:
      Undecodable: The file is a chain of streams.
      Truncated: By `on_truncated`.
    """
    head = read_at(file, 0, 4096)
    if head[:4] != b"OggS":
        return None
    last_pages, is_cut = _last_pages(file, size)
    if is_cut:
        on_truncated(Truncated(name, "is truncated: its last Ogg page is cut", "fetch it again"))
    first_pages, _ = _pages_from(head, 0)
    serials = {page.serial for page in first_pages if page.begins_stream}
    if last_pages and last_pages[-1].serial not in serials and len(first_pages) > len(serials):
        raise Undecodable(
            name, "is a chain of Ogg streams; only the first can be read", "re-encode it"
        )
    if len(serials) != 1:
        return OggStream(None)
    granules = [page.granule for page in last_pages if page.granule >= 0]
    safe_granule = granules[-3] if len(granules) >= 3 else 0
    opus = head.find(b"OpusHead")
    if 0 <= opus <= len(head) - 12:
        pre_skip = struct.unpack_from("<H", head, opus + 10)[0]
        return OggStream(safe_granule, pre_skip, _OPUS_GRANULE_RATE)
    return OggStream(safe_granule)


def _last_pages(file: BinaryIO, size: int) -> tuple[list[_Page], bool]:
    """The pages at the end of a file, and whether the last one is cut."""
    window = 4 * _MAX_PAGE_BYTES
    tail = read_at(file, max(0, size - window), window)
    longest: list[_Page] = []
    is_cut = False
    # "OggS" may occur by chance, so a chain that ends where the file does is tried first.
    for match in re.finditer(b"OggS\0", tail):
        pages, end = _pages_from(tail, match.start())
        if end == len(tail):
            return pages, False
        is_cut = end > len(tail)
        longest = max(longest, pages, key=len)
    return longest, is_cut


def _pages_from(data: bytes, offset: int) -> tuple[list[_Page], int]:
    """Follows the chain of pages from `offset`.

    Returns:
      Each page that begins in `data`, and where the last one ends, which is beyond `data` for a
      page that is cut.
    """
    pages = []
    while data[offset : offset + 5] == b"OggS\0" and len(data) >= offset + 27:
        flags, granule, serial = struct.unpack_from("<BqI", data, offset + 5)
        n_segments = data[offset + 26]
        body = offset + 27 + n_segments
        pages.append(_Page(serial, granule, flags))
        if body > len(data):
            return pages, body
        offset = body + sum(data[offset + 27 : body])
    return pages, offset
