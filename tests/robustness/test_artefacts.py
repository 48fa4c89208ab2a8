"""What is read back from disk: damaged, or made by somebody else."""

import ast
import dataclasses
import json
import os
import pathlib
import pickle
import shutil

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import distribution
from audio_triplet.config import RunConfig
from audio_triplet.data import shard_source
from audio_triplet.embeddings import saved_model
from audio_triplet.embeddings.embed import embed_shards
from audio_triplet.embeddings.representations import flat
from audio_triplet.embeddings.set_files import load_for_corpus, save_for_corpus
from audio_triplet.errors import ConfigError, CorpusError, ExportError
from audio_triplet.provenance import provenance
from audio_triplet.training.checkpoints import restore
from tests.training.runs import config_of, losses, run, shallow_trainer

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def flip(path, random, least=0):
    """Flips one bit of a file."""
    data = bytearray(path.read_bytes())
    data[random.integers(least, len(data))] ^= 1 << random.integers(8)
    path.write_bytes(data)


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """A run of 6 steps with checkpoints at 4 and 6, and its trainer."""
    folder = tmp_path_factory.mktemp("finished")
    trainer, rows = run(config_of(6, checkpoint_steps=2), prepared, folder)
    return folder, trainer, rows


def checkpoints(folder):
    return sorted(name for name in os.listdir(folder / "checkpoints") if name.endswith(".index"))


@pytest.mark.slow
def test_a_lost_list_of_checkpoints_is_made_again(prepared, finished, tmp_path):
    """TensorFlow's own list gone, a run would have begun again beside good checkpoints."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "checkpoint").unlink()
    trainer, rows = run(config_of(8), prepared, tmp_path)
    assert trainer.steps_done == 8
    np.testing.assert_array_equal(np.float32(losses(rows)[:6]), np.float32(losses(finished[2])))


@pytest.mark.slow
def test_what_a_kill_left_among_checkpoints_is_put_right(prepared, finished, tmp_path):
    """Killed before the list named a whole checkpoint, or in the middle of writing one."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "checkpoints"
    listed = (folder / "checkpoint").read_bytes()
    run(config_of(8), prepared, tmp_path)
    (folder / "checkpoint").write_bytes(listed)  # as it was at step 6
    (folder / "ckpt-9.data-00000-of-00001").write_bytes(b"half")
    (folder / "ckpt-9.index.tempstate123").write_bytes(b"half")
    (folder / "ckpt-9_temp").mkdir()
    _, rows = run(config_of(10), prepared, tmp_path)
    assert [row["step"] for row in rows] == list(range(10))
    assert checkpoints(tmp_path) == ["ckpt-10.index", "ckpt-8.index"]
    assert len(os.listdir(folder)) == 5


@pytest.mark.slow
def test_lost_checkpoints_are_told(prepared, finished, tmp_path, caplog):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "checkpoints")
    run(config_of(1), prepared, tmp_path)
    assert "has 6 steps, but there is no checkpoint" in caplog.text


def test_flipped_bits_in_a_checkpoint_are_noticed(finished, tmp_path):
    """Then the one before is taken: never weights that nobody trained."""
    folder, trainer, _ = finished
    good = {v.path: v.numpy() for v in trainer.encoder.variables}
    other = shallow_trainer(config_of(6), distribution.build_strategy("cpu"))
    random = np.random.default_rng(0)
    for _ in range(12):
        shutil.copytree(folder / "checkpoints", tmp_path / "checkpoints", dirs_exist_ok=True)
        victim = random.choice(["ckpt-6.data-00000-of-00001", "ckpt-6.index"])
        flip(tmp_path / "checkpoints" / victim, random)
        manager = tf.train.CheckpointManager(
            other.checkpoint(), str(tmp_path / "checkpoints"), max_to_keep=2
        )
        restore(other, manager)
        assert other.steps_done in (4, 6)
        if other.steps_done == 6:  # a bit that says nothing about a weight
            for variable in other.encoder.variables:
                np.testing.assert_array_equal(variable.numpy(), good[variable.path])


