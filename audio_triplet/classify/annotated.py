"""Annotation tables and predictions of the same recordings, which may be called differently."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from audio_triplet.annotations import reading
from audio_triplet.annotations.moments import Moment, sound_of
from audio_triplet.classify.checking import Spans
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import ManifestError

# Of two files that may be copies, bytes: some seconds of sound.
_HEAD = 262_144


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """Labelled parts of recordings, as tables have them.

    Attributes:
      paths: Sound files that the tables are about, also those without a label.
      moments: Labelled parts, one label each.
    """

    paths: tuple[str, ...]
    moments: tuple[Moment, ...]


def read(paths: Sequence[str]) -> Tables:
    """Reads tables of annotation programs, manifests, or folders of such tables.

    Raises:
      ManifestError: One of them cannot be read.
    """
    files: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            inside = sorted(
                os.path.join(folder, name)
                for folder, _, names in os.walk(path)
                for name in names
                if name.lower().endswith(reading.ENDINGS)
            )
            if not inside:
                raise ManifestError(f"{path}: holds no table; name the tables' folder")
            files += inside
        else:
            files.append(path)
    about: dict[str, None] = {}
    found: list[Moment] = []
    for file in files:
        moments = _read(file)
        for moment in moments:
            about[moment.path] = None
            labels = [label for label in moment.label.split(";") if label]
            found += [dataclasses.replace(moment, label=label) for label in labels]
        if not moments:
            about[sound_of(file)] = None  # of a recording in which nothing is
    return Tables(tuple(about), tuple(found))


def _read(file: str) -> list[Moment]:
    """The rows of a table; of a manifest too."""
    if not os.path.isfile(file):
        raise ManifestError(f"{file}: no such file or folder; name a table of annotations")
    title, moments = reading.read_table(file)
    if title is not None:
        return moments
    return [
        Moment(row.path, row.start_seconds, row.end_seconds, row.labels)
        for row in Manifest.read(file).frame.itertuples()
    ]


def same_names(paths: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Which of the known files a path means, though it may be of another computer.

    It means the known file of its name that shares the most last parts of the path, if that is one
    alone, and if no other path shares more with it, or as much. A path that is there means itself,
    or a copy.

    Args:
      paths: To be found.
      known: Among these.

    Returns:
      path → the known file, for those that have one.
    """
    known = list(dict.fromkeys(known))
    real = {os.path.realpath(path): path for path in known}
    of_name: dict[str, list[str]] = defaultdict(list)
    for path in known:
        of_name[_parts(path)[-1]].append(path)
    found: dict[str, str] = {}
    asking: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        if os.path.realpath(path) in real:
            found[path] = real[os.path.realpath(path)]
        else:
            alike = of_name[_parts(path)[-1]]
            if os.path.exists(path):
                alike = [other for other in alike if _is_copy(path, other)]
            shared = {other: _shared(path, other) for other in alike}
            best = [other for other, count in shared.items() if count == max(shared.values())]
            if len(best) == 1:
                asking[best[0]].append((shared[best[0]], path))
    taken = set(found.values())
    for other, askers in asking.items():
        most = max(askers)[0]
        first = [path for count, path in askers if count == most]
        if other not in taken and len(first) == 1:
            found[first[0]] = other
    return found


def _is_copy(path: str, other: str) -> bool:
    """Whether two files have one size and one beginning."""
    if not os.path.exists(other) or os.path.getsize(path) != os.path.getsize(other):
        return False
    with open(path, "rb") as mine, open(other, "rb") as theirs:
        return mine.read(_HEAD) == theirs.read(_HEAD)


def _parts(path: str) -> list[str]:
    return path.replace("\\", "/").rstrip("/").split("/")


def _shared(path: str, other: str) -> int:
    """How many last parts two paths share."""
    count = 0
    for mine, theirs in zip(reversed(_parts(path)), reversed(_parts(other)), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def spans_of(moments: Iterable[Moment], recordings: Mapping[str, int]) -> dict[str, Spans]:
    """Label → its parts; those of other recordings are left out.

    Args:
      moments: Labelled parts. Without an end they last for ever; without a score they have 1.
      recordings: Path → number.
    """
    rows: dict[str, list[tuple[int, float, float, float]]] = defaultdict(list)
    for moment in moments:
        if moment.path in recordings:
            end = np.inf if moment.end_seconds != moment.end_seconds else moment.end_seconds
            score = 1.0 if moment.score != moment.score else moment.score
            where = recordings[moment.path]
            rows[moment.label].append((where, moment.start_seconds, end, score))
    found = {}
    for label, of in rows.items():
        table = np.array(of, np.float64)
        found[label] = Spans(table[:, 0].astype(int), table[:, 1], table[:, 2], table[:, 3])
    return found


def no_spans() -> Spans:
    """None at all."""
    return Spans(np.empty(0, int), *(np.empty(0) for _ in range(3)))
