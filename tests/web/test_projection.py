"""Layouts of embeddings in the plane."""

import numpy as np
import pytest

from audio_triplet.web import projection


def test_layout_keeps_classes_together_whatever_the_lengths():
    labels = np.repeat(np.arange(3), 20)
    rng = np.random.default_rng(0)
    vectors = 4 * np.eye(3, 16)[labels] + 0.5 * rng.standard_normal((60, 16))
    placed = projection.layout(vectors.astype(np.float32), 3)
    distance = np.linalg.norm(placed[:, None] - placed[None], axis=2) + 1e9 * np.eye(60)
    assert (labels[distance.argmin(axis=1)] == labels).all()
    longer = vectors * 2.0 ** rng.integers(-3, 4, (60, 1))  # exact in floating point
    np.testing.assert_array_equal(placed, projection.layout(longer.astype(np.float32), 3))
    np.testing.assert_allclose(placed.mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((5, 3)),
        np.ones((20, 3)),
        np.eye(1, 3),
        np.eye(9, 20),
        np.arange(12.0)[:, None],
    ],
)
def test_layout_of_degenerate_vectors(vectors):
    placed = projection.layout(vectors.astype(np.float32), 0)
    assert placed.shape == (len(vectors), 2) and np.isfinite(placed).all()


def test_a_turned_layout_is_turned_back():
    rng = np.random.default_rng(0)
    target = rng.standard_normal((30, 2))
    mirrored = target @ np.array([[0.6, 0.8], [0.8, -0.6]])
    np.testing.assert_allclose(projection.turned_to(mirrored, target), target, atol=1e-9)


def test_map_names_do_not_overlap_and_scattered_classes_have_none():
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(12), 8)
    centres = rng.uniform(50, 590, (12, 2))
    places = centres[kinds] + 5 * rng.standard_normal((96, 2))
    places[kinds == 3] = rng.uniform(0, 640, (8, 2)) * [1, 1]
    titles = [f"class number {index}" for index in range(12)]
    named = projection.class_labels(places, kinds, titles)
    assert 3 not in [kind for kind, *_ in named] and len(named) >= 6
    width = 6.5 * len(titles[0])
    boxes = []
    for _, x, y, anchor in named:
        left = x - width * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        assert left >= 0 and left + width <= 640
        boxes.append((left, y))
    for index, (x, y) in enumerate(boxes):
        for other_x, other_y in boxes[:index]:
            assert abs(x - other_x) >= width or abs(y - other_y) > 15
