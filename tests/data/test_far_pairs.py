"""Pairs whose patches lie in two chunks of a recording: takes, and what is far in a long one."""

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from audio_triplet.config import PipelineConfig, PrepareConfig, TripletConfig
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import batching, chunks, resident, shard_source, sources
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.file_source import FileChunks
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import ConfigError
from data_prep.preparation import prepare
from tests.conftest import RATE

COUNT = np.array([1, 2, 5, 1, 3, 12])
CONFIG = PipelineConfig(batch_size=5, seed=2)


@pytest.fixture(scope="module")
def order():
    keys = np.random.default_rng(0).integers(0, 2**62, len(COUNT))
    return sources.VisitOrder(np.cumsum(COUNT) - COUNT, COUNT, keys)


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
    """A manifest: two recordings of three takes, a long one of two halves, two single files."""
    folder, rows = tmp_path_factory.mktemp("takes"), ["path,recording_id"]
    for number in range(6):
        soundfile.write(folder / f"take{number}.wav", sine(1.2, 200 * 1.35**number), RATE)
        rows.append(f"take{number}.wav,sound{number // 3}")
    halves = np.concatenate([sine(10.56, 1500), sine(10.56, 5000)])
    soundfile.write(folder / "long.wav", halves, RATE)
    for name, hertz in (("one", 2300), ("two", 3300)):
        soundfile.write(folder / f"{name}.wav", sine(5, hertz), RATE)
    rows += [f"{name}.wav,{name}" for name in ("long", "one", "two")]
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    return folder / "m.csv"


@pytest.fixture(scope="module")
def shards(takes, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("shards"))
    prepare(load_corpus(f"manifest:{takes}"), folder, PrepareConfig(), progress=False)
    return shard_source.ShardChunks(folder)


def sine(seconds, hertz):
    return 0.3 * np.sin(2 * np.pi * hertz / RATE * np.arange(int(seconds * RATE)))


def config(share, constraints="proximity"):
    return TripletConfig(constraints=constraints, far_share=share)


def loudest(patches):
    """The loudest band of patches: int64[n]."""
    return patches.mean(axis=1).argmax(axis=1)


def test_the_share_of_visits_takes_another_chunk_of_the_recording_any_as_often(order):
    visits = tf.range(12_000, dtype=tf.int64)
    recording = np.repeat(np.arange(len(COUNT)), COUNT)
    plain, epochs = (x.numpy() for x in order.chunks_visited(3, visits))
    pairs, pair_epochs = (x.numpy() for x in order.pairs_visited(3, visits, 0.4))
    np.testing.assert_array_equal(pairs[:, 0], plain)
    np.testing.assert_array_equal(pair_epochs, epochs)
    np.testing.assert_array_equal(recording[pairs[:, 0]], recording[pairs[:, 1]])
    far = pairs[:, 0] != pairs[:, 1]
    for number, count in enumerate(COUNT):
        of_it = recording[pairs[:, 0]] == number
        assert of_it.sum() == 2_000
        assert abs(far[of_it].mean() - 0.4 * (count > 1)) < 0.038  # 3.4 deviations
        apart = (pairs[of_it & far] @ [-1, 1]) % count
        if count > 1:  # χ² of 10 degrees at most: exceeded by 1 in 1,000
            found = np.bincount(apart, minlength=count)[1:]
            expected = found.sum() / (count - 1)
            assert found.min() > 0 and ((found - expected) ** 2 / expected).sum() < 29.6
    some, _ = order.pairs_visited(3, visits[777:780], 0.4)
    np.testing.assert_array_equal(some, pairs[777:780])
    none, _ = order.pairs_visited(3, visits[:100], 0.0)
    np.testing.assert_array_equal(none, np.repeat(plain[:100, None], 2, axis=1))


def test_positives_are_other_takes_and_the_other_half(shards):
    """Each file has a pitch of its own, which tells where a patch comes from."""
    made = batching.triplet_batches(shards, config(1.0), CONFIG).take(40)
    seen = {}
    for batch in made.as_numpy_iterator():
        assert batch["valid"].all()
        bands = np.stack([loudest(batch["anchor"]), loudest(batch["positive"])], axis=1)
        for recording, pair in zip(batch["recording"].tolist(), bands.tolist(), strict=True):
            seen.setdefault(recording, set()).add(tuple(pair))
    files = sorted(len({band for pair in pairs for band in pair}) for pairs in seen.values())
    assert files == [1, 1, 2, 3, 3]
    for pairs in seen.values():
        bands = {band for pair in pairs for band in pair}
        assert pairs == {(a, b) for a in bands for b in bands if a != b or len(bands) == 1}


def test_near_pairs_are_as_without(shards):
    """At a share of a half anchors are the same, and so are the positives that are not far."""
    both = [
        batching.triplet_batches(shards, config(share), CONFIG).take(30).as_numpy_iterator()
        for share in (0.0, 0.5)
    ]
    near = far = 0
    for plain, mixed in zip(*both, strict=True):
        # Batches are put in another order, those with a neighbour first.
        one, two = np.argsort(plain["recording"]), np.argsort(mixed["recording"])
        np.testing.assert_array_equal(plain["anchor"][one], mixed["anchor"][two])
        same = (plain["positive"][one] == mixed["positive"][two]).all(axis=(1, 2))
        near, far = near + same.sum(), far + (~same).sum()
    assert near > 60 and far > 20


@pytest.mark.parametrize("constraints", ["combined", "joint"])
def test_the_device_makes_the_same_batches(shards, constraints):
    triplets = config(0.6, constraints)
    feed = resident.ResidentFeed(shards, triplets, CONFIG)
    make = tf.function(feed.batch, autograph=False)
    piped = batching.triplet_batches(shards, triplets, CONFIG, 3).take(4)
    for one, visit in zip(piped.as_numpy_iterator(), feed.visits(3).take(4), strict=True):
        other = make(visit)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_sound_files_are_refused_in_one_line(takes):
    bad = BadFiles()
    source = FileChunks(chunks.scan(Manifest.read(takes), bad), bad)
    with pytest.raises(ConfigError, match="far_share=0.5: needs prepared shards.*prepare the corp"):
        batching.triplet_batches(source, config(0.5), CONFIG)
