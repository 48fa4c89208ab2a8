"""Licence and source of each file, shown beside what is found of it."""

from __future__ import annotations

import csv
import dataclasses
import os

from absl import logging

from audio_triplet.errors import UsageError
from audio_triplet.publish.archive import Archive


@dataclasses.dataclass(frozen=True)
class Credits:
    """What is to be said of files.

    Attributes:
      texts: Each text once.
      of_files: For each file of the archive the number of its text; None: nothing.
    """

    texts: list[str]
    of_files: list[int | None]

    @classmethod
    def none(cls, archive: Archive) -> Credits:
        """Nothing is said of any."""
        return cls([], [None] * len(archive.files))

    @classmethod
    def read(cls, path: str, archive: Archive) -> Credits:
        """What a table says: CSV with the columns `path`, relative to the table, and `credit`.

        Raises:
          UsageError: There is no such table, or it has not these columns.
        """
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = csv.DictReader(file)
                missing = {"path", "credit"} - set(rows.fieldnames or ())
                if missing:
                    raise UsageError(
                        f"--credits={path}: has no column {', '.join(sorted(missing))}; name a CSV "
                        "table with the columns path and credit"
                    )
                folder = os.path.dirname(os.path.abspath(path))
                said = {
                    os.path.normpath(os.path.join(folder, row["path"])): row["credit"]
                    for row in rows
                }
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UsageError(
                f"--credits={path}: cannot be read ({error}); name a CSV table in UTF-8"
            ) from error
        found = [said.get(os.path.normpath(file.path)) or "" for file in archive.files]
        texts = sorted(set(filter(None, found)))
        if not all(found):
            logging.warning("%s: says nothing of %d of %d files", path, found.count(""), len(found))
        numbers = {text: number for number, text in enumerate(texts)}
        return cls(texts, [numbers.get(text) for text in found])

    def lines(self) -> list[str]:
        """For README.txt: each text with the number of its files."""
        return [
            f"{self.of_files.count(number):6,}  {text}" for number, text in enumerate(self.texts)
        ]
