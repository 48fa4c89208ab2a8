"""The supervised topline: two patches that share a label."""

import dataclasses
from typing import ClassVar

from audio_triplet.constraints import base


@base.register
@dataclasses.dataclass(frozen=True)
class Explicit(base.Constraint):
    """A patch with the same label, which `data.batching` draws; negatives lack that label."""

    name: ClassVar[str] = "explicit"
    title: ClassVar[str] = "Explicit label"
    needs_neighbour: ClassVar[bool] = True
    needs_label: ClassVar[bool] = True
    in_joint: ClassVar[bool] = False

    def make(self, anchors, seed) -> base.Made:
        """See the base class."""
        del seed
        return base.neighbours(anchors)
