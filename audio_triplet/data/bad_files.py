"""The sound files that could not be used, and their list `bad_files.csv`."""

import contextlib
import csv
import io
import threading
from collections.abc import Iterator

from absl import logging

from audio_triplet import crashes, storage
from audio_triplet.errors import CorpusError

BAD_FILES = "bad_files.csv"


class BadFiles:
    """Files that could not be used: thread-safe, each file once.

    Attributes:
      entries: path → reason.
    """

    def __init__(self):
        """None yet."""
        self.entries: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, path: str, reason: str) -> None:
        """Notes a file and logs it, the first time."""
        with self._lock:
            if path in self.entries:
                return
            self.entries[path] = reason
        logging.warning("skipped %s: %s", path, reason)

    def write(self, path: str) -> None:
        """Writes `path,reason` as CSV, whole or not at all."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["path", "reason"])
        with self._lock:
            writer.writerows(sorted(self.entries.items()))
        storage.write_text(path, text.getvalue())

    def summary(self, folder: str) -> str:
        """A line for users: how many there are, and where `listed_in` lists them."""
        return f"{len(self.entries)} files could not be used, see {storage.join(folder, BAD_FILES)}"

    def check_share(self, files: int, max_share: float, name: str) -> None:
        """Stops before any work is lost: too many bad files are a mistake, not bad luck.

        Raises:
          CorpusError: More than `max_share` of `files` are bad.
        """
        bad = len(self.entries)
        if bad > max_share * files:
            path, reason = next(iter(self.entries.items()))
            raise CorpusError(
                f"{name}: {bad} of {files} files cannot be used, more than "
                f"{max_share:.0%} (--max_bad_share); the first: {path}: {reason}"
            )


@contextlib.contextmanager
def listed_in(folder: str, bad_files: BadFiles | None = None) -> Iterator[BadFiles]:
    """Lists the files that turn out to be bad while the block runs.

    When it ends, also by an error, bad_files.csv is written into the folder, which is made if
    missing. If every file could be used, the list of an earlier run is removed. What crashed a
    decoder then is decoded in a process of its own.

    Args:
      folder: Local or remote.
      bad_files: Files already known to be bad; more are added to it. None: a new list.

    Yields:
      The list to add bad files to.
    """
    bad_files = BadFiles() if bad_files is None else bad_files
    earlier = _entries(storage.join(folder, BAD_FILES))
    crashes.suspect(path for path, reason in earlier if reason.startswith(crashes.REASON))
    try:
        yield bad_files
    finally:
        path = storage.join(folder, BAD_FILES)
        if bad_files.entries:
            storage.make_folder(folder)
            bad_files.write(path)
        elif storage.exists(path):
            storage.remove(path)


def _entries(path: str) -> list[tuple[str, str]]:
    """(path, reason) of each file in a list; none if there is no list."""
    if not storage.exists(path):
        return []
    rows = csv.reader(io.StringIO(storage.read_text(path)))
    return [(row[0], row[1]) for row in rows if len(row) == 2]
