"""Damaged sound files, made from whole ones.

The n-th mutant of a seed is always the same, so that a harmful one can be examined again by
`benchmarks.faults.read_mutants`.
"""

import dataclasses
import os
import struct
from collections.abc import Callable, Iterable

import numpy as np

from benchmarks.faults import sources
from benchmarks.faults.sources import with_ogg_checksums

_LIES = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0xFFFF_FFFE,
    0x4000_0000,
    1_000_000,
    2_000_000_000,
)

_FOREIGN = (
    b"PK\x03\x04\x14\0\0\0\0\0",
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    b"<!DOCTYPE html><html>",
    b"\x7fELF\x02\x01\x01\0",
    b"\x89PNG\r\n\x1a\n",
    b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
    b"ID3\x03\0\0\0\0\x01\x00" + bytes(128),
    b"\xff\xfb\x90\x64" * 8,
    b"OggS\0\x02" + bytes(21),
    b"fLaC\0\0\0\x22",
    b"RIFF\xff\xff\xff\xffWAVE",
    b"FORM\x7f\xff\xff\xffAIFC",
    b"\0" * 4096,
)


class Mutants:
    """The mutants of a seed, by number.

    Attributes:
      intact: (name, bytes) of the whole files they are made from.
    """

    def __init__(self, seed: int = 0, recordings: Iterable[str] = ()):
        """Encodes the generated sounds and reads the recordings.

        Args:
          seed: Seed of the mutants.
          recordings: Sound files to damage, besides the generated ones.
        """
        self._seed = seed
        self.intact = sources.whole_files()
        for path in recordings:
            with open(path, "rb") as file:
                self.intact.append((os.path.splitext(path)[1][1:].lower(), file.read(1 << 20)))

    def make(self, number: int) -> tuple[str, bytes, str]:
        """The mutant of a number: its file extension, its bytes, and what was done to it."""
        random = np.random.default_rng([self._seed, number])
        extension, data = self.intact[random.integers(len(self.intact))]
        kinds = list(KINDS)
        weights = np.array([KINDS[kind][1] for kind in kinds], float)
        kind = kinds[random.choice(len(kinds), p=weights / weights.sum())]
        if kind == "extension":
            extension = self.intact[random.integers(len(self.intact))][0]
            if random.random() < 0.5:
                data = _flipped(data, random)
        elif kind == "polyglot":
            other = self.intact[random.integers(len(self.intact))][1]
            data = _polyglot(data, other, random)
        else:
            data = KINDS[kind][0](data, random)
        if random.random() < 0.5:
            # Decoders drop damaged Ogg pages and FLAC frames by their checksums, so the code behind
            # is never tested: half of the mutants get correct checksums.
            data = with_ogg_checksums(data)
        return extension, data, kind


def _offset(size: int, random) -> int:
    """An offset in a file: in its header as often as in all of it."""
    return int(random.integers(min(size, 256) if random.random() < 0.5 else size))


def _flipped(data: bytes, random) -> bytes:
    out = bytearray(data)
    for _ in range(int(random.integers(1, 17))):
        out[_offset(len(out), random)] ^= 1 << int(random.integers(8))
    return bytes(out)


def _cut(data: bytes, random) -> bytes:
    return data[: _offset(len(data), random)]


def _overwritten(data: bytes, random) -> bytes:
    out = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        offset = _offset(len(out), random)
        garbage = random.bytes(int(random.integers(1, 64)))
        if random.random() < 0.3:
            garbage = bytes([int(random.choice([0, 0xFF, 0x7F, 0x80]))]) * len(garbage)
        out[offset : offset + len(garbage)] = garbage
    return bytes(out)


def _moved(data: bytes, random) -> bytes:
    """Removes, doubles or moves parts."""
    for _ in range(int(random.integers(1, 4))):
        begin, end = sorted(_offset(len(data) + 1, random) for _ in range(2))
        part = data[begin:end]
        choice = random.integers(3)
        if choice == 0:
            data = data[:begin] + data[end:]
        elif choice == 1:
            data = data[:end] + part + data[end:]
        else:
            rest = data[:begin] + data[end:]
            offset = int(random.integers(len(rest) + 1))
            data = rest[:offset] + part + rest[offset:]
        data = data[: 4 << 20]
    return data or b"\0"


