"""Archives that were recorded otherwise, against the moments they should have and plain means."""

import numpy as np
import pytest

from audio_triplet.classify import adaptation
from audio_triplet.classify.adaptation import Ground

DIM, CLASSES = 12, 4


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4")


def archive(rng, counts, patches=3, spread=0.25):
    """Patches of so many sounds of each class, the sound of each, labels."""
    places = 1.5 * np.eye(DIM)[:CLASSES] + 1.0  # all of a class's own, and of what they share
    of_class = np.repeat(np.arange(CLASSES), counts)
    sounds = places[of_class] + spread * rng.normal(size=(len(of_class), DIM))
    vectors = np.repeat(sounds, patches, axis=0)
    vectors = unit(vectors + spread * rng.normal(size=vectors.shape))
    return (
        vectors,
        np.repeat(np.arange(len(of_class)), patches),
        np.eye(CLASSES, dtype=bool)[of_class],
    )


def otherwise(vectors, rng):
    """By another microphone: all drawn together, and moved."""
    other = rng.normal(size=DIM)
    other[:CLASSES] = [0.8, 0, 0.5, 0]  # so that it all seems of the first class
    return unit(0.5 * vectors + 0.5 * other / np.linalg.norm(other))


@pytest.fixture(scope="module")
def labelled():
    return archive(np.random.default_rng(0), [40] * CLASSES)


@pytest.fixture(scope="module")
def ground(labelled):
    vectors, owner, labels = labelled
    return Ground.of(vectors, owner, np.ones(len(vectors)), labels)


@pytest.fixture(scope="module")
def scores(labelled):
    """Nearest class by a linear fit on the labelled sounds' means."""
    from sklearn.linear_model import LogisticRegression

    vectors, _, labels = labelled
    model = LogisticRegression(C=100, max_iter=2000)
    model.fit(vectors.reshape(-1, 3, DIM).mean(axis=1), labels.argmax(axis=1))

    def of(vectors, owner, count, energy):
        assert len(vectors) == len(owner) == len(energy)
        total = np.zeros((count, DIM))
        np.add.at(total, owner, vectors)
        return model.predict_proba(total / np.bincount(owner, minlength=count)[:, None])

    return of


def split(vectors, owner):
    return np.split(vectors, np.flatnonzero(np.diff(owner)) + 1)


def accuracy(scores, vectors, owner, labels):
    found = scores(vectors, owner, len(labels), np.ones(len(vectors))).argmax(axis=1)
    return (found == labels.argmax(axis=1)).mean()


def test_ground_is_class_means_and_what_varies_inside_them(labelled, ground):
    vectors, owner, labels = labelled
    of_class = labels.argmax(axis=1)[owner]
    for number in range(CLASSES):
        expected = vectors[of_class == number].mean(axis=0)
        np.testing.assert_allclose(ground.means[number], expected, atol=1e-6)
    apart = vectors - ground.means[of_class]
    np.testing.assert_allclose(ground.within, apart.T @ apart / len(apart), atol=1e-6)
    mean, covariance = ground.moments(np.full(CLASSES, 1 / CLASSES))  # classes are of one size here
    np.testing.assert_allclose(mean, vectors.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(vectors.T, bias=True), atol=1e-6)


def test_silence_counts_for_nothing_and_long_sounds_for_no_more(labelled, ground):
    vectors, owner, labels = labelled
    noise = unit(np.random.default_rng(4).normal(size=(len(labels), DIM)))
    longer = np.concatenate([vectors, vectors[owner < 9], noise])
    of = np.concatenate([owner, owner[owner < 9], np.arange(len(labels))])
    energy = np.concatenate([np.ones(len(longer) - len(labels)), np.zeros(len(labels))])
    found = Ground.of(longer, of, energy, labels)
    np.testing.assert_allclose(found.means, ground.means, atol=1e-6)
    np.testing.assert_allclose(found.within, ground.within, atol=1e-6)


@pytest.mark.parametrize("counts", [[50] * 4, [120, 60, 15, 5], [90, 90, 0, 0]])
def test_an_archive_of_another_microphone_is_classified_again(ground, scores, counts):
    rng = np.random.default_rng(7)
    clean, owner, labels = archive(rng, counts)
    vectors = otherwise(clean, rng)
    before = accuracy(scores, vectors, owner, labels)
    move = adaptation.find(ground, scores, split(vectors, owner), split(np.ones(len(owner)), owner))
    after = accuracy(scores, move(vectors), owner, labels)
    assert after > before + 0.05 and after > 0.99
    # To the labelled sounds' mean, whatever classes there are, is not enough.
    if 0 in counts:
        plain = unit(vectors - vectors.mean(axis=0) + ground.means.mean(axis=0))
        assert accuracy(scores, plain, owner, labels) < after - 0.04


def test_an_archive_like_the_labelled_sounds_stays(ground, scores):
    vectors, owner, labels = archive(np.random.default_rng(8), [100] * 4)
    energies = split(np.ones(len(owner)), owner)
    move = adaptation.find(ground, scores, split(vectors, owner), energies)
    moved = move(vectors)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)
    assert (moved * vectors).sum(axis=1).mean() > 0.99
    difference = accuracy(scores, moved, owner, labels) - accuracy(scores, vectors, owner, labels)
    assert abs(difference) < 0.02