def test_damaged_run_configurations_are_refused_or_the_same(finished, tmp_path):
    config = RunConfig.read(str(finished[0]))
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(200):
        shutil.copy(finished[0] / "config.json", tmp_path)
        flip(tmp_path / "config.json", random)
        try:
            config.check_continues(RunConfig.read(str(tmp_path)), str(tmp_path))
        except ConfigError as error:
            assert str(tmp_path) in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 150  # what is left: blanks, the corpus's name, the number of steps


# --- models and embeddings ------------------------------------------------------------------------


def test_damaged_models_are_refused(finished, tmp_path):
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    saved_model.export(finished[1].encoder, str(whole), {"model": {}})
    assert saved_model.Model(str(whole)).config["model"] == {}
    random = np.random.default_rng(2)
    for name in (
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    ):
        shutil.copytree(whole, damaged, dirs_exist_ok=True)
        flip(damaged / name, random)
        with pytest.raises(ExportError, match="damaged: is damaged, or not what was"):
            saved_model.Model(str(damaged))
    shutil.copytree(whole, damaged, dirs_exist_ok=True)
    (damaged / "config.json").write_text('{"model": ')
    with pytest.raises(ExportError, match=r"config\.json: is damaged"):
        saved_model.Model(str(damaged))
    (damaged / "config.json").unlink()  # somebody else's SavedModel has none
    assert saved_model.Model(str(damaged)).config == {}


@pytest.mark.slow
def test_damaged_embeddings_are_refused_or_the_same(prepared, tmp_path):
    source = shard_source.ShardChunks(prepared)
    made = embed_shards(source, source.manifest, flat)
    path = tmp_path / "made.npz"
    save_for_corpus(made, str(path))
    whole, random = path.read_bytes(), np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        path.write_bytes(whole)
        flip(path, random, int(random.choice([0, len(whole) - 2000])))
        try:
            found = load_for_corpus(str(path), source.manifest)
        except CorpusError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(found.vectors, made.vectors)
            np.testing.assert_array_equal(found.segment_index, made.segment_index)
    assert refused > 20


# --- what somebody else may have made -------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_arrays_with_pickles_in_them_are_not_unpickled(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = np.array([Bomb()], dtype=object)
    names = ("row", "patch", "patch_segment", "patch_energy", "names")
    np.savez(tmp_path / "bomb.npz", **dict.fromkeys(names, bomb))
    with pytest.raises(CorpusError, match=r"bomb\.npz: is damaged"):
        load_for_corpus(str(tmp_path / "bomb.npz"), shard_source.ShardChunks(prepared).manifest)
    assert not os.path.exists("exploded")
    pickle.loads(pickle.dumps(Bomb()))  # it is a bomb
    assert os.path.exists("exploded")


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "__import__"}


def test_nothing_is_unpickled_or_evaluated_anywhere():
    """Of the package's sources, by their syntax: modules, calls, and what np.load may do."""
    sources = [
        path
        for folder in ("audio_triplet", "data_prep", "experiments")
        for path in (REPOSITORY / folder).rglob("*.py")
    ]
    assert len(sources) > 40
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [alias.name for alias in node.names]
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not FORBIDDEN_MODULES & {m.split(".")[0] for m in modules}, where
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            assert name not in FORBIDDEN_CALLS, where
            assert name.split(".")[-1] not in ("read_pickle", "unsafe_load", "load_model_pickle")
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in ("np.load", "numpy.load"):
                assert keywords.get("allow_pickle") == "False", f"{where}: say allow_pickle=False"
            assert keywords.get("allow_pickle", "False") == "False", where
            assert keywords.get("shell", "False") == "False", where
            if name in ("torch.load", "yaml.load"):
                pytest.fail(f"{where}: {name}")
            if name.endswith("extractall"):
                pytest.fail(f"{where}: writes where the archive says")


def test_secrets_of_the_environment_are_in_no_record(finished, monkeypatch):
    monkeypatch.setenv("SOME_API_TOKEN", "hunter2-in-the-environment")
    folder, _, _ = finished
    text = json.dumps(provenance()) + json.dumps(dataclasses.asdict(config_of()))
    assert "hunter2" not in text
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes()
