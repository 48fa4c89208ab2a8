"""Files on this machine and elsewhere: `gs://…` and whatever else `tf.io.gfile` takes.

TensorFlow is imported only for paths that need it, so that tools on local files start at once.
"""

import contextlib
import io
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np

URI = r"[A-Za-z][A-Za-z0-9+.-]+://"
"""How a path elsewhere begins; two letters at least, so that `C:\\` is none."""

_BLOCK_BYTES = 1 << 20


def is_remote(path) -> bool:
    """Whether a path is an address such as gs://bucket/name rather than a local one."""
    return isinstance(path, str) and re.match(URI, path) is not None


def join(folder: str, *names: str) -> str:
    """`os.path.join` that keeps an address's forward slashes on every system."""
    return (
        "/".join([folder.rstrip("/"), *names])
        if is_remote(folder)
        else os.path.join(folder, *names)
    )


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    return _gfile().exists(path) if is_remote(path) else os.path.exists(path)


def make_folder(path: str) -> None:
    """Makes a folder, and those above it, if need be."""
    _gfile().makedirs(path) if is_remote(path) else os.makedirs(path, exist_ok=True)


def names_in(folder: str) -> set[str]:
    """Names of the files and folders in a folder."""
    if is_remote(folder):
        return {name.rstrip("/") for name in _gfile().listdir(folder)}
    return set(os.listdir(folder))


def size(path: str) -> int:
    """Bytes of a file."""
    return _gfile().stat(path).length if is_remote(path) else os.path.getsize(path)


def remove(path: str) -> None:
    """Removes a file."""
    _gfile().remove(path) if is_remote(path) else os.unlink(path)


def remove_folder(path: str) -> None:
    """Removes a folder and all that is in it."""
    _gfile().rmtree(path) if is_remote(path) else shutil.rmtree(path)


def rename(path: str, new: str) -> None:
    """Renames a file, over another if need be."""
    _gfile().rename(path, new, overwrite=True) if is_remote(path) else os.replace(path, new)


def open_remote(path: str) -> BinaryIO:
    """Opens a file elsewhere for reading bytes, with seeking, a megabyte at a time.

    Raises:
      OSError: It cannot be read; with errno ENOENT if it is not there.
    """
    return io.BufferedReader(_RemoteFile(path), _BLOCK_BYTES)


def write_whole(path: str, text: str) -> None:
    """Writes a text file, whole or not at all.

    Args:
      path: Local or elsewhere. File names in the text need not be UTF-8.
      text: Its content.
    """
    data = text.encode("utf-8", "surrogateescape")
    temporary = f"{path}.tmp"
    if is_remote(path):
        gfile = _gfile()
        with gfile.GFile(temporary, "wb") as file:
            file.write(data)
        gfile.rename(temporary, path, overwrite=True)
    else:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)


def save_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz that `np.load` reads, whole or not at all.

    As `np.savez`, whose archive complains once more on the terminal when it is thrown away after
    the disk was full.

    Args:
      path: The file, on this machine.
      arrays: Name → array; none of them holds objects.
    """
    with open(f"{path}.tmp", "wb") as file:
        write_arrays(file, arrays)
    os.replace(f"{path}.tmp", path)


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes into an open file what `save_arrays` does."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def read_text(path: str) -> str:
    """The content of a text file written by `write_whole`.

    Raises:
      OSError: It cannot be read.
    """
    with open_remote(path) if is_remote(path) else open(path, "rb") as file:
        return file.read().decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A local name of a file for as long as it is needed: its own, or that of a copy."""
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, os.path.basename(path))
        with open_remote(path) as source, open(name, "wb") as copy:
            while block := source.read(_BLOCK_BYTES):
                copy.write(block)
        yield name


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[str]:
    """A local name to write a file to, which elsewhere is then copied, whole or not at all."""
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, os.path.basename(path))
        yield name
        gfile = _gfile()
        gfile.copy(name, f"{path}.tmp", overwrite=True)
        gfile.rename(f"{path}.tmp", path, overwrite=True)


@contextlib.contextmanager
def written_folder(path: str) -> Iterator[str]:
    """A local name to write a folder to, which elsewhere then replaces what is there."""
    if not is_remote(path):
        yield path
        return
    gfile = _gfile()
    with tempfile.TemporaryDirectory() as parent:
        local = os.path.join(parent, "folder")
        yield local
        if gfile.exists(path):
            gfile.rmtree(path)
        for current, _, names in os.walk(local):
            below = os.path.relpath(current, local)
            target = path if below == "." else join(path, *below.split(os.sep))
            gfile.makedirs(target)
            for name in names:
                gfile.copy(os.path.join(current, name), join(target, name))


def check_readable(folder: str) -> None:
    """Looks at a folder elsewhere before any work is done with it; local ones pass.

    Raises:
      OSError: It cannot be reached; the message is one line that names it.
    """
    if not is_remote(folder):
        return
    import tensorflow as tf

    try:
        tf.io.gfile.exists(folder)
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        cause = str(getattr(error, "message", error)).split("\n")[0]
        raise OSError(
            f"{folder}: cannot be reached ({cause}); check its name, the network, and the "
            "credentials (gcloud auth application-default login)"
        ) from error


class _RemoteFile(io.RawIOBase):
    """`tf.io.gfile.GFile` as a Python raw stream."""

    def __init__(self, path: str):
        import tensorflow as tf

        self.name = path
        try:
            self._file = tf.io.gfile.GFile(path, "rb")
            self._size = self._file.size()
        except tf.errors.NotFoundError:
            raise FileNotFoundError(2, "no such file", path) from None
        except tf.errors.OpError as error:
            raise OSError(5, str(error.message).split("\n")[0], path) from error

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        self._file.seek(start + offset)
        return self.tell()

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer) -> int:
        data = self._file.read(min(len(buffer), max(0, self._size - self.tell())))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()


def _gfile():
    import tensorflow as tf

    return tf.io.gfile
