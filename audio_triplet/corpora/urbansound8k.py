"""UrbanSound8K in its published layout: `metadata/UrbanSound8K.csv` and `audio/fold1` … `fold10`.

J. Salamon, C. Jacoby, J. P. Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM
Multimedia 2014. 8,732 slices of at most 4 s from field recordings of Freesound, 10 classes, ten
official folds. For non-commercial use (CC BY-NC).
"""

import os

import pandas as pd

from audio_triplet.corpora import published
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
      folder: Holds `metadata/` and `audio/`.

    Returns:
      One row per slice: labels = its class, split = "fold1" … "fold10", recording_id = fsID (the
      Freesound recording it was cut from).

    Raises:
      CorpusError: No table, another table, a fold that is not 1 … 10, or none of the slices.
      ManifestError: A slice listed twice.
    """
    table = published.read_table(folder, _TABLE, _NEEDED, _CORPUS)
    fold = "fold" + table["fold"].str.strip()
    wrong = ~fold.isin(_FOLDS)
    if wrong.any():
        raise CorpusError(
            f"{os.path.join(folder, *_TABLE.split('/'))}: {table['slice_file_name'][wrong].iloc[0]}"
            f" is in fold {table['fold'][wrong].iloc[0]!r}; folds are 1 … 10; copy the table again"
        )
    table["path"] = ""
    for name in fold.unique():
        slices = table.loc[fold == name, "slice_file_name"]
        table.loc[slices.index, "path"] = published.find_clips(
            os.path.join(folder, "audio", name), slices
        )
    table["fold"] = fold
    table = published.drop_missing(
        table, "slice_file_name", os.path.join(folder, "audio"), "UrbanSound8K"
    )
    columns = {
        "path": table["path"],
        "recording_id": table["fsID"],
        "labels": table["class"],
        "split": published.in_last_split(table["fold"], table["fsID"], _FOLDS, "UrbanSound8K"),
    }
    return Manifest(pd.DataFrame(columns), name="urbansound8k")
