"""Runs that begin with the weights of an export."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from audio_triplet import distribution, models
from audio_triplet.embeddings import encoder_file, saved_model
from audio_triplet.errors import ConfigError, ExportError
from audio_triplet.training import checkpoints, initial
from audio_triplet.training.trainer import Trainer
from tests.training.runs import SMALL, combined, losses, run

NETWORK = dataclasses.replace(SMALL, normalisation="batch", pooling="time", input_scaling=True)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The folder of an export whose every variable is distinct from a new network's."""
    encoder = models.build(NETWORK, seed=7)
    random = np.random.default_rng(0)
    for variable in encoder.variables:
        variable.assign(variable + random.uniform(0.05, 0.1, variable.shape))
    path = str(tmp_path_factory.mktemp("earlier") / "export")
    told = {"model": dataclasses.asdict(NETWORK), "commit": "c0ffee"}
    saved_model.export(encoder, path, told | {"training": {"corpus": "tones", "steps_done": 5}})
    return path


def beginning_with(path, config, frozen_layers=0):
    model = initial.describe(path)
    return dataclasses.replace(
        config,
        encoder=model.network,
        training=dataclasses.replace(config.training, frozen_layers=frozen_layers),
        init_model=model.path,
        init_model_digest=model.digest,
    )


def test_an_encoder_begins_as_the_export_is(earlier):
    config = beginning_with(earlier, combined(4), frozen_layers=2)
    assert config.encoder == NETWORK
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    initial.apply(trainer)
    patches = encoder_file.real_like_patches()
    expected = saved_model.Model(earlier).encode(patches)
    np.testing.assert_allclose(trainer.encoder(patches), expected, atol=1e-6)
    trained = {variable.path for variable in trainer.optimizer._trainable_variables}
    assert not any("conv1_1" in path or "conv2_1" in path for path in trained)
    assert any("conv3_1" in path for path in trained)


@pytest.mark.slow
def test_what_is_frozen_stays_and_a_stopped_run_goes_on(earlier, prepared, tmp_path):
    """Band scaling, frozen layers and their statistics are the export's to the bit."""
    config = beginning_with(earlier, combined(4), frozen_layers=3)
    _, whole = run(config, prepared, tmp_path / "whole", Trainer, feed="resident")
    shorter = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=2))
    run(shorter, prepared, tmp_path / "parts", Trainer)
    trainer, parts = run(config, prepared, tmp_path / "parts", Trainer)
    np.testing.assert_allclose(losses(parts), losses(whole), rtol=1e-5)
    kept = {variable.path: variable for variable in saved_model.Model(earlier).network.variables}
    fixed = ("scaling/", "conv1_1", "conv2_1", "conv3_1")
    for variable in trainer.encoder.variables:
        same = np.array_equal(variable, kept[variable.path])
        assert same == variable.path.startswith(fixed), variable.path
    # The weights, not only the configuration, came from the checkpoint.
    again = checkpoints.load_encoder(str(tmp_path / "parts"))
    for mine, theirs in zip(again.variables, trainer.encoder.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    other = dataclasses.replace(config, init_model="elsewhere", init_model_digest="another")
    with pytest.raises(ConfigError, match=r"init_model_digest \(there '[0-9a-f]+', now 'another'"):
        run(other, prepared, tmp_path / "parts", Trainer)


def test_provenance_tells_of_the_model_before(earlier, tmp_path):
    digest = saved_model.Model(earlier).digest
    told = {"path": earlier, "digest": digest, "corpus": "tones", "steps_done": 5}
    assert initial.provenance(earlier, digest) == told | {"commit": "c0ffee"}
    assert initial.provenance("gone", digest) == {"path": "gone", "digest": digest}
    assert initial.describe("released").network.width == 0.25


def test_what_a_run_cannot_begin_with(earlier, tmp_path):
    with pytest.raises(ExportError, match="runs/mine: holds no saved_model.pb; give the folder"):
        initial.describe("runs/mine")
    folder = str(tmp_path / "export")
    shutil.copytree(earlier, folder)
    file = os.path.join(folder, "config.json")
    for content in ({}, [], {"model": {}}, {"model": {"architecture": "perch"}}, {"model": 3}):
        with open(file, "w", encoding="utf-8") as config:
            json.dump(content, config)
        with pytest.raises(ExportError, match="does not describe a network of audio_triplet"):
            initial.describe(folder)
    os.remove(file)
    with pytest.raises(ExportError, match="it names no architecture"):
        initial.describe(folder)
    with open(file, "w", encoding="utf-8") as config:
        config.write("{")
    with pytest.raises(ExportError, match=r"config\.json: is damaged"):
        initial.describe(folder)

    config = beginning_with(earlier, combined(4))
    changed = dataclasses.replace(config, init_model_digest="another")
    with pytest.raises(ExportError, match="another model than this run was to begin with"):
        initial.apply(Trainer(changed))
    wider = dataclasses.replace(config, encoder=dataclasses.replace(NETWORK, width=0.125))
    with pytest.raises(ExportError, match=r"holds another network than vggish of width 0\.125"):
        initial.apply(Trainer(wider))
    with pytest.raises(ConfigError, match="frozen_layers=7: vggish has 6 convolutions"):
        Trainer(beginning_with(earlier, combined(4), frozen_layers=7))
    with pytest.raises(ConfigError, match="random layers would never be trained"):
        combined(4, frozen_layers=1)
