import dataclasses
import datetime
import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet import locks
from audio_triplet.audio import clock
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
from audio_triplet.errors import SearchError
from audio_triplet.search import index, index_format, index_writer
from audio_triplet.search import query as query_module
from audio_triplet.search.asking import ask
from audio_triplet.search.question import Patches
from audio_triplet.search.tables import Tables
from tests.search import earlier_index

MODEL = {"model": "/models/a", "model_digest": "a" * 64, "dim": 8}


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embeddings(seed, files=3, each=4, name="f", dim=8, energy=1.0, stamp=0, recordings=None):
    """A set of random vectors: `files` files of `each` patches."""
    rng = np.random.default_rng(seed)
    count = files * each
    names = [f"/sounds/{name}{number}.wav" for number in range(files)]
    frame = pd.DataFrame(
        {
            "path": names,
            "labels": [f"label{number}" for number in range(files)],
            "recording_id": recordings or names,
        }
    )
    start = np.tile(np.arange(each) * 0.96, files)
    return EmbeddingSet(
        Manifest(frame, name),
        unit(rng.normal(size=(count, dim))),
        np.repeat(np.arange(files, dtype=np.int32), each),
        np.full(count, energy, np.float32),
        start_seconds=start,
        end_seconds=start + 0.975,
        stamp=np.full((files, 2), stamp, np.int64),
        origin=Origin("/models/a", "a" * 64, "patch", 0.96),
    )


def build(folder, *sets, **options):
    with index_writer.Writer(str(folder), **MODEL | options) as writer:
        for one in sets:
            writer.add(one)
            writer.commit()
    return index.Index(str(folder))


def brute_force(sets, query, without=()):
    """(score, path, start) of all, best first, by float64."""
    found = []
    for one in sets:
        paths = one.manifest.frame["path"].to_numpy(object)[one.segment_index]
        scores = one.vectors.astype(np.float64) @ (query / np.linalg.norm(query))
        found += [
            (score, path, start)
            for score, path, start in zip(scores, paths, one.start_seconds, strict=True)
            if path not in without
        ]
    return sorted(found, key=lambda one: -one[0])


def same(hits, expected, atol=1e-6):
    assert len(hits) == len(expected)
    np.testing.assert_allclose([hit.score for hit in hits], [one[0] for one in expected], atol=atol)
    assert [(hit.path, hit.start_seconds) for hit in hits] == [one[1:] for one in expected]


@pytest.mark.parametrize("was_indexed_earlier", [False, True])
def test_filters_equal_brute_force(tmp_path, was_indexed_earlier):
    sets = [
        embeddings(0, 5, 4, "SITE1/20240612_045958_"),
        embeddings(1, 5, 4, "SITE2/20240612_06595"),  # and the number: seconds
        embeddings(2, 3, 4, "SITE1/other"),
    ]
    if was_indexed_earlier:  # without clock times: then they are read from the names
        earlier_index.write(tmp_path, *sets)
    found = index.Index(str(tmp_path)) if was_indexed_earlier else build(tmp_path, *sets)
    query = np.random.default_rng(5).normal(size=8)

    for only in (
        SoundFilter.of(hours=["5-7"]),
        SoundFilter.of(hours=["4-5"]),
        SoundFilter.of(after="2024-06-12T05:00", before="2024-06-12T06:59:53"),
        SoundFilter.of(paths=["SITE1/*"]),
        SoundFilter.of(hours=["4-7"], paths=["SITE2/*"]),
        SoundFilter.of(after="2030-01-01"),
    ):
        expected = [
            one
            for one in brute_force(sets, query)
            if only.takes_path(one[1]) and only.takes_time(_moment(*one[1:]))
        ]
        hits = found.search(query, 99, only=only)
        same(hits, expected)
        for hit in hits:
            moment = _moment(hit.path, hit.start_seconds)
            assert hit.clock_time == (moment.isoformat(timespec="milliseconds") if moment else "")


def _moment(path, seconds):
    began = clock.time_in_name(path)
    return began and began + datetime.timedelta(seconds=seconds)


