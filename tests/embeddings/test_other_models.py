"""Models of others, through the door that ours go through."""

import importlib
import json
import sys

import numpy as np
import pytest
import soundfile

import audio_triplet
from audio_triplet import audio
from audio_triplet.config import ClassifyConfig, EmbedConfig
from audio_triplet.embeddings import conversion, embed, model_files, other_models, patch_cutting
from audio_triplet.errors import ExportError, SearchError
from tests.conftest import RATE, tone

# A HEAR model of NumPy alone: energies of six bands of the spectrum, and how loud it is.
MODULE = """
import numpy as np

__version__ = "1.0"


class Bands:
    sample_rate = 22050
    scene_embedding_size = timestamp_embedding_size = 7

    def __init__(self, weights):
        self.weights = np.loadtxt(weights) if weights else np.ones(6)


def load_model(path=""):
    return Bands(path)


def get_scene_embeddings(audio, model):
    if audio.shape[1] < 8000:
        raise ValueError("too short")
    spectrum = np.abs(np.fft.rfft(np.asarray(audio), 22050))[:, 1:10801]
    bands = spectrum.reshape(len(audio), 6, -1).mean(axis=2) * model.weights
    return np.concatenate([bands, np.std(audio, axis=1, keepdims=True)], axis=1)


def get_timestamp_embeddings(audio, model):
    raise NotImplementedError
"""


