"""Trains from sound files until a loss is not finite, at the first step, and ends with its error.

python -m tests.data.failing_run FOLDER OUTPUT_DIR
"""

import dataclasses
import math
import sys

import tensorflow as tf

from audio_triplet import distribution
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import chunks, file_source
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.errors import TrainingError
from audio_triplet.training import loop
from tests.training.runs import config_of, shallow_trainer


def main(folder: str, output_dir: str) -> None:
    bad = BadFiles()
    source = file_source.FileChunks(chunks.scan(load_corpus(f"folders:{folder}"), bad), bad)
    config = dataclasses.replace(config_of(50, log_steps=1), splits=())
    trainer = shallow_trainer(config, distribution.build_strategy("cpu"))
    step = trainer.step
    trainer.step = lambda batch: step(batch) | {"loss": tf.constant(math.nan)}
    try:
        loop.run(trainer, source, output_dir, progress=False)
    except TrainingError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
