"""One writer per folder: a lock that ends with its holder; clearing a killed writer's leftovers.

    with locks.exclusive(output_dir):
        ...                             # a second process gets a LockedError that names the first

The lock is the kernel's (`flock` on FOLDER/.lock), so it cannot outlive a process that was killed,
and needs no time-out. Readers take no lock: everything is written by `storage.replacing`, so they
see the old content or the new one.

By hand, not by `filelock`: its `flock` lock does not record the holder, leaves its file behind, and
turns into a marker file, which outlives a killed holder, where `flock` is missing.

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

from audio_triplet import storage
from audio_triplet.errors import LockedError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"
_PATIENCE_SECONDS = 0.5

# Of `storage.replacing` (`NAME.tmp`), of TensorFlow, of debian-sounds, and of our earlier versions
# (`NAME.tmp.npz`, `.manifest-*.csv`).
_LEFTOVER = re.compile(
    r".*\.tmp([0-9a-f]{32})?(\.npz)?|.*\.tempstate\d+|.*_temp|\.unpack-.*|\.manifest-.*\.csv"
)

_held: dict[str, int] = {}  # real path → how often this process has taken it


@contextlib.contextmanager
def exclusive(folder: str) -> Iterator[None]:
    """Makes this process the only writer of a folder, which is made if missing.

    A process may take a folder again that it holds already. In a job of several processes that
    share a folder, only the chief takes it. Remote folders and file systems without locks cannot be
    locked: nothing keeps a second writer out of them.

    Args:
      folder: The folder; its sub-folders have locks of their own.

    Raises:
      LockedError: Another process holds it.
      OSError: The folder cannot be written.
    """
    if storage.is_remote(folder) or fcntl is None:
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
            os.unlink(path)  # while the lock is held, so that no new holder's file is removed
        os.close(descriptor)


def _take(path: str, folder: str) -> int:
    """Locks a file, after a moment at most: a holder that was just killed may still be ending.

    Returns:
      An open file descriptor that holds the lock; one that holds none, after a warning, where the
      file system has no locks.

    Raises:
      LockedError: Another process holds it.
    """
    last = time.monotonic() + _PATIENCE_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < last:
                os.close(descriptor)
                time.sleep(0.02)
                continue
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockedError(
                f"{folder}: another process is writing it ({holder}); wait for it, or choose "
                "another folder"
            ) from None
        except OSError as error:
            logging.warning(
                "%s: cannot be locked (%s); make sure that no other process writes it",
                folder,
                error.strerror,
            )
            return descriptor
        # The previous holder may have removed the file between our opening and locking it.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    owner = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a name in it
        os.write(descriptor, json.dumps(owner).encode())
    return descriptor


def _holder(descriptor: int) -> str:
    """The holder of a lock, from its file."""
    try:
        owner = json.loads(os.read(descriptor, 4096))
        where = "" if owner["host"] == socket.gethostname() else f" on {owner['host']}"
        return f"process {owner['process']}{where}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its process number is not known"


def is_leftover(name: str) -> bool:
    """Whether a name is that of a half-written file or folder."""
    return _LEFTOVER.fullmatch(name) is not None


def clear_leftovers(folder: str) -> None:
    """Removes the half-written files that killed writers left in a folder.

    A folder that was whole, and moved aside to be replaced, is put back.

    Call it with the folder's lock held. Sub-folders are not searched.

    Args:
      folder: The folder; may be missing.
    """
    if storage.is_remote(folder) or not os.path.isdir(folder):
        return
    for entry in list(os.scandir(folder)):
        storage.put_back(entry.path)
        if is_leftover(entry.name) and os.path.lexists(entry.path):
            logging.info("%s: removed, an earlier run was stopped while writing it", entry.path)
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
