"""AudioSet as published, with the part of its audio that is available.

J. F. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP
2017 (https://research.google.com/audioset/download.html). About 2 M segments of 10 s of YouTube
videos, 527 classes, several per segment. The tables are CC BY 4.0, the ontology CC BY-SA 4.0; the
audio belongs to its uploaders and is not distributed.

In: a folder that holds, at any depth and as published, `balanced_train_segments.csv`,
`unbalanced_train_segments.csv`, `eval_segments.csv` (those that are wanted),
`class_labels_indices.csv`, `ontology.json` (only to exclude subtrees), and the audio, named by
YouTube id (see `audioset_files`). Out: one row per segment that has audio.

Links go dead, and scores shift with the clips that are left: `survey` counts requested and found
segments.
"""

import dataclasses
import os
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet.corpora import audioset_tables, published
from audio_triplet.corpora.audioset_files import Files, match, no_audio, scan
from audio_triplet.corpora.audioset_tables import (
    DOWNLOAD,
    LABEL_LIST,
    ONTOLOGY,
    ONTOLOGY_DOWNLOAD,
    TABLES,
)
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError


@dataclasses.dataclass(frozen=True)
class Count:
    """Counts of one table's segments.

    Attributes:
      table: Its file name.
      listed: Rows in it.
      excluded: Left out because of a class.
      repeated: Left out because a later table lists the segment too.
      requested: The rest.
      found: Those that have audio; they are the manifest's rows.
      cut: The number of found segments that are parts of whole videos.
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


def load_without(location: str) -> Manifest:
    """As `load`, from one string: `DIR`, `DIR?without=CLASS;CLASS`, `DIR?without_subtree=CLASS`.

    Args:
      location: The folder; then, after "?" and separated by "&", classes to leave out, separated
        by ";". The names of AudioSet's classes hold commas.

    Returns:
      As `survey`.

    Raises:
      CorpusError: As `survey`.
    """
    folder, found, rest = location.partition("?without")
    if os.path.isdir(location) or not found:
        return load(location)
    lists: dict[str, list[str]] = {"without": [], "without_subtree": []}
    for part in re.split("&(?=without)", f"without{rest}"):
        key, _, names = part.partition("=")
        if key not in lists or not names.strip("; "):
            raise CorpusError(
                f"audioset:{location}: after the folder write ?without=CLASS;CLASS, "
                "?without_subtree=CLASS;CLASS, or both with & between them"
            )
        lists[key] += [name.strip() for name in names.split(";") if name.strip()]
    return load(folder, lists["without"], lists["without_subtree"])


def survey(
    folder: str, exclude: Sequence[str] = (), exclude_subtrees: Sequence[str] = ()
) -> tuple[Manifest, tuple[Count, ...]]:
    """The segments that have audio, and the number of requested ones.

    Args:
      folder: Holds tables and audio, see above.
      exclude: Classes (display names, or machine ids such as /m/09x0r); segments that have such a
        label are left out whole, because it is audible there [D].
      exclude_subtrees: The same for a class of the ontology and all below it, for instance
        ("Human voice", "Music").

    Returns:
      (manifest, counts). Manifest: one row per found segment, in the order of the tables
      (unbalanced, balanced, eval); labels = display names, ";" in one replaced by ","; split
      "train" or "eval", but "unused" for training segments of a video that is in the eval table
      too; recording_id = the YouTube id. Counts: one per table, which are logged too.

    Raises:
      CorpusError: No folder, table or label list, one of the wrong kind, labels that are not in
        the label list, an unknown class to exclude, or no audio.
    """
    if not os.path.isdir(folder):
        raise CorpusError(f"{folder}: no such folder; check the path")
    files = scan(os.path.abspath(folder))
    names = [name for name in TABLES if name in files.tables]
    if not names:
        raise CorpusError(
            f"{folder}: none of {', '.join(TABLES)} in it or below; {DOWNLOAD}, as published"
        )
    label_list = _table_path(folder, files, LABEL_LIST, DOWNLOAD)
    display_names = audioset_tables.read_label_list(label_list)
    excluded = _excluded_mids(folder, files, display_names, exclude, exclude_subtrees)

    tables = [
        audioset_tables.read_segments(files.tables[name]).assign(table=name) for name in names
    ]
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
    manifest.frame.attrs["requested"] = {  # for the summary of data_prep.prepare
        count.table: dataclasses.asdict(count) | {"missing": count.missing} for count in counts
    }
    return manifest, counts


def _table_path(folder: str, files: Files, name: str, fix: str) -> str:
    """The path of a needed table; CorpusError if it is missing."""
    if name not in files.tables:
        raise CorpusError(f"{folder}: no {name} in it or below; {fix}")
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
    mids = {
        audioset_tables.find_class(name, by_name, display_names, label_list) for name in exclude
    }
    if exclude_subtrees:
        ontology = _table_path(folder, files, ONTOLOGY, ONTOLOGY_DOWNLOAD)
        mids |= audioset_tables.subtree(ontology, exclude_subtrees)
    return mids


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
