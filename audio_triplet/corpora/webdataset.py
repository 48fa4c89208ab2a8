"""WebDataset: tar files of sound with `.json` or `.cls` beside each.

In: a folder of `.tar` files. Files of one sample have one name up to its first dot: `dog/01.flac`,
`dog/01.json`. Out: one row per sound, read in place (`audio.containers`). Only the headers of the
tar files and their small members are read.

| what | how it is known |
|---|---|
| labels | `?labels=KEY;KEY` of the JSON; else the one named `label`, `category` …; else `.cls` |
| class names | for numbers: the lines of `classnames.txt` or `classes.txt` beside the tar files |
| recording | a key `recording_id`, `src_file`, `fsID`, `video_id` …; else each sample is one |
| split | a key `split` or `fold`; else the file's or folder's name, if these differ |
"""

import collections
import json
import os
from typing import Any

import pandas as pd
from absl import logging

from audio_triplet import audio
from audio_triplet.audio import containers
from audio_triplet.corpora import fields, published
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import AudioError, CorpusError

_CLASS_FILES = ("classnames.txt", "classes.txt")
_MOST_BYTES = 1 << 20  # of a .json or .cls


def load(location: str) -> Manifest:
    """The tar files as a manifest.

    Args:
      location: The folder or a file; then, after "?labels=", which keys of the JSON hold labels.

    Returns:
      One row per sound: path = `FILE/MEMBER`.

    Raises:
      CorpusError: No tar file, one that cannot be read or holds no sound, a `.json` that is none,
        or several keys that could be labels.
    """
    where = fields.Location.parse("webdataset", location)
    if where.audio:
        raise CorpusError(f"webdataset:{location}: sound is known by its ending; leave audio= out")
    files = fields.files_below(where.path, containers.TAR, "tar files")
    name = f"webdataset:{where.path}"
    classes = _class_names(where.path)
    rows: list[dict[str, str]] = []
    passed_over = collections.Counter[str]()
    for path in files:
        rows += _rows(path, where, classes, passed_over)
    if not rows:
        raise CorpusError(
            f"{where.path}: no sound in its {len(files)} tar files; looked for "
            f"{', '.join(audio.audio_extensions())}"
        )
    if passed_over:
        words = [f"{count} {kind}" for kind, count in passed_over.most_common(10)]
        logging.info("%s: passed over: %s", where.path, ", ".join(words))
    table = pd.DataFrame(rows, dtype=object)
    by_name = {path: fields.split_of_file(where.path, path) for path in files}
    if (table["split"] == "").all() and len(set(by_name.values())) > 1:
        table["split"] = table["file"].map(by_name)
    table["split"] = published.in_last_split(
        table["split"],
        table["recording_id"],
        fields.split_order(table["split"].unique()),
        name,
    )
    logging.info("%s: %d sounds in %d tar files", name, len(table), len(files))
    manifest = Manifest(table.drop(columns="file"), name)
    manifest.frame.attrs["passed_over"] = dict(sorted(passed_over.items()))
    return manifest


def _rows(
    path: str, where: fields.Location, classes: list[str], passed_over: collections.Counter[str]
) -> list[dict[str, str]]:
    """The sounds of one tar file."""
    try:
        members = containers.tar_members(path)
    except AudioError as error:
        raise CorpusError(str(error)) from error
    samples: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for member in members:
        folder, base = os.path.split(member)
        stem, _, extension = base.partition(".")
        if stem and extension:
            samples[os.path.join(folder, stem)][extension.lower()] = member
    rows = []
    for key, parts in samples.items():
        sounds = [member for member in parts.values() if audio.is_audio(os.path.basename(member))]
        for kind, member in parts.items():
            if member not in sounds and kind not in ("json", "cls"):
                passed_over[f".{kind}"] += 1
        if not sounds:
            continue
        said = _json(path, parts["json"]) if "json" in parts else {}
        labels = where.labels
        if not labels and (found := fields.choose(said, fields.LABELS, "labels", path)):
            labels = (found,)
        given = [label for name in labels for label in fields.as_labels(said.get(name), classes)]
        if not labels and "cls" in parts:
            text = _read(path, parts["cls"]).strip()
            given = fields.as_labels(int(text) if text.lstrip("-").isdecimal() else text, classes)
        recording = fields.first_of(said, fields.RECORDINGS)
        recording_id = fields.as_text(said[recording]) if recording else ""
        split = fields.first_of(said, fields.SPLITS)
        rows += [
            {
                "path": os.path.join(path, sound),
                "recording_id": recording_id or os.path.join(path, key),
                "labels": ";".join(given),
                "split": fields.split_named(said[split]) if split else "",
                "file": path,
            }
            for sound in sounds
        ]
    return rows


def _json(path: str, member: str) -> dict[str, Any]:
    """What a sample's JSON says."""
    try:
        said = json.loads(_read(path, member))
    except ValueError as error:
        raise CorpusError(f"{path}/{member}: not JSON ({error}); repair or remove it") from error
    return said if isinstance(said, dict) else {}


def _read(path: str, member: str) -> str:
    """A small member's text."""
    with containers.open_member(os.path.join(path, member)) as file:
        return file.read(_MOST_BYTES).decode("utf-8-sig", "replace")


def _class_names(path: str) -> list[str]:
    """The names of numbered classes, one a line; [] if there is no list of them."""
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    for name in _CLASS_FILES:
        file_name = os.path.join(folder, name)
        if os.path.isfile(file_name):
            with open(file_name, encoding="utf-8-sig") as file:
                return file.read().splitlines()
    return []
