"""The map of the archive, kept in a file, and the process that computes it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading

import numpy as np

from audio_triplet import storage
from audio_triplet.browse.archive import Archive

# Arrays as they are sent: little-endian, in this order.
SENT = {"x": "<f4", "y": "<f4", "file": "<u4", "start": "<f4", "end": "<f4", "minute": "<i2"}


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """Moments of an archive in the plane.

    Attributes:
      version: Of the index that it is of.
      of_vectors: Moments that the index has.
      paths: Files.
      arrays: x, y, file (a place in `paths`), start, end, minute → [points].
    """

    version: str
    of_vectors: int
    paths: list[str]
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: str) -> Map:
        """Reads the file.

        Raises:
          OSError: It is not there.
          ValueError: It is damaged.
        """
        try:
            with storage.open_arrays(path) as found:
                return cls(
                    found["version"].tobytes().decode(),
                    int(found["of_vectors"][0]),
                    json.loads(found["paths"].tobytes()),
                    {name: found[name] for name in SENT},
                )
        except ValueError as error:
            raise ValueError(f"{path}: is damaged ({error})") from error

    def __len__(self) -> int:
        """Number of points."""
        return len(self.arrays["x"])

    def layout(self) -> dict[str, dict]:
        """Type, offset and length of each array in `as_bytes`."""
        found, offset = {}, 0
        for name, kind in SENT.items():
            found[name] = {"type": kind, "offset": offset, "length": len(self)}
            offset += len(self) * np.dtype(kind).itemsize
        return found

    def as_bytes(self) -> bytes:
        """The arrays, one after the other."""
        return b"".join(self.arrays[name].astype(kind).tobytes() for name, kind in SENT.items())

    def numbers(self, archive: Archive) -> np.ndarray:
        """int64[points], the moments of the index that the points are; −1: it has it no longer."""
        file_numbers = {path: number for number, path in enumerate(archive.paths)}
        files = np.array([file_numbers.get(path, -1) for path in self.paths], np.int64)
        wanted = _keys(files[self.arrays["file"]], self.arrays["start"])
        keys = _keys(archive.file_of, archive.start)
        order = np.argsort(keys, kind="stable")
        if not len(order):
            return np.full(len(self), -1)
        place = np.minimum(np.searchsorted(keys[order], wanted), len(order) - 1)
        found = order[place]
        return np.where((keys[found] == wanted) & (wanted >= 0), found, -1)


class MapFile:
    """The map's file; any number of threads may ask.

    Attributes:
      path: The file.
    """

    def __init__(self, path: str):
        """Nothing is read or computed yet."""
        self.path = path
        self._lock = threading.Lock()
        self._map: Map | None = None
        self._process: subprocess.Popen | None = None
        self._failed = False

    def state(self, folder: str, archive: Archive, again: bool = False) -> tuple[str, Map | None]:
        """The map, if it is there; begins to compute it if it is not.

        Args:
          folder: The index.
          archive: It, opened.
          again: Compute it anew if the index has changed since, or the last attempt failed.

        Returns:
          `ready`, `computing` or `failed`; and a map, which may be of the index as it was.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._failed = self._process.returncode != 0
                self._process, self._map = None, None
            if self._map is None and not self._failed:
                with contextlib.suppress(OSError, ValueError):
                    self._map = Map.read(self.path)
            is_old = self._map is not None and self._map.version != archive.version
            is_wanted = (self._map is None and not self._failed) or (
                again and (is_old or self._failed)
            )
            if self._process is None and is_wanted:
                self._failed = False
                command = [sys.executable, "-m", "audio_triplet.browse.mapping", folder, self.path]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            if self._process is not None:
                return "computing", self._map
            return ("failed" if self._failed else "ready"), self._map

    def close(self) -> None:
        """Stops computing."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                self._process.wait()


def _keys(files: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """int64[n] for a file and a start; negative without a file."""
    return files.astype(np.int64) * (1 << 36) + np.rint(starts * 1000).astype(np.int64)


def default_path(labels_path: str) -> str:
    """Where the map of an archive lies: beside the answers."""
    return os.path.splitext(labels_path)[0] + ".map.npz"
