"""The outline of a recording: how loud it is in a few bands, 25 times a second.

By its outline a recording is found again under another name: coded anew, at another rate, louder or
softer, or with silence in front. [D] Not by its embedding, which hears all of these; the
lab notebook has the comparison.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

RATE = 16_000  # Hz, of the sound
FRAME_SECONDS = 0.04

HOP = round(FRAME_SECONDS * RATE)
_WINDOW = 2 * HOP  # so that copies whose frames lie between these still look alike
_EDGES = (100, 300, 600, 1200, 2000, 3400)  # Hz; telephones and old recorders have them too
BANDS = len(_EDGES) - 1

MOST_FRAMES = 1500  # a minute of a long recording is enough
_AUDIBLE_DB = 40.0  # below the loudest; what is softer at the ends is silence in front or behind
_FLOOR_DB = 50.0
_SILENT_DB = -40.0  # a full-scale tone has about 50
_TREND_FRAMES = 75  # slow changes are alike in many recordings

# Bins of the modulation spectrum of MOST_FRAMES frames, evenly in pitch.
_POINTS = 2048
_BINS = np.unique(np.round(np.geomspace(4, _POINTS // 2, 33)).astype(int))
DESCRIPTOR = BANDS * (len(_BINS) - 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """The outline of a recording, without the silence at its ends.

    Attributes:
      start: Its first frame in the file.
      length: How many frames the recording has.
      levels: uint8[≤ 1500, 5], the first of them: half decibels, from −63.5 dB on.
    """

    start: int
    length: int
    levels: np.ndarray

    def descriptor(self) -> np.ndarray:
        """What is alike for copies of a recording: its modulation spectrum, uint8[DESCRIPTOR].

        Neither gain nor the silence in front change it.
        """
        spectrum = np.abs(np.fft.rfft(self.shape, _POINTS, axis=0)) ** 2
        bins = np.add.reduceat(spectrum[: _BINS[-1]], _BINS[:-1], axis=0) / np.diff(_BINS)[:, None]
        root = np.sqrt(bins.ravel())
        root /= max(np.linalg.norm(root), 1e-9)
        return np.round(255 * np.sqrt(root)).astype(np.uint8)

    @functools.cached_property
    def shape(self) -> np.ndarray:
        """The levels without gain and slow changes: float32[frames, BANDS]."""
        level = self.levels.astype(np.float32) / 2
        level = np.maximum(level, _loudest(level) - _FLOOR_DB)
        total = np.cumsum(np.pad(level, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
        number = np.arange(len(level))
        first = np.maximum(0, number - _TREND_FRAMES // 2)
        last = np.minimum(len(level), number + _TREND_FRAMES // 2 + 1)
        trend = (total[last] - total[first]) / (last - first)[:, None]
        return (level - trend).astype(np.float32)


class Outliner:
    """Makes the outline of a sound that comes in blocks."""

    def __init__(self):
        """Begins with no sound."""
        self._rest = np.zeros(0, np.float32)
        self._levels: list[np.ndarray] = []
        self._window = np.hanning(_WINDOW).astype(np.float32)
        hertz = np.fft.rfftfreq(_WINDOW, 1 / RATE)
        self._bands = np.searchsorted(hertz, _EDGES)

    def push(self, block: np.ndarray) -> None:
        """Takes the next float32[samples]."""
        sound = np.concatenate([self._rest, block])
        count = (len(sound) - _WINDOW) // HOP + 1
        if count > 0:
            self._levels.append(self._measured(sound, count))
            sound = sound[count * HOP :]
        self._rest = sound

    def _measured(self, sound: np.ndarray, count: int) -> np.ndarray:
        import scipy.fft  # late: --help stays quick; in float32, unlike NumPy's

        frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::HOP][:count]
        spectrum = scipy.fft.rfft(frames * self._window, axis=1)[:, : self._bands[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        first = self._bands[0]
        bands = np.add.reduceat(power[:, first:], self._bands[:-1] - first, axis=1)
        level = 10 * np.log10(bands + 1e-6)
        return np.clip(np.round(2 * level) + 127, 0, 255).astype(np.uint8)

    def levels(self) -> np.ndarray:
        """The levels of all that came, uint8[frames, BANDS]."""
        return np.concatenate([np.zeros((0, BANDS), np.uint8), *self._levels])

    def outline(self) -> Outline | None:
        """The outline of all that came, see `outline_of`."""
        return outline_of(self.levels())


def outline_of(levels: np.ndarray) -> Outline | None:
    """The outline of a recording with levels uint8[frames, BANDS].

    None: it is silent or shorter than 80 ms.
    """
    if not len(levels):
        return None
    top = levels.max(axis=1) / 2
    if top.max() - 63.5 < _SILENT_DB:
        return None
    loud = np.flatnonzero(top > _loudest(top[:, None]) - _AUDIBLE_DB)
    start, length = int(loud[0]), int(loud[-1] - loud[0] + 1)
    return Outline(start, length, levels[start : start + min(length, MOST_FRAMES)])


class Listener:
    """Makes outlines of sounds while they are decoded, in whatever threads.

    Attributes:
      outlines: Row → its outline, when it has been decoded; None: it is silent.
    """

    def __init__(self):
        """Begins with none."""
        self.outlines: dict[int, Outline | None] = {}

    def listen(self, row: int, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Passes blocks of sound on, float32[samples] at 16 kHz."""
        outliner = Outliner()
        for block in blocks:
            outliner.push(block)
            yield block
        self.outlines[row] = outliner.outline()


def likeness(first: Outline, second: Outline) -> tuple[float, float]:
    """How much alike two outlines are where they fit best, and how much later the second is.

    Returns:
      Correlation, and frames from a moment in the first file to the same in the second.
    """
    one, other = first.shape, second.shape
    points = 1 << int(len(one) + len(other)).bit_length()
    conjugate = np.fft.rfft(other, points, axis=0).conj()
    best, lag = -1.0, 0.0
    # Frames of a copy may lie between these: then those between two of these fit better.
    for shift, shifted in ((0.0, one), (0.5, (one[1:] + one[:-1]) / 2)):
        norm = np.linalg.norm(shifted) * np.linalg.norm(other)
        if not norm:
            continue
        product = (np.fft.rfft(shifted, points, axis=0) * conjugate).sum(axis=1)
        correlation = np.fft.irfft(product, points)
        peak = int(correlation.argmax())
        if correlation[peak] / norm > best:
            best = float(correlation[peak] / norm)
            lag = (peak if peak < points // 2 else peak - points) + shift
    return best, second.start - first.start - lag


def _loudest(level: np.ndarray) -> float:
    """The level that one frame in a hundred exceeds."""
    top = level.max(axis=1)
    rank = len(top) - 1 - len(top) // 100
    return float(np.partition(top, rank)[rank])
