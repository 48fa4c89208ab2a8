"""Sounds for a browser's player: WAV, 16 bit, mono, made block by block while it is sent.

Every browser plays that, whatever the file is. The length is known beforehand, and any byte of it
can be made alone, so that a player may begin anywhere in a recording of hours.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from audio_triplet import audio
from audio_triplet.errors import AudioError

HEADER_BYTES = 44
_BYTES_PER_SAMPLE = 2

# Browsers play these at least; what lies outside is resampled.
MIN_RATE, MAX_RATE = 8_000, 48_000

# The first block is short, so that sound begins at once; each reading opens the file anew.
_FIRST_SECONDS, _BLOCK_SECONDS = 1.0, 10.0

_MOST_KNOWN = 10_000  # headers that are kept in mind


@dataclasses.dataclass(frozen=True)
class PlayedSound:
    """A part of a file as WAV.

    Attributes:
      path: The file.
      rate: Samples per second of the WAV.
      first: The part's first sample, at that rate.
      samples: How many it has.
      gain: Factor of amplitudes; what is beyond full scale is cut.
    """

    path: str
    rate: int
    first: int
    samples: int
    gain: float = 1.0

    @property
    def size(self) -> int:
        """Size of the WAV."""
        return HEADER_BYTES + self.samples * _BYTES_PER_SAMPLE

    def header(self) -> bytes:
        """The WAV's first 44 bytes."""
        data = min(self.samples * _BYTES_PER_SAMPLE, 0xFFFFFFFF - 36)  # beyond: to the end
        byte_rate = self.rate * _BYTES_PER_SAMPLE
        form = (1, 1, self.rate, byte_rate, _BYTES_PER_SAMPLE, 8 * _BYTES_PER_SAMPLE)
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI", b"RIFF", data + 36, b"WAVE", b"fmt ", 16, *form, b"data", data
        )

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        """The WAV's bytes from `begin` up to `end`, block by block.

        A file that turns out damaged, or shorter than its header says, is silent from there on:
        the length is stated already.

        Raises:
          AudioError: At the first block: nothing can be read there.
        """
        lead = self.header()[begin:end] if begin < HEADER_BYTES else b""
        # In bytes of the samples; of the first and the last sample perhaps one byte only.
        position, last = max(begin - HEADER_BYTES, 0), max(end - HEADER_BYTES, 0)
        seconds, may_fail = _FIRST_SECONDS, True
        while position < last:
            sample = position // _BYTES_PER_SAMPLE
            left = -(-last // _BYTES_PER_SAMPLE) - sample
            block = self._block(sample, min(round(seconds * self.rate), left), may_fail)
            skipped = position - sample * _BYTES_PER_SAMPLE
            block = block[skipped : skipped + last - position]
            yield lead + block
            position += len(block)
            lead, may_fail = b"", False
            seconds = min(2 * seconds, _BLOCK_SECONDS)
        if lead:
            yield lead

    def _block(self, first: int, count: int, may_fail: bool) -> bytes:
        """Bytes of `count` samples."""
        try:
            begin, seconds = (self.first + first) / self.rate, count / self.rate
            waveform = audio.read_piece(self.path, begin, seconds, self.rate, truncated="use")
            if not len(waveform):
                raise AudioError(self.path, f"no sound at {begin:g} s", "ask for an earlier part")
        except AudioError:
            if may_fail:
                raise
            waveform = np.zeros(0, np.float32)
        waveform = np.pad(waveform[:count], (0, max(0, count - len(waveform))))
        scaled = np.clip(waveform * (32767 * self.gain), -32768, 32767)
        return np.rint(scaled).astype("<i2").tobytes()


class Headers:
    """What the headers of files say, each read once until the file changes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple, audio.AudioInfo] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: str) -> audio.AudioInfo:
        """The header of a file; of an MP3 without a stated length, this decodes it once.

        Raises:
          AudioError: It cannot be read.
        """
        key = (path, *_stamp(path))
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found = audio.probe(path, truncated="use")
        with self._lock:
            self._known[key] = found
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return found


def played_rate(sample_rate: int) -> int:
    """The rate at which sound of this rate is played."""
    return min(max(sample_rate, MIN_RATE), MAX_RATE)


def part(
    path: str,
    info: audio.AudioInfo,
    start_seconds: float,
    end_seconds: float | None,
    gain_db: float = 0.0,
) -> PlayedSound:
    """A part of a file, to be played.

    Args:
      path: The file.
      info: Its header.
      start_seconds: Where the part begins.
      end_seconds: Where it ends, at most with the file; None: there.
      gain_db: Gain.

    Raises:
      AudioError: The file has no such part.
    """
    rate = played_rate(info.sample_rate)
    samples = max(1, round(info.frames * rate / info.sample_rate))
    first = round(start_seconds * rate)
    last = samples if end_seconds is None else min(samples, round(end_seconds * rate))
    if first >= last:
        raise AudioError(
            path, f"no sound at {start_seconds:g} s", f"it is {info.duration_seconds:g} s long"
        )
    return PlayedSound(path, rate, first, last - first, 10 ** (gain_db / 20))


def _stamp(path: str) -> tuple[int, int]:
    """Size and date of a file; of one inside a container, or elsewhere, nothing."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
