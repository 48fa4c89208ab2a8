"""The paper's constraints: from patches of mel energies to positives (paper.md, The constraints).

`gaussian_noise`, `translate` and `mix` are the constraints that make a positive out of the anchor;
temporal proximity and explicit labels pick one from elsewhere (`audio_triplet.data.batching`).
`make_triplets` shares a batch out among the constraints. Everything is a batched TensorFlow op on
*linear* mel energies with stateless seeds, so that it runs inside tf.data or on a device alike.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from audio_triplet.config import COMBINED, CONSTRAINTS, EXPLICIT, TripletConfig

KINDS = (*CONSTRAINTS, EXPLICIT, COMBINED)
"""What `TripletConfig.pattern` counts."""

_WITH_NEIGHBOUR = ("proximity", EXPLICIT, COMBINED)


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
    noise = half_normal(tf.size(mel_energies), seed)
    return mel_energies * (1.0 + sigma * tf.reshape(noise, tf.shape(mel_energies)))


def half_normal(count, seed) -> tf.Tensor:
    """|ε| with ε ~ N(0, 1): float32[count].

    By Box and Muller: a radius and an angle give two independent normal numbers. Only their
    absolute values being asked for, a quarter of the circle is enough, and vectorised logarithm,
    sine and cosine take half the time of `stateless_normal`.
    """
    draws = tf.random.stateless_uniform([2, (count + 1) // 2], seed)
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - draws[0]))  # 1 - u is never 0
    angle = (np.pi / 2) * draws[1]
    return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=0)[:count]


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
    # Of means and not sums, and of an `other` with maximum 1: nothing overflows on the way.
    peak = tf.reduce_max(other, [1, 2], keepdims=True)  # [batch, 1, 1]
    unit = tf.math.divide_no_nan(other, peak)
    scale = alpha * tf.math.divide_no_nan(
        tf.reduce_mean(anchor, [1, 2], keepdims=True), tf.reduce_mean(unit, [1, 2], keepdims=True)
    )
    return anchor + scale * unit


def mean_energy(mel_energies) -> tf.Tensor:
    """Mean energy per cell of each patch: float32[batch] from float32[batch, frames, mels]."""
    return tf.reduce_mean(tf.cast(mel_energies, tf.float32), [-2, -1])


def mixing_partners(recording, drawn, seed, places=None) -> tuple[tf.Tensor, tf.Tensor]:
    """Picks for anchors of a batch another one of it, of another recording.

    Args:
      recording: int64[batch], key of each anchor's recording.
      drawn: bool[batch], false where there is no anchor (silence, a broken file).
      seed: Two integers, a stateless seed.
      places: int32[n], the anchors that need a partner; all if None.

    Returns:
      int32[n] places in the batch, and bool[n], false where no partner exists.
    """
    mine, there = recording, drawn
    if places is not None:
        mine, there = tf.gather(recording, places), tf.gather(drawn, places)
    allowed = (mine[:, None] != recording[None, :]) & drawn[None, :]  # [n, batch]
    scores = tf.random.stateless_uniform(tf.shape(allowed), seed)
    scores = tf.where(allowed, scores, -1.0)
    partner = tf.argmax(scores, axis=1, output_type=tf.int32)
    return partner, tf.reduce_any(allowed, axis=1) & there


def assign(has_neighbour, config: TripletConfig) -> tuple[tf.Tensor, np.ndarray]:
    """Shares the anchors of a batch out among the constraints.

    Anchors that have a neighbour go to the places of proximity first: a batch with some short
    recordings in it still gives every constraint its share.

    Args:
      has_neighbour: bool[batch]. The batch size must be static.
      config: Constraints.

    Returns:
      int32[batch], which anchor comes to each place of `TripletConfig.pattern`; and
      int32[near], the places whose constraint takes a neighbour as the positive.
    """
    pattern = config.pattern(has_neighbour.shape[0])
    order = tf.argsort(tf.cast(~has_neighbour, tf.int32), stable=True)
    proximity = pattern == KINDS.index("proximity")
    first_near = np.concatenate([np.flatnonzero(proximity), np.flatnonzero(~proximity)])
    near = np.flatnonzero(np.isin(pattern, [KINDS.index(n) for n in _WITH_NEIGHBOUR]))
    return tf.gather(order, np.argsort(first_near)), near.astype(np.int32)


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
      What `make_positives` returns.
    """
    order, near = assign(draws["has_neighbour"], config)
    draws = {name: tf.gather(value, order) for name, value in draws.items()}
    neighbour = tf.gather(draws.pop("neighbour"), near)
    return make_positives(draws, neighbour, seed, config)


def make_positives(draws: Mapping[str, tf.Tensor], neighbour, seed, config: TripletConfig) -> dict:
    """Makes the positives of anchors that stand in their places.

    Args:
      draws: As of `make_triplets`, without `neighbour`, in the order that `assign` gives.
      neighbour: float32[near, frames, mels], neighbours of the places that `assign` names.
      seed: Two integers, a stateless seed of this batch.
      config: Constraints and their parameters.

    Returns:
      `draws` without `has_neighbour`, plus
        `positive` float32[batch, frames, mels],
        `constraint` int32[batch] (places in `KINDS`),
        `negative` int32[batch]: place in the batch of the anchor that is this triplet's negative
          (mixing), or -1 where one is to be mined,
        `valid` bool[batch]: false where no triplet could be made.
    """
    draws = dict(draws)
    has_neighbour, anchor, drawn = draws.pop("has_neighbour"), draws["anchor"], draws["drawn"]
    batch_size = anchor.shape[0]
    pattern = config.pattern(batch_size)
    noise_seed, shift_seed, mix_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))

    where, positives, negatives, valids = [], [], [], []
    for constraint, name in enumerate(KINDS):
        at = np.flatnonzero(pattern == constraint).astype(np.int32)
        if not len(at):
            continue
        negative, valid = tf.fill([len(at)], -1), tf.gather(drawn, at)
        if name == "gaussian_noise":
            positive = gaussian_noise(tf.gather(anchor, at), noise_seed, config.noise_sigma)
        elif name == "translation":
            positive = translate(tf.gather(anchor, at), shift_seed, config.max_mel_shift)
        elif name == "mixing":
            negative, valid = mixing_partners(draws["recording"], drawn, mix_seed, at)
            other = tf.gather(anchor, negative)
            positive = mix(tf.gather(anchor, at), other, config.mixing_alpha)
        elif name == COMBINED:  # a patch without a neighbour is its own, to be varied twice
            positive = tf.where(has_neighbour[:, None, None], neighbour, anchor)
        else:
            positive, valid = neighbour, valid & tf.gather(has_neighbour, at)
        for parts, part in (
            (where, at),
            (positives, positive),
            (negatives, negative),
            (valids, valid),
        ):
            parts.append(part)

    return draws | {
        "positive": tf.ensure_shape(tf.dynamic_stitch(where, positives), anchor.shape),
        "constraint": tf.constant(pattern),
        "negative": tf.ensure_shape(tf.dynamic_stitch(where, negatives), [batch_size]),
        "valid": tf.ensure_shape(tf.dynamic_stitch(where, valids), [batch_size]),
    }
