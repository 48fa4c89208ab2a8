"""The sounds of a page, each stored once, and their players."""

from __future__ import annotations

import base64
import concurrent.futures
import dataclasses
import os
from collections.abc import Iterable

import numpy as np
from absl import logging

from audio_triplet.errors import AudioError
from audio_triplet.web import pictures
from audio_triplet.web.charts import ticks
from audio_triplet.web.excerpts import (
    CLEAR,
    SAMPLE_RATE,
    Excerpt,
    Quality,
    encode,
    media_type,
    read,
)
from audio_triplet.web.formatting import spaced


@dataclasses.dataclass(frozen=True)
class Clip:
    """An excerpt, ready for a page.

    Attributes:
      identifier: Value of `data-clip`.
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


@dataclasses.dataclass(frozen=True)
class Player:
    """A button that plays a clip, as the macro `player` draws it.

    Attributes:
      clip: Id of the clip in the page; empty if there is no sound in it.
      error: Why there is none.
      description: The sound in words, for those who do not see the picture.
      title: Text shown while it plays.
      seconds: Length of the sound.
      span_seconds: What the width of the picture stands for.
      picture: Data URI of the log mel picture; empty if there is none.
      url: Address of the sound, for pages that do not hold it; empty otherwise.
    """

    clip: str
    error: str
    description: str
    title: str
    seconds: float
    span_seconds: float
    picture: str
    url: str = ""

    @property
    def shows_length(self) -> bool:
        """Whether the length is shown: where it is not that of all the others."""
        return not self.picture or self.seconds <= 0.98 * self.span_seconds


@dataclasses.dataclass(frozen=True)
class PictureGuide:
    """How to read the pictures: one of them, large, with its axes; the macro `picture_guide`.

    Attributes:
      label: What it is.
      picture: Its data URI.
      span_seconds: What its width stands for.
      everywhere: Whether all pictures of the page are as wide.
      times: (percent from the left, seconds) of the marks below.
      pitches: (percent from the bottom, words) of the marks at the side.
    """

    label: str
    picture: str
    span_seconds: float
    everywhere: bool
    times: list[tuple[float, float]]
    pitches: list[tuple[float, str]]


class Clips:
    """The sounds of a page, each in it once.

    A file that cannot be read does not stop the page: its player shows the error.

    Args:
      workers: Threads that decode and encode; None: one for each CPU.
    """

    def __init__(self, workers: int | None = None):
        self._workers = workers
        self._clips: dict[Excerpt, Clip] = {}

    def add(self, excerpts: Iterable[Excerpt], quality: Quality = CLEAR) -> None:
        """Reads and encodes the excerpts that are not there yet, in any quality."""
        new = [excerpt for excerpt in dict.fromkeys(excerpts) if excerpt not in self._clips]
        first = len(self._clips)
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
        """Seconds that the width of every picture stands for: the longest pictured clip."""
        pictured = [c.seconds for c in self._clips.values() if c.log_mel is not None]
        return max(pictured, default=1.0)

    def json(self) -> dict:
        """The sounds by their ids, which `player.js` reads."""
        return {
            "type": media_type(),
            "span": round(self.span_seconds, 3),
            "clips": {
                clip.identifier: base64.b64encode(clip.sound).decode("ascii")
                for clip in self._clips.values()
                if clip.sound
            },
        }

    def player(self, excerpt: Excerpt, label: str, span_seconds: float | None = None) -> Player:
        """A button that plays an excerpt, its log mel picture on it if there is one.

        Args:
          excerpt: One that was added.
          label: What it is.
          span_seconds: What the width of its picture stands for; that of all pictures if None.
        """
        clip = self._clips[excerpt]
        span = span_seconds or self.span_seconds
        return Player(
            clip=clip.identifier if clip.sound else "",
            error=clip.error,
            description=spaced(f"{label}, {excerpt.title}"),
            title=f"{spaced(label)} · {excerpt.title}",
            seconds=clip.seconds,
            span_seconds=span,
            picture="" if clip.log_mel is None else pictures.picture_uri(clip.log_mel, span),
        )

    def picture_guide(
        self, excerpt: Excerpt, label: str, span_seconds: float | None = None
    ) -> PictureGuide | None:
        """How to read the pictures, by the example of one; None if it has none.

        Args:
          excerpt: One that was added.
          label: What it is.
          span_seconds: As for `player`.
        """
        clip = self._clips[excerpt]
        if clip.log_mel is None:
            return None
        span = span_seconds or self.span_seconds
        return PictureGuide(
            label=label,
            picture=pictures.picture_uri(clip.log_mel, span),
            span_seconds=span,
            everywhere=span_seconds is None,
            times=[(100 * tick / span, tick) for tick in ticks(0, span) if tick <= span * 1.001],
            pitches=pictures.pitch_marks(),
        )


def _make_clip(excerpt: Excerpt, quality: Quality, identifier: str) -> Clip:
    try:
        waveform = read(excerpt, quality)
        return Clip(
            identifier,
            encode(waveform, quality.compression),
            len(waveform) / SAMPLE_RATE,
            pictures.log_mel_of(waveform) if quality.picture else None,
        )
    except AudioError as error:
        logging.warning("left out of the page: %s", error)
        return Clip(identifier, error=f"{error.reason}; {error.fix}")
