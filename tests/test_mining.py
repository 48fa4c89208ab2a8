import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet import losses, mining


def brute_force(anchor, positive, candidates, allowed):
    """The rule, one comparison at a time, in float64."""
    chosen = []
    for a, p, row in zip(anchor, positive, allowed, strict=True):
        to_positive = np.sum((a - p) ** 2)
        best, farthest = None, None
        for index in np.flatnonzero(row):
            distance = np.sum((a - candidates[index]) ** 2)
            if farthest is None or distance > farthest[0]:
                farthest = (distance, index)
            if distance > to_positive and (best is None or distance < best[0]):
                best = (distance, index)
        chosen.append((best or farthest or (0, 0))[1])
    return chosen


def test_by_hand():
    """Anchor 0, positive at 2 (distance 4); candidates at 1, 3, 4, -5: 1, 9, 16, 25.

    Semi-hard is the closest one beyond 4, i.e. at 3. Without the first three, only 1 is left,
    which is not beyond the positive: the farthest allowed one, itself. Without 3: at 4.
    """
    a, p = tf.zeros([3, 1]), tf.fill([3, 1], 2.0)
    candidates = tf.constant([[1.0], [3.0], [4.0], [-5.0]])
    allowed = [[True] * 4, [True, False, False, False], [True, False, True, True]]
    chosen = mining.semi_hard_negatives(a, p, candidates, tf.constant(allowed))
    assert chosen.dtype == tf.int32
    assert chosen.numpy().tolist() == [1, 0, 2]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 20),
    count=st.integers(1, 40),
    dim=st.integers(1, 8),
    unit=st.booleans(),
)
def test_equals_brute_force(seed, batch, count, dim, unit):
    random = np.random.default_rng(seed)
    anchor, positive = random.normal(size=(2, batch, dim))
    candidates = random.normal(size=(count, dim))
    if unit and dim > 1:
        anchor, positive, candidates = (
            x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchor, positive, candidates)
        )
    anchor, positive, candidates = (x.astype("f4") for x in (anchor, positive, candidates))
    allowed = random.uniform(size=(batch, count)) < 0.6
    ours = mining.semi_hard_negatives(anchor, positive, candidates, allowed).numpy()
    twin = brute_force(*(x.astype("f8") for x in (anchor, positive, candidates)), allowed)
    for row, (mine, theirs) in enumerate(zip(ours, twin, strict=True)):
        if mine != theirs:  # only where float32 cannot tell the two apart
            distance = ((anchor[row] - candidates[[mine, theirs]].astype("f8")) ** 2).sum(1)
            assert abs(distance[0] - distance[1]) < 1e-5 * max(1, distance.max())


@pytest.fixture
def tile(monkeypatch):
    """Sets how many pairs a tile has."""
    return lambda pairs: monkeypatch.setattr(mining, "_TILE", pairs)


def grid_points(random, batch, count, dim=3):
    """Points with whole coordinates: distances are exact, and many of them are equal."""
    anchor, positive = random.integers(-3, 4, (2, batch, dim)).astype("f4")
    candidates = random.integers(-3, 4, (count, dim)).astype("f4")
    allowed = random.uniform(size=(batch, count)) < random.choice([0.02, 0.5, 1.0])
    return anchor, positive, candidates, allowed


@pytest.mark.parametrize(
    ("pairs", "compiled"), [(1, False), (90, False), (1000, False), (90, True)]
)
def test_tiles_choose_as_all_at_once(tile, pairs, compiled):
    """Ties, rows that allow nothing, rows without a farther one, and a last tile that overlaps."""
    random = np.random.default_rng(pairs)
    for batch, count in ((65, 40),) if compiled else ((1, 5), (7, 33), (31, 31), (30, 1200)):
        points = grid_points(random, batch, count)
        tile(batch * count)
        whole = mining.semi_hard_negatives(*points).numpy()
        np.testing.assert_array_equal(whole, brute_force(*points))
        tile(pairs)
        tiled = tf.function(mining.semi_hard_negatives, jit_compile=compiled)(*points)
        assert tiled.dtype == tf.int32
        np.testing.assert_array_equal(tiled, whole)


