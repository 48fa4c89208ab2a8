import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.config import CONSTRAINTS, EXPLICIT, PipelineConfig, TripletConfig
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import batching, chunks, shard_source
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.file_source import FileChunks
from audio_triplet.errors import CorpusError
from tests.conftest import RATE, tone


def piece(frames, audible=None, key=1, epoch=0):
    """A piece whose cell energies tell their frame: 1 + frame."""
    energies = np.zeros((chunks.CHUNK_FRAMES, 64), "f4")
    energies[:frames] = 1 + np.arange(frames)[:, None]
    if audible is not None:
        energies[:frames] *= audible[:, None]
    return {
        "mel_energies": tf.constant(energies),
        "frames": tf.constant(frames),
        "recording": tf.constant(7, tf.int64),
        "piece": tf.constant(key, tf.int64),
        "epoch": tf.constant(epoch, tf.int64),
        "labels": tf.constant([True, False]),
    }


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, chunks.CHUNK_FRAMES),
    key=st.integers(0, 2**62),
    epoch=st.integers(0, 1000),
    apart=st.sampled_from([1.0, 2.5, 10.0]),
)
def test_neighbour_is_another_patch_within_delta_t(frames, key, epoch, apart):
    config = TripletConfig(max_seconds_apart=apart)
    drawn = batching.draw_patches(piece(frames, key=key, epoch=epoch), 3, config, seed=5)
    whole = max(1, frames // 96)
    assert drawn["drawn"].numpy().all()
    for anchor, neighbour, has, seconds in zip(
        drawn["anchor"].numpy(),
        drawn["neighbour"].numpy(),
        drawn["has_neighbour"].numpy(),
        drawn["seconds"].numpy(),
        strict=True,
    ):
        start = int(anchor[0, 0]) - 1
        assert start == round(seconds[0] * 100) and start + min(96, frames) <= frames
        expected = np.zeros(96)
        expected[: min(96, frames)] = 1 + start + np.arange(min(96, frames))
        np.testing.assert_array_equal(anchor, np.repeat(expected[:, None], 64, 1))
        if has:
            other = int(neighbour[0, 0]) - 1
            assert (other - start) % 96 == 0 and 0 < abs(other - start) / 100 < apart
            assert 0 <= other <= frames - 96
        else:
            assert whole < 3 or apart == 1.0
    if whole >= 3 and apart > 1:
        assert drawn["has_neighbour"].numpy().all()


def test_anchors_differ_while_there_are_enough():
    starts = {
        s
        for s, _ in batching.draw_patches(piece(960), 9, TripletConfig(), 0)["seconds"]
        .numpy()
        .tolist()
    }
    assert len(starts) == 9


def test_silent_patches_are_not_drawn():
    audible = np.zeros(960)
    audible[500:700] = 1
    for key in range(30):
        drawn = batching.draw_patches(piece(960, audible, key=key), 2, TripletConfig(), 0)
        assert drawn["anchor"].numpy().reshape(2, -1).max(1).min() > 0
        near = drawn["neighbour"].numpy()[drawn["has_neighbour"].numpy()]
        assert (near.reshape(len(near), -1).max(1) > 0).all()
    for nothing in (piece(960, np.zeros(960)), piece(0)):
        assert not batching.draw_patches(nothing, 2, TripletConfig(), 0)["drawn"].numpy().any()


def test_phase_of_the_grid_is_drawn():
    starts = [
        round(
            float(
                batching.draw_patches(piece(960, key=key), 1, TripletConfig(), 0)["seconds"][0, 0]
            )
            * 100
        )
        % 96
        for key in range(200)
    ]
    assert len(set(starts)) > 60


@pytest.mark.parametrize("per_visit", [1, 3])
@pytest.mark.parametrize("constraints", ["joint", "mixing", EXPLICIT])
def test_batches_are_a_function_of_seed_and_step(prepared, constraints, per_visit):
    source = shard_source.ShardChunks(prepared, ("train",))
    triplets = TripletConfig(constraints=constraints)
    config = PipelineConfig(batch_size=8, batches_per_visit=per_visit, seed=3)

    def batches(first, count, config=config):
        made = batching.triplet_batches(source, triplets, config, first)
        return list(made.take(count).as_numpy_iterator())

    whole, rest = batches(0, 9), batches(5, 4)
    for one, other in zip(whole[5:], rest, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    other_seed = batches(0, 1, PipelineConfig(8, per_visit, seed=4))
    assert not np.array_equal(other_seed[0]["anchor"], whole[0]["anchor"])


@pytest.mark.parametrize(("constraints", "per_visit"), [("joint", 1), (EXPLICIT, 1), ("joint", 2)])
def test_files_and_shards_give_the_same_batches(tone_folder, prepared, constraints, per_visit):
    """The n-th batch is the same, read patch by patch or piece by piece, up to float16."""
    bad = BadFiles()
    table = chunks.scan(load_corpus(f"folders:{tone_folder}"), bad)
    sources = (FileChunks(table, bad), shard_source.ShardChunks(prepared))
    triplets = TripletConfig(constraints=constraints)
    config = PipelineConfig(batch_size=8, batches_per_visit=per_visit, seed=9)
    made = zip(
        *(
            batching.triplet_batches(source, triplets, config, 3).take(4).as_numpy_iterator()
            for source in sources
        ),
        strict=True,
    )
    for one, other in made:
        assert one.keys() == other.keys()
        for name in one:
            if one[name].dtype != np.float32 or name == "seconds":
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
            else:
                np.testing.assert_allclose(one[name], other[name], rtol=2e-3, atol=1e-6)


def test_uniforms_of_many_keys():
    """Uniform over keys and over the numbers of a key, neighbouring keys unlike each other."""
    keys = np.concatenate([np.arange(-500, 500), np.random.default_rng(0).integers(0, 2**62, 1000)])
    drawn = batching.uniforms(tf.constant(keys, tf.int64), 40).numpy()
    assert drawn.shape == (2000, 40) and drawn.min() >= 0 and drawn.max() < 1
    cells = np.bincount((drawn * 20).astype(int).ravel(), minlength=20)
    assert ((cells - 4000) ** 2 / 4000).sum() < 43.8  # χ² of 19 degrees: exceeded by 1 in 1,000
    for one, other in ((drawn[1:], drawn[:-1]), (drawn[:, 1:], drawn[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.012  # 3.4 / √80,000
    again = batching.uniforms(tf.constant(keys[7:8], tf.int64), 3).numpy()
    np.testing.assert_array_equal(again, drawn[7:8, :3])
    # SplitMix64's own first number for the state 0, as published: 0xE220A8397B1DCDAF.
    first = batching.uniforms(tf.constant([0], tf.int64), 1).numpy()[0, 0]
    assert first == (0xE220A8397B1DCDAF >> 40) / 2**24


@pytest.mark.parametrize("constraints", [*CONSTRAINTS, "joint", EXPLICIT])
def test_triplets_keep_their_promise(prepared, constraints):
    source = shard_source.ShardChunks(prepared, ("train",))
    config = PipelineConfig(batch_size=8, seed=1)
    made = batching.triplet_batches(source, TripletConfig(constraints=constraints), config)
    for batch in made.take(6).as_numpy_iterator():
        assert batch["anchor"].shape == batch["positive"].shape == (8, 96, 64)
        assert np.isfinite(batch["positive"]).all() and (batch["positive"] >= 0).all()
        mixed = batch["negative"] >= 0
        ok = mixed & batch["valid"]
        assert (batch["recording"][batch["negative"][ok]] != batch["recording"][ok]).all()
        assert batch["drawn"][batch["negative"][ok]].all()
        if constraints == "joint":
            np.testing.assert_array_equal(np.bincount(batch["constraint"]), [2, 2, 2, 2])
        if constraints == EXPLICIT:
            places = np.arange(8)
            assert batch["labels"][places, batch["label"]][batch["drawn"]].all()


def test_one_long_file_does_not_drown_the_rest(tmp_path):
    soundfile.write(tmp_path / "long.wav", tone(60, 500), RATE)
    for number in range(9):
        soundfile.write(tmp_path / f"{number}.wav", tone(2, 300 + 50 * number), RATE)
    bad = BadFiles()
    source = FileChunks(chunks.scan(load_corpus(f"folders:{tmp_path}"), bad), bad)
    made = batching.triplet_batches(source, TripletConfig(), PipelineConfig(batch_size=10))
    recordings = np.concatenate([b["recording"] for b in made.take(10).as_numpy_iterator()])
    assert np.unique(recordings, return_counts=True)[1].tolist() == [10] * 10


def test_a_corpus_of_one_recording_is_refused(tmp_path):
    soundfile.write(tmp_path / "only.wav", tone(2, 500), RATE)
    bad = BadFiles()
    source = FileChunks(chunks.scan(load_corpus(f"folders:{tmp_path}"), bad), bad)
    with pytest.raises(CorpusError, match="another recording"):
        batching.triplet_batches(source, TripletConfig(), PipelineConfig())


@pytest.mark.parametrize("wrong", [{"batch_size": 1}, {"batches_per_visit": 0}])
def test_wrong_configuration(wrong):
    with pytest.raises(ValueError, match="at least"):
        PipelineConfig(**wrong)
