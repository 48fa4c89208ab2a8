"""What a visitor of a large published archive waits for, and loads.

    python -m benchmarks.published_size --index=esc50.index --queries=esc50:DIR --without='1-*' \
        --vectors=100000

The index grows to --vectors by repeats of its own vectors with a little noise (0.3 of each
dimension's spread), without the files that --without fits; it is published, and served by Python's
plain server on this machine. Told are, of a headless Chromium with an empty cache: megabytes until
the page is ready and until its first answer, as the server sent them; the seconds until then; the
seconds and megabytes of the next answers; how many of the first ten hits are those of
`search.asking.ask` on the same index. Queries are clips of --queries that --without fits.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import tempfile
import time

import numpy as np
from absl import app, flags

from benchmarks import published

_NOISE = 0.3
_COLD_LOADS = 3


def measure(
    index: str, queries: str, without: str, vectors: int, clips: int, threads: bool, runtime: str
) -> dict:
    """The figures.

    Args:
      index: The index that grows.
      queries: Sound, as `--corpus` has it.
      without: Pattern of names: asked by, not published.
      vectors: How many it shall have.
      clips: How many queries, evenly spaced.
      threads: Whether the server sends the headers that threads need.
      runtime: As for `publish`.
    """
    from audio_triplet.corpora import registry
    from audio_triplet.publish import site
    from audio_triplet.search.sound_index import SoundIndex

    paths = [
        path
        for path in registry.load_corpus(queries).frame["path"]
        if fnmatch.fnmatchcase(os.path.basename(path), without)
    ]
    paths = [paths[n] for n in np.unique(np.linspace(0, len(paths) - 1, clips).astype(int))]
    with tempfile.TemporaryDirectory() as root:
        grown = os.path.join(root, "index")
        grow(index, grown, vectors, without)
        begin = time.perf_counter()
        config = site.SiteConfig(
            grown, os.path.join(root, "site"), audio="none", map=False, runtime=runtime
        )
        written = site.write(config)
        found = {
            "moments": written.vectors,
            "site_megabytes": written.bytes / 1e6,
            "publish_seconds": time.perf_counter() - begin,
            "recall_of_8_bits": written.recall,
        }
        searched = SoundIndex(grown)
        with published.served(root, published.ISOLATED if threads else {}) as server:
            return found | _visited(server, searched, root, paths)


def _visited(server: published.Server, searched, root: str, paths: list[str]) -> dict:
    """What visits cost."""
    queries = []
    for number, path in enumerate(paths):
        queries.append(os.path.join(root, f"query{number}.wav"))
        published.write_as(path, queries[-1], 44_100)
    cold, warm, shared = [], [], []
    with published.browser() as browser:
        for visit in range(_COLD_LOADS):
            context = browser.new_context()
            page = context.new_page()
            before, begin = server.sent, time.perf_counter()
            page.goto(f"{server.address}site/")
            page.wait_for_selector("html[data-ready]", state="attached", timeout=600_000)
            ready = time.perf_counter() - begin, (server.sent - before) / 1e6
            page.set_input_files("#file", queries[visit % len(queries)])
            page.wait_for_selector("#hits [data-path]", timeout=600_000)
            cold.append((*ready, time.perf_counter() - begin, (server.sent - before) / 1e6))
            if visit < _COLD_LOADS - 1:
                context.close()
        for number, query in enumerate(queries):
            before = server.sent
            answer = page.evaluate(published.ASK, f"../query{number}.wav")
            if number:  # the first opens a worker of its own
                sent = server.sent - before - os.path.getsize(query)
                warm.append((answer["seconds"], sent / 1e6))
            shared.append(published.compared(searched, query, set(), answer)["shared"])
    seconds, megabytes = np.array(warm).T
    ready, ready_megabytes, first, first_megabytes = np.median(cold, axis=0)
    return {
        "ready_seconds": ready,
        "ready_megabytes": ready_megabytes,
        "first_answer_seconds": first,
        "first_answer_megabytes": first_megabytes,
        "next_median_seconds": float(np.median(seconds)),
        "next_95_percent_seconds": float(np.quantile(seconds, 0.95)),
        "next_median_megabytes": float(np.median(megabytes)),
        "next_most_megabytes": float(megabytes.max()),
        "shared_of_ten": float(np.mean(shared)),
        "same_ten": float(np.mean([one == 1 for one in shared])),
    }


def grow(source: str, folder: str, count: int, without: str, seed: int = 0) -> None:
    """Writes an index of repeats of another one's vectors, with noise.

    Args:
      source: An index of patches.
      folder: The new one.
      count: How many vectors it shall have, or a few more.
      without: Pattern of names that are left out.
      seed: Of the noise.
    """
    import pandas as pd

    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
    from audio_triplet.search.index import Index
    from audio_triplet.search.index_writer import Writer

    index = Index(source)
    info = index.info
    segments = index.tables.segments(np.unique(np.concatenate([p.owners for p in index.parts])))
    names, vectors, starts, ends = [], [], [], []
    for segment in segments.values():
        if not fnmatch.fnmatchcase(os.path.basename(segment.path), without):
            found, start, end = index.vectors_of_segments([segment.id])
            names.append(os.path.basename(segment.path))
            vectors.append(found)
            starts.append(start)
            ends.append(end)
    lengths = [len(one) for one in vectors]
    owners = np.repeat(np.arange(len(names), dtype=np.int32), lengths)
    every, start, end = (np.concatenate(arrays) for arrays in (vectors, starts, ends))
    spread = every.std(axis=0)
    random = np.random.default_rng(seed)
    origin = Origin(info.model, info.model_digest, info.granularity, info.hop_seconds)
    with Writer(
        folder,
        model=info.model,
        model_digest=info.model_digest,
        dim=info.dim,
        granularity=info.granularity,
        hop_seconds=info.hop_seconds,
    ) as writer:
        for repeat in range(-(-count // len(every))):
            noise = random.normal(size=every.shape).astype(np.float32) * spread * _NOISE
            here = every + (noise if repeat else 0)
            here = (here / np.linalg.norm(here, axis=1, keepdims=True)).astype(np.float32)
            paths = [f"/archive/{repeat}/{name}" for name in names]
            writer.add(
                EmbeddingSet(
                    Manifest(pd.DataFrame({"path": paths}), "generated"),
                    here,
                    owners,
                    np.ones(len(here), np.float32),
                    start_seconds=start,
                    end_seconds=end,
                    stamp=np.zeros((len(paths), 2), np.int64),
                    origin=origin,
                )
            )
    shutil.copyfile(os.path.join(source, "encoder.tflite"), os.path.join(folder, "encoder.tflite"))


def main(argv):
    """Runs the command."""
    del argv
    values = flags.FLAGS
    found = measure(
        values.index,
        values.queries,
        values.without,
        values.vectors,
        values.clips,
        values.threads,
        values.runtime,
    )
    published.tell(found, values.output)


if __name__ == "__main__":
    published.define_flags()
    flags.DEFINE_integer("vectors", 100_000, "To how many vectors it grows.", lower_bound=1)
    flags.DEFINE_integer("clips", 20, "How many queries.", lower_bound=2)
    flags.DEFINE_boolean("threads", False, "The server sends the headers that threads need.")
    app.run(main)
