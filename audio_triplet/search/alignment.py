"""Where one sound lies in another, to the sample: the correlation of their waveforms.

Sounds that are alike do not correlate; a copy does, whatever its loudness and polarity, and after a
lossy codec nearly as well.

No TensorFlow here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Of the first difference: hum and rumble, which many recordings share, count little.
_EMPHASIS = 0.95


class Alignment(NamedTuple):
    """Where a sound lies in another.

    Attributes:
      offset: Its first sample there; may be negative, if it begins before.
      correlation: 0 to 1, its magnitude; 1: they are the same but for a factor, which may be
        negative.
    """

    offset: int
    correlation: float


def align(sound: np.ndarray, within: np.ndarray, overhang: int = 0) -> Alignment:
    """Finds the moment at which a sound correlates best with a part of another.

    Args:
      sound: float[n], at least two samples.
      within: float[m], of the same rate.
      overhang: How many samples of `sound` may lie before or after `within`.

    Returns:
      The best moment; correlation 0 where nothing fits or all is silent.
    """
    sound, within = _emphasised(sound), np.pad(_emphasised(within), overhang)
    count, places = len(sound), len(within) - len(sound) + 1
    power = float(sound @ sound)
    if places < 1 or power <= 0:
        return Alignment(0, 0.0)
    size = 1 << (len(within) + count - 2).bit_length()
    spectrum = np.fft.rfft(within, size)
    spectrum *= np.conj(np.fft.rfft(sound, size))
    products = np.fft.irfft(spectrum, size)[:places]
    squares = np.concatenate([[0.0], np.cumsum(within * within)])
    local = squares[count:] - squares[:-count]
    # Next to silence rounding would be divided by nothing.
    least = 1e-6 * max(power, float(local.max()))
    correlation = products / np.sqrt(power * np.maximum(local, least))
    np.abs(correlation, out=correlation)
    best = int(correlation.argmax())
    return Alignment(best - overhang, float(min(correlation[best], 1.0)))


def _emphasised(sound: np.ndarray) -> np.ndarray:
    """float64[n], the first difference of float[n]."""
    sound = np.asarray(sound, np.float64)
    found = sound.copy()
    found[1:] -= _EMPHASIS * sound[:-1]
    found[:1] = 0  # a sound that is cut begins with a step
    return found
