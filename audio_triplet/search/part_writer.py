"""Writing a part of an index, whole or not at all."""

import json
import os
import secrets
from collections.abc import Iterable, Sequence

import numpy as np

from audio_triplet import storage
from audio_triplet.audio import clock
from audio_triplet.data.keys import key_of
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.search.index_format import (
    SEGMENT,
    SPAN,
    IndexInfo,
    Part,
    PartInfo,
    segment_key,
)

# A set, and which of its segments and which of its vectors to write: bool[segments], bool[n].
Selection = tuple[EmbeddingSet, np.ndarray, np.ndarray]


def write_selected(folder: str, info: IndexInfo, chosen: Sequence[Selection]) -> PartInfo:
    """Writes chosen segments of sets of embeddings as a part.

    Args:
      folder: The index.
      info: Gives dimensions and dtype.
      chosen: What to write; at least one segment.

    Returns:
      The part; the caller lists it.
    """
    tables, spans, vectors, lines, first = [], [], [], [], 0
    for embeddings, segments, audible in chosen:
        sources = embeddings.sources()
        # In the order of the segments, as `first` and `count` say.
        order = np.flatnonzero(audible)
        order = order[np.argsort(embeddings.segment_index[order], kind="stable")]
        count = np.bincount(embeddings.segment_index[order], minlength=len(segments))[segments]
        tables.append(_segment_rows(embeddings, segments, count, first))
        first += len(order)
        vectors.append(embeddings.vectors[order].astype(info.dtype))
        span = np.empty(len(order), SPAN)
        span["start"] = sources.start_seconds[order]
        span["end"] = sources.end_seconds[order]
        spans.append(span)
        lines += _lines(embeddings, segments)
    table = np.concatenate(tables)
    table["offset"] = np.cumsum([0, *map(len, lines[:-1])])
    return _write(folder, info, [np.concatenate(vectors)], np.concatenate(spans), table, lines)


def write_merged(folder: str, info: IndexInfo, parts: Sequence[Part]) -> PartInfo:
    """Writes several parts as one, without the segments that were dropped.

    Args:
      folder: The index.
      info: Gives dimensions and dtype.
      parts: The parts, which stay as they are.

    Returns:
      The part; the caller lists it instead of them.
    """
    kept = [np.delete(np.arange(p.info.segments), list(p.info.dropped)) for p in parts]
    tables, spans, lines = [], [], []
    for part, segments in zip(parts, kept, strict=True):
        tables.append(np.array(part.segments[segments]))
        spans += [part.spans[where] for where in part.ranges(segments)]
        lines += [part.line(int(segment)) for segment in segments]
    table = np.concatenate(tables)
    table["first"] = np.cumsum(table["count"]) - table["count"]
    table["offset"] = np.cumsum([0, *map(len, lines[:-1])])
    vectors = (
        part.vectors[where]
        for part, segments in zip(parts, kept, strict=True)
        for where in part.ranges(segments)
    )
    joined = np.concatenate(spans) if spans else np.empty(0, SPAN)
    return _write(folder, info, vectors, joined, table, lines)


def _write(
    folder: str,
    info: IndexInfo,
    vectors: Iterable[np.ndarray],
    spans: np.ndarray,
    table: np.ndarray,
    lines: Sequence[bytes],
) -> PartInfo:
    """Writes a part aside and renames it."""
    name = f"part-{secrets.token_hex(6)}"
    path = os.path.join(folder, name)
    count = int(table["count"].sum())
    with storage.replacing(path, sync=True) as temporary:
        os.makedirs(temporary)
        vectors_path, shape = os.path.join(temporary, "vectors.npy"), (count, info.dim)
        if count:
            mapped = np.lib.format.open_memmap(vectors_path, "w+", info.dtype, shape)
            done = 0
            for block in vectors:
                mapped[done : done + len(block)] = block
                done += len(block)
            mapped.flush()
            del mapped
        else:  # a file that holds nothing cannot be mapped
            np.save(vectors_path, np.zeros(shape, info.dtype))
        np.save(os.path.join(temporary, "spans.npy"), spans)
        np.save(os.path.join(temporary, "segments.npy"), table)
        with open(os.path.join(temporary, "names.jsonl"), "wb") as file:
            file.writelines(lines)
    return PartInfo(name, count, len(table))


def _segment_rows(
    embeddings: EmbeddingSet, chosen: np.ndarray, count: np.ndarray, first: int
) -> np.ndarray:
    """Rows of segments.npy, but for `offset`.

    Args:
      embeddings: The set.
      chosen: bool[segments].
      count: int[chosen segments], vectors of each.
      first: Number of the first vector in the part.
    """
    frame = embeddings.manifest.frame[chosen]
    rows = np.zeros(len(frame), SEGMENT)
    rows["count"] = count
    rows["first"] = first + np.cumsum(count) - count
    rows["file"] = [key_of(os.path.abspath(path)) for path in frame["path"]]
    rows["key"] = [
        segment_key(path, start, end)
        for path, start, end in zip(
            frame["path"], frame["start_seconds"], frame["end_seconds"], strict=True
        )
    ]
    rows["recording"] = [key_of(name) for name in frame["recording_id"]]
    rows["size"], rows["mtime_ns"] = embeddings.sources().stamp[chosen].T
    return rows


def _lines(embeddings: EmbeddingSet, chosen: np.ndarray) -> list[bytes]:
    """Lines of names.jsonl."""
    frame = embeddings.manifest.frame[chosen]
    times: dict[str, dict[str, str]] = {}
    for path in frame["path"].unique():
        began = clock.recorded_at(path)
        times[path] = {"recorded_at": began.isoformat()} if began else {}
    return [
        json.dumps(
            {"path": os.path.abspath(path), "recording_id": recording, "labels": labels}
            | times[path]
        ).encode()
        + b"\n"
        for path, recording, labels in zip(
            frame["path"], frame["recording_id"], frame["labels"], strict=True
        )
    ]
