"""AudioSet as published, with whatever of its audio is at hand.

J. F. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP
2017 (https://research.google.com/audioset/download.html). About 2 M segments of 10 s of YouTube
videos, 527 classes, several per segment. The tables are CC BY 4.0, the ontology CC BY-SA 4.0; the
audio belongs to its uploaders and is not distributed.

One folder holds, at any depth and as published: `balanced_train_segments.csv`,
`unbalanced_train_segments.csv`, `eval_segments.csv` (those that are wanted),
`class_labels_indices.csv`, `ontology.json` (only to exclude subtrees), and the audio. The folder is
listed once; there is no look at each of two million files. A file belongs to a segment by its name:

| name (any audio extension, with or without "Y" before the id) | what it is |
|---|---|
| `YTID_START_END` | the segment, cut; times in seconds (30, 30.000) or milliseconds (30000) |
| `YTID_START` | the same |
| `YTID` | the segment, cut, or the whole video |

Seconds are compared with the table's to less than one, because tools round. What a bare `YTID`
is, its duration tells: more than end − start + 1 s, and enough to reach the end, is the whole
video, of which the row takes start … end [D]. Durations are read from `PROBES` files a folder,
evenly spread; if they are all of one kind, so is the folder, else all its bare files are read [D]:
people keep one kind in one place. Where a segment has several files, the more telling name is
taken, then the first in sorted order.

Links go dead, and scores shift with what is left: `survey` counts requested and found segments.
"""

import collections
import concurrent.futures
import dataclasses
import difflib
import json
import os
import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet import audio
from audio_triplet.manifest import Manifest
from data_prep import CorpusError, published
from data_prep.folders import audio_extensions

TABLES = {
    "unbalanced_train_segments.csv": "train",
    "balanced_train_segments.csv": "train",
    "eval_segments.csv": "eval",
}
"""Table → split. Where tables repeat a segment, the later one counts, so eval stays whole."""

LABEL_LIST = "class_labels_indices.csv"
ONTOLOGY = "ontology.json"
PROBES = 500

_FROM = "download it from https://research.google.com/audioset/download.html"
_ONTOLOGY_FROM = "download it from https://github.com/audioset/ontology"
_ID = r"[A-Za-z0-9_-]{11}"
_NUMBER = r"\d+(?:\.\d+)?"
_STEM = re.compile(rf"Y?({_ID})(?:_({_NUMBER})(?:_({_NUMBER}))?)?")
_COLUMNS = ["video_id", "start", "end", "mids"]


@dataclasses.dataclass(frozen=True)
class Count:
    """What became of one table's segments.

    Attributes:
      table: its file name.
      listed: rows in it.
      excluded: left out because of a class.
      repeated: left out because a later table lists the segment too.
      requested: the rest.
      found: those of which there is audio; they are the manifest's rows.
      cut: of the found, how many are parts of whole videos.
    """

    table: str
    listed: int
    excluded: int
    repeated: int
    requested: int
    found: int
    cut: int

    @property
    def missing(self) -> int:
        """Requested segments without audio."""
        return self.requested - self.found


def load(
    folder: str, exclude: Sequence[str] = (), exclude_subtrees: Sequence[str] = ()
) -> Manifest:
    """The segments that have audio, as a manifest: see `survey`."""
    return survey(folder, exclude, exclude_subtrees)[0]


def load_without(place: str) -> Manifest:
    """As `load`, from one string: `DIR`, `DIR?without=CLASS;CLASS`, `DIR?without_subtree=CLASS`.

    Args:
      place: the folder; then, after "?" and separated by "&", classes to leave out, separated by
        ";". The names of AudioSet's classes hold commas.

    Raises:
      CorpusError: as `survey`.
    """
    folder, found, rest = place.partition("?without")
    if os.path.isdir(place) or not found:
        return load(place)
    lists = {"without": [], "without_subtree": []}
    for part in re.split("&(?=without)", f"without{rest}"):
        key, _, names = part.partition("=")
        if key not in lists or not names.strip("; "):
            raise CorpusError(
                f"audioset:{place}: after the folder write ?without=CLASS;CLASS, "
                "?without_subtree=CLASS;CLASS, or both with & between them"
            )
        lists[key] += [name.strip() for name in names.split(";") if name.strip()]
    return load(folder, lists["without"], lists["without_subtree"])


