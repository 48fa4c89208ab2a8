"""Excerpts of recordings, decoded and encoded again as small sound files for the ear."""

from __future__ import annotations

import dataclasses
import functools
import io
import math
import os

import numpy as np
import soundfile

from audio_triplet import audio
from audio_triplet.errors import AudioError

SAMPLE_RATE = 16_000

# The longest excerpt that a page may ask for, whatever the quality says [D].
EXCERPT_SECONDS = 10.0

# libsndfile with LAME where there is one (all wheels of soundfile), else Vorbis.
_FORMATS = (("MP3", "MPEG_LAYER_III", "audio/mpeg"), ("OGG", "VORBIS", "audio/ogg"))

_MAX_GAIN = 8.0  # 18 dB
_PEAK = 0.7  # -3 dB: codecs overshoot
_FADE_SECONDS = 0.01


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """A part of a sound file.

    Attributes:
      path: The file.
      start_seconds: Where it begins.
      end_seconds: Where it ends; None: with the file.
    """

    path: str
    start_seconds: float = 0.0
    end_seconds: float | None = None

    @classmethod
    def of_row(cls, row) -> Excerpt:
        """The excerpt of a manifest row (anything with path, start_seconds, end_seconds)."""
        end = float(row.end_seconds)
        return cls(str(row.path), float(row.start_seconds), None if math.isnan(end) else end)

    @property
    def title(self) -> str:
        """File name, and the start where it is not the file's."""
        base = os.path.basename(self.path)
        return f"{base} at {self.start_seconds:.1f} s" if self.start_seconds else base


@dataclasses.dataclass(frozen=True)
class Quality:
    """How an excerpt sounds and looks on a page.

    Attributes:
      max_seconds: Longer ones are cut.
      compression: Of the codec, 0 best to 1 smallest.
      loudest: Whether the loudest part is taken, instead of the beginning.
      picture: Whether there is a log mel picture.
    """

    max_seconds: float = 5.0
    compression: float = 0.9
    loudest: bool = False
    picture: bool = True


# For listening: 5 s at about 23 kbit/s, 14 kB measured on ESC-50.
CLEAR = Quality()

# To recognise what a point on a map is: 2 s at about 18 kbit/s, 4.5 kB.
LIGHT = Quality(max_seconds=2.0, compression=0.94, loudest=True, picture=False)


def read(excerpt: Excerpt, quality: Quality = CLEAR) -> np.ndarray:
    """Decodes an excerpt as far as a page plays it.

    Args:
      excerpt: Which.
      quality: How much of it.

    Returns:
      float32[samples], 16 kHz, mono, as in the file.

    Raises:
      AudioError: The file cannot be read, or holds nothing there.
    """
    seconds = EXCERPT_SECONDS if quality.loudest else min(EXCERPT_SECONDS, quality.max_seconds)
    if excerpt.end_seconds is not None:
        seconds = min(seconds, excerpt.end_seconds - excerpt.start_seconds)
    waveform = audio.read_piece(
        excerpt.path, excerpt.start_seconds, max(0.0, seconds), SAMPLE_RATE, truncated="use"
    )
    if not len(waveform):
        raise AudioError(excerpt.path, f"no sound at {excerpt.start_seconds} s")
    samples = round(quality.max_seconds * SAMPLE_RATE)
    return waveform if len(waveform) <= samples else _loudest(waveform, samples)


def _loudest(waveform: np.ndarray, samples: int) -> np.ndarray:
    """The loudest stretch of so many samples, to a tenth of a second."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    starts = np.arange(0, len(waveform) - samples + 1, SAMPLE_RATE // 10)
    start = starts[np.argmax(energy[starts + samples] - energy[starts])]
    return waveform[start : start + samples]


def encode(waveform: np.ndarray, compression: float) -> bytes:
    """A small sound file for the ear.

    Raised to a peak of -3 dB, but by 18 dB at most [D]: field recordings differ so much in loudness
    that a page would be either silent or a shock. Cut ends are faded so that they do not click.

    Args:
      waveform: float32[samples], 16 kHz.
      compression: 0 best to 1 smallest.

    Returns:
      MP3 (or Ogg Vorbis where libsndfile cannot write MP3), see `media_type`.
    """
    peak = float(np.abs(waveform).max(initial=0.0))
    waveform = waveform * min(_MAX_GAIN, _PEAK / peak) if peak > 0 else waveform.copy()
    fade = min(round(_FADE_SECONDS * SAMPLE_RATE), len(waveform) // 2)
    if fade:
        ramp = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
        waveform[:fade] *= ramp
        waveform[-fade:] *= ramp[::-1]
    container, subtype, _ = _format()
    options = {"bitrate_mode": "AVERAGE"} if container == "MP3" else {}
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer,
        "w",
        SAMPLE_RATE,
        1,
        format=container,
        subtype=subtype,
        compression_level=compression,
        **options,
    ) as file:
        file.write(waveform)
    return buffer.getvalue()


def media_type() -> str:
    """The MIME type of what `encode` returns."""
    return _format()[2]


@functools.cache
def _format() -> tuple[str, str, str]:
    known = soundfile.available_formats()
    return next(entry for entry in _FORMATS if entry[0] in known)