@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(0, 3))
@settings(max_examples=15)
def test_equals_brute_force(tmp_path_factory, seed, top, per_recording):
    sets = [embeddings(seed, 3, 4, "f"), embeddings(seed + 1, 5, 7, "g")]
    found = build(tmp_path_factory.mktemp("index"), *sets)
    query = np.random.default_rng(seed).normal(size=8)
    expected, count = [], {}
    for one in brute_force(sets, query):
        count[one[1]] = count.get(one[1], 0) + 1
        if not per_recording or count[one[1]] <= per_recording:
            expected.append(one)
    same(found.search(query, top, per_recording=per_recording), expected[:top])
    own = sets[0].manifest.frame["path"][1]
    without = found.recordings_of(own)
    assert len(without) == 1
    same(found.search(query, top, without=without), brute_force(sets, query, {own})[:top])


def test_many_blocks_in_threads_and_half_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(index_format, "BLOCK", 64)
    monkeypatch.setattr(index_writer, "SMALL_PART_VECTORS", 500)
    sets = [embeddings(n, 40, 25, f"s{n}") for n in range(3)]
    query = np.random.default_rng(9).normal(size=8)
    expected = brute_force(sets, query)[:50]
    found = build(tmp_path / "single", *sets)
    assert len(found.info.parts) == 3 and len(found) == 3000
    same(found.search(query, 50), expected)
    half = build(tmp_path / "half", *sets, dtype="float16")
    assert half.bytes < found.bytes
    scores = [hit.score for hit in half.search(query, 50)]
    np.testing.assert_allclose(scores, [one[0] for one in expected], atol=2e-3)


def test_ties_come_in_the_order_of_adding(tmp_path):
    one = embeddings(0, 6, 1)
    one.vectors[:] = one.vectors[0]
    hits = build(tmp_path, one).search(one.vectors[0], 4)
    assert [hit.path for hit in hits] == [f"/sounds/f{n}.wav" for n in range(4)]
    assert hits[0].labels == ("label0",) and hits[0].end_seconds == pytest.approx(0.975)


def test_hits_of_one_recording_can_be_bounded_and_left_out(tmp_path):
    one = embeddings(0, 4, 5, recordings=["r", "r", "x", "y"])
    found = build(tmp_path, one)
    hits = found.search(one.vectors[0], 20, per_recording=2)
    assert sorted(hit.recording_id for hit in hits) == ["r", "r", "x", "x", "y", "y"]
    # Both files of the recording go, whichever of them asks.
    hits = found.search(one.vectors[0], 20, without=found.recordings_of("/sounds/f1.wav"))
    assert {hit.recording_id for hit in hits} == {"x", "y"} and len(hits) == 10
    assert found.recordings_of("/sounds/elsewhere.wav") == set()


def test_nothing_is_added_twice_and_changed_files_are_replaced(tmp_path):
    first, changed = embeddings(0, 3, 4), embeddings(1, 3, 2, stamp=7).select(np.arange(3) < 2)
    found = build(tmp_path, first, first)
    assert (len(found), found.segments, found.files) == (12, 3, 3)
    found = build(tmp_path, first)
    assert len(found) == 12
    old = index.Index(str(tmp_path))
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        writer.add(changed)
        writer.commit()
        assert writer.replaced == 2
        between = index.Index(str(tmp_path))  # dropped, not yet put together
    query = np.random.default_rng(3).normal(size=8)
    kept = first.select(np.arange(3) == 2)
    for now in (between, index.Index(str(tmp_path))):
        assert (len(now), now.segments, now.files) == (8, 3, 3)
        same(now.search(query, 99), brute_force([changed, kept], query))
    assert len(index.Index(str(tmp_path)).info.parts) == 1
    same(old.search(query, 5), brute_force([first], query)[:5])  # a reader keeps what it opened


def test_missing_are_those_not_there_as_they_are_now(tmp_path):
    files = [tmp_path / f"{n}.wav" for n in range(3)]
    for file in files:
        file.write_bytes(b"x")
    manifest = Manifest(pd.DataFrame({"path": [str(file) for file in files]}))
    one = embeddings(0, 2, 2)
    stamp = np.array([[os.stat(f).st_size, os.stat(f).st_mtime_ns] for f in files[:2]])
    one = dataclasses.replace(one, manifest=manifest.take(np.arange(2)), stamp=stamp)
    folder = str(tmp_path / "index")
    with index_writer.Writer(folder, **MODEL) as writer:
        assert writer.missing(manifest).tolist() == [0, 1, 2]
        writer.add(one)
        assert writer.missing(manifest).tolist() == [2]
    files[1].write_bytes(b"longer")
    os.remove(files[2])
    with index_writer.Writer(folder, **MODEL) as writer:
        assert writer.missing(manifest).tolist() == [1, 2]


