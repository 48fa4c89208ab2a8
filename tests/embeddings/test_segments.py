import numpy as np
import pytest
import soundfile

from audio_triplet import features, models
from audio_triplet.data import shard_source
from audio_triplet.embeddings import segments
from audio_triplet.errors import CorpusError


def test_flat_baseline_of_a_real_file(prepared):
    source = shard_source.ShardChunks(prepared)
    found = segments.embed(source, source.manifest, segments.flat, batch_size=7)
    assert len(found.manifest) == len(source.manifest) == 20
    assert found.patch.shape[1] == 96 * 64
    for number, path in enumerate(found.manifest.frame["path"]):
        sound, _ = soundfile.read(path, dtype="float32")
        energies = features.patches(features.mel_energies(sound))
        expected = features.log_mel(energies).numpy().reshape(len(energies), -1)
        mine = found.patch[found.patch_segment == number]
        np.testing.assert_allclose(mine, expected, atol=2e-3)
        np.testing.assert_allclose(found.segment[number], expected.mean(0), atol=2e-3)
        np.testing.assert_allclose(
            found.patch_energy[found.patch_segment == number],
            energies.numpy().mean((1, 2)),
            rtol=1e-2,
            atol=1e-6,
        )


def test_encoder_in_any_batch_size(prepared):
    encoder = models.build_encoder(width=0.0625, embedding_size=8)
    source = shard_source.ShardChunks(prepared, ("test",))
    one = segments.embed(source, source.manifest, encoder, batch_size=3)
    other = segments.embed(source, source.manifest, encoder, batch_size=64)
    np.testing.assert_allclose(one.patch, other.patch, atol=1e-5)
    assert set(one.manifest.frame["split"]) == {"test"}
    np.testing.assert_array_equal(
        source.manifest.frame["path"].to_numpy()[one.row], one.manifest.frame["path"].to_numpy()
    )


def by_hand():
    import pandas as pd

    from audio_triplet.data.manifest import Manifest

    manifest = Manifest(pd.DataFrame({"path": ["/a", "/b", "/c"]}))
    return segments.SegmentEmbeddings(
        manifest,
        np.arange(3),
        np.array([[1.0, 0], [3, 2], [5, 5], [7, 7], [0, 4]], "f4"),
        np.array([0, 0, 1, 2, 2], "i4"),
        np.array([1.0, 0.0, 0.0, 2.0, 3.0], "f4"),
    )


def test_means_by_hand():
    found = by_hand()
    np.testing.assert_allclose(found.segment, [[2, 1], [5, 5], [3.5, 5.5]])
    # The silent patch of the first segment is left out; the second has nothing else.
    np.testing.assert_allclose(found.audible_segment(0.5), [[1, 0], [5, 5], [3.5, 5.5]])
    part = found.select(np.array([True, False, True]))
    np.testing.assert_allclose(part.segment, [[2, 1], [3.5, 5.5]])
    assert list(part.manifest.frame["path"]) == ["/a", "/c"] and part.row.tolist() == [0, 2]


def test_saved_and_loaded(tmp_path):
    found = by_hand()
    path = str(tmp_path / "e.npz")
    found.save(path)
    back = segments.SegmentEmbeddings.load(path, found.manifest)
    np.testing.assert_array_equal(back.patch, found.patch)
    part = found.select(np.array([False, True, True]))
    part.save(path)
    back = segments.SegmentEmbeddings.load(path, found.manifest)
    assert list(back.manifest.frame["path"]) == ["/b", "/c"]
    with pytest.raises(CorpusError, match="other segments"):
        segments.SegmentEmbeddings.load(path, found.manifest.take(np.array([0, 1])))
