"""One writer a folder: a lock that ends with its holder, and what a killed writer left behind.

    with locks.exclusive(output_dir):
        ...                             # a second process gets a LockedError that names the first

The lock is the kernel's (`flock` on FOLDER/.lock), so it cannot outlive a process that was killed,
and needs no time-out. Readers take no lock: everything is written aside and renamed into place, so
they see the old content or the new one.

No TensorFlow here: scripts take the lock before they import it.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator

from absl import logging

from audio_triplet.errors import LockedError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK_FILE = ".lock"

# Of our own writers (`NAME.tmp`, `NAME.tmp.npz`, …) and of TensorFlow's.
_LEFTOVER = re.compile(
    r".*\.tmp([0-9a-f]{32})?(\.npz)?|.*\.tempstate\d+|.*_temp|\.unpack-.*|\.manifest-.*\.csv"
)

_held: dict[str, int] = {}  # real path → how often this process has taken it


@contextlib.contextmanager
def exclusive(folder: str) -> Iterator[None]:
    """Makes this process the only writer of a folder, which is made if need be.

    A process may take a folder again that it holds already. Of a job of several processes that
    share a folder, the chief alone takes it. Addresses such as gs://… and file systems without
    locks cannot be held: there nothing keeps a second writer out.

    Args:
      folder: The folder; its sub-folders have locks of their own.

    Raises:
      LockedError: Another process holds it.
      OSError: The folder cannot be written.
    """
    if "://" in folder or fcntl is None:
        yield
        return
    os.makedirs(folder, exist_ok=True)
    folder_id = os.path.realpath(folder)
    if folder_id in _held:
        _held[folder_id] += 1
        try:
            yield
        finally:
            _held[folder_id] -= 1
        return
    path = os.path.join(folder_id, LOCK_FILE)
    descriptor = _take(path, folder)
    _held[folder_id] = 1
    try:
        yield
    finally:
        del _held[folder_id]
        with contextlib.suppress(OSError):  # the folder may have vanished
            os.unlink(path)  # before it is free, so that nobody's new file is taken away
        os.close(descriptor)


def _take(path: str, folder: str) -> int:
    """An open file descriptor that holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockedError(
                f"{folder}: another process is writing it ({holder}); wait for it, or choose "
                "another folder"
            ) from None
        except OSError as error:
            logging.warning(
                "%s: cannot be locked (%s); see to it that no other process writes it",
                folder,
                error.strerror,
            )
            return descriptor
        # The one before may have removed the file between our opening and locking it.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    told = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a name in it
        os.write(descriptor, json.dumps(told).encode())
    return descriptor


def _holder(descriptor: int) -> str:
    """Who holds a lock, as far as its file says."""
    try:
        told = json.loads(os.read(descriptor, 4096))
        where = "" if told["host"] == socket.gethostname() else f" on {told['host']}"
        return f"process {told['process']}{where}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it says not which"


def is_leftover(name: str) -> bool:
    """Whether a file's name is that of something half-written."""
    return _LEFTOVER.fullmatch(name) is not None


def clear_leftovers(folder: str) -> None:
    """Removes the half-written files that killed writers left in a folder.

    To be called by who holds the folder's lock; sub-folders are not looked into.

    Args:
      folder: The folder; it need not be there.
    """
    if "://" in folder or not os.path.isdir(folder):
        return
    for entry in list(os.scandir(folder)):
        if is_leftover(entry.name):
            logging.info("%s: removed, an earlier run was stopped while writing it", entry.path)
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
