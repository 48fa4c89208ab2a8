import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from audio_triplet.classify import by_likeness
from audio_triplet.classify.by_likeness import LikenessClassifier
from audio_triplet.classify.combined import combined
from audio_triplet.search.likeness import Likeness, Moments
from tests.zip_damage import refused_when_flagged

DIM = 12


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype("f4")


def sounds(lengths, seed=0, places=3):
    """Patches of sounds around one of a few places each: vectors, owner, energy, labels."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    column = np.arange(len(lengths)) % places
    centres = 1.5 * np.eye(DIM)[column]
    vectors = unit(centres[owner] + rng.normal(size=(len(owner), DIM)))
    return vectors, owner, np.ones(len(owner), "f4"), np.eye(places, dtype=bool)[column]


GIVEN = sounds([1, 3, 2, 5, 9, 4] * 6)


def thin(vectors):
    """At most six, evenly spread."""
    if len(vectors) <= 6:
        return vectors
    return vectors[np.linspace(0, len(vectors) - 1, 6).round().astype(int)]


def shares(energy):
    loud = np.sqrt(energy - 0.95 * energy.min())
    return loud / loud.sum()


def twin(vectors, owner, energy, labels, asked):
    """The same by the formulas, one pair of sounds after the other: scores of the asked sounds.

    asked: vectors and energies of each.
    """
    learned = [(thin(vectors[owner == n]), thin(energy[owner == n])) for n in range(len(labels))]
    raw = np.concatenate([each for each, _ in learned])
    counted = np.concatenate([len(loud) * shares(loud) for _, loud in learned])[:, None]
    measure = Likeness.of(Moments.of([raw], DIM))
    classes = np.repeat(labels.argmax(axis=1), [len(each) for each, _ in learned])
    mapped = measure.mapped(raw).astype(float)
    centres = [
        (counted * mapped)[classes == c].sum(axis=0) / counted[classes == c].sum() for c in range(3)
    ]
    apart = (mapped - np.stack([centres[c] for c in classes])) * np.sqrt(counted)
    size = (apart**2).mean()
    covariance = (apart.T @ apart + by_likeness.PRIOR * size * np.eye(DIM)) / (
        len(raw) + by_likeness.PRIOR
    )
    values, axes = np.linalg.eigh(covariance)
    within = axes @ np.diag(values**-0.5) @ axes.T

    def kernel(one, other):
        (one, loud), (other, other_loud) = one, other
        one, other = (unit(measure.mapped(each) @ within) for each in (one, other))
        products = one @ other.T
        there = shares(loud) @ products.max(axis=1)
        alike = (there + shares(other_loud) @ products.max(axis=0)) / 2
        return np.exp(2 * (alike - 1))

    own = np.array([[kernel(one, other) for other in learned] for one in learned])
    values, axes = np.linalg.eigh((own + own.T) / 2)
    axes = axes[:, values > 1e-3] / np.sqrt(values[values > 1e-3])
    mean = (own @ axes).mean(axis=0)
    size = np.sqrt(((own @ axes - mean) ** 2).sum(axis=1).mean())
    model = LogisticRegression(C=30.0, max_iter=1000, tol=1e-6)
    model.fit((own @ axes - mean) / size, labels.argmax(axis=1))
    theirs = np.array([[kernel(one, other) for other in learned] for one in asked])
    return model.predict_proba((theirs @ axes - mean) / size)


@pytest.mark.parametrize("uneven", [0.0, 1.0])
def test_it_is_the_formula(uneven):
    vectors, owner, energy, labels = GIVEN
    rng = np.random.default_rng(5)
    energy = rng.lognormal(0, uneven, len(energy))
    fitted = by_likeness.fit(vectors, owner, energy, labels, single=True)
    asked, of, *_ = sounds([1, 2, 5, 3], seed=4)
    loud = rng.lognormal(0, uneven, len(of))
    expected = twin(
        vectors, owner, energy, labels, [(asked[of == n], loud[of == n]) for n in range(4)]
    )
    found = fitted.predict_segments(asked, of, 4, energy=loud)
    np.testing.assert_allclose(found, expected, atol=0.01)
    if not uneven:
        np.testing.assert_array_equal(fitted.predict_segments(asked, of, 4), found)
    each = [(asked[n : n + 1], np.ones(1)) for n in range(11)]
    alone = twin(vectors, owner, energy, labels, each)
    np.testing.assert_allclose(fitted.predict_patches(asked), alone, atol=0.01)


def test_the_measure_holds_down_what_differs_inside_a_class():
    rng = np.random.default_rng(0)
    labels = np.eye(2, dtype=bool)[np.arange(4000) % 2]
    vectors = rng.normal(size=(4000, 4)) * [3.0, 0.3, 0.3, 0.3]
    vectors[:, 1] += np.where(labels[:, 0], 1.0, -1.0)
    within = by_likeness._within(vectors.astype("f4"), labels, np.ones(4000))
    np.testing.assert_allclose(within, within.T, atol=1e-6)
    sizes = np.diag(within)
    assert sizes[1:] == pytest.approx(sizes[1], rel=0.05) and sizes[1] > 1.5 * sizes[0]
    few = by_likeness._within(vectors[:8].astype("f4"), labels[:8], np.ones(8))
    np.testing.assert_allclose(few, np.eye(4), atol=0.02)  # eight patches say nothing yet


def test_a_sound_is_known_by_one_patch_among_others():
    """Four patches of any sound, one of the class's own: the mean of them says little."""
    rng = np.random.default_rng(1)
    labels = np.eye(4, dtype=bool)[np.arange(120) % 4]
    owner = np.repeat(np.arange(120), 5)
    vectors = unit(rng.normal(size=(600, DIM)) * np.repeat([0.1, 1.0], [4, 8]))
    own = 5 * np.arange(120) + rng.integers(0, 5, 120)
    vectors[own] = unit(np.eye(DIM)[labels.argmax(axis=1)] + 0.1 * rng.normal(size=(120, DIM)))
    energy = np.ones(600, "f4")
    learned, asked = owner < 80, owner >= 80
    fitted = by_likeness.fit(vectors[learned], owner[learned], energy[learned], labels[:80], True)
    found = fitted.predict_segments(vectors[asked], owner[asked] - 80, 40)
    assert (found.argmax(axis=1) == labels[80:].argmax(axis=1)).mean() > 0.9


