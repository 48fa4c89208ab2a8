"""The local copy of an index that lies in an object store; `store_format` describes the objects.

    $XDG_CACHE_HOME/audio_triplet/indexes/ID/
        state.json      which version the copy is of
        .lock           held while that changes
        NAME/           the copy: an index like any other, with a lock of its own for its writer
        aside-ID/       a copy with additions that are not in the store, whose version is past

Only what is missing is fetched. The tables come last, by SQLite's backup into the ones that are
there: readers of the copy see the change as they see another writer's commit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence

from absl import logging

from audio_triplet import locks, storage
from audio_triplet.errors import LockedError, SearchError
from audio_triplet.search import database, store_format
from audio_triplet.search.object_store import ObjectStore, at_once, digest_of
from audio_triplet.search.store_format import NOTHING, StoredFile, Version

_ASIDE = "aside-"
_STATE = "state.json"
_TABLES = f"{database.DATABASE_FILE}.fetched.tmp"
# How often a reader begins again whose version is replaced while it fetches.
_TRIES = 4


@dataclasses.dataclass(frozen=True)
class State:
    """What a copy is of.

    Attributes:
      version: The version that it holds, or began from.
      counter: `counter_of` its tables as that version has them.
      is_fetching: It is between two versions, and has no additions of its own.
      written_id: Id of a version that was about to be written from it; empty: none was.
      written_counter: `counter_of` its tables then.
    """

    version: Version = NOTHING
    counter: int = 0
    is_fetching: bool = False
    written_id: str = ""
    written_counter: int = 0


class Mirror:
    """A local copy of an index in a store.

    Attributes:
      store: Where the index is.
      root: The folder of all that belongs to the copy.
      folder: The copy.
    """

    def __init__(self, store: ObjectStore):
        """Takes a store; nothing is read yet."""
        self.store = store
        key = hashlib.sha256(store.address.encode()).hexdigest()[:16]
        name = re.sub(r"[^\w.-]", "_", store.address.rsplit("/", 1)[-1]).lstrip(".") or "index"
        self.root = storage.cache_folder("indexes", key)
        self.folder = os.path.join(self.root, name)

    def state(self) -> State:
        """What the copy is of; a state that cannot be read is that of a copy yet to be fetched."""
        path = os.path.join(self.root, _STATE)
        try:
            held = storage.read_json(path)
            version = held.pop("version")
            state = State(**held)
            if version is not None:
                version = Version.of_json(json.dumps(version), path)
                state = dataclasses.replace(state, version=version)
            return state
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return State()

    def set_state(self, state: State) -> None:
        """Writes what the copy is of."""
        held = dataclasses.asdict(state)
        version = state.version
        held["version"] = json.loads(version.as_json()) if version.id else None
        os.makedirs(self.root, exist_ok=True)
        storage.write_json(os.path.join(self.root, _STATE), held, sync=True)

    def has_additions(self, state: State) -> bool:
        """Whether the copy has what its version has not."""
        counter = counter_of(self.folder)
        return not state.is_fetching and counter is not None and counter != state.counter

    def set_aside(self) -> list[str]:
        """Earlier copies with additions that are not in the store."""
        if not os.path.isdir(self.root):
            return []
        names = sorted(name for name in os.listdir(self.root) if name.startswith(_ASIDE))
        return [os.path.join(self.root, name) for name in names]

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Keeps other processes from changing what the copy is of; waits for them."""
        with contextlib.ExitStack() as held:
            told = False
            while True:
                try:
                    held.enter_context(locks.exclusive(self.root))
                    break
                except LockedError as error:
                    if not told:
                        logging.info("%s: waits for another process: %s", self.store.address, error)
                    told = True
                    time.sleep(0.1)
            yield

    def fetch(self, *, for_writing: bool) -> None:
        """Brings the copy to the present version of the index.

        Additions that were never written to the store stay: in the copy while the store has the
        version that they were added to, else in `set_aside`.

        Args:
          for_writing: Whether there need not be an index yet. Otherwise a copy that a process of
            this machine is adding to serves as it is.

        Raises:
          SearchError: There is no index, or it is damaged.
          StoreError: The store cannot be read.
          LockedError: Another process is adding to the copy, and `for_writing`.
        """
        with self.changing():
            try:
                with locks.exclusive(self.folder):
                    self._fetch_present(for_writing)
            except LockedError:
                if for_writing or not self.state().version.id:
                    raise
                logging.info("%s: a process of this machine is adding to it", self.store.address)

    def _fetch_present(self, for_writing: bool) -> None:
        missing = ""
        for _ in range(_TRIES):
            state = self.state()
            present = store_format.read_current(self.store)
            if present is None:
                self._check_absence(state, for_writing)
                return
            if missing and missing in present.keys:
                break
            if present.id == state.written_id:  # the writer was killed before it noted that
                state = State(present, state.written_counter)
                self.set_state(state)
            try:
                self._take(state, present)
                return
            except _MissingError as error:  # by a writer who no longer needs it
                missing = str(error)
        raise SearchError(
            f"{self.store.address}/{missing}: is missing; put it back, or index anew at another "
            "address"
        )

    def _check_absence(self, state: State, for_writing: bool) -> None:
        address = self.store.address
        if state.version.id:
            raise SearchError(
                f"{address}: holds no index any more; this machine has a copy in {self.folder}: "
                "put it elsewhere by audio-triplet index --merge, or remove it to begin anew"
            )
        if not for_writing:
            raise SearchError(
                f"{address}: holds no index; check the address, or make one by audio-triplet index"
            )

    def _take(self, state: State, present: Version) -> None:
        """Makes the copy one of a version, and notes that."""
        has_additions = self.has_additions(state)
        if has_additions and present.id == state.version.id:
            return
        source = self._set_aside() if has_additions else ""
        lacking = [file for file in present.files if not self._holds(file, state)]
        if not lacking and present.id == state.version.id and not state.is_fetching:
            return
        before = State() if has_additions else state
        self.set_state(dataclasses.replace(before, is_fetching=True, written_id=""))
        self._fetch_files(lacking, source)
        self._clear(present)
        self.set_state(State(present, counter_of(self.folder) or 0))

    def _set_aside(self) -> str:
        """Moves a copy that has additions; where it is now."""
        aside = os.path.join(self.root, f"{_ASIDE}{secrets.token_hex(4)}")
        os.rename(self.folder, aside)  # with its lock; `changing` keeps others out
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(aside, locks.LOCK_FILE))
        os.makedirs(self.folder)
        logging.info(
            "%s: another machine has changed it; what was added here and is not in it yet is kept "
            "in %s, and added with the next sounds",
            self.store.address,
            aside,
        )
        return aside

    def _holds(self, file: StoredFile, state: State) -> bool:
        """Whether the copy has a file as a version has it."""
        if state.is_fetching and not store_format.is_fixed(file.name):
            return False
        path = self._path(file.name)
        if file.name == database.DATABASE_FILE:  # a backup is not the same file
            return state.version.by_name.get(file.name) == file and os.path.exists(path)
        try:
            if os.path.getsize(path) != file.bytes:
                return False
        except OSError:
            return False
        return store_format.is_fixed(file.name) or state.version.by_name.get(file.name) == file

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, *name.split("/"))

    def _fetch_files(self, files: Sequence[StoredFile], source: str) -> None:
        size = sum(file.bytes for file in files)
        address = self.store.address
        logging.info("%s: fetching %d files, %.1f MB", address, len(files), size / 1e6)
        tables = [file for file in files if file.name == database.DATABASE_FILE]
        others = [file for file in files if file.name != database.DATABASE_FILE]

        def fetch(file: StoredFile) -> None:
            earlier = os.path.join(source, *file.name.split("/")) if source else ""
            if earlier and store_format.is_fixed(file.name) and _is_of_size(earlier, file.bytes):
                _link(earlier, self._path(file.name))
                return
            self._fetch_file(file, self._path(file.name))

        at_once(fetch, others)
        for file in tables:
            fetched = self._path(_TABLES)
            self._fetch_file(file, fetched)
            take_tables(fetched, self.folder)

    def _fetch_file(self, file: StoredFile, path: str) -> None:
        """Fetches a file; once more, if it was damaged on its way."""
        for _ in range(2):
            try:
                digest = self.store.fetch(file.key, path)
            except FileNotFoundError as error:
                raise _MissingError(file.key) from error
            if digest == file.sha256:
                return
            os.unlink(path)
        raise SearchError(
            f"{self.store.address}/{file.key}: is damaged (its checksum is not that of "
            f"{store_format.CURRENT}); put it back, or index anew at another address"
        )

    def _clear(self, present: Version) -> None:
        """Removes the files of other versions."""
        wanted = {name.split("/")[0] for name in present.by_name}
        for entry in list(os.scandir(self.folder)):
            if entry.name in wanted or entry.name == locks.LOCK_FILE:
                continue
            if entry.is_dir(follow_symlinks=False):
                if store_format.is_fixed(entry.name):
                    shutil.rmtree(entry.path)
            elif not entry.name.startswith(database.DATABASE_FILE):
                os.unlink(entry.path)


