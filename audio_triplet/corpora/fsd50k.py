"""FSD50K as published (`FSD50K.ground_truth/`, `FSD50K.{dev,eval}_audio/`), or as mirrored.

E. Fonseca et al., "FSD50K: an Open Dataset of Human-Labeled Sound Events", IEEE/ACM TASLP 30, 2022
(https://zenodo.org/record/4060432). 51,197 Freesound clips of 0.3 to 30 s, 200 classes of the
AudioSet ontology, several per clip. Every clip has a Creative Commons licence of its own, listed in
the corpus's FSD50K.metadata/.
"""

import os

import pandas as pd

from audio_triplet.corpora import mirrors, published
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

_CORPUS = "FSD50K (https://zenodo.org/record/4060432)"
_TRUTH = "FSD50K.ground_truth"
# Their names in dev.csv → ours.
_DEV_SPLITS = {"train": "train", "val": "validation"}


def load(folder: str) -> Manifest:
    """The corpus as a manifest.

    The clips may have been re-encoded (`published.find_clips`). The published splits keep the
    clips of one uploader together, but the table does not name uploaders: a recording is a
    clip [D].

    Args:
      folder: Holds the three folders, or the tables and clips elsewhere (`mirrors`).

    Returns:
      One row per clip: labels as in the ground truth (its names, with underscores), splits "train",
      "validation" and "eval", recording_id = fname (the Freesound id).

    Raises:
      CorpusError: No table or two, another table, a label that is not in vocabulary.csv, an unknown
        split, none of the clips, or a clip in two folders.
      ManifestError: A clip listed twice.
    """
    path = mirrors.find_table(folder, f"{_TRUTH}/vocabulary.csv", _CORPUS)
    vocabulary = published.read_table(
        *os.path.split(path), ("index", "name", "mid"), _CORPUS, header=False
    )
    dev_path = mirrors.find_table(folder, f"{_TRUTH}/dev.csv", _CORPUS)
    dev = _table(folder, dev_path, ("fname", "labels", "split"), set(vocabulary["name"]))
    wrong = ~dev["split"].isin(list(_DEV_SPLITS))
    if wrong.any():
        raise CorpusError(
            f"{dev_path}: clip {dev['fname'][wrong].iloc[0]} has the split "
            f"{dev['split'][wrong].iloc[0]!r}; it is train or val; copy the table again"
        )
    dev["split"] = dev["split"].map(_DEV_SPLITS)
    path = mirrors.find_table(folder, f"{_TRUTH}/eval.csv", _CORPUS)
    evaluation = _table(folder, path, ("fname", "labels"), set(vocabulary["name"]))
    evaluation["split"] = "eval"
    table = pd.concat([dev, evaluation], ignore_index=True)
    table = published.drop_missing(table, "fname", folder, "FSD50K")
    columns = {
        "path": table["path"],
        "recording_id": table["fname"],
        "labels": table["labels"].str.replace(",", ";"),
        "split": table["split"],
    }
    return Manifest(pd.DataFrame(columns), name="fsd50k")


def _table(folder: str, truth: str, needed: tuple[str, ...], vocabulary: set[str]) -> pd.DataFrame:
    """The ground truth `dev.csv` or `eval.csv` with the column `path`.

    CorpusError on unknown labels.
    """
    table = published.read_table(*os.path.split(truth), needed, _CORPUS)
    for joined in table["labels"].unique():
        unknown = [label for label in joined.split(",") if label not in vocabulary]
        if unknown:
            raise CorpusError(
                f"{truth}: label {unknown[0]!r} is not in vocabulary.csv; copy both from the same "
                "release"
            )
    part = os.path.splitext(os.path.basename(truth))[0].lower()
    base = os.path.dirname(os.path.dirname(truth))
    clips = os.path.join(base, f"FSD50K.{part}_audio")
    table["path"] = mirrors.find_clips(folder, table["fname"] + ".wav", clips, "FSD50K")
    return table
