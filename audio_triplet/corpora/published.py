"""Shared by adapters of published corpora: read a table, find its clips, count them.

In: a published table and the folder of its clips. Out: the rows whose clip is there, and splits
where no recording is on both sides.
"""

import os
from collections.abc import Sequence

import pandas as pd
from absl import logging

from audio_triplet.audio import audio_extensions, is_audio
from audio_triplet.data.manifest_csv import UNUSED
from audio_triplet.errors import CorpusError


def read_table(
    folder: str, relative: str, needed: Sequence[str], corpus: str, header: bool = True
) -> pd.DataFrame:
    """A published CSV, every cell as text.

    Args:
      folder: The corpus's folder.
      relative: The table's path below it, with "/".
      needed: Columns that must be there; the names of all columns if there is no header.
      corpus: Name and address of the corpus, for messages.
      header: Whether the first line names the columns.

    Returns:
      str[rows, columns]; "" where a cell is empty.

    Raises:
      CorpusError: The table is missing, unreadable, another table, or empty.
    """
    path = os.path.join(folder, *relative.split("/"))
    names = {} if header else {"header": None, "names": list(needed)}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", **names)
    except FileNotFoundError:
        raise CorpusError(
            f"{folder}: no {relative} in it; name the folder that holds {corpus} as published"
        ) from None
    except (OSError, ValueError) as error:
        cause = " ".join(str(error).split())
        raise CorpusError(f"{path}: cannot be read ({cause}); copy it again") from error
    absent = [name for name in needed if name not in table]
    if absent:
        raise CorpusError(
            f"{path}: no column {', '.join(absent)}; this is not the table of {corpus}; copy that "
            "one here"
        )
    if table.empty:
        raise CorpusError(f"{path}: holds no rows; copy the table of {corpus} again")
    return table


def find_clips(folder: str, names: pd.Series) -> pd.Series:
    """The files of the named clips in one folder, which may have been re-encoded.

    `7061-6-0-0.wav` of a table is found as `7061-6-0-0.flac` too; the named file is preferred, else
    the first by name. One listing of the folder, rather than a look at each clip.

    Args:
      folder: Holds the clips; may be missing.
      names: str[clips], file names with their published extension.

    Returns:
      str[clips], absolute paths, "" where there is none; the index of `names`.
    """
    folder = os.path.abspath(folder)
    files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    known = set(audio_extensions())
    by_stem = {}
    for name in reversed(files):
        stem, extension = os.path.splitext(name)
        if extension.lower().lstrip(".") in known and is_audio(name):
            by_stem[stem] = name
    there = set(files)

    def path(name):
        found = name if name in there else by_stem.get(os.path.splitext(name)[0])
        return os.path.join(folder, found) if found else ""

    return names.map(path)


def drop_missing(table: pd.DataFrame, column: str, folder: str, corpus: str) -> pd.DataFrame:
    """The rows whose clip is there; the others are counted in a warning.

    Args:
      table: With a column `path` [str, "" = not there].
      column: The column that names the clip, for messages.
      folder: The folder that was searched, for messages.
      corpus: Name of the corpus, for messages.

    Raises:
      CorpusError: No clip is there.
    """
    missing = table.loc[table["path"] == "", column]
    if len(missing) == len(table):
        raise CorpusError(
            f"{folder}: none of the {len(table)} clips of {corpus} is there ({missing.iloc[0]}, …);"
            f" unpack its audio here; known extensions: {', '.join(audio_extensions())}"
        )
    logging.info("%s: requested %d clips, found %d", corpus, len(table), len(table) - len(missing))
    if len(missing):
        logging.warning(
            "%s: %d of %d clips are missing and left out (%s, …)",
            folder, len(missing), len(table), missing.iloc[0],
        )  # fmt: skip
    return table[table["path"] != ""].reset_index(drop=True)


def in_last_split(
    split: pd.Series, recording: pd.Series, order: Sequence[str], corpus: str
) -> pd.Series:
    """Splits in which each recording stays only in its last one; elsewhere it is "unused" [D].

    No recording is then on both sides, and the last split (the default test side) stays as
    published.

    Args:
      split: str[rows].
      recording: str[rows], recording ids.
      order: All splits, the one that keeps its recordings last.
      corpus: Name of the corpus, for messages.

    Returns:
      str[rows].
    """
    rank = split.map({name: number for number, name in enumerate(order)})
    moved = rank < rank.groupby(recording, sort=False).transform("max")
    if moved.any():
        logging.warning(
            "%s: %d segments are unused, because their recording is in a later split too (%s, …)",
            corpus, moved.sum(), recording[moved].iloc[0],
        )  # fmt: skip
    return split.where(~moved, UNUSED)
