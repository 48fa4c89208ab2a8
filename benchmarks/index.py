"""Searching a million embeddings, and making them: exact, by FAISS, and hours of sound per minute.

    python -m benchmarks.index

An index of 1,000,000 × 128 generated vectors: top ten by exact search on memory-mapped float32 and
float16, compared with NumPy's plain product and FAISS's flat index, then by FAISS's inverted lists,
with recall, build time and memory; and a whole search by the ten patches of a query of 5 s, exactly
and by FAISS. The vectors are as easy or hard for approximate search as those of a trained encoder:
sounds of decaying variance per dimension, each twenty times with differences.
Goals: 150 ms exact on two cores, 200 by ten patches; 5 ms at a recall of 0.95.

Embedding: ten hours of sound in files of five seconds, by a quarter-width encoder with random
weights, compared with one call of the model per file; and recordings of one and of ten hours, for
memory.
"""

import os
import tempfile

import numpy as np

from benchmarks import harness

_VECTORS, _DIM, _EACH = 1_000_000, 128, 20
_FILE_SECONDS, _FILES = 5.0, 200
_GROWTH_GB = 0.1  # of noise in the resident memory of one and of ten hours


def vectors(count: int, seed: int) -> np.ndarray:
    """float32[count, 128] of unit norm: every sound `_EACH` times, with differences."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(_DIM) / 4)
    found = np.empty((count, _DIM), np.float32)
    for first in range(0, count, 100_000):
        block = found[first : first + 100_000]
        sounds = rng.standard_normal((-(-len(block) // _EACH), _DIM))
        block[:] = np.repeat(sounds, _EACH, axis=0)[: len(block)]
        block += 0.35 * rng.standard_normal(block.shape)
        block *= spread
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return found


def build(folder: str, dtype: str, count: int = _VECTORS) -> None:
    """An index of `count` vectors, 20 per file: 20 files have the same sounds in the same order.

    A part has 200,000 vectors; `count` is a multiple of it.
    """
    import pandas as pd

    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
    from audio_triplet.search import index_writer

    with index_writer.Writer(folder, **_WHOSE, dtype=dtype) as writer:
        files = 10_000
        rows = files * _EACH
        for part in range(count // rows):
            paths = [f"/sounds/{part}-{number}.wav" for number in range(files)]
            start = np.tile(np.arange(_EACH) * 0.96, files)
            writer.add(
                EmbeddingSet(
                    Manifest(pd.DataFrame({"path": paths})),
                    vectors(rows, part)
                    .reshape(-1, _EACH, _EACH, _DIM)  # [groups of files, place, file, dim]
                    .transpose(0, 2, 1, 3)
                    .reshape(rows, _DIM),
                    np.repeat(np.arange(files, dtype=np.int32), _EACH),
                    np.ones(rows, np.float32),
                    start_seconds=start,
                    end_seconds=start + 0.975,
                    stamp=np.zeros((files, 2), np.int64),
                    origin=Origin(_WHOSE["model"], _WHOSE["model_digest"], "patch", 0.96),
                )
            )


_WHOSE = {"model": "/generated", "model_digest": "0" * 64, "dim": _DIM}


def accelerate(folder: str, kind: str) -> dict:
    """Builds FAISS of an index; call it in a process of its own, for its peak memory."""
    import dataclasses

    from audio_triplet.search import index_writer

    with index_writer.Writer(folder, **_WHOSE) as writer:
        return dataclasses.asdict(writer.accelerate(kind, 0.95))


def queries(folder: str, count: int = 64) -> np.ndarray:
    """float32[count, 128]: sounds of the index, with another difference."""
    from audio_triplet.search import index

    _, found = index.Index(folder).sample(count, seed=1)
    found = found + 0.02 * np.random.default_rng(2).standard_normal(found.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def search_table(folder: str) -> harness.Table:
    """Milliseconds per query."""
    from audio_triplet.search import index
    from audio_triplet.search.index_options import DTYPES

    table = harness.Table("Search", f"top 10 of {_VECTORS:,} × {_DIM}, files in the page cache")
    folders = {dtype: os.path.join(folder, dtype) for dtype in DTYPES}
    for dtype, path in folders.items():
        build(path, dtype)
    asked = queries(folders["float32"])
    opened = {dtype: index.Index(path) for dtype, path in folders.items()}
    plain = np.concatenate(list(opened["float32"].blocks()))
    number = iter(range(10**9))

    def timed(call):
        return lambda: call(asked[next(number) % len(asked)])

    calls = {
        "exact, float32": timed(lambda query: opened["float32"].search(query, 10)),
        "exact, float16": timed(lambda query: opened["float16"].search(query, 10)),
        "NumPy, product and argsort": timed(lambda query: np.argsort(-(plain @ query))[:10]),
    }
    if not harness.absent("faiss"):
        import faiss

        flat = faiss.IndexFlatIP(_DIM)
        flat.add(plain)
        calls["FAISS, flat"] = timed(lambda query: flat.search(query[None], 10))
    taken = harness.interleaved(calls, 4 * harness.repeats(), warm_up=2)
    _add_times(table, taken, "exact, float32")
    by_patches = _add_searches_by_patches(table, opened["float32"])
    table.goal(
        "exact top 10, milliseconds", 1000 * taken["exact, float32"].median, 150, at_most=True
    )
    table.goal("by ten patches, milliseconds", by_patches, 200, at_most=True)
    if harness.absent("faiss"):
        table.skip_absent("faiss-cpu")
        return table
    built, peak = harness.in_child(
        "benchmarks.index:accelerate", folder=folders["float32"], kind="ivf"
    )
    found, exact = index.Index(folders["float32"]), opened["float32"]
    taken = harness.interleaved(
        {
            built["kind"]: timed(lambda query: found.search(query, 10)),
            "exact": timed(lambda query: exact.search(query, 10)),  # opened before there was FAISS
        },
        20 * harness.repeats(),
        warm_up=5,
    )
    milliseconds = 1000 * taken[built["kind"]].median
    table.add(
        built["kind"],
        milliseconds,
        "ms",
        more={
            "recall@10": built["recall"],
            "build s": built["build_seconds"],
            "peak GB": peak,
            "file GB": built["bytes"] / 1e9,
            "× as fast as exact": taken[built["kind"]].times_as_fast_as(taken["exact"]),
        },
    )
    patches_recall = _recall_by_patches(table, found, taken_from=exact)
    table.goal(f"{built['kind']}: recall@10", built["recall"], 0.95)
    table.goal(f"{built['kind']}, by ten patches: recall@10", patches_recall, 0.95)
    table.goal(f"{built['kind']}: milliseconds", milliseconds, 5, at_most=True)
    return table


def _questions(index, count: int) -> list:
    """Ten patches each, as a query of five seconds has: five of a file, and five half-way between.

    Half-way lies the mean of two, with a difference.
    """
    from audio_triplet.search.question import Patches

    rng, asked = np.random.default_rng(3), []
    for _ in range(count):
        part = index.parts[0]
        first = int(rng.integers(len(part) // _EACH)) * _EACH + int(rng.integers(_EACH - 6))
        own = part.vectors[first : first + 6].astype(np.float32)
        between = own[:-1] + own[1:]
        mixed = np.stack([own[:-1], between], axis=1).reshape(10, _DIM)
        mixed = mixed + 0.02 * rng.standard_normal(mixed.shape).astype(np.float32)
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        asked.append([Patches.of_vectors(mixed, 0.48)])
    return asked


def _add_searches_by_patches(table: harness.Table, index) -> float:
    """Adds the time of a search by ten patches over the million, and over a tenth of it.

    Returns:
      Milliseconds over the million.
    """
    from audio_triplet.data.sound_filter import SoundFilter
    from audio_triplet.search.asking import ask

    asked = _questions(index, 16)
    number = iter(range(10**9))
    name = "ten patches, late interaction, events"
    tenth = SoundFilter.of(paths=[f"0-*[{digit}].wav" for digit in range(5)])
    calls = {
        name: lambda: ask(index, asked[next(number) % 16]),
        "the same, filtered by path": lambda: ask(index, asked[next(number) % 16], only=tenth),
    }
    taken = harness.interleaved(calls, 2 * harness.repeats(), warm_up=2)
    for one, measurement in taken.items():
        table.add(one, 1000 * measurement.median, "ms")
    return 1000 * taken[name].median


def _recall_by_patches(table: harness.Table, found, taken_from) -> float:
    """Adds the time of searches by patches under FAISS; gives the share of exact hits found."""
    from audio_triplet.search.asking import ask

    asked = _questions(taken_from, 32)
    right = []
    for question in asked:
        exactly = {(hit.path, hit.start_seconds) for hit in ask(taken_from, question)}
        by_faiss = {(hit.path, hit.start_seconds) for hit in ask(found, question)}
        right.append(len(exactly & by_faiss) / len(exactly))
    number = iter(range(10**9))
    taken = harness.interleaved(
        {"ten patches by FAISS": lambda: ask(found, asked[next(number) % 32])},
        4 * harness.repeats(),
        warm_up=2,
    )
    recall = float(np.mean(right))
    [measurement] = taken.values()
    table.add("ten patches by FAISS", 1000 * measurement.median, "ms", more={"recall@10": recall})
    return recall


def _add_times(table: harness.Table, taken, ours: str) -> None:
    for name, measurement in taken.items():
        ratio = None if name == ours else taken[ours].times_as_fast_as(measurement)
        table.add(name, 1000 * measurement.median, "ms", ours=ratio)


def small_model(folder: str) -> str:
    """A quarter-width encoder with random weights, exported."""
    from audio_triplet import models
    from audio_triplet.embeddings import saved_model

    path = os.path.join(folder, "export")
    saved_model.export(models.build_encoder(width=0.25), path, {})
    return path


def embed_recording(model: str, path: str) -> float:
    """Embeds one file; call it in a process of its own, for its peak memory."""
    import time

    import pandas as pd

    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings import embed, saved_model

    loaded = saved_model.Model(model)
    begin = time.perf_counter()
    [found] = embed.embed_files(loaded, Manifest(pd.DataFrame({"path": [path]})))
    return found.seconds / (time.perf_counter() - begin)


def embed_table(folder: str) -> harness.Table:
    """Hours of sound per minute, and memory."""
    import pandas as pd

    from audio_triplet import audio
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings import embed, saved_model

    model_path = small_model(folder)
    model = saved_model.Model(model_path)
    table = harness.Table(
        "Embedding", f"{_FILES} FLAC files of {_FILE_SECONDS:g} s, 44.1 kHz; width 0.25"
    )
    sounds = harness.sounds(_FILES, _FILE_SECONDS, 44_100)
    paths = harness.write_sounds(os.path.join(folder, "short"), sounds, 44_100, "flac")
    manifest = Manifest(pd.DataFrame({"path": paths}))

    def call_per_file():
        for path in paths:
            model(audio.load_audio(path)[None])["patch_embeddings"].numpy()

    taken = harness.interleaved(
        {
            "audio_triplet.embeddings.embed_files": lambda: list(
                embed.embed_files(model, manifest)
            ),
            "one call of the model a file": call_per_file,
        },
        harness.repeats(),
    )
    hours = _FILES * _FILE_SECONDS / 3600
    table.compare(
        taken, work=60 * hours, unit="hours/min", ours="audio_triplet.embeddings.embed_files"
    )
    peaks = {}
    minute = np.concatenate(sounds)[: 60 * 44_100]
    for hours in (1, 10):
        path = os.path.join(folder, f"{hours}.flac")
        _write_long(path, minute, hours)
        speed, peaks[hours] = harness.in_child(
            "benchmarks.index:embed_recording", model=model_path, path=path
        )
        table.add(
            f"one recording of {hours} h", speed / 60, "hours/min", more={"peak GB": peaks[hours]}
        )
        os.remove(path)
    table.goal(
        "memory of ten hours beyond that of one, GB", peaks[10] - peaks[1], _GROWTH_GB, at_most=True
    )
    table.goal("times one call a file", table.rows[1].ours, 1.0)
    return table


def _write_long(path: str, minute: np.ndarray, hours: int) -> None:
    import soundfile

    with soundfile.SoundFile(path, "w", 44_100, 1) as file:
        for _ in range(60 * hours):
            file.write(minute)


def measure() -> list[harness.Table]:
    """Search, then embedding."""
    with tempfile.TemporaryDirectory() as folder:
        return [search_table(folder), embed_table(folder)]


if __name__ == "__main__":
    harness.main(measure)
