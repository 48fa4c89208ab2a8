"""All constraints at once in every pair, see `audio_triplet.augment` [D]."""

import dataclasses
from typing import ClassVar

from audio_triplet.constraints import base


@base.register
@dataclasses.dataclass(frozen=True)
class Combined(base.Constraint):
    """A patch close in time, or the anchor itself where there is none; both are augmented."""

    name: ClassVar[str] = "combined"
    title: ClassVar[str] = "Combined"
    needs_neighbour: ClassVar[bool] = True
    in_joint: ClassVar[bool] = False
    augments: ClassVar[bool] = True

    def make(self, anchors, seed) -> base.Made:
        """See the base class."""
        import tensorflow as tf

        del seed
        has = anchors.has_neighbour[:, None, None]
        return base.mined(anchors, tf.where(has, anchors.neighbour, anchors.energies))