def test_order_does_not_matter_and_scores_sum_to_one():
    vectors, owner, energy, labels = GIVEN
    fitted = by_likeness.fit(vectors, owner, energy, labels, True)
    found = fitted.predict_segments(vectors, owner, len(labels))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found.argmax(axis=1) == labels.argmax(axis=1)).mean() > 0.9
    # Segments in turns, each segment's own patches in their order.
    order = np.argsort(np.arange(len(owner)) - np.searchsorted(owner, owner), kind="stable")
    mixed = fitted.predict_segments(vectors[order], owner[order], len(labels))
    np.testing.assert_allclose(mixed, found, atol=1e-6)
    again = by_likeness.fit(vectors[order], owner[order], energy[order], labels, True)
    np.testing.assert_array_equal(again.weights, fitted.weights)
    parts = [fitted.predict_patches(vectors[n : n + 1])[0] for n in range(5)]
    np.testing.assert_allclose(fitted.predict_patches(vectors[:5]), parts, atol=1e-6)


def test_blocks_give_what_one_gives(monkeypatch):
    vectors, owner, energy, labels = GIVEN
    fitted = by_likeness.fit(vectors, owner, energy, labels, True)
    at_once = fitted.predict_segments(vectors, owner, len(labels))
    monkeypatch.setattr(by_likeness, "_PRODUCTS", 7 * len(labels))
    np.testing.assert_allclose(
        fitted.predict_segments(vectors, owner, len(labels)), at_once, atol=1e-6
    )


def test_long_segments_are_scored_by_windows():
    vectors, owner, energy, labels = GIVEN
    fitted = by_likeness.fit(vectors, owner, energy, labels, True)
    first, last = vectors[owner == 3], vectors[owner == 4][:5]
    both = np.concatenate([first, last])
    parts = fitted.predict_segments(both, np.repeat([0, 1], 5), 2)
    whole = fitted.predict_segments(both, np.zeros(10, int), 1)
    np.testing.assert_allclose(whole[0], parts.mean(axis=0), atol=1e-6)
    closer = fitted.predict_segments(both, np.zeros(10, int), 1, window_patches=10)
    assert np.abs(closer - whole).max() > 1e-4


def test_silence_says_nothing_unless_there_is_nothing_else():
    vectors, owner, energy, labels = GIVEN
    fitted = by_likeness.fit(vectors, owner, energy, labels, True)
    sound, silent = vectors[owner == 3], unit(np.ones((3, DIM)))
    both, of = np.concatenate([sound, silent]), np.zeros(8, int)
    heard = np.repeat([1.0, 0.0], [5, 3]).astype("f4")
    np.testing.assert_allclose(
        fitted.predict_segments(both, of, 1, energy=heard),
        fitted.predict_segments(sound, np.zeros(5, int), 1),
        atol=1e-6,
    )
    nothing = fitted.predict_segments(silent, np.zeros(3, int), 1, energy=np.zeros(3, "f4"))
    np.testing.assert_allclose(nothing.sum(), 1, atol=1e-5)
    # As it learns: the same with silence between.
    longer = np.insert(vectors, np.flatnonzero(owner == 4)[2], silent, axis=0)
    owners = np.insert(owner, np.flatnonzero(owner == 4)[2], [4, 4, 4])
    energies = np.insert(energy, np.flatnonzero(owner == 4)[2], 0.0 * energy[:3])
    again = by_likeness.fit(longer, owners, energies, labels, True)
    np.testing.assert_array_equal(again.weights, fitted.weights)


