"""The last layer made anew, against NumPy on features taken out of the network one by one."""

import keras
import numpy as np
import pytest

from audio_triplet import models, readout
from audio_triplet.config import EncoderConfig
from audio_triplet.errors import ConfigError

SMALL = EncoderConfig(
    width=0.03125, embedding_size=6, normalisation="batch", pooling="time", input_scaling=True
)


def _patches(count: int) -> np.ndarray:
    """float32[count, 96, 64]: noise of random colours, in bursts."""
    random = np.random.default_rng(0)
    tilt = random.normal(size=[count, 1, 1]) * np.linspace(-1, 1, 64)
    bursts = np.repeat(random.normal(size=[count, 12, 1]), 8, axis=1)
    return (random.normal(size=[count, 96, 64]) + 2 * tilt + bursts).astype("f4")


def _trained() -> keras.Model:
    """An encoder that no longer has the moving statistics and scaling that it began with."""
    encoder = models.build(SMALL, seed=3)
    models.scale_input(encoder, _patches(50))
    random = np.random.default_rng(1)
    for variable in encoder.variables:
        if "moving" in variable.path or "norm" in variable.path:
            variable.assign(np.abs(variable.numpy() + 0.2 * random.normal(size=variable.shape)))
    return encoder


def test_read_from_layers_by_formula():
    encoder, patches = _trained(), _patches(300)
    read, config = readout.read_from_layers(encoder, SMALL, np.array_split(patches, 7))
    assert config.pooling == "layers"
    maps = ["conv4_2_relu", "conv4_1_relu", "conv3_2_relu"]
    outputs = [encoder.get_layer(name).output for name in [*maps, "embedding"]]
    parts = [value.numpy().astype(float) for value in keras.Model(encoder.input, outputs)(patches)]
    for n, values in enumerate(parts[:3]):
        parts[n] = np.concatenate([values.mean(1), values.max(1)], -1).reshape(300, -1)
    scaled = []
    for values in parts:
        apart, deviation = values - values.mean(0), values.std(0)
        apart /= deviation + 0.05 * np.sqrt(np.mean(deviation**2))
        scaled.append(apart / np.sqrt(apart.var(0).sum()))
    joined = np.hstack(scaled)
    _, deviations, axes = np.linalg.svd(joined, full_matrices=False)
    variances = deviations**2 / 300
    expected = joined @ axes[:6].T * variances[:6] ** -0.25
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = read(patches).numpy()
    signs = np.sign(np.sum(found * expected, axis=0))  # an axis has two directions
    np.testing.assert_allclose(found * signs, expected, atol=2e-3)
    # Before it is brought to unit norm, an axis has the root of its variance for variance.
    linear = keras.Model(read.input, read.get_layer("embedding").output)(patches).numpy()
    np.testing.assert_allclose(
        np.cov(linear.T, bias=True), np.diag(variances[:6] ** 0.5), atol=1e-3
    )
    np.testing.assert_allclose(linear.mean(0), 0, atol=1e-3)


def test_it_can_be_made_anew_of_one_that_has_it_and_the_first_is_left_as_it_was():
    encoder, patches = _trained(), _patches(200)
    before = encoder(patches).numpy()
    read, config = readout.read_from_layers(encoder, SMALL, [patches])
    np.testing.assert_array_equal(encoder(patches).numpy(), before)
    again, same = readout.read_from_layers(read, config, [patches])
    assert same == config and [v.shape for v in again.variables] == [
        v.shape for v in read.variables
    ]
    # A plain Keras model of it is the same.
    np.testing.assert_allclose(models.plain(read)(patches), read(patches), atol=1e-5)


def test_what_it_cannot_be_made_of():
    patches = _patches(100)
    mean = EncoderConfig(width=0.03125, embedding_size=6)
    with pytest.raises(ConfigError, match="pooling='mean'.*with pooling='time'"):
        readout.read_from_layers(models.build(mean), mean, [patches])
    with pytest.raises(ConfigError, match="11 patches are too few .* at least 12"):
        readout.read_from_layers(models.build(SMALL), SMALL, [patches[:11]])
    with pytest.raises(ConfigError, match="vary in fewer than 6 ways"):
        readout.read_from_layers(models.build(SMALL), SMALL, [np.repeat(patches[:2], 50, axis=0)])
    with pytest.raises(ConfigError, match="of resnet50 take 'mean' or 'time'"):
        models.build_encoder("resnet50", pooling="layers")
