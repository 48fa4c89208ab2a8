"""Batches that the device makes itself: those of the pipeline, bit for bit."""

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet.config import EXPLICIT, PipelineConfig, TripletConfig
from audio_triplet.data import batching, resident, shard_source
from audio_triplet.errors import ConfigError, CorpusError


def made_both_ways(source, triplets, config, first, count):
    """(pipeline's, device's) batches as NumPy arrays."""
    piped = batching.triplet_batches(source, triplets, config, first).take(count)
    feed = resident.ResidentFeed(source, triplets, config)
    make = tf.function(feed.batch, autograph=False)
    own = [make(visit) for visit in feed.visits(first).take(count)]
    for one, other in zip(piped.as_numpy_iterator(), own, strict=True):
        yield one, {name: value.numpy() for name, value in other.items()}


@pytest.mark.parametrize(
    ("constraints", "per_visit"),
    [("joint", 1), ("joint", 3), ("combined", 1), ("mixing", 1), (EXPLICIT, 1), (EXPLICIT, 2)],
)
def test_the_same_bits_as_the_pipeline(prepared, constraints, per_visit):
    source = shard_source.ShardChunks(prepared, ("train",))
    config = PipelineConfig(batch_size=8, batches_per_visit=per_visit, seed=5)
    triplets = TripletConfig(constraints=constraints)
    for one, other in made_both_ways(source, triplets, config, 4, 3):  # over an epoch's end
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_every_patch_is_what_the_shard_holds(prepared):
    """Also past the end of a chunk, where there is silence."""
    source = shard_source.ShardChunks(prepared)
    shards = source.patches()
    own = resident.ResidentPatches(shards)
    handles = tf.range(len(shards.index.frames), dtype=tf.int64)
    for start in (0, 7, 96, 5000):
        starts = tf.fill(handles.shape, start)
        np.testing.assert_array_equal(own.cut(handles, starts), shards.cut(handles, starts))
        each = starts[:, None] + tf.range(3)
        np.testing.assert_array_equal(
            own.patch_energies(handles, each), shards.patch_energies(handles, each)
        )
    mine, theirs = own.chunk_metadata(handles), shards.chunk_metadata(handles)
    for name in theirs:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


def test_eight_bits_are_within_half_a_step_and_silence_stays(prepared):
    source = shard_source.ShardChunks(prepared)
    shards = source.patches()
    own = resident.ResidentPatches(shards, bits=8)
    handles = tf.range(len(shards.index.frames), dtype=tf.int64)
    step = own.arrays["log_mel_step"].numpy()
    assert 0.01 < step < 0.06  # nepers
    for start in (0, 7, 5000):
        starts = tf.fill(handles.shape, start)
        found, whole = own.cut(handles, starts).numpy(), shards.cut(handles, starts).numpy()
        np.testing.assert_allclose(np.log(found + 0.01), np.log(whole + 0.01), atol=step / 2 + 1e-4)
        assert (found >= 0).all() and (found[whole == 0] == 0).all()
    size = sum(own.arrays[name].numpy().nbytes for name in ("log_mel", "energies"))
    assert size <= resident.corpus_bytes(shards.index, bits=8)
    config = PipelineConfig(batch_size=8, seed=5)
    feeds = [resident.ResidentFeed(source, TripletConfig(), config, bits=b) for b in (16, 8)]
    made = [feed.batch(next(iter(feed.visits(3)))) for feed in feeds]
    np.testing.assert_array_equal(made[0]["recording"], made[1]["recording"])
    logs = [np.log(batch["anchor"].numpy() + 0.01) for batch in made]
    np.testing.assert_allclose(*logs, atol=step / 2 + 1e-4)


def test_a_corpus_that_does_not_fit_is_told_before_the_first_step(prepared):
    source = shard_source.ShardChunks(prepared, ("train",))
    index = source.patches().index
    needed = index.frames.sum() * (64 * 2 + 4)
    assert resident.corpus_bytes(index) == needed
    resident.check_fits(index, int(needed))
    with pytest.raises(ConfigError, match="use --feed=resident8 .half as much., --feed=pipeline"):
        resident.ResidentFeed(source, TripletConfig(), PipelineConfig(batch_size=8), needed - 1)
    with pytest.raises(ConfigError, match="use --feed=pipeline"):
        resident.check_fits(index, 1000, bits=8)


def test_a_shard_that_is_cut_short_is_named(prepared, tmp_path):
    source = shard_source.ShardChunks(prepared)
    index = source.patches().index
    cut = []
    for number, file in enumerate(source.files):
        cut.append(str(tmp_path / f"{number}.tfrecord"))
        with open(file, "rb") as whole, open(cut[-1], "wb") as part:
            part.write(whole.read()[:-3000])
    with pytest.raises(CorpusError, match=r"\.tfrecord: the shard is damaged"):
        resident.read_energies(index, cut)
    with pytest.raises(CorpusError, match="cannot be read any more"):
        resident.read_energies(index, [str(tmp_path / "none")] * len(cut))