def test_silence_is_left_out_but_known(tmp_path):
    silent, loud = embeddings(0, 2, 3, "q", energy=1e-4), embeddings(1, 1, 3, "l")
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        assert writer.add(silent) == 0 and writer.add(loud) == 3 and writer.add(silent) == 0
        assert writer.silent == 6
    found = index.Index(str(tmp_path))
    assert (len(found), found.segments, found.files) == (3, 3, 3)
    assert {hit.path for hit in found.search(np.ones(8), 9)} == {"/sounds/l0.wav"}


def test_an_index_of_silence_alone_finds_nothing(tmp_path):
    found = build(tmp_path, embeddings(0, 2, 3, energy=0.0))
    assert len(found) == 0 and found.search(np.ones(8), 5) == []


# --- one model, one writer, old or new -----------------------------------------------------------


def test_vectors_of_another_model_are_refused(tmp_path):
    build(tmp_path, embeddings(0))
    with pytest.raises(SearchError, match="of another .* cannot be compared"):
        index_writer.Writer(str(tmp_path), **MODEL | {"model_digest": "b" * 64})
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        one = embeddings(1)
        origin = dataclasses.replace(one.origin, model_digest="b" * 64)
        other = dataclasses.replace(one, origin=origin)
        with pytest.raises(SearchError, match="cannot be compared"):
            writer.add(other)
        origin = dataclasses.replace(one.origin, granularity="segment")
        with pytest.raises(SearchError, match="granularity"):
            writer.add(dataclasses.replace(one, origin=origin))
        long = dataclasses.replace(one, vectors=2 * one.vectors)
        with pytest.raises(SearchError, match="unit norm"):
            writer.add(long)
    assert len(index.Index(str(tmp_path))) == 12


def test_a_second_writer_is_told(tmp_path):
    code = (
        "import sys; from audio_triplet.search import index_writer\n"
        "from audio_triplet.errors import LockedError\n"
        "try:\n"
        "    index_writer.Writer(sys.argv[1], model='/models/a', model_digest='a' * 64, dim=8)\n"
        "except LockedError as error:\n"
        "    print(error)\n"
    )
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        writer.add(embeddings(0))
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
    assert "another process is writing it" in done.stdout
    assert len(index.Index(str(tmp_path))) == 12


class Killed(BaseException):
    pass


@pytest.mark.parametrize("call", range(25))
def test_a_kill_at_any_step_loses_nothing_that_was_added(tmp_path, monkeypatch, call):
    """Every call that makes something visible or takes it away is the last one in turn."""
    first, second = embeddings(0, name="a"), embeddings(1, name="b")
    folder = str(tmp_path / "index")
    build(folder, first)
    count = 0

    def dying(real):
        def step(*arguments, **keywords):
            nonlocal count
            count += 1
            if count == call + 1:
                raise Killed
            return real(*arguments, **keywords)

        return step

    for module, name in (
        (os, "replace"),
        (os, "rename"),
        (os, "makedirs"),
        (os, "fsync"),
        (index_writer.shutil, "rmtree"),
    ):
        monkeypatch.setattr(module, name, dying(getattr(module, name)))
    finished = False
    try:
        writer = index_writer.Writer(folder, **MODEL)
        try:
            writer.add(second)
            writer.commit()
            finished = True
            writer.merge()
        finally:
            writer.close()
    except Killed:
        pass
    monkeypatch.undo()
    query = np.random.default_rng(5).normal(size=8)
    found = index.Index(folder)
    assert len(found) in ((24,) if finished else (12, 24))
    sets = [first, second][: len(found) // 12]
    same(found.search(query, 30), brute_force(sets, query)[:30])
    found = build(folder, second)  # the same again goes on, and clears away what was left
    same(found.search(query, 30), brute_force([first, second], query)[:30])
    assert {name for name in os.listdir(folder) if not name.startswith("likeness-")} == {
        *("index.json", "index.sqlite"),
        *(part.name for part in found.info.parts),
    }


@pytest.mark.slow
def test_a_killed_process_leaves_a_readable_index(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from tests.search.test_index import MODEL, embeddings, index_writer\n"
        "writer = index_writer.Writer(sys.argv[1], **MODEL)\n"
        "writer.add(embeddings(0, name='a')); writer.commit()\n"
        "writer.add(embeddings(1, name='b'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(index.Index(str(tmp_path))) == 12
    assert len(build(tmp_path, embeddings(1, name="b"))) == 24


def test_a_reader_that_meets_a_merge_reads_again(tmp_path, monkeypatch):
    sets = [embeddings(0, name="a"), embeddings(1, name="b")]
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        for one in sets:
            writer.add(one)
            writer.commit()
        stale = index.Index(str(tmp_path)).info
    assert len(stale.parts) == 2
    real, waiting = Tables.info, [stale]
    monkeypatch.setattr(Tables, "info", lambda self: waiting.pop() if waiting else real(self))
    assert len(index.Index(str(tmp_path))) == 24


# --- what is wrong -------------------------------------------------------------------------------


def test_what_is_no_index_is_named(tmp_path):
    with pytest.raises(SearchError, match=r"index\.sqlite is missing"):
        index.Index(str(tmp_path / "none"))
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(SearchError, match="is a file"):
        index.Index(str(file))
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.doc").write_text("x")
    with pytest.raises(SearchError, match="not empty"):
        index_writer.Writer(str(strange), **MODEL)
    assert os.listdir(strange) == ["thesis.doc"]


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(99)])
def test_damaged_tables_are_named(tmp_path, content):
    build(tmp_path, embeddings(0))
    (tmp_path / "index.sqlite").write_bytes(content)
    with pytest.raises(SearchError, match=r"index\.sqlite: is damaged"):
        index.Index(str(tmp_path))
    (tmp_path / "index.sqlite").unlink()
    with pytest.raises(SearchError, match=r"index\.sqlite: is missing"):
        index.Index(str(tmp_path))
    with pytest.raises(SearchError, match=r"index\.sqlite: is missing"):
        index_writer.Writer(str(tmp_path), **MODEL)  # it would clear the parts away


