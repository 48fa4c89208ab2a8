"""What a page searches in: vectors in 8 bits, and the names, times, labels and words that go along.

Vectors are stored as the archive's likeness maps them, each with a scale of its own: a likeness is
then one product. What is left out is in nothing that is written but the archive's measure (its mean
and map, of 10^3 numbers), which stays the index's, so that answers stay `search`'s.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from audio_triplet.config import TripletConfig
from audio_triplet.embeddings import loudness, model_files
from audio_triplet.errors import SearchError, UsageError
from audio_triplet.search import events, question, words
from audio_triplet.search.index import Index
from audio_triplet.search.query import combine
from audio_triplet.search.tables import Segment
from audio_triplet.search.word_table import WORDS_FILE, WordTable

_RECALL_QUERIES, _RECALL_TOP = 200, 10
_ROWS = 1 << 15  # that are multiplied at once

# A step of the 8 bits is divided into so many by the further ones.
FINE_STEPS = 254

# [D] So many vectors are loaded whole, at 132 bytes; of more, 2 bytes each, and parts of 33 kB
# where something is found: small enough that no host has to give ranges of files. There segments
# that sound alike lie together, about so many around a landmark.
WHOLE_UP_TO, PART = 110_000, 128
_AROUND, _MOST_LANDMARKS = 32, 2048


@dataclasses.dataclass(frozen=True, eq=False)
class File:
    """A sound file of the archive.

    Attributes:
      path: Where it is.
      name: Its name below the folder that all files have in common; `/` between folders.
      recorded_at: When it began, ISO 8601; empty: not known.
    """

    path: str
    name: str
    recorded_at: str


@dataclasses.dataclass(frozen=True, eq=False)
class Archive:
    """An index, ready to be written.

    Attributes:
      files: The sound files.
      ids: Ids of the segments in the index.
      segments: For each segment the number of its file, that of its recording, and its labels.
      vectors: int8[n, dim], mapped and of unit norm; times `scales`.
      scales: float32[n].
      fine: int8[n, dim], what `vectors` are off, in steps of a scale / `FINE_STEPS`.
      spans: float64[n, 2], start and end, seconds.
      owners: uint32[n], numbers of segments.
      recall: Share of the ten nearest by float32 that are the ten nearest by 8 bits.
    """

    files: list[File]
    ids: list[int]
    segments: list[tuple[int, int, tuple[str, ...]]]
    vectors: np.ndarray
    scales: np.ndarray
    fine: np.ndarray
    spans: np.ndarray
    owners: np.ndarray
    recall: float

    @classmethod
    def of(cls, index: Index, exclude: Sequence[str] = ()) -> Archive:
        """What an index holds.

        Args:
          index: The index, of patches.
          exclude: Patterns; files whose name or path fits one are left out.

        Raises:
          SearchError: It is of segments, or nothing is left.
          UsageError: A pattern fits no file.
        """
        if index.info.granularity != "patch":
            raise SearchError(
                f"{index.folder}: has one vector for each {index.info.granularity}; publish needs "
                "an index of patches"
            )
        kept = [_Kept(index, number, keep) for number, keep in enumerate(index.kept())]
        everything = np.unique(np.concatenate([part.owners for part in kept] or [np.zeros(0, int)]))
        named = index.tables.segments(everything.tolist())
        chosen = sorted(_chosen(named.values(), exclude), key=lambda segment: segment.id)
        if not chosen:
            raise SearchError(f"{index.folder}: nothing is left to publish; see --exclude")
        files, file_numbers = _files(chosen)
        ids = np.array([segment.id for segment in chosen])  # ascending, as they were asked for
        recordings: dict[int, int] = {}
        for segment in chosen:
            recordings.setdefault(segment.recording, len(recordings))
        vectors, spans, owners = [], [], []
        for part in kept:
            here = np.isin(part.owners, ids)
            vectors.append(part.vectors[here])
            spans.append(part.spans[here])
            owners.append(np.searchsorted(ids, part.owners[here]))
        found = index.likeness[0].mapped(np.concatenate(vectors))
        span, owner = np.concatenate(spans), np.concatenate(owners).astype(np.uint32)
        if len(found) > WHOLE_UP_TO:
            order = alike(found, owner)
            found, span, owner = found[order], span[order], owner[order]
        codes, scales = eight_bits(found)
        return cls(
            files,
            ids.tolist(),
            [(file_numbers[s.path], recordings[s.recording], s.labels) for s in chosen],
            codes,
            scales,
            further_bits(found, codes, scales),
            span,
            owner,
            recall_of(found, codes, scales),
        )


def alike(vectors: np.ndarray, owners: np.ndarray, seed: int = 0) -> np.ndarray:
    """An order in which segments that sound alike lie together.

    Args:
      vectors: float32[n, dim], of unit norm.
      owners: uint32[n], the segment of each; a segment's stand side by side.
      seed: Of the landmarks.

    Returns:
      int64[n], numbers of the vectors; those of a segment stay as they are.
    """
    first = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    counts = np.diff(np.r_[first, len(owners)])
    means = np.add.reduceat(vectors, first, axis=0) / counts[:, None]
    count = int(np.clip(len(first) // _AROUND, 1, _MOST_LANDMARKS))
    landmarks = means[np.random.default_rng(seed).permutation(len(first))[:count]]
    landmarks = landmarks / np.maximum(np.linalg.norm(landmarks, axis=1, keepdims=True), 1e-12)
    # Landmarks along their longest axis: neighbours in the order are not far from each other.
    centred = landmarks - landmarks.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    landmarks = landmarks[np.argsort(centred @ axis, kind="stable")]
    nearest = np.concatenate(
        [
            (means[begin : begin + _ROWS] @ landmarks.T).argmax(axis=1)
            for begin in range(0, len(means), _ROWS)
        ]
    )
    order = np.argsort(nearest, kind="stable")
    steps = np.arange(len(owners)) - np.repeat(
        np.cumsum(counts[order]) - counts[order], counts[order]
    )
    return np.repeat(first[order], counts[order]) + steps


class _Kept:
    """The vectors of a part that count."""

    def __init__(self, index: Index, number: int, keep: np.ndarray | None):
        part = index.parts[number]
        rows = slice(None) if keep is None else keep
        self.vectors = np.asarray(part.vectors[rows], np.float32)
        spans = part.spans[rows]
        self.spans = np.stack([spans["start"], spans["end"]], axis=1).astype(np.float64)
        self.owners = np.asarray(part.owners[rows])


def eight_bits(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in 8 bits: int8[n, dim] and float32[n] that they are to be multiplied by."""
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-12) / 127
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def further_bits(vectors: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """What 8 bits leave, in 8 more: int8[n, dim], see `Archive.fine`."""
    off = vectors / scales[:, None] - codes  # half a step at most
    return np.clip(np.rint(off * FINE_STEPS), -127, 127).astype(np.int8)


def recall_of(vectors: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> float:
    """How many of the nearest by the vectors themselves are so by the 8 bits, too.

    Args:
      vectors: float32[n, dim], of unit norm.
      codes: int8[n, dim], and
      scales: float32[n], see `eight_bits`.

    Returns:
      The mean share over vectors drawn as queries.
    """
    top = min(_RECALL_TOP, len(vectors))
    count = min(_RECALL_QUERIES, len(vectors))
    drawn = np.random.default_rng(0).choice(len(vectors), count, replace=False)
    queries = vectors[drawn].T  # [dim, queries]
    blocks = []
    for first in range(0, len(vectors), _ROWS):
        these = slice(first, first + _ROWS)
        rounded = codes[these].astype(np.float32) * scales[these, None]
        scores = np.stack([vectors[these] @ queries, rounded @ queries])  # [2, block, queries]
        best = min(top, scores.shape[1])
        chosen = np.argpartition(-scores, best - 1, axis=1)[:, :best]
        blocks.append((first + chosen, np.take_along_axis(scores, chosen, axis=1)))
    numbers, scores = (np.concatenate(arrays, axis=1) for arrays in zip(*blocks, strict=True))
    order = np.argpartition(-scores, top - 1, axis=1)[:, :top]
    exact, coarse = np.take_along_axis(numbers, order, axis=1)
    shares = [len(np.intersect1d(exact[:, n], coarse[:, n])) / top for n in range(count)]
    return float(np.mean(shares))


def _chosen(segments: Iterable[Segment], exclude: Sequence[str]) -> list[Segment]:
    """The segments of files that no pattern fits."""
    segments = list(segments)
    root = _root([segment.path for segment in segments])
    left_out: set[int] = set()
    for pattern in exclude:
        fits = {
            segment.id
            for segment in segments
            for name in (segment.path, _below(segment.path, root), os.path.basename(segment.path))
            if fnmatch.fnmatchcase(name, pattern)
        }
        if not fits:  # a typing error must not publish what was to stay
            raise UsageError(
                f"--exclude={pattern}: fits no file of the index; patterns are of names below "
                f"{root or 'their folder'}, of files' own names, or of whole paths"
            )
        left_out |= fits
    return [segment for segment in segments if segment.id not in left_out]


def _files(segments: Sequence[Segment]) -> tuple[list[File], dict[str, int]]:
    """The files of segments, and the number of each path."""
    root = _root([segment.path for segment in segments])
    files: list[File] = []
    numbers: dict[str, int] = {}
    for segment in segments:
        if segment.path not in numbers:
            began = segment.recorded_at
            when = began.isoformat(timespec="milliseconds") if began else ""
            numbers[segment.path] = len(files)
            files.append(File(segment.path, _below(segment.path, root), when))
    return files, numbers


def _root(paths: Sequence[str]) -> str:
    """The folder that all paths have in common; empty: there is none."""
    folders = {os.path.dirname(path) for path in paths}
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # other drives, addresses
        return ""


def _below(path: str, root: str) -> str:
    """A path below the common folder; without any folder if there is none."""
    name = os.path.relpath(path, root) if root else os.path.basename(path)
    return name.replace(os.sep, "/").encode("utf-8", "replace").decode()


@dataclasses.dataclass(frozen=True, eq=False)
class Words:
    """What can be asked for by word.

    Attributes:
      vectors: float32[n, dim], mapped; of one word after the other.
      places: Word → `first` vector, `count`, and numbers of the `recordings` to leave out; of an
        answered label → `moments`, the numbers of the published vectors of each.
    """

    vectors: np.ndarray
    places: dict[str, dict]

    @classmethod
    def of(
        cls,
        index: Index,
        archive: Archive,
        answered: Mapping[str, list[list[int]]] | None = None,
    ) -> Words:
        """What `browse` asks by: answered labels, then those of the index, then the model's words.

        Args:
          index: The index.
          archive: What of it is published.
          answered: See `answers.Answers`.
        """
        by_label: dict[str, list[int]] = {}
        for number, (_, _, labels) in enumerate(archive.segments):
            for label in labels:
                by_label.setdefault(label, []).append(number)
        likeness = index.likeness[0]
        places: dict[str, dict] = {
            label: {"moments": moments} for label, moments in (answered or {}).items()
        }
        found: list[np.ndarray] = []
        total = 0

        def add(label: str, vectors: np.ndarray, recordings: list[int]) -> None:
            nonlocal total
            places[label] = {"first": total, "count": len(vectors), "recordings": recordings}
            found.append(vectors)
            total += len(vectors)

        for label, segments in sorted(by_label.items()):
            if words.matching(label, answered or ()):
                continue
            each = [
                index.vectors_of_segments([archive.ids[number]])[0]
                for number in words.spread(segments)
            ]
            means = np.stack([combine(list(vectors)) for vectors in each])
            own = sorted({archive.segments[number][1] for number in segments})
            add(label, likeness.mapped(means), own)
        for label, vectors in _of_model(index).items():
            if not words.matching(label, places):
                add(label, likeness.mapped(vectors), [])
        none = np.zeros((0, index.info.dim), np.float32)
        return cls(np.concatenate([none, *found]).astype(np.float32), places)


def _of_model(index: Index) -> dict[str, np.ndarray]:
    """The words beside the index's model: label → float32[n, dim]."""
    for folder in dict.fromkeys([index.info.model, *model_files.released_folders()]):
        if os.path.exists(os.path.join(folder, WORDS_FILE)):
            table = WordTable.read(folder)
            if table.model_digest == index.info.model_digest:
                return dict(table.vectors)
    return {}


def constants(index: Index) -> dict:
    """What a search goes by, for the page."""
    hop = index.info.hop_seconds
    return {
        "dim": index.info.dim,
        "hop_seconds": hop,
        "query_hop_frames": max(1, round(50 * hop)),  # as `search.query` has it
        "silence_energy": TripletConfig.silence_energy,
        "most_patches": question.MOST_PATCHES,
        "leaning": question.LEANING,
        "energy_power": loudness.ENERGY_POWER,
        "joined_within": events.JOINED_WITHIN,
        "fine_steps": FINE_STEPS,
        "per_recording": events.USUAL_PER_RECORDING,
    }
