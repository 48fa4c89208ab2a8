import json

import numpy as np
import pytest

from audio_triplet.config import EncoderConfig
from audio_triplet.embeddings.quick_model import QuickModel
from audio_triplet.embeddings.saved_model import Model
from audio_triplet.errors import UsageError
from audio_triplet.search.word_table import WordTable
from experiments import release
from experiments.lib.settings import ExperimentSettings


@pytest.mark.slow
def test_release_is_a_scored_model_with_a_card(commands, folds, tmp_path):
    arguments = [
        f"--corpus={folds}",
        f"--score={folds}",
        f"--output_dir={tmp_path}/out",
        f"--models_dir={tmp_path}/models",
        "--name=tiny",
        "--steps=3",
        "--width=0.0625",
        "--batch_size=8",
        "--embedding_size=16",
        "--readout_patches=256",
    ]
    process = commands.start("experiments.release", arguments, str(tmp_path / "log"))
    assert process.wait(300) == 0, process.text[-2000:]
    model = tmp_path / "models" / "tiny"
    metadata = json.loads((model / "config.json").read_text())
    assert QuickModel(str(model / "encoder.tflite")).digest == metadata["digest"]
    words = WordTable.read(model)
    assert words.model_digest == metadata["digest"] and "middle" in words.vectors
    assert metadata["training"]["triplets"]["constraints"] == "combined"
    assert metadata["training"]["splits"] == ["fold1", "fold2"]  # nothing is held out
    card = (model / "README.md").read_text()
    assert "18 recordings (18 files, 0.0 h)" in card and "3 steps of 8 pairs" in card
    assert "each of 2 folds tested once" in card
    # The scores of the card are those of the model that lies there.
    scores = release.score(str(model), folds)
    for name, row in (("**mean**", scores), (scores["folds"][1], scores["each"][1])):
        assert f"| {name} | {row['probe_accuracy']:.3f} | {row['probe_map']:.3f} |" in card
    assert 0 <= scores["qbe_map"] <= 1 and len(scores["each"]) == 2
    assert "began with" not in card
    # Its embedding is read from several layers, of the same network.
    trained = Model(str(tmp_path / "out" / "run" / "export"))
    assert metadata["model"]["pooling"] == "layers" and trained.config["model"]["pooling"] == "time"
    assert metadata["readout"]["patches"] == 256
    assert metadata["readout"]["trained"] == trained.digest
    assert f"the last layer of `{trained.digest[:12]}`, so trained, was made anew from 256" in card
    read, before = Model(str(model)).network, trained.network
    for name in ("conv1_1", "conv4_2", "conv4_2_norm", "scaling"):
        for new, old in zip(
            read.get_layer(name).weights, before.get_layer(name).weights, strict=True
        ):
            np.testing.assert_array_equal(new, old)
    # Trained for longer, on sounds made by rule besides.
    again = ["--recipe=debian_sounds", f"--init_model={model}", "--learning_rate=1e-3"]
    arguments = [f"--corpus={folds}", f"--output_dir={tmp_path}/longer", "--steps=2", *again]
    arguments += [f"--models_dir={tmp_path}/models", "--name=longer", "--batch_size=8"]
    arguments += [f"--unlabelled=synthetic:{tmp_path}/synthetic?recordings=5"]
    arguments += ["--readout_patches=0"]
    process = commands.start("experiments.release", arguments, str(tmp_path / "log"))
    assert process.wait(300) == 0, process.text[-2000:]
    card = (tmp_path / "models" / "longer" / "README.md").read_text()
    assert f"began with the weights of `{metadata['digest'][:12]}` ({metadata['commit']}" in card
    assert ", 3 steps)" in card and "2 steps of 8 pairs" in card
    assert "23 recordings (23 files, 0.0 h)" in card and "5 of them are made by rule" in card
    assert "made anew" not in card
    # The last layer alone, of the model that is there.
    arguments = [f"--corpus={folds}", f"--output_dir={tmp_path}/read", "--only_readout"]
    arguments += [f"--models_dir={tmp_path}/models", "--name=longer", "--readout_patches=128"]
    process = commands.start("experiments.release", arguments, str(tmp_path / "log"))
    assert process.wait(300) == 0, process.text[-2000:]
    card = (tmp_path / "models" / "longer" / "README.md").read_text()
    assert "2 steps of 8 pairs" in card and "was made anew from 128 patches" in card
    assert "Not scored" in card


def test_layers_that_cannot_be_read_from_are_told_before_training(folds, tmp_path):
    settings = ExperimentSettings(folds, str(tmp_path / "out"), encoder=EncoderConfig(width=0.0625))
    with pytest.raises(UsageError, match="--pooling=time, or --readout_patches=0"):
        release.release(settings, 0, str(tmp_path / "model"))
    assert not (tmp_path / "out").exists()


def test_scoring_needs_folds(tone_folder, folds, tmp_path):
    with pytest.raises(UsageError, match="has no folds"):
        release.score(str(tmp_path), f"folders:{tone_folder}")
