"""Models that start at once: their file, and that they say what the SavedModel says."""

import concurrent.futures
import logging
import os
import pathlib
import shutil
import sys
import zipfile

import numpy as np
import pytest

from audio_triplet import models
from audio_triplet.embeddings import (
    conversion,
    encoder_file,
    native_log,
    other_models,
    quick_model,
    saved_model,
)
from audio_triplet.embeddings.quick_model import ENCODER_FILE, EncoderOrigin, QuickModel
from audio_triplet.errors import AudioError, ConfigError, DeploymentError, ExportError
from tests.conftest import RATE, tone
from tests.zip_damage import flag_damages


@pytest.fixture(scope="module")
def quick(small_model):
    return QuickModel(os.path.join(small_model.path, ENCODER_FILE))


def test_it_is_known_by_the_model_it_was_made_of(small_model, quick):
    assert (quick.digest, quick.path) == (small_model.digest, small_model.path)
    assert quick.embedding_size == small_model.embedding_size == 24
    origin = EncoderOrigin.read(os.path.join(small_model.path, ENCODER_FILE))
    assert origin.cosine >= 0.9999 and origin.model_digest == small_model.digest
    # The model's digest is that of graph and weights: a file beside them changes nothing.
    assert saved_model.Model(small_model.path).digest == small_model.digest


@pytest.mark.parametrize("hop", [0.96, 0.48, 0.13])
def test_sounds_of_any_length_are_embedded_as_by_the_saved_model(small_model, quick, sounds, hop):
    for path in sounds:
        if "broken" in path:
            continue
        ours, theirs = quick.embed(path, hop_seconds=hop), small_model.embed(path, hop_seconds=hop)
        np.testing.assert_allclose(ours.patches, theirs.patches, atol=1e-5)
        np.testing.assert_allclose(ours.segment, theirs.segment, atol=1e-5)
        np.testing.assert_allclose(ours.energy, theirs.energy, rtol=1e-5, atol=1e-12)
        for name in ("timestamps", "start", "end"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_arrays_are_embedded_and_refused_as_by_the_saved_model(small_model, quick):
    stereo = np.stack([tone(1.7, 300, rate=44100), tone(1.7, 900, 1, rate=44100)])
    ours, theirs = quick.embed(stereo, 44100), small_model.embed(stereo, 44100)
    np.testing.assert_allclose(ours.segment, theirs.segment, atol=1e-5)
    with pytest.raises(AudioError, match="has no sample rate"):
        quick.embed(stereo)
    with pytest.raises(ConfigError):
        quick.embed(stereo, 44100, hop_seconds=0.013)


def test_a_patch_has_the_same_bits_in_any_batch(quick):
    patches = encoder_file.real_like_patches()
    together = quick.encode(patches)
    np.testing.assert_array_equal(together[5:6], quick.encode(patches[5:6]))
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert quick.encode(patches[:0]).shape == (0, 24)


def test_threads_share_it(quick):
    patches = encoder_file.real_like_patches()
    alone = quick.encode(patches)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(quick.encode, [patches] * 8):
            np.testing.assert_array_equal(vectors, alone)


def test_real_like_patches_differ_and_reach_from_silence_to_full_scale():
    patches = encoder_file.real_like_patches()
    assert patches.shape[1:] == (96, 64) and patches.dtype == np.float32
    assert patches[0].max() == pytest.approx(np.log(0.01)) and patches.max() > 3
    flat = patches.reshape(len(patches), -1)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2) + 1e9 * np.eye(len(flat))
    assert apart.min() > 1


