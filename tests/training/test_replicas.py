"""Training on several replicas."""

import json
import subprocess
import sys

import numpy as np
import pytest

REPLICAS = """
import json, sys
import tensorflow as tf
count = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)])
from tests.training import runs as t
from audio_triplet import distribution
from audio_triplet.data import shard_source
from audio_triplet.training import loop
from audio_triplet.training.trainer import Trainer
trainer = Trainer(t.config_of(20), distribution.build_strategy("mirrored"))
assert trainer.strategy.num_replicas_in_sync == count
rows = loop.run(trainer, shard_source.ShardChunks({prepared!r}, ("train",)), sys.argv[2],
                    progress=False)
best = Trainer(t.combined(4, memory=12), trainer.strategy)
rows += loop.run(best, shard_source.ShardChunks({prepared!r}, ("train",)), sys.argv[2] + "-best",
                     progress=False)
print("LOSSES", json.dumps([[r["loss"], r["positive_distance"], r["negative_distance"]]
                            for r in rows]))
"""


@pytest.mark.slow
def test_replicas_mine_over_the_global_batch(prepared, tmp_path):
    """1, 2 and 4 replicas with one global batch give the same losses."""
    code = REPLICAS.format(prepared=prepared)
    found = []
    for count in (1, 2, 4):
        done = subprocess.run(
            [sys.executable, "-c", code, str(count), str(tmp_path / str(count))],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        line = next(x for x in done.stdout.splitlines() if x.startswith("LOSSES"))
        found.append(json.loads(line.removeprefix("LOSSES ")))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)
    np.testing.assert_allclose(found[2], found[0], atol=1e-4)
