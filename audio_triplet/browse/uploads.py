"""Sounds that were sent to search by: files of a temporary folder, gone with the process."""

from __future__ import annotations

import collections
import os
import secrets
import shutil
import tempfile
import threading
from typing import BinaryIO

from audio_triplet.errors import BrowseError

PREFIX = "upload:"
_KEPT = 20


class Uploads:
    """A temporary folder of uploaded sounds, of which the latest are kept.

    Attributes:
      folder: The folder.
    """

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="audio-triplet-browse-")
        self.folder = self._temporary.name
        self._lock = threading.Lock()
        self._files: collections.OrderedDict[str, str] = collections.OrderedDict()

    def add(self, content: BinaryIO) -> str:
        """Keeps a sound.

        Args:
          content: Its bytes.

        Returns:
          Its name, `upload:ID`.
        """
        identifier = secrets.token_hex(8)
        path = os.path.join(self.folder, identifier)
        with open(path, "xb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        with self._lock:
            self._files[PREFIX + identifier] = path
            gone = [
                self._files.popitem(last=False)[1] for _ in range(max(0, len(self._files) - _KEPT))
            ]
        for old in gone:
            os.unlink(old)
        return PREFIX + identifier

    def path(self, name: str) -> str:
        """The file of an upload.

        Raises:
          BrowseError: It is not kept (any longer).
        """
        with self._lock:
            found = self._files.get(name)
            if found is None:
                raise BrowseError(f"{name[:60]!a}: is not kept; send the sound again", 404)
            self._files.move_to_end(name)
            return found

    def close(self) -> None:
        """Removes the folder."""
        self._temporary.cleanup()
