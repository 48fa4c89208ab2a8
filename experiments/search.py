"""Finds the segments of an index that sound most like a query.

    audio-triplet-search bark.wav --index=archive.index --top=10
    audio-triplet-search walk.wav --start=12.5 --end=14 --index=archive.index --page=found.html
    audio-triplet-search a.wav b.wav --not=rain.wav --index=archive.index --json

Several queries are averaged, and what is like a --not is put back. The index need not hold the
queries; if it does, their own recordings are left out of the answer (--noexclude_own lists them
too). Printed is a table, or JSON with --json; --page writes an HTML file with players and log mel
pictures, which needs neither network nor the sound files. Scores are cosines: 1 is the same
direction. Also: python -m experiments.search.
"""

import dataclasses
import datetime
import json
import os
import sys
import time

from absl import flags, logging

from audio_triplet import cli
from audio_triplet.config import EmbedConfig, FrontEndConfig, TripletConfig


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("index", None, "Folder that audio-triplet-index made.", required=True)
    flags.DEFINE_integer("top", 10, "How many to find.", lower_bound=1, upper_bound=100_000)
    flags.DEFINE_float("start", None, "Second at which the query begins in its file.", 0.0)
    flags.DEFINE_float("end", None, "Second at which it ends.", 0.0)
    flags.DEFINE_multi_string("not", [], "A sound that is not meant; may be given again.")
    flags.DEFINE_boolean("exclude_own", True, "Leave out the queries' own recordings.")
    flags.DEFINE_integer("per_recording", 0, "Most hits of one recording; 0: any number.", 0)
    flags.DEFINE_boolean("exact", False, "Search exactly even where there is a FAISS index.")
    flags.DEFINE_string(
        "model", None, "Where the index's model is now, if no longer where it was."
    )
    flags.DEFINE_boolean("json", False, "Print JSON instead of a table.")
    flags.DEFINE_string("page", None, "HTML file to write, to look at and to listen to.")


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A search and what it found.

    Attributes:
      queries: (path, start, end) of the sounds asked for; end may be NaN.
      unlike: Paths of those that are not meant.
      hits: The answer.
      index: Its folder.
      info: Its `index.IndexInfo`.
      vectors: How many were searched.
      exact: Whether by exact search.
      seconds: Time the search itself took.
    """

    queries: list[tuple[str, float, float]]
    unlike: list[str]
    hits: list
    index: str
    info: object
    vectors: int
    exact: bool
    seconds: float


def main(argv):
    """Runs the command."""
    values = flags.FLAGS
    cli.quiet_tensorflow()
    with cli.clear_errors("audio-triplet-search"):
        found = search(argv[1:], values)
        if values.page:
            from experiments import search_page

            search_page.write_page(values.page, found)
            logging.info("page: %s", values.page)
        print(as_json(found) if values.json else as_table(found))


def search(arguments: list[str], values) -> Found:
    """Embeds the queries and searches.

    Args:
      arguments: The query files.
      values: The flags.

    Returns:
      The answer.
    """
    if not arguments:
        raise cli.UsageError("name the sound to look for: audio-triplet-search QUERY.wav --index=…")
    if len(arguments) > 1 and (values.start is not None or values.end is not None):
        raise cli.UsageError("--start and --end are of one query; with several, cut them before")
    start = values.start or 0.0
    end = float("nan") if values.end is None else values.end
    if end <= start:
        raise cli.UsageError(f"--end={end:g} is not after --start={start:g}")
    from audio_triplet import export, index

    opened = index.Index(values.index)
    model = export.Model(_model_path(opened, values))
    opened.check_model(model)
    queries = [(path, start, end) for path in arguments]
    unlike = list(values["not"].value)
    vector = index.combine(
        [embed_query(model, opened.info, *query) for query in queries],
        [embed_query(model, opened.info, path, 0.0, float("nan")) for path in unlike],
    )
    without: set[int] = set()
    if values.exclude_own:
        without.update(*(opened.recordings_of(path) for path in arguments))
    begin = time.perf_counter()
    hits = opened.search(
        vector, values.top, without=without, per_recording=values.per_recording, exact=values.exact
    )
    exact = values.exact or opened.info.faiss is None
    return Found(
        queries, unlike, hits, values.index, opened.info, len(opened), exact,
        time.perf_counter() - begin,
    )


def _model_path(opened, values) -> str:
    path = values.model or opened.info.model
    if not values.model and not os.path.isdir(path):
        raise cli.UsageError(
            f"{opened.folder}: its model is not at {path}; say where it is: "
            "--model=SAVEDMODEL"
        )
    return path


def embed_query(model, info, path: str, start_seconds: float, end_seconds: float):
    """What a query sounds like, heard as the sounds of the index were.

    [D] At patch level the mean over its patches that are not silent, at segment level over all, so
    that a copy of a sound in the index is as near to it as can be.

    Args:
      model: An `export.Model`.
      info: The index's `index.IndexInfo`.
      path: The file.
      start_seconds: Where the query begins in it.
      end_seconds: Where it ends; NaN: with the file.

    Returns:
      float32[dim], of unit norm.

    Raises:
      AudioError: It cannot be read, holds nothing there, or only silence.
    """
    import numpy as np
    import pandas as pd

    from audio_triplet import archive, audio, index, piece_table
    from audio_triplet.manifest import Manifest

    manifest = Manifest(pd.DataFrame({
        "path": [path], "start_seconds": [start_seconds], "end_seconds": [end_seconds],
    }), path)
    audio.probe(path)  # tells what is wrong with the file
    bad_files = piece_table.BadFiles()
    config = EmbedConfig(info.level, info.hop_seconds, batch_size=8)  # a query is short
    found = list(archive.embed(model, manifest, config, bad_files))
    if not found:
        reason = next(iter(bad_files.entries.values()))
        raise audio.AudioError(path, reason, "choose another part of it, or another file")
    [query] = found
    audible = query.energy > TripletConfig.silence_energy
    if not audible.any():
        raise audio.AudioError(path, "is silent", "choose another part of it, or another file")
    patch_seconds = FrontEndConfig().patch_samples / FrontEndConfig().sample_rate
    if query.seconds < patch_seconds:
        logging.warning(
            "%s: %.2f s are less than the %.2f s that the model hears at once; silence was added",
            path, query.seconds, patch_seconds,
        )
    return index.combine(list(np.asarray(query.vectors)[audible]))


def as_json(found: Found) -> str:
    """The answer as JSON."""
    def seconds(value):
        return None if value != value else round(value, 3)

    return json.dumps({
        "queries": [
            {"path": path, "start_seconds": seconds(start), "end_seconds": seconds(end)}
            for path, start, end in found.queries
        ],
        "not": found.unlike,
        "index": found.index,
        "vectors": found.vectors,
        "exact": found.exact,
        "search_seconds": round(found.seconds, 4),
        "model_digest": found.info.model_digest,
        "date": datetime.date.today().isoformat(),
        "hits": [
            {"rank": rank} | dataclasses.asdict(hit) | {
                "score": round(hit.score, 6), "start_seconds": seconds(hit.start_seconds),
                "end_seconds": seconds(hit.end_seconds), "labels": hit.labels.split(";")
                if hit.labels else [],
            }
            for rank, hit in enumerate(found.hits, 1)
        ],
    }, indent=1)


def as_table(found: Found) -> str:
    """The answer as lines of score, time and file."""
    if not found.hits:
        return f"nothing found among {found.vectors:,} vectors"
    labelled = any(hit.labels for hit in found.hits)
    rows = [("score", "from", "to", *(["labels"] if labelled else []), "file")]
    rows += [
        (
            f"{hit.score:.4f}", clock(hit.start_seconds), clock(hit.end_seconds),
            *([printable(hit.labels)] if labelled else []), printable(shown(hit.path)),
        )
        for hit in found.hits
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column == 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join([*cells, row[-1]]))
    how = "exactly" if found.exact else f"by {found.info.faiss.kind}"
    lines.append(
        f"{found.vectors:,} vectors searched {how} in {1000 * found.seconds:.1f} ms"
    )
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """Seconds as 0:12.5, with hours where there are any."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def shown(path: str) -> str:
    """A path as one would type it here."""
    here = os.path.join(os.getcwd(), "")
    return path[len(here):] if path.startswith(here) else path


def printable(name: str) -> str:
    """A name on one line that a terminal cannot take for commands."""
    return name if name.isprintable() else ascii(name)[1:-1]


def run() -> None:
    """Entry point of the command."""
    cli.start(__name__, define_flags, main)


if __name__ == "__main__":
    sys.exit(run())