@pytest.fixture
def bands(tmp_path, monkeypatch):
    """The module's name, importable."""
    (tmp_path / "bands_hear.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield "bands_hear"
    sys.modules.pop("bands_hear", None)


def expected_bands(windows):
    """The module's vectors of float[n, 22050] windows, of unit norm."""
    spectrum = np.abs(np.fft.rfft(windows))[:, 1:10801].reshape(len(windows), 6, 1800)
    vectors = np.concatenate([spectrum.mean(axis=2), windows.std(axis=1)[:, None]], axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_sound_is_cut_at_the_models_own_rate_and_length(bands, tmp_path):
    path = str(tmp_path / "sound.wav")
    sound = np.concatenate([tone(1.7, 300, rate=44100), tone(2.0, 4000, rate=44100)])
    soundfile.write(path, sound, 44100, "FLOAT")
    model = other_models.open_model(f"hear:{bands}?hop=0.7")
    assert (model.embedding_size, model.window.rate, model.window.samples) == (7, 22050, 22050)
    found = model.embed(path)
    waveform = audio.load_audio(path, 22050)
    starts = [0, 15435, 30870, 46305]  # the next would end after 3.8 s
    expected = expected_bands(np.stack([waveform[start : start + 22050] for start in starts]))
    np.testing.assert_allclose(found.patches, expected, atol=1e-5)
    np.testing.assert_allclose(found.start, [0, 0.7, 1.4, 2.1])
    np.testing.assert_allclose(found.end, [1, 1.7, 2.4, 3.1])
    np.testing.assert_allclose(found.timestamps, [0.5, 1.2, 1.9, 2.6], rtol=1e-6)
    assert (found.energy > 0.01).all()
    short = model.embed(0.5 * np.ones(8000, np.float32), RATE)
    assert short.patches.shape == (1, 7) and short.end[0] == pytest.approx(0.5)


@pytest.mark.parametrize("pieces", [[7], [3, 4], [1] * 7, [2, 5]])
def test_windows_do_not_depend_on_the_blocks(pieces):
    sound = np.random.default_rng(0).normal(size=70_000).astype(np.float32)
    blocks = np.split(sound, np.cumsum(pieces)[:-1] * 10_000)
    for hop in (0.3, 1.0, 2.5):  # overlapping, side by side, with gaps
        parts = list(patch_cutting.cut_windows(iter(blocks), RATE, 12_345, hop))
        windows = np.concatenate([part for part, _, _ in parts])
        starts = [round(k * hop * RATE) for k in range(40) if k * hop * RATE + 12_345 <= 70_000]
        expected = np.stack([sound[start : start + 12_345] for start in starts])
        np.testing.assert_array_equal(windows, expected)
        assert parts[-1][2] == 70_000


def test_index_search_and_classify_with_a_hear_model(bands, tone_folder, tmp_path):
    """An index of seven dimensions. A module is not imported because an index says so."""
    from audio_triplet.commands.classify import fit, shared
    from audio_triplet.corpora.registry import load_corpus

    name, folder = f"hear:{bands}", str(tmp_path / "index")
    index = audio_triplet.build_index(folder, tone_folder, name, labels="folders")
    info = index.index.info
    assert (info.model, info.dim, info.hop_seconds) == (name, 7, 1.0)
    with pytest.raises(
        ExportError, match=f"would be run; if you trust it, name it: --model={name}"
    ):
        audio_triplet.open_index(folder).find(f"{tone_folder}/high/high3.wav")
    hits = audio_triplet.open_index(folder, name).find(f"{tone_folder}/high/high3.wav", top=3)
    assert len(hits) == 3 and all("/high/" in hit.path for hit in hits)
    with pytest.raises(SearchError, match="model"):
        audio_triplet.open_index(folder, f"hear:{bands}?window=0.5").find(
            f"{tone_folder}/high/high3.wav"
        )
    manifest = load_corpus(f"folders:{tone_folder}")
    (tmp_path / "fit").mkdir()
    text = fit.fit(
        manifest, name, str(tmp_path / "fit"), ClassifyConfig(folds=2), page=False, max_bad_share=1
    )
    assert "classifier:" in text
    with pytest.raises(ExportError, match="would be run"):
        shared.load_classifier(str(tmp_path / "fit" / "classifier"), None)
    fitted, model = shared.load_classifier(str(tmp_path / "fit" / "classifier"), name)
    assert model.path == name and fitted.model_digest == model.digest


def test_evaluate_with_a_hear_model(bands, tone_folder, tmp_path):
    from experiments import evaluate
    from experiments.lib.scored_corpus import ScoringSettings

    settings = ScoringSettings(f"hear:{bands}", f"folders:{tone_folder}", str(tmp_path))
    metrics = evaluate.evaluate(settings, search="test")
    assert metrics["model"] == f"hear:{bands}" and 0 < metrics["query_map"] <= 1


def test_weights_and_windows_are_part_of_the_digest(bands, tmp_path):
    weights = tmp_path / "weights.txt"
    weights.write_text("1 2 3 4 5 6\n")
    first = other_models.open_model(f"hear:{bands}")
    other = other_models.open_model(f"hear:{bands}?weights={weights}&hop=0.5")
    assert other.path == f"hear:{bands}?weights={weights}&hop=0.5"
    assert other_models.open_model(other.path).digest == other.digest != first.digest
    # A hop is how a model is used, a window what it is.
    assert other_models.open_model(f"hear:{bands}?hop=0.2").digest == first.digest
    assert other_models.open_model(f"hear:{bands}?window=0.7").digest != first.digest
    assert model_files.files_of(other.path) == [str(weights)]


def written(path, content, **described):
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(described))
    return path


def test_our_own_encoder_as_tflite_gives_the_savedmodels_vectors(small_model, tmp_path):
    sound = str(tmp_path / "sound.wav")
    soundfile.write(sound, tone(3.3, 700), RATE)
    expected = small_model.embed(sound)
    file = written(tmp_path / "e.tflite", conversion.encoder_tflite(small_model), input="log_mel")
    model = other_models.open_model(f"tflite:{file}")
    found = model.embed(sound)
    np.testing.assert_allclose(found.patches, expected.patches, atol=1e-4)
    np.testing.assert_allclose(found.start, expected.start)
    np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-3)
    whole = conversion.waveform_tflite(small_model, 15_600)
    values = {"rate": RATE, "window": 0.975, "hop": 0.96, "output": "patch_embeddings"}
    file = written(tmp_path / "w.tflite", whole, **values)
    waveform = other_models.open_model(f"tflite:{file}")
    np.testing.assert_allclose(waveform.embed(sound).patches, expected.patches, atol=1e-4)
    assert waveform.digest != model.digest
    # A tensor inside, by its number: that of the same output.
    (tmp_path / "w.json").write_text(json.dumps(values | {"output": _number_of(file)}))
    inside = other_models.open_model(f"tflite:{file}")
    np.testing.assert_allclose(inside.embed(sound).patches, expected.patches, atol=1e-4)
    (tmp_path / "w.json").write_text(json.dumps({k: values[k] for k in ("rate", "window")}))
    with pytest.raises(ExportError, match="its outputs are .*patch_embeddings.*; name one as"):
        other_models.open_model(f"tflite:{file}")


