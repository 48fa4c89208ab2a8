"""Feeding: triplets per second into a consumer that does nothing, from shards and from sound files.

    python -m benchmarks.feeding

On one core. "Reading" draws anchors and their neighbours and makes no positives; "joint" makes the
four kinds of positive. They are compared with the way most input pipelines are written: records
read, parsed and cut one by one by tf.data. Growth: twice the recordings, the length and the batch.

Each is fed twice in every round, by a new pipeline: for some batches and for many. The difference
is what the many cost, without the start of a pipeline, which a training pays once, and with all
that is read ahead, which is the same in both.
"""

import functools
import os
import tempfile

from benchmarks import harness, timing

_BATCH = 512
_FEW, _MANY = 8, 56  # batches
_BATCHES = _MANY - _FEW


def measure() -> list[harness.Table]:
    """Feeds from generated shards and files."""
    with tempfile.TemporaryDirectory() as folder:
        return [feeding(folder), growth(folder), on_the_fly(folder)]


def feeding(folder: str) -> harness.Table:
    """Triplets of each kind from shards of whole 10 s chunks."""
    source = open_shards(folder, 2000, 998)
    table = harness.Table(
        "Feeding from prepared shards",
        f"one core, 2,000 recordings of 10 s in the page cache, batches of {_BATCH}",
    )
    kinds = ("joint", "gaussian_noise", "translation", "mixing", "proximity", "explicit")
    calls = {"reading": reading(source, _BATCH)}
    calls |= {kind: consume(source, kind, _BATCH) for kind in kinds}
    calls["records parsed and cut one by one"] = one_by_one(source, _BATCH)
    taken = _steady(calls)
    table.compare(taken, _BATCHES * _BATCH, "triplets/s", "joint")
    table.goal("joint triplets per second", _BATCHES * _BATCH / taken["joint"].median, 20000)
    table.goal(
        "making the four kinds, times the cost of reading them",
        taken["reading"].times_as_fast_as(taken["joint"]) - 1,
        3,
        at_most=True,
    )
    return table


def growth(folder: str) -> harness.Table:
    """Time per triplet when recordings, length or batch are doubled."""
    table = harness.Table("Feeding, growth", "joint, one core; time a triplet")
    cases = {
        "1,000 recordings of 5 s, batches of 256": (1000, 498, 256),
        "2,000 recordings": (2000, 498, 256),
        "4,000 recordings": (4000, 498, 256),
        "10 s": (1000, 998, 256),
        "batches of 512": (1000, 498, 512),
    }
    calls = {
        name: consume(open_shards(folder, count, frames), "joint", batch)
        for name, (count, frames, batch) in cases.items()
    }
    taken = _steady(calls)
    base = next(iter(cases))
    worst = 0.0
    for name, measurement in taken.items():
        share = cases[base][2] / cases[name][2]
        times = share * measurement.times_as_fast_as(taken[base]) ** -1
        worst = max(worst, times)
        table.add(
            name,
            1e6 * measurement.median / (_BATCHES * cases[name][2]),
            "µs/triplet",
            more={"× the first": times},
        )
    table.goal("slowest, times the first", worst, 1.25, at_most=True)
    return table


def on_the_fly(folder: str) -> harness.Table:
    """Triplets from sound files, the first time and from the cache of decoded sound."""
    from audio_triplet.corpora import registry
    from audio_triplet.data import chunks, decoded_cache
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.file_source import FileChunks

    batch, calls = 32, {}

    def source(sounds, cache=None):
        bad = BadFiles()
        table = chunks.scan(registry.load_corpus(f"folders:{sounds}"), bad)
        return FileChunks(table, bad, cache=cache)

    for rate in (44_100, 16_000):
        sounds = os.path.join(folder, f"sounds {rate}")
        harness.write_sounds(sounds, harness.sounds(64, 10, rate), rate, "flac")
        name = f"{rate / 1000:g} kHz, decoded each time"
        calls[name] = consume(source(sounds), "joint", batch)
    cache = decoded_cache.EnergyCache(os.path.join(folder, "cache"), 1)
    calls["decoded once, --cache_dir"] = consume(source(sounds, cache), "joint", batch)
    table = harness.Table(
        "Feeding from sound files", f"one core, 10 s of FLAC, joint, batches of {batch}"
    )
    taken = _steady(calls)
    table.compare(taken, _BATCHES * batch, "triplets/s", "decoded once, --cache_dir")
    return table


