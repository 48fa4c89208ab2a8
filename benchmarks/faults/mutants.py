"""Damaged sound files, made from whole ones, and what this package does with each.

The n-th mutant of a seed is always the same, so that one which does harm can be looked at again:

    python -m benchmarks.faults.mutants --number=4711 --keep=/tmp/4711
    python -m benchmarks.faults.mutants --first=0 --last=10000 --output=mutants.jsonl

A process that reads mutants may die of one: `benchmarks.faults` starts it again behind that one.
"""

import io
import json
import os
import re
import resource
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable

import numpy as np
import soundfile
from absl import app, flags

from audio_triplet import audio
from audio_triplet.errors import AudioError

# (extension, format, subtype, rate, channels); most are short, so that damage hits headers often.
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

MAX_CPU_SECONDS = 10.0
"""Of processor time, for everything that is done with one mutant."""

MAX_GROWTH_BYTES = 512 * 2**20
"""Of a process's address space above what it had before its first mutant."""


def sound(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """A few bursts of coloured noise, float64[samples, channels]: decoders have all to do."""
    random = np.random.default_rng(seed)
    time_axis = np.arange(round(seconds * rate))[:, None] / rate
    tone = np.sin(2 * np.pi * random.uniform(100, 3000) * time_axis * (1 + time_axis))
    noise = random.normal(size=(len(time_axis), channels))
    return (0.3 * tone + 0.1 * noise) * (np.sin(2 * np.pi * 3 * time_axis) > -0.5)


def encode(extension: str, file_format: str, subtype: str, rate: int, channels: int) -> bytes:
    """A whole file of generated sound."""
    buffer = io.BytesIO()
    # Of some only what is longer than two pages or blocks is sought in.
    seconds = 5.0 if rate == 16_000 and extension in _COMMON else 0.3 + 0.3 * channels
    soundfile.write(
        buffer, sound(seconds, rate, channels, rate + channels), rate, subtype, format=file_format
    )
    data = bytearray(buffer.getvalue())
    # libsndfile writes what differs from run to run: the time, and random numbers of Ogg streams.
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
          seed: Another seed, other mutants.
          recordings: Sound files to damage beside the generated ones.
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
        kinds = list(_KINDS)
        weights = np.array([_KINDS[kind][1] for kind in kinds], float)
        kind = kinds[random.choice(len(kinds), p=weights / weights.sum())]
        if kind == "extension":
            extension = self.intact[random.integers(len(self.intact))][0]
            if random.random() < 0.5:
                data = _flipped(data, random)
        elif kind == "polyglot":
            other = self.intact[random.integers(len(self.intact))][1]
            data = _polyglot(data, other, random)
        else:
            data = _KINDS[kind][0](data, random)
        if random.random() < 0.5:
            # Flips in an Ogg page or a FLAC frame are thrown away by their checksums, so that what
            # lies behind is never tried: half of the mutants get checksums that are right.
            data = with_ogg_checksums(data)
        return extension, data, kind


def _place(size: int, random) -> int:
    """A place in a file: in its header as often as in all of it."""
    return int(random.integers(min(size, 256) if random.random() < 0.5 else size))


def _flipped(data: bytes, random) -> bytes:
    out = bytearray(data)
    for _ in range(int(random.integers(1, 17))):
        out[_place(len(out), random)] ^= 1 << int(random.integers(8))
    return bytes(out)


def _cut(data: bytes, random) -> bytes:
    return data[: _place(len(data), random)]


def _overwritten(data: bytes, random) -> bytes:
    out = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        place = _place(len(out), random)
        garbage = random.bytes(int(random.integers(1, 64)))
        if random.random() < 0.3:
            garbage = bytes([int(random.choice([0, 0xFF, 0x7F, 0x80]))]) * len(garbage)
        out[place : place + len(garbage)] = garbage
    return bytes(out)


def _moved(data: bytes, random) -> bytes:
    """Parts are taken out, doubled, or put elsewhere."""
    for _ in range(int(random.integers(1, 4))):
        begin, end = sorted(_place(len(data) + 1, random) for _ in range(2))
        part = data[begin:end]
        choice = random.integers(3)
        if choice == 0:
            data = data[:begin] + data[end:]
        elif choice == 1:
            data = data[:end] + part + data[end:]
        else:
            rest = data[:begin] + data[end:]
            place = int(random.integers(len(rest) + 1))
            data = rest[:place] + part + rest[place:]
        data = data[: 4 << 20]
    return data or b"\0"


def _lied(data: bytes, random) -> bytes:
    """Numbers in the header say what is not so."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        place = int(random.integers(min(len(out), 160)))
        if random.random() < 0.7:
            place &= ~1  # numbers lie on even places
        lie = int(random.choice(_LIES)) if random.random() < 0.7 else int(random.integers(2**32))
        form = random.choice(["<I", ">I", "<H", ">H", "<Q", ">Q", "B"])
        size = struct.calcsize(form)
        if place + size <= len(out):
            struct.pack_into(form, out, place, lie % 2 ** (8 * size))
    return bytes(out)


def _boasted(data: bytes, random) -> bytes:
    """A header that claims gigabytes, absurd rates or channels, where each format keeps them."""
    out = bytearray(data)
    huge = int(random.choice([0x7FFF_FFF0, 0xFFFF_FFF0, 0x4000_0000, 0xFFFF_FFFF]))
    rate = int(random.choice([0, 1, 7, 999, 1_000_001, 2**31 - 1, 2**31, 2**32 - 1, 192_000]))
    channels = int(random.choice([0, 3, 65, 255, 256, 1024, 32_768, 65_535]))
    which = random.integers(3)
    if data[:4] in (b"RIFF", b"RF64") and len(out) > 44:
        if which == 0:
            struct.pack_into("<I", out, 4, huge)
            at = data.find(b"data")
            if 0 <= at <= len(out) - 8:
                struct.pack_into("<I", out, at + 4, huge)
        elif which == 1:
            struct.pack_into("<I", out, 24, rate)
        else:
            struct.pack_into("<H", out, 22, channels)
    elif data[:4] == b"fLaC" and len(out) > 42:
        packed = int.from_bytes(out[18:26], "big")  # 20 bits rate, 3 channels, 5 bits, 36 frames
        if which == 0:
            packed = packed >> 36 << 36 | (huge * int(random.integers(1, 17))) & (2**36 - 1)
        elif which == 1:
            packed = packed & (1 << 44) - 1 | (rate & 0xF_FFFF) << 44
        else:
            packed = packed & ~(7 << 41) | (channels & 7) << 41
        out[18:26] = packed.to_bytes(8, "big")
    elif data[:4] == b"OggS":
        last = bytes(out).rfind(b"OggS")
        if which == 0:
            struct.pack_into("<q", out, last + 6, int(random.choice([2**62, huge, -2, 2**40])))
        else:
            at = data.find(b"\x01vorbis") + 11 if b"\x01vorbis" in data else data.find(b"Opus") + 9
            if which == 1 and at + 5 < len(out):
                struct.pack_into("<I", out, at + 1, rate)
            elif at < len(out):
                out[at] = channels & 0xFF
        return with_ogg_checksums(bytes(out))
    elif data[:4] == b"FORM":
        at = data.find(b"COMM")
        if 0 <= at <= len(out) - 26:
            if which == 0:
                struct.pack_into(">I", out, at + 10, huge)
                ssnd = data.find(b"SSND")
                if 0 <= ssnd <= len(out) - 8:
                    struct.pack_into(">I", out, ssnd + 4, huge)
            elif which == 1:
                out[at + 16 : at + 26] = random.bytes(10)  # the rate, an 80-bit float
            else:
                struct.pack_into(">H", out, at + 8, channels)
    else:
        return _lied(data, random)
    return bytes(out)


def _polyglot(data: bytes, other: bytes, random) -> bytes:
    """Two formats in one file."""
    choice = random.integers(4)
    if choice == 0:
        return _FOREIGN[int(random.integers(len(_FOREIGN)))] + data
    if choice == 1:
        return data + other
    if choice == 2:
        return other[: _place(len(other), random)] + data
    place = _place(len(data), random)
    return data[:place] + other + data[place:]


_KINDS: dict[str, tuple[Callable | None, int]] = {
    "flip": (_flipped, 4),
    "cut": (_cut, 3),
    "overwrite": (_overwritten, 3),
    "move": (_moved, 2),
    "lie": (_lied, 4),
    "boast": (_boasted, 4),
    "extension": (None, 1),
    "polyglot": (None, 2),
}

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """Ogg's CRC-32, which is zlib's with the bits the other way round, from 0 and not inverted."""
    value = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{value:032b}"[::-1], 2)


def with_ogg_checksums(data: bytes) -> bytes:
    """The same bytes with right checksums in all Ogg pages."""
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


# --- what is done with a mutant -------------------------------------------------------------------


def problems_with(path: str) -> tuple[str, list[str]]:
    """Reads a file in every way there is, and says what broke its promises.

    Returns:
      `read` or `refused`, and sentences on what should not be.
    """
    found: list[str] = []
    seconds = None

    def attempt(name: str, read: Callable):
        """What `read` gives, None if it refuses; anything but a well-made refusal is a problem."""
        try:
            return read()
        except AudioError as error:
            text = str(error)
            if not text.startswith(f"{path}: ") or "\n" in text or not error.fix:
                found.append(f"{name}: refused with {text!r}, which is not one line on the file")
            if "memory" in text.lower() or "malloc" in text.lower():
                found.append(f"{name}: {text}")
        except MemoryError:
            found.append(f"{name}: asked for more memory than {MAX_GROWTH_BYTES >> 20} MB")
        except Exception as error:
            found.append(f"{name}: {type(error).__name__}: {error}")
        return None

    def check(name: str, waveform) -> None:
        if waveform.dtype != np.float32 or waveform.ndim != 1 or not np.isfinite(waveform).all():
            found.append(f"{name}: not finite float32[samples]")

    info = attempt("probe", lambda: audio.probe(path))
    if info is not None:
        seconds = info.duration_seconds
        if info.frames > 6000 * os.path.getsize(path):  # no codec goes so far
            found.append(f"probe: takes {info.frames} frames in {os.path.getsize(path)} B for true")
    # A file may hold hours in few bytes in good faith: what is tried of it is bounded.
    total = 0

    def stream():
        nonlocal total
        for block in audio.stream_audio(path):
            check("stream_audio", block)
            total += len(block)
            if total > 3600 * 16_000:
                break
        return total

    streamed = attempt("stream_audio", stream)
    whole = None
    if seconds is None or seconds < 3600:
        whole = attempt("load_audio", lambda: audio.load_audio(path))
        if whole is not None:
            check("load_audio", whole)
            if streamed is not None and total <= 3600 * 16_000 and len(whole) != total:
                found.append(f"load_audio gives {len(whole)} samples, stream_audio {total}")
        elif streamed is not None and total <= 3600 * 16_000:
            found.append("load_audio refuses what stream_audio read")
    for start in (0.0, 0.7 * (seconds or 1.0), 1e6):
        piece = attempt("read_piece", lambda start=start: audio.read_piece(path, start, 10.56))
        if piece is not None:
            check("read_piece", piece)
            if len(piece) > round(10.56 * 16_000):
                found.append(f"read_piece gives {len(piece)} samples")
            if whole is not None and start == 0 and len(piece) == 0:
                found.append("read_piece finds nothing in a file that load_audio reads")
    return ("refused" if streamed is None else "read"), found


def run(mutants: Mutants, numbers: Iterable[int], folder: str, report: Callable) -> None:
    """Reads mutants one by one.

    Args:
      mutants: Where they come from.
      numbers: Which.
      folder: Where each is written before it is read.
      report: Called with a dict before (`number`, `kind`, `extension`) and after each (and
        `outcome`, `cpu_seconds`, `problems`).
    """
    descriptors, threads = _descriptors(), threading.active_count()
    for number in numbers:
        extension, data, kind = mutants.make(number)
        path = os.path.join(folder, f"{number}.{extension}")
        with open(path, "wb") as file:
            file.write(data)
        told = {"number": number, "kind": kind, "extension": extension}
        report(told)
        began = time.process_time()
        outcome, problems = problems_with(path)
        spent = time.process_time() - began
        if spent > MAX_CPU_SECONDS:
            problems.append(f"took {spent:.1f} s")
        if _descriptors() > descriptors or threading.active_count() > threads:
            problems.append("left a file or a thread open")
            descriptors, threads = _descriptors(), threading.active_count()
        os.unlink(path)
        report(told | {"outcome": outcome, "cpu_seconds": round(spent, 3), "problems": problems})


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def limit_memory() -> None:
    """Lets this process grow by `MAX_GROWTH_BYTES` from now on, and no more."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MAX_GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(argv):
    """Runs the command."""
    del argv
    values = flags.FLAGS
    mutants = Mutants(values.seed, values.recordings)
    if values.number is not None:
        extension, data, kind = mutants.make(values.number)
        path = f"{values.keep}.{extension}"
        with open(path, "wb") as file:
            file.write(data)
        print(f"{path}: {kind}", flush=True)
        print(*problems_with(path))
        return
    audio.load_audio(_warm_up(mutants))  # what libraries allocate once is no growth
    limit_memory()

    with tempfile.TemporaryDirectory() as folder, open(values.output, "a") as output:

        def report(told):
            output.write(json.dumps(told) + "\n")
            output.flush()

        run(mutants, range(values.first, values.last), folder, report)


def _warm_up(mutants: Mutants) -> io.BytesIO:
    return io.BytesIO(mutants.intact[0][1])


if __name__ == "__main__":
    flags.DEFINE_integer("seed", 0, "Another seed, other mutants.")
    flags.DEFINE_integer("first", 0, "The first mutant's number.")
    flags.DEFINE_integer("last", 100, "One more than the last mutant's number.")
    flags.DEFINE_integer("number", None, "One mutant, to be kept and looked at.")
    flags.DEFINE_string("keep", "mutant", "File to write it to, without extension.")
    flags.DEFINE_string("output", "mutants.jsonl", "JSON lines, one before and one after each.")
    flags.DEFINE_list("recordings", [], "Sound files to damage beside the generated ones.")
    app.run(main)
