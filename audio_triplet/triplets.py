"""From a batch of anchors to a batch of triplets (docs/method.md, the constraints).

`pattern` says which constraint each position of a batch has, `assign` which anchor goes there, and
`make_positives` lets each constraint of `audio_triplet.constraints` make its positives. Everything
is a batched TensorFlow op on *linear* mel energies with stateless seeds, so that it runs inside
tf.data or on a device alike.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from audio_triplet import constraints
from audio_triplet.config import TripletConfig
from audio_triplet.constraints.gaussian_noise import gaussian_noise, half_normal
from audio_triplet.constraints.mixing import mix, mixing_partners
from audio_triplet.constraints.translation import translate

__all__ = [
    "assign",
    "constraint_of",
    "gaussian_noise",
    "half_normal",
    "make_positives",
    "mean_energy",
    "mix",
    "mixing_partners",
    "pattern",
    "translate",
]


def mean_energy(mel_energies) -> tf.Tensor:
    """Mean energy per cell of each patch: float32[batch] from float32[batch, frames, mels]."""
    return tf.reduce_mean(tf.cast(mel_energies, tf.float32), [-2, -1])


def constraint_of(name: str, config: TripletConfig) -> constraints.Constraint:
    """A constraint with the parameters that a configuration has for it."""
    kind = constraints.get(name)
    known = dataclasses.asdict(config) | dict(config.constraint_parameters)
    fields = [field.name for field in dataclasses.fields(kind)]
    return kind(**{field: known[field] for field in fields if field in known})


def pattern(config: TripletConfig, batch_size: int) -> np.ndarray:
    """Which constraint each position of a batch has.

    Shares are as equal as `config.shares` asks (largest remainder), and interleaved, so that a
    batch split over replicas gives each its part of every constraint.

    Args:
      config: Constraints.
      batch_size: Triplets in a (global) batch.

    Returns:
      int32[batch_size], ids: positions in `constraints.names()`.
    """
    ids = {name: number for number, name in enumerate(constraints.names())}
    if config.constraints != "joint":
        return np.full(batch_size, ids[config.constraints], np.int32)
    exact = np.asarray(config.shares) / sum(config.shares) * batch_size
    counts = np.floor(exact).astype(int)
    for index in np.argsort(counts - exact, kind="stable")[: batch_size - counts.sum()]:
        counts[index] += 1
    # The n-th of `count` positions of a constraint belongs at (n + 1/2) / count of the batch.
    ordered = sorted(
        ((number + 0.5) / count, ids[name])
        for name, count in zip(constraints.joint_names(), counts, strict=False)
        for number in range(count)
    )
    return np.array([constraint for _, constraint in ordered], np.int32)


def assign(has_neighbour, config: TripletConfig) -> tuple[tf.Tensor, np.ndarray]:
    """Distributes the anchors of a batch among the constraints.

    Anchors that have a neighbour go first to constraints that need one: a batch with some short
    recordings still gives every constraint its share.

    Args:
      has_neighbour: bool[batch]. The batch size must be static.
      config: Constraints.

    Returns:
      int32[batch], the anchor for each position of `pattern`; and int32[near], the positions
      whose constraint needs a neighbour.
    """
    near = _needs_neighbour()[pattern(config, has_neighbour.shape[0])]  # [batch]
    order = tf.argsort(tf.cast(~has_neighbour, tf.int32), stable=True)
    first_near = np.concatenate([np.flatnonzero(near), np.flatnonzero(~near)])
    return tf.gather(order, np.argsort(first_near)), np.flatnonzero(near).astype(np.int32)


def make_positives(draws: Mapping[str, tf.Tensor], neighbour, seed, config: TripletConfig) -> dict:
    """Makes the positives of anchors that are already at the positions of their constraints.

    Args:
      draws: A batch, in the order that `assign` gives, with
        `anchor` float32[batch, frames, mels] linear energies,
        `has_neighbour` bool[batch], `drawn` bool[batch] (false: there is no audible anchor),
        `recording` int64[batch], and anything else to be passed on, batch first.
        The batch size must be static.
      neighbour: float32[near, frames, mels], for the positions that `assign` names: a patch of the
        same recording close in time, or, for explicit labels, a patch with the same label.
      seed: Two integers, a stateless seed of this batch.
      config: Constraints and their parameters.

    Returns:
      `draws` without `has_neighbour`, plus
        `positive` float32[batch, frames, mels],
        `constraint` int32[batch], ids: positions in `constraints.names()`,
        `negative` int32[batch]: position in the batch of the anchor that is this triplet's
          negative (mixing), or -1 where one is to be mined,
        `valid` bool[batch]: false where no triplet could be made.
    """
    draws = dict(draws)
    has_neighbour, anchor = draws.pop("has_neighbour"), draws["anchor"]
    ids = pattern(config, anchor.shape[0])
    near = np.flatnonzero(_needs_neighbour()[ids])  # rows of `neighbour`

    positions, made = [], []
    for number in np.unique(ids):
        constraint = constraint_of(constraints.names()[number], config)
        position = np.flatnonzero(ids == number).astype(np.int32)
        anchors = constraints.Anchors(
            position=position,
            energies=tf.gather(anchor, position),
            drawn=tf.gather(draws["drawn"], position),
            has_neighbour=tf.gather(has_neighbour, position),
            neighbour=None,
            batch=draws,
        )
        if constraint.needs_neighbour:
            rows = np.searchsorted(near, position)
            anchors = anchors._replace(neighbour=tf.gather(neighbour, rows))
        positions.append(position)
        made.append(constraint.make(anchors, constraint.seed(seed)))

    def stitched(parts, shape):  # of all constraints, in the order of the batch
        return tf.ensure_shape(tf.dynamic_stitch(positions, parts), shape)

    return draws | {
        "positive": stitched([part.positive for part in made], anchor.shape),
        "constraint": tf.constant(ids),
        "negative": stitched([part.negative for part in made], ids.shape),
        "valid": stitched([part.valid for part in made], ids.shape),
    }


def _needs_neighbour() -> np.ndarray:
    """Whether the constraint of each id takes a neighbour as the positive: bool[constraints]."""
    return np.array([constraints.get(name).needs_neighbour for name in constraints.names()])
