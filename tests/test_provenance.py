import subprocess
import sys

import pytest

from audio_triplet import provenance


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (
            ["/usr/bin/python3.11", "-m", "audio_triplet", "embed", "a b.wav"],
            "python -m audio_triplet embed 'a b.wav'",
        ),
        (
            ["/env/bin/python", "/env/bin/audio-triplet", "search", "x.wav"],
            "audio-triplet search x.wav",
        ),
    ],
)
def test_the_command_as_it_would_be_typed(monkeypatch, typed, shown):
    monkeypatch.setattr(sys, "orig_argv", typed)
    assert provenance.command() == shown


def test_an_environment_inside_of_another_clone_is_not_its_commit(monkeypatch, tmp_path):
    """As `.venv/lib/…/audio_triplet` lies inside of the clone of somebody's own project."""
    package = tmp_path / ".venv" / "audio_triplet"
    package.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    assert provenance.commit() == "unknown"


def test_what_a_number_came_from_is_complete():
    found = provenance.provenance()
    assert set(found) == {"command", "commit", "machine", "versions", "date"}
    assert "cores" in found["machine"] and "numpy" in found["versions"]
