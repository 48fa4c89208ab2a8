"""Finding the sound file of each AudioSet segment.

The folder is listed once; two million files are not looked at one by one. A file belongs to a
segment by its name:

| name (any audio extension, with or without "Y" or "id_" before the id) | what it is |
|---|---|
| `YTID_START_END` | the segment, cut; times in seconds (30, 30.000) or milliseconds (30000) |
| `YTID_START` | the same |
| `YTID` | the segment, cut, or the whole video |

Each "_" before a time may be "-": `audioset-download` writes `YTID_30.0-40.0.wav`.

Seconds may differ from the table's by less than one, because tools round. The duration decides
whether a bare `YTID` is the whole video: if it is more than end − start + 1 s and reaches the end,
the segment is its part start … end [D]. Durations are read from `PROBES` files per folder, evenly
spread; if they are all of one kind, so is the folder, else all its bare files are read [D]: people
keep one kind in one folder. Where a segment has several files, the name with more times in it is
taken, then the first in sorted order.
"""

import collections
import concurrent.futures
import dataclasses
import os
import re

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet import audio
from audio_triplet.corpora.audioset_tables import (
    LABEL_LIST,
    ONTOLOGY,
    STRONG_NAMES,
    STRONG_TABLES,
    TABLES,
    VIDEO_ID,
)
from audio_triplet.corpora.passed_over import PassedOver
from audio_triplet.errors import AudioError

# Number of files of a folder whose durations decide for the whole folder.
PROBES = 500

_NUMBER = r"\d+(?:\.\d+)?"
_STEM = re.compile(rf"Y?({VIDEO_ID})(?:[_-]({_NUMBER})(?:[_-]({_NUMBER}))?)?")


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
    """The result of listing the folder.

    Attributes:
      tables: Name → path of the published tables and the ontology.
      audio: Columns video_id, first, last [float64, NaN = not in the name], folder [int], name.
      folders: The folders with audio, absolute, by number.
      other_audio: Number of audio files whose names are not those of a segment.
      passed_over: Files that are neither, by extension.
    """

    tables: dict[str, str]
    audio: pd.DataFrame
    folders: list[str]
    other_audio: int
    passed_over: dict[str, int]


def scan(root: str) -> Files:
    """Lists a tree once; links to folders are followed, each real folder once.

    Args:
      root: An absolute path.

    Returns:
      The tables and sound files in it.
    """
    known = tuple(f".{extension}" for extension in audio.audio_extensions())
    wanted = {*TABLES, *STRONG_TABLES, STRONG_NAMES, LABEL_LIST, ONTOLOGY}
    tables: dict[str, str] = {}
    folders, seen, other = [], set(), 0
    passed_over = PassedOver()
    columns = collections.defaultdict(list)

    def unreadable(error: OSError):
        logging.warning("%s: skipped (%s)", error.filename, error.strerror)

    # Large archives often link to sub-folders on other disks.
    for current, below, files in os.walk(root, onerror=unreadable, followlinks=True):
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        folders.append(current)
        for name in files:
            if name in wanted:
                path = os.path.join(current, name)
                if tables.setdefault(name, path) != path:
                    logging.warning("%s: not read, because %s is", path, tables[name])
            stem, extension = os.path.splitext(name)
            if extension.lower() not in known or name.startswith("."):
                if name not in wanted:
                    passed_over.add(name)
                continue
            parsed = readings(stem)
            other += not parsed
            for reading in parsed:
                for column, value in zip(("video_id", "first", "last"), reading, strict=True):
                    columns[column].append(value)
                columns["folder"].append(len(folders) - 1)
                columns["name"].append(name)
    names = ("video_id", "first", "last", "folder", "name")
    found = pd.DataFrame({name: columns[name] for name in names})
    found = found.astype({"first": float, "last": float, "folder": int})
    passed_over.log(root)
    return Files(tables, found, folders, other, passed_over.counts())


def readings(stem: str) -> list[tuple[str, float, float]]:
    """What the name of a sound file may say: `parse_name`'s reading, and that without "id_".

    Both, because `id_aaaaaaaa_30` may be the video `id_aaaaaaaa` from 30 s or `aaaaaaaa_30` whole.
    The tables tell.
    """
    stems = [stem, stem.removeprefix("id_")] if stem.startswith("id_") else [stem]
    return [parsed for name in stems if (parsed := parse_name(name)) is not None]


def parse_name(stem: str) -> tuple[str, float, float] | None:
    """YouTube id and times in the name of a sound file, without its extension.

    Returns:
      (YouTube id, first time, last time), NaN where a time is not in the name; None for a name
      that is not a segment's.
    """
    match = _STEM.fullmatch(stem)
    return (match[1], float(match[2] or "nan"), float(match[3] or "nan")) if match else None


