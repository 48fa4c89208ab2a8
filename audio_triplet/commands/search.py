"""Finds the segments of an index that sound most like a query.

    audio-triplet search bark.wav --index=archive.index --top=10
    audio-triplet search walk.wav --start=12.5 --end=14 --index=archive.index --page=found.html
    audio-triplet search a.wav b.wav --not=rain.wav --index=archive.index --json

Several queries are averaged, and what is like a --not goes down in the list. The index need not
hold the queries; if it does, their own recordings are left out of the answer (--noexclude_own lists
them too). Printed is a table, or JSON with --json; --page writes an HTML file with players and log
mel pictures, which needs neither network nor the sound files. Scores are cosines: 1 is the same
direction.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags, logging

from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    from audio_triplet.search.index import Index
    from audio_triplet.search.query import Found


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_string("index", None, "Folder that audio-triplet index made.", required=True)
    flags.DEFINE_integer("top", 10, "How many to find.", lower_bound=1, upper_bound=100_000)
    flags.DEFINE_float("start", None, "Second at which the query begins in its file.", 0.0)
    flags.DEFINE_float("end", None, "Second at which it ends.", 0.0)
    flags.DEFINE_multi_string("not", [], "A sound that is not meant; may be given again.")
    flags.DEFINE_boolean("exclude_own", True, "Leave out the queries' own recordings.")
    flags.DEFINE_integer("per_recording", 0, "Most hits of one recording; 0: any number.", 0)
    flags.DEFINE_boolean("exact", False, "Search exactly even where there is a FAISS index.")
    flags.DEFINE_string("model", None, "Where the index's model is now, if no longer where it was.")
    flags.DEFINE_boolean("json", False, "Print JSON instead of a table.")
    flags.DEFINE_string("page", None, "HTML file to write, to look at and to listen to.")


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    from audio_triplet.search.results import as_json, as_table

    values = flags.FLAGS
    paths = argv[1:]
    if not paths:
        raise UsageError("name the sound to look for: audio-triplet search QUERY.wav --index=…")
    if len(paths) > 1 and (values.start is not None or values.end is not None):
        raise UsageError("--start and --end are of one query; with several, cut them before")
    start = values.start or 0.0
    end = float("nan") if values.end is None else values.end
    if end <= start:
        raise UsageError(f"--end={end:g} is not after --start={start:g}")
    found = search(
        values.index,
        [(path, start, end) for path in paths],
        unlike=list(values["not"].value),
        top=values.top,
        exclude_own=values.exclude_own,
        per_recording=values.per_recording,
        exact=values.exact,
        model_path=values.model,
    )
    if values.page:
        from audio_triplet.web import search_page

        search_page.write_page(values.page, found)
        logging.info("page: %s", values.page)
    print(as_json(found) if values.json else as_table(found))


def search(
    folder: str,
    queries: list[tuple[str, float, float]],
    *,
    unlike: list[str],
    top: int,
    exclude_own: bool,
    per_recording: int,
    exact: bool,
    model_path: str | None,
) -> Found:
    """Embeds the queries and searches.

    Args:
      folder: The index.
      queries: Path, start and end in seconds of each; an end may be NaN.
      unlike: Paths of sounds that are not meant.
      top: How many to find.
      exclude_own: Whether to leave out the queries' own recordings.
      per_recording: Most hits of one recording; 0: any number.
      exact: Whether to pass over a FAISS index.
      model_path: Where the index's model is, if not where it was.

    Returns:
      The answer.
    """
    from audio_triplet.search import index
    from audio_triplet.search.query import Found, embed_query

    opened = index.Index(folder)
    from audio_triplet.embeddings import saved_model

    model = saved_model.Model(_model_path(opened, model_path))
    opened.check_model(model)
    vector = index.combine(
        [embed_query(model, opened.info, *query) for query in queries],
        [embed_query(model, opened.info, path, 0.0, float("nan")) for path in unlike],
    )
    without: set[int] = set()
    if exclude_own:
        without.update(*(opened.recordings_of(path) for path, _, _ in queries))
    begin = time.perf_counter()
    hits = opened.search(vector, top, without=without, per_recording=per_recording, exact=exact)
    return Found(
        queries,
        unlike,
        hits,
        folder,
        opened.info,
        len(opened),
        exact or opened.info.faiss is None,
        time.perf_counter() - begin,
    )


def _model_path(opened: Index, given: str | None) -> str:
    path = given or opened.info.model
    if not given and not os.path.isdir(path):
        raise UsageError(
            f"{opened.folder}: its model is not at {path}; say where it is: --model=SAVEDMODEL"
        )
    return path
