"""Results that are kept beside what they depend on, so that a command that was stopped goes on."""

from __future__ import annotations

import dataclasses
import json
import os

from audio_triplet import storage
from audio_triplet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class KeptScores:
    """The scores of one representation on one test side, in a file.

    Attributes:
      path: The JSON file.
      settings: What the scores depend on: those of other settings are not used.
    """

    path: str
    settings: dict

    def read(self) -> dict | None:
        """The scores as found earlier with the same settings, else None.

        Raises:
          UsageError: The file is damaged.
        """
        earlier = read_json(self.path)
        if earlier and earlier["settings"] == as_read(self.settings):
            return earlier["scores"]
        return None

    def write(self, scores: dict) -> None:
        """Keeps scores for `read`."""
        write_json(self.path, {"settings": self.settings, "scores": scores})


def as_read(settings: dict) -> dict:
    """Settings as they will be read back from JSON (tuples are lists there)."""
    return json.loads(json.dumps(settings))


def read_json(path: str) -> dict | None:
    """The content of a JSON file, None if it is not there.

    Raises:
      UsageError: It is damaged.
    """
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except ValueError as error:
        raise UsageError(f"{path}: is damaged ({error}); delete it") from error


def write_json(path: str, content: dict) -> None:
    """Writes a JSON file, whole or not at all, and its folder if need be."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    storage.write_whole(path, json.dumps(content, indent=1, ensure_ascii=False))
