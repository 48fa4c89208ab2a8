"""An index at an address of an object store, such as s3://bucket/name, used as if it were a folder.

    with remote_index.reading(place) as folder:       # a folder is passed on as it is
        hits = SoundIndex(folder).find("bark.wav")
    with remote_index.writing(place) as target:
        with Writer(target.folder, ..., on_commit=target.on_commit) as writer:
            for earlier in target.set_aside:
                merging.merge(writer, earlier)

An address is opened by a local copy (`mirror`), so that all else works on folders only. What is
added to the copy is written to the store at the end, and every ten minutes. A writer that is killed
before that leaves it in the copy, and the next one on the same machine writes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
from collections.abc import Callable, Iterator

from absl import logging

from audio_triplet import locks, storage
from audio_triplet.errors import AudioError, AudioTripletError, SearchError, StoreError
from audio_triplet.search import database, mirror, store_format
from audio_triplet.search.mirror import Mirror, State
from audio_triplet.search.object_store import ObjectStore, at_once, digest_of
from audio_triplet.search.store_format import NOTHING, StoredFile, Version

_EVERY_SECONDS = 600.0
_SNAPSHOT = f"{database.DATABASE_FILE}.written.tmp"


@dataclasses.dataclass(frozen=True)
class Target:
    """A folder to write an index into.

    Attributes:
      folder: The index.
      set_aside: Indices whose content it lacks; to be merged into it.
      on_commit: For `index_writer.Writer`; None: nothing is to be done.
    """

    folder: str
    set_aside: tuple[str, ...] = ()
    on_commit: Callable[[], object] | None = None


@contextlib.contextmanager
def reading(place: str) -> Iterator[str]:
    """The folder of an index: its own, or that of a copy as the store has it now.

    Args:
      place: A folder or an address.

    Raises:
      SearchError: There is no index at the address, or it is damaged.
      StoreError: The store cannot be reached, or refuses.
    """
    if not storage.is_remote(place):
        yield place
        return
    copy = Mirror(ObjectStore(place))
    with _naming(copy):
        copy.fetch(for_writing=False)
        yield copy.folder


@contextlib.contextmanager
def writing(place: str) -> Iterator[Target]:
    """A folder to write an index into, which may be new.

    What the block adds is in the store when it ends without an error. Two writers at once: the one
    that comes second stops with one line, and adds what it has to the other's version when it is
    run again. S3 itself sees to that; in other stores two writers that end within the same tenth of
    a second are not told apart, and the first one's version is lost to the second one's.

    Args:
      place: A folder or an address.

    Raises:
      SearchError: The index is damaged, or another machine has changed it meanwhile.
      StoreError: The store cannot be reached, or refuses.
      LockedError: Another process of this machine is writing it.
    """
    if not storage.is_remote(place):
        yield Target(place)
        return
    copy = Mirror(ObjectStore(place))
    with _naming(copy):
        copy.store.check_writable()
        copy.fetch(for_writing=True)
        with locks.exclusive(copy.folder):
            upload = Upload(copy)
            set_aside = tuple(copy.set_aside())
            yield Target(copy.folder, set_aside, upload.if_due)
            upload.now()
            for earlier in set_aside:
                storage.remove_folder(earlier)


@contextlib.contextmanager
def _naming(copy: Mirror) -> Iterator[None]:
    """Messages name the address, not the copy; a damaged copy is mended by removing it."""
    try:
        yield
    except AudioError:
        raise
    except AudioTripletError as error:
        error.args = tuple(
            _renamed(arg, copy) if isinstance(arg, str) else arg for arg in error.args
        )
        raise


def _renamed(message: str, copy: Mirror) -> str:
    if copy.folder in message and database.REBUILD in message:
        return message.replace(database.REBUILD, f"remove {copy.root}, and it is fetched anew")
    return re.sub(rf"{re.escape(copy.folder)}(?![\w.-])", lambda _: copy.store.address, message)


class Upload:
    """Writes a copy's additions to its store."""

    def __init__(self, copy: Mirror):
        """Takes a copy whose lock is held."""
        self._copy, self._store = copy, copy.store
        self._last = time.monotonic()

    def if_due(self) -> None:
        """As `now`, if the last time is ten minutes ago; without the store the work goes on.

        Raises:
          SearchError: Another machine has changed the index.
        """
        if time.monotonic() - self._last < _EVERY_SECONDS:
            return
        try:
            self.now()
        except StoreError as error:
            logging.warning("%s; it is tried again later", error)
            self._last = time.monotonic()

    def now(self) -> None:
        """Writes a new version if the copy differs from the one it began from.

        Raises:
          SearchError: Another machine has changed the index.
          StoreError: The store cannot be reached, or refuses.
        """
        snapshot = os.path.join(self._copy.folder, _SNAPSHOT)
        try:
            with self._copy.changing():
                self._write(snapshot)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(snapshot)
        self._last = time.monotonic()

    def _write(self, snapshot: str) -> None:
        state = self._copy.state()
        counter = mirror.counter_of(self._copy.folder)
        if counter is None:  # nothing was written
            return
        base, new_id = state.version, store_format.new_id()
        files, sources = self._files(base, new_id, snapshot, counter != state.counter)
        if {*files} == {*base.files}:
            return
        self._check_base(base)
        existing = self._store.listing()
        new = [file for file in files if file.key not in base.keys]
        size = sum(file.bytes for file in new)
        logging.info("%s: writing %d files, %.1f MB", self._store.address, len(new), size / 1e6)
        at_once(lambda file: self._store.put(sources[file.name], file.key), new)
        past = base.keys | (existing & {*base.superseded})
        present = base.next(files, past, new_id)
        # Noted first: killed after it is written, the copy is known to be of that version.
        written = dataclasses.replace(state, written_id=new_id, written_counter=counter)
        self._copy.set_state(written)
        self._write_current(base, present)
        self._copy.set_state(State(present, counter))
        try:
            store_format.clear(self._store, existing, base, present)
        except StoreError as error:  # the next writer tries again
            logging.warning("%s", error)

    def _files(
        self, base: Version, new_id: str, snapshot: str, has_new_tables: bool
    ) -> tuple[list[StoredFile], dict[str, str]]:
        """The files of the next version, and where each one is."""
        folder, known = self._copy.folder, base.by_name
        files, sources = [], {}
        for name in _names(folder):
            path = os.path.join(folder, *name.split("/"))
            earlier = known.get(name)
            is_tables = name == database.DATABASE_FILE
            if earlier is not None and is_tables and not has_new_tables:
                files.append(earlier)
                continue
            if earlier is not None and store_format.is_fixed(name):
                files.append(earlier)
                continue
            if is_tables:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(snapshot)
                path, digest = snapshot, mirror.copy_tables(folder, snapshot)
            else:
                digest = digest_of(path)
            if earlier is not None and earlier.sha256 == digest:
                files.append(earlier)
                continue
            key = store_format.key_of(name, digest, new_id)
            files.append(StoredFile(name, key, os.path.getsize(path), digest))
            sources[name] = path
        return files, sources

    def _check_base(self, base: Version) -> None:
        """Checks that the store still has the version that the copy began from."""
        present = store_format.read_current(self._store) or NOTHING
        if present.id != base.id:
            raise SearchError(self._changed(present))

    def _changed(self, present: Version) -> str:
        when = f" at {present.written_at}" if present.written_at else ""
        return (
            f"{self._store.address}: another machine has changed it{when}; run the same command "
            "again, which adds to that what it lacks; nothing is lost"
        )

    def _write_current(self, base: Version, present: Version) -> None:
        tag = self._store.tag(store_format.CURRENT)
        self._check_base(base)
        content = present.as_json()
        if self._store.write_after(store_format.CURRENT, content, tag):
            return
        found = store_format.read_current(self._store) or NOTHING
        if found.id != present.id:  # else the answer to the first try was lost on its way
            raise SearchError(self._changed(found))


def _names(folder: str) -> list[str]:
    """Files that make an index, with slashes, the tables last."""
    from audio_triplet.data import bad_files
    from audio_triplet.embeddings.quick_model import ENCODER_FILE
    from audio_triplet.search import duplicates, earlier_format, measuring
    from audio_triplet.search.tables import read_info

    info = read_info(folder)
    wanted = {
        ENCODER_FILE,
        duplicates.TABLE_FILE,
        earlier_format.LIST_FILE,
        bad_files.BAD_FILES,
        bad_files.TRUNCATED_FILES,
        bad_files.SUMMARY,
        *([info.faiss.file] if info.faiss else []),
    }
    names = []
    for entry in os.scandir(folder):
        if entry.name in wanted or entry.name.startswith(measuring.PREFIX):
            names.append(entry.name)
    for part in info.parts:
        files = os.listdir(os.path.join(folder, part.name))
        names += [f"{part.name}/{file}" for file in files if not locks.is_leftover(file)]
    return [*sorted(names), database.DATABASE_FILE]
