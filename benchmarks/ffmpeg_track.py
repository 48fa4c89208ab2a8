"""Writing a sound track with PyAV, which benchmarks and tests make their files by."""

from __future__ import annotations

from typing import Any

import numpy as np

_AT_ONCE = 8192  # samples in a frame


def encode_track(file: Any, track: Any, sound: np.ndarray, rate: int, layout: str) -> None:
    """Encodes a whole sound into a track, to its last packet.

    Args:
      file: An `av` container, opened for writing.
      track: Its audio stream, with its codec's settings.
      sound: float[frames, channels].
      rate: Hz.
      layout: FFmpeg's name of the channels.
    """
    import av

    context = track.codec_context
    resampler = av.AudioResampler(context.format, context.layout, rate=rate)
    for start in range(0, len(sound), _AT_ONCE):
        part = np.ascontiguousarray(sound[start : start + _AT_ONCE].T.astype(np.float32))
        frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
        frame.sample_rate, frame.pts = rate, start
        for converted in resampler.resample(frame):
            file.mux(track.encode(converted))
    for converted in resampler.resample(None):
        file.mux(track.encode(converted))
    file.mux(track.encode(None))
