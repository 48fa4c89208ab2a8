"""The front end where Python runs, without TensorFlow: waveform → mel energies → log mel.

What it computes stands in `features`, which computes the same in a graph. Two functions: one is
quick for much sound, the other is quick to import, for a query that somebody waits for.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.config import FRONT_END

if TYPE_CHECKING:
    import scipy.sparse

# Frames that are computed at a time: their temporaries fit the L2 cache.
_BLOCK_FRAMES = 128


def mel_weights() -> np.ndarray:
    """Triangular mel filters from the HTK formula, triangles linear in mel.

    Returns:
      float64[fft_length // 2 + 1, mel_bands]. The row of 0 Hz is zero, as in VGGish.
    """
    bins_hz = np.linspace(0.0, FRONT_END.sample_rate / 2, FRONT_END.fft_length // 2 + 1)
    edges = np.linspace(
        hertz_to_mel(FRONT_END.mel_min_hz),
        hertz_to_mel(FRONT_END.mel_max_hz),
        FRONT_END.mel_bands + 2,
    )
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    mel = hertz_to_mel(bins_hz)[:, None]  # [bins, 1]
    rising = (mel - lower) / (centre - lower)
    falling = (upper - mel) / (upper - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))  # [bins, mels]
    weights[0] = 0.0
    return weights


def hertz_to_mel(hertz) -> np.ndarray:
    """HTK mel scale: 1127 · ln(1 + f / 700)."""
    return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)


def mel_energies_numpy(waveform: np.ndarray) -> np.ndarray:
    """`features.mel_energies` by NumPy and SciPy, on one thread.

    Args:
      waveform: float32[samples] at 16 kHz.

    Returns:
      float32[frames, mels].
    """
    import scipy.fft  # here, because it takes twice as long to import as NumPy

    windows = _windows(waveform)
    energies = np.empty((len(windows), FRONT_END.mel_bands), np.float32)
    if not len(windows):
        return energies
    window = hann_window()
    first_bin, weights = _sparse_mel_weights()
    bins = slice(first_bin, first_bin + weights.shape[1])
    block = np.zeros((_BLOCK_FRAMES, FRONT_END.fft_length), np.float32)
    for begin in range(0, len(windows), _BLOCK_FRAMES):
        part = windows[begin : begin + _BLOCK_FRAMES]
        count = len(part)
        np.multiply(part, window, out=block[:count, : FRONT_END.window_samples])
        magnitude = np.abs(scipy.fft.rfft(block[:count])[:, bins])  # [frames, bins]
        energies[begin : begin + count] = (weights @ np.ascontiguousarray(magnitude.T)).T
    return energies


def mel_energies_at_once(waveform: np.ndarray) -> np.ndarray:
    """The same by NumPy alone: half as fast, but nothing has to be imported first.

    Args:
      waveform: float32[samples] at 16 kHz.

    Returns:
      float32[frames, mels], within 1e-5 of the others.
    """
    windows = _windows(waveform)
    energies = np.empty((len(windows), FRONT_END.mel_bands), np.float32)
    weights = mel_weights().astype(np.float32)
    for begin in range(0, len(windows), _BLOCK_FRAMES):
        part = windows[begin : begin + _BLOCK_FRAMES] * hann_window()
        spectrum = np.fft.rfft(part, FRONT_END.fft_length)  # complex128[frames, bins]
        energies[begin : begin + len(part)] = np.abs(spectrum).astype(np.float32) @ weights
    return energies


def log_mel_numpy(mel_energies: np.ndarray) -> np.ndarray:
    """`features.log_mel` by NumPy.

    Args:
      mel_energies: float32 of any shape, non-negative.

    Returns:
      float32 of the same shape.
    """
    return np.log(np.asarray(mel_energies, np.float32) + np.float32(FRONT_END.log_offset))


def _windows(waveform: np.ndarray) -> np.ndarray:
    """The samples of each whole window: float32[frames, window_samples], nothing is copied."""
    waveform = np.asarray(waveform, np.float32)
    if not FRONT_END.frames(len(waveform)):
        return np.empty((0, FRONT_END.window_samples), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(waveform, FRONT_END.window_samples)
    return windows[:: FRONT_END.hop_samples]


@functools.cache
def hann_window() -> np.ndarray:
    """Periodic Hann window: float32[window_samples], read-only."""
    phase = np.arange(FRONT_END.window_samples) / FRONT_END.window_samples
    window = (0.5 - 0.5 * np.cos(2 * np.pi * phase)).astype(np.float32)
    window.setflags(write=False)
    return window


@functools.cache
def _sparse_mel_weights() -> tuple[int, scipy.sparse.csr_array]:
    """The first bin that is in any band, and float32[mels, bins in a band].

    A bin is in two bands at most, so a full product would be mostly zeros. BLAS would also start
    its own threads, for far too small products, in each of the pipeline's threads.
    """
    import scipy.sparse

    weights = mel_weights()
    used = np.flatnonzero(weights.any(axis=1))
    weights = weights[used[0] : used[-1] + 1].T.astype(np.float32)
    return int(used[0]), scipy.sparse.csr_array(weights)
