"""Growth: each stage at once, twice and four times the size; the time of a unit should stay flat.

    python -m benchmarks.growth

Sizes of one stage take turns, in one process on all cores. Feeding, mining, the front end and query
by example have tables of their own in their stages. Goal: at the largest size at most 1.15 times
the time a unit has at the smallest.
"""

import os
import tempfile
from collections.abc import Callable

from benchmarks import embedding, harness, index, training_step

_SIZES = (1, 2, 4)
_FILES, _SECONDS, _FILE_RATE = 40, 10.0, 44_100
_TRIPLETS = 32
_VECTORS = 200_000


def measure() -> list[harness.Table]:
    """Decoding, the training step, embedding and exact search."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            _table("Growth: decoding longer files", *_decoding(os.path.join(folder, "decoding"))),
            _table("Growth: the training step in larger batches", *_steps()),
            _table("Growth: embedding more files", *_embedding(folder, more_files=True)),
            _table("Growth: embedding longer files", *_embedding(folder, more_files=False)),
            _table("Growth: exact search among more vectors", *_search(folder)),
        ]


def _table(title: str, about: str, unit: str, calls: dict[int, Callable], units: int):
    """Time a unit at each size.

    Args:
      title: Of the table.
      about: What is measured.
      unit: What is counted.
      calls: Size → what is timed.
      units: How many units size 1 has.
    """
    table = harness.Table(title, about)
    taken = harness.interleaved(calls, 2 * harness.repeats(), warm_up=2)
    first = _SIZES[0]
    for size, measurement in taken.items():
        times = taken[first].times_as_fast_as(measurement) * first / size
        table.add(
            f"{size * units:,} {unit}s",
            1e6 * measurement.median / size / units,
            f"µs a {unit}",
            more={"× the smallest": times},
        )
    largest = taken[first].times_as_fast_as(taken[_SIZES[-1]]) * first / _SIZES[-1]
    table.goal("largest, times the smallest", largest, 1.15, at_most=True)
    return table


def _decoding(folder: str):
    import numpy as np

    from audio_triplet import audio, features

    sound = np.concatenate(harness.sounds(_SIZES[-1] * 2, _SECONDS, _FILE_RATE))
    calls = {}
    for size in _SIZES:
        cut = sound[: int(2 * size * _SECONDS * _FILE_RATE)]
        (path,) = harness.write_sounds(f"{folder}{size}", [cut], _FILE_RATE, "flac")
        calls[size] = lambda path=path: features.mel_energies_numpy(audio.load_audio(path))
    return "a FLAC file of 44.1 kHz to mel energies", "second", calls, int(2 * _SECONDS)


def _steps():
    calls = {}
    for size in _SIZES:
        made = training_step.trainer("vggish", 0.25, "float32", size * _TRIPLETS)
        batch = training_step.random_batch(size * _TRIPLETS)
        calls[size] = lambda made=made, batch=batch: float(made.step(batch)["loss"])
    return "vggish of width 0.25 in float32", "triplet", calls, _TRIPLETS


def _embedding(folder: str, more_files: bool):
    import numpy as np

    from audio_triplet import models
    from audio_triplet.embeddings import encoder_file, other_models, saved_model

    path = os.path.join(folder, f"model {more_files}")
    settings = {"architecture": "vggish", "width": 0.25}
    saved_model.export(models.build_encoder(**settings), path, {"model": settings})
    encoder_file.write(saved_model.Model(path), path)
    run = embedding.ours(other_models.open_embedder(path))
    sounds = harness.sounds(_SIZES[-1] * _FILES, _SECONDS, _FILE_RATE)
    calls = {}
    for size in _SIZES:
        if more_files:
            written = sounds[: size * _FILES]
        else:
            joined = np.concatenate(sounds[: size * _FILES])
            written = np.split(joined, _FILES)
        place = os.path.join(folder, f"sounds {more_files} {size}")
        harness.write_sounds(place, written, _FILE_RATE, "flac")
        calls[size] = lambda place=place: run(place, f"{place}.out")
    about = "FLAC of 44.1 kHz, vggish of width 0.25, by LiteRT, vectors on the disk"
    return about, "second", calls, int(_FILES * _SECONDS)


def _search(folder: str):
    from audio_triplet.search.index import Index

    calls = {}
    for size in _SIZES:
        place = os.path.join(folder, f"index {size}")
        index.build(place, "float16", size * _VECTORS)
        opened, asked = Index(place), index.queries(place, 8)
        calls[size] = lambda opened=opened, asked=asked: [opened.search(q, 10) for q in asked]
    return "eight queries, float16, files in the page cache", "vector", calls, _VECTORS


if __name__ == "__main__":
    harness.main(measure)
