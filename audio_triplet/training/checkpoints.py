"""Checkpoints: kept whole, restored from the newest that can be read."""

import dataclasses
import re

import keras
import tensorflow as tf
from absl import logging

from audio_triplet import distribution, locks, storage
from audio_triplet.config import RunConfig
from audio_triplet.errors import TrainingError
from audio_triplet.training.trainer import Trainer

# The newest may have been cut short by a full disk: then the one before it is restored.
KEPT_CHECKPOINTS = 2


def tidy(folder: str) -> None:
    """Makes TensorFlow's list of checkpoints match the files; removes files that no list names.

    A checkpoint is whole when its index is there, which is written last. A run killed between
    that, the list, and the removal of an older checkpoint leaves one too many, or a part of one.
    A lost list must not make a run start over while there are good checkpoints.
    """
    locks.clear_leftovers(folder)
    files = tf.io.gfile.listdir(folder) if tf.io.gfile.exists(folder) else []
    numbers = {name: re.fullmatch(r"ckpt-(\d+)\.(?:index|data-.*)", name) for name in files}
    whole = sorted({int(n[1]) for name, n in numbers.items() if n and name.endswith(".index")})
    kept = whole[-KEPT_CHECKPOINTS:]
    if kept:
        paths = [storage.join(folder, f"ckpt-{number}") for number in kept]
        state = tf.train.get_checkpoint_state(folder)
        if state is None or list(state.all_model_checkpoint_paths) != paths:
            lines = [f'model_checkpoint_path: "ckpt-{kept[-1]}"']
            lines += [f'all_model_checkpoint_paths: "ckpt-{number}"' for number in kept]
            # The manager ignores checkpoints not later than the last one it preserves for ever.
            lines += [f"all_model_checkpoint_timestamps: {2 + n}.0" for n in range(len(kept))]
            lines += ["last_preserved_timestamp: 1.0"]
            storage.write_text(storage.join(folder, "checkpoint"), "\n".join(lines) + "\n")
    for name, number in numbers.items():
        if number and int(number[1]) not in kept:
            tf.io.gfile.remove(storage.join(folder, name))


def restore(trainer: Trainer, manager: tf.train.CheckpointManager) -> None:
    """Restores the newest checkpoint that can be read, if there is any.

    Raises:
      TrainingError: There are checkpoints, and none can be read.
    """
    checkpoints = list(reversed(manager.checkpoints))
    for path in checkpoints:
        try:
            manager.checkpoint.restore(path).assert_existing_objects_matched()
        except Exception as error:  # a damaged file raises many types
            logging.warning("checkpoint %s cannot be read: %s", path, str(error).split("\n")[0])
            continue
        logging.info("continuing at step %d from %s", trainer.steps_done, path)
        return
    if checkpoints:
        raise TrainingError(
            f"{manager.directory}: no checkpoint can be read; --noresume starts the run again"
        )


def load_encoder(output_dir: str, precision: str = "float32") -> keras.Model:
    """The encoder of a run, from its configuration and newest checkpoint.

    Raises:
      ConfigError: There is no run.
      TrainingError: There is no checkpoint that can be read.
    """
    config = RunConfig.read(output_dir)
    training = dataclasses.replace(config.training, precision=precision)
    config = dataclasses.replace(config, training=training)
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    manager = tf.train.CheckpointManager(
        trainer.checkpoint(), storage.join(output_dir, "checkpoints"), max_to_keep=None
    )
    if not manager.checkpoints:
        raise TrainingError(f"{output_dir}: has no checkpoint yet")
    restore(trainer, manager)
    return trainer.encoder
