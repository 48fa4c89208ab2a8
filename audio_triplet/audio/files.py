"""Opening a path or file object for a decoder, and its name in messages."""

from __future__ import annotations

import io
import os
import stat
from typing import BinaryIO

from audio_triplet import storage
from audio_triplet.audio.decoder import AudioPath
from audio_triplet.errors import AudioError


class InputFile:
    """A sound file's bytes, as a context manager; a file object of the caller's stays open.

    Attributes:
      name: The file, for messages.
      file: Its bytes; can seek.
      size: Bytes.
    """

    def __init__(self, path: AudioPath):
        """Opens a path, local or remote.

        Raises:
          AudioError: It is missing, not a regular file, unreadable, or empty.
        """
        self.name = printable(path)
        self._is_ours = isinstance(path, (str, bytes, os.PathLike))
        self.file = _open(path, self.name) if isinstance(path, (str, bytes, os.PathLike)) else path
        self.size = self.file.seek(0, os.SEEK_END)
        if self.size == 0:
            self.close()
            raise AudioError(self.name, "is empty (0 bytes)", "fetch it again or remove it")

    def __enter__(self) -> InputFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file if it was opened here."""
        if self._is_ours:
            self.file.close()

    def descriptor(self) -> int | None:
        """The operating system's number of the file, if it is a local one that was opened here."""
        return self.file.fileno() if self._is_ours and isinstance(self.file, io.FileIO) else None


def printable(path: AudioPath) -> str:
    """A file's name, on one line whatever bytes it has."""
    name = path if isinstance(path, (str, bytes, os.PathLike)) else getattr(path, "name", None)
    if not isinstance(name, (str, bytes, os.PathLike)):
        return "<file object>"
    text = os.fsdecode(name)
    return text if text.isprintable() else ascii(text)


def read_at(file: BinaryIO, offset: int, n_bytes: int) -> bytes:
    """Up to `n_bytes` from `offset`; fewer only where the file ends."""
    file.seek(offset)
    parts = []
    while n_bytes > 0 and (part := file.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def _open(path: str | bytes | os.PathLike, name: str) -> BinaryIO:
    try:
        if storage.is_remote(path):
            return storage.open_remote(path)
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(name, "is a directory", "give the path of one sound file")
        if not stat.S_ISREG(mode):  # Opening a FIFO would wait for ever.
            raise AudioError(name, "is not a regular file", "give the path of one sound file")
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise AudioError(name, "no such file", "correct the path, or fetch the file") from None
    except PermissionError:
        raise AudioError(name, "may not be read", "change its permissions") from None
    except OSError as error:
        reason = f"cannot be opened ({error.strerror})"
        raise AudioError(name, reason, "correct the path or its storage") from error
    except ValueError as error:  # a NUL in the path
        if isinstance(error, AudioError):
            raise
        raise AudioError(name, f"is no path ({error})", "correct the path") from None
