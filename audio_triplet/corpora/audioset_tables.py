"""AudioSet's published tables: segments, the list of labels, the ontology."""

import difflib
import os
from collections.abc import Collection

import numpy as np
import pandas as pd

from audio_triplet import storage
from audio_triplet.corpora import published
from audio_triplet.errors import CorpusError

# Table → split. Where tables repeat a segment, the later one counts, so eval stays whole.
TABLES = {
    "unbalanced_train_segments.csv": "train",
    "balanced_train_segments.csv": "train",
    "eval_segments.csv": "eval",
}
LABEL_LIST = "class_labels_indices.csv"
ONTOLOGY = "ontology.json"
VIDEO_ID = r"[A-Za-z0-9_-]{11}"

# Ends of messages.
DOWNLOAD = "download it from https://research.google.com/audioset/download.html"
ONTOLOGY_DOWNLOAD = "download it from https://github.com/audioset/ontology"

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
    name = table["display_name"].str.replace(";", ",").str.strip()
    name = name.where(~name.duplicated(keep=False), name + " (" + table["mid"] + ")")
    return dict(zip(table["mid"], name, strict=True))


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