def _number_of(file) -> int:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(file)).get_signature_runner("serving_default")
    return runner.get_output_details()["patch_embeddings"]["index"]


def test_our_own_encoder_as_onnx_gives_the_savedmodels_vectors(small_model, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not here")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not here")
    file = written(tmp_path / "e.onnx", conversion.encoder_onnx(small_model), input="log_mel")
    model = other_models.open_model(f"onnx:{file}")
    sound = tone(2.5, 900)
    expected = small_model.embed(sound, RATE)
    np.testing.assert_allclose(model.embed(sound, RATE).patches, expected.patches, atol=1e-4)


def test_embed_files_takes_windows_of_many_files(bands, tone_folder):
    from audio_triplet.corpora.registry import load_corpus

    manifest = load_corpus(f"folders:{tone_folder}")
    model = other_models.open_model(f"hear:{bands}")
    found = embed.embed_manifest(model, manifest, EmbedConfig(hop_seconds=0.5, batch_size=4))
    for row in (0, 7):
        alone = model.embed(manifest.frame["path"].iloc[row], hop_seconds=0.5)
        mine = found.vectors[found.segment_index == row]
        np.testing.assert_allclose(mine, alone.patches, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("hear:", "names no model; write hear:MODULE"),
        ("hear:no_such_module_here", "cannot be imported .* install the package"),
        ("hear:json", "has no load_model, .*; name the module that has the HEAR 2021 API"),
        ("hear:BANDS?weight=x", "unknown weight; weights, window and hop are known"),
        ("hear:BANDS?weights=none.txt", "none.txt: is not there; give the model's weights"),
        ("hear:BANDS?window=long", "that is a number"),
        ("hear:BANDS?hop=0.333", "hop=0.333 is no multiple of 0.01"),
        ("hear:BANDS?window=0.2", "fails on 2 windows of 4410 samples .too short."),
        ("tflite:none.tflite", "none.tflite: is not there"),
        ("onnx:DAMAGED.onnx", "DAMAGED.json: is not there; write what the model takes"),
        ("tflite:DAMAGED.tflite", "cannot be loaded|is no JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_says_why(spec, reason, bands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DAMAGED.onnx", "DAMAGED.tflite"):
        (tmp_path / name).write_bytes(b"none")
    if spec.startswith("tflite:DAMAGED"):
        (tmp_path / "DAMAGED.json").write_text('{"rate": 16000, "window": 1}')
    with pytest.raises(ExportError, match=reason):
        other_models.open_model(spec.replace("BANDS", bands))


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        ({"window": 1}, "rate"),
        ({"rate": 50, "window": 1}, "rate=50 is no sample rate"),
        ({"rate": 16000, "window": 0}, "window=0 is not"),
        ({"rate": 16000, "window": 1, "hops": 1}, "unknown entries .hops."),
        ({"rate": 8000, "window": 1, "input": "log_mel"}, "rate and window of its own"),
        ({"input": "mel"}, "input='mel' is neither"),
        ([], "is no JSON object"),
    ],
)
def test_a_description_that_is_wrong_is_told(described, reason, tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"none")
    (tmp_path / "m.json").write_text(json.dumps(described))
    with pytest.raises(ExportError, match=reason):
        other_models.open_model(f"tflite:{tmp_path}/m.tflite")
