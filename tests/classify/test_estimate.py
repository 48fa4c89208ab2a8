import itertools

import numpy as np
import pytest
from scipy import stats

from audio_triplet.classify import estimate

LEVEL = 0.95


def halves(moments: int, count: int) -> np.ndarray:
    return estimate.stratify(np.arange(moments), count).sizes


def test_strata_are_halves_by_score():
    scores = np.random.default_rng(0).random(1000)
    strata = estimate.stratify(scores, 4, seed=1)
    assert strata.sizes.tolist() == [500, 250, 125, 125]
    for lower, upper in zip(strata.members[:-1], strata.members[1:], strict=True):
        assert scores[lower].max() < scores[upper].min()
    assert sorted(np.concatenate(strata.members)) == list(range(1000))
    for number, members in enumerate(strata.members):
        assert (strata.of_moment[members] == number).all()
        assert abs(np.corrcoef(scores[members], np.arange(len(members)))[0, 1]) < 0.3  # by lot
    again = estimate.stratify(scores, 4, seed=1)
    assert all((a == b).all() for a, b in zip(strata.members, again.members, strict=True))
    assert not (estimate.stratify(scores, 4, seed=2).members[0] == strata.members[0]).all()


def test_small_archives_have_fewer_strata_and_ties_are_divided():
    assert estimate.stratify(np.zeros(100), 8).sizes.tolist() == [50, 25, 12, 13]
    assert estimate.stratify(np.zeros(15), 8).sizes.tolist() == [15]
    assert estimate.stratify([0.5], 8).sizes.tolist() == [1]
    for wrong in ([], [0.1, float("nan")]):
        with pytest.raises(ValueError, match="scores must be numbers"):
            estimate.stratify(wrong)


def test_spreading_and_allocating():
    sizes = np.array([50, 25, 4, 3])
    assert estimate.spread_evenly(sizes, 14).tolist() == [4, 4, 3, 3]
    assert estimate.spread_evenly(sizes, 20).tolist() == [7, 6, 4, 3]
    assert estimate.spread_evenly(sizes, 1000).tolist() == sizes.tolist()
    four = np.array([4, 4, 4, 3])
    # Nothing is known of either: the largest gets most, one that is heard whole gets none.
    more = estimate.allocate(sizes, four, four, np.array([0, 0, 2, 1]), 10)
    assert more.sum() == 10 and more[0] > more[1] and more[2] == more[3] == 0
    # Half yes is less certain than none.
    equal = np.array([50, 50])
    more = estimate.allocate(equal, np.full(2, 10), np.full(2, 10), np.array([0, 5]), 10)
    assert more[1] > more[0]
    assert estimate.allocate(sizes, sizes, sizes, sizes, 5).sum() == 0


def test_one_stratum_has_clopper_and_pearsons_interval():
    """In a stratum so large that what was heard does not matter, it is the binomial's."""
    found = estimate.estimate([10**8], [60], [3], LEVEL)
    expected = stats.binomtest(3, 60).proportion_ci(LEVEL, "exact")
    assert found.share == pytest.approx(0.05)
    assert found.interval.low == pytest.approx(expected.low, rel=0.05)
    assert found.interval.high == pytest.approx(expected.high, rel=0.05)


def test_weighted_by_hand_and_what_was_heard_whole_is_known():
    # 0.5 * 1/10 + 0.25 * 2/5 + 0.25 * 20/25 = 0.05 + 0.1 + 0.2
    found = estimate.estimate([50, 25, 25], [10, 5, 25], [1, 2, 20])
    assert found.share == pytest.approx(0.35)
    assert found.interval.low < 0.35 < found.interval.high
    assert found.strata[2].interval == (0.8, 0.8)
    # 50² * 2/12 * 10/12 / (11 * 12) = 2.6, 25² * 3/7 * 4/7 / (6 * 7) = 3.6
    assert found.listen_next == 1
    whole = estimate.estimate([50, 25], [50, 25], [3, 2])
    assert whole.interval == (5 / 75, 5 / 75) and whole.share == pytest.approx(5 / 75)
    assert whole.listen_next is None


