import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import features, layers, models


def patches(batch=3, seed=0):
    return tf.random.stateless_normal([batch, 96, 64], [seed, 1])


def by_formula(architecture: str, width: float) -> int:
    """Trainable parameters counted from the architectures' tables."""
    c = lambda channels: round(channels * width)  # noqa: E731
    if architecture == "vggish":
        stack = [1, c(64), c(128), c(256), c(256), c(512), c(512)]
        convolutions = sum(9 * a * b + b for a, b in itertools.pairwise(stack))
        return convolutions + c(512) * 128 + 128
    count = 49 * c(64) + 2 * c(64)  # no bias; scale and offset
    before = c(64)
    for channels, repeats in ((64, 3), (128, 4), (256, 6), (512, 3)):
        inside, outside = c(channels), c(4 * channels)
        for repeat in range(repeats):
            count += before * inside + 9 * inside * inside + inside * outside
            count += 2 * (inside + inside + outside)
            if repeat == 0:
                count += before * outside + 2 * outside
            before = outside
    return count + before * 128 + 128


@pytest.mark.parametrize(
    ("architecture", "width", "count"),
    [
        ("vggish", 1.0, 4565376),
        ("vggish", 0.5, 1158400),
        ("vggish", 0.25, 298176),
        ("resnet50", 1.0, 23764032),
    ],
)
def test_parameter_counts_of_the_docstring(architecture, width, count):
    encoder = models.build_encoder(architecture, width=width)
    trainable = sum(int(np.prod(v.shape)) for v in encoder.trainable_variables)
    assert trainable == count == by_formula(architecture, width)
    assert f"{count:,}" in models.__doc__


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["vggish", "resnet50"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_unit_norm_float32(architecture, precision, normalisation):
    encoder = models.build_encoder(
        architecture, 32, width=0.125, normalisation=normalisation, precision=precision
    )
    for training in (False, True):
        embeddings = encoder(patches(), training=training)
        assert embeddings.shape == (3, 32) and embeddings.dtype == tf.float32
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert all(v.dtype == "float32" for v in encoder.trainable_variables)


def test_vggish_and_its_gradients_are_those_of_pooling_after_the_relu():
    encoder = models.build_encoder(width=0.125, seed=3)
    for name in ("conv1_1", "conv2_1"):  # biases that send some maxima below zero
        bias = encoder.get_layer(name).bias
        bias.assign(tf.linspace(-1.0, 0.5, bias.shape[0]))

    def plain(x):
        x = x[..., None]
        for group, repeats in ((1, 1), (2, 1), (3, 2), (4, 2)):
            for repeat in range(1, repeats + 1):
                layer = encoder.get_layer(f"conv{group}_{repeat}")
                kernel, bias = (tf.convert_to_tensor(v) for v in (layer.kernel, layer.bias))
                x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        return encoder.get_layer("unit")(encoder.get_layer("embedding")(tf.reduce_mean(x, [1, 2])))

    weights = [variable.value for variable in encoder.trainable_variables]
    direction = patches(3, seed=9)[:, 0, :1] + tf.range(128, dtype=tf.float32) / 64
    found = []
    for network in (encoder, plain):
        with tf.GradientTape() as tape:
            embeddings = network(patches())
            value = tf.reduce_sum(embeddings * direction)
        found.append([embeddings, *tape.gradient(value, weights)])
    for ours, theirs in zip(*found, strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours, theirs, atol=2e-6 * max(1, np.abs(theirs).max()))


def test_seed_decides_the_weights():
    first, same, other = (
        models.build_encoder(width=0.125, seed=seed).get_weights() for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])
    kernels = [w for w in first if w.ndim == 4 and w.size > 1000]
    assert all(abs(k.std() * np.sqrt(np.prod(k.shape[:3]) / 2) - 1) < 0.1 for k in kernels)  # He


def test_bfloat16_is_close_to_float32():
    x = patches(8)
    full, half = (
        models.build_encoder(width=0.25, precision=p)(x) for p in ("float32", "mixed_bfloat16")
    )
    assert (np.sum(full * half, axis=1) > 0.999).all()


def test_fused_batch_normalization_equals_keras():
    random = np.random.default_rng(0)
    ours = layers.FusedBatchNormalization()
    theirs = keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3)
    for _ in range(3):
        x = random.normal(2, 3, size=(4, 5, 6, 7)).astype("f4")
        np.testing.assert_allclose(
            ours(x, training=True), theirs(x, training=True), rtol=1e-3, atol=1e-4
        )
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-4)
    # TensorFlow's fused kernel keeps the unbiased variance (n / (n - 1)), Keras the biased one.
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-2)
    x = random.normal(size=(4, 5, 6, 7)).astype("f4")
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("shape", [(2, 6, 4, 3), (1, 5, 7, 8), (9, 3, 2, 1), (4, 1, 1, 5)])
@pytest.mark.parametrize(
    ("size", "stride", "use_bias"), [(3, 1, True), (3, 1, False), (1, 1, True), (1, 2, False)]
)
def test_gradients_forward_are_the_convolution_s_own(shape, size, stride, use_bias):
    random = np.random.default_rng(0)
    settings = {"filters": 6, "kernel_size": size, "strides": stride, "padding": "same"}
    settings["use_bias"] = use_bias
    theirs, ours = keras.layers.Conv2D(**settings), layers.ForwardConvolution(**settings)
    x = tf.constant(random.normal(size=shape), tf.float32)
    direction = tf.constant(random.normal(size=theirs(x).shape), tf.float32)
    ours(x)
    ours.set_weights([random.normal(size=w.shape) for w in theirs.get_weights()])
    theirs.set_weights(ours.get_weights())
    found = []
    for layer, arguments in ((theirs, {}), (ours, {"training": True})):

        @tf.function
        def gradients(layer=layer, arguments=arguments):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, **arguments)
                value = tf.reduce_sum(outputs * direction)
            variables = [variable.value for variable in layer.trainable_variables]
            return [outputs, *tape.gradient(value, [x, *variables])]

        found.append(gradients())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ours(x), theirs(x))