def test_tables_of_another_version_are_named(tmp_path):
    build(tmp_path, embeddings(0))
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(SearchError, match="format 9"):
        index.Index(str(tmp_path))


def test_a_damaged_part_is_named(tmp_path):
    found = build(tmp_path, embeddings(0))
    vectors = tmp_path / found.info.parts[0].name / "vectors.npy"
    content = vectors.read_bytes()
    for damage in (content[:300], b"", embeddings(0).vectors[:3].tobytes()):
        vectors.write_bytes(damage)
        with pytest.raises(SearchError, match="part-.*damaged"):
            index.Index(str(tmp_path))
    vectors.unlink()
    with pytest.raises(SearchError, match="is missing"):
        index.Index(str(tmp_path))


@pytest.mark.parametrize("query", [np.zeros(8), np.ones(7), np.full(8, np.nan), np.ones((2, 8))])
def test_a_wrong_query_is_named(tmp_path, query):
    with pytest.raises(SearchError, match="8 finite numbers"):
        build(tmp_path, embeddings(0)).search(query)


def test_examples_and_counter_examples():
    a, b = np.eye(4)[:2]
    np.testing.assert_allclose(query_module.combine([a]), a)
    np.testing.assert_allclose(query_module.combine([a, b]), (a + b) / np.sqrt(2), atol=1e-7)
    away = query_module.combine([(a + b) / np.sqrt(2)], [b])
    assert away @ a > away @ b > 0
    with pytest.raises(SearchError, match="cancel"):
        query_module.combine([a, -a])


