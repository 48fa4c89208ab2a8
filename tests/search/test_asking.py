"""Searches of an index by patches, on made-up vectors, and of sound."""

import itertools
import os

import numpy as np
import pandas as pd
import pytest
import soundfile

import audio_triplet
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
from audio_triplet.errors import SearchError
from audio_triplet.search import diffusion, index, index_writer, measuring
from audio_triplet.search.asking import ask
from audio_triplet.search.likeness import Likeness, Moments
from audio_triplet.search.question import Patches
from tests.conftest import RATE, tone
from tests.search.archives import HOP, unit

DIM = 16
MODEL = {"model": "/models/a", "model_digest": "a" * 64, "dim": DIM}


def a_set(seed, files, each, name):
    """Files of patches near to a sound of their own, every third file to that of file 0."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0.2, 1, (files, 1, DIM))
    own[::3] = own[0]
    vectors = unit((own + 0.6 * rng.normal(size=(files, each, DIM))).reshape(-1, DIM))
    names = [f"/sounds/{name}{number}.wav" for number in range(files)]
    start = np.tile(np.arange(each) * HOP, files)
    return EmbeddingSet(
        Manifest(pd.DataFrame({"path": names, "recording_id": names}), name),
        vectors,
        np.repeat(np.arange(files, dtype=np.int32), each),
        np.ones(files * each, np.float32),
        start_seconds=start,
        end_seconds=start + 0.975,
        stamp=np.zeros((files, 2), np.int64),
        origin=Origin("/models/a", "a" * 64, "patch", HOP),
    )


def written(folder, *sets, faiss=False, **options):
    with index_writer.Writer(str(folder), **MODEL | options) as writer:
        for one in sets:
            writer.add(one)
            writer.commit()
        if faiss:
            writer.accelerate("ivf", 0.95)
    return index.Index(str(folder))


@pytest.fixture(scope="module")
def an_index(tmp_path_factory):
    return written(
        tmp_path_factory.mktemp("an") / "index", a_set(1, 30, 6, "a"), a_set(2, 4, 80, "b")
    )


def test_files_by_the_mean_of_the_nearest(an_index):
    """Against the formula, with the archive's own mean and covariance."""
    sets = [a_set(1, 30, 6, "a"), a_set(2, 4, 80, "b")]
    vectors = np.concatenate([one.vectors for one in sets])
    measure = Likeness.of(Moments.of([vectors], DIM))
    query = sets[0].vectors[:4] + 0.1
    expected = {}
    for path, owner in zip(sets[0].manifest.frame["path"], range(30), strict=True):
        own = sets[0].vectors[sets[0].segment_index == owner]
        nearest = (measure.mapped(query) @ measure.mapped(own).T).max(axis=1)
        expected[path] = nearest.mean()
    query = [Patches.of_vectors(query)]
    hits = ask(an_index, query, top=200, per_recording=1, diffuse=False)
    found = {hit.path: hit.score for hit in hits if hit.path in expected}
    # A window is one patch longer than the query: in a file of six no more than five answer.
    assert all(score <= expected[path] + 1e-5 for path, score in found.items())
    assert len(found) == 30 and next(iter(found)) == "/sounds/a0.wav"
    assert np.mean([expected[path] - score for path, score in found.items()]) < 0.02
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_best_speak_for_each_other(an_index):
    """Every third file is of one sound: more of them are found by poor takes of it."""
    vectors = a_set(1, 30, 6, "a").vectors[:3]
    right = np.zeros(2)
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(size=vectors.shape)
        query = [Patches.of_vectors(unit(vectors + 0.3 * noise))]
        for diffuse in (False, True):
            hits = ask(an_index, query, top=10, per_recording=1, diffuse=diffuse)
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores, reverse=True) and 0 < scores[-1] < scores[0] < 1
            right[int(diffuse)] += sum(int(hit.path[9:-4]) % 3 == 0 for hit in hits)
    assert right[1] > right[0] + 10
    # The first hits do not depend on how many are asked for.
    more = ask(an_index, query, top=20, per_recording=1)
    assert [hit.path for hit in more[:10]] == [hit.path for hit in hits]


