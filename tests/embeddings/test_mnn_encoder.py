"""The encoder by MNN: LiteRT's embeddings, whatever the network, and LiteRT itself where not."""

import concurrent.futures
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from audio_triplet import models
from audio_triplet.embeddings import encoder_file, mnn_encoder, other_models, saved_model
from audio_triplet.embeddings.quick_model import ENCODER_FILE, QuickModel
from audio_triplet.errors import ExportError

pytest.importorskip("MNN", reason="MNN is not installed here")


def quick(model) -> QuickModel:
    return QuickModel(os.path.join(model.path, ENCODER_FILE))


@pytest.fixture(scope="module")
def by_mnn(small_model):
    model = quick(small_model)
    assert mnn_encoder.serve(model)
    return model


@pytest.mark.parametrize(
    "settings",
    [
        {"width": 0.25, "pooling": "time", "input_scaling": True, "normalize_loudness": True},
        {"width": 0.125, "normalisation": "batch", "embedding_size": 19},
        {"architecture": "resnet50", "width": 0.0625},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_networks_of_all_kinds_give_litert_s_embeddings(settings, tmp_path):
    encoder = models.build_encoder(**settings, seed=3)
    if settings.get("input_scaling"):
        models.scale_input(encoder, encoder_file.real_like_patches())
    saved_model.export(encoder, str(tmp_path), {"model": settings})
    encoder_file.write(saved_model.Model(str(tmp_path)), str(tmp_path))
    by_litert = QuickModel(str(tmp_path / ENCODER_FILE))
    model = QuickModel(str(tmp_path / ENCODER_FILE))
    assert mnn_encoder.serve(model)
    patches = encoder_file.real_like_patches()
    found, expected = model.encode(patches), by_litert.encode(patches)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found * expected).sum(axis=1).min() > 0.99999
    assert np.abs(found - expected).max() > 0  # it was not LiteRT again


def test_a_patch_has_the_same_bits_in_any_place_and_company(by_mnn):
    patches = np.tile(encoder_file.real_like_patches(), (2, 1, 1))
    together = by_mnn.encode_alone(patches)
    order = np.random.default_rng(0).permutation(len(patches))
    np.testing.assert_array_equal(by_mnn.encode_alone(patches[order]), together[order])
    for count in (0, 1, 2, 3, 7, 8, 9, 17):
        np.testing.assert_array_equal(by_mnn.encode_alone(patches[:count]), together[:count])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_threads_share_it_and_new_runners_give_the_same_bits(by_mnn):
    patches = encoder_file.real_like_patches()
    alone = by_mnn.encode_alone(patches)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        for vectors in pool.map(by_mnn.encode, [patches] * 10):
            np.testing.assert_array_equal(vectors, alone)


def test_it_prints_nothing(small_model, capfd):
    model = quick(small_model)
    assert mnn_encoder.serve(model)
    model.encode(encoder_file.real_like_patches())
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_it_serves_where_tensorflow_was_there_first(small_model):
    """MNN's converter ended the process then: TensorFlow brings symbols of C++'s library along."""
    code = f"""
import tensorflow
from audio_triplet.embeddings import mnn_encoder
from audio_triplet.embeddings.quick_model import QuickModel
print(mnn_encoder.serve(QuickModel({os.path.join(small_model.path, "encoder.tflite")!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"]


def test_it_leaves_nothing_where_it_runs(small_model, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o500)
    assert mnn_encoder.serve(quick(small_model))
    monkeypatch.setattr(mnn_encoder, "_CONVERT", mnn_encoder._CONVERT + "import os; os.abort()")
    assert mnn_encoder.serve(quick(small_model))  # it had written the model
    assert os.listdir(tmp_path) == []


def test_where_it_cannot_be_converted_litert_embeds(small_model, monkeypatch, caplog):
    monkeypatch.setattr(mnn_encoder, "_CONVERT", "import os; os.abort()")
    with caplog.at_level(logging.INFO, logger="absl"):
        assert not mnn_encoder.serve(quick(small_model))
    assert "it ended with code -6" in caplog.text
    monkeypatch.setattr(mnn_encoder, "_CONVERT", "raise ValueError('no such operator')")
    with caplog.at_level(logging.INFO, logger="absl"):
        assert not mnn_encoder.serve(quick(small_model))
    assert "no such operator" in caplog.text
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with caplog.at_level(logging.INFO, logger="absl"):
        assert not mnn_encoder.serve(quick(small_model))
    assert "/nowhere/python" in caplog.text


def test_where_it_is_not_installed_litert_embeds(small_model, monkeypatch, caplog):
    expected = quick(small_model).encode(encoder_file.real_like_patches())
    monkeypatch.setitem(sys.modules, "MNN", None)
    with caplog.at_level(logging.INFO, logger="absl"):
        model = other_models.open_embedder(small_model.path)
    assert "pip install MNN" in caplog.text and "LiteRT embeds instead" in caplog.text
    np.testing.assert_array_equal(model.encode(encoder_file.real_like_patches()), expected)


@pytest.mark.parametrize("wrong", ["cannot be converted", "differs", "mixes patches"])
def test_what_it_gets_wrong_is_left_to_litert(small_model, monkeypatch, caplog, wrong):
    if wrong == "cannot be converted":
        monkeypatch.setattr(mnn_encoder, "_for_mnn", lambda content: content)
    elif wrong == "differs":
        monkeypatch.setattr(
            mnn_encoder.MnnRunner, "encode", lambda self, patches: np.eye(24)[: len(patches)]
        )
    else:
        encode = mnn_encoder.MnnRunner.encode
        monkeypatch.setattr(
            mnn_encoder.MnnRunner,
            "encode",
            lambda self, patches: encode(self, patches) + np.float32(1e-7 * len(patches)),
        )
    model = quick(small_model)
    expected = model.encode(encoder_file.real_like_patches())
    with caplog.at_level(logging.INFO, logger="absl"):
        assert not mnn_encoder.serve(model)
    assert "LiteRT embeds instead" in caplog.text
    np.testing.assert_array_equal(model.encode(encoder_file.real_like_patches()), expected)


def test_an_encoder_without_a_division_by_the_norm_is_refused(tmp_path):
    import tensorflow as tf

    inputs = tf.keras.Input([96, 64])
    pooled = tf.keras.layers.MaxPooling1D(96)(inputs)
    network = tf.keras.Model(inputs, pooled)
    content = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    with pytest.raises(ExportError, match="does not end in a division by the norm"):
        mnn_encoder._for_mnn(content)
