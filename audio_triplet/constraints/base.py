"""What a constraint is, and the registry of constraints."""

from __future__ import annotations

import abc
import dataclasses
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

_REGISTERED: dict[str, type[Constraint]] = {}


class Anchors(NamedTuple):
    """The anchors of a batch that one constraint makes positives for.

    Attributes:
      position: int32[n], their positions in the batch.
      energies: float32[n, frames, mels], linear.
      drawn: bool[n], false where there is no audible anchor.
      has_neighbour: bool[n].
      neighbour: float32[n, frames, mels], for constraints with `needs_neighbour`: a patch close in
        time, with `needs_label` one with the same label; anything where `has_neighbour` is false.
      batch: `anchor`, `recording`, `drawn` of the whole batch.
    """

    position: np.ndarray
    energies: tf.Tensor
    drawn: tf.Tensor
    has_neighbour: tf.Tensor
    neighbour: tf.Tensor | None
    batch: Mapping[str, tf.Tensor]


class Made(NamedTuple):
    """The result of a constraint for its anchors.

    Attributes:
      positive: float32[n, frames, mels], linear energies.
      negative: int32[n], position in the batch of the anchor that is the negative; -1: mined.
      valid: bool[n], false where no triplet could be made.
    """

    positive: tf.Tensor
    negative: tf.Tensor
    valid: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Constraint(abc.ABC):
    """A constraint. Its fields are its parameters: plain numbers with defaults.

    A subclass names itself, documents its fields under `Attributes` (the flags' help), and
    overrides `positive`, or `make` where a positive needs more than its anchor.

    Attributes:
      name: In flags, tables and config.json.
      title: In tables.
      needs_neighbour: Whether it takes a patch from elsewhere, see `Anchors.neighbour`.
      needs_label: Whether that patch is one with the same label.
      in_joint: Whether it may be a part of `joint`.
      augments: Whether both patches of its pairs are augmented, whatever the flags say.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs_neighbour: ClassVar[bool] = False
    needs_label: ClassVar[bool] = False
    in_joint: ClassVar[bool] = True
    augments: ClassVar[bool] = False

    def make(self, anchors: Anchors, seed: tf.Tensor) -> Made:
        """Makes the positives of its anchors; negatives are mined unless it names them.

        Args:
          anchors: The anchors.
          seed: Two integers, a stateless seed of its own.
        """
        return mined(anchors, self.positive(anchors.energies, seed))

    def positive(self, energies: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Positives made of the anchors alone.

        Args:
          energies: float32[n, frames, mels], linear.
          seed: Two integers, a stateless seed.

        Returns:
          The same shape, non-negative, silence where the anchor is silent.
        """
        raise NotImplementedError(f"{self.name}: has neither `positive` nor `make`")

    def seed(self, batch_seed: tf.Tensor) -> tf.Tensor:
        """Its own stateless seed in a batch, so that constraints draw independently."""
        from audio_triplet import draws

        return draws.fold_in(batch_seed, zlib.crc32(self.name.encode()) & 0x7FFFFFFF)


def mined(anchors: Anchors, positive: tf.Tensor) -> Made:
    """Positives of all audible anchors; their negatives will be mined."""
    import tensorflow as tf

    return Made(positive, tf.fill([len(anchors.position)], -1), anchors.drawn)


def neighbours(anchors: Anchors) -> Made:
    """Neighbours as positives; their negatives will be mined."""
    made = mined(anchors, anchors.neighbour)
    return made._replace(valid=made.valid & anchors.has_neighbour)


def third_of_seed(batch_seed: tf.Tensor, number: int) -> tf.Tensor:
    """One of the three seeds that the paper's constraints share; kept so that runs continue."""
    from audio_triplet import draws

    return draws.split(batch_seed, 3)[number]


def register(constraint: type[Constraint]) -> type[Constraint]:
    """Makes a constraint known; a class decorator. Its id is the next free one."""
    earlier = _REGISTERED.setdefault(constraint.name, constraint)
    if (earlier.__module__, earlier.__qualname__) != (
        constraint.__module__,
        constraint.__qualname__,
    ):
        raise ValueError(f"there is a constraint {constraint.name!r} already: {earlier}")
    return constraint


def names() -> tuple[str, ...]:
    """All constraints, in the order of their ids in a batch."""
    return tuple(_REGISTERED)


def joint_names() -> tuple[str, ...]:
    """Those that `joint` may hold, in the order of `TripletConfig.shares`."""
    return tuple(name for name, constraint in _REGISTERED.items() if constraint.in_joint)


def get(name: str) -> type[Constraint]:
    """The class of one of `names()`."""
    return _REGISTERED[name]
