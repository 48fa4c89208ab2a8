"""Trains six steps with so many threads, as a new process, and says what a start must not do.

python -m tests.robustness.few_threads THREADS PREPARED FOLDER
"""

import hashlib
import sys

import tensorflow as tf

from audio_triplet.training.trainer import Trainer
from tests.training.runs import config_of, run

if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
    tf.config.threading.set_inter_op_parallelism_threads(int(sys.argv[1]))
    trainer, _ = run(config_of(6), sys.argv[2], sys.argv[3], Trainer)
    weights = b"".join(value.numpy().tobytes() for value in trainer.encoder.variables)
    print("weights", hashlib.sha256(weights).hexdigest())
    print("converted", sum(name.startswith("__autograph_generated") for name in sys.modules))
