"""The page of a search: what was asked for and what was found, to look at and to listen to."""

import datetime
import math
import os

from audio_triplet.provenance import command
from audio_triplet.search.results import clock
from audio_triplet.search.sound_index import Found
from audio_triplet.web import formatting, pages
from audio_triplet.web.clips import Clips, Excerpt, Quality
from audio_triplet.web.formatting import number, text
from audio_triplet.web.pages import Section

QUERY = Quality(max_seconds=10.0)
FOUND = Quality(max_seconds=5.0)


def write_page(path: str, found: Found) -> None:
    """Writes the page of a search.

    Args:
      path: The HTML file.
      found: The search.
    """
    clips = Clips()
    queries = [
        Excerpt(name, start, None if math.isnan(end) else end) for name, start, end in found.queries
    ]
    unlike = [Excerpt(name) for name in found.unlike]
    hits = [Excerpt(hit.path, hit.start_seconds, hit.end_seconds) for hit in found.hits]
    clips.add([*queries, *unlike], QUERY)
    clips.add(hits, FOUND)
    span = _span(clips, [*queries, *unlike])
    asked = _tiles(clips, [(one, "query", "") for one in queries], span)
    if unlike:
        asked += "<h3>Not meant</h3>"
        asked += _tiles(clips, [(one, "not meant", "") for one in unlike], span)
    answer = "<p>Nothing.</p>"
    if hits:
        span = _span(clips, hits)
        answer = _tiles(
            clips,
            [
                (excerpt, f"number {rank}", _verdict(rank, hit))
                for rank, (excerpt, hit) in enumerate(zip(hits, found.hits, strict=True), 1)
            ],
            span,
            ordered=True,
        ) + clips.picture_guide(hits[0], "the nearest", span)
    names = ", ".join(os.path.basename(one.path) for one in queries)
    sections = [
        Section("asked", "Asked for", asked),
        Section("found", "Found", answer),
        Section("made", "How this was made", _made(found)),
    ]
    footer = ""
    if clips.unreadable:
        footer = (
            f"<p>{len(clips.unreadable)} of {len(clips)} sounds could not be read; their players "
            "say so.</p>"
        )
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    pages.write(
        path,
        pages.page(
            f"Sounds like {names}",
            _lede(found),
            sections,
            clips,
            style=_STYLE,
            footer=footer,
        ),
    )


def _lede(found: Found) -> str:
    if not found.hits:
        return "<p>Nothing was found.</p>"
    files = len({hit.path for hit in found.hits})
    return (
        f"<p>The {len(found.hits)} nearest of {found.vectors:,} moments of sound, from {files} "
        f"files. Scores are cosines between embeddings: from {number(found.hits[0].score)}, the "
        f"most alike, down to {number(found.hits[-1].score)}.</p>"
    )


def _verdict(rank: int, hit) -> str:
    labels = f"{formatting.name(', '.join(hit.labels))} · " if hit.labels else ""
    return (
        f'<span class="rank">{rank}</span> <b>{number(hit.score)}</b> '
        f'<span class="soft">{labels}<span class="when">{clock(hit.start_seconds)} – '
        f"{clock(hit.end_seconds)}</span></span>"
    )


def _span(clips: Clips, excerpts) -> float:
    """What the width of these pictures stands for: the longest of them."""
    return max(clips[one].seconds for one in excerpts) or 1.0


def _tiles(clips: Clips, items, span_seconds: float, ordered: bool = False) -> str:
    """A grid of players, each with what is to be said of it and its file."""
    kind = "ol" if ordered else "ul"
    tiles = "".join(
        f"<li>{clips.player(excerpt, label, span_seconds)}"
        + (f'<p class="verdict">{verdict}</p>' if verdict else "")
        + f'<p class="file" title="{text(excerpt.path)}">'
        f"<bdi>{text(_short(excerpt.path))}</bdi></p></li>"
        for excerpt, label, verdict in items
    )
    return f'<{kind} class="tiles">{tiles}</{kind}>'


def _short(path: str) -> str:
    """A file's name and the folder it is in."""
    return os.path.join(*path.split(os.sep)[-2:])


def _made(found: Found) -> str:
    info = found.info
    searched = (
        "exact search"
        if found.exact
        else (
            f"{info.faiss.kind}, which finds {formatting.percent(info.faiss.recall)} of what exact search "
            "does"
        )
    )
    facts = {
        "Command": f"<code>{text(command())}</code>",
        "Index": text(f"{found.index}, {found.vectors:,} vectors, {searched}"),
        "Model": text(f"{info.model} ({info.model_digest[:12]})"),
        "Date": datetime.date.today().isoformat(),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'


_STYLE = """
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,13rem),1fr));
gap:1.2rem 1.2rem;list-style:none;margin:.8rem 0 0;padding:0}
.tiles li{min-width:0;content-visibility:auto;contain-intrinsic-size:auto 8rem}
.tiles .clip img{height:80px}
.tiles p{margin:.3rem 0 0;font-size:.9rem;line-height:1.35}
.tiles .file{font-size:.78rem;color:var(--soft);overflow-wrap:anywhere}
.when{white-space:nowrap}
.rank{display:inline-block;min-width:1.6em;color:var(--soft)}
"""
