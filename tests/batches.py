"""Batches of triplets from patches that are all at hand."""

import tensorflow as tf

from audio_triplet import triplets


def make_triplets(draws, seed, config) -> dict:
    """What `data.batching` does, but for reading the neighbours only of those that need one.

    Args:
      draws: As of `triplets.make_positives`, in any order, with `neighbour` of the shape of
        `anchor`.
      seed: Two integers.
      config: Constraints and their parameters.
    """
    order, near = triplets.assign(draws["has_neighbour"], config)
    draws = {name: tf.gather(value, order) for name, value in draws.items()}
    neighbour = tf.gather(draws.pop("neighbour"), near)
    return triplets.make_positives(draws, neighbour, seed, config)
