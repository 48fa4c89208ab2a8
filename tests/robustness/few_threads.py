"""Trains six steps with so many threads.

python -m tests.robustness.few_threads THREADS PREPARED FOLDER
"""

import sys

import tensorflow as tf

from tests.training.runs import config_of, run

if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
    tf.config.threading.set_inter_op_parallelism_threads(int(sys.argv[1]))
    run(config_of(6), sys.argv[2], sys.argv[3])
