"""What reading finds out about files: which decoder read each, and which are truncated."""

from __future__ import annotations

import collections
import functools
import threading

from absl import logging

_NAMES = {"libsndfile": "libsndfile", "ffmpeg": "FFmpeg"}


class ReadLog:
    """Notes on files that were read; thread-safe.

    Attributes:
      decoders: path → name of what decoded it (`AudioInfo.decoder`).
      truncated: path → what is missing, of truncated files whose sound is used.
    """

    def __init__(self) -> None:
        """Nothing yet."""
        self.decoders: dict[str, str] = {}
        self.truncated: dict[str, str] = {}
        self._lock = threading.Lock()

    def note_decoder(self, path: str, decoder: str) -> None:
        """Notes that a file was read by a decoder."""
        with self._lock:
            self.decoders[path] = decoder

    def note_truncated(self, path: str, reason: str) -> None:
        """Notes a truncated file; the process warns of it once."""
        with self._lock:
            self.truncated[path] = reason
        _warn(path, reason)

    def update(self, decoders: dict[str, str], truncated: dict[str, str]) -> None:
        """Takes over what another log has noted."""
        for path, decoder in decoders.items():
            self.note_decoder(path, decoder)
        for path, reason in truncated.items():
            self.note_truncated(path, reason)

    def counts(self) -> dict[str, int]:
        """Decoder → files that it read."""
        with self._lock:
            return dict(sorted(collections.Counter(self.decoders.values()).items(), reverse=True))

    def __str__(self) -> str:
        """`decoded: 1,204 by libsndfile, 31 by FFmpeg`; "" if nothing was read."""
        return decoded(self.counts())


def decoded(counts: dict[str, int]) -> str:
    """Counts by decoder, as `decoded: 1,204 by libsndfile, 31 by FFmpeg`; "" if there are none."""
    words = [f"{count:,} by {_NAMES.get(name, name)}" for name, count in counts.items()]
    return f"decoded: {', '.join(words)}" if words else ""


@functools.lru_cache(maxsize=10_000)
def _warn(path: str, reason: str) -> None:
    logging.warning("%s: %s; what is there is used", path, reason)