def match(segments: pd.DataFrame, files: Files) -> pd.DataFrame:
    """Finds the file of each segment.

    Where a video has several segments, a cut without times in its name could belong to any of
    them: they are left out, with a warning.

    Args:
      segments: Columns video_id [str], start, end [float64, s], and any others.
      files: The files in the folder.

    Returns:
      The segments that have a file, with the columns path, start_seconds, end_seconds (NaN = the
      whole file) too.
    """
    numbered = segments.assign(row=np.arange(len(segments)))
    pairs = numbered.merge(files.audio, on="video_id")
    fits = times_agree(pairs["first"], pairs["last"], pairs["start"], pairs["end"])
    if (~fits).any():
        logging.info("AudioSet: %d files have other times than the tables", (~fits).sum())
    pairs = pairs[fits]
    folders = np.array([os.path.join(path, "") for path in files.folders], dtype=object)
    pairs = pairs.assign(path=folders[pairs["folder"]] + pairs["name"].to_numpy(dtype=object))
    pairs["times_missing"] = pairs[["first", "last"]].isna().sum(axis=1)
    chosen = pairs.sort_values(["row", "times_missing", "path"]).drop_duplicates(
        "row", ignore_index=True
    )
    bare = chosen["first"].isna()
    whole = bare & _are_whole(chosen.assign(bare=bare))
    chosen["start_seconds"] = chosen["start"].where(whole, 0.0)
    chosen["end_seconds"] = chosen["end"].where(whole, np.nan)
    unclear = chosen.duplicated(["path", "start_seconds", "end_seconds"], keep=False)
    if unclear.any():
        logging.warning(
            "AudioSet: %d segments are left out, because several share one cut file (%s, …); put "
            "the start into the file names: YTID_START",
            unclear.sum(), chosen["path"][unclear].iloc[0],
        )  # fmt: skip
    return chosen[~unclear].reset_index(drop=True)


def times_agree(first: pd.Series, last: pd.Series, start: pd.Series, end: pd.Series) -> pd.Series:
    """Whether times in file names are those of the table.

    Seconds may be rounded; milliseconds are exact, as the table has three decimals.

    Args:
      first: float64[n], in the name, NaN = not there.
      last: float64[n], likewise.
      start: float64[n], in the table, seconds.
      end: float64[n], likewise.

    Returns:
      bool[n].
    """

    def near(named, listed):
        return named.isna() | ((named - listed).abs() < 1)

    return (near(first, start) & near(last, end)) | (
        near(first, start * 1000) & near(last, end * 1000)
    )


def _are_whole(chosen: pd.DataFrame) -> pd.Series:
    """Whether each file without times in its name is a whole video: bool[n].

    False where the column `bare` is.
    """
    whole = pd.Series(False, index=chosen.index)
    unread = []
    for _, group in chosen[chosen["bare"]].groupby("folder"):
        probed = group
        if len(group) > PROBES:
            probed = group.iloc[np.linspace(0, len(group) - 1, PROBES).astype(int)]
        longer, failed = _longer(probed)
        kinds = longer[~failed].unique()
        if len(probed) < len(group) and len(kinds) == 1:
            longer = pd.Series(kinds[0], index=group.index)
        elif len(probed) < len(group):
            longer, failed = _longer(group)
        # Unreadable files stay in: whoever reads them will report the reason.
        whole[longer.index] = longer
        unread += list(group.loc[failed[failed].index, "path"])
    if unread:
        logging.warning(
            "AudioSet: the durations of %d files cannot be read (%s, …)", len(unread), unread[0]
        )
    return whole


def _longer(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Per row: whether the file is too long for a cut; whether it is unreadable.

    One second is allowed for rounding and padding. A longer file that does not reach the segment's
    end is not the whole video: some tools cut 10 s of segments that are shorter.

    By threads, because on a network disk most of the time is waiting for headers.
    """

    def duration(path: str) -> float:
        try:
            return audio.probe(path).duration_seconds
        except AudioError:
            return np.nan

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        seconds = pd.Series(list(pool.map(duration, rows["path"])), index=rows.index, dtype=float)
    longer = (seconds > rows["end"] - rows["start"] + 1) & (seconds > rows["end"] - 1)
    return longer, seconds.isna()


def no_audio(folder: str, requested: int, files: Files) -> str:
    """The message for a folder without audio of any requested segment."""
    there = len(files.audio) + files.other_audio
    kinds = ", ".join(audio.audio_extensions())
    return (
        f"{folder}: no audio of any of the {requested} requested segments among {there} sound files"
        f" there ({kinds}); name the files YTID, YTID_START or YTID_START_END"
    )
