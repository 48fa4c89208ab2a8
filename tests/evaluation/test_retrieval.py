"""Query by example against loops over all pairs and scikit-learn."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn import metrics as sk

from audio_triplet.evaluation import cosines, pairs, ranking, retrieval

# Vectors of length 2 with entries +-1, or one entry +-2: their cosines are multiples of 1/4,
# exact in any floating point and any order of summation, and tie all the time.
_EXACT = np.array(
    [*itertools.product([-1, 1], repeat=4), *(2 * np.eye(4)), *(-2 * np.eye(4)), np.zeros(4)]
)


def pair_loop(embeddings, labels, groups=None):
    """Per-class average precision and pair counts, a loop over pairs as the paper puts it."""
    embeddings = np.asarray(embeddings, np.float64)
    norms = np.linalg.norm(embeddings, axis=1)
    groups = range(len(embeddings)) if groups is None else groups
    result = []
    for column in np.asarray(labels).T:
        is_target, distances = [], []
        for i, j in itertools.combinations(range(len(embeddings)), 2):
            if groups[i] != groups[j] and (column[i] or column[j]):
                product = norms[i] * norms[j]
                cosine = embeddings[i] @ embeddings[j] / product if product else 0.0
                is_target.append(column[i] and column[j])
                distances.append(1 - cosine)
        hits = sum(is_target)
        precision = sk.average_precision_score(is_target, -np.array(distances)) if hits else np.nan
        result.append((precision, hits, len(is_target) - hits))
    precision, hits, others = map(np.array, zip(*result, strict=True))
    return precision, hits, others


def corpus(seed, segments=60, classes=5, dim=16):
    rng = np.random.default_rng(seed)
    labels = rng.random((segments, classes)) < 0.25
    embeddings = rng.normal(size=(segments, dim)) + labels @ rng.normal(size=(classes, dim))
    groups = [f"recording {i}" for i in rng.integers(0, segments // 2, segments)]
    return embeddings.astype(np.float32), labels, groups


@hypothesis.settings(deadline=None)
@hypothesis.given(st.data())
def test_equals_the_pair_loop_when_ties_abound(data):
    rows = data.draw(st.lists(st.integers(0, len(_EXACT) - 1), min_size=2, max_size=14))
    n = len(rows)
    labels = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=n, max_size=n))
    )
    groups = data.draw(
        st.none()
        | st.lists(st.integers(0, 4), min_size=n, max_size=n)
        | st.lists(st.sampled_from("abcd"), min_size=n, max_size=n)
    )
    result = retrieval.query_by_example_map(_EXACT[rows].astype(np.float32), labels, groups)
    precision, targets, others = pair_loop(_EXACT[rows], labels, groups)
    np.testing.assert_allclose(result.per_class, precision, atol=1e-12)
    np.testing.assert_array_equal(result.target_pairs, targets)
    np.testing.assert_array_equal(result.non_target_pairs, others)


@pytest.mark.parametrize("with_groups", [False, True])
def test_equals_the_pair_loop_on_real_numbers(with_groups):
    embeddings, labels, groups = corpus(seed=0)
    groups = groups if with_groups else None
    result = retrieval.query_by_example_map(embeddings, labels, groups)
    precision, targets, others = pair_loop(embeddings, labels, groups)
    np.testing.assert_allclose(result.per_class, precision, atol=1e-9)
    assert result.mean == pytest.approx(precision.mean(), abs=1e-9)
    np.testing.assert_array_equal(result.target_pairs, targets)
    np.testing.assert_array_equal(result.non_target_pairs, others)


def test_by_hand():
    # Directions 0, 10, 90, 100 degrees; class A = {0, 10, 90}, class B = {100} alone.
    angles = np.radians([0, 10, 90, 100])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1], [5], [0.1], [2]]
    labels = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    # A's targets: 10, 80, 90 degrees apart; non-targets: 100, 90, 10 (from 0, 10, 90 to 100).
    # Ranking: 10 tied (T, N), 80 (T), 90 tied (T, N), 100 (N): precisions 1/2, 2/3, 3/5.
    result = retrieval.query_by_example_map(embeddings, labels)
    assert result.per_class[0] == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)
    assert np.isnan(result.per_class[1])  # no pair within B
    assert result.mean == result.per_class[0]
    assert list(result.target_pairs) == [3, 0] and list(result.non_target_pairs) == [3, 3]
    assert list(result.left_out) == [1]
    assert result.chance[0] == 0.5 and np.isnan(result.chance[1])


@pytest.mark.parametrize("segments", [7, 64, 333])
def test_equal_embeddings_score_exactly_the_share_of_targets(segments):
    rng = np.random.default_rng(segments)
    embeddings = np.tile(rng.normal(size=128).astype(np.float32), (segments, 1))
    labels = rng.random((segments, 3)) < 0.4
    result = retrieval.query_by_example_map(embeddings, labels)
    np.testing.assert_allclose(result.per_class, result.chance, rtol=1e-15)


def test_neither_blocks_nor_tables_nor_workers_change_a_bit(monkeypatch):
    embeddings, labels, groups = corpus(seed=1, segments=90)
    embeddings[45:60] = embeddings[:15]
    expected = retrieval.query_by_example_map(embeddings, labels, groups, workers=1)
    queries = retrieval.per_query_map(embeddings, labels, groups, workers=1)
    monkeypatch.setattr(cosines, "BLOCK_SCORES", 200)
    monkeypatch.setattr(ranking, "BLOCK_THRESHOLDS", 200)
    monkeypatch.setattr(pairs, "BUFFER_SCORES", 500)
    for table in (0, 1000):
        monkeypatch.setattr(retrieval, "_TABLE_SEGMENTS", table)
        actual = retrieval.query_by_example_map(embeddings, labels, groups, workers=3)
        np.testing.assert_array_equal(actual.per_class, expected.per_class)
        np.testing.assert_array_equal(actual.non_target_pairs, expected.non_target_pairs)
    again = retrieval.per_query_map(embeddings, labels, groups, workers=3)
    np.testing.assert_array_equal(again.per_query, queries.per_query)


def test_a_segment_without_direction_is_at_distance_one_from_everything():
    embeddings = np.array([[0, 0], [0, 0], [1, 0], [-1, 0], [0, 1]], np.float32)
    _, similarities = retrieval.nearest(embeddings, 4)
    np.testing.assert_array_equal(similarities[0], 0)
    np.testing.assert_array_equal(similarities[2], [0, 0, 0, -1])


def test_length_and_order_of_the_segments_do_not_matter():
    embeddings, labels, groups = corpus(seed=2)
    expected = retrieval.query_by_example_map(embeddings, labels, groups).per_class
    scale = 10.0 ** np.linspace(-200, 200, len(embeddings))[:, None]
    scaled = retrieval.query_by_example_map(embeddings * scale, labels, groups).per_class
    np.testing.assert_allclose(scaled, expected, atol=1e-12)
    order = np.random.default_rng(0).permutation(len(embeddings))
    shuffled = retrieval.query_by_example_map(
        embeddings[order], labels[order], [groups[i] for i in order]
    )
    np.testing.assert_array_equal(shuffled.per_class, expected)


def test_separated_classes_score_one_and_one_group_leaves_nothing():
    embeddings = np.repeat(np.eye(3), 4, axis=0)
    labels = np.repeat(np.eye(3, dtype=bool), 4, axis=0)
    assert retrieval.query_by_example_map(embeddings, labels).mean == 1
    result = retrieval.query_by_example_map(embeddings, labels, groups=["same"] * 12)
    assert np.isnan(result.mean) and not result.target_pairs.any()
    assert not result.non_target_pairs.any()


def test_sampling_all_pairs_is_the_exact_figure():
    embeddings, labels, groups = corpus(seed=3)
    expected = retrieval.query_by_example_map(embeddings, labels, groups)
    sampled = retrieval.query_by_example_map(embeddings, labels, groups, max_pairs=10**6)
    np.testing.assert_array_equal(sampled.per_class, expected.per_class)
    np.testing.assert_array_equal(sampled.target_pairs, expected.target_pairs)


def test_sampling_follows_its_seed():
    embeddings, labels, _ = corpus(seed=4)
    one = retrieval.query_by_example_map(embeddings, labels, max_pairs=20, seed=1)
    same = retrieval.query_by_example_map(embeddings, labels, max_pairs=20, seed=1, workers=1)
    other = retrieval.query_by_example_map(embeddings, labels, max_pairs=20, seed=2)
    np.testing.assert_array_equal(one.per_class, same.per_class)
    assert not np.array_equal(one.per_class, other.per_class)
    sizes = labels.sum(axis=0)
    np.testing.assert_array_equal(one.target_pairs, np.minimum(sizes * (sizes - 1) // 2, 20))
    assert (one.non_target_pairs == 20).all()


@pytest.mark.parametrize("with_groups", [False, True])
def test_per_query_equals_a_loop_over_queries(with_groups):
    embeddings, labels, groups = corpus(seed=7)
    groups = groups if with_groups else list(range(len(embeddings)))
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = np.full(len(unit), np.nan)
    for query in range(len(unit)):
        others = [i for i in range(len(unit)) if groups[i] != groups[query]]
        relevant = [bool((labels[i] & labels[query]).any()) for i in others]
        if any(relevant):
            expected[query] = sk.average_precision_score(relevant, unit[others] @ unit[query])
    result = retrieval.per_query_map(embeddings, labels, groups)
    assert np.isnan(expected).any()  # segments without a class are in the corpus
    np.testing.assert_allclose(result.per_query, expected, atol=1e-6)
    assert result.mean == pytest.approx(np.nanmean(expected), abs=1e-6)
    by_class = [np.nanmean(expected[column]) for column in labels.T]
    np.testing.assert_allclose(result.per_class, by_class, atol=1e-6)


def test_per_query_by_hand():
    # 0 and 1 share class A, 2 is B alone: both A queries rank their fellow first.
    result = retrieval.per_query_map([[1, 0], [1, 0.1], [0, 1]], [[1, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(result.per_query, [1, 1, np.nan])
    np.testing.assert_array_equal(result.per_class, [1, np.nan])
    assert result.mean == 1


@pytest.mark.parametrize("k", [1, 5, 59])
def test_nearest_equals_a_full_sort(k):
    embeddings, _, groups = corpus(seed=8)
    embeddings[30:34] = embeddings[10]  # ties, to be given in order of index
    unit = embeddings.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    indices, similarities = retrieval.nearest(embeddings, k, groups)
    assert indices.shape == similarities.shape == (60, k) and similarities.dtype == np.float32
    for query in range(60):
        cosine = np.round(unit @ unit[query], 9)
        others = [i for i in range(60) if groups[i] != groups[query]]
        expected = sorted(others, key=lambda i, cosine=cosine: (-cosine[i], i))[:k]
        found = indices[query][: len(expected)]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(similarities[query][: len(expected)], cosine[found], atol=1e-7)
        assert (indices[query][len(expected) :] == -1).all()
        assert np.isnan(similarities[query][len(expected) :]).all()


_FINE = np.eye(4, dtype=np.float32)
_LABELS = np.eye(4, 2, dtype=bool)


@pytest.mark.parametrize(
    ("embeddings", "labels", "groups", "message"),
    [
        (np.where(_FINE == 1, np.nan, 0)[::-1], _LABELS, None, "4 of 4 segments hold NaN"),
        (np.array([[1, 2], [3, np.inf]]), _LABELS[:2], None, "first is segment 1"),
        (_FINE[0], _LABELS, None, r"float\[segments, dim\]"),
        (_FINE[:0], _LABELS[:0], None, r"float\[segments, dim\]"),
        (_FINE, _LABELS[:3], None, "4 embeddings but 3 rows of labels"),
        (_FINE, np.array([0, 1, 2, 3]), None, "one column per class"),
        (_FINE, 2 * _LABELS.astype(int), None, "0/1"),
        (_FINE, _LABELS, ["a", "b"], "4 embeddings but 2 groups"),
        (_FINE, _LABELS, ["a", None, "b", "c"], "segment 1 has no group"),
        (_FINE, _LABELS, [1.0, 2.0, float("nan"), 3.0], "segment 2 has no group"),
    ],
)
@pytest.mark.parametrize("function", [retrieval.query_by_example_map, retrieval.per_query_map])
def test_bad_input_is_named(function, embeddings, labels, groups, message):
    with pytest.raises(ValueError, match=message):
        function(embeddings, labels, groups)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="max_pairs"):
        retrieval.query_by_example_map(_FINE, _LABELS, max_pairs=0)
    for k in (0, 4):
        with pytest.raises(ValueError, match="segments - 1 = 3"):
            retrieval.nearest(_FINE, k)
