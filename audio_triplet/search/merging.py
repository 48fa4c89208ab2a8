"""Merging: an index takes the parts of another one, made apart, by the same model."""

from __future__ import annotations

import os

from audio_triplet.errors import SearchError
from audio_triplet.search import database, part_writer
from audio_triplet.search.index_format import Part
from audio_triplet.search.index_writer import Writer
from audio_triplet.search.tables import Tables
from audio_triplet.search.taking import Taking


def merge(writer: Writer, folder: str) -> int:
    """Adds what another index holds, all of it at once. Vectors are linked or copied as they are.

    Of a file that both hold the younger one stays. The other index stays as it is.

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
        with writer.choosing(tables) as taking:
            if taking.segments:
                parts = [
                    Part(folder, part, info.dim, tables.owners.get(part.name))
                    for part in taking.parts
                ]
                _take(writer, taking, parts, info.dtype, folder)
            return taking.segments
    finally:
        tables.close()


def _take(writer: Writer, taking: Taking, parts: list[Part], dtype: str, folder: str) -> None:
    """Writes parts aside, then lists them with their segments in one transaction."""
    written = []
    for part in parts:
        owners, taken = taking.owners(part.info)
        name = part_writer.write_linked(writer.folder, writer.info, part, owners, dtype)
        written.append((part.info, name, taken))
    with writer.changing() as filler:
        listed = {}
        for info, name, taken in written:
            listed[info.id] = filler.add_part(name, info.vectors)
            for first, last in part_writer.stretches(~taken):
                filler.add_gone(listed[info.id], first, last - first)
        if not taking.write(filler, listed):
            cause = "names of its segments are missing"
            raise SearchError(database.damaged(database.path_in(folder), cause))
    writer.replaced += filler.replaced
