"""The tables of an index: adding segments, opening, names of hits, filters.

    python -m benchmarks.index_tables

Indices of ten thousand, a hundred thousand and a million segments, each a file of its own in one of
a thousand folders of ten sites, recorded a minute apart; one vector of eight numbers each, so that
the tables are what takes the time. Opening is that of a process that has just started.
Goals, at a million: opening 20 ms, ten names 1 ms, a day 5 ms, a site 100 ms, hours 150 ms.
"""

import datetime
import os
import tempfile
import time

import numpy as np

from benchmarks import harness

_SIZES = (10_000, 100_000, 1_000_000)
_WHOSE = {"model": "/generated", "model_digest": "0" * 64, "dim": 8}
_FOLDERS, _AT_ONCE = 1000, 10_000


def build(folder: str, count: int) -> float:
    """Writes an index; returns the seconds that it took."""
    import pandas as pd

    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
    from audio_triplet.search import index_writer

    rng, begun = np.random.default_rng(0), datetime.datetime(2024, 1, 1)
    taken = 0.0
    for first in range(0, count, 10 * _AT_ONCE):
        with index_writer.Writer(folder, **_WHOSE) as writer:
            for start in range(first, min(first + 10 * _AT_ONCE, count), _AT_ONCE):
                names = []
                for number in range(start, start + _AT_ONCE):
                    site = number * _FOLDERS // count
                    moment = begun + datetime.timedelta(minutes=number)
                    names.append(
                        f"/archive/sounds/SITE{site % 10}/{site:03d}/{moment:%Y%m%d_%H%M%S}.flac"
                    )
                labels = [f"class{number % 50}" for number in range(_AT_ONCE)]
                vectors = rng.normal(size=(_AT_ONCE, 8)).astype(np.float32)
                made = EmbeddingSet(
                    Manifest(pd.DataFrame({"path": names, "labels": labels})),
                    vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
                    np.arange(_AT_ONCE, dtype=np.int32),
                    np.ones(_AT_ONCE, np.float32),
                    start_seconds=np.zeros(_AT_ONCE),
                    end_seconds=np.full(_AT_ONCE, 0.975),
                    stamp=np.zeros((_AT_ONCE, 2), np.int64),
                    origin=Origin(_WHOSE["model"], _WHOSE["model_digest"], "patch", 0.96),
                )
                begin = time.perf_counter()
                writer.add(made)
                taken += time.perf_counter() - begin
            begin = time.perf_counter()
            writer.commit()
            writer.merge()
            taken += time.perf_counter() - begin
    return taken


def opened(folder: str) -> float:
    """Seconds to open an index; call it in a process of its own."""
    from audio_triplet.search import index

    begin = time.perf_counter()
    index.Index(folder)
    return time.perf_counter() - begin


def measure() -> list[harness.Table]:
    """A table per size."""
    with tempfile.TemporaryDirectory() as folder:
        return [_table(os.path.join(folder, str(count)), count) for count in _SIZES]


def _table(folder: str, count: int) -> harness.Table:
    from audio_triplet.data.sound_filter import SoundFilter
    from audio_triplet.search import index

    table = harness.Table("Tables of an index", f"{count:,} segments")
    table.add("adding", build(folder, count), "s")
    size = os.path.getsize(os.path.join(folder, "index.sqlite"))
    table.add("size", size / count, "bytes a segment")
    times = [harness.in_child("benchmarks.index_tables:opened", folder=folder)[0] for _ in range(3)]
    table.add("opening", 1000 * min(times), "ms")
    found = index.Index(folder)
    drawn = np.random.default_rng(1).choice(count, 10, replace=False) + 1
    filters = {
        "a day": SoundFilter.of(after="2024-01-03", before="2024-01-04"),
        "hours": SoundFilter.of(hours=["4-7"]),
        "a site": SoundFilter.of(paths=["SITE3/*"]),
        "an ending": SoundFilter.of(paths=["*0000.flac"]),
        "a site's hours of a day": SoundFilter.of("2024-01-03", "2024-01-04", ["4-7"], ["SITE0/*"]),
    }
    calls = {"ten names": lambda: found.tables.segments(drawn.tolist())}
    calls |= {
        f"filter: {name}": lambda only=only: found.mask(only) for name, only in filters.items()
    }
    taken = harness.interleaved(calls, harness.repeats(), warm_up=1)
    for name, measurement in taken.items():
        table.add(name, 1000 * measurement.median, "ms")
    if count == _SIZES[-1]:
        goals = {"ten names": 1, "filter: a day": 5, "filter: a site": 100, "filter: hours": 150}
        table.goal("opening, milliseconds", 1000 * min(times), 20, at_most=True)
        for name, goal in goals.items():
            table.goal(f"{name}, milliseconds", 1000 * taken[name].median, goal, at_most=True)
    return table


if __name__ == "__main__":
    harness.main(measure)
