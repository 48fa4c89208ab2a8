"""What was found out about files, each time once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Known(Generic[Found]):
    """Answers about local files, kept as long as a file has the same size and date."""

    def __init__(self, most: int):
        """Makes it empty.

        Args:
          most: How many answers are kept at most; then it begins anew.
        """
        self._most = most
        # (device, inode, size, date) → answer.
        self._answers: dict[tuple[int, ...], Found] = {}

    def get(self, descriptor: int | None, find: Callable[[], Found]) -> Found:
        """The answer about a file.

        Args:
          descriptor: The operating system's number of the open file; None: it is none of its
            files, and nothing is kept.
          find: Finds it out.
        """
        if descriptor is None:
            return find()
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        try:
            return self._answers[key]
        except KeyError:
            found = find()
        if len(self._answers) >= self._most:
            self._answers.clear()
        self._answers[key] = found
        return found

    def clear(self) -> None:
        """Forgets all answers."""
        self._answers.clear()
