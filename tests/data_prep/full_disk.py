"""`python -m data_prep.prepare` on a disk that takes nothing: every write of a shard fails.

python -m tests.data_prep.full_disk --corpus=… --output_dir=…
"""

import tensorflow as tf

from data_prep import prepare

if __name__ == "__main__":
    writer = tf.io.TFRecordWriter
    tf.io.TFRecordWriter = lambda path: writer("/dev/full")
    prepare.run()
