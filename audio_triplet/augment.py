"""Augmented patches: the paper's constraints all at once, and a few more of their kind [D].

In `joint` each triplet shows one constraint. Here both patches of a pair are mixed with another
sound, noised, equalised, amplified, and shifted and stretched in time and frequency, each by a
random amount of its own. None of this changes the kind of sound, so the two patches still belong
together, and only their kind distinguishes them from the others. Where a recipe says so, a share of
the patches is also heard in a room, over a background of noise, or through a narrow band. Batched
ops on linear mel energies with stateless seeds, like `audio_triplet.triplets`.
"""

import numpy as np
import tensorflow as tf

from audio_triplet import draws, features, front_end, triplets
from audio_triplet.config import FRONT_END, TripletConfig

# Points of the equaliser's curve.
_POINTS = 6

# Ranges of what is drawn, each uniform.
_REVERBERATION_SECONDS = (0.1, 1.2)  # until 60 dB are gone; uniform in the logarithm
_DIRECT_DECIBELS = (-3.0, 12.0)  # that a sound is above what a room adds to it
_TILT = (-0.25, 1.0)  # of noise: amplitude falls with frequency to this power; 0.5 is pink
_NOISE_DECIBELS = (3.0, 40.0)  # that a sound is above the noise
_LOW_BANDS = (0.0, 12.0)  # mel bands below this one are cut (12: some 550 Hz)
_HIGH_BANDS = (36.0, 64.0)  # and above this one (36: some 2.4 kHz)
_DECIBELS_A_BAND = (1.0, 8.0)  # slope of a cut
_CUT_DECIBELS = 60.0  # most of it


def augment_pairs(batch: dict, seed, config: TripletConfig) -> dict:
    """Augments both patches of every pair, with sounds of other recordings of the batch mixed in.

    Args:
      batch: What `triplets.make_positives` returns.
      seed: Two integers, the stateless seed of the batch.
      config: Amounts.

    Returns:
      The batch with other `anchor` and `positive`.
    """
    augmented = {}
    for number, name in enumerate(("anchor", "positive"), start=1):
        # Folded in, because `make_positives` has used the seed itself.
        pick, amount = draws.split(draws.fold_in(seed, number), 2)
        partner, found = triplets.mixing_partners(batch["recording"], batch["drawn"], pick)
        other = tf.where(found[:, None, None], tf.gather(batch[name], partner), 0.0)
        augmented[name] = augment(batch[name], other, amount, config)
    return batch | augmented


def augment(mel_energies, other, seed, config: TripletConfig) -> tf.Tensor:
    """Augments each patch of a batch by the amounts `config.augment_…`.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      other: The same shape, a patch of another recording to mix into each; zeros mix in nothing.
      seed: Two integers, a stateless seed.
      config: Amounts.

    Returns:
      The same shape, linear energies.
    """
    seeds = draws.split(seed, 5)
    batch = tf.shape(mel_energies)[0]
    drawn = _as_written(draws.uniform([2, batch, 1, 1], seeds[0]))
    alpha, sigma = (
        _as_written(most * drawn[number])
        for number, most in enumerate((config.augment_alpha, config.augment_sigma))
    )
    augmented = _as_written(triplets.mix(mel_energies, other, alpha))
    # Folded in, so that a recipe without these keeps its draws.
    rooms, noises, bands = (draws.fold_in(seed, number) for number in (5, 6, 7))
    augmented = _share(reverberate, augmented, rooms, config.augment_room)
    augmented = _share(add_noise, augmented, noises, config.augment_background)
    augmented = _as_written(triplets.gaussian_noise(augmented, seeds[1], sigma))
    augmented = _as_written(equalise(augmented, seeds[2], config.augment_equaliser))
    augmented = _share(limit_band, augmented, bands, config.augment_band)
    augmented = _as_written(amplify(augmented, seeds[3], config.augment_gain))
    return zoom(augmented, seeds[4], config.augment_zoom)


