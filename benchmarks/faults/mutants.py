"""Damaged sound files, made from whole ones.

The n-th mutant of a seed is always the same, so that a harmful one can be examined again by
`benchmarks.faults.read_mutants`.
"""

import dataclasses
import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterable

import numpy as np
import soundfile

SEEDS = (
    ("wav", "WAV", "PCM_16", 44_100, 2),
    ("wav", "WAV", "PCM_24", 48_000, 1),
    ("wav", "WAV", "FLOAT", 16_000, 1),
    ("wav", "WAV", "ULAW", 8_000, 1),
    ("wav", "WAV", "IMA_ADPCM", 22_050, 2),
    ("wav", "WAV", "MS_ADPCM", 22_050, 1),
    ("wav", "WAV", "GSM610", 8_000, 1),
    ("wav", "WAV", "G721_32", 8_000, 1),
    ("wav", "WAVEX", "PCM_16", 44_100, 6),
    ("wav", "RF64", "PCM_16", 44_100, 2),
    ("w64", "W64", "PCM_16", 44_100, 2),
    ("aiff", "AIFF", "PCM_16", 44_100, 2),
    ("aiff", "AIFF", "DWVW_16", 44_100, 1),
    ("au", "AU", "PCM_16", 44_100, 2),
    ("au", "AU", "G723_24", 8_000, 1),
    ("caf", "CAF", "PCM_16", 44_100, 2),
    ("caf", "CAF", "ALAC_16", 44_100, 2),
    ("flac", "FLAC", "PCM_16", 44_100, 2),
    ("flac", "FLAC", "PCM_16", 16_000, 1),
    ("flac", "FLAC", "PCM_24", 96_000, 1),
    ("ogg", "OGG", "VORBIS", 44_100, 2),
    ("ogg", "OGG", "VORBIS", 16_000, 1),
    ("opus", "OGG", "OPUS", 48_000, 2),
    ("opus", "OGG", "OPUS", 16_000, 1),
    ("mp3", "MP3", "MPEG_LAYER_III", 44_100, 2),
    ("mp3", "MP3", "MPEG_LAYER_III", 16_000, 1),
    ("voc", "VOC", "PCM_16", 22_050, 1),
    ("sds", "SDS", "PCM_16", 16_000, 1),
    ("paf", "PAF", "PCM_24", 44_100, 1),
    ("mat", "MAT4", "PCM_16", 16_000, 1),
    ("sf", "IRCAM", "PCM_16", 16_000, 1),
    ("nist", "NIST", "PCM_16", 16_000, 1),
    ("8svx", "SVX", "PCM_16", 16_000, 1),
    ("xi", "XI", "DPCM_16", 44_100, 1),
    ("htk", "HTK", "PCM_16", 16_000, 1),
    ("avr", "AVR", "PCM_16", 16_000, 1),
    ("pvf", "PVF", "PCM_16", 16_000, 1),
)

# What people have on their disks is damaged more often than the rest of what libsndfile reads.
_COMMON = {"wav", "aiff", "flac", "ogg", "opus", "mp3"}

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


def sound(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """A few bursts of coloured noise, to exercise all of a decoder: float64[samples, channels]."""
    random = np.random.default_rng(seed)
    time_axis = np.arange(round(seconds * rate))[:, None] / rate
    tone = np.sin(2 * np.pi * random.uniform(100, 3000) * time_axis * (1 + time_axis))
    noise = random.normal(size=(len(time_axis), channels))
    return (0.3 * tone + 0.1 * noise) * (np.sin(2 * np.pi * 3 * time_axis) > -0.5)


def encode(extension: str, file_format: str, subtype: str, rate: int, channels: int) -> bytes:
    """A whole file of generated sound."""
    buffer = io.BytesIO()
    # Some formats are only seeked in if they are longer than two pages or blocks.
    seconds = 5.0 if rate == 16_000 and extension in _COMMON else 0.3 + 0.3 * channels
    soundfile.write(
        buffer, sound(seconds, rate, channels, rate + channels), rate, subtype, format=file_format
    )
    data = bytearray(buffer.getvalue())
    # libsndfile writes values that differ between runs: the time, and random numbers in Ogg.
    peak = data.find(b"PEAK")
    if peak >= 0:
        data[peak + 12 : peak + 16] = bytes(4)
    for page in re.finditer(b"OggS\0", bytes(data)):
        data[page.start() + 14 : page.start() + 18] = b"same"
    return with_ogg_checksums(bytes(data))


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
        self.intact: list[tuple[str, bytes]] = []
        for extension, file_format, subtype, rate, channels in SEEDS:
            try:
                data = encode(extension, file_format, subtype, rate, channels)
            except (soundfile.SoundFileError, ValueError, TypeError):
                continue  # this libsndfile does not write it
            self.intact += [(extension, data)] * (3 if extension in _COMMON else 1)
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


def _falsified(data: bytes, random) -> bytes:
    """Changes numbers in the header."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        offset = int(random.integers(min(len(out), 160)))
        if random.random() < 0.7:
            offset &= ~1  # numbers lie at even offsets
        lie = int(random.choice(_LIES)) if random.random() < 0.7 else int(random.integers(2**32))
        form = random.choice(["<I", ">I", "<H", ">H", "<Q", ">Q", "B"])
        size = struct.calcsize(form)
        if offset + size <= len(out):
            struct.pack_into(form, out, offset, lie % 2 ** (8 * size))
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
    "lie": (_falsified, 4),
    "boast": (_overstated, 4),
    "extension": (None, 1),
    "polyglot": (None, 2),
}

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's with reversed bits, starting at 0 and not inverted."""
    value = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{value:032b}"[::-1], 2)


def with_ogg_checksums(data: bytes) -> bytes:
    """The same bytes with correct checksums in all Ogg pages."""
    if b"OggS" not in data:
        return data
    out, at = bytearray(data), data.find(b"OggS")
    while 0 <= at <= len(out) - 27:
        segments = out[at + 26]
        end = at + 27 + segments + sum(out[at + 27 : at + 27 + segments])
        if end <= len(out):
            out[at + 22 : at + 26] = bytes(4)
            struct.pack_into("<I", out, at + 22, _ogg_checksum(bytes(out[at:end])))
        at = data.find(b"OggS", max(at + 4, end if end <= len(out) else 0))
    return bytes(out)