def test_many_sounds_get_the_moments_that_are_wanted(ground, scores, monkeypatch):
    rng = np.random.default_rng(9)
    clean, owner, labels = archive(rng, [60] * 4)
    vectors = otherwise(clean, rng)
    for name in ("SOUNDS_FOR_MEAN", "SOUNDS_FOR_CORRELATIONS"):
        monkeypatch.setattr(adaptation, name, 0.0)
    energies = split(np.ones(len(owner)), owner)
    move = adaptation.find(ground, scores, split(vectors, owner), energies)
    moved = (vectors - move.begin) @ move.map + move.end  # before it is brought to unit norm
    wanted = scores(move(vectors), owner, len(labels), np.ones(len(vectors))).mean(axis=0)
    mean, covariance = ground.moments(wanted)
    np.testing.assert_allclose(moved.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(np.cov(moved.T), covariance, atol=0.1 * covariance.max())


def test_few_sounds_are_moved_little(ground, scores):
    rng = np.random.default_rng(10)
    clean, owner, _ = archive(rng, [2, 0, 0, 0])
    vectors = otherwise(clean, rng)
    move = adaptation.find(ground, scores, split(vectors, owner), split(np.ones(6), owner))
    assert (move(vectors) * vectors).sum(axis=1).min() > 0.9
    assert adaptation.find(ground, scores, [], []) is None


def test_it_is_found_by_some_and_used_for_all(ground, scores, monkeypatch):
    vectors, owner, _ = archive(np.random.default_rng(11), [30] * 4)
    monkeypatch.setattr(adaptation, "MOST_SOUNDS", 7)
    asked = []

    def counted(vectors, owner, count, energy):
        asked.append(count)
        return scores(vectors, owner, count, energy)

    energies = split(np.ones(len(owner)), owner)
    adaptation.find(ground, counted, split(vectors, owner), energies)
    assert asked == [7] * adaptation.STEPS
    monkeypatch.setattr(adaptation, "MOST_PATCHES", 14)  # two of each sound's three
    lengths = []

    def measured(vectors, owner, count, energy):
        lengths.append(len(vectors))
        return scores(vectors, owner, count, energy)

    adaptation.find(ground, measured, split(vectors, owner), energies)
    assert lengths == [14] * adaptation.STEPS


def test_an_archive_of_no_class_is_moved_to_all_of_them(ground):
    vectors, owner, _ = archive(np.random.default_rng(12), [30] * 4)

    def nothing(vectors, owner, count, energy):
        return np.zeros((count, CLASSES), "f4")

    move = adaptation.find(
        ground, nothing, split(vectors, owner), split(np.ones(len(owner)), owner)
    )
    np.testing.assert_allclose(move.end, ground.means.mean(axis=0), atol=1e-6)
    assert np.isfinite(move(vectors)).all()


def watched(ground, scores, vectors, owner, labels):
    watch = adaptation.Watch(ground)
    every = scores(vectors, owner, len(labels), np.ones(len(owner)))
    for sound, of in zip(split(vectors, owner), every, strict=True):
        silent = np.ones((1, DIM), "f4")  # looked at no more than it is learned from
        energy = np.append(np.ones(len(sound)), 0)
        watch.add(np.concatenate([sound, silent]), energy, np.stack([of, of]))
    return watch.apart


@pytest.mark.parametrize("counts", [[50] * 4, [100, 100, 0, 0]])
def test_what_lies_apart_is_told(ground, scores, counts, monkeypatch):
    rng = np.random.default_rng(13)
    clean, owner, labels = archive(rng, counts)
    assert watched(ground, scores, clean, owner, labels) is None
    moved = otherwise(clean, rng)
    found = watched(ground, scores, moved, owner, labels)
    wanted = scores(moved, owner, len(labels), np.ones(len(owner))).mean(axis=0)
    mean, covariance = ground.moments(wanted)
    chance = 1 / 200 + (wanted**2 / 40).sum()  # sounds of the archive, labelled ones of a class
    shift = (moved.mean(axis=0) - mean) ** 2 / np.diag(covariance)
    expected = np.sqrt(shift.mean() - chance)
    assert found == pytest.approx(expected, rel=1e-5) and found > adaptation.APART
    monkeypatch.setattr(adaptation, "SOUNDS_TO_TELL", 1000)  # of few nothing is told
    assert watched(ground, scores, moved, owner, labels) is None


def test_chance_is_not_told(scores):
    """Of two classes with five labelled sounds each, as both would be drawn again."""
    told = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        vectors, owner, labels = archive(rng, [5, 5, 0, 0], spread=0.6)
        few = Ground.of(vectors, owner, np.ones(len(owner)), labels)
        again, owner, labels = archive(rng, [50, 50, 0, 0], spread=0.6)

        def right(vectors, owner, count, energy, labels=labels):
            return labels.astype("f4")

        told.append(watched(few, right, again, owner, labels))
    assert sum(apart is not None for apart in told) <= 3


def test_saved_and_read(ground, tmp_path):
    assert Ground.load(str(tmp_path)) is None
    ground.save(str(tmp_path))
    found = Ground.load(str(tmp_path))
    np.testing.assert_array_equal(found.means, ground.means)
    np.testing.assert_array_equal(found.within, ground.within)
    assert found.sounds.tolist() == [40] * CLASSES
    (tmp_path / "ground.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"ground\.npz: is damaged"):
        Ground.load(str(tmp_path))
