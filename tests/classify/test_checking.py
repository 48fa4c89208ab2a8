import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)

from audio_triplet.classify import checking, matching
from audio_triplet.classify.checking import Items, Spans


def spans(*rows) -> Spans:
    """(recording, start, end, score) each."""
    table = np.array(rows, float).reshape(-1, 4)
    return Spans(table[:, 0].astype(int), *table[:, 1:].T)


def test_overlap_of_the_shorter_by_hand():
    # A call of 0.5 s inside a window of 3 s, one that sticks out by half, one next to it.
    found = matching.overlaps(
        np.array([0.0]), np.array([3.0]), np.array([1, 2.75, 3]), np.array([1.5, 3.25, 4]), 0.5
    )
    assert found.tolist() == [[True, True, False]]
    touching = matching.overlaps(*map(np.array, ([0.0], [1.0], [1.0], [2.0])), 0.0)
    assert not touching.any()
    whole = matching.overlaps(*map(np.array, ([5.0], [6.0], [0.0], [np.inf])), 1.0)
    assert whole.all()


def test_pairs_are_given_up_for_more_pairs():
    # The best prediction overlaps both events, the second only the first.
    allowed = np.array([[1, 1], [1, 0], [1, 1]], bool)
    right, found = matching.match(allowed, np.array([0.9, 0.8, 0.7]))
    assert right.tolist() == [True, True, False] and found.all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 9), st.floats(0.05, 0.9))
def test_there_are_as_many_pairs_as_can_be_above_any_score(seed, predicted, true, density):
    rng = np.random.default_rng(seed)
    allowed = rng.random((predicted, true)) < density
    scores = rng.random(predicted)
    right, found = matching.match(allowed, scores)
    assert right.sum() == found.sum()
    order = np.argsort(-scores)
    for count in range(1, predicted + 1):
        best = maximum_bipartite_matching(csr_array(allowed[order[:count]]), perm_type="column")
        assert right[order[:count]].sum() == (best >= 0).sum()


def test_what_touches_is_joined():
    starts, ends = np.array([3, 0, 0.96, 6.0]), np.array([4, 0.975, 1.935, 7])
    found = matching.joined(starts, ends, np.array([0.1, 0.2, 0.7, 0.4]), 0.0)
    assert [column.tolist() for column in found] == [[0, 3, 6], [1.935, 4, 7], [0.7, 0.1, 0.4]]
    assert matching.joined(starts, ends, ends, 1.1)[0].tolist() == [0, 6]
    assert len(matching.joined(starts, ends, ends, -1)[0]) == 4
    # A long one that holds a short one reaches on.
    assert matching.joined(np.array([0.0, 1, 5]), np.array([9.0, 2, 6]), ends[:3], 0)[1] == [9]
    both = spans((1, 0, 1, 0.2), (2, 1, 2, 0.3), (1, 1, 2, 0.5)).joined(0)
    assert both.recordings.tolist() == [1, 2] and both.scores.tolist() == [0.5, 0.3]


TRUTH = spans((0, 1.0, 2.0, 1), (0, 5.0, 6.0, 1), (1, 0.0, 4.0, 1), (2, 3.0, 4.0, 1))
PREDICTED = spans(
    (0, 1.2, 2.4, 0.9),  # right
    (0, 1.0, 1.9, 0.8),  # the same event again
    (0, 8.0, 9.0, 0.7),  # nothing there
    (1, 1.0, 2.0, 0.6),  # right: it lies inside
    (3, 1.0, 2.0, 0.5),  # nothing there
)


def test_events_by_hand():
    """Two of five are right; two of four events are found, one in a recording without any."""
    items, right, found = checking.by_event(PREDICTED, TRUTH, 0.5)
    assert right.tolist() == [True, False, False, True, False]
    assert found.tolist() == [True, False, True, False]
    result = checking.figures(items)
    assert (result.true, result.predicted, result.right) == (4, 5, 2)
    assert (result.precision, result.recall) == (2 / 5, 2 / 4)
    assert result.f1 == pytest.approx(2 * 0.4 * 0.5 / 0.9)
    # Right ones stand first and fourth: 1/1 and 2/4, of four events.
    assert result.ap == pytest.approx((1 + 0.5) / 4)
    assert result.curve == ((0.25, 1), (0.25, 1 / 2), (0.25, 1 / 3), (0.5, 2 / 4), (0.5, 2 / 5))
    low, high = result.precision_interval
    assert low < 0.4 < high


