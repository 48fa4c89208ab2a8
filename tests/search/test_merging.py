"""Merging: the same as if the sounds had been added directly, whatever both indices hold."""

import os
import tempfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
from audio_triplet.errors import SearchError
from audio_triplet.search import index_writer, merging
from audio_triplet.search.index import Index
from audio_triplet.search.outline import Outline
from tests.search import earlier_index
from tests.search.index_content import assert_same, assert_same_segment, content
from tests.search.test_index import MODEL, build, embeddings, unit

FILES = 6


def moment(age, files):
    """Sound of some files, all as old: (set, outlines). A file in a state has the same vectors.

    Args:
      age: Time of change of the files, and what their random numbers depend on.
      files: (file, which halves of it).
    """
    rows, vectors, energy, outlines = [], [], [], []
    for file, halves in files:
        is_silent = np.random.default_rng([age, file]).random() < 0.2
        for half in sorted(halves):
            rng = np.random.default_rng([age, file, half])
            count = int(rng.integers(1, 4))
            path = f"/sounds/ä{file % 2}/{file}_20240612_{file:02d}0000.wav"
            begin, end = (0.0, 5.0) if half == 0 else (5.0, np.nan)
            rows.append((path, begin, end, f"recording{file // 2}", ["", "a;b", "c"][file % 3]))
            vectors.append(rng.normal(size=(count, MODEL["dim"])))
            energy.append(np.full(count, 0.0 if is_silent else 1.0, np.float32))
            levels = rng.integers(0, 255, (30, 5)).astype(np.uint8)
            outlines.append(Outline(int(rng.integers(9)), 30, levels) if file % 2 else None)
    names = ["path", "start_seconds", "end_seconds", "recording_id", "labels"]
    frame = pd.DataFrame(rows, columns=names)
    number = np.repeat(np.arange(len(rows), dtype=np.int32), list(map(len, vectors)))
    start = np.concatenate(
        [row[1] + np.arange(len(v)) for row, v in zip(rows, vectors, strict=True)]
    )
    made = EmbeddingSet(
        Manifest(frame, "made"),
        unit(np.concatenate(vectors)),
        number,
        np.concatenate(energy),
        start_seconds=start,
        end_seconds=start + 0.975,
        stamp=np.full((len(rows), 2), age, np.int64),
        origin=Origin("/models/a", "a" * 64, "patch", 0.96),
    )
    return made, outlines


some_files = st.lists(
    st.tuples(st.integers(0, FILES - 1), st.sets(st.integers(0, 1), min_size=1)),
    min_size=1,
    max_size=FILES,
    unique_by=lambda one: one[0],
)


def fill(writer, ages):
    """Adds moments, each as a part."""
    for age, files in ages:
        writer.add(*moment(age, files))
        writer.commit()


def ages(least):
    """Of an index: moments, none before the one that was added before it."""
    return st.lists(st.tuples(st.integers(least, least + 2), some_files), max_size=3).map(
        lambda made: sorted(made, key=lambda one: one[0])
    )


def close(writer):
    """As it is: its parts are not merged."""
    writer.commit()
    writer.close()


@settings(max_examples=10, deadline=None)
@given(ages(1), ages(3), ages(5))
def test_merging_is_adding_of_the_same_sounds(first, second, third):
    with tempfile.TemporaryDirectory() as folder:
        direct = index_writer.Writer(f"{folder}/direct", **MODEL)
        merged = index_writer.Writer(f"{folder}/merged", **MODEL)
        for number, made in enumerate((first, second, third)):
            apart = index_writer.Writer(f"{folder}/{number}", **MODEL)
            fill(apart, made)
            close(apart)
            # What an index dropped because its file had changed is in no other.
            last = content(f"{folder}/{number}")
            fill(direct, made)
            merging.merge(merged, f"{folder}/{number}")
            now = content(f"{folder}/merged")
            for key, held in last.items():
                assert_same_segment(now[key], held)
            assert merging.merge(merged, f"{folder}/{number}") == 0
        close(direct)
        close(merged)
        assert_same(content(f"{folder}/merged"), content(f"{folder}/direct"))


@settings(max_examples=10, deadline=None)
@given(ages(1), ages(3))
def test_of_a_file_that_both_hold_the_younger_stays(old, young):
    with tempfile.TemporaryDirectory() as folder:
        for name, made in (("old", old), ("young", young)):
            writer = index_writer.Writer(f"{folder}/{name}", **MODEL)
            fill(writer, made)
            close(writer)
        with index_writer.Writer(f"{folder}/merged", **MODEL) as writer:
            for name in ("young", "old"):
                merging.merge(writer, f"{folder}/{name}")
        younger = content(f"{folder}/young")
        state = {path: held.stamp for (path, *_), held in younger.items()}
        expected = younger | {
            key: held
            for key, held in content(f"{folder}/old").items()
            if state.get(key[0], held.stamp) == held.stamp and key not in younger
        }
        assert_same(content(f"{folder}/merged"), expected)


