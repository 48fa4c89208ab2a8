"""Where one sound lies in another, to the sample: the correlation of their waveforms.

Sounds that are alike do not correlate; a copy does, whatever its loudness and polarity, and after a
lossy codec nearly as well.

No TensorFlow here.
"""

from __future__ import annotations

import bisect
from typing import NamedTuple

import numpy as np

# Of the first difference: hum and rumble, which many recordings share, count little.
_EMPHASIS = 0.95

# Lengths at which a Fourier transform is quick; longer ones are powers of two.
_QUICK = sorted(size for a in range(9, 22) for b in range(3) if (size := 2**a * 3**b) <= 1 << 21)


class Alignment(NamedTuple):
    """Where a sound lies in another.

    Attributes:
      offset: Its first sample there; may be negative, if it begins before.
      correlation: 0 to 1, its magnitude; 1: they are the same but for a factor, which may be
        negative.
    """

    offset: int
    correlation: float


class Pattern:
    """A sound that is looked for in others; threads may share it."""

    def __init__(self, sound: np.ndarray):
        """Prepares it.

        Args:
          sound: float[n], at least two samples.
        """
        self._sound = _emphasised(sound)
        self._power = float(np.square(self._sound).sum())  # BLAS would start its threads for it
        self._spectra: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Samples."""
        return len(self._sound)

    def correlations(self, within: np.ndarray, overhang: int = 0) -> np.ndarray:
        """The magnitude of its correlation with each part of another sound.

        Args:
          within: float[m], of the same rate.
          overhang: How many samples of the pattern may lie before or after `within`.

        Returns:
          float64[m - n + 1 + 2 * overhang], 0 to 1; the first for an offset of `-overhang`. Empty
          where nothing fits, 0 where all is silent.
        """
        count = len(self)
        places = len(within) + 2 * overhang - count + 1
        if places < 1:
            return np.zeros(0)
        padded = np.zeros(_quick_size(len(within) + 2 * overhang))
        padded[overhang : overhang + len(within)] = _emphasised(within)
        spectrum = np.fft.rfft(padded)
        spectrum *= self._conjugate(len(padded))
        # What is wrapped around lies behind the last place.
        found = np.fft.irfft(spectrum, len(padded))[:places]
        squares = np.zeros(places + count)
        np.multiply(padded[: places + count - 1], padded[: places + count - 1], out=squares[1:])
        np.cumsum(squares, out=squares)
        local = squares[count:] - squares[:-count]
        # Next to silence rounding would be divided by nothing.
        least = 1e-6 * max(self._power, float(local.max()))
        if self._power <= 0 or least <= 0:
            return np.zeros(places)
        np.maximum(local, least, out=local)
        local *= self._power
        found /= np.sqrt(local, out=local)
        np.abs(found, out=found)
        return np.minimum(found, 1.0, out=found)

    def _conjugate(self, size: int) -> np.ndarray:
        """The conjugate of its spectrum, padded to a length."""
        if size not in self._spectra:
            self._spectra[size] = np.conj(np.fft.rfft(self._sound, size))
        return self._spectra[size]


def align(sound: np.ndarray, within: np.ndarray, overhang: int = 0) -> Alignment:
    """Finds the moment at which a sound correlates best with a part of another.

    Args:
      sound: float[n], at least two samples.
      within: float[m], of the same rate.
      overhang: How many samples of `sound` may lie before or after `within`.

    Returns:
      The best moment; correlation 0 where nothing fits or all is silent.
    """
    found = Pattern(sound).correlations(within, overhang)
    if not found.any():
        return Alignment(0, 0.0)
    best = int(found.argmax())
    return Alignment(best - overhang, float(found[best]))


def _quick_size(count: int) -> int:
    """A length of at least so many samples at which a Fourier transform is quick."""
    place = bisect.bisect_left(_QUICK, count)
    return _QUICK[place] if place < len(_QUICK) else 1 << (count - 1).bit_length()


def _emphasised(sound: np.ndarray) -> np.ndarray:
    """float64[n], the first difference of float[n]."""
    sound = np.asarray(sound, np.float64)
    found = sound.copy()
    found[1:] -= _EMPHASIS * sound[:-1]
    found[:1] = 0  # a sound that is cut begins with a step
    return found