@pytest.mark.parametrize("where", ["weights", "origin", "cut", "empty", "flags"])
def test_a_damaged_file_is_refused_and_passed_over(small_model, tmp_path, caplog, where):
    content = bytearray(pathlib.Path(small_model.path, ENCODER_FILE).read_bytes())
    if where == "cut":
        content = content[: len(content) // 2]
    elif where == "empty":
        content = bytearray()
    elif where == "flags":
        content = bytearray(flag_damages(bytes(content))[0])
    else:
        position = len(content) // 2 if where == "weights" else content.index(b"sha256") + 12
        content[position] ^= 1
    (tmp_path / ENCODER_FILE).write_bytes(content)
    with pytest.raises(ExportError, match=r"encoder\.tflite: is damaged"):
        QuickModel(str(tmp_path / ENCODER_FILE))
    with caplog.at_level(logging.INFO, logger="absl"):
        assert quick_model.find([str(tmp_path)], small_model.digest) is None
    (line,) = caplog.messages
    assert "is damaged" in line and "TensorFlow is used instead" in line and "\n" not in line
    found = quick_model.find([str(tmp_path), small_model.path], small_model.digest)
    assert found is not None and found.path == small_model.path


def test_none_and_that_of_another_model(small_model, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        assert quick_model.find([str(tmp_path)], small_model.digest) is None
        assert quick_model.find([small_model.path, str(tmp_path)], "another") is None
    none, other = caplog.messages
    assert "there is no encoder.tflite" in none and "is of another model" in other


def test_it_is_kept_copied_or_made(small_model, tmp_path, monkeypatch):
    made, monkeypatched = [], encoder_file.write
    monkeypatch.setattr(encoder_file, "write", lambda *args: made.append(1) or monkeypatched(*args))
    digest, index = small_model.digest, str(tmp_path)
    assert not encoder_file.provide(index, digest)  # neither a file nor a model
    assert encoder_file.provide(index, digest, None, [str(tmp_path / "none"), small_model.path])
    path = tmp_path / ENCODER_FILE
    before = path.stat().st_mtime_ns
    assert encoder_file.provide(index, digest, small_model) and not made
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"damaged")
    assert encoder_file.provide(index, digest, small_model) and made
    assert QuickModel(str(path)).digest == digest
    assert os.listdir(tmp_path) == [ENCODER_FILE]


def test_a_conversion_that_differs_is_not_kept(small_model, tmp_path, monkeypatch, caplog):
    other = models.build_encoder(width=0.0625, embedding_size=24, seed=9)
    saved_model.export(other, str(tmp_path / "other"), {})
    wrong = conversion.encoder_tflite(saved_model.Model(str(tmp_path / "other")))
    monkeypatch.setattr(conversion, "encoder_tflite", lambda model: wrong)
    (tmp_path / "index").mkdir()
    with pytest.raises(DeploymentError, match="by LiteRT its embeddings differ"):
        encoder_file.write(small_model, str(tmp_path / "index"))
    with caplog.at_level(logging.INFO, logger="absl"):
        assert not encoder_file.provide(str(tmp_path / "index"), small_model.digest, small_model)
    assert "differ" in caplog.text and os.listdir(tmp_path / "index") == []


def test_without_litert_it_says_so(small_model, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with caplog.at_level(logging.INFO, logger="absl"):
        assert quick_model.find([small_model.path], small_model.digest) is None
    assert "pip install ai-edge-litert" in caplog.text


def test_other_programs_read_the_file(small_model, tmp_path):
    """TensorFlow's own interpreter passes over the archive at its end; unzip opens it."""
    import tensorflow as tf

    path = pathlib.Path(small_model.path, ENCODER_FILE)
    assert zipfile.ZipFile(path).namelist() == ["origin.json"]
    patches = encoder_file.real_like_patches()[:3]
    theirs = conversion.TfLite(path.read_bytes())(patches)["embedding"]
    np.testing.assert_allclose(theirs, small_model.encode(tf.constant(patches)), atol=1e-5)
    shutil.copy(path, tmp_path / "a name with ü.tflite")
    assert QuickModel(str(tmp_path / "a name with ü.tflite")).embedding_size == 24


def test_chatter_is_held_back_and_nothing_else(capfd):
    with native_log.without_chatter():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nan error\n")
    with pytest.raises(ValueError), native_log.without_chatter():
        os.write(2, b"another\n")
        raise ValueError
    assert capfd.readouterr().err == "an error\nanother\n"


def test_silence_and_an_empty_sound(quick):
    assert np.isfinite(quick.embed(np.zeros(RATE, "f4"), RATE).segment).all()
    with pytest.raises(AudioError, match="is empty"):
        quick.embed(np.zeros(0, "f4"), RATE)


def test_many_cores_share_the_patches_and_change_no_bit(small_model, quick, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    shared = QuickModel(os.path.join(small_model.path, ENCODER_FILE))
    patches = np.tile(encoder_file.real_like_patches(), (3, 1, 1))
    alone = np.concatenate([quick.encode(patch[None]) for patch in patches])
    for count in (len(patches), 17, 15, 1, 0):
        np.testing.assert_array_equal(shared.encode(patches[:count]), alone[:count])
    with concurrent.futures.ThreadPoolExecutor(6) as pool:  # more callers than interpreters
        found = list(pool.map(shared.encode, [patches] * 12))
    assert all(np.array_equal(vectors, alone) for vectors in found)


def test_whoever_only_embeds_gets_the_encoder_file(small_model, tmp_path, caplog):
    """In float32 and where it belongs to the model, else the SavedModel."""
    opened = other_models.open_embedder(small_model.path)
    assert isinstance(opened, QuickModel)
    assert (opened.path, opened.digest) == (small_model.path, small_model.digest)
    assert opened.precision == "float32"
    alone = shutil.copytree(small_model.path, tmp_path / "alone")
    (alone / ENCODER_FILE).unlink()
    with caplog.at_level(logging.INFO, logger="absl"):
        assert isinstance(other_models.open_embedder(str(alone)), saved_model.Model)
    assert "TensorFlow is used instead" in caplog.text
    damaged = shutil.copytree(small_model.path, tmp_path / "damaged")
    with open(damaged / "saved_model.pb", "ab") as file:
        file.write(b"\0")
    with pytest.raises(ExportError, match="is damaged, or not what was exported"):
        other_models.open_embedder(str(damaged))
    with pytest.raises(ExportError, match="holds no saved_model.pb"):
        other_models.open_embedder(str(tmp_path))
    with pytest.raises(ExportError, match="in float32 only"):  # TensorFlow was asked
        other_models.open_embedder(small_model.path, "mixed_bfloat16")
