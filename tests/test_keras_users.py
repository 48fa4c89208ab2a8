"""What a Keras user does with an encoder: save it, load it elsewhere, put a head on it."""

import glob
import os
import runpy
import types

import keras
import numpy as np
import pytest

from audio_triplet import features, models
from audio_triplet.audio import load_audio

VARIANTS = {
    "paper": {},
    "best": {
        "normalisation": "batch",
        "pooling": "time",
        "input_scaling": True,
        "normalize_loudness": True,
    },
    "resnet50": {"architecture": "resnet50"},
}

# In a process that has Keras alone, then the models of this package.
ELSEWHERE = """
import os, sys
import keras
import numpy as np
os.chdir(sys.argv.pop(1))
assert "audio_triplet" not in sys.modules
sys.path = [path for path in sys.path if path.endswith("-packages")]
x = np.load("x.npy")
outputs = {name: keras.models.load_model(f"{name}.keras")(x) for name in sys.argv[1:]}
assert "audio_triplet" not in sys.modules
sys.path.insert(0, "ROOT")
import audio_triplet.models
np.savez("y.npz", encoder=keras.models.load_model("encoder.keras")(x), **outputs)
"""


def log_mel(count=5, seed=0):
    energies = np.random.default_rng(seed).gamma(0.5, size=[count, 96, 64])
    return np.log(energies + 0.01).astype("f4")


def encoder_of(variant):
    """An encoder whose moving statistics and scaling are none of the initial ones."""
    made = models.build_encoder(width=0.0625, embedding_size=16, seed=2, **VARIANTS[variant])
    made(log_mel(8, seed=1), training=True)
    if VARIANTS[variant].get("input_scaling"):
        models.scale_input(made, log_mel(20, seed=3))
    return made


@pytest.mark.slow
def test_plain_is_the_same_encoder_and_needs_keras_alone(commands, tmp_path):
    x, plain = log_mel(), {}
    for variant in VARIANTS:
        encoder = encoder_of(variant)
        plain[variant] = models.plain(encoder)
        np.testing.assert_allclose(plain[variant](x), encoder(x), atol=2e-5)
        for layer in plain[variant].layers:
            assert not type(layer).__module__.startswith("audio_triplet")
        plain[variant].save(tmp_path / f"{variant}.keras")
    best = encoder_of("best")
    best.save(tmp_path / "encoder.keras")
    np.save(tmp_path / "x.npy", x)
    code = ELSEWHERE.replace("ROOT", os.getcwd())
    arguments = [code, str(tmp_path), *VARIANTS]
    process = commands.start("tests.snippet", arguments, str(tmp_path / "log"))
    assert process.wait(120) == 0, process.text
    found = np.load(tmp_path / "y.npz")
    np.testing.assert_array_equal(found["encoder"], best(x))
    for variant in VARIANTS:
        np.testing.assert_allclose(found[variant], plain[variant](x), atol=1e-6)


@pytest.mark.slow
def test_the_head_of_the_documentation_learns_tones(tone_folder):
    classes = ("low", "middle", "high")
    files = [
        (path, n)
        for n, c in enumerate(classes)
        for path in glob.glob(f"{tone_folder}/{c}/*[0-5].wav")
    ]
    paths, labels = zip(*files, strict=True)
    train_head = runpy.run_path("docs/snippets/keras_head.py")["train_head"]
    model = types.SimpleNamespace(encoder=models.plain(encoder_of("best")))
    before = [np.array(weight) for weight in model.encoder.trainable_weights]
    keras.utils.set_random_seed(1)
    classifier = train_head(model, paths, labels, epochs=20)
    patches = [features.patches(features.mel_energies(load_audio(path))) for path in paths]
    guessed = [classifier(features.log_mel(p)).numpy().mean(axis=0).argmax() for p in patches]
    assert np.mean(np.array(guessed) == labels) > 0.8
    # The second stage did train the encoder.
    changed = [
        not np.array_equal(old, new)
        for old, new in zip(before, model.encoder.trainable_weights, strict=True)
    ]
    assert all(changed)


@pytest.mark.slow
def test_a_saved_model_as_a_keras_layer_is_trained_with_frozen(small_model):
    """As in docs: `trainable=False`. Keras names optimizer slots after variables, and TensorFlow
    ends every variable's name in `:0`, which no name of ours can avoid."""

    def classifier(**options):
        inputs = keras.Input([16000], name="waveform")
        layer = keras.layers.TFSMLayer(small_model.path, call_endpoint="serving_default", **options)
        head = keras.layers.Dense(3, activation="softmax")
        model = keras.Model(inputs, head(layer(inputs)["segment_embedding"]))
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    x = np.random.default_rng(0).normal(size=[6, 16000]).astype("f4")
    y = np.arange(6) % 3
    frozen = classifier(trainable=False)
    before = [np.array(weight) for weight in frozen.trainable_weights]
    frozen.fit(x, y, verbose=0)
    assert len(before) == 2 and not np.array_equal(before[0], frozen.trainable_weights[0])
    with pytest.raises(ValueError, match="not a valid scope name"):
        classifier().fit(x, y, verbose=0)
