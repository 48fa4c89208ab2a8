"""The same random numbers from TensorFlow's kernels and from XLA's."""

import numpy as np
import tensorflow as tf

from audio_triplet import draws

SEEDS = np.array([[3, 40], [2**40 + 17, -5], [-(2**62) + 9, 2**63 - 1]])


def each(function, compiled=False):
    """What a function of a seed gives for all of them."""

    def traced(seeds):
        return [function(seed) for seed in tf.unstack(seeds)]

    def traced_for_xla(seeds):
        with draws.for_xla():
            return traced(seeds)

    if not compiled:
        return tf.function(traced, autograph=False)(SEEDS)
    return tf.function(traced_for_xla, autograph=False, jit_compile=True)(SEEDS)


PAIRS = {
    "split": (lambda s: tf.stack(draws.split(s, 3)), lambda s: tf.random.split(s, 3)),
    "fold_in": (lambda s: draws.fold_in(s, 2**31 - 1), lambda s: tf.random.fold_in(s, 2**31 - 1)),
    "split of 32 bits": (
        lambda s: tf.stack(draws.split(draws.fold_in(s, 5), 2)),
        lambda s: tf.random.split(tf.random.fold_in(s, 5), 2),
    ),
    "integers": (
        lambda s: draws.integers([99, 1], s, -10, 11),
        lambda s: tf.random.stateless_uniform([99, 1], s, -10, 11, tf.int32),
    ),
    "uniform": (
        lambda s: draws.uniform([2, 7, 1, 3], s),
        lambda s: tf.random.stateless_uniform([2, 7, 1, 3], s),
    ),
    "normal": (
        lambda s: draws.normal([501], s, 0.5),
        lambda s: tf.random.stateless_normal([501], s, stddev=0.5),
    ),
}


def test_they_are_tensorflows():
    for name, (own, theirs) in PAIRS.items():
        for one, other in zip(each(own), each(theirs), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other, name)


def test_xla_draws_the_same():
    for name, (own, theirs) in PAIRS.items():
        for one, other in zip(each(own, compiled=True), each(theirs), strict=True):
            if name == "normal":  # logarithm and sine differ in their last bits
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(one, other, name)


def test_uniforms_of_many_keys():
    """Uniform over keys and over the numbers of a key, neighbouring keys unlike each other."""
    keys = np.concatenate([np.arange(-500, 500), np.random.default_rng(0).integers(0, 2**62, 1000)])
    drawn = draws.uniforms_of_keys(tf.constant(keys, tf.int64), 40).numpy()
    assert drawn.shape == (2000, 40) and drawn.min() >= 0 and drawn.max() < 1
    cells = np.bincount((drawn * 20).astype(int).ravel(), minlength=20)
    assert ((cells - 4000) ** 2 / 4000).sum() < 43.8  # χ² of 19 degrees: exceeded by 1 in 1,000
    for one, other in ((drawn[1:], drawn[:-1]), (drawn[:, 1:], drawn[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.012  # 3.4 / √80,000
    again = draws.uniforms_of_keys(tf.constant(keys[7:8], tf.int64), 3).numpy()
    np.testing.assert_array_equal(again, drawn[7:8, :3])
    # SplitMix64's own first number for the state 0, as published: 0xE220A8397B1DCDAF.
    first = draws.uniforms_of_keys(tf.constant([0], tf.int64), 1).numpy()[0, 0]
    assert first == (0xE220A8397B1DCDAF >> 40) / 2**24
