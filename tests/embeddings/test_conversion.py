import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import features, models
from audio_triplet.config import EncoderConfig
from audio_triplet.embeddings import conversion, projector, saved_model
from audio_triplet.errors import DeploymentError
from tests.conftest import tone

SAMPLES = 40_000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("deploy") / "export")
    saved_model.export(models.build_encoder(width=0.0625, embedding_size=32, seed=1), path, {})
    return saved_model.Model(path)


@pytest.fixture(scope="module")
def sounds() -> np.ndarray:
    return np.stack([tone(2.5, hertz, hertz) for hertz in (150, 400, 900, 2000, 4000, 6000)])


@pytest.fixture(scope="module")
def log_mel(sounds) -> np.ndarray:
    patches = features.log_mel(features.patches(features.mel_energies(sounds)))
    return patches.numpy().reshape(-1, 96, 64)


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    return (ours * theirs).sum(axis=-1) / norms


@pytest.mark.slow
@pytest.mark.parametrize("precision", conversion.PRECISIONS)
def test_tflite_encoder_says_what_the_export_says(model, sounds, log_mel, precision):
    content = conversion.encoder_tflite(model, precision, log_mel[::2])
    lite = conversion.TfLite(content)
    assert not any("Flex" in name for name in lite.operators), lite.operators
    expected = model(sounds)["patch_embeddings"].numpy().reshape(len(log_mel), -1)
    together = lite(log_mel)["embedding"]
    alone = np.concatenate([lite(patch[None])["embedding"] for patch in log_mel[:2]])
    assert cosines(together, expected).min() >= conversion.LEAST_COSINE[precision]
    np.testing.assert_allclose(alone, together[:2], atol=1e-2 if precision == "int8" else 1e-5)
    weights = sum(int(np.prod(v.shape)) for v in model.variables)
    bytes_each = {"float32": 4, "float16": 2, "int8": 1}[precision]
    assert bytes_each * weights < len(content) < bytes_each * weights + 24_000


@pytest.fixture(scope="module")
def levels(sounds, tmp_path_factory):
    """A model that hears all levels alike, and the same sounds at three: log mel patches."""
    encoder = models.build_encoder(
        width=0.125,
        embedding_size=32,
        pooling="time",
        input_scaling=True,
        normalize_loudness=True,
        seed=1,
    )
    energies = features.patches(features.mel_energies(sounds)).numpy().reshape(-1, 96, 64)
    log_mel = np.concatenate([features.log_mel(energies * level) for level in (1, 0.03, 10)])
    models.scale_input(encoder, log_mel)
    config = EncoderConfig(width=0.125, embedding_size=32, normalize_loudness=True)
    path = str(tmp_path_factory.mktemp("levels") / "export")
    saved_model.export(encoder, path, {"model": dataclasses.asdict(config)})
    return saved_model.Model(path), log_mel


@pytest.mark.slow
@pytest.mark.parametrize("precision", conversion.PRECISIONS)
def test_tflite_encoder_hears_alike_at_any_level(levels, precision):
    model, log_mel = levels
    lite = conversion.TfLite(conversion.encoder_tflite(model, precision, log_mel[::2]))
    found = lite(log_mel)["embedding"]
    expected = model.encode(log_mel).numpy()
    assert cosines(found, expected).min() >= conversion.LEAST_COSINE[precision]
    loud, quiet, _ = np.split(expected, 3)
    assert cosines(loud, quiet).min() > 0.999
    # Random weights make all sounds alike: what is told apart must be, too.
    spread = np.corrcoef(np.ravel(found - found.mean(0)), np.ravel(expected - expected.mean(0)))
    assert spread[0, 1] > (0.9 if precision == "int8" else 0.999)


def test_tflite_of_the_whole_model(model, sounds):
    lite = conversion.TfLite(conversion.waveform_tflite(model, SAMPLES, "float16"))
    assert not any("Flex" in name for name in lite.operators), lite.operators
    for sound in (sounds[0], 0 * sounds[0]):
        expected = model(sound[None])
        found = lite(sound[None])
        assert set(found) == set(expected)
        for name in ("patch_embeddings", "segment_embedding"):
            assert cosines(found[name], expected[name].numpy()).min() >= 0.999
        np.testing.assert_allclose(found["timestamps"], expected["timestamps"], atol=1e-6)


def test_tflite_front_end(sounds, log_mel):
    lite = conversion.TfLite(conversion.front_end_tflite(SAMPLES))
    found = np.concatenate([lite(sound[None])["log_mel"] for sound in sounds])
    np.testing.assert_allclose(found, log_mel, atol=1e-3)
    short = conversion.TfLite(conversion.front_end_tflite(8000))
    padded = features.patches(features.mel_energies(sounds[0, :8000]))
    np.testing.assert_allclose(
        short(sounds[:1, :8000])["log_mel"], features.log_mel(padded), atol=1e-3
    )