def test_tiles_leave_loss_and_gradient_as_they_are(tile):
    random = np.random.default_rng(3)
    anchor, positive = (
        tf.constant(x / np.linalg.norm(x, axis=1, keepdims=True), tf.float32)
        for x in random.normal(size=(2, 64, 32))
    )
    allowed = ~tf.eye(64, dtype=tf.bool)

    @tf.function
    def loss_and_gradient(anchor, positive):
        with tf.GradientTape() as tape:
            tape.watch((anchor, positive))
            index = mining.semi_hard_negatives(anchor, positive, anchor, allowed)
            loss = losses.triplet_loss(anchor, positive, tf.gather(anchor, index))
        return loss, *tape.gradient(loss, (anchor, positive))

    tile(200)  # three anchors at a time
    ours = loss_and_gradient(anchor, positive)
    index = brute_force(*(np.float64(x) for x in (anchor, positive, anchor)), allowed.numpy())
    # By hand: d/da (|a-p|² - |a-n|²) = 2(n - p), d/dp = 2(p - a), d/dn = 2(a - n), where active.
    a, p = np.float64(anchor), np.float64(positive)
    n = a[index]
    loss = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + 0.1
    active = (loss > 0)[:, None]
    to_anchor = active * 2 * (n - p)
    np.add.at(to_anchor, index, active * 2 * (a - n))
    np.testing.assert_allclose(ours[0], np.maximum(loss, 0), atol=1e-5)
    np.testing.assert_allclose(ours[1], to_anchor, atol=1e-5)
    np.testing.assert_allclose(ours[2], active * 2 * (p - a), atol=1e-5)


def test_shapes_known_only_when_run(tile):
    tile(10)
    signature = [
        tf.TensorSpec([None, 3]),
        tf.TensorSpec([None, 3]),
        tf.TensorSpec([None, 3]),
        tf.TensorSpec([None, None], tf.bool),
    ]
    mine = tf.function(mining.semi_hard_negatives, input_signature=signature)
    points = grid_points(np.random.default_rng(5), 20, 30)
    np.testing.assert_array_equal(mine(*map(tf.constant, points)), brute_force(*points))


def test_never_takes_what_is_not_allowed():
    random = np.random.default_rng(0)
    anchor, positive = random.normal(size=(2, 64, 16)).astype("f4")
    recording = random.integers(0, 8, 64)
    allowed = recording[:, None] != recording[None, :]
    chosen = mining.semi_hard_negatives(anchor, positive, anchor, allowed).numpy()
    assert (recording[chosen] != recording).all()


def test_a_copy_of_the_positive_is_not_farther_than_it():
    random = np.random.default_rng(1)
    anchor, positive, far = random.normal(size=(3, 50, 128)).astype("f4")
    anchor, positive = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchor, positive))
    far = -anchor
    candidates = np.concatenate([positive, far])
    allowed = np.concatenate([np.eye(50, dtype=bool), np.eye(50, dtype=bool)], axis=1)
    chosen = mining.semi_hard_negatives(anchor, positive, candidates, allowed).numpy()
    np.testing.assert_array_equal(chosen, 50 + np.arange(50))


def test_bfloat16_embeddings_are_measured_in_float32():
    x = tf.cast(tf.random.stateless_normal([8, 4], [0, 1]), tf.bfloat16)
    assert mining.squared_distances(x, x).dtype == tf.float32
    chosen = mining.semi_hard_negatives(x, x, x, ~tf.eye(8, dtype=tf.bool))
    assert chosen.shape == (8,)


def test_all_equal_embeddings_and_no_allowed_candidate():
    x = tf.ones([4, 3])
    chosen = mining.semi_hard_negatives(x, x, x, tf.zeros([4, 4], tf.bool))
    assert ((chosen.numpy() >= 0) & (chosen.numpy() < 4)).all()
    chosen = mining.semi_hard_negatives(x, x, x, ~tf.eye(4, dtype=tf.bool)).numpy()
    assert (chosen != np.arange(4)).all()


def test_hardest_and_random():
    random = np.random.default_rng(2)
    anchor, candidates = random.normal(size=(6, 3)).astype("f4"), random.normal(size=(9, 3))
    allowed = random.uniform(size=(6, 9)) < 0.5
    allowed[:, 0] = True
    distances = ((anchor[:, None] - candidates[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(
        mining.hardest_negatives(anchor, candidates.astype("f4"), allowed),
        np.where(allowed, distances, np.inf).argmin(1),
    )
    drawn = {tuple(mining.random_negatives(tf.constant(allowed), [s, 0]).numpy()) for s in range(9)}
    assert len(drawn) > 3
    assert all(allowed[row, c] for one in drawn for row, c in enumerate(one))
