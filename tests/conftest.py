"""Fixtures: small corpora of generated sound. Nothing here is recorded."""

import contextlib
import functools
import gc
import os

# Before anything imports TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many test processes as cores: threads of an operation would only wait for each other.
    # `robustness/test_determinism.py` sets its own numbers.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import hypothesis
import numpy as np
import pytest
import soundfile
from absl import flags

# The same examples in every run, so that a change is judged by itself and not by the day's draw;
# `HYPOTHESIS_PROFILE=search` looks further, with new ones.
hypothesis.settings.register_profile("repeat", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

# Python's collector would look through all of TensorFlow again and again, a tenth of the time.
gc.set_threshold(20_000, 10, 10)

RATE = 16000


def tone(seconds: float, hertz: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """A chirping tone with a little noise: float32[samples]."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=time.size)
    return (0.3 * np.sin(2 * np.pi * hertz * time * (1 + 0.05 * time)) + 0.02 * noise).astype("f4")


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that processes that share the files end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """What the tests import stays to the end."""
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def flags_given(define, arguments):
    """A script's flags as if given on its command line, in this process and only inside `with`.

    Args:
      define: The script's `define_flags`.
      arguments: As typed.
    """
    values = flags.FlagValues()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flags, "FLAGS", values)
        kinds = ("boolean", "integer", "float", "string", "list", "enum", "alias")
        kinds += ("multi_string", "multi_enum")
        for kind in kinds:
            original = getattr(flags, f"DEFINE_{kind}")
            patch.setattr(flags, f"DEFINE_{kind}", functools.partial(original, flag_values=values))
        define()
        values(["script", *arguments])
        yield values


@pytest.fixture(scope="session")
def commands():
    """Starts modules in processes of their own, which share one import of TensorFlow."""
    from benchmarks.faults.commands import Commands

    with Commands() as server:
        yield server


@pytest.fixture(scope="session")
def tone_folder(tmp_path_factory) -> str:
    """A `folders:` corpus: 3 classes × 6 recordings of 1.2 to 4 s, one of 0.3 s, one silent."""
    root = tmp_path_factory.mktemp("tones")
    for label, hertz in (("low", 200), ("middle", 800), ("high", 3000)):
        (root / label).mkdir()
        for number in range(6):
            sound = tone(1.2 + 0.55 * number, hertz * (1 + 0.03 * number), number)
            soundfile.write(root / label / f"{label}{number}.wav", sound, RATE)
    soundfile.write(root / "low" / "short.wav", tone(0.3, 220), RATE)
    soundfile.write(root / "high" / "silent.wav", np.zeros(RATE * 2, "f4"), RATE)
    return str(root)


@pytest.fixture(scope="session")
def prepared(tone_folder, tmp_path_factory) -> str:
    """The same corpus as prepared shards, split into train and test by recording."""
    from audio_triplet.config import PrepareConfig
    from audio_triplet.corpora.registry import load_corpus
    from data_prep.preparation import prepare

    folder = str(tmp_path_factory.mktemp("prepared"))
    prepare(load_corpus(f"folders:{tone_folder}"), folder, PrepareConfig(), progress=False)
    return folder


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """An exported encoder, loaded: random weights, 24 dimensions; its encoder file beside it."""
    from audio_triplet import models
    from audio_triplet.embeddings import encoder_file, saved_model

    path = str(tmp_path_factory.mktemp("small") / "export")
    saved_model.export(models.build_encoder(width=0.0625, embedding_size=24, seed=3), path, {})
    model = saved_model.Model(path)
    encoder_file.write(model, path)
    return model
