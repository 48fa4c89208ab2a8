"""The objects of an index in an object store.

    part-ID/…, faiss-ID.bin, likeness-ID-PART.npy    as in a folder; they never change
    index-CONTENT-VERSION.sqlite                     the tables, and so each file that does change
    current.json                                     the files of the present version

An object is written once and never changed, but for current.json, which is written last: a reader
sees one version or the next, and of a writer that is killed nobody sees anything. What a version no
longer needs stays while it is the present one, for readers who are fetching the one before.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping

from audio_triplet.errors import SearchError, StoreError
from audio_triplet.search import database
from audio_triplet.search.object_store import ObjectStore

CURRENT = "current.json"

_FORMAT = 1

# Names that a version may have: nothing of them leaves the folder.
_NAME = re.compile(r"(part-\w+/)?\w[\w.-]*")
_FIXED = re.compile(r"(part|faiss|likeness)-.*")
# What a writer may have left that was killed.
_OURS = re.compile(
    r"(part|faiss|likeness|index|writable|encoder|duplicates|bad_files|truncated|summary)-.*"
)
_KEPT_DAYS = 7  # so long an object that no version lists: a writer may be about to list it


@dataclasses.dataclass(frozen=True)
class StoredFile:
    """A file of an index, in a store.

    Attributes:
      name: In the index's folder, with slashes.
      key: The object's name.
      bytes: Size.
      sha256: Of the content, hexadecimal.
    """

    name: str
    key: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Version:
    """An index as it is, or was, in a store.

    Attributes:
      id: Which no other version has.
      before: That of the version before; empty: there is none.
      written_at: ISO 8601.
      package: Version of this package that wrote it.
      files: Its files.
      superseded: Objects that earlier versions have and this one has not.
    """

    id: str
    before: str = ""
    written_at: str = ""
    package: str = ""
    files: tuple[StoredFile, ...] = ()
    superseded: tuple[str, ...] = ()

    @property
    def by_name(self) -> Mapping[str, StoredFile]:
        """Its files by their names."""
        return {file.name: file for file in self.files}

    @property
    def keys(self) -> set[str]:
        """Its objects."""
        return {file.key for file in self.files}

    def as_json(self) -> bytes:
        """What current.json holds."""
        content = {"format": _FORMAT, **dataclasses.asdict(self)}
        return json.dumps(content, indent=1, ensure_ascii=False).encode()

    @classmethod
    def of_json(cls, content: bytes | str, name: str) -> Version:
        """The version that a file holds.

        Args:
          content: Of the file.
          name: Its address, for messages.

        Raises:
          SearchError: It is damaged, or of a newer format.
        """
        try:
            held = json.loads(content)
            if held.pop("format") != _FORMAT:
                raise SearchError(
                    f"{name}: is of a newer format than this package reads; pip install -U "
                    "audio_triplet"
                )
            held["files"] = tuple(StoredFile(**file) for file in held["files"])
            held["superseded"] = tuple(map(str, held["superseded"]))
            version = cls(**held)
            for file in version.files:
                if not _NAME.fullmatch(file.name) or not _NAME.fullmatch(file.key):
                    raise ValueError(f"{file.name!r} is no file of an index")
                if not (isinstance(file.bytes, int) and isinstance(file.sha256, str)):
                    raise TypeError(f"{file.name!r} has no size and checksum")
            if not version.id or database.DATABASE_FILE not in version.by_name:
                raise ValueError("it lists no tables")
        except SearchError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SearchError(
                f"{name}: is damaged ({error}); put an earlier one back, or index anew at another "
                "address"
            ) from error
        return version

    def next(self, files: Iterable[StoredFile], superseded: Iterable[str], new_id: str) -> Version:
        """The version that follows.

        Args:
          files: Its files.
          superseded: Objects that earlier versions had.
          new_id: Its id.
        """
        files = tuple(files)
        return Version(
            new_id,
            self.id,
            datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            # Not by an import at the top: the package itself belongs to the highest layer.
            importlib.import_module("audio_triplet").__version__,
            files,
            tuple(sorted({*superseded} - {file.key for file in files})),
        )


# Before anything was stored.
NOTHING = Version("")


def new_id() -> str:
    """An id that no other version has."""
    return secrets.token_hex(8)


def is_fixed(name: str) -> bool:
    """Whether a file of this name never changes, so that it keeps its name in the store."""
    return _FIXED.fullmatch(name) is not None


def key_of(name: str, sha256: str, version: str) -> str:
    """The object's name for a file's content: one that no object had before."""
    if is_fixed(name):
        return name
    stem, dot, ending = name.partition(".")
    return f"{stem}-{sha256[:12]}-{version[:8]}{dot}{ending}"


def read_current(store: ObjectStore) -> Version | None:
    """The present version; None: the store holds no index at this address.

    Raises:
      SearchError: current.json is damaged, or of a newer format.
      StoreError: The store cannot be read, or there is no such bucket.
    """
    try:
        content = store.read(CURRENT)
    except FileNotFoundError as error:
        if "bucket" in str(error).lower() and CURRENT not in str(error):
            raise StoreError(
                f"{store.address}: cannot be read ({error}); make the bucket, or check its name"
            ) from error
        return None
    return Version.of_json(content, f"{store.address}/{CURRENT}")


def clear(store: ObjectStore, existing: set[str], past: Version, present: Version) -> None:
    """Removes objects that neither the present version needs nor the one before.

    Args:
      store: The store.
      existing: Its objects before the present version was written.
      past: The version before.
      present: The present one, which is written.

    Raises:
      StoreError: They cannot be removed.
    """
    needed = past.keys | present.keys | {CURRENT}
    for key in sorted(existing - needed):
        if key in past.superseded or (_OURS.fullmatch(key) and _is_old(store, key)):
            store.remove(key)


def _is_old(store: ObjectStore, key: str) -> bool:
    age = store.age(key)
    return age is not None and age > datetime.timedelta(days=_KEPT_DAYS)
