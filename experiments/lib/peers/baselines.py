"""Representations that learned nothing, as models of the one door to all models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audio_triplet import front_end
from audio_triplet.config import FRONT_END, EncoderConfig
from audio_triplet.embeddings.window_model import Window, WindowModel, digest_of

_MFCC = 20  # coefficients
# What our patches hear, side by side.
_WINDOW = Window(
    FRONT_END.sample_rate,
    FRONT_END.patch_samples / FRONT_END.sample_rate,
    FRONT_END.patch_seconds,
)


def open_baseline(name: str) -> WindowModel:
    """A baseline: one of `BASELINES`."""
    return WindowModel(name, digest_of({"baseline": name}), _WINDOW, BASELINES[name]())


def _log_mel(windows: np.ndarray) -> np.ndarray:
    """float32[n, frames, mels] from float32[n, samples]."""
    energies = [front_end.mel_energies_numpy(window) for window in windows]
    return front_end.log_mel_numpy(np.stack(energies))


def _statistics(values: np.ndarray) -> np.ndarray:
    """Mean and deviation over the frames: [n, 2 · bands] from [n, frames, bands]."""
    return np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=-1)


def _log_mel_statistics() -> Callable:
    return lambda windows: _statistics(_log_mel(windows))


def _mfcc() -> Callable:
    import scipy.fft

    def run(windows):
        return _statistics(scipy.fft.dct(_log_mel(windows), norm="ortho")[:, :, :_MFCC])

    return run


def _random() -> Callable:
    import keras

    from audio_triplet import models

    keras.utils.set_random_seed(0)
    encoder = models.build(EncoderConfig(width=0.25, normalisation="batch", pooling="time"))
    return lambda windows: encoder(_log_mel(windows), training=False)


# Name → makes float32[n, samples] → [n, dim].
BASELINES: dict[str, Callable[[], Callable]] = {
    "log_mel": _log_mel_statistics,
    "mfcc": _mfcc,
    "random": _random,
}
