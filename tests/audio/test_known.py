"""Answers about files are kept as long as the files stay what they are."""

import os

import pytest

from audio_triplet.audio.known import Known


def test_found_out_once_and_anew_when_the_file_changes(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    known, asked = Known(10), []

    def answer(value):
        with open(path, "rb") as file:
            return known.get(file.fileno(), lambda: asked.append(value) or value)

    assert answer(None) is None and answer(2) is None and asked == [None]
    path.write_bytes(b"longer")
    assert answer(3) == 3
    os.utime(path, ns=(0, 0))
    assert answer(4) == 4 and asked == [None, 3, 4]


def test_what_is_no_file_of_the_system_or_fails_is_not_kept(tmp_path):
    known = Known(10)
    assert [known.get(None, lambda n=n: n) for n in (1, 2)] == [1, 2]
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    with open(path, "rb") as file:
        with pytest.raises(ZeroDivisionError):
            known.get(file.fileno(), lambda: 1 // 0)
        assert known.get(file.fileno(), lambda: 5) == 5


def test_it_begins_anew_when_it_is_full(tmp_path):
    known, asked = Known(2), []
    for name in "abca":
        path = tmp_path / name
        path.write_bytes(b"x")
        os.utime(path, ns=(0, 0))
        with open(path, "rb") as file:
            known.get(file.fileno(), lambda name=name: asked.append(name))
    assert asked == ["a", "b", "c", "a"]
