"""Sound files inside the archives of games: ZIP under its many names, and three formats more.

| ending | what it is |
|---|---|
| `.zip`, `.pk3`, `.wz`, `.love` | ZIP |
| `.rcc` | binary resources of Qt |
| `.ocg`, `.ocd`, `.ocf`, `.ocs` | group files of OpenClonk: trees, as a whole compressed |
| `.cat` | sound sets of OpenTTD: WAV files with a text each |

The last three are by hand: each is a table of offsets.
"""

import functools
import gzip
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from absl import logging

_ZIP = (".zip", ".pk3", ".wz", ".love")
_OPENCLONK = (".ocg", ".ocd", ".ocf", ".ocs")

_QT_MAGIC = b"qres"
_QT_COMPRESSED, _QT_FOLDER, _QT_ZSTD = 1, 2, 4  # flags of a node
_GROUP_MAGIC = b"\x1e\x8c"  # in place of gzip's 1f 8b
_GROUP_HEADER, _GROUP_ENTRY, _GROUP_NAME = 204, 316, 260  # bytes
_DEEPEST = 32  # folders in folders; damaged tables may go in circles

_Members = Iterator[tuple[str, Callable[[], bytes]]]


def is_archive(name: str) -> bool:
    """Whether a file's name ends as that of an archive that is looked into."""
    return name.lower().endswith((*_ZIP, *_OPENCLONK, ".rcc", ".cat"))


def sounds_in(path: str, is_sound: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The sound files of an archive, one after the other; of one that cannot be read, none.

    Args:
      path: The archive.
      is_sound: Whether a file is wanted, by its name without folders.

    Yields:
      (path inside, content). No path leads out of the archive: it has no empty part, no `.` and
      `..`, and no backslash.
    """
    name = path.lower()
    if name.endswith(_ZIP):
        read = _zip_members
    elif name.endswith(_OPENCLONK):
        read = _openclonk_members
    else:
        read = _qt_members if name.endswith(".rcc") else _openttd_members
    try:
        for inside, content in read(path):
            parts = inside.split("/")
            if not is_sound(parts[-1]):
                continue
            if any(part in ("", ".", "..") for part in parts) or "\\" in inside:
                logging.warning("%s: skipped %r", path, inside)
                continue
            yield inside, content()
    except (
        zipfile.BadZipFile, NotImplementedError, RuntimeError,
        struct.error, zlib.error, gzip.BadGzipFile, EOFError, UnicodeDecodeError, IndexError,
    ) as error:  # fmt: skip
        logging.warning("%s: not a readable archive (%s), skipped", path, error)


def _zip_members(path: str) -> _Members:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            yield member.filename, functools.partial(archive.read, member)


def _qt_members(path: str) -> _Members:
    """Qt's format: a table of nodes, which point into a table of names and one of contents."""
    with open(path, "rb") as file:
        data = file.read()
    if not data.startswith(_QT_MAGIC):
        return
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    node_bytes = 22 if version >= 2 else 14

    def content(offset: int, flags: int) -> bytes:
        (length,) = struct.unpack_from(">I", data, contents + offset)
        begin = contents + offset + 4
        if flags & _QT_COMPRESSED:  # its length comes first
            return zlib.decompress(data[begin + 4 : begin + length])
        return data[begin : begin + length]

    def walk(node: int, above: tuple[str, ...]) -> _Members:
        at = tree + node * node_bytes
        name_offset, flags, first, second = struct.unpack_from(">IHII", data, at)
        inside = above
        if node:  # the root has no name
            (length,) = struct.unpack_from(">H", data, names + name_offset)
            begin = names + name_offset + 6  # after a hash
            inside = (*above, data[begin : begin + 2 * length].decode("utf-16-be"))
        if flags & _QT_FOLDER:
            if len(inside) < _DEEPEST:
                for child in range(second, second + first):  # so many, from there on
                    yield from walk(child, inside)
        elif not flags & _QT_ZSTD:
            yield "/".join(inside), lambda: content(second, flags)

    yield from walk(0, ())


def _openclonk_members(path: str) -> _Members:
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(_GROUP_MAGIC):
        whole = gzip.decompress(b"\x1f\x8b" + data[2:])
        yield from _group(memoryview(whole), ())


def _group(data: memoryview, above: tuple[str, ...]) -> _Members:
    """A group: a scrambled header, entries of fixed length, and what they hold, groups too."""
    header = bytearray(data[:_GROUP_HEADER])
    for at in range(0, _GROUP_HEADER - 2, 3):
        header[at], header[at + 2] = header[at + 2], header[at]
    (count,) = struct.unpack_from("<i", bytes(byte ^ 0xED for byte in header), 36)
    contents = _GROUP_HEADER + max(count, 0) * _GROUP_ENTRY
    for entry in range(_GROUP_HEADER, contents, _GROUP_ENTRY):
        name = bytes(data[entry : entry + _GROUP_NAME]).split(b"\0")[0].decode("latin-1")
        _, is_group, size, _, offset = struct.unpack_from("<5i", data, entry + _GROUP_NAME)
        held = data[contents + offset : contents + offset + size]
        inside = (*above, name)
        if not is_group:
            yield "/".join(inside), held.tobytes
        elif len(inside) < _DEEPEST:
            yield from _group(held, inside)


def _openttd_members(path: str) -> _Members:
    """OpenTTD's format: offsets and lengths; at each offset a text, then a WAV file.

    The text begins with the sound's name in quotation marks, which becomes the file's.
    """
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 8:
        return
    table_bytes = struct.unpack_from("<I", data)[0] & 0x7FFFFFFF  # the highest bit is a flag
    if table_bytes % 8 or table_bytes > len(data):
        return  # another format of the same ending
    named: set[str] = set()
    for number in range(table_bytes // 8):
        at = struct.unpack_from("<I", data, 8 * number)[0] & 0x7FFFFFFF
        begin = at + 1 + data[at]
        if data[begin : begin + 4] != b"RIFF":
            continue
        (length,) = struct.unpack_from("<I", data, begin + 4)
        text = data[at + 1 : begin].decode("utf-8", "replace")
        quoted = re.search(r'"([^"]+)"', text)
        words = re.findall(r"[\w(),.-]+", quoted[1] if quoted else "sound")
        title = " ".join(words)
        name = title if title not in named else f"{title} {number:02d}"
        named.add(name)
        yield f"{name}.wav", memoryview(data)[begin : begin + 8 + length].tobytes
