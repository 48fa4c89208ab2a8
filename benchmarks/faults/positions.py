"""Every file of a corpus by pieces: `benchmarks.pieces`, with its outcome kept file by file."""

import os
from collections.abc import Iterator

from benchmarks import pieces
from benchmarks.faults.bench import Bench, Trial


def compared(bench: Bench, first: int, count: int) -> Iterator[Trial]:
    """Compares pieces of the files of all corpora with the whole; a trial is a file."""
    from audio_triplet.corpora import registry

    files = [
        (corpus, path)
        for corpus in bench.corpora
        for path in sorted(set(registry.load_corpus(corpus).frame["path"]))
    ]
    for number, (corpus, path) in enumerate(files[first : first + count], first):
        kind, read, found = pieces.compare(path, number)
        scheme, _, rest = corpus.partition(":")
        name = "?".join([scheme, *rest.split("?")[1:]])
        yield Trial(
            1,
            tuple(problem.replace(path, os.path.basename(path)) for problem in found),
            f"{name}: {kind}" if read else f"{name}: {kind} refused",
        )
