"""WebDataset's tar files, read in place."""

import io
import json
import tarfile

import numpy as np
import pytest
import soundfile

import audio_triplet
from audio_triplet import audio
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.errors import CorpusError
from data_prep.preparation import prepare


def _sound(seed=0, seconds=1.0, form="FLAC"):
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 16_000))
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format=form)
    return file.getvalue()


def _write(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            content = content.encode() if isinstance(content, str) else content
            content = json.dumps(content).encode() if isinstance(content, dict) else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_json(tmp_path, caplog):
    members = {
        "a/001.flac": _sound(0), "a/001.json": {"label": "dog", "src_file": 7, "text": "x"},
        "b/001.json": {"label": ["cat", "rain; wind"], "src_file": 8}, "b/001.FLAC": _sound(1),
        "b/002.wav": _sound(2, form="WAV"), "b/003.json": {"label": "no sound"}, "b/003.png": b"x",
    }  # fmt: skip
    path = _write(tmp_path / "set-000.tar", members)
    with caplog.at_level("INFO", logger="absl"):
        frame = load_corpus(f"webdataset:{tmp_path}").frame
    assert list(frame["path"]) == [f"{path}/a/001.flac", f"{path}/b/001.FLAC", f"{path}/b/002.wav"]
    assert list(frame["labels"]) == ["dog", "cat;rain, wind", ""]
    assert list(frame["recording_id"]) == ["7", "8", f"{path}/b/002"]
    assert set(frame["split"]) == {""}
    assert "passed over: 1 .png" in caplog.text
    samples = audio.load_audio(frame["path"][1])
    assert len(samples) == 16_000 and np.abs(samples).max() > 0.4


def test_cls_with_and_without_names(tmp_path):
    for split, number in (("train", 0), ("val", 1), ("test", 2)):
        members = {f"{number}.wav": _sound(form="WAV"), f"{number}.cls": f"{number}\n"}
        _write(tmp_path / split / "000.tar", members)
    frame = load_corpus(f"webdataset:{tmp_path}").frame
    assert list(frame["labels"]) == ["2", "0", "1"]
    assert list(frame["split"]) == ["test", "train", "validation"]
    (tmp_path / "classnames.txt").write_text("cat\ndog\nrain\n")
    assert list(load_corpus(f"webdataset:{tmp_path}").frame["labels"]) == ["rain", "cat", "dog"]
    one = load_corpus(f"webdataset:{tmp_path}/val/000.tar").frame
    assert list(one["labels"]) == ["1"] and list(one["split"]) == [""]


def test_keys_that_are_named_and_clear_errors(tmp_path):
    said = {"label": "a", "category": "b", "kind": "c"}
    path = _write(tmp_path / "x.tar", {"1.flac": _sound(), "1.json": said})
    frame = load_corpus(f"webdataset:{tmp_path}?labels=kind;label").frame
    assert list(frame["labels"]) == ["c;a"]
    with pytest.raises(CorpusError, match="x.tar: 'label' and 'category' could both be labels"):
        load_corpus(f"webdataset:{tmp_path}")
    with pytest.raises(CorpusError, match="leave audio= out"):
        load_corpus(f"webdataset:{tmp_path}?audio=x")
    _write(tmp_path / "x.tar", {"1.flac": _sound(), "1.json": "no JSON"})
    with pytest.raises(CorpusError, match="x.tar/1.json: not JSON"):
        load_corpus(f"webdataset:{tmp_path}")
    _write(tmp_path / "x.tar", {"1.txt": "a"})
    with pytest.raises(CorpusError, match="no sound in its 1 tar files; looked for wav,"):
        load_corpus(f"webdataset:{tmp_path}")
    path.write_bytes(b"no tar" * 1000)
    with pytest.raises(CorpusError, match="x.tar: cannot be read as a tar file"):
        load_corpus(f"webdataset:{tmp_path}")
    path.unlink()
    with pytest.raises(CorpusError, match=r"no tar files .\.tar. in it or below"):
        load_corpus(f"webdataset:{tmp_path}")


def test_prepared(tmp_path):
    members = {f"{n}.flac": _sound(n, 2.0) for n in range(8)}
    _write(tmp_path / "in" / "x.tar", members)
    info = prepare(
        load_corpus(f"webdataset:{tmp_path / 'in'}"), str(tmp_path / "out"), progress=False
    )
    assert sum(split.seconds for split in info.splits.values()) == pytest.approx(16.0)
    assert not info.bad_files


def test_indexed_and_found_as_from_files(tmp_path, small_model):
    """An index of members gives the scores that one of the same sounds as files gives."""
    contents = {f"{n}.flac": _sound(n, 2.0) for n in range(4)}
    path = _write(tmp_path / "x.tar", contents)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    inside = [f"{path}/{name}" for name in contents]
    outside = [str(tmp_path / name) for name in contents]
    of_members = audio_triplet.build_index(tmp_path / "a", inside, small_model)
    of_files = audio_triplet.build_index(tmp_path / "b", outside, small_model)
    hits = of_members.find(tmp_path / "2.flac", top=4)
    assert hits[0].path == f"{path}/2.flac"
    others = of_files.find(f"{path}/2.flac", top=4)
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in others], abs=1e-5)
