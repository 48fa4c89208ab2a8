"""Resampling inside the TensorFlow graph: a Kaiser-windowed sinc as one strided convolution.

By hand: `tfio.audio.resample` was measured 50 times slower, and resampy's best cannot run in a
graph.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import tensorflow as tf

# The filter, in units of the lower of the two rates [D]: stop-band from its Nyquist frequency on,
# passband to 0.94 of it, that is 7520 Hz at 16 kHz, where the highest mel band ends at 7500 Hz.
# Kaiser's formulas give beta and the length for the attenuation asked.
STOP_BAND_DB = 110.0
PASSBAND = 0.94
_KAISER_BETA = 0.1102 * (STOP_BAND_DB - 8.7)
HALF_WIDTH_SAMPLES = math.ceil((STOP_BAND_DB - 8.0) / (2.285 * math.pi * (1.0 - PASSBAND)) / 2)
# The filter is tabulated at so many points per sample; linear interpolation errs by 1e-7 (-140 dB).
_TABLE_DENSITY = 2048

# A convolution yields at least this many samples per step: matrix products of one column are slow.
_LEAST_PHASES = 128
# Rates with hardly a common divisor (16,001 Hz) would need filter banks of gigabytes. Above this
# many weights each sample's filter is interpolated between two of a bank (-125 dB), some samples at
# a time: 10 times real time, and seldom met.
_MOST_WEIGHTS = 1 << 20
_BLOCK_SAMPLES = 1024
_BANK_PHASES = 1024


@tf.autograph.experimental.do_not_convert
def resample(
    waveform: tf.Tensor, rate_in: tf.Tensor | int, rate_out: tf.Tensor | int = 16_000
) -> tf.Tensor:
    """Resamples by a Kaiser-windowed sinc: -110 dB from the lower Nyquist on, flat to 0.94 of it.

    With L/M = rate_out/rate_in in lowest terms, output j is sum_n x[n] h(j M/L - n). Its filter
    depends on j mod L only, so one convolution of stride M with L output channels does it all.
    Silence is taken to lie before and after.

    Args:
        waveform: float32[samples] or float32[samples, channels].
        rate_in: Hz, Python int or int tensor.
        rate_out: Hz, likewise.

    Returns:
        float32[n] or float32[n, channels], n = round(samples * rate_out / rate_in), at least 1.
    """
    waveform = tf.convert_to_tensor(waveform, tf.float32)
    if waveform.shape.rank == 1:
        return resample(waveform[:, tf.newaxis], rate_in, rate_out)[:, 0]
    rate_in, rate_out = tf.cast(rate_in, tf.int64), tf.cast(rate_out, tf.int64)
    result = tf.cond(
        rate_in == rate_out,
        lambda: waveform,
        lambda: tf.transpose(_resample_rows(tf.transpose(waveform), rate_in, rate_out)),
    )
    result.set_shape([None, waveform.shape[1]])
    return result


def _resample_rows(rows: tf.Tensor, rate_in: tf.Tensor, rate_out: tf.Tensor) -> tf.Tensor:
    """float32[channels, samples] -> float32[channels, n]."""
    samples = tf.shape(rows, tf.int64)[1]
    n_out = _rounded_quotient(samples * rate_out, rate_in)
    n_out = tf.maximum(n_out, tf.cast(samples > 0, tf.int64))
    divisor = _gcd(rate_in, rate_out)
    step_in, step_out = rate_in // divisor, rate_out // divisor  # M, L
    # Input samples per sample of the lower rate; half the filter, in input samples.
    stretch = tf.maximum(tf.cast(rate_in, tf.float64) / tf.cast(rate_out, tf.float64), 1.0)
    reach = tf.cast(tf.math.ceil(HALF_WIDTH_SAMPLES * stretch), tf.int64)
    grow = -(-_LEAST_PHASES // step_out)
    width = grow * step_in + 2 * reach  # input samples that one step of the convolution sees
    return tf.cond(
        width * grow * step_out <= _MOST_WEIGHTS,
        lambda: _convolve(rows, n_out, grow * step_in, grow * step_out, reach, stretch),
        lambda: _interpolate(rows, n_out, step_in, step_out, reach, stretch),
    )


def _convolve(rows, n_out, step_in, step_out, reach, stretch):
    """[channels, samples] -> [channels, n_out], `step_out` samples at a time."""
    # tf.nn.conv1d wants a static stride: so blocks of `step_in` samples become its channels, and
    # the filter spans as many blocks as it needs.
    n_blocks = 1 - (-2 * reach // step_in)
    tap = tf.range(n_blocks * step_in) - reach
    phase = tf.range(step_out) * step_in  # in 1/step_out of an input sample, hence exact
    distance = tf.abs(phase[tf.newaxis, :] - tap[:, tf.newaxis] * step_out)
    # All distances are on one grid, on which each occurs many times: evaluate once, look up.
    last = (reach + 1) * step_out  # beyond the half width, hence zero
    grid = tf.cast(tf.range(last + 1), tf.float64) / (tf.cast(step_out, tf.float64) * stretch)
    weights = tf.gather(_response(grid, stretch), tf.minimum(distance, last))
    weights = tf.reshape(weights, [n_blocks, step_in, step_out])

    channels, samples = tf.unstack(tf.shape(rows, tf.int64))
    n_steps = -(-n_out // step_out)
    padding = (n_steps + n_blocks - 1) * step_in - reach - samples
    rows = tf.pad(rows, [[0, 0], [reach, tf.maximum(padding, 0)]])
    rows = rows[:, : (n_steps + n_blocks - 1) * step_in]
    blocks = tf.reshape(rows, [channels, -1, step_in])
    steps = tf.nn.conv1d(blocks, weights, stride=1, padding="VALID")
    return tf.reshape(steps, [channels, -1])[:, :n_out]


def _interpolate(rows, n_out, step_in, step_out, reach, stretch):
    """[channels, samples] -> [channels, n_out], each by two neighbours of a bank of filters."""
    tap = tf.range(2 * reach + 2) - reach  # relative to the input sample before the position
    phase = tf.range(_BANK_PHASES + 1, dtype=tf.float64) / _BANK_PHASES
    bank = _response(tf.abs(phase[:, tf.newaxis] - tf.cast(tap, tf.float64)) / stretch, stretch)
    slopes = bank[1:] - bank[:-1]
    after = reach + 2 + tf.cast(stretch, tf.int64)
    rows = tf.pad(rows, [[0, 0], [reach, after]])
    offsets = tf.range(_BLOCK_SAMPLES, dtype=tf.int64)

    def some_samples(start):
        position = tf.minimum(start + offsets, n_out - 1) * step_in  # in 1/step_out of a sample
        in_bank = tf.cast(position % step_out * _BANK_PHASES, tf.float64)
        in_bank = in_bank / tf.cast(step_out, tf.float64)
        phase = tf.cast(in_bank, tf.int32)
        rest = tf.cast(in_bank - tf.cast(phase, tf.float64), tf.float32)[:, tf.newaxis]
        weights = tf.gather(bank, phase) + rest * tf.gather(slopes, phase)  # [block, taps]
        index = (position // step_out)[:, tf.newaxis] + tap + reach
        return tf.reduce_sum(tf.gather(rows, index, axis=1) * weights, axis=2)

    starts = tf.range(0, n_out, _BLOCK_SAMPLES)
    blocks = tf.map_fn(some_samples, starts, fn_output_signature=tf.float32)
    return tf.reshape(tf.transpose(blocks, [1, 0, 2]), [tf.shape(rows)[0], -1])[:, :n_out]


def _response(time: tf.Tensor, stretch: tf.Tensor) -> tf.Tensor:
    """Impulse response, float32, at `time` (float64, >= 0, in samples of the lower rate)."""
    table = tf.constant(_response_table())
    position = tf.minimum(time * _TABLE_DENSITY, len(_response_table()) - 2.0)
    below = tf.cast(position, tf.int32)
    rest = tf.cast(position - tf.cast(below, tf.float64), tf.float32)
    low, high = tf.gather(table, below), tf.gather(table, below + 1)
    return (low + rest * (high - low)) / tf.cast(stretch, tf.float32)


@functools.cache
def _response_table() -> np.ndarray:
    """The impulse response from its middle to past its end, where it is 0; float32, read-only."""
    time = np.arange((HALF_WIDTH_SAMPLES + 1) * _TABLE_DENSITY) / _TABLE_DENSITY
    cutoff = (1.0 + PASSBAND) / 2.0  # middle of the transition, in Nyquist frequencies
    inside = 1.0 - (time / HALF_WIDTH_SAMPLES) ** 2
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(inside, 0.0))) / np.i0(_KAISER_BETA)
    table = np.where(inside >= 0.0, cutoff * np.sinc(cutoff * time) * window, 0.0)
    table = table.astype(np.float32)
    table.setflags(write=False)
    return table


def _gcd(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(
        lambda a, b: b > 0, lambda a, b: (b, a % b), [first, second], parallel_iterations=1
    )[0]


def _rounded_quotient(numerator: tf.Tensor, denominator: tf.Tensor) -> tf.Tensor:
    """Python's round(numerator / denominator) for int64: halves go to the even number."""
    quotient, rest = numerator // denominator, numerator % denominator
    above = 2 * rest > denominator
    tie_to_even = (2 * rest == denominator) & (quotient % 2 == 1)
    return quotient + tf.cast(above | tie_to_even, tf.int64)
