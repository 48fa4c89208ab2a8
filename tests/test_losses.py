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


def unit(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype("f4")


def test_contrastive_by_formula():
    query, positive, keys = unit(4, 6), unit(4, 6, seed=1), unit(9, 6, seed=2)
    allowed = np.random.default_rng(3).random((4, 9)) < 0.6
    expected = []
    for i in range(4):
        own = np.exp(query[i] @ positive[i] / 0.2)
        others = sum(np.exp(query[i] @ keys[j] / 0.2) for j in range(9) if allowed[i, j])
        expected.append(-np.log(own / (own + others)))
    found = losses.contrastive_loss(query, positive, keys, allowed, temperature=0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_contrastive_without_negatives_is_zero_with_a_finite_gradient():
    x = tf.Variable(unit(3, 5))
    with tf.GradientTape() as tape:
        loss = losses.contrastive_loss(x, x, x, np.zeros((3, 3), bool), 0.01)
    np.testing.assert_allclose(loss, 0, atol=1e-6)
    assert np.isfinite(tf.convert_to_tensor(tape.gradient(loss, x)).numpy()).all()


def test_contrastive_is_finite_for_identical_embeddings():
    """All alike: the positive has 1 / (n + 1) of the softmax."""
    x = tf.cast(np.repeat(unit(1, 5), 4, axis=0), tf.bfloat16)
    loss = losses.contrastive_loss(x, x, x, ~np.eye(4, dtype=bool), 0.1)
    np.testing.assert_allclose(loss, np.log(4.0), rtol=1e-5)
    assert loss.dtype == tf.float32
