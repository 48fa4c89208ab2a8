"""The list of sound files that could not be used."""

import csv
import io
import threading

from absl import logging

from audio_triplet import storage
from audio_triplet.errors import CorpusError


class BadFiles:
    """The list of files that could not be used: thread-safe, each file once.

    Attributes:
      entries: path → reason.
    """

    def __init__(self):
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

    def check_share(self, files: int, max_share: float, name: str) -> None:
        """Stops before any work is lost: too many bad files are a mistake, not bad luck.

        Raises:
          CorpusError: More than `max_share` of `files` are bad.
        """
        bad = len(self.entries)
        if bad > max_share * files:
            first = next(iter(self.entries.items()))
            raise CorpusError(
                f"{name}: {bad} of {files} files cannot be used, more than "
                f"{max_share:.0%} (--max_bad_share); the first: {first[0]}: {first[1]}"
            )
