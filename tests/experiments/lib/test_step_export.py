"""A step that jax alone trains on, beside TensorFlow's."""

import csv
import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from audio_triplet import distribution
from audio_triplet.config import EXPLICIT, PipelineConfig
from audio_triplet.data import shard_source
from audio_triplet.embeddings import saved_model
from audio_triplet.errors import ConfigError, ExportError, TrainingError
from audio_triplet.training import checkpoints, loop, pjrt_runner
from audio_triplet.training.trainer import Trainer
from experiments.lib import step_export
from tests.training.runs import QUICK_TO_COMPILE, combined, config_of, run

pytest.importorskip("jax", reason="jax is not installed (extra pjrt)")
STEPS = 20


def command(folder, output, *arguments):
    given = [f"--output_dir={output}", "--platform=cpu", *arguments]
    return [sys.executable, os.path.join(folder, "run.py"), *given]


def called(folder, output, *arguments, limit=None, **environment):
    """The runner in a process of its own, which has nothing of ours; files of `limit` bytes."""
    environment["XLA_FLAGS"] = f"{QUICK_TO_COMPILE} {environment.get('XLA_FLAGS', '')}"
    environment |= {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command(folder, output, *arguments),
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=folder,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )


def exported(config, prepared, folder, **how):
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    source = shard_source.ShardChunks(prepared, ("train",))
    loop.begin(trainer, source)
    step_export.export_step(trainer, source, str(folder), **how)
    return str(folder)


def losses_in(output):
    with open(os.path.join(output, "metrics.csv"), newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def last_line(done):
    assert done.returncode == 1, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def joint(prepared, tmp_path_factory):
    """A joint step, exported; tests copy nothing and write elsewhere."""
    config = config_of(STEPS, learning_rate=1e-4)
    return exported(config, prepared, tmp_path_factory.mktemp("joint") / "step")


@pytest.fixture(scope="module")
def trained(joint, tmp_path_factory):
    """The folder of 20 joint steps under jax."""
    output = tmp_path_factory.mktemp("trained") / "run"
    done = called(joint, output, "--save_every=15")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def under_tensorflow(prepared, tmp_path_factory):
    """Trainer and losses of 20 joint steps under TensorFlow."""
    config = config_of(STEPS, learning_rate=1e-4)
    trainer, rows = run(
        config, prepared, tmp_path_factory.mktemp("tensorflow"), Trainer, feed="pipeline"
    )
    return trainer, [row["loss"] for row in rows]


@pytest.mark.slow
def test_the_losses_of_tensorflow(trained, under_tensorflow):
    """20 float32 steps of the joint constraints, from one state."""
    np.testing.assert_allclose(losses_in(trained), under_tensorflow[1], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("constraints", ["combined", EXPLICIT])
def test_the_losses_of_tensorflow_with_others(constraints, prepared, tmp_path):
    """Combined ones augment, with the contrastive loss; of more triplets than recordings."""
    config = config_of(STEPS, EXPLICIT, learning_rate=1e-4)
    if constraints == "combined":
        config = combined(STEPS, learning_rate=1e-4)
        # Far pairs are sent as two chunks each, here twice the same: recordings have one.
        far = dataclasses.replace(config.triplets, far_share=0.5)
        config = dataclasses.replace(config, triplets=far, pipeline=PipelineConfig(batch_size=24))
    folder = exported(config, prepared, tmp_path / "step")
    _, rows = run(config, prepared, tmp_path / "tensorflow", Trainer, feed="pipeline")
    done = called(folder, tmp_path / "jax")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        losses_in(tmp_path / "jax"), [row["loss"] for row in rows], rtol=1e-4
    )


@pytest.mark.slow
def test_a_corpus_of_8_bits(prepared, under_tensorflow, tmp_path):
    """The losses that TensorFlow has from the same 8 bits, near those of 16."""
    config = config_of(STEPS, learning_rate=1e-4)
    folder = exported(config, prepared, tmp_path / "step", corpus_bits=8)
    _, rows = run(config, prepared, tmp_path / "tensorflow", Trainer, feed="resident8")
    done = called(folder, tmp_path / "jax")
    assert done.returncode == 0, done.stderr
    own, losses = losses_in(tmp_path / "jax"), [row["loss"] for row in rows]
    np.testing.assert_allclose(own, losses, rtol=1e-4)
    np.testing.assert_allclose(own, under_tensorflow[1], rtol=5e-2)
    assert losses != under_tensorflow[1]


@pytest.mark.slow
def test_two_devices_and_many_steps_a_call(prepared, under_tensorflow, tmp_path):
    """The batch is divided, its negatives are the global batch's; in calls of 7, 7, 1 and 5."""
    config = config_of(STEPS, learning_rate=1e-4)
    folder = exported(config, prepared, tmp_path / "step", steps_per_call=7, devices=2)
    output = tmp_path / "run"
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    for steps in (15, 20):
        done = called(folder, output, f"--steps={steps}", **two)
        assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses_in(output), under_tensorflow[1], rtol=1e-4)
    assert "is for 2 devices, 1 found" in last_line(called(folder, tmp_path / "no"))
    with pytest.raises(ConfigError, match="batch_size=8: not a multiple of 3 devices"):
        exported(config, prepared, tmp_path / "three", devices=3)


@pytest.mark.slow
def test_in_bfloat16(prepared, under_tensorflow, tmp_path):
    """Near float32's losses, and not the same: numbers of 8 bits mine other negatives."""
    config = config_of(STEPS, learning_rate=1e-4, precision="mixed_bfloat16")
    folder = exported(config, prepared, tmp_path / "step")
    done = called(folder, tmp_path / "jax")
    assert done.returncode == 0, done.stderr
    own, losses = losses_in(tmp_path / "jax"), under_tensorflow[1]
    np.testing.assert_allclose(own, losses, rtol=5e-2)
    np.testing.assert_allclose(np.mean(own), np.mean(losses), rtol=1e-2)
    assert np.abs(np.divide(own, losses) - 1).max() > 1e-4