def test_a_killed_merge_leaves_the_index_as_it_was(tmp_path, monkeypatch):
    build(tmp_path / "a", embeddings(0, stamp=1))
    build(tmp_path / "b", embeddings(1, stamp=2), embeddings(2, name="more"))
    before = content(tmp_path / "a")
    writer = index_writer.Writer(str(tmp_path / "a"), **MODEL)
    monkeypatch.setattr("audio_triplet.search.taking._WRITE_OUTLINES", "SELECT nothing")
    with pytest.raises(SearchError):
        merging.merge(writer, str(tmp_path / "b"))
    assert writer.replaced == 0 and len(writer.info.parts) == 1
    monkeypatch.undo()
    assert merging.merge(writer, str(tmp_path / "b")) == 6  # it may be tried again
    assert writer.replaced == 3
    writer.close()
    assert len(before) == 3 and len(content(tmp_path / "a")) == 6


def test_an_index_of_an_earlier_version_that_cannot_be_converted(tmp_path, monkeypatch):
    sets = embeddings(0), embeddings(1, name="more")
    earlier_index.write(tmp_path / "earlier", *sets, dropped=[1])
    build(tmp_path / "expected", *sets)

    def fails(folder):
        raise PermissionError(folder)

    monkeypatch.setattr("audio_triplet.search.earlier_format.convert", fails)
    with index_writer.Writer(str(tmp_path / "merged"), **MODEL) as writer:
        assert merging.merge(writer, str(tmp_path / "earlier")) == 5
    vectors = {key[0]: held.vectors for key, held in content(tmp_path / "expected").items()}
    held = {key[0]: held for key, held in content(tmp_path / "merged").items()}
    assert len(held) == 5 and "/sounds/f1.wav" not in held
    for path, one in held.items():
        np.testing.assert_array_equal(one.vectors, vectors[path])


def test_merged_is_what_one_writer_would_have_made(tmp_path):
    sets = [embeddings(seed, name=f"{seed}-") for seed in range(3)]
    build(tmp_path / "one", *sets)
    for number, one in enumerate(sets):
        build(tmp_path / f"apart{number}", one)
    with index_writer.Writer(str(tmp_path / "merged"), **MODEL) as writer:
        taken = [merging.merge(writer, str(tmp_path / f"apart{number}")) for number in range(3)]
        assert taken == [3, 3, 3]
        # Before the parts are merged, their vectors are the other indices' own files.
        (part,) = Index(str(tmp_path / "apart2")).info.parts
        source = os.stat(tmp_path / "apart2" / part.name / "vectors.npy")
        name = writer.info.parts[2].name
        assert os.path.samestat(source, os.stat(tmp_path / "merged" / name / "vectors.npy"))
        assert merging.merge(writer, str(tmp_path / "apart1")) == 0  # nothing twice
    assert_same(content(tmp_path / "merged"), content(tmp_path / "one"))
    query = sets[1].vectors[5]
    one, merged = (Index(str(tmp_path / name)).search(query, 4) for name in ("one", "merged"))
    assert [(hit.path, hit.score) for hit in merged] == [(hit.path, hit.score) for hit in one]


def test_what_both_hold_is_of_the_younger_file(tmp_path):
    old, young = embeddings(0, stamp=10), embeddings(1, stamp=20)
    build(tmp_path / "old", old, embeddings(2, name="more"))
    build(tmp_path / "young", young)
    expected = content(tmp_path / "young") | {
        key: held for key, held in content(tmp_path / "old").items() if "more" in key[0]
    }
    for first, second in (("old", "young"), ("young", "old")):
        folder = tmp_path / f"{first}-first"
        with index_writer.Writer(str(folder), **MODEL) as writer:
            merging.merge(writer, str(tmp_path / first))
            merging.merge(writer, str(tmp_path / second))
        assert_same(content(folder), expected)


def test_silent_segments_and_other_types_of_numbers(tmp_path):
    build(tmp_path / "quiet", embeddings(0, energy=0.0), dtype="float16")
    build(tmp_path / "half", embeddings(1, name="b"), dtype="float16")
    with index_writer.Writer(str(tmp_path / "merged"), **MODEL) as writer:
        assert merging.merge(writer, str(tmp_path / "quiet")) == 3
        assert merging.merge(writer, str(tmp_path / "half")) == 3
    merged = Index(str(tmp_path / "merged"))
    assert merged.segments == 6 and len(merged) == 12 and merged.info.dtype == "float32"
    half = content(tmp_path / "half")
    quiet = 0
    for key, held in content(tmp_path / "merged").items():
        quiet += not len(held.vectors)
        if key in half:
            assert held.vectors.dtype == np.float32
            np.testing.assert_array_equal(held.vectors, half[key].vectors.astype(np.float32))
    assert quiet == 3


def test_what_does_not_fit_is_refused(tmp_path):
    build(tmp_path / "a", embeddings(0))
    with index_writer.Writer(str(tmp_path / "b"), **MODEL | {"model_digest": "b" * 64}) as writer:
        with pytest.raises(SearchError, match="model"):
            merging.merge(writer, str(tmp_path / "a"))
        with pytest.raises(SearchError, match="is the index itself; name another one"):
            merging.merge(writer, str(tmp_path / "b"))
        with pytest.raises(SearchError):
            merging.merge(writer, str(tmp_path / "none"))