def survey(
    folder: str, exclude: Sequence[str] = (), exclude_subtrees: Sequence[str] = ()
) -> tuple[Manifest, tuple[Count, ...]]:
    """The segments that have audio, and how many were asked for.

    Args:
      folder: holds tables and audio, see above.
      exclude: classes (display names, or machine ids such as /m/09x0r); segments that have such a
        label are left out whole, because one hears it there [D].
      exclude_subtrees: the same for a class of the ontology and all below it, for instance
        ("Human voice", "Music").

    Returns:
      (manifest, counts). Manifest: one row a found segment in the order of the tables (unbalanced,
      balanced, eval); labels = display names, ";" in one replaced by ","; split "train" or "eval",
      but "unused" for training segments of a video that is in the eval table too; recording_id =
      the YouTube id. Counts: one a table. Both are logged.

    Raises:
      CorpusError: no folder, table or label list, one of the wrong kind, labels that are not in the
        label list, an unknown class to exclude, or no audio.
    """
    if not os.path.isdir(folder):
        raise CorpusError(f"{folder}: no such folder; check the path")
    files = _scan(os.path.abspath(folder))
    names = [name for name in TABLES if name in files.tables]
    if not names:
        raise CorpusError(
            f"{folder}: none of {', '.join(TABLES)} in it or below; {_FROM}, as published"
        )
    label_list = _table_path(folder, files, LABEL_LIST, _FROM)
    display_names = read_label_list(label_list)
    excluded = _excluded_mids(folder, files, display_names, exclude, exclude_subtrees)

    tables = [read_segments(files.tables[name]).assign(table=name) for name in names]
    segments = pd.concat(tables, ignore_index=True)
    listed = segments["table"].value_counts()
    labels, has_excluded = _labels(segments, files, display_names, excluded)
    segments = segments.drop(columns="mids").assign(labels=labels)
    repeated = segments.duplicated(["video_id", "start", "end"], keep="last") & ~has_excluded
    requested = segments[~has_excluded & ~repeated].reset_index(drop=True)
    requested["split"] = published.in_last_split(
        requested["table"].map(TABLES), requested["video_id"], ("train", "eval"), "AudioSet"
    )

    found = _match(requested, files)
    counts = tuple(
        Count(
            table=name,
            listed=int(listed[name]),
            excluded=int((segments["table"][has_excluded] == name).sum()),
            repeated=int((segments["table"][repeated] == name).sum()),
            requested=int((requested["table"] == name).sum()),
            found=int((found["table"] == name).sum()),
            cut=int((found["table"][found["end_seconds"].notna()] == name).sum()),
        )
        for name in names
    )
    for count in counts:
        log = logging.warning if count.missing else logging.info
        log(
            "%s: %d segments: %d with an excluded class, %d repeated; requested %d, found %d (%d "
            "cut from whole videos), missing %d",
            files.tables[count.table], count.listed, count.excluded, count.repeated,
            count.requested, count.found, count.cut, count.missing,
        )  # fmt: skip
    if found.empty:
        raise CorpusError(_no_audio(folder, len(requested), files))
    columns = ["path", "recording_id", "labels", "split", "start_seconds", "end_seconds"]
    found["recording_id"] = found["video_id"]
    manifest = Manifest(found[columns], name="audioset")
    manifest.frame.attrs["requested"] = {  # for the summary of who prepares it
        count.table: dataclasses.asdict(count) | {"missing": count.missing} for count in counts
    }
    return manifest, counts


def read_segments(path: str) -> pd.DataFrame:
    """A published table of segments.

    Args:
      path: CSV with "#" lines, the last of which names the columns `YTID, start_seconds,
        end_seconds, positive_labels`; then rows such as `-0RWZT-miFs, 420.000, 430.000,
        "/m/03v3yw,/m/0k4j"`.

    Returns:
      Columns video_id [str], start, end [float64, s], mids [str, joined by ","].

    Raises:
      CorpusError: not such a table; the message names the line.
    """
    wrong = f"not a published table of segments; {_FROM}"
    header = []
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line in file:
                if not line.startswith("#"):
                    break
                header.append(line)
        if not header or "YTID" not in header[-1] or "positive_labels" not in header[-1]:
            raise CorpusError(
                f"{path}: no '# YTID, start_seconds, end_seconds, positive_labels' at its head; "
                f"{wrong}"
            )
        table = pd.read_csv(
            path, skiprows=len(header), header=None, names=_COLUMNS, skipinitialspace=True,
            dtype=str, keep_default_na=False, encoding="utf-8-sig",
        )  # fmt: skip
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        cause = " ".join(str(error).split())
        raise CorpusError(f"{path}: cannot be read ({cause}); {wrong}") from error
    # A first row longer than four cells: pandas takes its first ones for row names.
    if not isinstance(table.index, pd.RangeIndex):
        raise CorpusError(f"{path}, row 1 below the head: more than 4 cells; {wrong}")
    if table.empty:
        raise CorpusError(f"{path}: no rows below its head; {wrong}")
    times = table[["start", "end"]].apply(pd.to_numeric, errors="coerce")
    bad = (
        ~table["video_id"].str.fullmatch(_ID)
        | ~(times["start"] >= 0)
        | ~(times["end"] > times["start"])
        | ~np.isfinite(times["end"])
        | (table["mids"] == "")
    )
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise CorpusError(
            f"{path}, row {row + 1} below the head: {', '.join(table.iloc[row].astype(str))!r} is "
            f"not 'YTID, start, end, \"mid,mid\"'; {wrong}"
        )
    return table.assign(start=times["start"], end=times["end"])


