"""In-graph resampling against its formula in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.audio import graph_resampling
from tests.audio.test_graph_decoding import smooth_noise

resample = tf.function(
    graph_resampling.resample,
    input_signature=[
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int32),
    ],
)


def resample_by_formula(x, rate_in, rate_out):
    """Each output sample by itself, from the definition of the filter, in float64."""
    beta = 0.1102 * (graph_resampling.STOP_BAND_DB - 8.7)
    half = graph_resampling.HALF_WIDTH_SAMPLES * max(1.0, rate_in / rate_out)  # input samples
    cutoff = (1 + graph_resampling.PASSBAND) / 2 * min(1.0, rate_out / rate_in)
    n = np.arange(len(x))
    y = np.zeros(max(1, round(len(x) * rate_out / rate_in)))
    for j in range(len(y)):
        t = j * rate_in / rate_out - n
        near = np.abs(t) <= half
        window = np.i0(beta * np.sqrt(1 - (t[near] / half) ** 2)) / np.i0(beta)
        y[j] = np.sum(x[near] * cutoff * np.sinc(cutoff * t[near]) * window)
    return y


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    rate_in=st.sampled_from([4000, 8000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
    | st.integers(4000, 60_000),
    rate_out=st.sampled_from([16_000, 22_050]),
    frames=st.integers(1, 1200),
)
def test_resampling_is_its_formula(rate_in, rate_out, frames):
    x = np.random.default_rng(frames).uniform(-1, 1, frames).astype(np.float32)
    y = resample(x, rate_in, rate_out).numpy()
    expected = x if rate_in == rate_out else resample_by_formula(x, rate_in, rate_out)
    assert y.dtype == np.float32 and y.shape == expected.shape
    np.testing.assert_allclose(y, expected, atol=2e-6)


@pytest.mark.parametrize("rate", [11_025, 44_099, 44_100, 48_000, 96_000])
def test_a_tone_in_the_pass_band_is_kept_and_one_in_the_stop_band_is_gone(rate):
    time_in, time_out = np.arange(2 * rate) / rate, np.arange(32_000) / 16_000
    inside = slice(2000, -2000)
    nyquist = min(rate, 16_000) / 2
    for frequency in (0.01 * nyquist, 0.5 * nyquist, 0.94 * nyquist):
        x = np.sin(2 * np.pi * frequency * time_in).astype(np.float32)
        expected = np.sin(2 * np.pi * frequency * time_out)
        error = np.abs(resample(x, rate, 16_000).numpy() - expected)[inside].max()
        assert error < 1e-5  # -100 dB
    if rate > 16_000:
        for frequency in (8000, 0.5 * (8000 + rate / 2), 0.499 * rate):
            x = np.sin(2 * np.pi * frequency * time_in + 0.3).astype(np.float32)
            assert np.abs(resample(x, rate, 16_000).numpy())[inside].max() < 1e-5


def test_channels_are_resampled_each_for_itself():
    x = smooth_noise(3000, 3).astype(np.float32)
    together = graph_resampling.resample(x, 44_100, 16_000).numpy()
    assert together.shape == (1088, 3)
    for channel in range(3):
        alone = graph_resampling.resample(x[:, channel], 44_100, 16_000)
        np.testing.assert_allclose(together[:, channel], alone, atol=1e-6)


def test_python_rates_and_equal_rates():
    x = smooth_noise(500)[:, 0].astype(np.float32)
    np.testing.assert_array_equal(graph_resampling.resample(x, 16_000), x)
    np.testing.assert_allclose(
        graph_resampling.resample(x, 48_000), resample(x, 48_000, 16_000), atol=1e-7
    )
