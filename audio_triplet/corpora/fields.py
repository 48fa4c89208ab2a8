"""Data sets whose sound lies in tables or tar files: which field is the label, which split it is.

Shared by `parquet` and `webdataset`. What a user does not name is known by its name; two names that
could be meant are an error that names both.
"""

import dataclasses
import os
import re
from collections.abc import Collection, Sequence
from typing import Any

from audio_triplet.errors import CorpusError

# In lower case. Labels: one of them, else it must be said. Recording and split: the first there is.
LABELS = ("label", "labels", "human_labels", "category", "categories", "class", "classes", "cls",
          "class_name", "class_label", "tag", "tags")  # fmt: skip
RECORDINGS = ("recording_id", "src_file", "fsid", "freesound_id", "video_id", "ytid")
SPLITS = ("split", "fold")

_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
    "eval": "eval", "evaluation": "eval",
}  # fmt: skip
_ORDER = ("train", "validation", "test", "eval")


@dataclasses.dataclass(frozen=True)
class Location:
    """What follows `parquet:` or `webdataset:`.

    Attributes:
      path: A folder, or one file.
      labels: The fields that hold labels; empty: to be found.
      audio: The field that holds the sound; "": to be found.
    """

    path: str
    labels: tuple[str, ...] = ()
    audio: str = ""

    @classmethod
    def parse(cls, scheme: str, text: str) -> "Location":
        """Reads `DIR?labels=FIELD;FIELD&audio=FIELD`.

        Raises:
          CorpusError: Another option.
        """
        found = re.search(r"\?(?=(?:labels|audio)=)", text)
        if found is None:
            return cls(text)
        options = {}
        for part in re.split("&(?=labels=|audio=)", text[found.end() :]):
            key, _, value = part.partition("=")
            if not value.strip("; ") or key in options:
                raise CorpusError(
                    f"{scheme}:{text}: after the folder write ?labels=FIELD;FIELD, ?audio=FIELD, "
                    "or both with & between them"
                )
            options[key] = value
        labels = [name.strip() for name in options.get("labels", "").split(";")]
        return cls(
            text[: found.start()], tuple(name for name in labels if name), options.get("audio", "")
        )


def files_below(path: str, ending: str, what: str) -> list[str]:
    """The files of one kind in a folder, at any depth, sorted; or the one file that is named.

    Raises:
      CorpusError: There is none.
    """
    if os.path.isfile(path):
        return [os.path.abspath(path)]
    if not os.path.isdir(path):
        raise CorpusError(f"{path}: no such folder; check the path")
    found = []
    for current, below, files in os.walk(os.path.abspath(path)):
        below[:] = sorted(name for name in below if not name.startswith("."))
        names = sorted(name for name in files if name.lower().endswith(ending))
        found += [os.path.join(current, name) for name in names if not name.startswith(".")]
    if not found:
        raise CorpusError(f"{path}: no {what} ({ending}) in it or below; name the folder of them")
    return found


def choose(names: Collection[str], known: Sequence[str], what: str, where: str) -> str | None:
    """The one field whose name, in whatever case, is known; None if there is none.

    Raises:
      CorpusError: There are two.
    """
    found = [name for name in names if name.lower() in known]
    if len(found) > 1:
        raise CorpusError(
            f"{where}: {found[0]!r} and {found[1]!r} could both be {what}; name one: "
            f"?{what}={found[0]}"
        )
    return found[0] if found else None


def first_of(names: Collection[str], known: Sequence[str]) -> str | None:
    """The field whose name, in whatever case, comes first among the known; None if none does."""
    by_name = {name.lower(): name for name in names}
    return next((by_name[name] for name in known if name in by_name), None)


def split_of_file(root: str, path: str) -> str:
    """The split that a file's name or its folders say: `train-00000-of-00004.parquet`; or ""."""
    relative = os.path.relpath(path, root) if os.path.isdir(root) else os.path.basename(path)
    *folders, name = relative.split(os.sep)
    for word in (re.split(r"[-_.\d]", name)[0], *reversed(folders)):
        if word.lower() in _SPLIT_NAMES:
            return _SPLIT_NAMES[word.lower()]
    return ""


def split_named(value: Any) -> str:
    """The split that a cell says: "val" is "validation", 3 is "fold3"."""
    text = as_text(value)
    if text.isdecimal():
        return f"fold{text}"
    return _SPLIT_NAMES.get(text.lower(), text)


def split_order(splits: Collection[str]) -> list[str]:
    """Splits with those that keep their recordings last: test sides, later folds."""

    def rank(split: str) -> tuple[int, int, str]:
        digits = re.search(r"\d+$", split)
        known = _ORDER.index(split) if split in _ORDER else -1
        return known, int(digits[0]) if digits else -1, split

    return sorted(splits, key=rank)


def as_text(value: Any) -> str:
    """A cell as text; "" where nothing is, 3 for 3.0."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def as_labels(value: Any, names: Sequence[str] = ()) -> list[str]:
    """The labels in a cell, without ";", which separates them elsewhere.

    Args:
      value: A name, a number, or a list of them; a number below 0 is none.
      names: What numbers stand for.

    Returns:
      Names.
    """
    if isinstance(value, (list, tuple)):
        return [label for one in value for label in as_labels(one, names)]
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, (int, float)) and names and value == value:
        number = int(value)
        value = names[number] if 0 <= number < len(names) else None
    text = as_text(value).replace(";", ",")
    return [text] if text else []