def test_beyond_the_shortlist_likeness_decides(an_index, monkeypatch):
    query = [Patches.of_vectors(a_set(1, 30, 6, "a").vectors[:4])]
    alone = ask(an_index, query, top=99, per_recording=1, diffuse=False)
    monkeypatch.setattr(diffusion, "SHORTLIST", 5)
    hits = ask(an_index, query, top=99, per_recording=1)
    assert {hit.path for hit in hits[:5]} == {hit.path for hit in alone[:5]}
    assert [hit.path for hit in hits[5:]] == [hit.path for hit in alone[5:]]
    assert all(a.score >= b.score for a, b in itertools.pairwise(hits))


def test_what_is_left_out(an_index):
    query = [Patches.of_vectors(a_set(1, 30, 6, "a").vectors[:4])]
    assert ask(an_index, query, top=3)[0].path == "/sounds/a0.wav"
    own = an_index.recordings_of("/sounds/a0.wav")
    hits = ask(an_index, query, top=99, without=own, per_recording=1)
    assert len(hits) == 33 and "/sounds/a0.wav" not in {hit.path for hit in hits}
    hits = ask(an_index, query, top=99, only=SoundFilter.of(paths=["b*.wav"]))
    assert {hit.path for hit in hits} == {f"/sounds/b{n}.wav" for n in range(4)}
    assert len(hits) > 4
    with pytest.raises(SearchError, match="top must be"):
        ask(an_index, query, top=0)


def test_counter_examples_rank_lower(an_index):
    first = a_set(1, 30, 6, "a")
    like, unlike = (Patches.of_vectors(first.vectors[6 * n : 6 * n + 6]) for n in (0, 3))
    places = []
    for unwanted in ([], [unlike]):
        hits = ask(an_index, [like], unwanted, top=99, per_recording=1)
        places.append([hit.path for hit in hits].index("/sounds/a3.wav"))
        assert hits[0].path == "/sounds/a0.wav"
    assert places[0] < 10 and places[1] > 20  # nobody speaks for it
    both = ask(an_index, [like, Patches.of_vectors(first.vectors[6:12])], top=99, per_recording=1)
    assert {"/sounds/a0.wav", "/sounds/a1.wav"} == {hit.path for hit in both[:2]}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_faiss_gives_nearly_the_same_answers(tmp_path, dtype):
    pytest.importorskip("faiss")
    sets = [a_set(seed, 150, 8, f"s{seed}-") for seed in range(3)]
    found = written(tmp_path, *sets, faiss=True, dtype=dtype)
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:  # FAISS does not cover these
        writer.add(a_set(9, 20, 8, "new"))
    found = index.Index(str(tmp_path))
    assert found.info.faiss
    right = 0
    rng = np.random.default_rng(5)
    for _ in range(20):
        chosen = sets[rng.integers(3)].vectors[rng.integers(1000) :][:4]
        query = [Patches.of_vectors(unit(chosen + 0.2 * rng.normal(size=chosen.shape)))]
        by_faiss, exactly = (
            ask(found, query, top=10, exact=exact, diffuse=False) for exact in (False, True)
        )
        scores = {(hit.path, hit.start_seconds): hit.score for hit in exactly}
        for hit in by_faiss:
            assert hit.score <= exactly[0].score + 1e-5
            right += (hit.path, hit.start_seconds) in scores
    assert right >= 0.95 * 200
    new = [Patches.of_vectors(a_set(9, 20, 8, "new").vectors[16:20])]
    assert ask(found, new, top=1)[0].path == "/sounds/new2.wav"