def _zeroed(data: bytes, random) -> bytes:
    """Blocks that a disk or a copy lost."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        size = min(512 << int(random.integers(8)), max(1, len(out) // 2))
        offset = int(random.integers(len(out))) // 512 * 512
        out[offset : offset + size] = bytes(len(out[offset : offset + size]))
    return bytes(out)


# What stands before the numbers that say how sound lies in a file: names of boxes in MP4 and CAF,
# numbers of elements in Matroska, the beginnings of objects in ASF, the first bytes of frames.
_MARKS: tuple[bytes, ...] = (
    *(b"mvhd", b"tkhd", b"mdhd", b"elst", b"hdlr", b"stsd", b"mp4a", b"esds", b"alac", b"samr"),
    *(b"stts", b"stsc", b"stsz", b"stco", b"moov", b"moof", b"tfhd", b"tfdt", b"trun", b"mdat"),
    *(b"desc", b"kuki", b"pakt", b"data", b"fmt ", b"strh", b"strf", b"movi", b"idx1"),
    *(b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x11\x4d\x9b\x74", b"\x2a\xd7\xb1"),
    *(b"\x16\x54\xae\x6b", b"\x44\x89", b"\x63\xa2", b"\x56\xaa", b"\x56\xbb", b"\xb5\x88"),
    *(b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b", b"OpusHead", b"\x01vorbis", b"fLaC"),
    *(b"\x30\x26\xb2\x75", b"\xa1\xdc\xab\x8c", b"\x91\x07\xdc\xb7", b"\x36\x26\xb2\x75"),
    *(b"#!AMR\n", b"\xff\xf1", b"\x0b\x77", b"\xff\xfb", b"\xff\xfd", b"wvpk", b"TTA1"),
)


def _misstated(data: bytes, random) -> bytes:
    """Changes numbers behind the marks of a container or a codec, wherever they stand."""
    marks = [mark for mark in _MARKS if mark in data]
    if not marks:
        return _falsified(data, random)
    out = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        mark = marks[int(random.integers(len(marks)))]
        at = data.find(mark, int(random.integers(len(data))))
        at = (at if at >= 0 else data.find(mark)) + len(mark)
        _put_lie(out, at + int(random.integers(48)), random)
    return bytes(out)


def _put_lie(out: bytearray, offset: int, random) -> None:
    """Writes an unlikely number, in one of the ways that numbers are written."""
    lie = int(random.choice(_LIES)) if random.random() < 0.7 else int(random.integers(2**32))
    form = random.choice(["<I", ">I", "<H", ">H", "<Q", ">Q", "B"])
    size = struct.calcsize(form)
    if offset + size <= len(out):
        struct.pack_into(form, out, offset, lie % 2 ** (8 * size))


def _falsified(data: bytes, random) -> bytes:
    """Changes numbers in the header."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        offset = int(random.integers(min(len(out), 160)))
        if random.random() < 0.7:
            offset &= ~1  # numbers lie at even offsets
        _put_lie(out, offset, random)
    return bytes(out)


def _overstated(data: bytes, random) -> bytes:
    """A header that claims gigabytes, absurd rates or channels, where each format keeps them."""
    claim = _Claim(
        huge=int(random.choice([0x7FFF_FFF0, 0xFFFF_FFF0, 0x4000_0000, 0xFFFF_FFFF])),
        rate=int(random.choice([0, 1, 7, 999, 1_000_001, 2**31 - 1, 2**31, 2**32 - 1, 192_000])),
        channels=int(random.choice([0, 3, 65, 255, 256, 1024, 32_768, 65_535])),
        what=("length", "rate", "channels")[random.integers(3)],
    )
    out = bytearray(data)
    if data[:4] in (b"RIFF", b"RF64") and len(out) > 44:
        _overstate_riff(out, claim)
    elif data[:4] == b"fLaC" and len(out) > 42:
        _overstate_flac(out, claim, random)
    elif data[:4] == b"OggS":
        _overstate_ogg(out, claim, random)
        return with_ogg_checksums(bytes(out))
    elif data[:4] == b"FORM":
        _overstate_aiff(out, claim, random)
    else:
        return _falsified(data, random)
    return bytes(out)


