"""The paper's constraints: from patches of mel energies to positives (paper.md, The constraints).

`gaussian_noise`, `translate` and `mix` are the constraints that make a positive out of the anchor;
temporal proximity and explicit labels pick one from elsewhere (`audio_triplet.pipeline`).
`make_triplets` shares a batch out among the constraints. Everything is a batched TensorFlow op on
*linear* mel energies with stateless seeds, so that it runs inside tf.data or on a device alike.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from audio_triplet.config import COMBINED, CONSTRAINTS, EXPLICIT, TripletConfig


def gaussian_noise(mel_energies, seed, sigma: float = 0.5) -> tf.Tensor:
    """Multiplicative noise: x · (1 + |ε|), ε ~ N(0, σ²) drawn for every cell.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.
      sigma: Standard deviation σ.

    Returns:
      The same shape; no cell is lower than before.
    """
    mel_energies = tf.convert_to_tensor(mel_energies, tf.float32)
    noise = tf.random.stateless_normal(tf.shape(mel_energies), seed, stddev=sigma)
    return mel_energies * (1.0 + tf.abs(noise))


def translate(mel_energies, seed, max_mel_shift: int = 10) -> tf.Tensor:
    """Circular shift in time, then a shift in frequency that leaves silence behind.

    Args:
      mel_energies: float32[batch, frames, mels], linear.
      seed: Two integers, a stateless seed.
      max_mel_shift: S; the shift in frequency is uniform over -S … S bands.

    Returns:
      The same shape. Each example has shifts of its own; vacated bands are zero.
    """
    mel_energies = tf.convert_to_tensor(mel_energies, tf.float32)
    batch, frames, mels = tf.unstack(tf.shape(mel_energies))
    time_seed, mel_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    shift = tf.random.stateless_uniform([batch, 1], time_seed, 0, frames, tf.int32)
    source = (tf.range(frames)[None, :] - shift) % frames  # [batch, frames]
    shifted = tf.gather(mel_energies, source, batch_dims=1)  # [batch, frames, mels]

    mel_shift = tf.random.stateless_uniform(
        [batch, 1], mel_seed, -max_mel_shift, max_mel_shift + 1, tf.int32
    )
    source = tf.range(mels)[None, :] - mel_shift  # [batch, mels]
    inside = (source >= 0) & (source < mels)
    # Bands are gathered as rows of the transposed patch: whole rows copy fast.
    bands = tf.transpose(shifted, [0, 2, 1])  # [batch, mels, frames]
    bands = tf.gather(bands, tf.clip_by_value(source, 0, mels - 1), batch_dims=1)
    bands = tf.where(inside[:, :, None], bands, 0.0)
    result = tf.transpose(bands, [0, 2, 1])  # [batch, frames, mels]
    result.set_shape(mel_energies.shape)
    return result


def mix(mel_energies, other, alpha: float = 0.25) -> tf.Tensor:
    """Example mixing: a + α · (E(a) / E(n)) · n, E the total energy of a patch.

    Args:
      mel_energies: float32[batch, frames, mels], the anchors a, linear.
      other: The same shape, the examples n to mix in; they are the triplets' negatives too.
      alpha: Energy of the mixed-in part relative to the anchor's.

    Returns:
      The same shape. An `other` without energy leaves its anchor as it is.
    """
    anchor = tf.convert_to_tensor(mel_energies, tf.float32)
    other = tf.convert_to_tensor(other, tf.float32)
    # The scale is found on energies divided by their maximum: neither sum nor quotient overflows.
    anchor_peak = tf.reduce_max(anchor, [1, 2], keepdims=True)  # [batch, 1, 1]
    other_peak = tf.reduce_max(other, [1, 2], keepdims=True)
    anchor_unit = tf.math.divide_no_nan(anchor, anchor_peak)
    other_unit = tf.math.divide_no_nan(other, other_peak)
    scale = alpha * tf.math.divide_no_nan(
        tf.reduce_sum(anchor_unit, [1, 2], keepdims=True),
        tf.reduce_sum(other_unit, [1, 2], keepdims=True),
    )
    return anchor + scale * anchor_peak * other_unit


def mean_energy(mel_energies) -> tf.Tensor:
    """Mean energy per cell of each patch: float32[batch] from float32[batch, frames, mels]."""
    return tf.reduce_mean(tf.cast(mel_energies, tf.float32), [-2, -1])


def mixing_partners(recording, drawn, seed) -> tuple[tf.Tensor, tf.Tensor]:
    """Picks for each anchor another one of the batch, of another recording.

    Args:
      recording: int64[batch], key of each anchor's recording.
      drawn: bool[batch], false where there is no anchor (silence, a broken file).
      seed: Two integers, a stateless seed.

    Returns:
      int32[batch] places in the batch, and bool[batch], false where no partner exists.
    """
    allowed = (recording[:, None] != recording[None, :]) & drawn[None, :]  # [batch, batch]
    scores = tf.random.stateless_uniform(tf.shape(allowed), seed)
    scores = tf.where(allowed, scores, -1.0)
    partner = tf.argmax(scores, axis=1, output_type=tf.int32)
    return partner, tf.reduce_any(allowed, axis=1) & drawn


def make_triplets(draws: Mapping[str, tf.Tensor], seed, config: TripletConfig) -> dict:
    """Shares the anchors of a batch out among the constraints and makes their positives.

    Args:
      draws: A batch with
        `anchor` float32[batch, frames, mels] linear energies,
        `neighbour` of the same shape: a patch of the same recording close in time, or, for
          explicit labels, a patch with the same label,
        `has_neighbour` bool[batch], `drawn` bool[batch] (false: there is no audible anchor),
        `recording` int64[batch], and anything else to be passed on, batch first.
        The batch size must be static.
      seed: Two integers, a stateless seed of this batch.
      config: Constraints and their parameters.

    Returns:
      `draws` without the neighbours, in the order of the constraints' places, plus
        `positive` float32[batch, frames, mels],
        `constraint` int32[batch] (places in (*CONSTRAINTS, EXPLICIT, COMBINED)),
        `negative` int32[batch]: place in the batch of the anchor that is this triplet's negative
          (mixing), or -1 where one is to be mined,
        `valid` bool[batch]: false where no triplet could be made.
    """
    batch_size = draws["anchor"].shape[0]
    pattern = config.pattern(batch_size)
    kinds = (*CONSTRAINTS, EXPLICIT, COMBINED)
    places = {kind: np.flatnonzero(pattern == kind).astype(np.int32) for kind in range(len(kinds))}
    near = CONSTRAINTS.index("proximity")
    noise_seed, shift_seed, mix_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))

    # Anchors that have a neighbour go to the places of proximity first: a batch with some short
    # recordings in it still gives every constraint its share.
    order = tf.argsort(tf.cast(~draws["has_neighbour"], tf.int32), stable=True)
    first_near = np.concatenate([places[near], np.flatnonzero(pattern != near)])
    order = tf.gather(order, np.argsort(first_near))
    draws = {name: tf.gather(value, order) for name, value in draws.items()}
    neighbour, has_neighbour = draws.pop("neighbour"), draws.pop("has_neighbour")
    anchor, drawn = draws["anchor"], draws["drawn"]

    positives, negatives, valids = {}, {}, {}
    for constraint, name in enumerate(kinds):
        at = places[constraint]
        if not len(at):
            continue
        own = tf.gather(anchor, at)
        negatives[constraint] = tf.fill([len(at)], -1)
        valids[constraint] = tf.gather(drawn, at)
        if name == "gaussian_noise":
            positives[constraint] = gaussian_noise(own, noise_seed, config.noise_sigma)
        elif name == "translation":
            positives[constraint] = translate(own, shift_seed, config.max_mel_shift)
        elif name == "mixing":
            partner, found = mixing_partners(draws["recording"], drawn, mix_seed)
            partner, found = tf.gather(partner, at), tf.gather(found, at)
            positives[constraint] = mix(own, tf.gather(anchor, partner), config.mixing_alpha)
            negatives[constraint], valids[constraint] = partner, found
        elif name == COMBINED:  # a patch without a neighbour is its own, to be varied twice
            positives[constraint] = tf.where(has_neighbour[:, None, None], neighbour, anchor)
        else:
            positives[constraint] = tf.gather(neighbour, at)
            valids[constraint] &= tf.gather(has_neighbour, at)

    used = sorted(positives)
    where = [places[constraint] for constraint in used]

    def stitch(parts):
        return tf.dynamic_stitch(where, [parts[constraint] for constraint in used])

    positive = tf.ensure_shape(stitch(positives), anchor.shape)
    return draws | {
        "positive": positive,
        "constraint": tf.constant(pattern),
        "negative": tf.ensure_shape(stitch(negatives), [batch_size]),
        "valid": tf.ensure_shape(stitch(valids), [batch_size]),
    }