def test_an_encoder_with_gradients_forward_is_the_same_and_saved_without_them(tmp_path):
    plain, forward = (
        models.build_encoder(width=0.125, normalisation="batch", seed=5, forward_gradients=own)
        for own in (False, True)
    )
    assert [w.shape for w in plain.weights] == [w.shape for w in forward.weights]
    np.testing.assert_allclose(plain(patches()), forward(patches()), atol=1e-6)
    kinds = {layer.name: type(layer) for layer in forward.layers}
    assert kinds["conv1_1"] is keras.layers.Conv2D  # one channel: nothing to gain
    assert kinds["conv2_1"] is kinds["conv4_2"] is layers.ForwardConvolution
    models.plain(forward).save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras", custom_objects={})
    assert not any("audio_triplet" in type(layer).__module__ for layer in loaded.layers)
    np.testing.assert_allclose(loaded(patches()), forward(patches()), atol=1e-5)


def test_zero_vector_has_finite_gradient():
    layer = layers.UnitNorm()
    x = tf.Variable(tf.zeros([2, 4]))
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(x))
    assert np.isfinite(tape.gradient(y, x)).all()


@pytest.mark.parametrize(
    "wrong",
    [{"architecture": "vgg"}, {"normalisation": "layer"}, {"width": 0.0}, {"embedding_size": 0}],
)
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        models.build_encoder(**wrong)


def test_scaled_input_has_mean_0_and_deviation_1_in_each_band():
    random = np.random.default_rng(0)
    x = (random.normal(size=[6, 96, 64]) * np.linspace(0.5, 3, 64) + np.arange(64)).astype("f4")
    x[..., 7] = 2.0  # a band that never changes
    encoder = models.build_encoder(width=0.0625, input_scaling=True)
    before = encoder(x).numpy()
    models.scale_input(encoder, x)
    scaled = encoder.get_layer("scaling")(x).numpy()
    others = np.arange(64) != 7
    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=(0, 1))[others], 1, rtol=1e-4)
    assert not np.allclose(encoder(x), before)
    assert not any("scaling" in v.path for v in encoder.trainable_variables)


def test_time_pooling_by_formula():
    x = np.random.default_rng(0).normal(size=[3, 6, 4, 5]).astype("f4")
    pooled = layers.TimePooling()(x).numpy().reshape(3, 4, 10)
    np.testing.assert_allclose(pooled[..., :5], x.mean(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pooled[..., 5:], x.max(axis=1))
    encoder = models.build_encoder(width=0.125, pooling="time")
    assert encoder.get_layer("embedding").kernel.shape == (2 * 4 * 64, 128)
    np.testing.assert_allclose(np.linalg.norm(encoder(np.ones([2, 96, 64])), axis=1), 1, rtol=1e-5)


def test_loudness_says_nothing_after_it_is_taken_out():
    random = np.random.default_rng(0)
    energies = random.gamma(0.5, size=[5, 96, 64]).astype("f4")
    loud, quiet = energies * 30, energies * 0.01
    encoder = models.build_encoder(width=0.0625, normalize_loudness=True, input_scaling=True)
    models.scale_input(encoder, features.log_mel(loud))
    layer = encoder.get_layer("level")
    by_formula = np.log(energies / energies.mean(axis=(1, 2), keepdims=True) + 0.01)
    for level in (loud, energies, quiet):
        np.testing.assert_allclose(layer(features.log_mel(level)), by_formula, atol=2e-3)
        np.testing.assert_allclose(
            encoder(features.log_mel(level)), encoder(features.log_mel(energies)), atol=5e-3
        )
    # The scaling is that of what it gets: patches of one level.
    scaled = encoder.get_layer("scaling")(layer(features.log_mel(quiet))).numpy()
    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), 0, atol=1e-2)
    plain = models.build_encoder(width=0.0625)
    assert not np.allclose(plain(features.log_mel(loud)), plain(features.log_mel(quiet)), atol=0.02)


def test_silence_stays_silence_and_absurd_loudness_stay_finite():
    layer = layers.LoudnessNormalization(0.01)
    silence = layer(features.log_mel(np.zeros([1, 96, 64], "f4")))
    np.testing.assert_allclose(silence, np.log(0.01), atol=1e-2)
    hum = layer(features.log_mel(np.full([1, 96, 64], 1e-6, "f4"))).numpy()
    assert hum.max() < np.log(0.03)  # below the floor it is raised 10,000 times, not a million
    for level in (1e-30, 1e10, 1e18):
        x = tf.constant(np.full([2, 96, 64], level, "f4"))
        assert np.isfinite(layer(features.log_mel(x))).all()