@dataclasses.dataclass(frozen=True)
class _Claim:
    """False metadata for a header."""

    huge: int
    rate: int
    channels: int
    what: str


def _overstate_riff(out: bytearray, claim: _Claim) -> None:
    if claim.what == "length":
        struct.pack_into("<I", out, 4, claim.huge)
        at = out.find(b"data")
        if 0 <= at <= len(out) - 8:
            struct.pack_into("<I", out, at + 4, claim.huge)
    elif claim.what == "rate":
        struct.pack_into("<I", out, 24, claim.rate)
    else:
        struct.pack_into("<H", out, 22, claim.channels)


def _overstate_flac(out: bytearray, claim: _Claim, random) -> None:
    packed = int.from_bytes(out[18:26], "big")  # 20 bits rate, 3 channels, 5 bits, 36 frames
    if claim.what == "length":
        frames = (claim.huge * int(random.integers(1, 17))) & (2**36 - 1)
        packed = (packed >> 36 << 36) | frames
    elif claim.what == "rate":
        packed = (packed & ((1 << 44) - 1)) | (claim.rate & 0xF_FFFF) << 44
    else:
        packed = (packed & ~(7 << 41)) | (claim.channels & 7) << 41
    out[18:26] = packed.to_bytes(8, "big")


def _overstate_ogg(out: bytearray, claim: _Claim, random) -> None:
    if claim.what == "length":
        last = out.rfind(b"OggS")
        frames = int(random.choice([2**62, claim.huge, -2, 2**40]))
        struct.pack_into("<q", out, last + 6, frames)
        return
    at = out.find(b"\x01vorbis") + 11 if b"\x01vorbis" in out else out.find(b"Opus") + 9
    if claim.what == "rate" and at + 5 < len(out):
        struct.pack_into("<I", out, at + 1, claim.rate)
    elif at < len(out):
        out[at] = claim.channels & 0xFF


def _overstate_aiff(out: bytearray, claim: _Claim, random) -> None:
    at = out.find(b"COMM")
    if not 0 <= at <= len(out) - 26:
        return
    if claim.what == "length":
        struct.pack_into(">I", out, at + 10, claim.huge)
        ssnd = out.find(b"SSND")
        if 0 <= ssnd <= len(out) - 8:
            struct.pack_into(">I", out, ssnd + 4, claim.huge)
    elif claim.what == "rate":
        out[at + 16 : at + 26] = random.bytes(10)  # the rate, an 80-bit float
    else:
        struct.pack_into(">H", out, at + 8, claim.channels)


def _polyglot(data: bytes, other: bytes, random) -> bytes:
    """Two formats in one file."""
    choice = random.integers(4)
    if choice == 0:
        return _FOREIGN[int(random.integers(len(_FOREIGN)))] + data
    if choice == 1:
        return data + other
    if choice == 2:
        return other[: _offset(len(other), random)] + data
    offset = _offset(len(data), random)
    return data[:offset] + other + data[offset:]


# Kinds of damage: the function, and its weight in the draw.
KINDS: dict[str, tuple[Callable | None, int]] = {
    "flip": (_flipped, 4),
    "cut": (_cut, 3),
    "overwrite": (_overwritten, 3),
    "move": (_moved, 2),
    "zero": (_zeroed, 2),
    "lie": (_falsified, 4),
    "misstate": (_misstated, 4),
    "boast": (_overstated, 4),
    "extension": (None, 1),
    "polyglot": (None, 2),
}
