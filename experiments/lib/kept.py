"""Results kept together with their settings, so that a stopped command can continue."""

from __future__ import annotations

import dataclasses
import json
import os

from audio_triplet import storage
from audio_triplet.config import EncoderConfig, RunConfig, current_names
from audio_triplet.errors import ConfigError, UsageError


@dataclasses.dataclass(frozen=True)
class KeptScores:
    """The scores of one representation on one test side, in a file.

    Attributes:
      path: The JSON file.
      settings: What the scores depend on; scores of other settings are not used.
    """

    path: str
    settings: dict

    def read(self) -> dict | None:
        """The scores as found earlier with the same settings, else None.

        Raises:
          UsageError: The file is damaged.
        """
        earlier = read_json(self.path)
        if earlier and are_same(earlier["settings"], self.settings):
            return earlier["scores"]
        return None

    def write(self, scores: dict) -> None:
        """Keeps scores for `read`."""
        write_json(self.path, {"settings": self.settings, "scores": scores})


def as_read(settings: dict) -> dict:
    """Settings as JSON returns them (tuples become lists)."""
    return json.loads(json.dumps(settings))


def are_same(earlier: dict, settings: dict) -> bool:
    """Whether settings that were read are these, as an earlier version may have written them.

    Args:
      earlier: Read from JSON.
      settings: As they would be written now.
    """
    return _current(earlier) == _current(settings)


def _current(settings: dict) -> dict:
    """Settings under the present names of fields, with the defaults of new fields."""
    settings = as_read(settings)
    try:
        if settings.get("run"):
            settings["run"] = dataclasses.asdict(RunConfig.from_dict(settings["run"]))
        if "encoder" in settings:
            encoder = EncoderConfig(**current_names(settings["encoder"]))
            settings["encoder"] = dataclasses.asdict(encoder)
    except (TypeError, ConfigError):  # of an unknown version: not the same
        return settings
    return as_read(settings)


def read_json(path: str) -> dict | None:
    """The content of a JSON file, None if it is not there.

    Raises:
      UsageError: It is damaged.
    """
    if not os.path.exists(path):
        return None
    try:
        return storage.read_json(path)
    except ValueError as error:
        raise UsageError(f"{path}: is damaged ({error}); delete it") from error


def write_json(path: str, content: dict) -> None:
    """Writes a JSON file, whole or not at all; makes its folder if it is missing."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    storage.write_json(path, content)
