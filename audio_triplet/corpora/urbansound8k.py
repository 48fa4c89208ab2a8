"""UrbanSound8K as published, `metadata/UrbanSound8K.csv` and `audio/fold1` … `fold10`, or mirrored.

J. Salamon, C. Jacoby, J. P. Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM
Multimedia 2014. 8,732 slices of at most 4 s from field recordings of Freesound, 10 classes, ten
official folds. For non-commercial use (CC BY-NC).
"""

import os

import pandas as pd

from audio_triplet.corpora import mirrors, published
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

_TABLE = "metadata/UrbanSound8K.csv"
_NEEDED = ("slice_file_name", "fsID", "fold", "class")
_CORPUS = "UrbanSound8K (https://urbansounddataset.weebly.com)"
_FOLDS = tuple(f"fold{number}" for number in range(1, 11))


def load(folder: str) -> Manifest:
    """The corpus as a manifest.

    The slices may have been re-encoded (`published.find_clips`). A recording that has slices in
    two folds stays only in the later one, as with ESC-50 [D].

    Args:
      folder: Holds `metadata/` and `audio/`, or the table and `fold1` … elsewhere (`mirrors`).

    Returns:
      One row per slice: labels = its class, split = "fold1" … "fold10", recording_id = fsID (the
      Freesound recording it was cut from).

    Raises:
      CorpusError: No table or two, another table, a fold that is not 1 … 10, none of the slices, or
        a slice in two folders.
      ManifestError: A slice listed twice.
    """
    path = mirrors.find_table(folder, _TABLE, _CORPUS)
    table = published.read_table(*os.path.split(path), _NEEDED, _CORPUS)
    fold = "fold" + table["fold"].str.strip()
    wrong = ~fold.isin(_FOLDS)
    if wrong.any():
        raise CorpusError(
            f"{path}: {table['slice_file_name'][wrong].iloc[0]} is in fold "
            f"{table['fold'][wrong].iloc[0]!r}; folds are 1 … 10; copy the table again"
        )
    audio_folder = os.path.join(os.path.dirname(os.path.dirname(path)), "audio")
    table["path"] = _slices(folder, table["slice_file_name"], fold, audio_folder)
    table["fold"] = fold
    table = published.drop_missing(table, "slice_file_name", audio_folder, "UrbanSound8K")
    columns = {
        "path": table["path"],
        "recording_id": table["fsID"],
        "labels": table["class"],
        "split": published.in_last_split(table["fold"], table["fsID"], _FOLDS, "UrbanSound8K"),
    }
    return Manifest(pd.DataFrame(columns), name="urbansound8k")


def _slices(folder: str, names: pd.Series, folds: pd.Series, audio_folder: str) -> pd.Series:
    """The file of each slice, "" where there is none; a slice in another's fold is not taken."""
    paths = pd.Series("", index=names.index)
    for fold, slices in names.groupby(folds, sort=False):
        there = published.find_clips(os.path.join(audio_folder, str(fold)), slices)
        paths.loc[slices.index] = there
    if (paths != "").any():
        return paths

    def may_hold(name: str, row: int) -> bool:
        return name not in _FOLDS or name == folds[row]

    return mirrors.find_clips(folder, names, audio_folder, "UrbanSound8K", may_hold)
