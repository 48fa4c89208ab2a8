"""The models that are in the repository hold what the contract and their cards say."""

import json
import os
import pathlib

import numpy as np
import pytest

from audio_triplet.embeddings import saved_model

FOLDER = pathlib.Path(__file__).parents[1] / "models"
MODELS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", MODELS)
def test_model_keeps_the_contract(name):
    path = FOLDER / name
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert size < 20e6
    saved_model.check(saved_model.Model(str(path)))
    metadata = json.loads((path / "config.json").read_text())
    card = (path / "README.md").read_text()
    for promised in (
        metadata["command"],
        metadata["commit"],
        metadata["date"],
        "## Limits",
        "licences",
    ):
        assert promised in card
    assert f"{metadata['model']['parameters']:,} parameters" in card
    assert not metadata["commit"].endswith("+changes")


def test_like_sounds_are_near():
    """Clicks, a low tone and hiss, in two versions each: the nearest is the other version."""
    random = np.random.default_rng(0)
    time = np.arange(2 * 16000) / 16000

    def clicks(rate, gain):
        return gain * (np.sin(2 * np.pi * rate * time) > 0.99) * random.normal(size=time.size)

    pairs = [
        (clicks(3, 0.5), clicks(4, 0.2)),
        (0.4 * np.sin(2 * np.pi * 180 * time), 0.1 * np.sin(2 * np.pi * 200 * time)),
        (0.3 * random.normal(size=time.size), 0.1 * random.normal(size=time.size)),
    ]
    sounds = np.array([version for pair in pairs for version in pair], np.float32)
    model = saved_model.Model(os.fspath(FOLDER / "debian-sounds"))
    vectors = model(sounds)["segment_embedding"].numpy()
    cosine = vectors @ vectors.T - 2 * np.eye(6)
    assert cosine.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4]
