"""The page of a search: queries and hits, with pictures and players."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
from collections.abc import Sequence

from audio_triplet import storage
from audio_triplet.provenance import command
from audio_triplet.search.results import clock, day_and_time
from audio_triplet.search.sound_index import Found
from audio_triplet.web import formatting, pages
from audio_triplet.web.clips import Clips, Player
from audio_triplet.web.excerpts import Excerpt, Quality

QUERY = Quality(max_seconds=10.0)
HIT = Quality(max_seconds=5.0)


@dataclasses.dataclass(frozen=True)
class Sound:
    """A query, or a hit.

    Attributes:
      player: To hear it.
      path: Its file.
      file: The file's name and the folder it is in.
    """

    player: Player
    path: str
    file: str


@dataclasses.dataclass(frozen=True)
class FoundSound(Sound):
    """A hit.

    Attributes:
      score: Cosine to the query.
      start_seconds: Where it begins in its file.
      labels: Its labels, in words; empty without.
      start: Its start, as a clock shows it.
      end: Its end, likewise.
      clock_time: When it was recorded; empty: not known.
    """

    score: float
    start_seconds: float
    labels: str
    start: str
    end: str
    clock_time: str


def write_page(path: str, found: Found) -> None:
    """Writes the page of a search.

    Args:
      path: The HTML file; its folder is made if missing.
      found: The search.
    """
    clips = Clips()
    queries = [
        Excerpt(name, start, None if math.isnan(end) else end) for name, start, end in found.queries
    ]
    unlike = [Excerpt(name) for name in found.unlike]
    hits = [Excerpt(hit.path, hit.start_seconds, hit.end_seconds) for hit in found.hits]
    clips.add([*queries, *unlike], QUERY)
    clips.add(hits, HIT)
    query_span, hit_span = _span(clips, [*queries, *unlike]), _span(clips, hits)
    names = ", ".join([*(os.path.basename(excerpt.path) for excerpt in queries), *found.words])
    content = pages.page(
        "search.html",
        f"Sounds like {names}",
        {"asked": "Asked for", "found": "Found", "made": "How this was made"},
        clips=clips,
        vectors=found.vectors,
        files=len({hit.path for hit in found.hits}),
        queries=[_sound(clips, excerpt, "query", query_span) for excerpt in queries],
        unlike=[_sound(clips, excerpt, "unlike", query_span) for excerpt in unlike],
        hits=[
            FoundSound(
                **vars(_sound(clips, excerpt, f"number {rank}", hit_span)),
                score=hit.score,
                start_seconds=hit.start_seconds,
                labels=", ".join(hit.labels),
                start=clock(hit.start_seconds),
                end=clock(hit.end_seconds),
                clock_time=day_and_time(hit.clock_time),
            )
            for rank, (excerpt, hit) in enumerate(zip(hits, found.hits, strict=True), 1)
        ],
        guide=clips.picture_guide(hits[0], "the nearest", hit_span) if hits else None,
        facts=_facts(found),
    )
    storage.make_folder(os.path.dirname(os.path.abspath(path)))
    pages.write(path, content)


def _span(clips: Clips, excerpts: Sequence[Excerpt]) -> float:
    """Seconds that the width of these pictures stands for: the longest sound."""
    return max((clips[excerpt].seconds for excerpt in excerpts), default=0.0) or 1.0


def _sound(clips: Clips, excerpt: Excerpt, label: str, span_seconds: float) -> Sound:
    file = os.path.join(*excerpt.path.split(os.sep)[-2:])
    return Sound(clips.player(excerpt, label, span_seconds), excerpt.path, file)


def _facts(found: Found) -> list[tuple[str, str]]:
    info = found.info
    searched = "exact search"
    if not found.exact and info.faiss is not None:
        recall = formatting.percent(info.faiss.recall)
        searched = f"{info.faiss.kind}, which finds {recall} of what exact search does"
    return [
        ("Command", command()),
        *(("Asked by the word", word) for word in found.words),
        ("Index", f"{found.index}, {found.vectors:,} vectors, {searched}"),
        ("Model", f"{info.model} ({info.model_digest[:12]})"),
        ("Date", datetime.date.today().isoformat()),
    ]
