"""Diffusion among a search's best answers: by hand, by a formula, and where it must not harm."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from audio_triplet.embeddings.loudness import shares_of
from audio_triplet.search import diffusion
from tests.search.archives import unit


def on_a_circle(*degrees):
    """A sound of one vector at each angle."""
    angles = np.radians(degrees)
    return [vector[None] for vector in unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))]


def by_likeness(query, sounds):
    """The numbers of the sounds, most like the query first, and their likenesses."""
    likeness = np.array([float((query @ sound.T).max(axis=1).mean()) for sound in sounds])
    order = np.argsort(-likeness, kind="stable")
    return order, likeness[order]


def test_likeness_of_sounds_by_hand():
    first, second = on_a_circle(0, 90)
    both = np.concatenate([first, second])
    found = diffusion.Sounds([first, second, both]).rows(0, 3)
    np.testing.assert_allclose(found, [[1, 0, 1], [0, 1, 1], [0.5, 0.5, 1]], atol=1e-6)


@hypothesis.given(
    strategies.lists(strategies.integers(1, 5), min_size=1, max_size=12), strategies.integers(1, 15)
)
def test_likeness_of_sounds_of_any_length(lengths, rows):
    rng = np.random.default_rng(len(lengths))
    sounds = [unit(rng.normal(0, 1, (length, 4))) for length in lengths]
    expected = [[(one @ other.T).max(axis=1).mean() for other in sounds] for one in sounds]
    parts = list(diffusion.Sounds(sounds).alike(rows))
    assert [begin for begin, _ in parts] == list(range(0, len(sounds), rows))
    np.testing.assert_allclose(np.concatenate([part for _, part in parts]), expected, atol=1e-6)


def test_two_sounds_by_hand():
    """Likenesses 0.9 and 0.5 to the query, 0.8 to each other."""
    sounds = on_a_circle(0, np.degrees(np.arccos(0.8)))
    tie = 0.8**3 / (0.8**3 + 0.3)
    ties = np.array([[1 - tie, tie], [tie, 1 - tie]])
    own = np.array([0.9, 0.5]) ** 3

    def passed_on(sources):
        passed = sources
        for _ in range(15):
            passed = 0.9 * ties @ passed + 0.1 * sources
        return (0.05 * own + passed) / 1.05

    once = passed_on(own)
    again = own[0] * (once / once.max()) ** 2
    expected = passed_on(again) ** (1 / 3)
    found = diffusion.scores(np.array([0.9, 0.5]), sounds, np.array([0, 1]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Two takes of one recording say nothing of each other.
    alone = diffusion.scores(np.array([0.9, 0.5]), sounds, np.array([4, 4]))
    np.testing.assert_allclose(alone, [0.9, 0.5], rtol=1e-6)


def test_what_is_like_nothing_keeps_its_likeness():
    assert diffusion.scores(np.array([0.7]), on_a_circle(0), np.array([0])) == pytest.approx([0.7])
    apart = diffusion.scores(np.array([0.7, 0.2]), on_a_circle(0, 90), np.array([0, 1]))
    np.testing.assert_allclose(apart, [0.7, 0.2], rtol=1e-6)
    # Twelve moments of the only recording, more than there are sources.
    likeness = np.linspace(0.9, 0.3, 12)
    one = diffusion.scores(likeness, on_a_circle(*range(12)), np.zeros(12))
    np.testing.assert_allclose(one, likeness, rtol=1e-6)


def arc(axis, begin, end, count):
    """Sounds on the way from the first axis to another one."""
    turns = np.linspace(begin, end, count)
    points = np.zeros((count, 3))
    points[:, 0], points[:, axis] = np.cos(turns), np.sin(turns)
    return points


def test_along_an_arc():
    """From the beginning of an arc all of it is found before another that is partly nearer."""
    points = np.concatenate([arc(1, 0.05, 1.3, 20), arc(2, 0.6, 1.4, 20)])
    sounds = [vector[None] for vector in unit(points)]
    order, likeness = by_likeness(np.array([[1.0, 0, 0]]), sounds)
    scores = diffusion.scores(likeness, [sounds[n] for n in order], np.arange(40))
    found = order[np.argsort(-scores, kind="stable")]
    assert np.mean(order[:20] < 20) == 0.65
    assert (found[:20] < 20).all()


def test_against_many_products():
    """The sum over all paths of a walk, written as matrix powers."""
    rng = np.random.default_rng(1)
    sounds = [unit(rng.normal(0.5, 1, (3, 6))) for _ in range(30)]
    order, likeness = by_likeness(unit(rng.normal(0.5, 1, (4, 6))), sounds)
    sounds = [sounds[n] for n in order]
    recordings = np.arange(30) // 2
    weights = np.zeros((30, 30))
    for i in range(30):
        near = {
            j: np.mean([max(v @ w for w in sounds[j]) for v in sounds[i]])
            for j in range(30)
            if recordings[i] != recordings[j]
        }
        for j in sorted(near, key=near.get)[-7:]:
            weights[i, j] = max(near[j], 0) ** 3
    weights = (weights + weights.T) / 2 + 0.3 * np.eye(30)
    walk = weights / weights.sum(axis=1, keepdims=True)
    own = np.maximum(likeness, 0) ** 3
    sources = np.where(np.arange(30) < 7, own, 0)
    powers = [np.linalg.matrix_power(0.9 * walk, n) for n in range(16)]
    passes = 0.1 * sum(powers[:15]) + powers[15]
    once = (0.05 * own + passes @ sources) / 1.05
    twice = (0.05 * own + passes @ (own[0] * (once / once.max()) ** 2)) / 1.05
    np.testing.assert_allclose(
        diffusion.scores(likeness, sounds, recordings), twice ** (1 / 3), rtol=1e-5
    )


def test_what_is_certain_takes_no_part():
    """The query itself, found twice: it keeps its likeness, and others have the same without it."""
    rng = np.random.default_rng(2)
    sounds = [unit(rng.normal(0.5, 1, (3, 6))) for _ in range(30)]
    likeness = np.sort(rng.uniform(0.2, 0.9, 30))[::-1]
    without = diffusion.scores(likeness, sounds, np.arange(30))
    both = [sounds[0], sounds[4], *sounds]
    found = diffusion.scores(np.r_[1.0, 0.95, likeness], both, np.r_[70, 71, np.arange(30)])
    np.testing.assert_allclose(found, np.r_[1.0, 0.95, without], rtol=1e-12)
    np.testing.assert_allclose(
        diffusion.scores(np.array([1.0, 0.96]), both[:2], np.array([0, 1])), [1.0, 0.96]
    )


@hypothesis.given(
    strategies.integers(1, 40), strategies.integers(1, 12), strategies.integers(0, 2**31)
)
@hypothesis.settings(max_examples=40, deadline=None)
def test_scores_stay_within_the_likenesses(count, vectors, seed):
    rng = np.random.default_rng(seed)
    sounds = [unit(rng.normal(0.3, 1, (rng.integers(1, vectors + 1), 8))) for _ in range(count)]
    order, likeness = by_likeness(unit(rng.normal(0.3, 1, (2, 8))), sounds)
    scores = diffusion.scores(likeness, [sounds[n] for n in order], rng.integers(0, 5, count))
    assert scores.shape == (count,) and np.isfinite(scores).all()
    assert (scores >= 0).all() and scores.max() <= max(likeness[0], 0) + 1e-6
    # What is beyond the best never passes what is among them.
    assert scores.min() >= diffusion.rest_score(likeness[-1]) - 1e-9


def test_loud_vectors_of_a_sound_count_more():
    sounds = [*on_a_circle(0, 90)]
    both = np.concatenate(sounds)
    energies = [np.ones(1), np.ones(1), np.array([4.0, 1.0])]
    found = diffusion.Sounds([*sounds, both], [shares_of(e) for e in energies]).rows(0, 3)
    np.testing.assert_allclose(found, [[1, 0, 1], [0, 1, 1], [2 / 3, 1 / 3, 1]], atol=1e-6)
    unknown = [shares_of(np.full(len(e), np.nan)) for e in energies]
    plain = diffusion.Sounds([*sounds, both])
    np.testing.assert_array_equal(
        diffusion.Sounds([*sounds, both], unknown).rows(0, 3), plain.rows(0, 3)
    )
    rng = np.random.default_rng(4)
    likeness = np.sort(rng.uniform(0.2, 0.9, 20))[::-1]
    many = [unit(rng.normal(0.5, 1, (8, 6))) for _ in range(20)]
    loud = [rng.lognormal(0, 1, 8) for _ in range(20)]
    same = diffusion.scores(likeness, many, np.arange(20), energies=[np.full(8, 3.0)] * 20)
    np.testing.assert_allclose(same, diffusion.scores(likeness, many, np.arange(20)), rtol=1e-6)
    other = diffusion.scores(likeness, many, np.arange(20), energies=loud)
    assert np.abs(other - same).max() > 1e-3