class _MissingError(Exception):
    """An object of a version is missing; the message is its key."""


def counter_of(folder: str) -> int | None:
    """A number that every change of an index's tables changes; None: there are none."""
    path = database.path_in(folder)
    if os.path.exists(f"{path}-journal"):  # of a killed writer: that is undone first
        with contextlib.suppress(SearchError):
            database.connect(folder).close()
    try:
        with open(path, "rb") as file:
            head = file.read(28)
    except FileNotFoundError:
        return None
    # The file change counter of SQLite's format.
    return int.from_bytes(head[24:28], "big") if head.startswith(b"SQLite format 3\0") else None


def take_tables(fetched: str, folder: str) -> None:
    """Puts the content of a file of tables into those of an index, and removes it.

    Args:
      fetched: The file.
      folder: The index; may have none.
    """
    if os.path.exists(database.path_in(folder)):
        with contextlib.suppress(SearchError):  # damaged, or of another version: replaced
            with contextlib.closing(database.connect(folder, writing=True)) as own:
                with contextlib.closing(sqlite3.connect(fetched)) as source:
                    with database.errors_named(database.path_in(folder)):
                        source.backup(own)
            os.unlink(fetched)
            return
    os.replace(fetched, database.path_in(folder))


def copy_tables(folder: str, target: str) -> str:
    """Copies an index's tables as they are at one moment.

    Args:
      folder: The index.
      target: The new file.

    Returns:
      Its SHA-256, hexadecimal.
    """
    with contextlib.closing(database.connect(folder)) as own:
        with contextlib.closing(sqlite3.connect(target)) as copy:
            with database.errors_named(target):
                own.backup(copy)
    return digest_of(target)


def _link(source: str, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with storage.replacing(path) as temporary:
        storage.link_or_copy(source, temporary)


def _is_of_size(path: str, size: int) -> bool:
    try:
        return os.path.getsize(path) == size
    except OSError:
        return False
