"""The manifest: one table that gives every sound its file, its source and its side.

One row is a *segment* (what gets one label): a file, or the part of it between `start_seconds` and
`end_seconds`. Rows of one `recording_id` come from one source and always share a split, so that no
source is on both sides. Every corpus adapter ends here and everything else begins here.

The file format (CSV, UTF-8, comma-separated) is part of the contract:

    path,recording_id,labels,split,start_seconds,end_seconds

Only `path` is required. Labels are separated by `;`. Paths are relative to the CSV's own folder.
Further known columns say where a file came from: package, version, sha256, licence, kind.

No TensorFlow here: corpus tools and `--help` start at once.
"""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from audio_triplet.data.manifest_csv import checked_frame, listed, read_frame, write_frame
from audio_triplet.errors import ManifestError

_ROWS_AT_A_TIME = 100_000  # as CSV text; all of two million at once would take gigabytes


@dataclasses.dataclass(frozen=True, eq=False)
class Manifest:
    """A checked table of segments.

    Built from any frame with a `path` column: missing columns are filled with their defaults
    (recording_id = the path, no labels, no split, the whole file), then everything is checked.

    Attributes:
      frame: one row per segment; columns `path` [str], `recording_id` [str], `labels` [str, joined
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
    def of_checked(cls, frame: pd.DataFrame, name: str) -> "Manifest":
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
        # Work on the distinct label strings, which are far fewer than rows.
        codes, unique = pd.factorize(self.frame["labels"])
        table = np.zeros((len(unique), len(classes)), dtype=bool)
        for row, joined in enumerate(unique):
            for label in joined.split(";"):
                if label in column:
                    table[row, column[label]] = True
        return table[codes]

    def fingerprint(self, settings: Mapping[str, object]) -> str:
        """Digest of the rows, of the sizes of their files, and of what is made of them.

        Args:
          settings: Settings that shape it; values that JSON can hold.

        Returns:
          64 hexadecimal digits. Of files elsewhere (gs://…) only the names count.
        """
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for first in range(0, len(self.frame), _ROWS_AT_A_TIME):
            part = self.frame.iloc[first : first + _ROWS_AT_A_TIME]
            text = part.to_csv(index=False, header=first == 0)
            digest.update(text.encode("utf-8", "surrogateescape"))
        for path in self.frame["path"].unique():
            try:
                size = os.stat(path).st_size
            except (OSError, ValueError):
                size = -1
            digest.update(f"{size};".encode())
        return digest.hexdigest()

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
        return self.where(self.frame["split"].isin(splits).to_numpy())

    def take(self, rows: np.ndarray) -> "Manifest":
        """The rows of the given numbers, int[n], in that order."""
        return Manifest.of_checked(self.frame.iloc[rows], self.name)

    def where(self, keep: np.ndarray) -> "Manifest":
        """The rows where bool[segments] `keep` is true."""
        return Manifest.of_checked(self.frame[keep], self.name)

    def write(self, path: str | os.PathLike) -> None:
        """Writes the CSV, whole or not at all.

        Paths below the CSV's folder are written relative to it, so that folder and manifest can
        move together; others stay absolute.

        Raises:
          ManifestError: the file cannot be written.
        """
        write_frame(self.frame, path)

    @classmethod
    def read(cls, path: str | os.PathLike, name: str | None = None) -> "Manifest":
        """Reads and checks a CSV manifest; whether its sound files exist is not looked at.

        Args:
          path: the CSV file.
          name: what messages call it; its path if None.

        Returns:
          The manifest, its paths absolute.

        Raises:
          ManifestError: one line that names the file, the line and the fix.
        """
        path = os.fspath(path)
        return cls.of_checked(read_frame(path), name or path)
