"""Whether the pages of an Ogg file say truly where in the sound they lie.

A page states the position of its last sample (its "granule position"), and decoders seek by that.
In streams that were cut out of others, joined, or written carelessly it is not the number of
samples before it. So all packets are counted: their first bytes tell how long they are.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from audio_triplet.audio.files import read_at
from audio_triplet.audio.known import Known

_WINDOW = 1 << 20  # read at a time, many pages
_MAX_PAGE = 27 + 255 + 255 * 255
_MODE_BITS = 41  # of a mode at the end of Vorbis's set-up header
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_known: Known[int | None] = Known(10_000)  # lengths

# A packet → samples that it adds.
PacketSamples = Callable[[bytes], int]


def proven_length(file: BinaryIO, size: int) -> int | None:
    """The length of a Vorbis or Opus file of which every page ends at the sample that it says.

    The last page may say less than it holds: that is how a stream ends within a packet.

    Args:
      file: Its bytes. Of a local file, the answer is kept.
      size: How many.

    Returns:
      The last granule position (of Opus, at 48 kHz and with what decoders skip). None where a page
      says otherwise, and for several streams, missing or damaged pages, and other codecs.
    """
    descriptor: int | None = None
    with contextlib.suppress(OSError, AttributeError):  # no file of the operating system
        descriptor = file.fileno()

    def find() -> int | None:
        position = file.tell()
        length = _proven_length(file, size)
        file.seek(position)  # libsndfile reads on from there
        return length

    return _known.get(descriptor, find)


def _proven_length(file: BinaryIO, size: int) -> int | None:
    headers: list[bytes] = []  # the first packets of the stream, put together
    samples_of: PacketSamples | None = None
    n_headers, position, length = 3, 0, None
    open_head = b""  # of a packet that goes on in the next page
    for n_before, page in enumerate(_pages(file, size)):
        if page is None:
            return None
        flags, granule, number, packets, goes_on, is_last = page
        if number != n_before or bool(flags & 1) != bool(open_head):
            return None
        for index, packet in enumerate(packets):
            head = open_head + packet if index == 0 else packet
            if index == len(packets) - 1 and goes_on:
                open_head = head if samples_of is None else head[:2]
                break
            open_head = b""
            if samples_of is None:
                headers.append(head)
                if len(headers) == 1:
                    n_headers = 2 if head[:8] == b"OpusHead" else 3
                if len(headers) == n_headers:
                    samples_of = _opus_samples if n_headers == 2 else _vorbis_counter(headers)
                    if samples_of is None:
                        return None
            else:
                position += samples_of(head)
        if granule not in (-1, position) and not (is_last and 0 <= granule <= position):
            return None
        length = granule if is_last and granule >= 0 else None
    return length


def _pages(file: BinaryIO, size: int) -> Iterator[tuple | None]:
    """Each page's flags, granule, number, packets, whether the last packet goes on, is it the last.

    None, and the end, for what is no whole page with a true checksum of the first page's stream.
    """
    offset, window, start, serial = 0, b"", 0, None
    while offset < size:
        if offset - start + _MAX_PAGE > len(window) and start + len(window) < size:
            window, start = read_at(file, offset, _WINDOW), offset
        begin = offset - start
        if window[begin : begin + 5] != b"OggS\0" or len(window) < begin + 27:
            yield None
            return
        flags, granule, its_serial, number, checksum = struct.unpack_from(
            "<BqIII", window, begin + 5
        )
        body = begin + 27 + window[begin + 26]
        lacing = window[begin + 27 : body]
        end = body + sum(lacing)
        serial = its_serial if serial is None else serial
        data = window[begin : begin + 22] + bytes(4) + window[begin + 26 : end]
        if end > len(window) or its_serial != serial or _checksum(data) != checksum:
            yield None
            return
        packets, length = [], 0
        for value in lacing:
            length += value
            if value < 255:
                packets.append(window[body : body + length])
                body, length = body + length, 0
        goes_on = bool(lacing) and lacing[-1] == 255
        if goes_on:
            packets.append(window[body : body + length])
        offset = start + end
        yield flags, granule, number, packets, goes_on, offset == size
    return


def _checksum(data: bytes) -> int:
    """Ogg's CRC-32: zlib's of the bits in reverse, from 0."""
    value = zlib.crc32(data.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED), "big")


def _vorbis_counter(headers: list[bytes]) -> PacketSamples | None:
    """How many samples each packet of a Vorbis stream adds, in order; None if its modes are odd."""
    first, _, set_up = headers
    if first[:7] != b"\x01vorbis" or len(first) < 30:
        return None
    sizes = 1 << (first[28] & 15), 1 << (first[28] >> 4)
    bits = int.from_bytes(set_up, "little")
    end = bits.bit_length() - 1  # of the modes: the framing bit follows
    n_modes = 0
    for count in range(1, 65):
        start = end - _MODE_BITS * count
        if start < 6 or (bits >> start + 1) & 0xFFFF_FFFF or (bits >> start + 33) & 0xFF > 63:
            break
        if (bits >> start - 6) & 63 == count - 1:
            n_modes = count
    if n_modes == 0:
        return None
    first_mode = end - _MODE_BITS * n_modes
    lengths = [sizes[bits >> first_mode + _MODE_BITS * mode & 1] for mode in range(n_modes)]
    mask = (1 << (n_modes - 1).bit_length()) - 1
    previous = 0

    def samples(packet: bytes) -> int:
        nonlocal previous
        mode = packet[0] >> 1 & mask if packet else n_modes
        if mode >= n_modes or packet[0] & 1:
            return 0  # not sound: decoders pass over it
        before, previous = previous, lengths[mode]
        return (before + previous) // 4 if before else 0

    return samples


def _opus_samples(packet: bytes) -> int:
    """Samples at 48 kHz of an Opus packet."""
    if not packet:
        return 0
    kind, code = packet[0] >> 3, packet[0] & 3
    if kind < 12:
        length = (480, 960, 1920, 2880)[kind & 3]
    elif kind < 16:
        length = (480, 960)[kind & 1]
    else:
        length = (120, 240, 480, 960)[kind & 3]
    if code == 3:
        return length * (packet[1] & 63 if len(packet) > 1 else 0)
    return length * (1, 2, 2)[code]
