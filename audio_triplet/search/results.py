"""Answers of a search as JSON and as a table for a terminal."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audio_triplet.search.sound_index import Found


def as_json(found: Found) -> str:
    """The answer as JSON."""

    def seconds(value):
        return None if value != value else round(value, 3)

    return json.dumps(
        {
            "queries": [
                {"path": path, "start_seconds": seconds(start), "end_seconds": seconds(end)}
                for path, start, end in found.queries
            ],
            "words": list(found.words),
            "not": found.unlike,
            "index": found.index,
            "vectors": found.vectors,
            "exact": found.exact,
            "search_seconds": round(found.seconds, 4),
            "model_digest": found.info.model_digest,
            "date": datetime.date.today().isoformat(),
            "hits": [
                {"rank": rank}
                | dataclasses.asdict(hit)
                | {
                    "score": round(hit.score, 6),
                    "start_seconds": seconds(hit.start_seconds),
                    "end_seconds": seconds(hit.end_seconds),
                }
                for rank, hit in enumerate(found.hits, 1)
            ],
        },
        indent=1,
    )


def as_table(found: Found) -> str:
    """The answer as lines of score, time and file."""
    if not found.hits:
        return f"nothing found among {found.vectors:,} vectors"
    labelled = any(hit.labels for hit in found.hits)
    timed = any(hit.clock_time for hit in found.hits)
    heads = (["clock time"] if timed else []) + (["labels"] if labelled else [])
    rows = [("score", "from", "to", *heads, "file")]
    rows += [
        (
            f"{hit.score:.4f}",
            clock(hit.start_seconds),
            clock(hit.end_seconds),
            *([day_and_time(hit.clock_time)] if timed else []),
            *([printable(";".join(hit.labels))] if labelled else []),
            printable(shown(hit.path)),
        )
        for hit in found.hits
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row, hit in zip(rows, [None, *found.hits], strict=True):
        cells = [
            cell.ljust(width) if column >= 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join([*cells, row[-1]]))
        if hit is not None:
            indent = " " * (sum(widths) + 2 * len(widths))
            lines += [f"{indent}= {printable(shown(copy))}" for copy in hit.copies]
    faiss = found.info.faiss
    how = "exactly" if found.exact or faiss is None else f"by {faiss.kind}"
    lines.append(f"{found.vectors:,} vectors searched {how} in {1000 * found.seconds:.1f} ms")
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """Seconds as 0:12.5, with hours where there are any."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def day_and_time(clock_time: str) -> str:
    """A hit's clock time without fractions, `2024-06-12 05:30:12`, and its zone if it has one."""
    return re.sub(r"T([\d:]+)(\.\d+)?", r" \1", clock_time)


def shown(path: str) -> str:
    """A path as a user would type it here."""
    here = os.path.join(os.getcwd(), "")
    return path[len(here) :] if path.startswith(here) else path


def printable(name: str) -> str:
    """A name on one line that a terminal cannot take for commands."""
    return name if name.isprintable() else ascii(name)[1:-1]
