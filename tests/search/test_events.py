import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.search import scanning
from audio_triplet.search.events import JOINED_WITHIN, Event, best_events, limited
from audio_triplet.search.likeness import Likeness, Moments
from audio_triplet.search.question import Patches, Question
from audio_triplet.search.scanning import Stretches, scan, window_maxima
from tests.search.archives import HOP, part, unit


def asked(parts, patches, seed=0, examples=1, unlike=0, dim=8):
    measure = Likeness.of(sum((Moments.of([p.vectors], dim) for p in parts), Moments.of([], dim)))
    rng = np.random.default_rng(seed)
    sounds = [
        Patches.of_vectors(unit(rng.normal(size=(patches, dim))), HOP)
        for _ in range(examples + unlike)
    ]
    question = Question.of(measure, sounds[:examples], sounds[examples:], HOP)
    return question, [measure.scales(p.vectors) for p in parts]


def brute_force_best(question, one, scales, keep):
    """The best window of each segment by trying every one, by time."""
    found = question.likenesses(one.vectors, scales).astype(np.float64)
    best = {}
    width = question.width(HOP)
    for owner in np.unique(one.owners):
        inside = np.flatnonzero((one.owners == owner) & keep)
        starts = one.spans["start"]
        for begin in np.flatnonzero(one.owners == owner):
            window = inside[
                (starts[inside] > starts[begin] - 0.01)
                & (starts[inside] < starts[begin] + width * HOP - 0.01)
            ]
            if len(window):
                score = float(question.scores(found[:, window].max(axis=1)[:, None])[0])
                best[owner] = max(best.get(owner, -9.0), score)
    return best


@given(
    st.integers(0, 2**31),
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.4]),
    st.integers(1, 3),
    st.integers(0, 1),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_best_of_each_segment_equals_brute_force(
    seed, lengths, patches, gaps, examples, unlike, masked
):
    one = part(seed, lengths, gaps=gaps)
    question, scales = asked([one], patches, seed, examples, unlike)
    keep = np.ones(len(one.owners), bool)
    if masked:
        keep = np.random.default_rng(seed).random(len(keep)) < 0.7
    expected = brute_force_best(question, one, scales[0], keep)
    masks = [keep if masked else None]
    stretches, nearest = scan(
        question, [one], scales, masks, [0], question.width(HOP), 5, threads=1
    )
    found = {}
    for event in best_events(question, [one], scales, masks, stretches, HOP, 1):
        found[one.owners[event.first]] = event.score
        assert one.owners[event.first] == one.owners[event.last] and event.first <= event.last
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    # A segment's bound is no lower than its score; the nearest vectors are the nearest.
    bounds = dict(zip(one.owners[stretches.first], stretches.bound, strict=True))
    assert all(bounds[owner] >= score - 1e-5 for owner, score in found.items())
    likenesses = question.likenesses(one.vectors, scales[0], True).max(axis=0)
    likenesses = np.where(keep, likenesses, -9)
    best = np.sort(likenesses[keep])[::-1][:5]
    np.testing.assert_allclose(nearest.likeness, best, atol=1e-5)


def test_blocks_and_threads_change_nothing(monkeypatch):
    parts = [part(1, [3, 50, 7, 1, 200, 2]), part(2, [5] * 40, first_owner=6)]
    question, scales = asked(parts, 4, examples=2)
    masks = [None, None]
    whole = scan(question, parts, scales, masks, [0, 1], 5, 9, threads=1)
    monkeypatch.setattr(scanning, "BLOCK", 16)
    cut = scan(question, parts, scales, masks, [0, 1], 5, 9, threads=3)
    for one, other in zip((*whole[0], *whole[1]), (*cut[0], *cut[1]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    nothing = scan(question, [], [], [], [], 5, 9, threads=2)
    assert not len(nothing[0].bound) and not len(nothing[1].vector)


def test_stretches_come_in_order_however_many(monkeypatch):
    monkeypatch.setattr(scanning, "_AT_FIRST", 10)
    bound = np.random.default_rng(0).integers(-5, 20, 500).astype(np.float32)
    every = np.arange(500)
    groups = list(Stretches(0 * every, every, 0 * every, bound).best_first())
    assert len(groups) == 2 and len(groups[0].first) >= 10
    first = np.concatenate([group.first for group in groups])
    expected = np.argsort(-bound, kind="stable")
    np.testing.assert_array_equal(first, expected[bound[expected] > -2])


@given(st.integers(1, 20), st.integers(0, 30))
@settings(max_examples=30, deadline=None)
def test_window_maxima(width, more):
    values = np.random.default_rng(width).normal(size=(2, width + more)).astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(values, width, axis=1)
    np.testing.assert_array_equal(window_maxima(values, width), views.max(axis=2))


def test_neighbouring_windows_are_one_event():
    """A sound of six patches and one of a single patch in noise, and a query of one."""
    one = part(3, [60], dim=32)
    sound = unit(np.random.default_rng(7).normal(size=(1, 32)))
    one.vectors[20:26] = sound
    one.vectors[40] = sound
    measure = Likeness.plain(32)
    question = Question.of(measure, [Patches.of_vectors(sound)], hop_seconds=HOP)
    scales = [measure.scales(one.vectors)]
    stretches, _ = scan(question, [one], scales, [None], [0], question.width(HOP), 0, 1)
    events = list(best_events(question, [one], scales, [None], stretches, HOP, 9))
    assert [(event.first, event.last) for event in events[:2]] == [(20, 25), (40, 40)]
    assert events[0].score == events[1].score == pytest.approx(1, abs=1e-5)
    assert events[2].score < 1 - JOINED_WITHIN
    # Events share no patch.
    taken = np.concatenate([np.arange(event.first, event.last + 1) for event in events])
    assert len(taken) == len(set(taken.tolist()))


def test_a_recording_does_not_flood_the_list():
    events = [Event(1 - n / 100, 0, n, n) for n in range(30)]

    def recording_of(event):
        return 0 if event.first < 20 else event.first

    def firsts(top, per_recording, counted=None):
        found = limited(iter(events), top, per_recording, recording_of, counted)
        assert [event.score for event in found] == sorted((e.score for e in found), reverse=True)
        return [event.first for event in found]

    assert firsts(5, 1) == [0, 20, 21, 22, 23]
    assert firsts(5, 0) == [0, 1, 2, 3, 4]
    assert firsts(5, None) == [0, 1, 2, 20, 21]
    assert firsts(5, None, {0: 2}) == [0, 20, 21, 22, 23]
    # Where others have too few to show, more of one recording are shown.
    assert firsts(15, None) == [0, 1, 2, 3, 4, *range(20, 30)]
    assert firsts(15, 3) == [0, 1, 2, *range(20, 30)]


@pytest.mark.parametrize(
    ("halves", "width"), [(0, 2), (1, 3), (2, 3), (3, 4), (4, 4), (5, 5), (7, 6), (9, 7)]
)
def test_a_window_of_half_hops_is_rounded_up(halves, width):
    """A query's patches begin at half hops where a silent one between them is left out.

    Python's `round` goes to the even number, JavaScript's up: command and page had other windows.
    """
    starts = np.array([0.0, halves * HOP / 2]) + 0.07
    vectors = np.eye(2, 6, dtype="f4")
    question = Question.of(Likeness.plain(6), [Patches(vectors, starts)], hop_seconds=HOP)
    assert question.width(HOP) == width
