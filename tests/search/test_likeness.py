import numpy as np
import pytest
from scipy import linalg

from audio_triplet.errors import SearchError
from audio_triplet.search import likeness as likeness_module
from audio_triplet.search.likeness import Likeness, Moments
from audio_triplet.search.question import LEANING, UNLIKE, Patches, Question
from tests.search.archives import unit


@pytest.fixture
def vectors():
    rng = np.random.default_rng(1)
    return unit(rng.normal(size=(3000, 6)) * (1, 2, 3, 1, 0.5, 0.1) + (1, 0, 0, 0, 2, 0))


def test_moments_add_up(vectors):
    whole = Moments.of([vectors], 6)
    parts = Moments.of([vectors[:7], vectors[7:1000]], 6) + Moments.of([vectors[1000:]], 6)
    for one in (whole, parts):
        assert one.count == 3000
        np.testing.assert_allclose(one.total / 3000, vectors.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(one.products, vectors.T @ vectors, rtol=1e-5, atol=1e-3)
    left = whole - Moments.of([vectors[:1000]], 6)
    np.testing.assert_allclose(left.total, vectors[1000:].sum(axis=0), atol=1e-3)


@pytest.mark.parametrize("exponent", [0.0, 0.25, 1.0])
def test_the_map_is_a_power_of_the_covariance(vectors, exponent, monkeypatch):
    monkeypatch.setattr(likeness_module, "PRIOR_MEAN", 0.0)
    monkeypatch.setattr(likeness_module, "PRIOR_COVARIANCE", 0.0)
    found = Likeness.of(Moments.of([vectors], 6), exponent)
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0), atol=1e-6)
    covariance = np.cov(vectors.T.astype(np.float64), bias=True)
    covariance /= np.trace(covariance) / 6
    expected = linalg.fractional_matrix_power(covariance, -exponent / 2)
    np.testing.assert_allclose(found.map, expected, rtol=1e-3, atol=1e-4)
    if exponent == 1:  # whitened
        mapped = (vectors - found.mean) @ found.map
        spread = np.cov(mapped.T, bias=True)
        np.testing.assert_allclose(spread / spread[0, 0], np.eye(6), atol=1e-3)


def test_few_vectors_say_little_of_how_they_vary(vectors):
    few, many = (Likeness.of(Moments.of([v], 6), 0.25) for v in (vectors[:20], vectors))
    for found, far in ((few, 0.02), (many, 0.5)):
        assert np.abs(found.map - np.eye(6)).max() < far
    np.testing.assert_allclose(few.mean, vectors[:20].mean(axis=0) / 2, atol=1e-6)
    assert np.isfinite(Likeness.of(Moments.of([vectors[:1]], 6)).mapped(vectors)).all()
    nothing = Likeness.of(Moments.of([], 6))
    np.testing.assert_array_equal(nothing.map, np.eye(6))


def test_folded_queries_give_the_cosines_of_mapped_vectors(vectors):
    measure = Likeness.of(Moments.of([vectors], 6))
    queries = vectors[:3] + 0.1
    expected = measure.mapped(queries) @ measure.mapped(vectors).T
    np.testing.assert_allclose(np.linalg.norm(measure.mapped(vectors), axis=1), 1, atol=1e-5)
    question = Question.of(measure, [Patches(queries, np.arange(3.0))])
    found = question.likenesses(vectors, measure.scales(vectors))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    own = question.likenesses(queries, measure.scales(queries))
    np.testing.assert_allclose(np.diag(own), 1, atol=1e-5)


def test_scores_are_by_the_formula(vectors):
    measure = Likeness.plain(6)
    examples = [vectors[:2], vectors[2:5], vectors[5:6], vectors[6:9]]
    question = Question.of(
        measure,
        [Patches.of_vectors(one) for one in examples[:2]],
        [Patches.of_vectors(one) for one in examples[2:]],
    )
    nearest = np.random.default_rng(3).uniform(-1, 1, (9, 20)).astype(np.float32)
    a, b, c, d = nearest[:2].mean(0), nearest[2:5].mean(0), nearest[5], nearest[6:].mean(0)
    lean = lambda x, y: LEANING * np.log((np.exp(x / LEANING) + np.exp(y / LEANING)) / 2)  # noqa: E731
    expected = lean(a, b) - UNLIKE * np.maximum(lean(c, d), 0)
    np.testing.assert_allclose(question.scores(nearest), expected, atol=1e-5)
    assert (question.scores(nearest[:5]) >= expected - 1e-6).all()  # a bound
    alone = Question.of(measure, [Patches.of_vectors(examples[0])])
    np.testing.assert_allclose(alone.scores(nearest[:2]), a, atol=1e-6)


def test_what_cannot_be_asked_is_told():
    measure = Likeness.plain(6)
    for wanted, message in (
        ([], "nothing is asked"),
        ([Patches.of_vectors(np.ones(5))], r"\[patches, 6\]"),
        ([Patches.of_vectors(np.zeros(6))], "not all zero"),
        ([Patches.of_vectors(np.full(6, np.nan))], "finite"),
    ):
        with pytest.raises(SearchError, match=message):
            Question.of(measure, wanted)


def test_a_long_query_is_thinned():
    long = Patches.of_vectors(np.random.default_rng(0).normal(size=(1000, 6)))
    thin = long.thinned()
    assert len(thin.vectors) == 64 and thin.start_seconds[[0, -1]].tolist() == [0, 999 * 0.96]
    assert len(Question.of(Likeness.plain(6), [long]).weights) == 64


def test_louder_patches_count_more_by_the_root_of_their_energy(vectors):
    nearest = np.array([[0.9], [0.3], [0.6]], np.float32)
    starts = np.arange(3.0)
    plain, even, loud = (
        Question.of(Likeness.plain(6), [Patches(vectors[:3], starts, energy=energy)])
        for energy in (None, np.full(3, 7e-3), np.array([4.0, 0.0, 1.0]))
    )
    np.testing.assert_allclose(plain.scores(nearest), [0.6], atol=1e-6)
    np.testing.assert_allclose(even.scores(nearest), [0.6], atol=1e-6)
    np.testing.assert_allclose(loud.scores(nearest), [(2 * 0.9 + 0.6) / 3], atol=1e-6)
    # Of a long sound those that are asked for count among themselves; counter-examples likewise.
    many = Patches(np.resize(vectors, (200, 6)), np.arange(200.0), energy=np.arange(1.0, 201.0))
    both = Question.of(Likeness.plain(6), [many], [Patches(vectors[:2], starts[:2])])
    roots = np.sqrt(many.thinned().energy)
    np.testing.assert_allclose(both.shares[:64], roots / roots.sum(), rtol=1e-5)
    np.testing.assert_allclose(both.shares[64:], 0.5)
