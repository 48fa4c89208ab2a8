"""Merging: an index takes the parts of another one, made apart, by the same model."""

from __future__ import annotations

import datetime
import os

import numpy as np

from audio_triplet.errors import SearchError
from audio_triplet.search import part_writer
from audio_triplet.search.filling import NewSegment
from audio_triplet.search.index_format import Part, StoredSegment
from audio_triplet.search.index_writer import Writer
from audio_triplet.search.tables import Tables


def merge(writer: Writer, folder: str) -> int:
    """Adds what another index holds. Vectors are linked or copied as they are, part by part.

    Of a segment that both hold, the one of the younger file stays. The other index stays as it is.

    Args:
      writer: The index that takes.
      folder: The other index.

    Returns:
      Number of segments taken.

    Raises:
      SearchError: It is no index, it is the same one, or of another model, granularity or hop.
    """
    if os.path.realpath(folder) == os.path.realpath(writer.folder):
        raise SearchError(f"{folder}: is the index itself; name another one")
    tables = Tables.open(folder)
    try:
        info = tables.info()
        writer.check(folder, info.model_digest, info.dim, info.granularity, info.hop_seconds)
        writer.commit()
        taken = 0
        for part in info.parts:
            taken += _merge_part(
                writer,
                tables,
                Part(folder, part, info.dim, tables.owners.get(part.name)),
                info.dtype,
            )
        return taken + _merge_silent(writer, tables)
    finally:
        tables.close()


def _merge_part(writer: Writer, tables: Tables, part: Part, dtype: str) -> int:
    rows = tables.segments_to_copy(part.info.id)
    wanted = [row for row in rows if _is_wanted(writer, row)]
    if not wanted:
        return 0
    segments = [_segment(row, part) for row in wanted]
    ids = writer.ids([segment.key for segment in segments])
    owners = np.zeros(len(part), np.int64)
    counts = np.zeros(len(part), bool)
    for segment, number in zip(segments, ids, strict=True):
        owners[segment.first : segment.first + segment.count] = number
        counts[segment.first : segment.first + segment.count] = True
    name = part_writer.write_linked(writer.folder, writer.info, part, owners, dtype)
    with writer.changing() as filler:
        listed = filler.add_part(name, len(owners))
        for first, last in part_writer.stretches(~counts):
            filler.add_gone(listed, first, last - first)
        for row, segment in zip(wanted, segments, strict=True):
            number = filler.add(segment, listed)
            if row.has_outline:
                filler.add_outline(number, tables.outline(row.id))
    writer.replaced += filler.replaced
    return len(segments)


def _merge_silent(writer: Writer, tables: Tables) -> int:
    wanted = [row for row in tables.segments_to_copy(None) if _is_wanted(writer, row)]
    if wanted:
        with writer.changing() as filler:
            for row in wanted:
                filler.add(_segment(row, None), None)
        writer.replaced += filler.replaced
    return len(wanted)


def _is_wanted(writer: Writer, row: StoredSegment) -> bool:
    known = writer.tables.stamp(row.key)
    return known is None or (known != (row.size, row.mtime_ns) and known[1] < row.mtime_ns)


def _segment(row: StoredSegment, part: Part | None) -> NewSegment:
    starts = None
    if part is not None and row.first is not None:
        spans = part.spans[row.first : row.first + row.count]
        starts = (float(spans["start"][0]), float(spans["start"][-1]))
    began = datetime.datetime.fromisoformat(row.recorded_at) if row.recorded_at else None
    return NewSegment(
        key=row.key,
        path=row.path,
        start_seconds=row.start_seconds,
        end_seconds=row.end_seconds,
        recording_id=row.recording_id,
        labels=row.labels,
        stamp=(row.size, row.mtime_ns),
        recorded_at=began,
        first=row.first or 0,
        count=row.count,
        starts=starts,
    )