def consume(source, kind: str, batch: int):
    """A function that takes batches of a kind of triplets."""
    from audio_triplet.config import PipelineConfig, TripletConfig
    from audio_triplet.data import batching

    made = batching.triplet_batches(source, TripletConfig(constraints=kind), PipelineConfig(batch))
    return taking(made)


def taking(dataset):
    """A function that takes the first elements of a dataset and no more."""

    def take(count: int):
        for _ in dataset.take(count):
            pass

    return take


def _steady(calls: dict) -> dict[str, timing.Measurement]:
    """What `_BATCHES` batches of each candidate cost in a pipeline that runs already."""
    both = {
        (name, count): functools.partial(take, count)
        for name, take in calls.items()
        for count in (_FEW, _MANY)
    }
    taken = harness.interleaved(both, harness.repeats())
    return {
        name: timing.Measurement(
            tuple(
                many - few
                for few, many in zip(
                    taken[name, _FEW].seconds, taken[name, _MANY].seconds, strict=True
                )
            )
        )
        for name in calls
    }


def reading(source, batch: int):
    """A function that draws anchors and neighbours without making positives."""
    import tensorflow as tf

    from audio_triplet.config import TripletConfig
    from audio_triplet.data import drawing

    patches = source.patches()

    def draw(first_visit):
        handles, epochs = patches.order.chunks_visited(
            0, first_visit + tf.range(batch, dtype=tf.int64)
        )
        metadata = patches.chunk_metadata(handles) | {"epoch": epochs}
        drawable = metadata, lambda starts: patches.patch_energies(handles, starts)
        drawn = drawing.draw_starts(drawable, 1, TripletConfig(), 0)
        return [patches.cut(handles, drawn["starts"][:, 0, which]) for which in (0, 1)]

    return taking(tf.data.Dataset.range(0, 2**62, batch).map(draw))


def one_by_one(source, batch: int):
    """A function that reads whole records in order and cuts a triplet out of each."""
    import tensorflow as tf

    from audio_triplet import triplets
    from audio_triplet.config import TripletConfig
    from audio_triplet.data import drawing

    config = TripletConfig()

    def draw(chunk):
        drawn = drawing.draw_patches(chunk | {"epoch": tf.constant(0, tf.int64)}, 1, config, 0)
        return {name: tensor[0] for name, tensor in drawn.items()}

    def make(number, draws):
        order, near = triplets.assign(draws["has_neighbour"], config)
        draws = {name: tf.gather(value, order) for name, value in draws.items()}
        neighbour = tf.gather(draws.pop("neighbour"), near)
        return triplets.make_positives(draws, neighbour, tf.stack([0, number]), config)

    drawn = source.in_order().repeat().map(draw).batch(batch, drop_remainder=True)
    return taking(drawn.enumerate().map(make))


def open_shards(folder: str, recordings: int, frames: int):
    """Chunks of generated energies, prepared once."""
    import numpy as np
    import tensorflow as tf

    from audio_triplet.data import prepared, shard_format, shard_source
    from audio_triplet.data.keys import key_of

    path = os.path.join(folder, f"{recordings}x{frames}")
    if not os.path.exists(path):
        os.makedirs(path)
        random = np.random.default_rng(0)
        stock = np.exp(random.normal(-1, 1.5, (4000 + frames, 64))).astype(np.float32)
        name = prepared.shard_name("train", 0, 1)
        with tf.io.TFRecordWriter(os.path.join(path, name)) as writer:
            for number in range(recordings):
                begin = random.integers(4000)
                writer.write(
                    shard_format.encode(
                        {
                            "mel_energies": stock[begin : begin + frames],
                            "frames": frames,
                            "recording": key_of(number),
                            "piece": key_of(number, 0),
                            "segment": number,
                            "position": 0,
                            "labels": np.arange(10) == number % 10,
                        },
                        0,
                        1,
                    )
                )
        seconds = recordings * frames / 100
        split = prepared.SplitInfo((name,), recordings, recordings, 1, seconds)
        info = prepared.PreparedInfo("generated", "", tuple("abcdefghij"), {"train": split})
        info.write(path)
    return shard_source.ShardChunks(path)


if __name__ == "__main__":
    harness.main(measure, cores=1)
