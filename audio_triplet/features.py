"""The front end: waveform → mel energies → log mel → patches.

Numerically the front end of the authors' VGGish (paper.md, Input [D: follow VGGish]): frames of
400 samples (25 ms) every 160 (10 ms), periodic Hann window, 512-point FFT, *magnitude* spectrum,
64 triangular bands on the HTK mel scale from 125 to 7500 Hz, log(mel + 0.01). The constraints of
the paper act on the linear energies, so the logarithm is a step of its own.
"""

import numpy as np
import tensorflow as tf

from audio_triplet.config import FrontEndConfig

DEFAULT = FrontEndConfig()


def mel_weights(config: FrontEndConfig = DEFAULT) -> np.ndarray:
    """Triangular mel filters from the HTK formula, triangles linear in mel.

    Args:
      config: Front end parameters.

    Returns:
      float64[fft_length // 2 + 1, mel_bands]. The row of 0 Hz is zero, as in VGGish.
    """
    bins_hz = np.linspace(0.0, config.sample_rate / 2, config.fft_length // 2 + 1)
    edges = np.linspace(
        hertz_to_mel(config.mel_min_hz), hertz_to_mel(config.mel_max_hz), config.mel_bands + 2
    )
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    mel = hertz_to_mel(bins_hz)[:, None]  # [bins, 1]
    rising = (mel - lower) / (centre - lower)
    falling = (upper - mel) / (upper - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))  # [bins, mels]
    weights[0] = 0.0
    return weights


def hertz_to_mel(hertz):
    """HTK mel scale: 1127 · ln(1 + f / 700)."""
    return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)


def mel_energies(waveform, config: FrontEndConfig = DEFAULT) -> tf.Tensor:
    """Linear mel energies of every whole window.

    Args:
      waveform: float32[..., samples] at `config.sample_rate`.
      config: Front end parameters.

    Returns:
      float32[..., frames, mels], non-negative. `frames` is 0 when there are fewer samples than
      one window; `patches` pads that to one patch of silence.
    """
    waveform = tf.convert_to_tensor(waveform, tf.float32)
    frames = tf.signal.frame(waveform, config.window_samples, config.hop_samples)
    # [..., frames, window_samples]
    window = tf.signal.hann_window(config.window_samples, periodic=True)
    frames = _pad_last(frames * window, config.fft_length)  # also where there is no frame at all
    magnitude = tf.abs(tf.signal.rfft(frames))
    # [..., frames, bins]
    weights = tf.constant(mel_weights(config), tf.float32)
    return tf.linalg.matmul(magnitude, weights)  # [..., frames, mels]


def log_mel(mel_energies, config: FrontEndConfig = DEFAULT) -> tf.Tensor:
    """Stabilised logarithm, log(mel + 0.01): what the encoder sees.

    Args:
      mel_energies: float32 of any shape, non-negative.
      config: Front end parameters.

    Returns:
      float32 of the same shape, never below log(0.01) = -4.6.
    """
    return tf.math.log(tf.convert_to_tensor(mel_energies, tf.float32) + config.log_offset)


def patches(mel, hop_frames: int = 96, config: FrontEndConfig = DEFAULT) -> tf.Tensor:
    """Cuts frames into patches.

    Only whole patches are kept; an input shorter than one patch is padded with zeros at its end,
    so that there is always at least one. Cut linear energies, not log mel, when the input may be
    that short: zero is silence there.

    Args:
      mel: float[..., frames, mels].
      hop_frames: Frames from one patch to the next; 96 means no overlap.
      config: Front end parameters.

    Returns:
      Same dtype, [..., patches, patch_frames, mels].
    """
    if isinstance(hop_frames, int) and hop_frames < 1:
        raise ValueError(f"hop_frames must be at least 1, not {hop_frames}")
    mel = tf.convert_to_tensor(mel)
    missing = tf.maximum(0, config.patch_frames - tf.shape(mel)[-2])
    leading = [[0, 0]] * (mel.shape.rank - 2)
    mel = tf.pad(mel, [*leading, [0, missing], [0, 0]])
    return tf.signal.frame(mel, config.patch_frames, hop_frames, axis=-2)


def _pad_last(tensor: tf.Tensor, length: int) -> tf.Tensor:
    """Zero-pads the last, statically known, axis to `length`."""
    leading = [[0, 0]] * (tensor.shape.rank - 1)
    return tf.pad(tensor, [*leading, [0, length - tensor.shape[-1]]])
