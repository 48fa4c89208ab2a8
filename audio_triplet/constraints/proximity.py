"""Temporal proximity: sounds close together in time are alike."""

import dataclasses
from typing import ClassVar

from audio_triplet.constraints import base


@base.register
@dataclasses.dataclass(frozen=True)
class Proximity(base.Constraint):
    """Another patch of the same recording, which `data.batching` draws.

    Attributes:
      max_seconds_apart: Δt, bound on the distance in time of a temporal proximity pair.
    """

    name: ClassVar[str] = "proximity"
    title: ClassVar[str] = "Temporal proximity"
    needs_neighbour: ClassVar[bool] = True

    max_seconds_apart: float = 10.0

    def make(self, anchors, seed) -> base.Made:
        """See the base class."""
        del seed  # the neighbour was drawn with the anchor
        return base.neighbours(anchors)
