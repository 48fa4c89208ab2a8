"""Log mel pictures of excerpts, as PNG and as data URIs. No TensorFlow here."""

from __future__ import annotations

import base64
import functools
import io
import math

import numpy as np

from audio_triplet import front_end
from audio_triplet.config import FRONT_END

_LEVELS = 32
_FRAMES_PER_PIXEL = 2  # 20 ms
PIXEL_SECONDS = 0.02
_MIN_RANGE = 3.0  # nepers: a silent clip should look silent, not like its rounding errors


def log_mel_of(waveform: np.ndarray) -> np.ndarray:
    """The front end's log mel, two frames per pixel.

    Args:
      waveform: float32[samples], 16 kHz; one shorter than a window is padded.

    Returns:
      float32[pixels, mels].
    """
    missing = FRONT_END.window_samples - len(waveform)
    mel = front_end.mel_energies_numpy(np.pad(waveform, (0, max(0, missing))))
    pixels = -(-len(mel) // _FRAMES_PER_PIXEL)
    mel = np.pad(mel, ((0, pixels * _FRAMES_PER_PIXEL - len(mel)), (0, 0)), mode="edge")
    return front_end.log_mel_numpy(mel.reshape(pixels, _FRAMES_PER_PIXEL, -1).mean(axis=1))


def picture_uri(log_mel: np.ndarray, span_seconds: float) -> str:
    """A log mel picture as a data URI, see `picture_png`."""
    png = picture_png(log_mel, span_seconds)
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def picture_png(log_mel: np.ndarray, span_seconds: float) -> bytes:
    """A log mel picture: time to the right, frequency upwards, loud is bright.

    Black is the front end's silence, log(0.01); white is the clip's own loudest cell. A shorter
    clip is black after its end, so that all pictures of a page have one time scale.

    Args:
      log_mel: float32[pixels, mels], 20 ms per pixel.
      span_seconds: Seconds that the width stands for.

    Returns:
      A PNG of 32 colours.
    """
    from PIL import Image

    floor = math.log(FRONT_END.log_offset)
    top = max(float(log_mel.max(initial=floor)), floor + _MIN_RANGE)
    levels = np.rint((log_mel - floor) / (top - floor) * (_LEVELS - 1))
    levels = np.clip(levels, 0, _LEVELS - 1).astype(np.uint8)
    width = max(len(levels), math.ceil(span_seconds / (FRONT_END.hop_seconds * _FRAMES_PER_PIXEL)))
    levels = np.pad(levels, ((0, width - len(levels)), (0, 0)))  # [width, mels]
    image = Image.fromarray(np.ascontiguousarray(levels.T[::-1]), mode="P")
    image.putpalette(palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def pitch_marks() -> list[tuple[float, str]]:
    """Marks for the side of a picture: (percent from the bottom, words), lowest first."""
    low_hz, high_hz = FRONT_END.mel_min_hz, FRONT_END.mel_max_hz
    low, high = float(front_end.hertz_to_mel(low_hz)), float(front_end.hertz_to_mel(high_hz))
    return [
        (100 * (float(front_end.hertz_to_mel(hertz)) - low) / (high - low), _hertz(hertz))
        for hertz in (low_hz, 500.0, 1000.0, 2000.0, 4000.0, high_hz)
    ]


def _hertz(value: float) -> str:
    return f"{value:g} Hz" if value < 1000 else f"{value / 1000:g} kHz"


@functools.cache
def palette() -> bytes:
    """Red, green and blue of each of the 32 colours, dark to bright."""
    import matplotlib

    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, _LEVELS))[:, :3]
    return np.round(255 * colours).astype(np.uint8).tobytes()
