import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.errors import FewLabelsError
from audio_triplet.evaluation import few_labels


def one_label(classes):
    """bool[segments, classes] from class numbers; -1 for none."""
    classes = np.asarray(classes)
    return classes[:, None] == np.arange(classes.max() + 1)


def test_one_clip_a_class():
    """Two classes, all clips of recordings of their own: one of 0-2 and one of 3-4."""
    labels = one_label([0, 0, 0, 1, 1])
    drawn = few_labels.draw(labels, "abcde", 1, seed=0)
    assert len(drawn.segments) == 2 and (labels[drawn.segments].sum(axis=0) == 1).all()
    assert drawn.clips.tolist() == [1, 1] and drawn.recordings.tolist() == [1, 1]


def test_a_recording_gives_its_second_clip_last():
    """Clips 0-3 are of one recording, 4 and 5 of two others.

    Three clips must be 4, 5 and one of the first four; each of these four comes up in some draw.
    """
    labels = one_label([0] * 6)
    firsts = set()
    for seed in range(60):
        drawn = few_labels.draw(labels, "aaaabc", 3, seed)
        assert {4, 5} <= set(drawn.segments.tolist())
        assert drawn.recordings.tolist() == [3]
        firsts.add(int(drawn.segments[0]))
    assert firsts == {0, 1, 2, 3}


def test_second_clips_are_taken_when_recordings_run_out():
    """Recordings a, b with three clips each: five clips are three of one and two of the other."""
    drawn = few_labels.draw(one_label([0] * 6), "aaabbb", 5, seed=3)
    from_a = int((drawn.segments < 3).sum())
    assert from_a in (2, 3) and drawn.clips.tolist() == [5] and drawn.recordings.tolist() == [2]
    four = few_labels.draw(one_label([0] * 6), "aaabbb", 4, seed=3)
    assert (four.segments < 3).sum() == 2


def test_too_few_clips_give_all_and_say_so():
    """Class 0 has two clips, class 1 four, class 2 none; unlabelled ones are never drawn."""
    labels = np.zeros((7, 3), bool)
    labels[[0, 1], 0] = True
    labels[[2, 3, 4, 5], 1] = True
    drawn = few_labels.draw(labels, range(7), 3, seed=0)
    assert drawn.clips.tolist() == [2, 3, 0]
    assert {0, 1} <= set(drawn.segments.tolist()) and 6 not in drawn.segments


def test_clip_of_two_classes_counts_for_both_draws():
    """Clip 1 has both labels and is the only one of class 1: it is drawn, and only once."""
    labels = np.array([[1, 0], [1, 1], [1, 0]], bool)
    drawn = few_labels.draw(labels, range(3), 3, seed=0)
    assert drawn.segments.tolist() == [0, 1, 2] and drawn.clips.tolist() == [3, 1]


def test_all_clips_are_equally_likely():
    """400 draws of 1 of 4: each 100 ± 8.7; five standard deviations are 43."""
    times = np.zeros(4)
    for seed in range(400):
        times[few_labels.draw(one_label([0] * 4), range(4), 1, seed).segments] += 1
    assert (abs(times - 100) < 43).all()


@settings(max_examples=60, deadline=None)
@given(
    classes=st.lists(st.integers(-1, 4), min_size=1, max_size=60).filter(lambda c: max(c) >= 0),
    recordings=st.integers(1, 20),
    per_class=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_invariants(classes, recordings, per_class, seed):
    labels = one_label(classes)
    groups = np.random.default_rng(seed).integers(recordings, size=len(classes)).tolist()
    drawn = few_labels.draw(labels, groups, per_class, seed)
    again = few_labels.draw(labels, groups, per_class, seed)
    more = few_labels.draw(labels, groups, per_class + 1, seed)
    np.testing.assert_array_equal(drawn.segments, again.segments)
    assert set(drawn.segments.tolist()) <= set(more.segments.tolist())  # nested
    assert labels[drawn.segments].any(axis=1).all()  # no unlabelled clip
    for column in range(labels.shape[1]):
        mine = [s for s in drawn.segments.tolist() if labels[s, column]]
        all_of_class = np.flatnonzero(labels[:, column])
        sources = {groups[s] for s in all_of_class}
        # Stratified; and as many recordings as there can be.
        assert len(mine) == drawn.clips[column] == min(per_class, len(all_of_class))
        assert len({groups[s] for s in mine}) == min(per_class, len(sources))
        assert drawn.recordings[column] == min(per_class, len(sources))


def test_a_class_does_not_depend_on_the_others():
    labels = one_label([0, 0, 0, 1, 1, 1])
    both = few_labels.draw(labels, range(6), 2, seed=5)
    alone = labels.copy()
    alone[:3] = False
    only = few_labels.draw(alone, range(6), 2, seed=5)
    assert [s for s in both.segments if s >= 3] == only.segments.tolist()


def test_other_seeds_other_draws():
    draws = {
        tuple(few_labels.draw(one_label([0] * 30), range(30), 5, seed).segments)
        for seed in range(10)
    }
    assert len(draws) == 10


@pytest.mark.parametrize(
    ("labels", "groups", "per_class", "message"),
    [
        (np.ones((2, 1), bool), "ab", 0, "at least 1"),
        (np.ones((2, 1), bool), "abc", 1, "2 rows of labels but 3 groups"),
        (np.zeros((2, 1), bool), "ab", 1, "nothing to draw from"),
    ],
)
def test_errors(labels, groups, per_class, message):
    with pytest.raises(FewLabelsError, match=message):
        few_labels.draw(labels, groups, per_class, seed=0)
