import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import features, models
from audio_triplet.embeddings import saved_model
from audio_triplet.errors import ExportError
from tests.conftest import tone

FRESH = """
import json, sys
import numpy as np
import tensorflow as tf
assert not any(name.startswith("audio_triplet") for name in sys.modules)
sys.path = [path for path in sys.path if path.endswith("-packages")]
path, waveform = sys.argv[1], np.load(sys.argv[2])
embed = tf.saved_model.load(path).signatures["serving_default"]
outputs = embed(waveform=tf.constant(waveform))
assert "audio_triplet" not in sys.modules
np.savez(sys.argv[3], **{name: value.numpy() for name, value in outputs.items()})
"""


@pytest.fixture(scope="module")
def encoder():
    return models.build_encoder(width=0.125, embedding_size=24, seed=3)


@pytest.fixture(scope="module")
def exported(encoder, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("export") / "model")
    saved_model.export(encoder, path, {"note": "ünïcode"})
    return path


@pytest.mark.slow
def test_one_check_for_live_model_and_export(encoder, exported):
    live = saved_model.check(lambda waveform: saved_model.embed_waveforms(encoder, waveform))
    back = saved_model.check(saved_model.Model(exported))
    for name, value in live.items():
        np.testing.assert_allclose(back[name], value, atol=1e-6)


@pytest.mark.slow
def test_loads_in_a_process_without_this_package(commands, encoder, exported, tmp_path):
    waveform = np.stack([tone(3.3, 440), tone(3.3, 900, 1)])
    np.save(tmp_path / "in.npy", waveform)
    arguments = [FRESH, exported, str(tmp_path / "in.npy"), str(tmp_path / "out.npz")]
    process = commands.start("tests.snippet", arguments, str(tmp_path / "log"))
    assert process.wait(120) == 0, process.text
    with np.load(tmp_path / "out.npz") as outputs:
        assert set(outputs) == {"patch_embeddings", "segment_embedding", "timestamps"}
        mel = features.log_mel(features.mel_energies(waveform))
        for row in range(2):
            expected = encoder(features.patches(mel[row])).numpy()
            np.testing.assert_allclose(outputs["patch_embeddings"][row], expected, atol=1e-5)
            mean = expected.mean(0)
            np.testing.assert_allclose(
                outputs["segment_embedding"][row], mean / np.linalg.norm(mean), atol=1e-5
            )
        # Centres of patches of 15,600 samples every 0.96 s.
        np.testing.assert_allclose(outputs["timestamps"], 0.4875 + 0.96 * np.arange(3), atol=1e-6)


def test_hop_and_config(exported):
    model = saved_model.Model(exported)
    waveform = tone(2.0, 500)[None]
    dense, sparse = model(waveform, 24), model(waveform)
    assert dense["patch_embeddings"].shape == (1, 5, 24)  # (198 - 96) // 24 + 1
    assert sparse["patch_embeddings"].shape == (1, 2, 24)
    np.testing.assert_allclose(
        dense["patch_embeddings"][:, ::4], sparse["patch_embeddings"], atol=1e-5
    )
    assert model.config == {"note": "ünïcode"} and model.embedding_size == 24


def test_the_encoder_alone(encoder, exported, tmp_path):
    mel = features.patches(features.log_mel(features.mel_energies(tone(3.3, 440))))
    encoded = saved_model.Model(exported).encode(mel)
    np.testing.assert_allclose(encoded, encoder(mel), atol=1e-6)
    older = tf.saved_model.load(exported)
    signatures = {k: older.signatures[k] for k in ("serving_default", "with_hop")}
    tf.saved_model.save(older, str(tmp_path / "older"), signatures=signatures)
    with pytest.raises(ExportError, match="no signature 'encode'"):
        saved_model.Model(str(tmp_path / "older")).encode(mel)


