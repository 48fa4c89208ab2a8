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

import dataclasses
import difflib
import json
import os
import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet.corpora import published
from audio_triplet.corpora.audioset_files import (
    LABEL_LIST,
    ONTOLOGY,
    TABLES,
    VIDEO_ID,
    Files,
    match,
    no_audio,
    scan,
)
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

_FROM = "download it from https://research.google.com/audioset/download.html"
_ONTOLOGY_FROM = "download it from https://github.com/audioset/ontology"
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
    files = scan(os.path.abspath(folder))
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

    found = match(requested, files)
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
        raise CorpusError(no_audio(folder, len(requested), files))
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
        ~table["video_id"].str.fullmatch(VIDEO_ID)
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


def _table_path(folder: str, files: Files, name: str, mend: str) -> str:
    """Where a needed table is; CorpusError if it is not there."""
    if name not in files.tables:
        raise CorpusError(f"{folder}: no {name} in it or below; {mend}")
    return files.tables[name]


def _excluded_mids(
    folder: str,
    files: Files,
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
    segments: pd.DataFrame, files: Files, display_names: dict[str, str], excluded: set[str]
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
