"""Local and remote files, and writing them whole or not at all.

    with storage.replacing(path) as temporary:         # a file or a folder, by any library
        figure.savefig(temporary, format="png")
    with storage.open_replacing(path) as file:         # a file, by Python
        csv.writer(file).writerows(rows)
    storage.write_text(path, text)                     # shortcuts for common content
    storage.write_json(path, content)
    storage.save_arrays(path, arrays)
    with storage.open_arrays(path) as arrays:          # raises DamagedError
        vectors = arrays["vectors"]

Remote is `gs://…` and whatever else `tf.io.gfile` takes. TensorFlow is imported only for paths
that need it, so that tools on local files start at once.

By hand, not by `etils.epath` or `universal_pathlib`: neither writes whole or not at all, which is
most of this file. epath knows four kinds of address by their prefix (not `ram://` nor `hdfs://`);
universal_pathlib brings a second client for each store, with credentials of its own.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import shutil
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeGuard, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import StrPath

_Made = TypeVar("_Made")

# What Python raises for a ZIP with a bit that is flipped or an end that is missing.
DAMAGE = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)

# How an address begins; two letters at least, so that `C:\` is none.
URI = r"[A-Za-z][A-Za-z0-9+.-]+://"

_BLOCK_BYTES = 1 << 20

# Of what is in an archive: the same content makes the same file.
_DATE = (1980, 1, 1, 0, 0, 0)

# At the end of the name under which a folder lies that is being replaced.
_EARLIER = ".earlier.tmp"


# --- paths --------------------------------------------------------------------------------------


def is_remote(path: object) -> TypeGuard[str]:
    """Whether a path is an address such as gs://bucket/name rather than a local one."""
    return isinstance(path, str) and re.match(URI, path) is not None


def join(folder: str, *names: str) -> str:
    """`os.path.join` that keeps an address's forward slashes on every system."""
    if is_remote(folder):
        return "/".join([folder.rstrip("/"), *names])
    return os.path.join(folder, *names)


def exists(path: str) -> bool:
    """Whether there is such a file or folder."""
    return _gfile().exists(path) if is_remote(path) else os.path.exists(path)


def make_folder(path: str) -> None:
    """Makes a folder, and those above it, if they are missing."""
    _gfile().makedirs(path) if is_remote(path) else os.makedirs(path, exist_ok=True)


