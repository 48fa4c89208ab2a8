"""Log-mel pictures of excerpts, as data URIs."""

from __future__ import annotations

import base64
import functools
import io
import math

import numpy as np

_PICTURE_LEVELS = 32
_PICTURE_FRAMES_PER_PIXEL = 2  # 20 ms
_PICTURE_MIN_RANGE = 3.0  # nepers: a silent clip shall look silent, not like its rounding errors


# --- pictures ------------------------------------------------------------------------------------


def _import_features():
    from audio_triplet import features

    return features


def log_mel_of(waveform: np.ndarray) -> np.ndarray:
    """float32[pixels, mels], the front end's log mel, two frames a pixel."""
    features = _import_features()
    missing = features.DEFAULT.window_samples - len(waveform)
    mel = features.mel_energies(np.pad(waveform, (0, max(0, missing)))).numpy()
    group = _PICTURE_FRAMES_PER_PIXEL
    pixels = -(-len(mel) // group)
    mel = np.pad(mel, ((0, pixels * group - len(mel)), (0, 0)), mode="edge")
    return features.log_mel(mel.reshape(pixels, group, -1).mean(axis=1)).numpy()


@functools.cache
def _palette() -> bytes:
    import matplotlib

    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, _PICTURE_LEVELS))[:, :3]
    return np.round(255 * colours).astype(np.uint8).tobytes()


def picture_uri(log_mel: np.ndarray, span_seconds: float) -> str:
    """A log mel picture as a data URI: time to the right, frequency upwards, loud is bright.

    Black is the front end's silence, log(0.01); white is the clip's own loudest cell. What is
    shorter than the span is black after its end, so that all pictures of a page share one clock.

    Args:
      log_mel: float32[pixels, mels], 20 ms a pixel.
      span_seconds: What the width stands for.

    Returns:
      `data:image/png;base64,...`, 32 colours.
    """
    from PIL import Image

    floor = math.log(_import_features().DEFAULT.log_offset)
    top = max(float(log_mel.max(initial=floor)), floor + _PICTURE_MIN_RANGE)
    levels = np.rint((log_mel - floor) / (top - floor) * (_PICTURE_LEVELS - 1))
    levels = np.clip(levels, 0, _PICTURE_LEVELS - 1).astype(np.uint8)
    hop = _import_features().DEFAULT.hop_seconds * _PICTURE_FRAMES_PER_PIXEL
    width = max(len(levels), math.ceil(span_seconds / hop))
    levels = np.pad(levels, ((0, width - len(levels)), (0, 0)))
    image = Image.fromarray(np.ascontiguousarray(levels.T[::-1]), mode="P")
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
