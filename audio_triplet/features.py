"""The front end: waveform → mel energies → log mel → patches.

Numerically the front end of the authors' VGGish [D] (docs/method.md, the input): frames of
400 samples (25 ms) every 160 (10 ms), periodic Hann window, 512-point FFT, *magnitude* spectrum,
64 triangular bands on the HTK mel scale from 125 to 7500 Hz, log(mel + 0.01). The constraints of
the paper act on the linear energies, so the logarithm is a step of its own.

`mel_energies` computes in a graph, for exports, accelerators and batches; where Python runs,
`front_end` computes the same without TensorFlow. They agree within 1e-4 in log mel.

There is one front end, `DEFAULT`: every trained model, shard and index is made by it.
"""

import math

import numpy as np
import tensorflow as tf

from audio_triplet.config import FRONT_END as DEFAULT
from audio_triplet.front_end import hann_window, hertz_to_mel, mel_energies_numpy, mel_weights

__all__ = [
    "DEFAULT",
    "hertz_to_mel",
    "log_mel",
    "mel_energies",
    "mel_energies_numpy",
    "mel_weights",
    "patches",
]

_BAND_GROUPS = 4

# Keeps the gradient of the square root finite in silence.
_LEAST_ROOT = 1e-15


def mel_energies(waveform) -> tf.Tensor:
    """Linear mel energies of every whole window.

    Args:
      waveform: float32[..., samples] at 16 kHz.

    Returns:
      float32[..., frames, mels], non-negative. `frames` is 0 when there are fewer samples than
      one window; `patches` pads that to one patch of silence.
    """
    waveform = tf.convert_to_tensor(waveform, tf.float32)
    spectrum = tf.signal.rfft(_windowed_frames(waveform))  # [..., frames, bins]
    # Not tf.abs: its protection from overflow costs as much as the transform.
    power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    magnitude = _root(power)
    groups = [magnitude[..., bins] @ weights for bins, weights in _band_groups()]
    return tf.concat(groups, axis=-1)  # [..., frames, mels]


def log_mel(mel_energies) -> tf.Tensor:
    """Stabilised logarithm, log(mel + 0.01): what the encoder sees.

    Args:
      mel_energies: float32 of any shape, non-negative.

    Returns:
      float32 of the same shape, never below log(0.01) = -4.6.
    """
    return tf.math.log(tf.convert_to_tensor(mel_energies, tf.float32) + DEFAULT.log_offset)


def patches(mel, hop_frames: int = 96) -> tf.Tensor:
    """Cuts frames into patches.

    Only whole patches are kept; an input shorter than one patch is padded with zeros at its end,
    so that there is always at least one. Cut linear energies, not log mel, when the input may be
    that short: zero is silence there.

    Args:
      mel: float[..., frames, mels].
      hop_frames: Frames from one patch to the next; 96 means no overlap.

    Returns:
      Same dtype, [..., patches, patch_frames, mels].
    """
    if isinstance(hop_frames, int) and hop_frames < 1:
        raise ValueError(f"hop_frames must be at least 1, not {hop_frames}")
    mel = tf.convert_to_tensor(mel)
    missing = tf.maximum(0, DEFAULT.patch_frames - tf.shape(mel)[-2])
    leading = [[0, 0]] * (mel.shape.rank - 2)
    mel = tf.pad(mel, [*leading, [0, missing], [0, 0]])
    return tf.signal.frame(mel, DEFAULT.patch_frames, hop_frames, axis=-2)


def _windowed_frames(waveform: tf.Tensor) -> tf.Tensor:
    """Windowed frames, zero-padded for the transform: [..., samples] → [..., frames, fft_length].

    Put together from rows of 80 samples, of which hop and window are multiples: `tf.signal.frame`
    gathers sample by sample, which costs more than the transform.
    """
    hop, window = DEFAULT.hop_samples, DEFAULT.window_samples
    row = math.gcd(hop, window)
    samples, static = tf.shape(waveform)[-1], waveform.shape[-1]
    count = tf.maximum(0, 1 + (samples - window) // hop)
    rows = tf.where(count > 0, ((count - 1) * hop + window) // row, 0)
    leading = tf.shape(waveform)[:-1]
    waveform = tf.reshape(waveform[..., : rows * row], tf.concat([leading, [rows, row]], 0))
    places = tf.range(count)[:, None] * (hop // row) + tf.range(window // row)  # [frames, rows]
    frames = tf.gather(waveform, places, axis=-2)  # [..., frames, rows of a window, 80]
    frames = tf.reshape(frames, tf.concat([leading, [count, window]], 0)) * hann_window()
    unpadded = [[0, 0]] * (frames.shape.rank - 1)
    frames = tf.pad(frames, [*unpadded, [0, DEFAULT.fft_length - window]])
    count = None if static is None else DEFAULT.frames(static)
    frames.set_shape([*waveform.shape[:-2], count, DEFAULT.fft_length])
    return frames


def _band_groups() -> list[tuple[slice, np.ndarray]]:
    """The bands in groups: the bins that a group has, and its weights float32[bins, bands].

    Of the whole matrix nearly all is zeros; in four groups a product takes two thirds of the time.
    """
    groups = []
    for weights in np.split(mel_weights().astype(np.float32), _BAND_GROUPS, axis=1):
        used = np.flatnonzero(weights.any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1)
        groups.append((bins, weights[bins]))
    return groups


@tf.custom_gradient
def _root(power: tf.Tensor):
    """The square root, with a gradient that is finite at 0."""
    root = tf.sqrt(power)
    return root, lambda gradient: gradient * 0.5 / tf.maximum(root, _LEAST_ROOT)