def read_label_list(path: str) -> dict[str, str]:
    """`class_labels_indices.csv`: machine id → display name, in the order of the index.

    A ";" separates labels in a manifest, so it becomes "," here; should two classes then share a
    name, the machine id is added to both [D].

    Raises:
      CorpusError: not that table.
    """
    table = published.read_table(
        os.path.dirname(path), os.path.basename(path), ("index", "mid", "display_name"),
        "AudioSet (https://research.google.com/audioset/download.html)",
    )  # fmt: skip
    index = pd.to_numeric(table["index"], errors="coerce")
    if sorted(index) != list(range(len(table))) or table["mid"].duplicated().any():
        raise CorpusError(f"{path}: its indices are not 0 … {len(table) - 1}, each once; {_FROM}")
    table = table.iloc[np.argsort(index.to_numpy())]
    name = table["display_name"].str.replace(";", ",").str.strip()
    name = name.where(~name.duplicated(keep=False), name + " (" + table["mid"] + ")")
    return dict(zip(table["mid"], name, strict=True))


def subtree(path: str, roots: Collection[str]) -> set[str]:
    """Machine ids of classes of the ontology and of all classes below them.

    Args:
      path: `ontology.json`, as published: objects with id, name, child_ids.
      roots: display names or machine ids.

    Raises:
      CorpusError: not the ontology, or it has no such class.
    """
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)
        children = {entry["id"]: entry["child_ids"] for entry in entries}
        by_name = {entry["name"]: entry["id"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{path}: not AudioSet's ontology ({type(error).__name__}: {error}); {_ONTOLOGY_FROM}"
        ) from error
    below = set()
    waiting = [_mid_of(root, by_name, children, path) for root in roots]
    while waiting:
        mid = waiting.pop()
        if mid not in below:
            below.add(mid)
            waiting += children.get(mid, ())
    return below


@dataclasses.dataclass(frozen=True, eq=False)
class _Files:
    """What one listing of the folder found.

    Attributes:
      tables: name → path of the published tables and the ontology.
      audio: columns video_id, first, last [float64, NaN = not in the name], folder [int], name.
      folders: the folders with audio, absolute, by number.
      other_audio: audio files whose names begin with no YouTube id, or go on otherwise.
    """

    tables: dict[str, str]
    audio: pd.DataFrame
    folders: list[str]
    other_audio: int


def _scan(root: str) -> _Files:
    """Lists the tree once; links to folders are followed, each real folder once."""
    known = tuple(f".{extension}" for extension in audio_extensions())
    wanted = {*TABLES, LABEL_LIST, ONTOLOGY}
    tables, folders, seen, other = {}, [], set(), 0
    columns = collections.defaultdict(list)

    def unreadable(error: OSError):
        logging.warning("%s: passed over (%s)", error.filename, error.strerror)

    # Archives are big: people link sub-folders on other disks.
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
                continue
            match = _STEM.fullmatch(stem)
            if not match:
                other += 1
                continue
            columns["video_id"].append(match[1])
            columns["first"].append(float(match[2] or "nan"))
            columns["last"].append(float(match[3] or "nan"))
            columns["folder"].append(len(folders) - 1)
            columns["name"].append(name)
    names = ("video_id", "first", "last", "folder", "name")
    found = pd.DataFrame({name: columns[name] for name in names})
    found = found.astype({"first": float, "last": float, "folder": int})
    return _Files(tables, found, folders, other)


def _table_path(folder: str, files: _Files, name: str, mend: str) -> str:
    """Where a needed table is; CorpusError if it is not there."""
    if name not in files.tables:
        raise CorpusError(f"{folder}: no {name} in it or below; {mend}")
    return files.tables[name]


def _excluded_mids(
    folder: str,
    files: _Files,
    display_names: dict[str, str],
    exclude: Sequence[str],
    exclude_subtrees: Sequence[str],
) -> set[str]:
    """Machine ids of all classes to leave out."""
    if isinstance(exclude, str) or isinstance(exclude_subtrees, str):
        raise TypeError("exclude and exclude_subtrees are lists of classes, not one string")
    label_list = files.tables[LABEL_LIST]
    by_name = {name: mid for mid, name in display_names.items()}
    mids = {_mid_of(name, by_name, display_names, label_list) for name in exclude}
    if exclude_subtrees:
        ontology = _table_path(folder, files, ONTOLOGY, _ONTOLOGY_FROM)
        mids |= subtree(ontology, exclude_subtrees)
    return mids


def _mid_of(name: str, by_name: dict[str, str], mids: Collection[str], path: str) -> str:
    """The machine id of a class named by it or by its display name."""
    if name in mids:
        return name
    if name in by_name:
        return by_name[name]
    lower = {known.lower(): known for known in by_name}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    raise CorpusError(
        f"{path}: no class {name!r} to exclude"
        + (f"; did you mean {lower[near[0]]!r}?" if near else "; use a display name or id of it")
    )


def _labels(
    segments: pd.DataFrame, files: _Files, display_names: dict[str, str], excluded: set[str]
) -> tuple[pd.Series, pd.Series]:
    """(labels joined by ";", has an excluded class) of each segment."""
    codes, unique = pd.factorize(segments["mids"])
    joined, bad = [], []
    for code, cell in enumerate(unique):
        mids = [mid.strip() for mid in cell.split(",")]
        unknown = [mid for mid in mids if mid not in display_names]
        if unknown:
            row = int(np.flatnonzero(codes == code)[0])
            raise CorpusError(
                f"{files.tables[segments['table'].iloc[row]]}: label {unknown[0]!r} of segment "
                f"{segments['video_id'].iloc[row]} is not in {files.tables[LABEL_LIST]}; copy both "
                "from the same release"
            )
        joined.append(";".join(display_names[mid] for mid in mids))
        bad.append(not excluded.isdisjoint(mids))
    return (
        pd.Series(np.array(joined, dtype=object)[codes], index=segments.index),
        pd.Series(np.array(bad, dtype=bool)[codes], index=segments.index),
    )


def _match(segments: pd.DataFrame, files: _Files) -> pd.DataFrame:
    """The segments that have a file: with path, start_seconds, end_seconds (NaN = whole file).

    A cut without times in its name cannot be told apart when its video has several segments: those
    segments are left out, with a warning.
    """
    numbered = segments.assign(row=np.arange(len(segments)))
    pairs = numbered.merge(files.audio, on="video_id")
    fits = _agrees(pairs["first"], pairs["last"], pairs["start"], pairs["end"])
    if (~fits).any():
        logging.info("AudioSet: %d files are of other times than the tables'", (~fits).sum())
    pairs = pairs[fits]
    folders = np.array([os.path.join(path, "") for path in files.folders], dtype=object)
    pairs = pairs.assign(path=folders[pairs["folder"]] + pairs["name"].to_numpy(dtype=object))
    pairs["untold"] = pairs[["first", "last"]].isna().sum(axis=1)
    chosen = pairs.sort_values(["row", "untold", "path"]).drop_duplicates("row", ignore_index=True)
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


def _agrees(first: pd.Series, last: pd.Series, start: pd.Series, end: pd.Series) -> pd.Series:
    """Whether times in file names are those of the table: bool[n].

    Seconds may be rounded; milliseconds, of which the table has three decimals, are exact.
    """

    def near(named, listed):
        return named.isna() | ((named - listed).abs() < 1)

    return (near(first, start) & near(last, end)) | (
        near(first, start * 1000) & near(last, end * 1000)
    )


def _are_whole(chosen: pd.DataFrame) -> pd.Series:
    """Which of the bare files are whole videos: bool[n], False where `bare` is."""
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
        # What cannot be read stays in as it is: the reader names it with its reason.
        whole[longer.index] = longer
        unread += list(group.loc[failed[failed].index, "path"])
    if unread:
        logging.warning(
            "AudioSet: the durations of %d files cannot be read (%s, …)", len(unread), unread[0]
        )
    return whole


def _longer(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Per row: whether the file is too long for a cut; whether it is unreadable.

    A second is allowed for what tools round and pad. A file that does not reach the segment's end
    is no whole video, though longer: some tools cut 10 s of segments that are shorter.

    Threads, because on a network disk the wait for each header is what takes time.
    """

    def duration(path: str) -> float:
        try:
            return audio.probe(path).duration_seconds
        except audio.AudioError:
            return np.nan

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        seconds = pd.Series(list(pool.map(duration, rows["path"])), index=rows.index, dtype=float)
    longer = (seconds > rows["end"] - rows["start"] + 1) & (seconds > rows["end"] - 1)
    return longer, seconds.isna()


def _no_audio(folder: str, requested: int, files: _Files) -> str:
    """The message for a folder without audio of any requested segment."""
    there = len(files.audio) + files.other_audio
    kinds = ", ".join(audio_extensions())
    return (
        f"{folder}: no audio of any of the {requested} requested segments among {there} sound files"
        f" there ({kinds}); files are called YTID, YTID_START or YTID_START_END, convert others "
        "(m4a, webm) first"
    )
