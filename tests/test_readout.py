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


def _parts(encoder: keras.Model, patches: np.ndarray) -> list[np.ndarray]:
    """The last map pooled, the one before, and the embedding before its norm, float64."""
    names = ("conv4_2_relu", "conv4_1_relu", "embedding")
    outputs = [encoder.get_layer(name).output for name in names]
    last, before, trained = (
        value.numpy().astype(float) for value in keras.Model(encoder.input, outputs)(patches)
    )
    pooled = np.concatenate([last.mean(1), last.max(1)], -1)
    return [part.reshape(len(patches), -1) for part in (pooled, before.max(1), trained)]


def _by_formula(encoder: keras.Model, patches: np.ndarray, changed: list[np.ndarray]):
    """Embeddings of the patches, and the variances along their axes."""
    scaled, differences = [], [[] for _ in changed]
    others = [_parts(encoder, other) for other in changed]
    for number, values in enumerate(_parts(encoder, patches)):
        deviation = values.std(0)
        divided = deviation + 0.05 * np.sqrt(np.mean(deviation**2))
        divided *= np.sqrt(np.sum((deviation / divided) ** 2))
        scaled.append((values - values.mean(0)) / divided)
        for difference, other in zip(differences, others, strict=True):
            difference.append((other[number] - values) / divided)
    joined = np.hstack(scaled)
    added = np.vstack([np.hstack(parts) for parts in differences] or [0 * joined])
    # What the patches tell of themselves if they were changed: least squares by moments, in the
    # ways in which they vary at all.
    _, deviations, ways = np.linalg.svd(joined, full_matrices=False)
    ways = ways[deviations**2 > 1e-6 * deviations[0] ** 2].T
    joined, added = joined @ ways, added @ ways
    signal, noise = joined.T @ joined / len(joined), 0.3 * added.T @ added / len(added)
    told = joined @ np.linalg.solve(signal + noise, signal)
    _, deviations, axes = np.linalg.svd(told, full_matrices=False)
    variances = deviations[:6] ** 2 / len(joined)
    vectors = told @ axes[:6].T * variances**-0.25
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), variances


@pytest.mark.parametrize("versions", [0, 2])
def test_read_from_layers_by_formula(versions):
    encoder, patches = _trained(), _patches(300)
    noise = np.random.default_rng(2).normal(size=[versions, *patches.shape]).astype("f4")
    changed = [patches + number * part for number, part in enumerate(noise, 1)]
    batches = zip(*(np.array_split(part, 7) for part in (patches, *changed)), strict=True)
    read, config = readout.read_from_layers(encoder, SMALL, batches)
    assert config.pooling == "layers"
    expected, variances = _by_formula(encoder, patches, changed)
    found = read(patches).numpy()
    signs = np.sign(np.sum(found * expected, axis=0))  # an axis has two directions
    np.testing.assert_allclose(found * signs, expected, atol=5e-3)
    # Before it is brought to unit norm, an axis has the root of its variance for variance.
    linear = keras.Model(read.input, read.get_layer("embedding").output)(patches).numpy()
    moments = np.cov(linear.T, bias=True)
    np.testing.assert_allclose(moments, np.diag(variances**0.5), atol=1e-3)
    np.testing.assert_allclose(linear.mean(0), 0, atol=1e-3)


def test_what_changes_patches_is_not_heard():
    encoder, patches = _trained(), _patches(300)
    tilted = patches + np.linspace(-4, 4, 64, dtype="f4")

    def moved(changed):
        read, _ = readout.read_from_layers(encoder, SMALL, [(patches, *changed)])
        return np.mean(np.sum(read(patches).numpy() * read(tilted).numpy(), axis=1))

    assert moved([tilted]) > moved([]) + 0.05


def test_it_can_be_made_anew_of_one_that_has_it_and_the_first_is_left_as_it_was():
    encoder, patches = _trained(), _patches(200)
    before = encoder(patches).numpy()
    read, config = readout.read_from_layers(encoder, SMALL, [(patches,)])
    np.testing.assert_array_equal(encoder(patches).numpy(), before)
    again, same = readout.read_from_layers(read, config, [(patches,)])
    assert same == config and [v.shape for v in again.variables] == [
        v.shape for v in read.variables
    ]
    # A plain Keras model of it is the same.
    np.testing.assert_allclose(models.plain(read)(patches), read(patches), atol=1e-5)


def test_what_it_cannot_be_made_of():
    patches = _patches(100)
    mean = EncoderConfig(width=0.03125, embedding_size=6)
    with pytest.raises(ConfigError, match="pooling='mean'.*with pooling='time'"):
        readout.read_from_layers(models.build(mean), mean, [(patches,)])
    with pytest.raises(ConfigError, match="11 patches are too few .* at least 12"):
        readout.read_from_layers(models.build(SMALL), SMALL, [(patches[:11],)])
    with pytest.raises(ConfigError, match="vary in fewer than 6 ways"):
        readout.read_from_layers(
            models.build(SMALL), SMALL, [(np.repeat(patches[:2], 50, axis=0),)]
        )
    with pytest.raises(ConfigError, match="of resnet50 take 'mean' or 'time'"):
        models.build_encoder("resnet50", pooling="layers")
