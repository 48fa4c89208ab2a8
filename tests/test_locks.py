import os
import pathlib
import subprocess
import sys

import pytest

from audio_triplet import locks, storage
from audio_triplet.errors import LockedError

HOLD = """
import sys
from audio_triplet import locks
with locks.exclusive(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    return process


def test_one_process_wins_and_the_other_is_told_who_did(tmp_path):
    folder = tmp_path / "out"
    process = holder(folder)
    with pytest.raises(LockedError, match=rf"out: another .*process {process.pid}, since 20"):
        with locks.exclusive(str(folder)):
            pass
    with locks.exclusive(str(folder / "part")):  # a folder in it is another one
        pass
    process.communicate()
    assert os.listdir(folder) == ["part"]
    with locks.exclusive(str(folder)):
        pass


def test_a_killed_holder_leaves_nothing_to_wait_for(tmp_path):
    process = holder(tmp_path)
    process.kill()
    process.wait()
    assert os.listdir(tmp_path) == [locks.LOCK_FILE]
    with locks.exclusive(str(tmp_path)):
        pass
    assert os.listdir(tmp_path) == []


def test_taken_again_by_the_same_process_and_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    with locks.exclusive(str(tmp_path / "real")):
        with locks.exclusive(str(tmp_path / "link")):
            pass
        process = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path / "link")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert "LockedError" in process.stderr and f"process {os.getpid()}" in process.stderr
    assert os.listdir(tmp_path / "real") == []


@pytest.mark.slow
def test_many_takers_never_hold_it_together(tmp_path):
    """Locks are taken and their files removed as fast as can be, by processes that count."""
    code = """
import os, sys, time
from audio_triplet import locks
from audio_triplet.errors import LockedError
folder, end = sys.argv[1], time.monotonic() + 1.5
while time.monotonic() < end:
    try:
        with locks.exclusive(folder):
            os.mkdir(os.path.join(folder, "only"))  # fails if somebody else is in here
            os.rmdir(os.path.join(folder, "only"))
            print("x")
    except LockedError:
        pass
"""
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for taker in takers:
        out, error = taker.communicate()
        assert taker.returncode == 0, error.decode()
        assert out.count(b"x") > 5


def test_a_vanished_folder_is_let_go(tmp_path):
    with locks.exclusive(str(tmp_path / "gone")):
        os.unlink(tmp_path / "gone" / locks.LOCK_FILE)
        os.rmdir(tmp_path / "gone")
    with locks.exclusive(str(tmp_path / "gone")):
        pass


def test_addresses_are_not_locked():
    with locks.exclusive("gs://bucket/folder"):
        assert not os.path.exists("gs:")


def test_leftovers_go_and_all_else_stays(tmp_path):
    gone = [
        "a.json.tmp",
        "b.npz.tmp.npz",
        "ckpt-3.data-00000-of-00001.tempstate123",
        "ckpt-3_temp",
        "checkpoint.tmp" + "0a" * 16,
        ".manifest-x1.csv",
        ".unpack-q",
    ]
    kept = ["a.json", "b.npz", "ckpt-3.index", "tmp", "a.tmpl", "my.temp.wav", "manifest.csv"]
    for name in gone[:-1] + kept:
        (tmp_path / name).write_text("x")
    (tmp_path / gone[-1]).mkdir()
    (tmp_path / gone[-1] / "file").write_text("x")
    locks.clear_leftovers(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    locks.clear_leftovers(str(tmp_path / "absent"))


def test_a_link_named_like_a_leftover_is_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / "out").mkdir()
    os.symlink(tmp_path / "precious", tmp_path / "out" / "x.tmp")
    locks.clear_leftovers(str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == [] and os.listdir(tmp_path / "precious") == ["file"]


def test_a_folder_moved_aside_by_a_killed_writer_comes_back(tmp_path, monkeypatch):
    """Killed between the two renames by which `storage.replacing` replaces a folder."""

    def replace(content):
        with storage.replacing(tmp_path / "classifier") as temporary:
            os.mkdir(temporary)
            pathlib.Path(temporary, "weights").write_text(content)

    def kill(source, target):
        if target.endswith("classifier"):
            raise KeyboardInterrupt
        rename(source, target)

    replace("old")
    rename = os.rename
    for restore in (lambda: locks.clear_leftovers(str(tmp_path)), lambda: replace("newer")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "rename", kill)
            replace("new")
        assert "classifier" not in os.listdir(tmp_path)
        restore()
        (found,) = os.listdir(tmp_path)
        assert found == "classifier"
    assert (tmp_path / "classifier" / "weights").read_text() == "newer"
    (tmp_path / "classifier.earlier.tmp").mkdir()  # killed after the second rename
    locks.clear_leftovers(str(tmp_path))
    assert (tmp_path / "classifier" / "weights").read_text() == "newer"
    assert os.listdir(tmp_path) == ["classifier"]


def test_what_was_moved_aside_is_there_if_the_next_writer_fails(tmp_path):
    (tmp_path / "export.earlier.tmp").mkdir()
    (tmp_path / "export.earlier.tmp" / "graph").write_text("old")
    with pytest.raises(ValueError, match="no"), storage.replacing(tmp_path / "export"):
        raise ValueError("no")
    assert (tmp_path / "export" / "graph").read_text() == "old"