# --- FAISS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "ivfpq"])
def test_faiss_finds_what_exact_search_finds(tmp_path, kind, monkeypatch):
    pytest.importorskip("faiss")
    sets = [embeddings(n, 100, 20, f"s{n}") for n in range(2)]
    build(tmp_path, *sets)
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        built = writer.accelerate(kind, 0.95)
        assert writer.uncovered == 0
    # Codes are half a byte a dimension, numbers 8 bytes.
    assert 0.95 <= built.recall <= 1 and built.bytes > 4000 * (12 if kind == "ivfpq" else 32)
    found = index.Index(str(tmp_path))
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(20):
        query = rng.normal(size=8)
        exact = {(h.path, h.start_seconds) for h in found.search(query, 10, exact=True)}
        fast = found.search(query, 10)
        shares.append(len(exact & {(h.path, h.start_seconds) for h in fast}) / 10)
        truth = {(path, start): score for score, path, start in brute_force(sets, query)}
        for hit in fast:
            assert hit.score == pytest.approx(truth[hit.path, hit.start_seconds], abs=1e-5)
    assert np.mean(shares) > 0.85
    # What is added later, changed or left out is right at once, without building again.
    later = embeddings(7, 1, 1, "later")
    changed = embeddings(8, 1, 1, "s0", stamp=5)
    found = build(tmp_path, later, changed)
    assert found.info.faiss == built
    assert found.search(later.vectors[0], 1)[0].path == "/sounds/later0.wav"
    hits = found.search(sets[0].vectors[0], 3)
    assert hits[0].score < 0.9999 and all(
        hit.start_seconds == 0 for hit in hits if hit.path == "/sounds/s00.wav"
    )
    without = found.recordings_of("/sounds/s13.wav")
    assert without
    hits = found.search(sets[1].vectors[3 * 20], 5, without=without)
    assert len(hits) == 5 and not any(hit.path == "/sounds/s13.wav" for hit in hits)
    # More than FAISS looks at is answered exactly.
    assert len(found.search(sets[0].vectors[0], 3900)) == 3900


def test_rescored_is_the_best_by_products(tmp_path):
    from audio_triplet.search import faiss_search

    found = build(tmp_path, embeddings(0, 3, 7), embeddings(1, 2, 9, "b"))
    vectors = np.concatenate([np.array(part.vectors) for part in found.parts])
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(4, 8)).astype(np.float32)
    ids = np.stack([rng.choice(len(vectors), 20, replace=False) for _ in queries])
    ids[2, 5:] = -1
    best = faiss_search.rescored(found.parts, queries, ids, 6)
    for query, row, answer in zip(queries, ids, best, strict=True):
        right = sorted(row[row >= 0].tolist(), key=lambda number: -float(vectors[number] @ query))
        assert answer.tolist() == (right[:6] + [-1] * 6)[:6]


def test_recall_that_cannot_be_reached_is_told(tmp_path):
    pytest.importorskip("faiss")
    build(tmp_path, embeddings(0, 1, 5))
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        with pytest.raises(SearchError, match="too few vectors"):
            writer.accelerate()
        with pytest.raises(SearchError, match="none of ivf, hnsw, ivfpq"):
            writer.accelerate("magic")


def test_without_faiss_its_absence_is_told(tmp_path, monkeypatch):
    build(tmp_path, embeddings(0, 10, 10))
    monkeypatch.setitem(sys.modules, "faiss", None)
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        with pytest.raises(SearchError, match=r"audio_triplet\[search\]"):
            writer.accelerate()
    assert len(index.Index(str(tmp_path)).search(np.ones(8))) == 10
    assert locks.LOCK_FILE not in os.listdir(tmp_path)


def test_energies_are_kept_and_parts_of_earlier_versions_have_none(tmp_path):
    """An index whose first part an earlier version wrote is searched and merged like any other."""
    loud = np.random.default_rng(0).lognormal(0, 1, 12).astype(np.float32)
    sets = [
        dataclasses.replace(embeddings(seed, name=f"f{seed}"), energy=loud + seed)
        for seed in (0, 1)
    ]
    made = build(tmp_path / "made", *sets)
    [part] = made.parts
    np.testing.assert_array_equal(part.spans["energy"], np.concatenate([loud, loud + 1]))
    old = build(tmp_path / "old", sets[0])
    [part] = old.parts
    asked = [Patches.of_vectors(sets[0].vectors[:3])]
    hits = ask(old, asked, diffuse=False)
    earlier = np.empty(12, [("start", "<f8"), ("end", "<f8")])
    earlier["start"], earlier["end"] = part.spans["start"], part.spans["end"]
    np.save(os.path.join(part.path, "spans.npy"), earlier)
    assert ask(index.Index(old.folder), asked, diffuse=False) == hits and len(hits) == 3
    assert len(ask(index.Index(old.folder), asked)) == 3
    added = build(tmp_path / "old", sets[1])  # merged
    [part] = added.parts
    assert np.isnan(part.spans["energy"][:12]).all()
    np.testing.assert_array_equal(part.spans["energy"][12:], loud + 1)
    assert ask(added, asked, diffuse=False) == ask(made, asked, diffuse=False)
    assert len(ask(added, asked)) == 6
    vectors, starts, _ = added.vectors_of_segments([1, 2, 4, 5])
    assert len(vectors) == len(starts) == 16