def cache_folder(*names: str) -> str:
    """Where this package keeps what it can fetch or make again; it may be missing.

    Args:
      *names: Of the folder within it.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "audio_triplet", *names)


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


def link_or_copy(source: str, target: str) -> None:
    """Gives a local file that never changes a second name; copies it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def check_readable(folder: str) -> None:
    """Checks that a remote folder can be reached before any work; local ones pass.

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


# --- writing, whole or not at all ---------------------------------------------------------------


@contextlib.contextmanager
def replacing(
    path: StrPath, *, sync: bool = False, unique: bool = False, direct: bool = False
) -> Iterator[str]:
    """Yields a temporary name; what is written there replaces `path` at the end.

    Both the new content and the old one may be a file or a folder. Readers of `path` see the old
    content or the new one. If the block raises an error, `path` stays as it was and the temporary
    is removed; a killed process leaves it, and `locks.clear_leftovers` removes it later.
    Only two replacements are not atomic: of a local folder, where a kill between two renames leaves
    the old one as `PATH.earlier.tmp`, which the next `replacing`, or `locks.clear_leftovers`, puts
    back; and of a remote folder, which is removed before it is copied.

    Args:
      path: Local or remote.
      sync: Local paths only: returns once the content and its name are on the disk, and so survives
        a power cut.
      unique: Several processes or threads may replace `path` at the same time: the last one wins.
      direct: The block writes to addresses such as gs://… itself, and gets a temporary name next
        to a remote `path` rather than a local one that is copied there.

    Yields:
      `path` with `.tmp` at its end, or, if `path` is remote, a name in a temporary local folder.

    Raises:
      OSError: It cannot be written.
    """
    path = os.fspath(path)
    path = path.rstrip("/") or path
    temporary = f"{path}.{uuid.uuid4().hex}.tmp" if unique else f"{path}.tmp"
    if is_remote(path) and not direct:
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, os.path.basename(path))
            yield local
            _upload(local, path, temporary)
        return
    try:
        put_back(path)
        _discard(temporary)  # A killed writer's folder would be added to.
        yield temporary
        if sync and not is_remote(path):
            _sync_tree(temporary)
        _move(temporary, path)
        if sync and not is_remote(path):
            _sync(os.path.dirname(path) or ".")
    except Exception:
        _discard(temporary)
        raise


@contextlib.contextmanager
def open_replacing(
    path: StrPath, mode: str = "w", *, sync: bool = False, unique: bool = False
) -> Iterator[IO[Any]]:
    """As `replacing`, with the temporary file open for writing.

    Args:
      path: Local or remote.
      mode: "w" (UTF-8, line ends as they are written) or "wb".
      sync: As in `replacing`.
      unique: As in `replacing`.
    """
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    with replacing(path, sync=sync, unique=unique) as temporary:
        with open(temporary, mode, encoding=encoding, newline=newline) as file:
            yield file


def write_text(path: StrPath, text: str, *, sync: bool = False, unique: bool = False) -> None:
    """Writes a text file in UTF-8, whole or not at all.

    Args:
      path: Local or remote.
      text: Its content. File names in it need not be UTF-8 (surrogate escapes).
      sync: As in `replacing`.
      unique: As in `replacing`.
    """
    with open_replacing(path, "wb", sync=sync, unique=unique) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def write_json(
    path: StrPath,
    content: Any,
    *,
    indent: int | None = 1,
    sync: bool = False,
    unique: bool = False,
) -> None:
    """Writes a JSON file, whole or not at all.

    Args:
      path: Local or remote.
      content: What `json.dumps` takes.
      indent: None for one line.
      sync: As in `replacing`.
      unique: As in `replacing`.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    write_text(path, text, sync=sync, unique=unique)


def save_arrays(path: StrPath, arrays: Mapping[str, np.ndarray], *, unique: bool = False) -> None:
    """Writes an .npz that `np.load` reads, whole or not at all.

    Args:
      path: Local or remote.
      arrays: Name → array; none of them holds objects.
      unique: As in `replacing`.
    """
    with open_replacing(path, "wb", unique=unique) as file:
        if sum(array.nbytes for array in arrays.values()) > _BLOCK_BYTES:
            write_arrays(file, arrays)
        else:  # at once: an archive moves about in its file, which takes most of the time
            buffer = io.BytesIO()
            write_arrays(buffer, arrays)
            file.write(buffer.getbuffer())


class DamagedError(ValueError):
    """A file of arrays is not what was written; the message says why."""


@contextlib.contextmanager
def open_arrays(file: StrPath | IO[bytes]) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens an .npz for reading.

    Args:
      file: A local path, or an open file.

    Yields:
      Its arrays by name; each is read, and its checksum checked, when it is asked for.

    Raises:
      OSError: It is not there, or may not be read.
      DamagedError: It is damaged, or what is asked for inside the block is not in it.
    """
    import numpy as np  # here, so that --help stays quick

    try:
        with np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedError(str(error) or "it ends too early") from error


def made_of_arrays(path: StrPath, make: Callable[[np.lib.npyio.NpzFile], _Made]) -> _Made | None:
    """What is made of the arrays of an .npz that need not be there.

    Args:
      path: A local path.
      make: Makes it; a ValueError of its own means that they do not fit together.

    Returns:
      None if there is no such file.

    Raises:
      ValueError: It is damaged, or cannot be read; the message names it.
    """
    if not os.path.exists(path):
        return None
    try:
        with open_arrays(path) as arrays:
            return make(arrays)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: is damaged ({error})") from error


def write_arrays(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays into an open file as `save_arrays` does.

    As `np.savez`, but without its second error on the terminal, which its archive prints when it
    is closed after the disk was full.
    """
    import numpy as np  # here, so that --help stays quick

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            array, entry = np.asanyarray(array), f"{name}.npy"
            if array.nbytes <= _BLOCK_BYTES and not array.dtype.hasobject:  # the same, sooner
                header = _npy_header(array.shape, array.dtype)
                archive.writestr(zipfile.ZipInfo(entry, _DATE), header + array.tobytes())
                continue
            with archive.open(zipfile.ZipInfo(entry, _DATE), "w", force_zip64=True) as opened:
                np.lib.format.write_array(opened, array, allow_pickle=False)


