"""What a process was decoding when it crashed, so that the next one decodes that apart.

A damaged file may crash a decoder, and with it the process. While a command runs under
`commands.supervisor`, each process notes what it is decoding in a file of its own below a temporary
folder, which an environment variable names. What stands there when its process is gone is suspect:
the supervisor lists it, the next process reads the list, and `audio` decodes suspects in a process
of their own, see `audio.apart`.

Only the standard library is imported here: a supervisor stays small.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import struct
from collections.abc import Iterable, Iterator
from typing import TypeGuard

FOLDER_VARIABLE = "AUDIO_TRIPLET_CRASHES"
REASON = "crashed the decoder"

_SUSPECTS = "suspects"
_CONFIRMED = "confirmed-"
_NOTHING = struct.pack("<I", 0)


class _Process:
    """The notes of one process, and the suspects it knows.

    Attributes:
      folder: Where the notes are; "": no supervisor, nothing is noted.
      pid: The process.
      suspects: Paths, as bytes.
    """

    def __init__(self, folder: str, suspects: Iterable[bytes] = ()):
        self.folder, self.pid = folder, os.getpid()
        self.suspects = set(suspects)
        if folder:
            self.suspects |= suspects_in(folder)
        self.numbers = itertools.count()
        self._free: collections.deque[int] = collections.deque()

    def note(self, path: bytes) -> int | None:
        """Notes that a path is being decoded; returns the note, None if it cannot be written."""
        try:
            note = self._free.pop()
        except IndexError:
            name = os.path.join(self.folder, f"{self.pid}-{next(self.numbers)}")
            try:
                note = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return None
        with contextlib.suppress(OSError):  # a full disk
            os.pwrite(note, struct.pack("<I", len(path)) + path, 0)
        return note

    def clear(self, note: int) -> None:
        """Notes that it is done."""
        with contextlib.suppress(OSError):
            os.pwrite(note, _NOTHING, 0)
        self._free.append(note)


_process = _Process("")


def _here() -> _Process:
    global _process
    folder = os.environ.get(FOLDER_VARIABLE, "")
    if _process.folder != folder or _process.pid != os.getpid():
        _process = _Process(folder, _process.suspects)
    return _process


def is_idle() -> bool:
    """Whether nothing is noted in this process, and nothing suspect: no decoder crashed."""
    here = _here()
    return not here.folder and not here.suspects


@contextlib.contextmanager
def decoding(path: object) -> Iterator[None]:
    """Notes that a file is being decoded, under a supervisor.

    Args:
      path: The file; what is no path is not noted.
    """
    here = _here()
    note = here.note(os.fsencode(path)) if here.folder and _is_path(path) else None
    try:
        yield
    finally:
        if note is not None:
            here.clear(note)


def is_suspect(path: object) -> bool:
    """Whether a crash happened while this file was decoded."""
    suspects = _here().suspects
    return bool(suspects) and _is_path(path) and os.fsencode(path) in suspects


def suspect(paths: Iterable[str]) -> None:
    """Makes this process decode these files apart."""
    _here().suspects.update(map(os.fsencode, paths))


def confirm() -> None:
    """Tells the supervisor that a suspect crashed again, alone."""
    here = _here()
    if here.folder:
        name = os.path.join(here.folder, f"{_CONFIRMED}{here.pid}-{next(here.numbers)}")
        with contextlib.suppress(OSError), open(name, "wb"):
            pass


# --- for the supervisor ---------------------------------------------------------------------------


def left_behind(folder: str) -> set[bytes]:
    """The paths that processes were decoding when they ended, and for which they have no use now.

    Args:
      folder: That of the notes.
    """
    found = set()
    for name in os.listdir(folder):
        pid, _, number = name.partition("-")
        if pid.isdigit() and number and not _runs(int(pid)):
            with open(os.path.join(folder, name), "rb") as file:
                size = file.read(4)
                path = file.read(struct.unpack("<I", size)[0]) if len(size) == 4 else b""
            if path:
                found.add(path)
    return found


def begin_again(folder: str, suspects: Iterable[bytes]) -> None:
    """Removes the notes of processes that are gone, and lists the suspects for those to come."""
    for name in os.listdir(folder):
        pid = name.partition("-")[0]
        if pid.isdigit() and not _runs(int(pid)):
            os.unlink(os.path.join(folder, name))
    with open(os.path.join(folder, _SUSPECTS), "wb") as file:
        file.write(b"\0".join(sorted(suspects)))


def suspects_in(folder: str) -> set[bytes]:
    """The suspects that the supervisor listed."""
    try:
        with open(os.path.join(folder, _SUSPECTS), "rb") as file:
            return set(filter(None, file.read().split(b"\0")))
    except OSError:
        return set()


def confirmed(folder: str) -> int:
    """How many suspects crashed again, alone."""
    return sum(name.startswith(_CONFIRMED) for name in os.listdir(folder))


def _is_path(path: object) -> TypeGuard[str | bytes | os.PathLike]:
    return isinstance(path, (str, bytes, os.PathLike))


def _runs(pid: int) -> bool:
    """Whether a process runs; one that is only waited for does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False
