"""ESC-50 as published, `meta/esc50.csv` and `audio/`, or as its mirrors arrange it.

K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015. 2,000
clips of 5 s, 50 classes of 40, five official folds. CC BY-NC 3.0; the subset ESC-10 CC BY 3.0.

The folds are meant to have disjoint sources, but in the published table four sources lie in two
folds each, under different classes: 131943 (folds 2, 3; clock_tick, clock_alarm), 134049 (2, 3;
hen, rooster), 209698 (4, 5; clock_alarm, clock_tick), 234879 (4, 5; hen, rooster). So that no
source is on both sides, such a source's clips stay only in its last fold; the other clips (four
in all) get the split "unused" [D]. Fold 5, the default test side, stays as published.
"""

import os

import pandas as pd

from audio_triplet.corpora import mirrors, published
from audio_triplet.data.manifest import Manifest

_NEEDED = ("filename", "fold", "category", "src_file")
_CORPUS = "ESC-50 (https://github.com/karolpiczak/ESC-50)"
_FOLDS = tuple(f"fold{number}" for number in range(1, 6))


def load(folder: str) -> Manifest:
    """The corpus as a manifest.

    The clips may have been re-encoded (`published.find_clips`).

    Args:
      folder: Holds `meta/esc50.csv` and `audio/`, or `esc50.csv` and the clips elsewhere
        (`mirrors`).

    Returns:
      One row per clip: labels = its category, split = "fold1" … "fold5", recording_id = `src_file`
      (the Freesound recording, from which several clips may have been cut). Clips that are not
      there are left out, with a warning that counts them; clips whose source is in a later fold
      too have the split "unused".

    Raises:
      CorpusError: No table or two, a table without the published columns, none of its clips, or a
        clip in two folders.
      ManifestError: A clip listed twice.
    """
    path = mirrors.find_table(folder, "meta/esc50.csv", _CORPUS)
    table = published.read_table(*os.path.split(path), _NEEDED, _CORPUS)
    audio_folder = os.path.join(os.path.dirname(os.path.dirname(path)), "audio")
    table["path"] = mirrors.find_clips(folder, table["filename"], audio_folder, "ESC-50")
    table = published.drop_missing(table, "filename", audio_folder, "ESC-50")
    fold = "fold" + table["fold"]
    columns = {
        "path": table["path"],
        "recording_id": table["src_file"],
        "labels": table["category"],
        "split": published.in_last_split(fold, table["src_file"], _FOLDS, "ESC-50"),
    }
    if "esc10" in table:
        esc10 = table["esc10"].str.lower() == "true"
        columns["licence"] = esc10.map({True: "CC BY 3.0", False: "CC BY-NC 3.0"})
    return Manifest(pd.DataFrame(columns), name="esc50")