def _as_written(value: tf.Tensor) -> tf.Tensor:
    """The same value, over which TensorFlow does not regroup products.

    It does so in a training step and not in tf.data; with this both give the same bits.
    """
    return tf.raw_ops.Snapshot(input=value)


def _share(change, mel_energies, seed, share: float) -> tf.Tensor:
    """Changes some of the patches: each with a probability of `share`."""
    if not share:
        return mel_energies
    pick, amount = draws.split(seed, 2)
    picked = draws.uniform([tf.shape(mel_energies)[0], 1, 1], pick) < share
    return _as_written(tf.where(picked, change(mel_energies, amount), mel_energies))


def reverberate(mel_energies, seed) -> tf.Tensor:
    """Adds a room's reverberation: squared energies that decay exponentially over the frames.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.

    Returns:
      The same shape; a steady sound keeps its energy.
    """
    batch, frames, _ = tf.unstack(tf.shape(mel_energies))
    time, level = tf.unstack(draws.uniform([2, batch, 1, 1], seed))
    shortest, longest = np.log(_REVERBERATION_SECONDS)
    seconds = tf.exp(shortest + (longest - shortest) * time)
    decay = np.log(1e6) * FRONT_END.hop_seconds / seconds  # nepers of power a frame
    added = _ratio_of_power(-_between(_DIRECT_DECIBELS, level))  # [batch, 1, 1]
    at = tf.range(tf.cast(frames, tf.float32))
    since = (at[:, None] - at[None, :])[None]  # [1, frames, frames]
    tail = tf.where(since > 0, tf.exp(-decay * tf.maximum(since, 0.0)), 0.0)
    tail *= added * (tf.exp(decay) - 1.0)  # all of it together is `added`
    power = tf.square(mel_energies)
    return tf.sqrt((power + tf.linalg.matmul(tail, power)) / (1.0 + added))


def add_noise(mel_energies, seed) -> tf.Tensor:
    """Adds steady noise of a random colour, some decibels below each patch's own power.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.

    Returns:
      The same shape. Powers add up, as those of sounds that have nothing to do with each other.
    """
    shape = tf.shape(mel_energies)
    drawn, colour = draws.split(seed, 2)
    tilt, level = tf.unstack(draws.uniform([2, shape[0], 1], colour))
    weights = front_end.mel_weights()[1:]  # [bins, mels]
    bins = np.arange(1, len(weights) + 1) / len(weights)
    curve = tf.exp(-_between(_TILT, tilt) * np.log(bins).astype(np.float32))  # [batch, bins]
    curve = tf.linalg.matmul(curve, weights.astype(np.float32))  # [batch, mels]
    # A bin's magnitude spreads about its mean by 0.52 of it (Rayleigh); a band of many bins, of
    # which two neighbours are as one, by less.
    spread = 0.52 * np.minimum(1.0, np.sqrt(2 * np.square(weights).sum(0)) / weights.sum(0))
    noise = curve[:, None, :] * tf.abs(1.0 + spread.astype(np.float32) * draws.normal(shape, drawn))
    power = tf.square(mel_energies)
    wanted = (
        tf.reduce_mean(power, [1, 2]) * _ratio_of_power(-_between(_NOISE_DECIBELS, level))[:, 0]
    )
    gain = wanted / tf.reduce_mean(tf.square(noise), [1, 2])  # [batch]
    return tf.sqrt(power + gain[:, None, None] * tf.square(noise))


def limit_band(mel_energies, seed) -> tf.Tensor:
    """Cuts the lowest and the highest bands, as a telephone, a small speaker or a codec does.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.

    Returns:
      The same shape.
    """
    batch, _, mels = tf.unstack(tf.shape(mel_energies))
    low, high, first, second = tf.unstack(draws.uniform([4, batch, 1], seed))
    band = tf.range(tf.cast(mels, tf.float32))[None, :]
    below = tf.maximum(0.0, _between(_LOW_BANDS, low) - band) * _between(_DECIBELS_A_BAND, first)
    above = tf.maximum(0.0, band - _between(_HIGH_BANDS, high)) * _between(_DECIBELS_A_BAND, second)
    gains = tf.sqrt(_ratio_of_power(-tf.minimum(_CUT_DECIBELS, below + above)))  # [batch, mels]
    return mel_energies * gains[:, None, :]


