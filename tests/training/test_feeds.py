"""Runs whose batches the device makes."""

import numpy as np
import pytest

from audio_triplet.data import shard_source
from audio_triplet.errors import ConfigError
from audio_triplet.training import feeds
from audio_triplet.training.trainer import Trainer
from tests.training.runs import config_of, run


@pytest.mark.slow
def test_a_resident_run_is_the_pipelines_and_goes_on_after_a_stop(prepared, tmp_path):
    """The same scalars of every step and the same weights; stopped after the third, too."""
    one, rows = run(config_of(6), prepared, tmp_path / "piped", feed="pipeline")
    run(config_of(3), prepared, tmp_path / "resident", feed="resident")
    other, own = run(config_of(6), prepared, tmp_path / "resident", feed="resident")
    assert [row["step"] for row in own] == [row["step"] for row in rows] == list(range(6))
    for row, mine in zip(rows, own, strict=True):
        assert row.keys() == mine.keys()
        for name in set(row) - {"patches_per_second", "input_wait"}:
            assert mine[name] == pytest.approx(row[name], rel=1e-5, abs=1e-6), name
    for weight, mine in zip(one.encoder.weights, other.encoder.weights, strict=True):
        np.testing.assert_allclose(mine, weight, atol=1e-5)


def test_what_cannot_be_resident_is_told(prepared, monkeypatch):
    trainer = Trainer(config_of(1))
    source = shard_source.ShardChunks(prepared, ("train",))
    with pytest.raises(ConfigError, match="none of auto, pipeline, resident"):
        feeds.open_feed("other", trainer, source, 0)
    with pytest.raises(ConfigError, match="leave out --data_service"):
        feeds.open_feed("resident", trainer, source, 0, "grpc://localhost:1")
    monkeypatch.setattr(source, "patches", lambda: None)  # as sound files, and shards elsewhere
    with pytest.raises(ConfigError, match="needs prepared shards"):
        feeds.open_feed("resident", trainer, source, 0)
    assert feeds.free_bytes(trainer.strategy) > 0