@functools.lru_cache(1024)
def _npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What an .npy file of an array in C order begins with."""
    import numpy as np

    described = {"shape": shape, "fortran_order": False}
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(header, described | {"descr": descr})
    return header.getvalue()


def _move(temporary: str, path: str) -> None:
    """Puts a temporary in the place of `path`, on the same file system."""
    if is_remote(path):
        _gfile().rename(temporary, path, overwrite=True)
        return
    try:
        os.replace(temporary, path)
        return
    except OSError:
        if not (os.path.isdir(temporary) and os.path.lexists(path)):
            raise
    earlier = path + _EARLIER  # No system replaces a folder that holds something.
    _discard(earlier)
    os.rename(path, earlier)
    os.rename(temporary, path)
    _discard(earlier)


def put_back(path: str) -> None:
    """Puts a folder back that a writer, killed between the two renames, left moved aside.

    Args:
      path: The folder's own path, or the one it was moved to. Only its writer may call this.
    """
    path = path.removesuffix(_EARLIER)
    if not is_remote(path) and os.path.isdir(path + _EARLIER) and not os.path.lexists(path):
        os.rename(path + _EARLIER, path)


def _upload(local: str, path: str, temporary: str) -> None:
    """Copies a local file or folder to an address."""
    gfile = _gfile()
    if not os.path.isdir(local):
        gfile.copy(local, temporary, overwrite=True)
        gfile.rename(temporary, path, overwrite=True)
        return
    if gfile.exists(path):
        gfile.rmtree(path)
    for current, _, names in os.walk(local):
        below = os.path.relpath(current, local)
        target = path if below == "." else join(path, *below.split(os.sep))
        gfile.makedirs(target)
        for name in names:
            gfile.copy(os.path.join(current, name), join(target, name))


def _discard(temporary: str) -> None:
    """Removes a temporary file or folder, if it is there."""
    if is_remote(temporary):
        if exists(temporary):
            remove(temporary)
        return
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    except OSError:  # of a folder; which error, the system decides
        shutil.rmtree(temporary, ignore_errors=True)


def _sync_tree(path: str) -> None:
    """Waits until a file, or a folder with all that is in it, is on the disk."""
    for current, _, names in os.walk(path):
        for name in names:
            _sync(os.path.join(current, name))
        _sync(current)
    if not os.path.isdir(path):
        _sync(path)


def _sync(path: str) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- reading ------------------------------------------------------------------------------------


def read_text(path: StrPath) -> str:
    """The content of a text file, local or remote; what is not UTF-8 becomes surrogate escapes.

    Raises:
      OSError: It cannot be read.
    """
    with open_remote(path) if is_remote(path) else open(path, "rb") as file:
        return file.read().decode("utf-8", "surrogateescape")


def read_json(path: StrPath) -> Any:
    """The content of a JSON file, local or remote.

    Raises:
      OSError: It cannot be read.
      ValueError: It is not JSON.
    """
    return json.loads(read_text(path))


def open_remote(path: str) -> BinaryIO:
    """Opens a remote file for reading bytes, with seeking, a megabyte at a time.

    Raises:
      OSError: It cannot be read; with errno ENOENT if it is not there.
    """
    return io.BufferedReader(_RemoteFile(path), _BLOCK_BYTES)


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
