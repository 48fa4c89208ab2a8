"""Trains on COUNT replicas on this processor, and writes what they lost.

python -m tests.training.replica_losses COUNT PREPARED FOLDER
"""

import dataclasses
import json
import sys

import numpy as np
import tensorflow as tf

from audio_triplet import distribution, models
from audio_triplet.data import shard_source
from audio_triplet.embeddings import saved_model
from audio_triplet.training import initial, loop
from audio_triplet.training.trainer import Trainer
from tests.training.runs import combined, config_of, shallow_trainer

STEPS, COMBINED_STEPS, RESIDENT_STEPS, MEMORY = 12, 4, 3, 12


def check_initial(strategy, folder: str) -> None:
    """A model to begin with reaches every replica."""
    network = combined(1).encoder
    path = f"{folder}/earlier"
    encoder = models.build(network, seed=9)
    encoder.get_layer("scaling").offset.assign(encoder.get_layer("scaling").offset + 3.0)
    saved_model.export(encoder, path, {"model": dataclasses.asdict(network)})
    model = initial.describe(path)
    config = dataclasses.replace(combined(1), init_model=path, init_model_digest=model.digest)
    trainer = Trainer(config, strategy)
    initial.apply(trainer)
    for mine, theirs in zip(trainer.encoder.variables, encoder.variables, strict=True):
        copies = strategy.experimental_local_results(mine.value)
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_array_equal(copy, theirs)


def main(count: int, prepared: str, folder: str) -> None:
    (processor,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(processor, devices)
    strategy = distribution.build_strategy("mirrored")
    assert strategy.num_replicas_in_sync == count
    found = {}
    if count == 2:
        check_initial(strategy, folder)
    configs = {"joint": config_of(STEPS), "combined": combined(COMBINED_STEPS, memory=MEMORY)}
    if count > 2:  # tracing a step takes a second per replica
        del configs["combined"]
    if count == 2:  # each makes its part of the batch itself; 1 replica by the pipeline
        configs["resident"] = config_of(RESIDENT_STEPS)
    for name, config in configs.items():
        source = shard_source.ShardChunks(prepared, ("train",))
        feed = "resident" if name == "resident" else "pipeline"
        folder_of = f"{folder}/{name}"
        trainer = shallow_trainer(config, strategy)
        rows = loop.run(trainer, source, folder_of, progress=False, feed=feed)
        values = ("loss", "positive_distance", "negative_distance")
        found[name] = [[row[value] for value in values] for row in rows]
    with open(f"{folder}/losses.json", "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