def test_no_answers_and_none_of_the_class():
    nothing = estimate.estimate([60, 40], [0, 5], [0, 5])
    assert nothing.share is None and nothing.interval.high == 1.0 and nothing.listen_next == 0
    assert nothing.interval.low < 0.4
    none = estimate.estimate([600, 400], [10, 10], [0, 0])
    assert none.share == 0 and none.interval.low == 0 and 0.05 < none.interval.high < 0.3
    every = estimate.estimate([600, 400], [10, 10], [10, 10])
    assert every.share == 1 and every.interval.high == 1
    for wrong in ([5], [3], [4]), ([5], [6], [1]), ([0], [0], [0]):
        with pytest.raises(ValueError, match="must hold"):
            estimate.estimate(*wrong)


def test_more_answers_narrow_it():
    sizes = halves(4000, 5)
    widths = []
    for heard in (4, 8, 16, 32):
        answered = np.full(5, heard)
        found = estimate.estimate(sizes, answered, np.array([0, 0, 1, 2, 3]) * heard // 4)
        widths.append(found.interval.high - found.interval.low)
    assert all(later < 0.75 * earlier for earlier, later in itertools.pairwise(widths))


# Shares of the class in each stratum, the lowest scores first.
WORLDS = {
    "none": lambda strata: np.zeros(strata),
    "a few at the top": lambda strata: np.r_[np.zeros(strata - 1), 0.2],
    "rare": lambda strata: np.geomspace(1e-4, 0.1, strata),
    "scores say nothing": lambda strata: np.full(strata, 0.01),
    "only where none is expected": lambda strata: np.r_[0.01, np.zeros(strata - 1)],
    "common": lambda strata: np.linspace(0.02, 0.9, strata),
    "nearly all": lambda strata: np.full(strata, 0.97),
    "all": lambda strata: np.ones(strata),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    "moments, strata, heard", [(20_000, 8, 10), (20_000, 1, 80), (300, 5, 3), (60, 3, 4)]
)
def test_the_interval_covers(world, moments, strata, heard):
    """Simulated archives: the truth is inside as often as is said, whatever it is."""
    rng = np.random.default_rng(5)
    sizes = halves(moments, strata)
    shares, answered, repeats, inside = (
        WORLDS[world](len(sizes)),
        np.full(len(sizes), heard),
        200,
        0,
    )
    for _ in range(repeats):
        truth = rng.binomial(sizes, shares)
        yes = rng.hypergeometric(truth, sizes - truth, answered)
        found = estimate.estimate(sizes, answered, yes, LEVEL, draws=400).interval
        inside += found.low <= truth.sum() / sizes.sum() <= found.high
    assert inside / repeats >= LEVEL - 0.02


@pytest.mark.parametrize("world", ["none", "rare", "common"])
def test_the_interval_covers_when_answers_choose_where_to_listen(world):
    rng = np.random.default_rng(6)
    sizes = halves(5000, 6)
    shares, repeats, inside = WORLDS[world](len(sizes)), 100, 0
    for _ in range(repeats):
        truth = rng.binomial(sizes, shares)
        hidden = [
            rng.permutation(np.arange(size) < of) for size, of in zip(sizes, truth, strict=True)
        ]
        answered = estimate.spread_evenly(sizes, 30)
        for _ in range(3):
            yes = np.array([of[:n].sum() for of, n in zip(hidden, answered, strict=True)])
            answered = answered + estimate.allocate(sizes, answered, answered, yes, 10)
        yes = np.array([of[:n].sum() for of, n in zip(hidden, answered, strict=True)])
        found = estimate.estimate(sizes, answered, yes, LEVEL, draws=400).interval
        inside += found.low <= truth.sum() / sizes.sum() <= found.high
    assert inside / repeats >= LEVEL - 0.02


def test_a_single_posterior_would_not_cover():
    """Why limits are melded: Beta(yes + 1/2, no + 1/2) counts half a sound per stratum."""
    rng = np.random.default_rng(0)
    sizes = halves(20_000, 8)
    share = rng.beta(0.5, 10.5, (2000, 8))
    totals = rng.binomial(sizes - 10, share).sum(axis=1)
    assert np.quantile(totals, 0.025) > 0  # though nothing was found, and nothing may be there
    assert estimate.estimate(sizes, np.full(8, 10), np.zeros(8, int)).interval.low == 0
