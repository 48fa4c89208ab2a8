"""Bytes that lie in parts of files, as a file."""

from __future__ import annotations

import abc
import io
import os
from typing import Any


class VirtualFile(io.RawIOBase, abc.ABC):
    """A readable, seekable file of bytes that lie elsewhere; a subclass says where."""

    def __init__(self, size: int):
        """Begins at the first of `size` bytes."""
        super().__init__()
        self._size, self._position = size, 0

    @abc.abstractmethod
    def _fill(self, buffer: memoryview, position: int) -> int:
        """Reads bytes from a position on.

        Args:
          buffer: Where to; not larger than what is left of the file.
          position: Of the first byte.

        Returns:
          How many were read: at least one, if the buffer is not empty and the sources are whole.
        """

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position of the next byte that is read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of `io.IOBase`.

        Raises:
          OSError: To before the start.
        """
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("a seek to before the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """As of `io.RawIOBase`."""
        wanted = max(0, min(len(buffer), self._size - self._position))
        count = self._fill(memoryview(buffer)[:wanted], self._position)
        self._position += count
        return count