def test_several_classes_of_a_sound_have_a_probability_each():
    rng = np.random.default_rng(2)
    labels = rng.random((90, 3)) < 0.45
    labels[:3] = np.eye(3)
    owner = np.repeat(np.arange(90), 3)
    vectors = unit(labels[owner] @ np.eye(3, DIM) * 1.5 + 0.4 * rng.normal(size=(270, DIM)))
    energy = np.ones(270, "f4")
    fitted = by_likeness.fit(vectors[:180], owner[:180], energy[:180], labels[:60], single=False)
    found = fitted.predict_segments(vectors[180:], owner[180:] - 60, 30)
    for column in range(3):
        assert average_precision_score(labels[60:, column], found[:, column]) > 0.9
    assert (found.sum(axis=1) > 1.3).any() and found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize("single", [True, False])
def test_two_classes_and_one_without_a_sound(single):
    vectors, owner, energy, labels = sounds([3] * 20, places=2)
    labels = np.insert(labels, 1, False, axis=1)
    fitted = by_likeness.fit(vectors, owner, energy, labels, single)
    found = fitted.predict_segments(vectors, owner, 20)
    assert (found[:, 1] < 1e-6).all()
    assert (found.argmax(axis=1) == labels.argmax(axis=1)).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5 if single else 0.2)


def test_sounds_that_are_all_the_same_are_guessed():
    labels = np.eye(2, dtype=bool)[[0, 0, 0, 1]]
    vectors = np.tile(unit(np.ones((1, DIM))), (8, 1))
    fitted = by_likeness.fit(vectors, np.arange(8) // 2, np.ones(8, "f4"), labels, single=True)
    np.testing.assert_allclose(fitted.predict_patches(vectors[:2]), [[0.75, 0.25]] * 2, atol=0.02)


def test_of_many_sounds_the_classes_are_learned_from_in_turns(monkeypatch):
    labels = np.zeros((100, 3), bool)
    labels[:90, 0] = labels[90:96, 1] = labels[94:, 2] = True  # two are of both
    kept = by_likeness._in_turns(labels, 20, seed=0)
    assert len(set(kept)) == 20 and (np.diff(kept) > 0).all()
    assert set(range(90, 100)) <= set(kept)
    monkeypatch.setattr(by_likeness, "MOST_LEARNED", 12)
    vectors, owner, energy, given = GIVEN
    fitted = by_likeness.fit(vectors, owner, energy, given, True)
    assert len(fitted.counts) == 12
    found = fitted.predict_segments(vectors, owner, len(given))
    assert (found.argmax(axis=1) == given.argmax(axis=1)).mean() > 0.6


def test_saved_and_read(tmp_path):
    vectors, owner, energy, labels = GIVEN
    fitted = by_likeness.fit(vectors, owner, energy, labels, True)
    assert LikenessClassifier.load(str(tmp_path)) is None
    fitted.save(str(tmp_path))
    read = LikenessClassifier.load(str(tmp_path))
    np.testing.assert_array_equal(read.predict_patches(vectors), fitted.predict_patches(vectors))
    path = tmp_path / "likeness.npz"
    with np.load(path) as arrays:
        earlier = {name: arrays[name] for name in arrays.files if name != "shares"}
    whole = path.read_bytes()
    np.savez(path, **earlier)
    np.testing.assert_allclose(
        LikenessClassifier.load(str(tmp_path)).predict_segments(vectors, owner, len(labels)),
        fitted.predict_segments(vectors, owner, len(labels)),
        atol=1e-6,
    )
    path.write_bytes(whole)
    refused_when_flagged(path, lambda: LikenessClassifier.load(str(tmp_path)), ValueError)
    for damage in (path.read_bytes()[:-200], b"nothing"):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"likeness\.npz: is damaged"):
            LikenessClassifier.load(str(tmp_path))
    with np.errstate(all="raise"), pytest.raises(ValueError, match="dimensions"):
        fitted.predict_patches(vectors[:, :5])


def test_both_together_is_the_product_of_powers():
    described, likeness = np.array([[0.64, 0.36], [1.0, 0.0]]), np.array([[0.5, 0.5], [0.2, 0.8]])
    found = combined(described, likeness, single=True)
    np.testing.assert_allclose(found[0], [0.8 / 1.4, 0.6 / 1.4])
    assert found[1, 0] > 0.99
    # Odds of 4 to the power 1/2, times odds of 3.
    several = combined(np.array([[0.8, 0.5]]), np.array([[0.75, 0.5]]), single=False)
    np.testing.assert_allclose(several, [[6 / 7, 0.5]])
