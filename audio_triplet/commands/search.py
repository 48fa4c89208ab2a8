"""Finds the segments of an index that sound most like a query.

    audio-triplet search bark.wav --index=archive.index --top=10
    audio-triplet search walk.wav --start=12.5 --end=14 --index=archive.index --page=found.html
    audio-triplet search a.wav b.wav --not=rain.wav --index=archive.index --json

    audio-triplet search --word=dog --index=archive.index

Each hit is an event: a span of a recording in which something like the query sounds. A copy of a
single query comes first, at its moment, wherever in a recording it lies. --word asks with the
labelled sounds of that name: of the index, of --words_from, or of the table of words beside the
released model. Several queries are asked for together; sounds like a --not rank lower. The queries
need not be in the index; if they are, their own recordings are left out of the answer
(--noexclude_own lists them too). The answer is a table, or JSON with --json; --page writes an HTML
file with players and log mel pictures, which needs neither network nor the sound files; --form
writes tables for Raven, Audacity, spreadsheets or Label Studio into --output_dir. Scores are
cosines about the archive's own mean: 1 is the same sound, 0 no more alike than any two of its
sounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from absl import flags, logging

from audio_triplet.commands import config_flags, table_flags
from audio_triplet.errors import UsageError


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_string("index", None, config_flags.INDEX_HELP, required=True)
    flags.DEFINE_integer("top", 10, "Number of hits.", lower_bound=1, upper_bound=100_000)
    flags.DEFINE_float("start", None, "Start of the query in its file, seconds.", 0.0)
    flags.DEFINE_float("end", None, "End of the query in its file, seconds.", 0.0)
    flags.DEFINE_multi_string(
        "word", [], "Ask with the labelled sounds of this name; may be repeated."
    )
    flags.DEFINE_string(
        "words_from",
        "",
        "Where labelled sound is: an index, a manifest or table of annotations, or a table of "
        "words (words.npz); by default the index itself, then the table beside its model.",
    )
    flags.DEFINE_multi_string("not", [], "A sound that hits should be unlike; may be repeated.")
    flags.DEFINE_boolean("exclude_own", True, "Leave out the queries' own recordings.")
    flags.DEFINE_integer(
        "per_recording",
        None,
        "Most hits of one recording; 0: any number. By default three, and more only where there "
        "would be fewer than --top otherwise.",
        0,
    )
    config_flags.define_filter_flags()
    flags.DEFINE_boolean(
        "fold_duplicates",
        False,
        "Of recordings that are the same (duplicates.csv of the index), show the best and name "
        "the others.",
    )
    flags.DEFINE_boolean(
        "diffuse",
        True,
        "Let the best answers speak for each other; else scores are likenesses to the query alone.",
    )
    flags.DEFINE_boolean("exact", False, "Search exactly even where there is a FAISS index.")
    flags.DEFINE_string("model", None, "Folder of the index's model, if it has moved.")
    flags.DEFINE_boolean("json", False, "Print JSON instead of a table.")
    table_flags.define_flags()
    flags.DEFINE_string("output_dir", None, "Folder for the tables of --form.")
    flags.DEFINE_string("page", None, "HTML file to write, with pictures and players.")


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    from audio_triplet.search.results import as_json, as_table

    values = flags.FLAGS
    paths = argv[1:]
    if not paths and not values.word:
        raise UsageError(
            "name the sound to look for: audio-triplet search QUERY.wav --index=…, or --word=NAME"
        )
    if len(paths) != 1 and (values.start is not None or values.end is not None):
        raise UsageError(
            "--start and --end need a single query file; cut several queries into files first"
        )
    start = values.start or 0.0
    end = float("nan") if values.end is None else values.end
    if end <= start:
        raise UsageError(f"--end={end:g} is not after --start={start:g}")
    only = config_flags.filter_from_flags()
    if values.form and not values.output_dir:
        raise UsageError("--form writes tables; say where by --output_dir=FOLDER")
    from audio_triplet.search import remote_index
    from audio_triplet.search.sound_index import Query, SoundIndex

    with remote_index.reading(values.index) as folder:
        with remote_index.reading(values.words_from) as words_from:
            found = SoundIndex(folder, values.model).ask(
                [Query(path, start, end) for path in paths],
                [Query(path) for path in values["not"].value],
                values.top,
                exclude_own=values.exclude_own,
                per_recording=values.per_recording,
                exact=values.exact,
                only=only,
                fold_duplicates=values.fold_duplicates,
                diffuse=values.diffuse,
                words=values.word,
                words_from=words_from,
            )
    found = dataclasses.replace(found, index=values.index)
    if values.page:
        from audio_triplet.web import search_page

        search_page.write_page(values.page, found)
        logging.info("page: %s", values.page)
    if values.form:
        from audio_triplet.annotations.moments import Moment

        moments = [
            Moment(
                hit.path,
                hit.start_seconds,
                hit.end_seconds,
                ";".join(hit.labels),
                score=round(hit.score, 6),
            )
            for hit in found.hits
        ]
        for line in table_flags.write(values.form, values.output_dir, "hits", moments):
            logging.info("%s", line)
    print(as_json(found) if values.json else as_table(found))
