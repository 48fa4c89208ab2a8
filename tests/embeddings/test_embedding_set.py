import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest

from audio_triplet.config import EmbedConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import embed
from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
from audio_triplet.embeddings.set_files import (
    join,
    load_for_corpus,
    load_set,
    save_for_corpus,
    save_set,
)
from audio_triplet.errors import ArchiveError, CorpusError
from tests.embeddings.conftest import files
from tests.zip_damage import refused_when_flagged


def by_hand():
    manifest = Manifest(pd.DataFrame({"path": ["/a", "/b", "/c"]}))
    return EmbeddingSet(
        manifest,
        np.array([[1.0, 0], [3, 2], [5, 5], [7, 7], [0, 4]], "f4"),
        np.array([0, 0, 1, 2, 2], "i4"),
        np.array([1.0, 0.0, 0.0, 2.0, 3.0], "f4"),
        row=np.arange(3),
    )


def test_means_by_hand():
    found = by_hand()
    np.testing.assert_allclose(found.segment_means, [[2, 1], [5, 5], [3.5, 5.5]])
    # The silent patch of the first segment is left out; the second has nothing else.
    np.testing.assert_allclose(found.audible_segment_means(0.5), [[1, 0], [5, 5], [3.5, 5.5]])
    # By roots of energies: 1 and next to nothing; alike where nothing is heard; √2 and √3.
    last = (np.sqrt(2) * np.array([7, 7]) + np.sqrt(3) * np.array([0, 4])) / (2**0.5 + 3**0.5)
    np.testing.assert_allclose(found.loud_segment_means, [[1, 0], [5, 5], last], atol=1e-5)
    part = found.select(np.array([True, False, True]))
    np.testing.assert_allclose(part.segment_means, [[2, 1], [3.5, 5.5]])
    assert list(part.manifest.frame["path"]) == ["/a", "/c"] and part.row.tolist() == [0, 2]


def test_a_set_without_sources_is_not_kept_as_one_with_them(tmp_path):
    with pytest.raises(ArchiveError, match="do not say where they are from"):
        save_set(by_hand(), str(tmp_path / "set.npz"))
    with pytest.raises(CorpusError, match="without rows"):
        save_for_corpus(dataclasses.replace(by_hand(), row=None), str(tmp_path / "set.npz"))
    assert os.listdir(tmp_path) == []


def test_saved_and_loaded(tmp_path):
    found = by_hand()
    path = str(tmp_path / "e.npz")
    save_for_corpus(found, path)
    back = load_for_corpus(path, found.manifest)
    np.testing.assert_array_equal(back.vectors, found.vectors)
    part = found.select(np.array([False, True, True]))
    save_for_corpus(part, path)
    back = load_for_corpus(path, found.manifest)
    assert list(back.manifest.frame["path"]) == ["/b", "/c"]
    with pytest.raises(CorpusError, match="other segments"):
        load_for_corpus(path, found.manifest.take(np.array([0, 1])))


@pytest.fixture(scope="module")
def embedded(small_model, sounds):
    manifest = files(*sounds, labels=["x;y" if "s1" in path else "" for path in sounds])
    found = list(embed.embed_files(small_model, manifest))
    return EmbeddingSet.of(manifest, found, Origin.of(small_model, EmbedConfig()))


@pytest.mark.parametrize("name", ["set.npz", "set.parquet"])
def test_a_set_is_read_as_it_was_written(embedded, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = str(tmp_path / name)
    save_set(embedded, path)
    back = load_set(path)
    assert back.manifest.frame.equals(embedded.manifest.frame)
    for field in ("stamp", "vectors", "segment_index", "start_seconds", "end_seconds", "energy"):
        mine, theirs = getattr(embedded, field), getattr(back, field)
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype
    assert back.origin == embedded.origin and len(back.origin.model_digest) == 64
    assert (back.origin.granularity, back.origin.hop_seconds) == ("patch", 0.96)
    assert os.listdir(tmp_path) == [name]


def test_an_npz_needs_no_pickle_and_a_parquet_no_package_of_ours(embedded, tmp_path):
    save_set(embedded, str(tmp_path / "set.npz"))
    with np.load(tmp_path / "set.npz", allow_pickle=False) as file:
        assert file["embeddings"].shape == (len(embedded), 24)
        np.testing.assert_allclose(file["timestamps"], file["start_seconds"] + 0.4875)
        assert {str(path) for path in file["path"]} == set(embedded.manifest.frame["path"])
    pytest.importorskip("pyarrow")
    save_set(embedded, str(tmp_path / "set.parquet"))
    frame = pd.read_parquet(tmp_path / "set.parquet")
    assert len(frame) == len(embedded)
    np.testing.assert_array_equal(np.stack(frame["embeddings"]), embedded.vectors)
    paths = embedded.manifest.frame["path"].to_numpy()[embedded.segment_index]
    assert list(frame["path"]) == list(paths)


def test_select_and_join_are_inverse(embedded):
    keep = np.arange(len(embedded.manifest)) % 2 == 0
    both = join([embedded.select(keep), embedded.select(~keep)])
    order = np.argsort(
        both.manifest.frame["path"].to_numpy(object)[both.segment_index], kind="stable"
    )
    mine = np.argsort(
        embedded.manifest.frame["path"].to_numpy(object)[embedded.segment_index], kind="stable"
    )
    np.testing.assert_array_equal(both.vectors[order], embedded.vectors[mine])
    np.testing.assert_array_equal(both.start_seconds[order], embedded.start_seconds[mine])


def test_what_is_on_disk_has_the_names_of_older_versions(embedded, tmp_path):
    path = str(tmp_path / "set.npz")
    save_set(embedded, path)
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {
            *("config", "embeddings", "timestamps", "start_seconds", "end_seconds", "energy"),
            *("segment", "stamp", "segment_start_seconds", "segment_end_seconds"),
            *("path", "recording_id", "labels", "split"),
        }
        config = json.loads(str(file["config"]))
    assert set(config) == {"model", "model_digest", "level", "hop_seconds"}
    save_for_corpus(embedded, path)
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {"row", "patch", "patch_segment", "patch_energy", "names"}


def test_damaged_sets_are_named(embedded, tmp_path):
    path = tmp_path / "set.npz"
    save_set(embedded, str(path))
    content = path.read_bytes()
    for damage in (b"", b"PK\x03\x04junk", content[: len(content) // 2], b"\x93NUMPY"):
        path.write_bytes(damage)
        with pytest.raises(ArchiveError, match=r"set\.npz: not a set"):
            load_set(str(path))
    path.write_bytes(content)
    refused_when_flagged(path, lambda: load_set(str(path)), ArchiveError)
    np.savez(path, embeddings=np.zeros((2, 3)))
    with pytest.raises(ArchiveError, match="not a set"):
        load_set(str(path))
    with pytest.raises(ArchiveError, match="no such file"):
        load_set(str(tmp_path / "none.npz"))
    os.remove(path)
    with pytest.raises(ArchiveError, match="no embeddings"):
        load_set(str(tmp_path))