@pytest.mark.slow
def test_its_state_is_a_run_of_ours(joint, trained, under_tensorflow, prepared, tmp_path):
    with open(os.path.join(joint, "manifest.json")) as file:
        manifest = json.load(file)
    half, back = str(trained / "state-000000015.npz"), str(tmp_path / "back")
    assert step_export.import_state(half, manifest, back) == 15
    trainer = Trainer(config_of(STEPS, learning_rate=1e-4), distribution.build_strategy("cpu"))
    source = shard_source.ShardChunks(prepared, ("train",))
    rows = loop.run(trainer, source, back, progress=False)
    own, losses = under_tensorflow
    np.testing.assert_allclose([row["loss"] for row in rows], losses, rtol=1e-4)
    encoder = checkpoints.load_encoder(back)
    for weight, other in zip(encoder.weights, own.encoder.weights, strict=True):
        np.testing.assert_allclose(weight, other, atol=2e-4)
    export = os.path.join(back, "export")
    saved_model.export(encoder, export, {})
    embedded = saved_model.Model(export)(np.zeros((1, 16000), np.float32))
    np.testing.assert_allclose(
        np.linalg.norm(embedded["segment_embedding"], axis=-1), 1.0, rtol=1e-5
    )


@pytest.mark.slow
def test_killed_and_continued_to_the_same_bits(joint, trained, tmp_path):
    killed = tmp_path / "killed"
    arguments = command(joint, killed, "--save_every=1", "--log_every=1")
    quick = os.environ | {"XLA_FLAGS": QUICK_TO_COMPILE}  # as `called`: other code, other bits
    with subprocess.Popen(arguments, env=quick) as process:
        deadline = time.monotonic() + 200
        while not killed.exists() or len(list(killed.glob("state-*.npz"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    newest = sorted(killed.glob("state-*.npz"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])  # as a disk that lost its end
    done = called(joint, killed)
    assert done.returncode == 0 and "cannot be read" in done.stderr
    assert losses_in(trained) == losses_in(killed)
    name = f"state-{STEPS:09d}.npz"
    with np.load(trained / name) as one, np.load(killed / name) as other:
        for key in one.files:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.slow
def test_the_last_good_state_is_kept(joint, trained, tmp_path):
    """Through a full disk, and a loss that is not finite."""
    output = tmp_path / "run"
    shutil.copytree(trained, output)
    (output / f"state-{STEPS:09d}.npz").unlink()
    kept = output / "state-000000015.npz"
    content = kept.read_bytes()
    line = last_line(called(joint, output, limit=len(content) // 2))
    assert "cannot be written (File too large); make room" in line
    assert kept.read_bytes() == content and len(list(output.glob("state-*.npz"))) == 1
    broken = tmp_path / "broken"
    shutil.copytree(joint, broken)
    energies = np.load(broken / "corpus" / "mel_energies.npy")
    np.save(broken / "corpus" / "mel_energies.npy", np.full_like(energies, np.inf))
    line = last_line(called(broken, output))
    assert "not finite from step 15; the last good state is kept" in line
    assert kept.read_bytes() == content and len(list(output.glob("state-*.npz"))) == 1


@pytest.mark.slow
def test_what_is_wrong_is_one_line(joint, tmp_path):
    done = subprocess.run(
        [*command(joint, tmp_path / "no")[:-1], "--platform=tpu"], capture_output=True, text=True
    )
    assert "platform=tpu: no such device" in last_line(done)
    other = tmp_path / "other"
    shutil.copytree(joint, other)
    with open(other / "step.stablehlo", "ab") as file:
        file.write(b" ")
    assert "is not the manifest's" in last_line(called(other, tmp_path / "no"))
    manifest = json.loads((other / "manifest.json").read_text())
    with pytest.raises(TrainingError, match="another program"):
        wrong = manifest | {"program": "0"}
        step_export.import_state(os.path.join(joint, "state.npz"), wrong, str(tmp_path / "new"))
    (other / "manifest.json").write_text(json.dumps(manifest | {"format": 9}))
    assert "is of format 9; this runs 1" in last_line(called(other, tmp_path / "no"))
    assert "the export has 20" in last_line(called(joint, tmp_path / "no", "--steps=99"))


def test_a_device_without_memory(joint, tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nMore lines")

    monkeypatch.setattr(pjrt_runner, "Step", full)
    monkeypatch.setattr(sys, "argv", ["run.py", f"--folder={joint}", f"--output_dir={tmp_path}"])
    assert pjrt_runner.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "allocating 9 bytes.; use a smaller batch or corpus" in line


def test_a_program_calls_nothing_that_only_some_devices_have():
    step_export.check_portable('%9 = stablehlo.custom_call @Sharding(%8) {backend_config = ""}')
    with pytest.raises(ExportError, match="calls __onednn, topk, which not every device has"):
        step_export.check_portable("%1 = stablehlo.custom_call @topk(%0)\n custom_call @__onednn()")


def test_nothing_is_exported_of_a_run_that_is_done(prepared, tmp_path):
    trainer = Trainer(config_of(3), distribution.build_strategy("cpu"))
    trainer.optimizer.iterations.assign(3)
    source = shard_source.ShardChunks(prepared, ("train",))
    with pytest.raises(ConfigError, match="all of them are done"):
        step_export.export_step(trainer, source, str(tmp_path / "step"))
