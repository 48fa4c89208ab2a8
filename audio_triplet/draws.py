"""Random numbers that are the same from TensorFlow's kernels and from XLA's.

They are those that `tf.random.stateless_…` draws on a CPU. XLA's version of those functions draws
others: of a seed of 64 bits it takes the lower half, and it makes other floats of the same bits. So
key and counter of the generator (Philox) are derived here, and numbers made of its bits here.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator

import tensorflow as tf

_PHILOX = 1
# TensorFlow makes a key and a counter of a seed by a block of Philox under this key.
_SCRAMBLE = 0x02461E293EC8F720

_for_xla = contextvars.ContextVar("for_xla", default=False)


@contextlib.contextmanager
def for_xla() -> Iterator[None]:
    """What is traced inside draws `normal` numbers in a way that XLA has, too."""
    token = _for_xla.set(True)
    try:
        yield
    finally:
        _for_xla.reset(token)


def split(seed, count: int) -> list[tf.Tensor]:
    """Some seeds of one, independent of it: those of `tf.random.split`.

    Args:
      seed: int64[2] or int32[2].
      count: How many.
    """
    seed = tf.convert_to_tensor(seed)
    return tf.unstack(_integers_of(_bits([count, 2 * seed.dtype.size // 4], seed), seed.dtype))


def fold_in(seed, number: int) -> tf.Tensor:
    """A seed of a seed and a number: int32[2], that of `tf.random.fold_in`.

    Args:
      seed: Two integers, a stateless seed.
      number: Below 2**31.
    """
    (first,) = tf.unstack(tf.bitcast(_bits([1], seed), tf.int32))
    return tf.stack([first, number])


def integers(shape, seed, low, high) -> tf.Tensor:
    """Uniform integers from `low` to below `high`: int32 of a shape, as `stateless_uniform`."""
    width = tf.cast(high - low, tf.uint32)
    return low + tf.cast(_bits(shape, seed) % width, tf.int32)


def uniform(shape, seed) -> tf.Tensor:
    """Uniform numbers in [0, 1): float32 of a shape, those of `tf.random.stateless_uniform`.

    Args:
      shape: Of the result.
      seed: Two integers, a stateless seed.
    """
    return _floats(_bits(shape, seed))


def normal(shape, seed, stddev: float = 1.0) -> tf.Tensor:
    """Normal numbers of mean 0: float32 of a shape, those of `tf.random.stateless_normal`.

    For XLA they differ in the last bits.

    Args:
      shape: Of the result.
      seed: Two integers, a stateless seed.
      stddev: Standard deviation.
    """
    if not _for_xla.get():
        return tf.random.stateless_normal(shape, seed, stddev=stddev)
    # By Box and Muller, as TensorFlow does it.
    count = tf.reduce_prod(shape)
    pairs = tf.reshape(_floats(_bits([(count + 1) // 2 * 2], seed)), [-1, 2])
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(pairs[:, 0], 1e-7)))
    angle = 2.0 * math.pi * pairs[:, 1]
    both = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=1)
    return stddev * tf.reshape(tf.reshape(both, [-1])[:count], shape)


def uniforms_of_keys(key, count: int) -> tf.Tensor:
    """Uniform numbers in [0, 1) drawn for each of many keys: float32[n, count] from int64[n].

    SplitMix64, seeded by the key: TensorFlow's own generators take one seed for all.
    """

    def mixed(x):
        x = (x ^ tf.bitwise.right_shift(x, _u64(30))) * _u64(0xBF58476D1CE4E5B9)
        x = (x ^ tf.bitwise.right_shift(x, _u64(27))) * _u64(0x94D049BB133111EB)
        return x ^ tf.bitwise.right_shift(x, _u64(31))

    state = mixed(tf.bitcast(key, tf.uint64))[:, None]
    steps = tf.range(1, count + 1, dtype=tf.int64)[None, :]
    bits = mixed(state + tf.cast(steps, tf.uint64) * _u64(0x9E3779B97F4A7C15))
    bits = tf.bitcast(tf.bitwise.right_shift(bits, _u64(40)), tf.int64)
    return tf.cast(bits, tf.float32) * 2.0**-24


def _bits(shape, seed) -> tf.Tensor:
    """uint32 of a shape, all bits random."""
    counter = tf.bitcast(tf.cast(seed, tf.int64), tf.uint64)
    block = _philox([4], tf.constant([_SCRAMBLE], tf.uint64), counter)
    key, high = tf.split(tf.bitcast(tf.reshape(block, [2, 2]), tf.uint64), 2)
    return _philox(shape, key, tf.concat([tf.zeros_like(high), high], axis=0))


def _philox(shape, key: tf.Tensor, counter: tf.Tensor) -> tf.Tensor:
    """uint32 of a shape by the generator of a key uint64[1] and a counter uint64[2]."""
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=shape, key=key, counter=counter, alg=_PHILOX, dtype=tf.uint32
    )


def _integers_of(bits: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """int32 or int64 of a row's words: [n, 2] of uint32[n, 2 or 4]."""
    if dtype.size == 4:
        return tf.bitcast(bits, dtype)
    return tf.bitcast(tf.reshape(bits, [-1, 2, 2]), dtype)


def _floats(bits: tf.Tensor) -> tf.Tensor:
    """Floats in [0, 1) whose fractions are the low 23 bits."""
    return tf.bitcast((bits & 0x7FFFFF) | 0x3F800000, tf.float32) - 1.0


def _u64(number: int) -> tf.Tensor:
    return tf.constant(number, tf.uint64)
