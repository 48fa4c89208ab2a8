"""Log mel pictures of any part of a file, as PNG."""

from __future__ import annotations

import numpy as np

from audio_triplet import audio
from audio_triplet.errors import AudioError
from audio_triplet.web import excerpts, pictures

# The longest part that is pictured at once: it is decoded for it.
MAX_SECONDS = 600.0
MIN_WIDTH, MAX_WIDTH = 2, 4_000


def load() -> None:
    """Imports what a first picture needs, which takes half a second."""
    silence = np.zeros(excerpts.SAMPLE_RATE // 10, np.float32)
    pictures.picture_png(pictures.log_mel_of(silence), 0.1)


def picture(path: str, start_seconds: float, end_seconds: float, width: int | None = None) -> bytes:
    """A picture of a part of a file.

    Args:
      path: The file.
      start_seconds: Where the part begins.
      end_seconds: Where it ends; black beyond the end of the file.
      width: Pixels; None: 20 ms each.

    Returns:
      A PNG, 64 pixels high.

    Raises:
      AudioError: It cannot be read, holds nothing there, or the part is too long.
    """
    seconds = end_seconds - start_seconds
    if seconds > MAX_SECONDS:
        raise AudioError(
            path, f"{seconds:g} s are too long for a picture", f"ask for {MAX_SECONDS:g} s at most"
        )
    waveform = audio.read_piece(path, start_seconds, seconds, excerpts.SAMPLE_RATE, truncated="use")
    if not len(waveform):
        raise AudioError(path, f"no sound at {start_seconds:g} s", "ask for an earlier part")
    log_mel = pictures.log_mel_of(waveform)
    if width is None:
        return pictures.picture_png(log_mel, seconds)
    sounding = max(1, round(width * min(1.0, len(waveform) / excerpts.SAMPLE_RATE / seconds)))
    pixel_seconds = pictures.PIXEL_SECONDS
    return pictures.picture_png(_squeezed(log_mel, sounding), width * pixel_seconds)


def _squeezed(log_mel: np.ndarray, width: int) -> np.ndarray:
    """float32[n, mels] as float32[width, mels]: means where pixels merge, else repeated."""
    edges = np.linspace(0, len(log_mel), width + 1)
    first = np.minimum(edges[:-1].astype(int), len(log_mel) - 1)
    last = np.maximum(np.ceil(edges[1:] - 1e-9).astype(int), first + 1)
    sums = np.concatenate(
        [np.zeros((1, log_mel.shape[1])), np.cumsum(log_mel, axis=0, dtype=float)]
    )
    return ((sums[last] - sums[first]) / (last - first)[:, None]).astype(np.float32)
