"""Batches through a tf.data service: the same triplets, made by other processes."""

import pathlib
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import triplets
from audio_triplet.audio import graph_decoding
from audio_triplet.config import EXPLICIT, PipelineConfig, PrepareConfig, TripletConfig
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import batching, chunks, shard_source
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.file_source import FileChunks
from audio_triplet.errors import ConfigError, CorpusError
from data_prep.preparation import prepare

DYNAMIC = tf.data.experimental.service.ShardingPolicy.DYNAMIC


def start(commands, log: pathlib.Path):
    """A dispatcher and two workers in another process, and their address."""
    arguments = ["--port=0", "--workers=2"]
    process = commands.start("experiments.data_service", arguments, str(log))
    end = time.monotonic() + 60
    while not log.exists() or "with 2 workers\n" not in process.text:
        assert time.monotonic() < end and process.poll() is None, process.text
        time.sleep(0.05)
    return process, next(word for word in process.text.split() if word.startswith("grpc://"))


@pytest.fixture(scope="module")
def service(commands, tmp_path_factory):
    process, target = start(commands, tmp_path_factory.mktemp("service") / "log")
    yield target
    process.signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def many_shards(tone_folder, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("many"))
    prepare(load_corpus(f"folders:{tone_folder}"), folder, PrepareConfig(num_shards=5), False)
    return folder


def files_of(tone_folder, in_graph=graph_decoding.load):
    bad_files = BadFiles()
    table = chunks.scan(load_corpus(f"folders:{tone_folder}"), bad_files)
    return FileChunks(table, bad_files, in_graph=in_graph)


def served_visits(source, service, count):
    visits = source.visits(3, 0, distributed=True).map(
        lambda piece: (piece["recording"], piece["epoch"])
    )
    served = visits.apply(tf.data.experimental.service.distribute(DYNAMIC, service))
    return [(int(r), int(e)) for r, e in served.take(count).as_numpy_iterator()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shards", "files"])
def test_every_recording_is_visited_once_an_epoch_by_one_worker(
    kind, service, many_shards, tone_folder
):
    source = files_of(tone_folder)
    if kind == "shards":
        source = shard_source.ShardChunks(many_shards, buffer=4)
    local = {int(piece["recording"]) for piece in source.in_order().as_numpy_iterator()}
    epochs = 12
    visits = served_visits(source, service, epochs * source.recordings)
    assert len(set(visits)) == len(visits)  # no visit was given to two workers
    assert {recording for recording, _ in visits} == local
    # Workers run ahead of each other; what is behind all of them is complete.
    for epoch in range(2):
        assert {recording for recording, e in visits if e == epoch} == local


@pytest.mark.slow
def test_anchors_and_shares_are_those_of_the_local_pipeline(service, tone_folder):
    """A draw depends on piece and epoch alone, so the first epoch's anchors come out again."""
    source = files_of(tone_folder)
    triplet_config, config = TripletConfig(), PipelineConfig(batch_size=4)
    local = list(
        batching.triplet_batches(source, triplet_config, config).take(5).as_numpy_iterator()
    )
    served = list(
        batching.triplet_batches(source, triplet_config, config, service=service)
        .take(25)
        .as_numpy_iterator()
    )
    for name, value in local[0].items():
        assert served[0][name].shape == value.shape and served[0][name].dtype == value.dtype
    here = {anchor.tobytes() for batch in local for anchor in batch["anchor"]}
    there = {anchor.tobytes() for batch in served for anchor in batch["anchor"]}
    assert len(here) >= 19 and here <= there  # 20 recordings, one of them silent
    for batch in served:
        np.testing.assert_array_equal(batch["constraint"], triplets.pattern(triplet_config, 4))
        mixed = batch["negative"] >= 0
        assert (batch["constraint"][mixed] == 2).all()
        assert (batch["recording"][mixed] != batch["recording"][batch["negative"][mixed]]).all()


@pytest.mark.slow
def test_explicit_pairs_share_a_label(service, many_shards):
    batches = batching.triplet_batches(
        shard_source.ShardChunks(many_shards, buffer=4),
        TripletConfig(EXPLICIT),
        PipelineConfig(batch_size=4),
        first_step=2,
        service=service,
    )
    for batch in batches.take(6).as_numpy_iterator():
        assert batch["labels"][np.arange(4), batch["label"]].all()


@pytest.mark.slow
def test_another_process_serves_what_python_cannot_reach(
    commands, many_shards, tone_folder, tmp_path
):
    process, target = start(commands, tmp_path / "log")
    for source in (shard_source.ShardChunks(many_shards), files_of(tone_folder)):
        batches = batching.triplet_batches(
            source, TripletConfig(), PipelineConfig(batch_size=4), service=target
        )
        found = list(batches.take(3).as_numpy_iterator())
        assert all(np.isfinite(batch["positive"]).all() for batch in found)
        assert sum(batch["valid"].sum() for batch in found) >= 6
    process.signal(signal.SIGTERM)
    assert process.wait(30) == 0  # whatever its workers are at


@pytest.mark.slow
def test_what_a_service_cannot_do_is_refused(service, tone_folder, many_shards):
    source = shard_source.ShardChunks(many_shards)

    def batches(source, service):
        return batching.triplet_batches(source, TripletConfig(), PipelineConfig(), service=service)

    with pytest.raises(CorpusError, match="runs no Python functions"):
        batches(files_of(tone_folder, in_graph=None), service)
    with pytest.raises(ConfigError, match="write grpc://HOST:PORT"):
        batches(source, "localhost")
    with pytest.raises(ConfigError, match="no tf.data service answers"):
        batches(source, "grpc://localhost:9")
