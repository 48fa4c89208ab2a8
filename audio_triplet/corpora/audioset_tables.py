"""AudioSet's published tables: segments, the list of labels, the ontology."""

import csv
import difflib
import os
from collections.abc import Collection

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet import storage
from audio_triplet.corpora import published
from audio_triplet.errors import CorpusError

# Table → split. Where tables repeat a segment, the later one counts, so eval stays whole.
TABLES = {
    "unbalanced_train_segments.csv": "train",
    "balanced_train_segments.csv": "train",
    "eval_segments.csv": "eval",
}
# Of strong labels: table → split, and the names of their classes; some are in no other list.
STRONG_TABLES = {"audioset_train_strong.tsv": "train", "audioset_eval_strong.tsv": "eval"}
STRONG_NAMES = "mid_to_display_name.tsv"
LABEL_LIST = "class_labels_indices.csv"
ONTOLOGY = "ontology.json"
VIDEO_ID = r"[A-Za-z0-9_-]{11}"

# Ends of messages.
DOWNLOAD = "download it from https://research.google.com/audioset/download.html"
STRONG_DOWNLOAD = "download it from https://research.google.com/audioset/download_strong.html"
ONTOLOGY_DOWNLOAD = "download it from https://github.com/audioset/ontology"

_STRONG_COLUMNS = ["segment_id", "start_time_seconds", "end_time_seconds", "label"]
_COLUMNS = ["video_id", "start", "end", "mids"]


def read_segments(path: str) -> pd.DataFrame:
    """A published table of segments.

    Args:
      path: CSV with "#" lines, the last of which names the columns `YTID, start_seconds,
        end_seconds, positive_labels`; then rows such as `-0RWZT-miFs, 420.000, 430.000,
        "/m/03v3yw,/m/0k4j"`.

    Returns:
      Columns video_id [str], start, end [float64, s], mids [str, joined by ","].

    Raises:
      CorpusError: Not such a table; the message names the line.
    """
    wrong = f"not a published table of segments; {DOWNLOAD}"
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


def read_strong(path: str) -> pd.DataFrame:
    """A published table of strong labels.

    Args:
      path: Tab-separated `segment_id, start_time_seconds, end_time_seconds, label`, with rows such
        as `b0RFKhbpFJA_30000 0.000 10.000 /m/03m9d0z`: times within the segment of that video that
        begins at 30,000 ms.

    Returns:
      Columns video_id [str], start [float64, s: of the segment in its video], first, last [float64,
      s: of the moment in its segment], mid [str].

    Raises:
      CorpusError: Not such a table; the message names the row.
    """
    wrong = f"not a published table of strong labels; {STRONG_DOWNLOAD}"
    table = _read_tabs(path, wrong)
    if list(table.columns) != _STRONG_COLUMNS:
        raise CorpusError(f"{path}: its first line is not {' '.join(_STRONG_COLUMNS)!r}; {wrong}")
    if table.empty:
        raise CorpusError(f"{path}: no rows below its head; {wrong}")
    times = table[_STRONG_COLUMNS[1:3]].apply(pd.to_numeric, errors="coerce")
    first, last = times["start_time_seconds"], times["end_time_seconds"]
    named = table["segment_id"].str.extract(rf"^({VIDEO_ID})_(\d+)$")
    bad = named[0].isna() | ~(first >= 0) | ~(last >= first) | ~np.isfinite(last)
    bad |= table["label"] == ""
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise CorpusError(
            f"{path}, row {row + 1} below the head: {' '.join(table.iloc[row])!r} is not "
            f"'YTID_MILLISECONDS start end mid'; {wrong}"
        )
    if (last == first).any():
        logging.info("%s: %d moments without length are left out", path, (last == first).sum())
    found = pd.DataFrame(
        {
            "video_id": named[0],
            "start": named[1].astype(float) / 1000,
            "first": first,
            "last": last,
            "mid": table["label"],
        }
    )
    return found[last > first].reset_index(drop=True)


def read_strong_names(path: str) -> dict[str, str]:
    """`mid_to_display_name.tsv`: machine id → display name, ";" in it replaced by ",".

    Raises:
      CorpusError: Not that table.
    """
    wrong = f"not AudioSet's {STRONG_NAMES}; {STRONG_DOWNLOAD}"
    table = _read_tabs(path, wrong, header=None)
    if table.shape[1] != 2 or not table[0].str.startswith("/").all():
        raise CorpusError(f"{path}: its lines are not a machine id and a name; {wrong}")
    return _unlike_names(table[0], table[1].str.strip('"'))


def _read_tabs(path: str, wrong: str, header: int | None = 0) -> pd.DataFrame:
    """A tab-separated table, every cell as text."""
    try:
        return pd.read_csv(
            path, sep="\t", header=header, dtype=str, keep_default_na=False, encoding="utf-8-sig",
            quoting=csv.QUOTE_NONE, index_col=False,
        )  # fmt: skip
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        cause = " ".join(str(error).split())
        raise CorpusError(f"{path}: cannot be read ({cause}); {wrong}") from error


def _unlike_names(mids: pd.Series, names: pd.Series) -> dict[str, str]:
    """Machine id → name without ";"; where two classes share a name, with the machine id."""
    name = names.str.replace(";", ",").str.strip()
    name = name.where(~name.duplicated(keep=False), name + " (" + mids + ")")
    return dict(zip(mids, name, strict=True))


def read_label_list(path: str) -> dict[str, str]:
    """`class_labels_indices.csv`: machine id → display name, in the order of the index.

    A ";" separates labels in a manifest, so it becomes "," here; should two classes then share a
    name, the machine id is added to both [D].

    Args:
      path: The CSV.

    Returns:
      Machine id → display name.

    Raises:
      CorpusError: Not that table.
    """
    table = published.read_table(
        os.path.dirname(path), os.path.basename(path), ("index", "mid", "display_name"),
        "AudioSet (https://research.google.com/audioset/download.html)",
    )  # fmt: skip
    index = pd.to_numeric(table["index"], errors="coerce")
    if sorted(index) != list(range(len(table))) or table["mid"].duplicated().any():
        raise CorpusError(
            f"{path}: its indices are not 0 … {len(table) - 1}, each once; {DOWNLOAD}"
        )
    table = table.iloc[np.argsort(index.to_numpy())]
    return _unlike_names(table["mid"], table["display_name"])


def subtree(path: str, roots: Collection[str]) -> set[str]:
    """Machine ids of classes of the ontology and of all classes below them.

    Args:
      path: `ontology.json`, as published: objects with id, name, child_ids.
      roots: Display names or machine ids.

    Returns:
      The machine ids.

    Raises:
      CorpusError: Not the ontology, or it has no such class.
    """
    try:
        entries = storage.read_json(path)
        children = {entry["id"]: entry["child_ids"] for entry in entries}
        by_name = {entry["name"]: entry["id"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{path}: not AudioSet's ontology ({type(error).__name__}: {error}); "
            f"{ONTOLOGY_DOWNLOAD}"
        ) from error
    below = set()
    waiting = [find_class(root, by_name, children, path) for root in roots]
    while waiting:
        mid = waiting.pop()
        if mid not in below:
            below.add(mid)
            waiting += children.get(mid, ())
    return below


def find_class(name: str, by_name: dict[str, str], mids: Collection[str], path: str) -> str:
    """The machine id of a class that is named by it or by its display name.

    Args:
      name: The name that the user gave.
      by_name: Display name → machine id.
      mids: All machine ids.
      path: The table that lists them, for the message.

    Raises:
      CorpusError: There is no such class.
    """
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
