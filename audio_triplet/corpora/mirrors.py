"""Where a published corpus's table and clips lie, in whatever folders a copy of it has.

Copies hold the published folders below another one (`ESC-50-master/`), or arrange them anew
(`UrbanSound8K.csv` beside `fold1` …, `audio/audio/`). In: the folder that the user named. Out: the
table and the clips, known by their names. What was taken is logged; two that could be meant are an
error.
"""

import filecmp
import os
from collections.abc import Callable

import pandas as pd
from absl import logging

from audio_triplet.audio import is_audio
from audio_triplet.corpora import published
from audio_triplet.errors import CorpusError

# Of folders below the one that was named, where tables are, and clips, which may lie in folds.
_LEVELS = 3
_CLIP_LEVELS = 4


def find_table(folder: str, relative: str, corpus: str) -> str:
    """Where a table of a corpus is.

    Args:
      folder: What the user named.
      relative: The table's published path below it, with "/"; it is looked for there first, then by
        its name, in whatever case, in three levels of folders.
      corpus: Name and address of the corpus, for messages.

    Returns:
      Its path.

    Raises:
      CorpusError: None is there, or two that differ.
    """
    path = os.path.join(folder, *relative.split("/"))
    if os.path.isfile(path):
        return path
    name = os.path.basename(path).lower()
    found = [
        os.path.join(current, file)
        for current, files in _listing(folder, _LEVELS)
        for file in files
        if file.lower() == name
    ]
    if not found:
        raise CorpusError(
            f"{folder}: no {relative} in it; name the folder that holds {corpus}, at most "
            f"{_LEVELS} levels above its tables"
        )
    for other in found[1:]:
        if not filecmp.cmp(found[0], other, shallow=False):
            raise CorpusError(
                f"{folder}: two tables could be meant, {found[0]} and {other}; name the folder of "
                "one of them, or remove the other"
            )
    logging.info("%s: the table is %s", corpus.split(" (")[0], found[0])
    return found[0]


def find_clips(
    folder: str,
    names: pd.Series,
    first: str,
    corpus: str,
    may_hold: Callable[[str, int], bool] = lambda folder, row: True,
) -> pd.Series:
    """The files of the named clips, which may have been re-encoded.

    Args:
      folder: What the user named; looked through, four levels deep, if `first` holds no clip.
      names: str[clips], file names with their published extension.
      first: The folder where they are as published.
      corpus: Name of the corpus, for messages.
      may_hold: (a folder's name, index of a clip) → whether that clip may be in it.

    Returns:
      str[clips], absolute paths, "" where there is none; the index of `names`.

    Raises:
      CorpusError: Two folders hold the same clip.
    """
    paths = published.find_clips(first, names)
    if (paths != "").any():
        return paths
    rows_of = names.index.groupby(names.map(_stem))
    taken_from = []
    for current, files in _listing(os.path.abspath(folder), _CLIP_LEVELS):
        base = os.path.basename(current)
        stems = {_stem(file) for file in files if is_audio(file)}
        rows = [row for stem in stems & rows_of.keys() for row in rows_of[stem]]
        rows = sorted(row for row in rows if may_hold(base, row))
        if not rows:
            continue
        there = published.find_clips(current, names.loc[rows])
        twice = paths.loc[rows] != ""
        if twice.any():
            row = twice.idxmax()
            raise CorpusError(
                f"{folder}: two folders hold clips of {corpus}, {os.path.dirname(paths[row])} and "
                f"{current} ({names[row]}, …); move one of them elsewhere"
            )
        paths.loc[rows] = there
        taken_from.append(current)
    if taken_from:
        logging.info(
            "%s: %d clips are in %s", corpus, (paths != "").sum(), ", ".join(sorted(taken_from))
        )
    return paths


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _listing(folder: str, levels: int) -> list[tuple[str, list[str]]]:
    """(folder, its files) of a folder and of some levels below it, sorted.

    Links are followed, each real folder once; hidden folders are not looked into.
    """
    listing, seen = [], set()
    for current, below, files in os.walk(folder, followlinks=True):
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        if len(os.path.relpath(current, folder).split(os.sep)) == levels and current != folder:
            below.clear()
        listing.append((current, sorted(name for name in files if not name.startswith("."))))
    return listing
