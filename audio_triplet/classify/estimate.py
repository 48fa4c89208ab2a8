"""The share of an archive's moments that are of a class, from a few that somebody listened to.

The method is that of Navine et al. (2024, "All thresholds barred: direct estimation of call
density in bioacoustic data"): moments are divided into strata by their scores, the lowest with half
of them, the next with a quarter, and so on; of each stratum some are drawn and listened to, and the
shares found are weighted by the strata's sizes. No threshold is needed, and the scores need not be
right: the better they are, the narrower is the interval.

Pure functions of arrays: a command, or a page, keeps the answers.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from audio_triplet.evaluation.metrics import Interval

# No stratum has fewer moments than this, unless there is only one [D].
_LEAST_MOMENTS = 8
_DRAWS = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class Strata:
    """Moments divided by score, each stratum in an order by lot.

    Attributes:
      of_moment: int[moments], the stratum of each; 0 has the lowest scores.
      members: The moments of each stratum, int[size], in the order in which they are drawn.
    """

    of_moment: np.ndarray
    members: tuple[np.ndarray, ...]

    @property
    def sizes(self) -> np.ndarray:
        """int[strata]: how many moments each has."""
        return np.array([len(of) for of in self.members])


def stratify(scores: np.ndarray, count: int = 8, seed: int = 0) -> Strata:
    """Divides moments into strata: the lower half of all, of the rest the lower half, and so on.

    Equal scores are divided by lot. With few moments there are fewer strata.

    Args:
      scores: float[moments], at least one.
      count: How many strata, at most.
      seed: Of the lots.

    Raises:
      ValueError: There is no moment, or a score is NaN.
    """
    scores = np.asarray(scores, np.float64)
    if not len(scores) or np.isnan(scores).any():
        raise ValueError("stratify: scores must be numbers, at least one")
    rng = np.random.default_rng([seed, 11])
    rest = np.lexsort([rng.random(len(scores)), scores])  # the lowest first
    parts: list[np.ndarray] = []
    while len(parts) < count - 1 and len(rest) // 2 >= _LEAST_MOMENTS:
        half = len(rest) // 2
        parts.append(rest[:half])
        rest = rest[half:]
    parts.append(rest)
    of_moment = np.empty(len(scores), int)
    for stratum, part in enumerate(parts):
        of_moment[part] = stratum
    return Strata(of_moment, tuple(rng.permutation(part) for part in parts))


def spread_evenly(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many moments of each stratum are drawn first: equally many, as far as they have them.

    Args:
      sizes: int[strata].
      count: How many in all.

    Returns:
      int[strata].
    """
    drawn = np.zeros(len(sizes), int)
    for _ in range(min(count, int(sizes.sum()))):
        drawn[np.where(drawn < sizes, drawn, np.iinfo(int).max).argmin()] += 1
    return drawn


def allocate(
    sizes: np.ndarray, drawn: np.ndarray, answered: np.ndarray, yes: np.ndarray, count: int
) -> np.ndarray:
    """How many more of each stratum to draw: each where it narrows the interval the most.

    Args:
      sizes: int[strata].
      drawn: int[strata], those drawn so far, answered or not.
      answered: int[strata].
      yes: int[strata], those that are of the class.
      count: How many more in all.

    Returns:
      int[strata].
    """
    more = np.zeros(len(sizes), int)
    for _ in range(count):
        gain = _gain(sizes, drawn + more, answered, yes)
        if gain.max() <= 0:
            break
        more[gain.argmax()] += 1
    return more


def _gain(
    sizes: np.ndarray, drawn: np.ndarray, answered: np.ndarray, yes: np.ndarray
) -> np.ndarray:
    """By how much one more moment of each stratum lessens the variance of the total."""
    share = (yes + 1) / (answered + 2)  # no stratum is known after a few answers that are alike
    variance = share * (1 - share) * sizes.astype(np.float64) ** 2
    return np.where(drawn < sizes, variance / ((drawn + 1) * (drawn + 2)), 0.0)