@pytest.mark.slow
@pytest.mark.parametrize("amplitude", [0.0, 1e-30, 1.0, 1e30, 3e38])
def test_any_amplitude_gives_unit_vectors(exported, amplitude):
    waveform = (tone(1.5, 500) * np.float64(amplitude)).astype("f4")[None]
    outputs = saved_model.Model(exported)(waveform)
    for name in ("patch_embeddings", "segment_embedding"):
        np.testing.assert_allclose(np.linalg.norm(outputs[name], axis=-1), 1, atol=1e-4)


def test_values_that_are_not_finite_count_as_zero(exported):
    clean = tone(1.5, 500)[None]
    clean[0, 100:110] = 0
    dirty = clean.copy()
    dirty[0, 100:110] = np.nan
    model = saved_model.Model(exported)
    np.testing.assert_allclose(
        model(dirty)["segment_embedding"], model(clean)["segment_embedding"], atol=1e-6
    )


@pytest.mark.slow
def test_export_replaces_an_earlier_one_whole(encoder, tmp_path):
    path = str(tmp_path / "model")
    saved_model.export(encoder, path, {"version": 1})
    saved_model.export(encoder, path, {"version": 2})
    assert json.loads((tmp_path / "model" / "config.json").read_text())["version"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_what_is_not_an_export_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"holds no saved_model\.pb"):
        saved_model.Model(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(ExportError, match="cannot be loaded"):
        saved_model.Model(str(tmp_path))
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures=module.f)
    with pytest.raises(ExportError, match="its signature takes"):
        saved_model.Model(str(tmp_path / "other"))


def test_check_notices_a_broken_model(encoder):
    def scaled(waveform):
        outputs = saved_model.embed_waveforms(encoder, waveform)
        return outputs | {"patch_embeddings": 2 * outputs["patch_embeddings"]}

    with pytest.raises(AssertionError, match="unit norm"):
        saved_model.check(scaled)


def test_weights_are_saved_once(encoder, exported):
    names = tf.train.list_variables(f"{exported}/variables/variables")
    numbers = sum(int(np.prod(shape)) for name, shape in names if "VARIABLE_VALUE" in name)
    assert numbers == encoder.count_params()


@pytest.mark.slow
def test_bfloat16_is_the_same_network_and_another_one_is_refused(encoder, tmp_path):
    path, mel = str(tmp_path / "model"), tf.random.stateless_normal([5, 96, 64], [3, 4])
    described = {"architecture": "vggish", "width": 0.125, "embedding_size": 24, "parameters": 1}
    saved_model.export(encoder, path, {"model": described})
    model = saved_model.Model(path, "mixed_bfloat16")
    assert model.precision == "mixed_bfloat16"
    found, expected = model.encode(mel).numpy(), encoder(mel).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (np.sum(found * expected, axis=1) > 0.999).all()
    assert np.abs(found - expected).max() > 1e-5  # it is not float32 after all
    np.testing.assert_allclose(saved_model.Model(path, "float32").encode(mel), expected, atol=1e-6)
    config = pathlib.Path(path, "config.json")
    whole = json.loads(config.read_text())
    for wrong, why in (
        ({"model": described | {"width": 0.25}}, "does not describe the network"),
        ({}, "does not describe the network"),
        ({"model": described | {"pooling": "maximum"}}, "does not describe the network"),
    ):
        config.write_text(json.dumps({"digest": whole["digest"]} | wrong))
        saved_model.Model(path)
        with pytest.raises(ExportError, match=why):
            saved_model.Model(path, "mixed_bfloat16")


def test_weights_that_are_gone_are_told_in_one_line(encoder, tmp_path):
    path = tmp_path / "model"
    saved_model.export(encoder, str(path), {})
    (path / "config.json").unlink()  # its digest would be missed first
    for name in (path / "variables").iterdir():
        name.unlink()
    with pytest.raises(ExportError, match="cannot be loaded as a SavedModel") as raised:
        saved_model.Model(str(path))
    assert "\n" not in str(raised.value)
