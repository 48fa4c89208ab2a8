"""Scores of sounds that are scored together, against products of dense matrices, and by hand."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from audio_triplet.classify import together
from audio_triplet.classify.scoring import Scored
from audio_triplet.errors import UsageError
from audio_triplet.search.likeness import Likeness, Moments
from tests.search.archives import unit


def some_sounds(seed, count, most=4, dim=6):
    """Sounds of one to so many vectors, in three heaps."""
    rng = np.random.default_rng(seed)
    heaps = rng.normal(size=(3, 1, dim))
    return [
        unit(heaps[n % 3] + 0.5 * rng.normal(size=(1, rng.integers(1, most + 1), dim)))[0]
        for n in range(count)
    ]


def by_matrices(scores, sounds, recordings):
    """The formula, with loops over all pairs."""
    vectors = np.concatenate(sounds)
    measure = Likeness.of(Moments.of([vectors], vectors.shape[1]))
    mapped = [measure.mapped(sound) for sound in sounds]
    count = len(sounds)
    weights = np.zeros((count, count))
    for i in range(count):
        near = {
            j: max(0.0, float((mapped[i] @ mapped[j].T).max(axis=1).mean()))
            for j in range(count)
            if recordings[i] != recordings[j]
        }
        for j in sorted(near, key=near.get)[-5:]:
            weights[i, j] = near[j] ** 6
    weights = weights + weights.T
    weights[weights.sum(axis=1) == 0] = np.eye(count)[weights.sum(axis=1) == 0]
    weights /= weights.sum(axis=1, keepdims=True)
    found = scores
    for _ in range(10):
        found = 0.5 * weights @ found + 0.5 * scores
    return found


@pytest.mark.parametrize("count, most", [(2, 1), (7, 1), (40, 4)])
def test_by_the_formula(count, most, monkeypatch):
    sounds = some_sounds(count, count, most)
    scores = np.random.default_rng(0).random((count, 3)).astype(np.float32)
    recordings = np.arange(count) // 2 if count > 2 else np.arange(2)
    expected = by_matrices(scores, sounds, recordings)
    np.testing.assert_allclose(together.spread(scores, sounds, recordings), expected, atol=1e-5)
    monkeypatch.setattr(together, "_PRODUCTS", 200)  # in many blocks
    np.testing.assert_allclose(together.spread(scores, sounds, recordings), expected, atol=1e-5)


def test_a_doubt_is_settled_by_what_is_alike():
    """One of a heap is taken for another class; its likes put that right."""
    sounds = some_sounds(3, 30, 1)
    scores = np.full((30, 3), 0.1, np.float32)
    scores[np.arange(30), np.arange(30) % 3] = 0.8
    scores[4] = [0.5, 0.4, 0.1]  # of heap 1
    found = together.spread(scores, sounds, np.arange(30))
    np.testing.assert_array_equal(found.argmax(axis=1), np.arange(30) % 3)
    np.testing.assert_allclose(found.sum(axis=1), scores.sum(axis=1), rtol=1e-5)


def test_what_is_silent_or_of_one_recording_keeps_its_scores():
    sounds = some_sounds(5, 6)
    scores = np.random.default_rng(1).random((6, 2)).astype(np.float32)
    np.testing.assert_allclose(together.spread(scores, sounds, np.zeros(6)), scores, rtol=1e-6)
    sounds[2] = sounds[2][:0]
    found = together.spread(scores, sounds, np.arange(6))
    np.testing.assert_allclose(found[2], scores[2], rtol=1e-6)
    assert (np.abs(found - scores).max(axis=1) > 1e-4).sum() == 5
    without = together.spread(scores[[0, 1, 3, 4, 5]], [*sounds[:2], *sounds[3:]], np.arange(5))
    np.testing.assert_allclose(found[[0, 1, 3, 4, 5]], without, atol=1e-6)
    for few in (0, 1):
        np.testing.assert_array_equal(
            together.spread(scores[:few], sounds[:few], np.arange(few)), scores[:few]
        )


@hypothesis.given(strategies.integers(1, 30), strategies.integers(0, 2**31))
@hypothesis.settings(max_examples=30, deadline=None)
def test_scores_stay_within_those_there_are(count, seed):
    rng = np.random.default_rng(seed)
    sounds = some_sounds(seed, count)
    recordings = rng.integers(0, 1 + count // 2, count)
    rows = together.ties(sounds, recordings).toarray()
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    same = recordings[:, None] == recordings[None, :]
    assert not rows[same & ~np.eye(count, dtype=bool)].any()
    scores = rng.random((count, 2)).astype(np.float32)
    found = together.spread(scores, sounds, recordings)
    assert found.min() >= scores.min() - 1e-6 and found.max() <= scores.max() + 1e-6


def test_loud_vectors_of_a_sound_say_more_of_what_it_is_like():
    sounds, rng = some_sounds(3, 15), np.random.default_rng(3)
    energies = [rng.lognormal(0, 2, len(sound)) for sound in sounds]
    measure = Likeness.of(Moments.of([np.concatenate(sounds)], sounds[0].shape[1]))
    mapped = [measure.mapped(sound) for sound in sounds]
    alike = np.array(
        [
            [np.average((one @ other.T).max(axis=1), weights=np.sqrt(loud)) for other in mapped]
            for one, loud in zip(mapped, energies, strict=True)
        ]
    )
    np.fill_diagonal(alike, 0.0)
    _, weights = together._nearest(sounds, energies, np.arange(15))
    np.testing.assert_allclose(
        np.sort(weights, axis=1), np.sort(alike, axis=1)[:, -together.TIES :], atol=1e-5
    )
    scores = rng.random((15, 2)).astype(np.float32)
    plain, loud = (
        together.spread(scores, sounds, np.arange(15), given) for given in (None, energies)
    )
    assert np.abs(plain - loud).max() > 1e-3
    even = together.spread(scores, sounds, np.arange(15), [np.full(len(s), 0.3) for s in sounds])
    np.testing.assert_allclose(even, plain, atol=1e-6)


def test_many_sounds_are_compared_by_fewer_vectors(monkeypatch):
    sounds = some_sounds(8, 20, most=8)
    scores = np.random.default_rng(0).random((20, 2)).astype(np.float32)
    monkeypatch.setattr(together, "MOST_OF_ALL", 20)
    first = [sound[:1] for sound in sounds]  # `thinned` to one keeps the first
    np.testing.assert_allclose(
        together.spread(scores, sounds, np.arange(20)),
        by_matrices(scores, first, np.arange(20)),
        atol=1e-5,
    )
    with pytest.raises(UsageError, match="21 moments are too many"):
        together.spread(np.zeros((21, 2)), [*sounds, sounds[0]], np.arange(21))


def test_segments_get_their_own_back():
    sounds = some_sounds(2, 9, 1)
    scores = np.random.default_rng(4).random((9, 2)).astype(np.float32)
    spans = [slice(0, 3), slice(3, 4), slice(4, 9)]
    given = [
        Scored(row, f"{row}.wav", np.arange(3.0), np.arange(3.0), scores[span], sounds[span])
        for row, span in zip((2, 0, 1), spans, strict=True)
    ]
    found = together.together(given, ["a", "b", "c"])
    expected = together.spread(scores, sounds, np.array([2, 2, 2, 0, 1, 1, 1, 1, 1]))
    assert [(one.row, one.path) for one in found] == [(2, "2.wav"), (0, "0.wav"), (1, "1.wav")]
    for one, span in zip(found, spans, strict=True):
        np.testing.assert_array_equal(one.scores, expected[span])
    assert together.together([], []) == []
