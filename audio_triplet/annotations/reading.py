"""Which format a file of annotations is in, and the manifest it makes."""

import os

import pandas as pd
from absl import logging

from audio_triplet.annotations import (
    audacity,
    birdnet,
    cells,
    label_studio,
    own_table,
    raven,
    sonic_visualiser,
)
from audio_triplet.annotations.moments import Moment
from audio_triplet.data import manifest_csv, spreadsheet
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import ManifestError

# Endings of tables that are taken for one wherever sound may be named.
ENDINGS = (".csv", ".tsv", ".txt", ".json")

_HEAD = 65_536


def read(path: str | os.PathLike, name: str | None = None) -> Manifest:
    """Reads a manifest, or a table of annotations as one.

    Args:
      path: The file.
      name: What messages call it; its path if None.

    Returns:
      The manifest; labels of the same part of a sound stand in one row.

    Raises:
      ManifestError: One line that names the file, the line and the fix.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        return Manifest.read(path, name)  # for it to complain of
    title, moments = read_table(path)
    if title is None:
        return Manifest.read(path, name)
    logging.info("%s: read as %s", path, title)
    if not moments:
        raise ManifestError(f"{path}: a {title} without rows; nothing to read")
    manifest = as_manifest(moments, name or path)
    manifest_csv.warn_of_alike(manifest.frame["labels"], path)
    return manifest


def read_moments(path: str | os.PathLike) -> list[Moment]:
    """The labelled moments of a file in one of the formats of this room.

    Raises:
      ManifestError: It is in none of them, or damaged.
    """
    path = os.fspath(path)
    title, moments = read_table(path)
    if title is None:
        raise ManifestError(f"{path}: no table of annotations; see docs/corpora.md")
    return moments


def as_manifest(moments: list[Moment], name: str) -> Manifest:
    """Moments as a manifest: a row for each part of a sound, with all of its labels.

    Raises:
      ManifestError: Times that make no sense.
    """
    rows: dict[tuple[str, float, float | None], list[str]] = {}
    for moment in moments:
        end = None if moment.end_seconds != moment.end_seconds else moment.end_seconds
        rows.setdefault((moment.path, moment.start_seconds, end), []).append(moment.label)
    paths, starts, ends = zip(*rows, strict=True)
    frame = pd.DataFrame(
        {
            "path": paths,
            "labels": [";".join(labels) for labels in rows.values()],
            "start_seconds": starts,
            "end_seconds": pd.Series(ends, dtype="float64"),
        }
    )
    return Manifest(frame, name)


def read_table(path: str) -> tuple[str | None, list[Moment]]:
    """A file's format and moments; None if it is no table of annotations.

    Raises:
      ManifestError: It is damaged.
    """
    encoding = spreadsheet.encoding_of(path)
    try:
        with open(path, encoding=encoding, newline="") as file:
            head = file.read(_HEAD)
    except UnicodeDecodeError:
        return None, []
    header, _ = cells.header_of(head)
    for tables in (raven, birdnet, own_table):
        if tables.recognises(header):
            return tables.TITLE, tables.read(cells.table_of(path, _text(path, encoding)))
    for texts in (label_studio, audacity, sonic_visualiser):
        if texts.recognises(head):
            return texts.TITLE, texts.read(path, _text(path, encoding))
    return None, []


def _text(path: str, encoding: str) -> str:
    try:
        with open(path, encoding=encoding, newline="") as file:
            return file.read()
    except UnicodeDecodeError:  # further down
        with open(path, encoding=spreadsheet.guessed_encoding(path), newline="") as file:
            return file.read()
