"""Sound inside tar files and Parquet tables, opened where it lies: nothing is unpacked.

Such a sound has a path below its container's, as if that were a folder; no real file has one, so
everything that handles paths takes these too:

| path | what |
|---|---|
| `DIR/shard-000.tar/dog/001.flac` | the member `dog/001.flac` |
| `DIR/train-000.parquet/audio/17/dog.wav` | row 17 of the column `audio`; the name is for people |

A tar file's headers are read once. A Parquet file can only be read forwards, a group of rows at a
time: what was read last is kept, so reading in the order of the rows reads each byte once.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import functools
import io
import os
import posixpath
import tarfile
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from audio_triplet.audio.virtual_file import VirtualFile
from audio_triplet.errors import AudioError

TAR, PARQUET = ".tar", ".parquet"

# Of a Parquet column, in memory at a time: some batches of about so many bytes, for some files.
_BATCH_BYTES = 32 << 20
_BATCHES = 4
_PARQUET_FILES = 4


def container_of(path: str) -> str | None:
    """The tar or Parquet file that a path lies in; None if it does not lie in one."""
    if TAR not in path.lower() and PARQUET not in path.lower():
        return None
    above = os.path.dirname(path)
    while above not in ("", os.path.dirname(above)):
        if above.lower().endswith((TAR, PARQUET)) and os.path.isfile(above):
            return above
        above = os.path.dirname(above)
    return None


def status(path: str) -> os.stat_result:
    """As `os.stat`, which for sound inside a container is the container's.

    Raises:
      OSError: As `os.stat`.
    """
    try:
        return os.stat(path)
    except NotADirectoryError:
        container = container_of(path)
        if container is None:
            raise
        return os.stat(container)


def open_member(path: str) -> BinaryIO:
    """Opens a sound inside a container.

    Args:
      path: As in the table above.

    Returns:
      Its bytes; can seek.

    Raises:
      FileNotFoundError: There is no such container, or no such sound in it.
      AudioError: The container cannot be read.
    """
    container = container_of(path)
    if container is None:
        raise FileNotFoundError(path)
    inside = path[len(container) :].strip("/")
    if container.lower().endswith(TAR):
        place = tar_members(container).get(inside)
        if place is None:
            raise FileNotFoundError(path)
        return cast("BinaryIO", _Part(container, *place))
    column, row, *_ = [*inside.split("/"), "", ""]
    if not row.isdecimal():
        raise FileNotFoundError(path)
    found = _parquet_column(container, column, *_stamp(container)).value(int(row))
    if found is None:
        raise AudioError(path, "holds no sound", "its table names a file that is not in it")
    return io.BytesIO(found)


def parquet_path(table: str, column: str, row: int, name: str) -> str:
    """The path of the sound in a row.

    Args:
      table: The Parquet file.
      column: The column that holds the sound.
      row: From 0.
      name: What the sound is called, for people; its folders are left out.
    """
    base = os.path.basename(name.replace("\\", "/")) or "sound"
    return os.path.join(table, column, str(row), base)


def tar_members(path: str) -> dict[str, tuple[int, int]]:
    """The files in a tar file: name → (offset, bytes), in their order; of equal names the last.

    Names that lead out of the tar file ("../a.wav") are left out.

    Raises:
      AudioError: It cannot be read as a tar file.
      OSError: It cannot be opened.
    """
    return _tar_members(path, *_stamp(path))


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of change of a file: what is remembered of it holds while they stay."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _tar_members(path: str, size: int, changed: int) -> dict[str, tuple[int, int]]:
    members = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = posixpath.normpath(member.name.lstrip("/"))
                if member.isreg() and not member.issparse() and not name.startswith(".."):
                    members[name] = (member.offset_data, member.size)
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
    except tarfile.TarError as error:
        raise AudioError(
            path, f"cannot be read as a tar file ({error})", "fetch it again; a .tar.gz unzip first"
        ) from error
    return members


class _Part(VirtualFile):
    """A part of a file as a file."""

    def __init__(self, path: str, offset: int, size: int):
        super().__init__(size)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 closed by close()
        self._offset = offset

    def _fill(self, buffer: memoryview, position: int) -> int:
        self._file.seek(self._offset + position)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


@functools.lru_cache(maxsize=_PARQUET_FILES)
def _parquet_column(path: str, column: str, size: int, changed: int) -> _ParquetColumn:
    return _ParquetColumn(path, column)


class _ParquetColumn:
    """The sounds of one column, of which those read last are kept; for any number of threads."""

    def __init__(self, path: str, column: str):
        """Reads the table's end, where its groups of rows are listed.

        Raises:
          AudioError: Not a Parquet file, or pyarrow is not installed.
          FileNotFoundError: It has no such column.
        """
        self._path, self._lock = path, threading.Lock()
        with _reading(path):
            self._file = open_parquet(path)
            metadata = self._file.metadata
            leaves = [metadata.schema.column(n).path for n in range(metadata.num_columns)]
            name = next((leaf for leaf in (f"{column}.bytes", column) if leaf in leaves), None)
            if name is None:
                raise FileNotFoundError(path)
            self._column, leaf = name, leaves.index(name)
            # Where each group begins, and how many of its rows are read at a time.
            self._starts, self._batch_rows = [0], []
            for number in range(metadata.num_row_groups):
                group = metadata.row_group(number)
                share = _BATCH_BYTES / max(1, group.column(leaf).total_uncompressed_size)
                self._batch_rows.append(max(1, int(min(1.0, share) * group.num_rows)))
                self._starts.append(self._starts[-1] + group.num_rows)
        self._group, self._next = -1, 0  # where `_batches` is
        self._batches: Iterator[Any] = iter(())
        self._kept: collections.OrderedDict[int, Any] = collections.OrderedDict()

    def value(self, row: int) -> bytes | None:
        """The bytes in a row; None if there are none.

        Raises:
          FileNotFoundError: There is no such row.
          AudioError: The table is damaged.
        """
        if row >= self._starts[-1]:
            raise FileNotFoundError(self._path)
        with self._lock, _reading(self._path):
            first = self._first_of(row)
            if first is None:
                first = self._read_to(row)
            self._kept.move_to_end(first)
            return self._kept[first][row - first].as_py()

    def _first_of(self, row: int) -> int | None:
        """The first row of the kept batch that has a row; None if none has it."""
        has = (first for first, values in self._kept.items() if 0 <= row - first < len(values))
        return next(has, None)

    def _read_to(self, row: int) -> int:
        """Reads on to the batch that has a row, from the start of its group if need be.

        Returns:
          The first row of that batch.
        """
        group = bisect.bisect_right(self._starts, row) - 1
        if group != self._group or row < self._next:
            self._group, self._next = group, self._starts[group]
            self._batches = self._file.iter_batches(
                self._batch_rows[group], row_groups=[group], columns=[self._column]
            )
        for batch in self._batches:
            values = batch.column(0)
            first, self._next = self._next, self._next + len(values)
            self._kept[first] = values.field(0) if hasattr(values, "field") else values
            if len(self._kept) > _BATCHES:
                self._kept.popitem(last=False)
            if row < self._next:
                return first
        raise ValueError("it has fewer rows than it says")


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turns pyarrow's errors inside the `with` into `AudioError`."""
    try:
        yield
    except (AudioError, FileNotFoundError):
        raise
    except (ValueError, OSError, MemoryError) as error:  # pyarrow's are of these
        cause = " ".join(str(error).split())
        raise AudioError(path, f"cannot be read as Parquet ({cause})", "fetch it again") from error


def open_parquet(path: str) -> Any:
    """A `pyarrow.parquet.ParquetFile`.

    Raises:
      AudioError: pyarrow is not installed, or it is no such file.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise AudioError(
            path,
            "needs pyarrow, which is not installed",
            "run pip install 'audio_triplet[parquet]'",
        ) from error
    with _reading(path):
        return pyarrow.parquet.ParquetFile(path, pre_buffer=False)
