"""ESC-50 in its published layout: `meta/esc50.csv` and `audio/`.

K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015. 2,000
clips of 5 s, 50 classes of 40, five official folds. CC BY-NC 3.0; the subset ESC-10 CC BY 3.0.

The folds are meant to have disjoint sources, but in the published table four sources lie in two
folds each, under different classes: 131943 (folds 2, 3; clock_tick, clock_alarm), 134049 (2, 3;
hen, rooster), 209698 (4, 5; clock_alarm, clock_tick), 234879 (4, 5; hen, rooster). So that no
source is on both sides, such a source's clips stay only in its last fold; the other clips (four
in all) get the split "unused" [D]. Fold 5, the default test side, stays as published.
"""

import os
from collections import defaultdict

import pandas as pd
from absl import logging

from audio_triplet.manifest import UNUSED, Manifest
from data_prep import CorpusError
from data_prep.folders import audio_extensions

_NEEDED = ("filename", "fold", "category", "src_file")


def load(folder: str) -> Manifest:
    """The corpus as a manifest.

    The clips may have been re-encoded: `1-100032-A-0.wav` of the table is found as
    `1-100032-A-0.ogg` too.

    Args:
      folder: holds `meta/esc50.csv` and `audio/`.

    Returns:
      One row a clip: labels = its category, split = "fold1" … "fold5", recording_id = `src_file`
      (the Freesound recording, from which several clips may have been cut). Clips that are not
      there are left out, with a warning that counts them; clips whose source is in a later fold
      too have the split "unused".

    Raises:
      CorpusError: no table, a table without the published columns, or none of its clips.
      ManifestError: a clip listed twice.
    """
    table_path = os.path.join(folder, "meta", "esc50.csv")
    audio_folder = os.path.abspath(os.path.join(folder, "audio"))
    try:
        table = pd.read_csv(table_path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise CorpusError(
            f"{folder}: no meta/esc50.csv in it; name the folder that holds meta/ and audio/ of "
            "ESC-50 as published (https://github.com/karolpiczak/ESC-50)"
        ) from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{table_path}: cannot be read ({error}); copy it anew") from error
    absent = [name for name in _NEEDED if name not in table]
    if absent:
        raise CorpusError(
            f"{table_path}: no column {', '.join(absent)}; this is not ESC-50's published table"
        )

    by_stem = _audio_by_stem(audio_folder)
    names, found = table["filename"], []
    for name in names:
        files = by_stem.get(os.path.splitext(name)[0], [])
        found.append(name if name in files else files[0] if files else "")
    table["file"] = found
    missing = names[table["file"] == ""]
    if len(missing) == len(table):
        raise CorpusError(
            f"{audio_folder}: none of the {len(table)} clips of {table_path} is there; looked for "
            f"their names with the extensions {', '.join(audio_extensions())}"
        )
    if len(missing):
        logging.warning(
            "%s: %d of %d clips are missing and left out (%s, …)",
            folder, len(missing), len(table), missing.iloc[0],
        )  # fmt: skip
        table = table[table["file"] != ""]

    columns = {
        "path": os.path.join(audio_folder, "") + table["file"],
        "recording_id": table["src_file"],
        "labels": table["category"],
        "split": _folds(table),
    }
    if "esc10" in table:
        esc10 = table["esc10"].str.lower() == "true"
        columns["licence"] = esc10.map({True: "CC BY 3.0", False: "CC BY-NC 3.0"})
    return Manifest(pd.DataFrame(columns), name="esc50")


def _folds(table: pd.DataFrame) -> pd.Series:
    """Split names; "unused" where the clip's source has clips in a later fold too: str[clips]."""
    fold = table["fold"].astype(int)
    in_last_fold = fold == fold.groupby(table["src_file"]).transform("max")
    moved = table.loc[~in_last_fold, "filename"]
    if len(moved):
        logging.info(
            "ESC-50: %d clips are unused, because their source is in a later fold too: %s",
            len(moved), ", ".join(moved),
        )  # fmt: skip
    return ("fold" + table["fold"]).where(in_last_fold, UNUSED)


def _audio_by_stem(folder: str) -> dict[str, list[str]]:
    """Stem → the audio files of that stem in a folder, sorted; {} if there is no folder."""
    by_stem = defaultdict(list)
    if os.path.isdir(folder):
        for name in sorted(os.listdir(folder)):
            stem, extension = os.path.splitext(name)
            if extension.lower().lstrip(".") in audio_extensions():
                by_stem[stem].append(name)
    return by_stem