def test_the_measure_is_kept_and_follows_the_archive(tmp_path):
    first = written(tmp_path, a_set(1, 30, 6, "a"))
    stored, scales = first.likeness
    expected = Likeness.of(Moments.of([a_set(1, 30, 6, "a").vectors], DIM))
    np.testing.assert_allclose(stored.map, expected.map, atol=1e-6)
    np.testing.assert_allclose(scales[0], expected.scales(first.parts[0].vectors), rtol=1e-5)
    files = {name for name in os.listdir(tmp_path) if name.startswith("likeness-")}
    assert len(files) == 1 and isinstance(scales[0], np.memmap)
    # A little more: the same measure. Much more: another, and the old files are gone.
    little = written(tmp_path, a_set(3, 2, 6, "c"))
    np.testing.assert_array_equal(little.likeness[0].map, stored.map)
    much = written(tmp_path, a_set(4, 30, 6, "d"))
    assert np.abs(much.likeness[0].map - stored.map).max() > 1e-4
    vectors = np.concatenate([part.vectors for part in much.parts])
    np.testing.assert_allclose(
        much.likeness[0].mean, Likeness.of(Moments.of([vectors], DIM)).mean, atol=1e-6
    )
    assert len([n for n in os.listdir(tmp_path) if n.startswith("likeness-")]) == len(much.parts)


def test_an_index_without_a_measure_is_searched_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "measure", lambda writer: None)
    bare = written(tmp_path / "bare", a_set(1, 30, 6, "a"))
    monkeypatch.undo()
    full = written(tmp_path / "full", a_set(1, 30, 6, "a"))
    query = [Patches.of_vectors(a_set(1, 30, 6, "a").vectors[:4])]
    hits = [ask(one, query, top=20) for one in (bare, full)]
    assert [hit.path for hit in hits[0]] == [hit.path for hit in hits[1]]
    np.testing.assert_allclose(*([hit.score for hit in each] for each in hits), atol=1e-5)
    # What is damaged is computed anew.
    for name in os.listdir(tmp_path / "full"):
        if name.startswith("likeness-"):
            (tmp_path / "full" / name).write_bytes(b"damaged")
    again = ask(index.Index(str(tmp_path / "full")), query, top=20)
    np.testing.assert_allclose(
        [hit.score for hit in again], [hit.score for hit in hits[1]], atol=1e-6
    )


@pytest.fixture(scope="module")
def long_recording(small_model, tmp_path_factory):
    """A recording of noises and tones, and its index."""
    root = tmp_path_factory.mktemp("long")
    rng = np.random.default_rng(0)
    pieces = [
        tone(3.0, 300 + 170 * n, n) if n % 2 else rng.normal(0, 0.1, 2 * RATE) for n in range(12)
    ]
    sound = np.concatenate(pieces).astype(np.float32)
    soundfile.write(root / "long.wav", sound, RATE, subtype="FLOAT")
    soundfile.write(root / "other.wav", rng.normal(0, 0.1, 9 * RATE), RATE)
    return sound, audio_triplet.build_index(root / "index", root, small_model)


def test_a_copy_comes_first_at_its_moment(long_recording):
    sound, opened = long_recording
    for start, end in ((0.0, 1.5), (4.321, 6.5), (10.05, 12.0), (26.4, 29.99)):
        part = sound[round(start * RATE) : round(end * RATE)]
        for gain in (1.0, 0.5):
            hits = opened.find(gain * part, sample_rate=RATE, top=5)
            assert os.path.basename(hits[0].path) == "long.wav" and hits[0].score > 0.999
            assert hits[0].start_seconds == pytest.approx(start, abs=0.01)
            assert hits[0].end_seconds == pytest.approx(end, abs=0.01)
            assert all(
                hit.end_seconds <= start + 0.01 or hit.start_seconds >= end - 0.01
                for hit in hits[1:]
                if hit.path == hits[0].path
            )


def test_without_its_file_the_grid_of_the_index_stands(long_recording, tmp_path):
    sound, opened = long_recording
    part = sound[round(4.321 * RATE) : round(6.5 * RATE)]
    path = opened.find(part, sample_rate=RATE, top=1)[0].path
    os.rename(path, tmp_path / "moved.wav")
    try:
        hit = opened.find(part, sample_rate=RATE, top=1)[0]
    finally:
        os.rename(tmp_path / "moved.wav", path)
    assert hit.path == path and hit.start_seconds < 6.5 and hit.end_seconds > 4.321
