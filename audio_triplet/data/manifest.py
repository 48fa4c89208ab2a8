"""The manifest: one table that says which sound is where, from which source, and on which side.

One row is a *segment* (what gets one label): a file, or the part of it between `start_seconds` and
`end_seconds`. Rows of one `recording_id` come from one source and always share a split, so that no
source is on both sides. Every corpus adapter ends here and everything else begins here.

The file format (CSV, UTF-8, comma-separated) is part of the contract:

    path,recording_id,labels,split,start_seconds,end_seconds

Only `path` is required. Labels are separated by `;`. Paths are relative to the CSV's own folder.
Further known columns tell where a file came from: package, version, sha256, licence, kind.

No TensorFlow here: corpus tools and `--help` start at once.
"""

import csv
import dataclasses
import errno
import functools
import hashlib
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from audio_triplet import storage
from audio_triplet.data.manifest_csv import (
    KNOWN_COLUMNS,
    absolute,
    checked_frame,
    line_number,
    listed,
    parse,
)
from audio_triplet.errors import ManifestError


def key_of(*names: object) -> int:
    """A stable non-negative int64 for a name, the same on every machine and in every run."""
    text = "\0".join(str(name) for name in names)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclasses.dataclass(frozen=True, eq=False)
class Manifest:
    """A checked table of segments.

    Built from any frame with a `path` column: missing columns are filled with their defaults
    (recording_id = the path, no labels, no split, the whole file), then everything is checked.

    Attributes:
      frame: one row a segment; columns `path` [str], `recording_id` [str], `labels` [str, joined
        by ";"], `split` [str, may be empty], `start_seconds` [float64], `end_seconds` [float64,
        NaN = to the end], and whichever provenance columns are known. Index 0 … n−1. Not to be
        changed in place.
      name: what messages call it (a file name or a corpus).

    Raises:
      ManifestError: no rows, an empty path, times that make no sense, the same segment twice, or
        a recording in two splits.
    """

    frame: pd.DataFrame
    name: str = "manifest"

    def __post_init__(self):
        """Fills the defaults and checks every row."""
        checked = checked_frame(self.frame, self.name, lambda row: f"row {row}")
        object.__setattr__(self, "frame", checked)

    @classmethod
    def _trusted(cls, frame: pd.DataFrame, name: str) -> "Manifest":
        """A manifest of rows that were checked already (2 M rows take seconds to check)."""
        if frame.empty:
            raise ManifestError(f"{name}: no rows are left")
        manifest = object.__new__(cls)
        object.__setattr__(manifest, "frame", frame.reset_index(drop=True))
        object.__setattr__(manifest, "name", name)
        return manifest

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.frame)

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        """All labels that occur, sorted."""
        _, unique = pd.factorize(self.frame["labels"])
        return tuple(sorted({label for joined in unique for label in joined.split(";") if label}))

    @functools.cached_property
    def splits(self) -> tuple[str, ...]:
        """All splits that occur, sorted; "" among them if rows have none."""
        return tuple(sorted(self.frame["split"].unique()))

    @property
    def recordings(self) -> int:
        """Number of different recordings."""
        return self.frame["recording_id"].nunique()

    def label_matrix(self, classes: Sequence[str] | None = None) -> np.ndarray:
        """Which segment has which label.

        Args:
          classes: the columns, in order; `self.classes` if None. Labels not named are left out.

        Returns:
          bool[segments, classes].

        Raises:
          ManifestError: a class is named twice.
        """
        classes = self.classes if classes is None else tuple(classes)
        column = {label: index for index, label in enumerate(classes)}
        if len(column) != len(classes):
            raise ManifestError(f"{self.name}: a class is named twice in {classes}")
        # Work on the different label strings, of which there are far fewer than rows.
        codes, unique = pd.factorize(self.frame["labels"])
        table = np.zeros((len(unique), len(classes)), dtype=bool)
        for row, joined in enumerate(unique):
            for label in joined.split(";"):
                if label in column:
                    table[row, column[label]] = True
        return table[codes]

    def select(self, splits: Sequence[str]) -> "Manifest":
        """The rows of the named splits, in their order.

        Raises:
          ManifestError: a named split does not occur.
        """
        splits = (splits,) if isinstance(splits, str) else tuple(splits)
        absent = [split for split in splits if split not in self.splits]
        if absent or not splits:
            raise ManifestError(
                f"{self.name}: no split {listed(absent)}; there are: {listed(self.splits)}"
            )
        return self._where(self.frame["split"].isin(splits).to_numpy())

    def take(self, rows: np.ndarray) -> "Manifest":
        """The rows at the given places, int[n], in that order."""
        return Manifest._trusted(self.frame.iloc[rows], self.name)

    def _where(self, keep: np.ndarray) -> "Manifest":
        """The rows of a bool[segments] mask."""
        return Manifest._trusted(self.frame[keep], self.name)

    def write(self, path: str | os.PathLike) -> None:
        """Writes the CSV, whole or not at all.

        Paths below the CSV's folder are written relative to it, so that folder and manifest can
        move together; others stay absolute.

        Raises:
          ManifestError: the file cannot be written.
        """
        path = os.path.abspath(path)
        folder = os.path.join(os.path.dirname(path), "")
        frame = self.frame.copy()
        below = frame["path"].str.startswith(folder)
        frame["path"] = frame["path"].where(~below, frame["path"].str.slice(len(folder)))
        columns = [name for name in KNOWN_COLUMNS if name in frame]
        # A bare carriage return is not quoted by default, yet ends a line when read.
        text = frame.select_dtypes(exclude="number")
        returns = any(text[name].str.contains("\r", regex=False).any() for name in text)
        try:
            os.makedirs(folder, exist_ok=True)
            with storage.open_replacing(path, unique=True) as file:
                quoting = csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
                frame[columns].to_csv(file, index=False, quoting=quoting, lineterminator="\n")
        except OSError as error:
            mend = (
                "free some space and run it again"
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "write it into a folder you may write to"
            )
            raise ManifestError(f"{path}: not written ({error.strerror}); {mend}") from error
        except UnicodeEncodeError as error:
            raise ManifestError(
                f"{path}: not written: a file name is not UTF-8 ({error.object!r}); rename it"
            ) from error

    @classmethod
    def read(cls, path: str | os.PathLike, name: str | None = None) -> "Manifest":
        """Reads and checks a CSV manifest. Audio files may be missing: see `check_files`.

        Args:
          path: the CSV file.
          name: what messages call it; its path if None.

        Returns:
          The manifest, its paths absolute.

        Raises:
          ManifestError: one line that names the file, the line and the mend.
        """
        path = os.fspath(path)
        frame = parse(path)
        recording = frame.get("recording_id")
        if recording is None:
            frame["recording_id"] = frame["path"]
        else:
            frame["recording_id"] = recording.where(recording != "", frame["path"])
        frame["path"] = absolute(frame["path"], os.path.dirname(os.path.abspath(path)))
        frame = checked_frame(frame, path, lambda row: f"line {line_number(path, row)}")
        return cls._trusted(frame, name or path)


def check_files(manifest: Manifest) -> list[tuple[str, str]]:
    """The manifest's files that are not there, or that hold nothing.

    Only looks (one `stat` a file), decodes nothing. Addresses such as gs://… are not looked at.

    Returns:
      (path, reason) of each bad file, sorted by path.
    """
    bad = []
    for path in sorted(manifest.frame["path"].unique()):
        if storage.is_remote(path):
            continue
        try:
            if os.path.isdir(path):
                bad.append((path, "is a folder, not a file"))
            elif os.stat(path).st_size == 0:
                bad.append((path, "empty file (0 bytes)"))
        except FileNotFoundError:
            bad.append((path, "no such file"))
        except (OSError, ValueError) as error:
            bad.append((path, getattr(error, "strerror", None) or str(error)))
    return bad
