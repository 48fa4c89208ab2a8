import numpy as np
import pytest
import soundfile

from audio_triplet.config import CONSTRAINTS, EXPLICIT, PipelineConfig, TripletConfig
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import batching, chunks, shard_source
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.file_source import FileChunks
from audio_triplet.errors import CorpusError
from tests.conftest import RATE, tone


@pytest.mark.slow
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


@pytest.mark.slow
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
