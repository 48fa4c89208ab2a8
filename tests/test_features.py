import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet import features, front_end


def twin_mel_energies(waveform: np.ndarray) -> np.ndarray:
    """VGGish's front end from its formula, in float64: [samples] → [frames, 64]."""
    frames = 1 + (len(waveform) - 400) // 160 if len(waveform) >= 400 else 0
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    bins = np.arange(257) * 16000 / 512
    mel_of = lambda f: 1127.0 * np.log(1.0 + f / 700.0)  # noqa: E731
    edges = np.linspace(mel_of(125.0), mel_of(7500.0), 66)
    energies = np.zeros((frames, 64))
    for frame in range(frames):
        cut = waveform[frame * 160 : frame * 160 + 400].astype(np.float64) * window
        magnitude = np.abs(np.fft.rfft(cut, 512))
        for band in range(64):
            low, centre, high = edges[band : band + 3]
            up = (mel_of(bins) - low) / (centre - low)
            down = (high - mel_of(bins)) / (high - centre)
            weight = np.maximum(0, np.minimum(up, down))
            weight[0] = 0
            energies[frame, band] = magnitude @ weight
    return energies


def noise(samples, seed=0, amplitude=0.1):
    return (amplitude * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


every = pytest.mark.parametrize(
    "mel_energies",
    [features.mel_energies, features.mel_energies_numpy, front_end.mel_energies_at_once],
    ids=["graph", "numpy", "at_once"],
)


@every
@pytest.mark.parametrize("amplitude", [1e-4, 0.1, 1.0])
def test_equals_vggish_formula(mel_energies, amplitude):
    waveform = noise(24000, amplitude=amplitude)  # more than a block of frames
    twin = twin_mel_energies(waveform)
    ours = mel_energies(waveform)
    np.testing.assert_allclose(ours, twin, rtol=1e-4, atol=1e-5 * amplitude)
    np.testing.assert_allclose(features.log_mel(ours), np.log(twin + 0.01), atol=1e-3)


@every
def test_nothing_of_a_loud_tone_leaks_into_silent_bands(mel_energies):
    # The worst case for float32: rounding of the loud bins beside the 0.01 of the logarithm.
    tone = np.sin(2 * np.pi * 440.3 * np.arange(8000) / 16000).astype("f4")
    difference = features.log_mel(mel_energies(tone)) - np.log(twin_mel_energies(tone) + 0.01)
    assert np.abs(difference).max() < 1e-3


@settings(deadline=None, max_examples=20)
@given(samples=st.integers(0, 50_000), seed=st.integers(0, 99), decades=st.integers(-12, 10))
def test_all_ways_agree(samples, seed, decades):
    waveform = noise(samples, seed, 10.0**decades)
    graph = features.mel_energies(waveform).numpy()
    for way in (features.mel_energies_numpy, front_end.mel_energies_at_once):
        numpy = way(waveform)
        assert numpy.dtype == np.float32 and numpy.shape == graph.shape
        np.testing.assert_allclose(features.log_mel(graph), features.log_mel(numpy), atol=1e-4)
        np.testing.assert_allclose(numpy, graph, rtol=1e-5, atol=1e-13)
        np.testing.assert_allclose(front_end.log_mel_numpy(numpy), features.log_mel(numpy), 1e-6)


def test_compiles_for_accelerators_and_keeps_static_shapes():
    waveform = noise(2 * 8000).reshape(2, 8000)
    compiled = tf.function(features.mel_energies, jit_compile=True)(waveform)
    np.testing.assert_allclose(compiled, features.mel_energies(waveform), rtol=1e-3, atol=1e-4)
    traced = tf.function(features.mel_energies)
    specs = {(2, 8000): (2, 48, 64), (None, 8000): (None, 48, 64), (2, None): (2, None, 64)}
    for shape, expected in specs.items():
        outputs = traced.get_concrete_function(tf.TensorSpec(shape)).structured_outputs
        assert tuple(outputs.shape) == expected


def test_gradient_in_silence_is_finite():
    waveform = tf.Variable(tf.zeros([800]))
    with tf.GradientTape() as tape:
        log_mel = features.log_mel(features.mel_energies(waveform))
    assert np.isfinite(tape.gradient(log_mel, waveform)).all()


@every
def test_a_tone_lands_in_its_band(mel_energies):
    time = np.arange(16000) / 16000
    for hertz in (250.0, 1000.0, 4000.0):
        energies = np.asarray(mel_energies(np.sin(2 * np.pi * hertz * time).astype("f4")))
        edges = np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66)
        expected = np.argmin(np.abs(edges[1:-1] - 1127 * np.log1p(hertz / 700)))
        assert abs(int(energies.mean(0).argmax()) - expected) <= 1


def test_mel_weights_equal_tensorflows():
    theirs = tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, 7500.0).numpy()
    np.testing.assert_allclose(features.mel_weights(), theirs, atol=2e-5)


def test_batch_axes_are_kept_and_equal_single():
    waveform = noise(2 * 3 * 5000).reshape(2, 3, 5000)
    batched = features.mel_energies(waveform)
    assert batched.shape == (2, 3, 29, 64)
    np.testing.assert_allclose(batched[1, 2], features.mel_energies(waveform[1, 2]), rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(samples=st.integers(0, 3000))
def test_number_of_frames(samples):
    frames = features.DEFAULT.frames(samples)
    assert features.mel_energies(np.zeros(samples, np.float32)).shape == (frames, 64)
    assert features.mel_energies(np.zeros((0, samples), np.float32)).shape == (0, frames, 64)
    assert features.mel_energies_numpy(np.zeros(samples, np.float32)).shape == (frames, 64)
    assert features.DEFAULT.frames(samples) == max(0, (samples - 400) // 160 + 1)


@settings(deadline=None, max_examples=30)
@given(frames=st.integers(0, 400), hop=st.integers(1, 200))
def test_patches_tile_the_frames(frames, hop):
    mel = np.random.default_rng(0).uniform(size=(frames, 64)).astype("f4")
    cut = features.patches(mel, hop).numpy()
    assert cut.shape == (max(1, (frames - 96) // hop + 1), 96, 64)
    padded = np.pad(mel, [[0, max(0, 96 - frames)], [0, 0]])
    for number, patch in enumerate(cut):
        np.testing.assert_array_equal(patch, padded[number * hop : number * hop + 96])


def test_patches_in_a_graph_with_unknown_shapes():
    cut = tf.function(
        lambda mel, hop: features.patches(mel, hop),
        input_signature=[tf.TensorSpec([None, None, 64]), tf.TensorSpec([], tf.int32)],
    )
    assert cut(tf.zeros([2, 300, 64]), 96).shape == (2, 3, 96, 64)
    assert cut(tf.zeros([2, 5, 64]), 10).shape == (2, 1, 96, 64)


def test_hop_must_be_positive():
    with pytest.raises(ValueError, match="hop_frames"):
        features.patches(np.zeros((100, 64), "f4"), 0)


def test_log_mel_of_silence():
    np.testing.assert_allclose(features.log_mel(np.zeros((3, 64), "f4")), np.log(0.01), rtol=1e-6)


def test_derived_values():
    config = features.DEFAULT
    assert config.patch_seconds == pytest.approx(0.96)
    assert config.patch_samples == 15600
    assert config.frames(config.patch_samples) == 96
    assert config.frames(config.patch_samples - 1) == 95
