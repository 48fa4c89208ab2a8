"""How predictions are compared with annotations; imports next to nothing, for `--help`."""

import dataclasses

from audio_triplet.checked import Checked, checked

# What counts of recordings that are predicted and not annotated: nothing; or every prediction, as
# one that is wrong.
UNANNOTATED = ("skip", "empty")


@dataclasses.dataclass(frozen=True)
class CheckConfig(Checked):
    """How predictions are compared with annotations.

    Attributes:
      min_overlap: How much of the shorter of the two a prediction and an annotation must share; 0:
        anything at all.
      threshold: Predictions below this score do not count; 0: what the table says is found.
      join_seconds: Predictions of one class with at most this gap are one event; -1 joins none.
      moment_seconds: Length of moments; 0: that of most predictions.
      unannotated: Recordings that are predicted and not annotated: `skip` leaves them out, `empty`
        takes every prediction in them for wrong.
      seed: Seed of the intervals' draws.
    """

    min_overlap: float = checked(0.5, least=0, most=1)
    threshold: float = 0.0
    join_seconds: float = 0.0
    moment_seconds: float = checked(0.0, least=0)
    unannotated: str = checked("skip", choices=UNANNOTATED)
    seed: int = 0
