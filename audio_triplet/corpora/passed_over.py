"""What the scan of a folder did not take for sound: counted by extension, said in one line."""

import collections
import os

from absl import logging


class PassedOver:
    """Counts the files of one scan that are not sound; hidden ones do not count."""

    def __init__(self):
        self._counts: collections.Counter[str] = collections.Counter()

    def add(self, name: str) -> None:
        """Counts a file under its extension, in lower case."""
        if not name.startswith("."):
            self._counts[os.path.splitext(name)[1].lower() or "without extension"] += 1

    def counts(self) -> dict[str, int]:
        """Extension, with its dot → number of files; sorted by extension."""
        return dict(sorted(self._counts.items()))

    def __str__(self) -> str:
        """`passed over: 12 .txt, 3 .mid`, ten kinds at most; "" if there is nothing."""
        if not self._counts:
            return ""
        kinds = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        words = [f"{count} {kind}" for kind, count in kinds[:10]]
        if kinds[10:]:
            words.append(f"{sum(count for _, count in kinds[10:])} others")
        return f"passed over: {', '.join(words)}"

    def log(self, folder: str) -> None:
        """Says it, if there is anything."""
        if self._counts:
            logging.info("%s: %s", folder, self)
