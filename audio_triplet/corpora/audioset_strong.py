"""AudioSet's strong labels: when in a segment which class is heard.

S. Hershey et al., "The benefit of temporally-strong labels in audio event classification", ICASSP
2021 (https://research.google.com/audioset/download_strong.html). In: a folder that holds, at any
depth, `audioset_train_strong.tsv` or `audioset_eval_strong.tsv`, the names of the classes
(`mid_to_display_name.tsv`, else `class_labels_indices.csv`) and the audio, named by YouTube id (see
`audioset_files`). Out: one row per moment, a part of its segment's file.

A moment has the labels of all events that last throughout it, not only of those that begin and end
with it: a bark in the rain is both [D].
"""

import os

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet.corpora import audioset_tables, published
from audio_triplet.corpora.audioset_files import Files, match, no_audio, scan
from audio_triplet.corpora.audioset_tables import STRONG_NAMES, STRONG_TABLES, TABLES
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

# Segments are of 10 s, but for few that end with their video; the published tables say which.
_SEGMENT_SECONDS = 10.0


def load(folder: str) -> Manifest:
    """The moments that have audio.

    Args:
      folder: Holds tables and audio, see above. With the published tables of segments in it too,
        files named by the ends of shorter segments are found.

    Returns:
      One row per moment: labels = display names, ";" in one replaced by ","; split "train" or
      "eval", but "unused" for training moments of a video that is in the eval table too;
      recording_id = the YouTube id; start and end in the file.

    Raises:
      CorpusError: No folder or table, one of the wrong kind, a class without a name, or no audio.
    """
    if not os.path.isdir(folder):
        raise CorpusError(f"{folder}: no such folder; check the path")
    files = scan(os.path.abspath(folder))
    tables = [name for name in STRONG_TABLES if name in files.tables]
    if not tables:
        raise CorpusError(
            f"{folder}: none of {', '.join(STRONG_TABLES)} in it or below; "
            f"{audioset_tables.STRONG_DOWNLOAD}"
        )
    parts = [audioset_tables.read_strong(files.tables[name]).assign(table=name) for name in tables]
    events = pd.concat(parts, ignore_index=True)
    events["label"] = _display_names(folder, files, events["mid"])
    segments = events[["video_id", "start", "table"]].drop_duplicates(["video_id", "start"])
    segments = segments.assign(end=_ends(segments, files), segment=np.arange(len(segments)))
    events = events.merge(segments[["video_id", "start", "segment"]], on=["video_id", "start"])
    found = match(segments, files)
    for name in tables:
        asked, there = (segments["table"] == name).sum(), (found["table"] == name).sum()
        log = logging.info if asked == there else logging.warning
        log(
            "%s: %d moments; of %d segments, found %d",
            files.tables[name], (events["table"] == name).sum(), asked, there,
        )  # fmt: skip
    if found.empty:
        raise CorpusError(no_audio(folder, len(segments), files))
    moments = _moments(events[events["segment"].isin(found["segment"])])
    rows = moments.merge(found[["segment", "video_id", "table", "path", "start_seconds"]])
    split = published.in_last_split(
        rows["table"].map(STRONG_TABLES), rows["video_id"], ("train", "eval"), "AudioSet"
    )
    manifest = Manifest(
        pd.DataFrame(
            {
                "path": rows["path"],
                "recording_id": rows["video_id"],
                "labels": rows["labels"],
                "split": split,
                "start_seconds": rows["start_seconds"] + rows["first"],
                "end_seconds": rows["start_seconds"] + rows["last"],
            }
        ),
        name="audioset strong",
    )
    manifest.frame.attrs["requested"] = {
        name: {
            "requested": int((segments["table"] == name).sum()),
            "found": int((found["table"] == name).sum()),
        }
        for name in tables
    }
    manifest.frame.attrs["passed_over"] = files.passed_over
    return manifest


def _display_names(folder: str, files: Files, mids: pd.Series) -> pd.Series:
    """The name of each event's class."""
    if STRONG_NAMES in files.tables:
        path = files.tables[STRONG_NAMES]
        names = audioset_tables.read_strong_names(path)
    elif audioset_tables.LABEL_LIST in files.tables:
        path = files.tables[audioset_tables.LABEL_LIST]
        names = audioset_tables.read_label_list(path)
    else:
        raise CorpusError(
            f"{folder}: no {STRONG_NAMES} in it or below; {audioset_tables.STRONG_DOWNLOAD}"
        )
    labels = mids.map(names)
    if labels.isna().any():
        raise CorpusError(
            f"{path}: no name of {mids[labels.isna()].iloc[0]!r}; put {STRONG_NAMES} beside the "
            f"tables: {audioset_tables.STRONG_DOWNLOAD}"
        )
    return labels


def _ends(segments: pd.DataFrame, files: Files) -> pd.Series:
    """Where each segment ends in its video: float64[segments], seconds."""
    ends = segments["start"] + _SEGMENT_SECONDS
    for name in TABLES:
        if name in files.tables:
            listed = audioset_tables.read_segments(files.tables[name])
            listed = listed.drop_duplicates(["video_id", "start"]).set_index(["video_id", "start"])
            keys = pd.MultiIndex.from_frame(segments[["video_id", "start"]])
            said = listed["end"].reindex(keys).to_numpy()
            ends = ends.where(np.isnan(said), said)
    return ends


def _moments(events: pd.DataFrame) -> pd.DataFrame:
    """One row per part of a segment that an event lasts: segment, first, last, labels."""
    spans = events[["segment", "first", "last"]].drop_duplicates(ignore_index=True)
    pairs = spans.merge(events[["segment", "first", "last", "label"]], on="segment")
    pairs = pairs[(pairs["first_y"] <= pairs["first_x"]) & (pairs["last_y"] >= pairs["last_x"])]
    labels = pairs.drop_duplicates(["segment", "first_x", "last_x", "label"]).groupby(
        ["segment", "first_x", "last_x"], sort=False
    )["label"]
    joined = labels.agg(";".join).reset_index()
    return joined.set_axis(["segment", "first", "last", "labels"], axis="columns")