def test_onnx_says_what_the_export_says(model, sounds, log_mel):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not here")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not here")
    session = runtime.InferenceSession(conversion.encoder_onnx(model))
    for count in (1, len(log_mel)):
        (found,) = session.run(["embedding"], {"log_mel": log_mel[:count]})
        np.testing.assert_allclose(found, model.encode(log_mel[:count]), atol=1e-5)


def test_what_cannot_be_converted_is_said(model, log_mel):
    for wrong in (None, log_mel[:0]):
        with pytest.raises(DeploymentError, match="real sound to be calibrated"):
            conversion.encoder_tflite(model, "int8", wrong)
    with pytest.raises(DeploymentError, match="none of float32, float16, int8"):
        conversion.encoder_tflite(model, "bfloat16")
    with pytest.raises(DeploymentError, match="encoder alone"):
        conversion.waveform_tflite(model, SAMPLES, "int8")
    with pytest.raises(DeploymentError, match="less than one window"):
        conversion.front_end_tflite(100)


def test_projector_reads_what_was_written(tmp_path):
    from google.protobuf import text_format
    from tensorboard.plugins.projector import projector_config_pb2

    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype("f4")
    names = ["plain", "tab\there", "line\nend\r", ""]
    projector.write_projector(str(tmp_path), vectors, {"file": names, "label": ["a"] * 4})
    config = projector_config_pb2.ProjectorConfig()
    text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config)
    table = (tmp_path / config.embeddings[0].metadata_path).read_text().split("\n")
    assert table == ["file\tlabel", "plain\ta", "tab here\ta", "line end\ta", "–\ta", ""]
    read = np.loadtxt(tmp_path / config.embeddings[0].tensor_path, delimiter="\t")
    np.testing.assert_allclose(read, vectors, rtol=1e-5)
    projector.write_projector(str(tmp_path), vectors, {"file": names})
    assert (tmp_path / "metadata.tsv").read_text().split("\n")[0] == "plain"  # no header
    with pytest.raises(ValueError, match="must have 4 values"):
        projector.write_projector(str(tmp_path), vectors, {"file": ["a"]})


# --- as TensorFlow Serving uses the export -------------------------------------------------------


def test_signature_that_a_server_reads(model):
    """What tensorflow_model_server looks at: the tags, the method and the shapes of the graph."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel()
    with open(f"{model.path}/saved_model.pb", "rb") as file:
        content.ParseFromString(file.read())
    (graph,) = [meta for meta in content.meta_graphs if "serve" in meta.meta_info_def.tags]
    signature = graph.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"

    def shape(info):
        return [dim.size for dim in info.tensor_shape.dim]

    assert {name: shape(info) for name, info in signature.inputs.items()} == {"waveform": [-1, -1]}
    assert {name: shape(info) for name, info in signature.outputs.items()} == {
        "patch_embeddings": [-1, -1, 32],
        "segment_embedding": [-1, 32],
        "timestamps": [-1],
    }
    every = [*signature.inputs.values(), *signature.outputs.values()]
    assert all(info.dtype == tf.float32.as_datatype_enum for info in every)


def test_served_in_a_loop_of_mixed_batches(model, sounds):
    """Plain tf.saved_model, as a server has it: any batch, any length, one graph for all."""
    serve = tf.saved_model.load(model.path).signatures["serving_default"]
    alone = {}
    rng = np.random.default_rng(0)
    for samples in (40_000, 15_600, 8_000, 1, 32_001):
        for batch in (1, 3, 6):
            rows = np.sort(rng.choice(len(sounds), batch, replace=False))
            # As it comes over HTTP: the column format, because `timestamps` has no row a sound.
            request = json.dumps(
                {
                    "signature_name": "serving_default",
                    "inputs": {"waveform": sounds[rows, :samples].tolist()},
                }
            )
            inputs = json.loads(request)["inputs"]
            outputs = serve(**{k: tf.constant(v, tf.float32) for k, v in inputs.items()})
            answer = json.loads(
                json.dumps(
                    {"outputs": {name: value.numpy().tolist() for name, value in outputs.items()}}
                )
            )["outputs"]
            patches = max(1, features.DEFAULT.frames(samples) // 96)
            assert np.shape(answer["patch_embeddings"]) == (batch, patches, 32)
            assert len(answer["timestamps"]) == patches
            for row, embedding in zip(rows, answer["segment_embedding"], strict=True):
                first = alone.setdefault((samples, row), embedding)
                np.testing.assert_allclose(embedding, first, atol=1e-5)
