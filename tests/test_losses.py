import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import losses


def test_by_hand():
    """a = (0, 0), p = (1, 0), n = (0, 2): 1 - 4 + δ; n = (0, 1): 1 - 1 + δ; n = a: 1 - 0 + δ."""
    a, p = [[0.0, 0.0]] * 3, [[1.0, 0.0]] * 3
    n = [[0.0, 2.0], [0.0, 1.0], [0.0, 0.0]]
    loss = losses.triplet_loss(a, p, n, margin=0.1)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, [0.0, 0.1, 1.1], rtol=1e-6)


def test_margin_is_squared_distance_not_distance():
    # Distances 0.5 and 0.6: squared 0.25 and 0.36 differ by more than 0.1, the distances do not.
    loss = losses.triplet_loss([[0.0]], [[0.5]], [[0.6]], margin=0.1)
    np.testing.assert_allclose(loss, [0.0], atol=1e-7)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_gradient_is_finite_for_identical_embeddings(dtype):
    x = tf.Variable(tf.cast(tf.ones([4, 8]), dtype))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(losses.triplet_loss(x, x, x))
    assert np.isfinite(loss) and loss.dtype == tf.float32
    gradient = tape.gradient(loss, x)
    assert np.isfinite(tf.cast(gradient, tf.float32).numpy()).all()


def test_gradient_equals_finite_differences():
    random = np.random.default_rng(0)
    a, p, n = (tf.constant(random.normal(size=(5, 3)), tf.float32) for _ in range(3))
    theory, numeric = tf.test.compute_gradient(
        lambda *x: losses.triplet_loss(*x, margin=2.0), [a, p, n], delta=1e-2
    )
    for one, other in zip(theory, numeric, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-2)
