"""Excerpts of recordings to listen to, inside a page."""

from __future__ import annotations

import base64
import concurrent.futures
import dataclasses
import functools
import io
import math
import os
from collections.abc import Iterable

import numpy as np
import soundfile
from absl import logging

from audio_triplet import audio
from audio_triplet.errors import AudioError
from audio_triplet.web.charts import ticks
from audio_triplet.web.formatting import name, text
from audio_triplet.web.pictures import _import_features, log_mel_of, picture_uri

SAMPLE_RATE = 16_000
EXCERPT_SECONDS = 10.0
"""The longest excerpt that a page may ask for, whatever the quality says [D]."""

# libsndfile with LAME where there is one (all wheels of soundfile), else Vorbis.
_FORMATS = (("MP3", "MPEG_LAYER_III", "audio/mpeg"), ("OGG", "VORBIS", "audio/ogg"))

_MAX_GAIN = 8.0  # 18 dB
_PEAK = 0.7  # -3 dB: codecs overshoot
_FADE_SECONDS = 0.01


# --- sound ---------------------------------------------------------------------------------------


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
    """How an excerpt is heard.

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


CLEAR = Quality()
"""For listening: 5 s at about 23 kbit/s, 14 kB measured on ESC-50."""

LIGHT = Quality(max_seconds=2.0, compression=0.94, loudest=True, picture=False)
"""To recognise what a point on a map is: 2 s at about 18 kbit/s, 4.5 kB."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """An excerpt, ready for a page.

    Attributes:
      identifier: What `data-clip` says.
      sound: Encoded; empty if the file could not be read.
      seconds: Length.
      log_mel: float32[frames, mels], or None.
      error: Why there is no sound.
    """

    identifier: str
    sound: bytes = b""
    seconds: float = 0.0
    log_mel: np.ndarray | None = None
    error: str = ""


class Clips:
    """The sounds of a page, each in it once.

    A file that cannot be read does not stop the page: its player says so.

    Args:
      workers: Threads that decode and encode; None: one for each CPU.
    """

    def __init__(self, workers: int | None = None):
        self._workers = workers
        self._clips: dict[Excerpt, Clip] = {}

    def add(self, excerpts: Iterable[Excerpt], quality: Quality = CLEAR) -> None:
        """Reads and encodes those that are not there yet, in whatever quality."""
        new = [found for found in dict.fromkeys(excerpts) if found not in self._clips]
        first = len(self._clips)
        if any(quality.picture for _ in new):
            _import_features()  # not in several threads at once
        with concurrent.futures.ThreadPoolExecutor(self._workers or os.cpu_count()) as pool:
            made = pool.map(
                lambda item: _make_clip(item[1], quality, f"c{first + item[0]}"), enumerate(new)
            )
            self._clips.update(zip(new, made, strict=True))

    def __getitem__(self, excerpt: Excerpt) -> Clip:
        """The clip of an excerpt that was added."""
        return self._clips[excerpt]

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._clips)

    @property
    def unreadable(self) -> list[Clip]:
        """Those without sound."""
        return [clip for clip in self._clips.values() if not clip.sound]

    @property
    def span_seconds(self) -> float:
        """What the width of every picture stands for: the longest pictured clip."""
        pictured = [c.seconds for c in self._clips.values() if c.log_mel is not None]
        return max(pictured, default=1.0)

    def json(self) -> dict:
        """What the players need."""
        return {
            "type": _format()[2],
            "span": round(self.span_seconds, 3),
            "clips": {
                clip.identifier: base64.b64encode(clip.sound).decode("ascii")
                for clip in self._clips.values()
                if clip.sound
            },
        }

    def player(self, excerpt: Excerpt, label: str, span_seconds: float | None = None) -> str:
        """A button that plays an excerpt, its log mel picture on it if there is one.

        Args:
          excerpt: One that was added.
          label: What it is, for those who do not see the picture.
          span_seconds: What the width of its picture stands for; that of all pictures if None.

        Returns:
          HTML.
        """
        clip = self._clips[excerpt]
        spoken = text(f"{label}, {excerpt.title}".replace("_", " "))
        if not clip.sound:
            return (
                f'<span class="clip mute" role="img" aria-label="{spoken}: no sound" '
                f'title="{text(clip.error)}">no sound</span>'
            )
        seconds = f"{clip.seconds:.1f}\u202fs"
        span = span_seconds or self.span_seconds
        # A length is worth saying where it is not that of all the others.
        usual = clip.log_mel is not None and clip.seconds > 0.98 * span
        shown = "" if usual else f'<s aria-hidden="true">{seconds}</s>'
        picture = ""
        if clip.log_mel is not None:
            uri = picture_uri(clip.log_mel, span)
            picture = (
                f'<img src="{uri}" alt="log mel picture, {seconds}" width="250" height="64" '
                'decoding="async">'
            )
        return (
            f'<button type="button" class="clip{"" if picture else " bare"}" '
            f'data-clip="{clip.identifier}" data-span="{span:.3f}" aria-pressed="false" '
            f'aria-label="Play {spoken}" '
            f'data-title="{text(label).replace("_", " ")} · {text(excerpt.title)}">'
            f'{picture}<i aria-hidden="true"></i>{shown}</button>'
        )

    def picture_guide(self, excerpt: Excerpt, label: str, span_seconds: float | None = None) -> str:
        """How to read the pictures: one of them, large, with its axes; nothing if it has none.

        Args:
          excerpt: One that was added.
          label: What it is.
          span_seconds: As for `player`.

        Returns:
          HTML.
        """
        clip = self._clips[excerpt]
        if clip.log_mel is None:
            return ""
        from audio_triplet.features import DEFAULT, hertz_to_mel

        low, high = (float(hertz_to_mel(hz)) for hz in (DEFAULT.mel_min_hz, DEFAULT.mel_max_hz))
        marks = "".join(
            f'<span style="bottom:{100 * (float(hertz_to_mel(hz)) - low) / (high - low):.1f}%">'
            f"{told}</span>"
            for hz, told in (
                (DEFAULT.mel_min_hz, "125 Hz"),
                (500, "500 Hz"),
                (1000, "1 kHz"),
                (2000, "2 kHz"),
                (4000, "4 kHz"),
                (DEFAULT.mel_max_hz, "7.5 kHz"),
            )
        )
        span = span_seconds or self.span_seconds
        times = "".join(
            f'<span style="left:{100 * tick / span:.1f}%">{tick:g}\u202fs</span>'
            for tick in ticks(0, span)
            if tick <= span * 1.001
        )
        return (
            '<figure class="guide"><div class="plot">'
            f'<img src="{picture_uri(clip.log_mel, span)}" width="250" height="64" '
            f'alt="log mel picture of {text(label)}, with axes: {span:.1f} s across, 125 Hz to '
            f'7.5 kHz upwards"><div class="hertz" aria-hidden="true">{marks}</div>'
            f'<div class="times" aria-hidden="true">{times}</div></div>'
            "<figcaption><b>How to read the pictures.</b> They are log mel energies, what the "
            f"network sees; this one is {name(label)}. Time runs to the right, and every picture"
            f"{' here' if span_seconds else ''} is {span:.1f}\u202fs wide, black where a sound "
            "is over; pitch runs upwards on the mel scale; bright is loud, white the loudest of "
            "each sound. For listening, levels were evened out.</figcaption></figure>"
        )


def _make_clip(excerpt: Excerpt, quality: Quality, identifier: str) -> Clip:
    try:
        waveform = read(excerpt, quality)
        return Clip(
            identifier,
            encode(waveform, quality.compression),
            len(waveform) / SAMPLE_RATE,
            log_mel_of(waveform) if quality.picture else None,
        )
    except AudioError as error:
        logging.warning("left out of the page: %s", error)
        return Clip(identifier, error=f"{error.reason}; {error.fix}")


def read(excerpt: Excerpt, quality: Quality = CLEAR) -> np.ndarray:
    """Decodes an excerpt as far as a page plays it.

    Returns:
      float32[samples], 16 kHz, mono, as in the file.

    Raises:
      AudioError: The file cannot be read, or holds nothing there.
    """
    seconds = EXCERPT_SECONDS if quality.loudest else min(EXCERPT_SECONDS, quality.max_seconds)
    if excerpt.end_seconds is not None:
        seconds = min(seconds, excerpt.end_seconds - excerpt.start_seconds)
    waveform = audio.read_piece(excerpt.path, excerpt.start_seconds, max(0.0, seconds), SAMPLE_RATE)
    if not len(waveform):
        raise AudioError(excerpt.path, f"no sound at {excerpt.start_seconds} s")
    samples = round(quality.max_seconds * SAMPLE_RATE)
    if len(waveform) <= samples:
        return waveform
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    step = SAMPLE_RATE // 10
    starts = np.arange(0, len(waveform) - samples + 1, step)
    start = starts[np.argmax(energy[starts + samples] - energy[starts])]
    return waveform[start : start + samples]


@functools.cache
def _format() -> tuple[str, str, str]:
    known = soundfile.available_formats()
    return next(entry for entry in _FORMATS if entry[0] in known)


def encode(waveform: np.ndarray, compression: float) -> bytes:
    """A small sound file for the ear.

    Raised to a peak of -3 dB, but by 18 dB at most [D]: field recordings differ so much in level
    that a page would be either silent or a shock. Cut ends are faded so that they do not click.

    Args:
      waveform: float32[samples], 16 kHz.
      compression: 0 best to 1 smallest.

    Returns:
      MP3 (or Ogg Vorbis where libsndfile cannot write MP3).
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
