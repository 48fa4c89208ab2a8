"""Timing in turns, so that other load affects all candidates alike and ratios hold."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

from benchmarks import processes


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Times of one candidate.

    Attributes:
      seconds: Of each round.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    def times_as_fast_as(self, other: "Measurement", share: float = 1.0) -> float:
        """Median over rounds of how many times as fast this one was in that round.

        Args:
          other: Measured in the same rounds.
          share: How much of the other's work this one did.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        return share * statistics.median(theirs / mine for mine, theirs in pairs)


def interleaved(
    candidates: Mapping[str, Callable[..., object]],
    repeats: int,
    warm_up: int = 1,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Measurement]:
    """Times functions in turns.

    A candidate with work in the background after its turn, as tf.data has, would slow the next
    one: let `before` make it, so that it ends with the turn.

    Args:
      candidates: Name → the function to time. The order rotates from round to round.
      repeats: Rounds that count.
      warm_up: Rounds before them, in which graphs are traced and caches filled.
      before: Name → a function that is called, untimed, before each of its turns; its result is
        passed to the candidate and dropped after.

    Returns:
      Name → its measurement: processor time in a process pinned to one core, else wall time.
    """
    clock = time.process_time if processes.pinned_cores() == 1 else time.perf_counter
    names = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, repeats):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            given = [before[name]()] if before and name in before else []
            begin = clock()
            candidates[name](*given)
            if number >= 0:
                seconds[name].append(clock() - begin)
            del given
    return {name: Measurement(tuple(taken)) for name, taken in seconds.items()}
