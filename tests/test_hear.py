import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import features, hear, models
from audio_triplet.embeddings import saved_model
from audio_triplet.errors import ExportError
from tests.conftest import tone


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("hear") / "export")
    saved_model.export(models.build_encoder(width=0.0625, embedding_size=12), path, {})
    return hear.load_model(path)


def test_attributes(model):
    assert isinstance(model, tf.Module)
    assert model.sample_rate == 16000
    sizes = model.scene_embedding_size, model.timestamp_embedding_size
    assert sizes == (12, 12) and all(isinstance(size, int) for size in sizes)
    assert {tuple(v.shape) for v in model.variables} >= {(3, 3, 1, 4), (12,)}  # real weights


@pytest.mark.parametrize("seconds", [0.02, 0.5, 1.0, 3.21])
def test_timestamps_are_even_and_within_the_clip(model, seconds):
    audio = np.stack([tone(seconds, 300), tone(seconds, 900)])
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    assert embeddings.dtype == timestamps.dtype == tf.float32
    assert embeddings.shape[:2] == timestamps.shape and embeddings.shape[2] == 12
    steps = np.diff(timestamps.numpy(), axis=1)
    assert (steps == 50).all() and timestamps[0, 0] == 0
    end = 1000 * audio.shape[1] / 16000
    assert end - 50 < timestamps[0, -1] <= end
    np.testing.assert_array_equal(timestamps[0], timestamps[1])


def test_an_embedding_is_that_of_the_patch_around_it(model):
    audio = tone(3.0, 500)[None]
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    place = 30  # 1.5 s
    centre = int(timestamps[0, place] * 16)
    cut = audio[:, centre - 7800 : centre + 7800]
    assert cut.shape[1] == features.DEFAULT.patch_samples
    expected = model.export(cut)["patch_embeddings"][:, 0]
    np.testing.assert_allclose(embeddings[:, place], expected, atol=1e-5)


def test_what_is_embedded_at_once_changes_nothing(model, monkeypatch):
    audio = np.stack([tone(4.2, 300 + 200 * row, row) for row in range(3)])
    embeddings, _ = hear.get_timestamp_embeddings(audio, model)
    scenes = hear.get_scene_embeddings(audio, model)
    for limit in (3, 7, 90):  # fewer patches than a scene has, than a sound has; two sounds
        monkeypatch.setattr(hear, "_PATCHES_AT_ONCE", limit)
        again, _ = hear.get_timestamp_embeddings(audio, model)
        np.testing.assert_allclose(again, embeddings, atol=1e-5)
        np.testing.assert_allclose(hear.get_scene_embeddings(audio, model), scenes, atol=1e-5)


def test_scene_embeddings_are_means_of_patches(model):
    audio = np.stack([tone(2.5, 300), tone(2.5, 900)])
    scenes = hear.get_scene_embeddings(audio, model).numpy()
    patches = model.export(audio)["patch_embeddings"].numpy()
    assert patches.shape[1] == 2
    np.testing.assert_allclose(scenes, patches.mean(axis=1), atol=2e-3)  # as loud throughout
    unit = scenes / np.linalg.norm(scenes, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, model.export(audio)["segment_embedding"], atol=2e-3)
    np.testing.assert_array_equal(model(audio), scenes)


def test_louder_patches_count_more_in_a_scene(model):
    audio = np.concatenate([tone(0.96, 300), 1e-3 * tone(1.54, 900)])[None]
    scene = hear.get_scene_embeddings(audio, model).numpy()[0]
    found = model.export.embed(audio[0], 16_000)
    share = np.sqrt(found.energy) / np.sqrt(found.energy).sum()
    assert len(share) == 2 and share[0] > 0.9
    np.testing.assert_allclose(scene, share @ found.patches, atol=1e-5)
    np.testing.assert_allclose(scene, found.description[:12], atol=1e-5)
    silence = hear.get_scene_embeddings(np.zeros((1, 32_000), "f4"), model).numpy()
    assert np.isfinite(silence).all()


def test_wrong_input(model):
    for audio in (np.zeros(100, "f4"), np.zeros((2, 0), "f4")):
        with pytest.raises(ValueError, match="sounds, samples"):
            hear.get_scene_embeddings(audio, model)
    for get in (hear.get_scene_embeddings, hear.get_timestamp_embeddings):
        with pytest.raises(ValueError, match="divide 16-bit samples by 32768"):
            get(np.zeros((1, 16000), np.int16), model)
    with pytest.raises(ValueError, match="multiple of 10"):
        hear.get_timestamp_embeddings(np.zeros((1, 100), "f4"), model, 25)
    with pytest.raises(ExportError):
        hear.load_model("/nowhere")
    assert hear.load_model().scene_embedding_size == 128  # the released one


def test_the_published_validator_accepts_it(model):
    validate = pytest.importorskip("hearvalidator.validate", reason="hearvalidator is not here")
    validate.ValidateModel("audio_triplet.hear", model.export.path)()