@dataclasses.dataclass(frozen=True)
class Stratum:
    """What is known of a stratum.

    Attributes:
      moments: How many it has.
      answered: How many of them were listened to.
      yes: How many of those are of the class.
      interval: Of the share among all of its moments.
    """

    moments: int
    answered: int
    yes: int
    interval: Interval


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The share of moments that are of a class.

    Attributes:
      share: The strata's shares, weighted by their sizes; None while one has no answer.
      interval: Of the share.
      level: Of the interval.
      moments: How many there are in all.
      answered: How many were listened to.
      strata: The lowest scores first.
      listen_next: The stratum of which one more answer narrows the interval the most; None if
        everything was heard.
    """

    share: float | None
    interval: Interval
    level: float
    moments: int
    answered: int
    strata: tuple[Stratum, ...]
    listen_next: int | None


def estimate(
    sizes: np.ndarray,
    answered: np.ndarray,
    yes: np.ndarray,
    level: float = 0.95,
    seed: int = 0,
    draws: int = _DRAWS,
) -> Estimate:
    """The share, with an interval that covers it at least as often as it says.

    In each stratum the lower limit of the share has the Beta distribution of Clopper and Pearson's
    lower limit, Beta(yes, no + 1), the upper one Beta(yes + 1, no); what was not heard is binomial
    with such a share, so that a stratum that was heard whole is known. Draws of all strata are
    added, and the quantiles of the sums of lower, and of upper, limits are the interval ("melding",
    Fay, Proschan and Brittain 2015). [D] Not one posterior, as Beta(yes + ½, no + ½): for a class
    that is absent, or rarer than 1 %, its interval left the truth out nearly always (covering 0 to
    20 % where it said 95 %), because half a sound in each stratum is never seen and still counted.

    Args:
      sizes: int[strata], moments in each.
      answered: int[strata], how many of each were listened to, drawn by lot.
      yes: int[strata], how many of those are of the class.
      level: How often the interval should cover the share.
      seed: Of the draws.
      draws: How many.

    Raises:
      ValueError: The counts contradict each other.
    """
    sizes, answered, yes = (np.asarray(counts, int) for counts in (sizes, answered, yes))
    if (yes < 0).any() or (yes > answered).any() or (answered > sizes).any() or not sizes.sum():
        raise ValueError("estimate: 0 <= yes <= answered <= sizes must hold, with some moments")
    rng = np.random.default_rng([seed, 12])
    no, tail = answered - yes, (1 - level) / 2

    def totals(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """int[draws, strata]: moments of the class in each."""
        share = rng.beta(np.maximum(alpha, 1e-9), np.maximum(beta, 1e-9), (draws, len(sizes)))
        share = np.where(alpha == 0, 0.0, np.where(beta == 0, 1.0, share))
        return yes + rng.binomial(sizes - answered, share)

    low, high = totals(yes, no + 1), totals(yes + 1, no)
    lows, highs = (np.quantile(low, tail, axis=0), np.quantile(high, 1 - tail, axis=0))
    share = None
    if (answered[sizes > 0] > 0).all():
        known = np.maximum(answered, 1)
        share = float((sizes * yes / known).sum() / sizes.sum())
    gain = _gain(sizes, answered, answered, yes)
    return Estimate(
        share,
        Interval(
            float(np.quantile(low.sum(axis=1), tail) / sizes.sum()),
            float(np.quantile(high.sum(axis=1), 1 - tail) / sizes.sum()),
        ),
        level,
        int(sizes.sum()),
        int(answered.sum()),
        tuple(
            Stratum(int(size), int(heard), int(of), Interval(below / size, above / size))
            for size, heard, of, below, above in zip(
                sizes.tolist(), answered, yes, lows.tolist(), highs.tolist(), strict=True
            )
        ),
        int(gain.argmax()) if gain.max() > 0 else None,
    )
