import os

import numpy as np
import pytest

from audio_triplet.errors import SearchError
from audio_triplet.search import index_writer, merging
from audio_triplet.search.index import Index
from audio_triplet.search.index_format import Part
from tests.search.test_index import MODEL, build, embeddings


def content(folder):
    """Path → the vectors, times and names that an index has of it; every owner is checked."""
    found = Index(str(folder))
    held = {}
    for info in found.info.parts:
        part = Part(str(folder), info, found.info.dim)
        for row in found.tables.segments_to_copy(info.id):
            place = slice(row.first, row.first + row.count)
            assert set(part.owners[place].tolist()) == {row.id}
            times = part.spans["start"][place].tolist()
            held[row.path] = (np.array(part.vectors[place]), times, row.labels, row.size)
    return held


def assert_same(one, other):
    assert one.keys() == other.keys()
    for path, (vectors, *rest) in one.items():
        np.testing.assert_array_equal(vectors, other[path][0])
        assert rest == list(other[path][1:])


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
        path: value for path, value in content(tmp_path / "old").items() if "more" in path
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
    for path, (vectors, *_) in content(tmp_path / "merged").items():
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, half[path][0].astype(np.float32))


def test_what_does_not_fit_is_refused(tmp_path):
    build(tmp_path / "a", embeddings(0))
    with index_writer.Writer(str(tmp_path / "b"), **MODEL | {"model_digest": "b" * 64}) as writer:
        with pytest.raises(SearchError, match="model"):
            merging.merge(writer, str(tmp_path / "a"))
        with pytest.raises(SearchError, match="is the index itself; name another one"):
            merging.merge(writer, str(tmp_path / "b"))
        with pytest.raises(SearchError):
            merging.merge(writer, str(tmp_path / "none"))