def _between(ends: tuple[float, float], drawn) -> tf.Tensor:
    """Numbers that are uniform in [0, 1) as numbers between two ends."""
    return ends[0] + (ends[1] - ends[0]) * drawn


def _ratio_of_power(decibels) -> tf.Tensor:
    return tf.exp(float(np.log(10) / 10) * decibels)


def equalise(mel_energies, seed, sigma: float) -> tf.Tensor:
    """Multiplies the bands by a smooth curve of gains, as another microphone or room would.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.
      sigma: Standard deviation of the logarithm of the gain at each of six points, evenly spaced
        from the lowest to the highest band; linear between them.

    Returns:
      The same shape.
    """
    mels = mel_energies.shape[-1]
    between = np.linspace(0, _POINTS - 1, mels)
    hats = np.maximum(0.0, 1.0 - np.abs(between[None, :] - np.arange(_POINTS)[:, None]))
    points = draws.normal([tf.shape(mel_energies)[0], _POINTS], seed, sigma)
    gains = tf.exp(tf.linalg.matmul(points, tf.constant(hats, tf.float32)))  # [batch, mels]
    return mel_energies * gains[:, None, :]


def amplify(mel_energies, seed, sigma: float) -> tf.Tensor:
    """Multiplies each patch by a gain, its logarithm normal with deviation `sigma`."""
    gain = tf.exp(draws.normal([tf.shape(mel_energies)[0], 1, 1], seed, sigma))
    return mel_energies * gain


def zoom(mel_energies, seed, most: float) -> tf.Tensor:
    """Looks at each patch through a window of random position and size, in time and in frequency.

    A window smaller than the patch enlarges a part of it; a larger one reduces it, with silence
    around. Interpolation is linear, on the log mel.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.
      most: Largest enlargement, as a natural logarithm; the largest reduction is half of it. The
        logarithm of the size is uniform, separately in time and frequency.

    Returns:
      The same shape, linear, non-negative.
    """
    mel_energies = tf.convert_to_tensor(mel_energies, tf.float32)
    if not most:
        return mel_energies
    batch, frames, mels = tf.unstack(tf.shape(mel_energies))
    drawn = draws.uniform([batch, 4], seed)
    size = tf.exp(most * (1.5 * drawn[:, :2] - 1.0))  # [batch, 2], exp(-most) … exp(most / 2)
    begin = (1.0 - size) * drawn[:, 2:]
    silence = float(np.log(features.DEFAULT.log_offset))
    loudness = features.log_mel(mel_energies) - silence  # zero is silence
    # Linear interpolation as a product for each axis: no gather, fast on every device.
    in_time = _interpolation(begin[:, 0], size[:, 0], frames)  # [batch, frames, frames]
    in_frequency = _interpolation(begin[:, 1], size[:, 1], mels)  # [batch, mels, mels]
    seen = tf.linalg.matmul(tf.linalg.matmul(in_time, loudness), in_frequency, transpose_b=True)
    energies = features.DEFAULT.log_offset * (tf.exp(seen) - 1.0)
    return tf.ensure_shape(tf.maximum(0.0, energies), mel_energies.shape)


def _interpolation(begin, size, points) -> tf.Tensor:
    """Weights of `points` positions, evenly spread over windows, between `points` given values.

    Args:
      begin: float32[batch], where the window begins, in parts of the whole.
      size: float32[batch], its size, likewise.
      points: Number of values.

    Returns:
      float32[batch, points, points]; a row is zero where the position is outside of the values.
    """
    values = tf.range(tf.cast(points, tf.float32))
    at = begin[:, None] * values[-1] + size[:, None] * values[None, :]  # [batch, points]
    weights = tf.maximum(0.0, 1.0 - tf.abs(at[:, :, None] - values[None, None, :]))
    inside = (at >= 0.0) & (at <= values[-1])
    return tf.where(inside[:, :, None], weights, 0.0)
