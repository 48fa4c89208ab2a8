"""The models that are in the repository hold what the contract and their cards say."""

import json
import os
import pathlib

import numpy as np
import pytest

from audio_triplet.embeddings import model_files, quick_model, saved_model
from audio_triplet.search import word_table

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


@pytest.mark.parametrize("name", MODELS)
def test_what_serves_searches_belongs_to_the_model(name):
    path = str(FOLDER / name)
    digest = model_files.digest_of(path)
    quick = quick_model.find([path], digest)
    assert quick is not None
    origin = quick_model.EncoderOrigin.read(os.path.join(path, quick_model.ENCODER_FILE))
    assert origin.cosine >= 0.9999
    table = word_table.WordTable.read(path)
    assert table.model_digest == digest and not table.provenance["commit"].endswith("+changes")
    assert {"dog", "rain", "bell"} <= set(table.vectors) and len(table.vectors) > 100
    assert all(1 <= len(vectors) <= 8 for vectors in table.vectors.values())
    assert os.path.getsize(os.path.join(path, word_table.WORDS_FILE)) < 300_000


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
