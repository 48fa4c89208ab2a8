"""The sound files that could not be used, and their list `bad_files.csv`.

Beside it `truncated.csv` lists those of which an end is missing, if they are used.
"""

import contextlib
import csv
import io
import threading
from collections.abc import Iterator

from absl import logging

from audio_triplet import audio, crashes, storage
from audio_triplet.errors import CorpusError

BAD_FILES = "bad_files.csv"
TRUNCATED_FILES = "truncated.csv"
SUMMARY = "summary.json"


class BadFiles:
    """Files that could not be used: thread-safe, each file once.

    Attributes:
      entries: path → reason.
      truncated: What is done with truncated files: `refuse`, then they are bad ones, or `use`.
      log: What read the others, and which of them are truncated.
    """

    def __init__(self, truncated: str = "refuse"):
        """None yet.

        Args:
          truncated: `refuse` or `use`.
        """
        self.entries: dict[str, str] = {}
        self.truncated, self.log = truncated, audio.ReadLog()
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
        with self._lock:
            entries = dict(self.entries)
        _write(path, entries)

    def summary(self, folder: str) -> str:
        """Lines for users: what read how many files, and which `listed_in` lists where; or ""."""
        lines = [str(self.log)]
        if self.log.truncated:
            lines.append(
                f"{len(self.log.truncated)} truncated files were used as far as they go, see "
                f"{storage.join(folder, TRUNCATED_FILES)}"
            )
        if self.entries:
            lines.append(
                f"{len(self.entries)} files could not be used, see "
                f"{storage.join(folder, BAD_FILES)}"
            )
        return "\n".join(filter(None, lines))

    def counts(self) -> dict[str, object]:
        """The same for `summary.json`."""
        return {
            "decoded": self.log.counts(),
            "truncated": len(self.log.truncated),
            "bad_files": len(self.entries),
        }

    def write_summary(self, folder: str, passed_over: dict[str, int] | None) -> None:
        """Writes `counts`, and what the scan of a folder passed over, as summary.json."""
        content = self.counts() | {"passed_over": passed_over or {}}
        storage.write_json(storage.join(folder, SUMMARY), content)

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
    missing. If every file could be used, the list of an earlier run is removed. truncated.csv keeps
    the files of earlier runs that were not read again. What crashed a decoder then is decoded in a
    process of its own.

    Args:
      folder: Local or remote.
      bad_files: Files already known to be bad; more are added to it. None: a new list.

    Yields:
      The list to add bad files to.
    """
    bad_files = BadFiles() if bad_files is None else bad_files
    earlier = _read(storage.join(folder, BAD_FILES)).items()
    crashes.suspect(path for path, reason in earlier if reason.startswith(crashes.REASON))
    try:
        yield bad_files
    finally:
        truncated = {
            path: reason
            for path, reason in read_truncated(folder).items()
            if path not in bad_files.log.decoders and path not in bad_files.entries
        } | bad_files.log.truncated
        for name, entries in ((BAD_FILES, bad_files.entries), (TRUNCATED_FILES, truncated)):
            path = storage.join(folder, name)
            if entries:
                storage.make_folder(folder)
                _write(path, entries)
            elif storage.exists(path):
                storage.remove(path)


def _write(path: str, entries: dict[str, str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["path", "reason"])
    writer.writerows(sorted(entries.items()))
    storage.write_text(path, text.getvalue())


def read_truncated(folder: str) -> dict[str, str]:
    """What truncated.csv in a folder lists: path → reason; nothing if it is not there."""
    return _read(storage.join(folder, TRUNCATED_FILES))


def _read(path: str) -> dict[str, str]:
    """What `_write` wrote; nothing if there is no list."""
    if not storage.exists(path):
        return {}
    rows = csv.reader(io.StringIO(storage.read_text(path)))
    return {row[0]: row[1] for row in rows if len(row) == 2 and row != ["path", "reason"]}