def test_moments_by_hand():
    """Seconds of a recording: of the class are 1 and 5, predicted 1 (half), 2 (not half), 8."""
    moments = checking.grid({0: 9.5, 2: 4.0}, 1.0)
    assert len(moments.starts) == 14 and moments.ends[9] == 9.5
    is_class, _ = checking.covered(moments, TRUTH, 0.5)
    predicted, scores = checking.covered(moments, PREDICTED, 0.5)
    assert np.flatnonzero(is_class).tolist() == [1, 5, 13]
    assert np.flatnonzero(predicted).tolist() == [1, 8]
    assert scores[[1, 8]].tolist() == [0.9, 0.7] and np.isinf(scores[2])
    result = checking.figures(Items(is_class, predicted, scores, moments.recordings))
    assert (result.precision, result.recall) == (1 / 2, 1 / 3)
    # 1.2 to 2.4 lies 0.4 s in second 2: enough for 30 %.
    assert checking.covered(moments, PREDICTED, 0.3)[0][2]
    assert checking.grid({0: 0.3}, 1.0).ends.tolist() == [0.3]
    assert len(checking.grid({0: 2.0000000001}, 1.0).starts) == 2
    assert len(checking.grid({}, 1.0).starts) == 0


def test_moments_are_those_of_sed_eval():
    """Its segment-based figures (0.2.1, 1 s, five files of a minute), where any overlap counts."""
    rng = np.random.default_rng(0)

    def drawn(count):
        rows = {"a": [], "b": []}
        for _ in range(count):
            file, start = int(rng.integers(5)), rng.random() * 55
            end = round(float(start + rng.random() * 4 + 0.1), 2)
            rows[str(rng.choice(["a", "b"]))].append((file, round(float(start), 2), end, 1))
        return {label: spans(*of) for label, of in rows.items()}

    truth, predicted = drawn(60), drawn(80)
    moments = checking.grid(dict.fromkeys(range(5), 60.0), 1.0)
    items = []
    for label in "ab":
        is_class, _ = checking.covered(moments, truth[label], 0.0)
        items.append(
            Items(is_class, *checking.covered(moments, predicted[label], 0.0), moments.recordings)
        )
    # Annotated, predicted, precision, recall, F.
    expected = (
        (75, 89, 0.23595505617977527, 0.28, 0.25609756097560976),
        (89, 128, 0.234375, 0.33707865168539325, 0.2764976958525346),
        (164, 217, 0.2350230414746544, 0.31097560975609756, 0.2677165354330709),
    )
    for of, numbers in zip([*items, Items.together(items)], expected, strict=True):
        found = checking.figures(of)
        mine = (found.true, found.predicted, found.precision, found.recall, found.f1)
        assert mine == pytest.approx(numbers, abs=1e-12)


def random_items(seed, count=300, recordings=30) -> Items:
    rng = np.random.default_rng(seed)
    is_class = rng.random(count) < 0.3
    scores = (0.4 * is_class + rng.random(count)).round(1)  # with ties
    return Items(is_class, scores > 0.8, scores, rng.integers(0, recordings, count))


def test_figures_are_those_of_scikit_learn():
    items = random_items(0)
    result = checking.figures(items)
    assert result.ap == pytest.approx(average_precision_score(items.is_class, items.scores))
    precision, recall, _ = precision_recall_curve(items.is_class, items.scores)
    np.testing.assert_allclose(result.curve, np.column_stack([recall, precision])[-2::-1])
    # Those without a prediction come after all others, and are never found.
    scores = np.where(np.arange(300) % 3 == 0, -np.inf, items.scores)
    scored = np.isfinite(scores)
    some = checking.figures(Items(items.is_class, items.predicted, scores, items.recordings))
    of_scored = average_precision_score(items.is_class[scored], scores[scored])
    share = items.is_class[scored].sum() / items.is_class.sum()
    assert some.ap == pytest.approx(of_scored * share)
    assert len(checking.precision_recall(items.is_class, np.arange(300), 90, 50)) == 50


def test_intervals_cover_what_other_recordings_give():
    """Recordings as alike as these have means inside the interval nearly always."""
    many = random_items(99, 60_000, 6000)
    both = (many.is_class, many.predicted)
    truth = {"ap": average_precision_score(many.is_class, many.scores), "f1": f1_score(*both)}
    truth |= {"precision": precision_score(*both), "recall": recall_score(*both)}
    inside = dict.fromkeys(truth, 0)
    for seed in range(40):
        found = checking.figures(random_items(seed))
        for name in inside:
            low, high = getattr(found, f"{name}_interval")
            inside[name] += low <= truth[name] <= high
    assert all(count >= 35 for count in inside.values()), inside


def test_what_there_is_nothing_of():
    none = Items(*(np.zeros(3, bool) for _ in range(2)), np.zeros(3), np.zeros(3, int))
    found = checking.figures(none)
    assert (found.precision, found.recall, found.f1, found.ap) == (None,) * 4
    assert found.precision_interval == (0, 1) and found.f1_interval is None and found.curve == ()
    missed = Items(np.ones(2, bool), np.zeros(2, bool), np.full(2, -np.inf), np.arange(2))
    found = checking.figures(missed)
    assert (found.precision, found.recall, found.f1, found.ap) == (None, 0, 0, 0)
    assert found.ap_interval == (0, 0)
    empty = spans()
    items, _, _ = checking.by_event(empty, TRUTH, 0.5)
    assert checking.figures(items).recall == 0 and len(empty.joined(0).starts) == 0
    both = Items.together([missed, items])
    assert both.is_class.sum() == 6 and len(both.scores) == 6
