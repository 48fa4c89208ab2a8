"""A tree of sound files as a corpus."""

import os

import pytest

from audio_triplet.corpora import folders
from audio_triplet.errors import CorpusError


def _tree(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return str(root)


def test_first_folder_is_the_label_at_any_depth(tmp_path):
    root = _tree(
        tmp_path,
        "dog/b.wav", "dog/a/deep/c.FLAC", "cat/a.Ogg", "été 1/x y.opus", "root.mp3",
        "dog/notes.txt", "dog/.hidden.wav", ".git/x.wav", "dog/.cache/y.wav", "cat/wav",
    )  # fmt: skip
    made = folders.load(root)
    assert dict(zip(made.frame["recording_id"], made.frame["labels"], strict=True)) == {
        "root.mp3": "",
        "cat/a.Ogg": "cat",
        "dog/b.wav": "dog",
        "dog/a/deep/c.FLAC": "dog",
        "été 1/x y.opus": "été 1",
    }
    assert list(made.frame["path"]) == [f"{root}/{name}" for name in made.frame["recording_id"]]
    assert made.splits == ("",)


def test_no_folders_is_unlabelled_and_order_is_sorted(tmp_path):
    made = folders.load(_tree(tmp_path, "c.wav", "a.wav", "b.aiff"))
    assert list(made.frame["recording_id"]) == ["a.wav", "b.aiff", "c.wav"]
    assert made.classes == ()


def test_links_to_folders_are_not_followed_links_to_files_are(tmp_path, caplog):
    outside = tmp_path / "outside"
    _tree(outside, "o.wav")
    root = tmp_path / "root"
    _tree(root, "dog/a.wav")
    os.symlink(outside, root / "linked")
    os.symlink(root, root / "dog" / "circle")
    os.symlink(outside / "o.wav", root / "dog" / "o.wav")
    with caplog.at_level("WARNING", logger="absl"):
        made = folders.load(str(root))
    assert list(made.frame["recording_id"]) == ["dog/a.wav", "dog/o.wav"]
    assert "2 links to folders are not followed" in caplog.text


def test_nothing_there(tmp_path):
    with pytest.raises(CorpusError, match="no such folder"):
        folders.load(str(tmp_path / "absent"))
    with pytest.raises(CorpusError, match=f"{tmp_path}: no audio files in it; looked for wav,"):
        folders.load(_tree(tmp_path, "a.txt", "x/b.doc"))


def test_a_class_with_a_semicolon_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="dog;cat: a class may not have ';'"):
        folders.load(_tree(tmp_path, "dog;cat/a.wav"))


def test_names_that_are_not_utf8_are_said(tmp_path, caplog):
    root = _tree(tmp_path, "a.wav")
    try:
        with open(os.path.join(os.fsencode(root), b"\xff.wav"), "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system allows UTF-8 names only")
    with caplog.at_level("WARNING", logger="absl"):
        made = folders.load(root)
    assert list(made.frame["recording_id"]) == ["a.wav"]
    assert "not UTF-8" in caplog.text
