"""A small disk of its own (tmpfs) that fills up, and folders that turn bad while they are used."""

import errno
import os
import subprocess

import numpy as np
import pytest

from audio_triplet.commands import terminal
from audio_triplet.training import checkpoints, metrics_log
from audio_triplet.training.trainer import Trainer
from tests.training.runs import config_of, losses, run


@pytest.fixture
def disk(tmp_path):
    """A mounted tmpfs of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def message(folder, prepared, config):
    """How a command would tell that this run fails."""
    with pytest.raises(SystemExit) as stop, terminal.clear_errors("prog"):
        run(config, prepared, folder, Trainer)
    text = str(stop.value)
    assert text.startswith("prog: ") and "\n" not in text
    return text


@pytest.mark.slow
def test_full_and_read_only_disks_are_told_and_lose_nothing(prepared, disk, tmp_path):
    out = disk / "out"
    run(config_of(4, checkpoint_steps=2), prepared, out, Trainer)
    before = metrics_log.read_metrics(str(out))
    with open(disk / "ballast", "wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(4096)):
                pass
        except OSError:
            pass
    assert "no space left on the disk; free some" in message(out, prepared, config_of(8))
    os.unlink(disk / "ballast")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "Read-only file system" in message(out, prepared, config_of(8))
    assert checkpoints.load_encoder(str(out)) is not None
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    _, rows = run(config_of(8), prepared, out, Trainer)
    assert rows[:4] == before
    _, undisturbed = run(config_of(8), prepared, tmp_path / "undisturbed", Trainer)
    np.testing.assert_array_equal(np.float32(losses(rows)), np.float32(losses(undisturbed)))


@pytest.mark.slow
def test_a_folder_that_vanishes_is_told(prepared, tmp_path, monkeypatch):
    import shutil

    good = Trainer.step

    def step(trainer, batch):
        if trainer.steps_done == 2:
            shutil.rmtree(tmp_path / "out")
        return good.__get__(trainer, Trainer)(batch)

    monkeypatch.setattr(Trainer, "step", step)
    text = message(tmp_path / "out", prepared, config_of(6, checkpoint_steps=1))
    assert "No such file" in text and "out" in text


def test_kernels_of_tensorflow_tell_it_in_words():
    import tensorflow as tf

    def fail():
        tf.raw_ops.WriteFile(filename="/proc/no/such/file", contents="x")

    with pytest.raises(SystemExit, match="prog: /proc/no.*No such file or directory"):
        with terminal.clear_errors("prog"):
            fail()


@pytest.mark.parametrize("raised", ["by the system", "by TensorFlow"])
def test_a_quota_that_is_used_up_reads_like_a_full_disk(raised):
    """The long part, `benchmarks.faults --only=quota`, has a real one."""
    import tensorflow as tf

    error = (
        OSError(errno.EDQUOT, "Disk quota exceeded", "out/metrics.csv")
        if raised == "by the system"
        else tf.errors.UnknownError(None, None, "out/metrics.csv; Disk quota exceeded")
    )
    with pytest.raises(SystemExit, match="prog: .*no space left on the disk; free some"):
        with terminal.clear_errors("prog"):
            raise error
