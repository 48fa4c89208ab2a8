"""Published corpora as people have them: the folder above, and the mirrors' arrangements."""

import os

import pytest

from audio_triplet.corpora.registry import load_corpus
from audio_triplet.errors import CorpusError

_ESC50 = (
    "filename,fold,target,category,esc10,src_file,take\n"
    "1-100-A-0.wav,1,0,dog,True,100,A\n"
    "5-007-A-19.wav,5,19,thunderstorm,False,007,A\n"
)
_CLIPS = ["1-100-A-0.wav", "5-007-A-19.wav"]
_URBAN = (
    "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
    "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark\n"
    "7061-6-0-0.wav,7061,0.0,2.5,2,10,6,gun_shot\n"
)
_SLICES = ["fold5/100032-3-0-0.wav", "fold10/7061-6-0-0.wav"]
_FSD50K = {
    "vocabulary.csv": "0,Accordion,/m/0mkg\n1,Dog,/m/0bt9lr\n",
    "dev.csv": 'fname,labels,mids,split\n64760,Dog,"/m/0bt9lr",train\n16399,Accordion,/m/0,val\n',
    "eval.csv": "fname,labels,mids\n37199,Dog,/m/0bt9lr\n",
}


def _write(root, tables, sounds):
    for name, text in {**tables, **dict.fromkeys(sounds, "x")}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _below(folder, names):
    return [f"{folder}/{name}" for name in names]


@pytest.mark.parametrize(
    ("table", "audio"),
    [
        ("ESC-50-master/meta/esc50.csv", "ESC-50-master/audio"),  # GitHub's ZIP, the folder above
        ("a/ESC-50-master/meta/esc50.csv", "a/ESC-50-master/audio"),
        ("a/b/ESC-50-master/esc50.csv", "a/b/ESC-50-master"),
        ("esc50.csv", "audio/audio"),  # Kaggle
        ("ESC50.CSV", "wav"),
        ("esc50.csv", "audio/audio/44100"),
        ("esc50.csv", "."),
    ],
)
def test_esc50(tmp_path, caplog, table, audio):
    _write(tmp_path, {table: _ESC50}, _below(audio, _CLIPS))
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "esc50.csv").write_text("x")
    with caplog.at_level("INFO", logger="absl"):
        frame = load_corpus(f"esc50:{tmp_path}").frame
    assert list(frame["path"]) == [os.path.normpath(tmp_path / audio / name) for name in _CLIPS]
    assert list(frame["split"]) == ["fold1", "fold5"]
    assert f"ESC-50: the table is {tmp_path / table}" in caplog.text


@pytest.mark.parametrize(
    ("table", "audio"),
    [
        ("UrbanSound8K/metadata/UrbanSound8K.csv", "UrbanSound8K/audio"),
        ("UrbanSound8K.csv", "."),  # Kaggle
        ("metadata/UrbanSound8K.csv", "."),
        ("x/UrbanSound8K.csv", "x/audio/audio"),
    ],
)
def test_urbansound8k(tmp_path, table, audio):
    _write(tmp_path, {table: _URBAN}, [*_below(audio, _SLICES), "fold1/7061-6-0-0.wav"])
    frame = load_corpus(f"urbansound8k:{tmp_path}").frame
    # The file in another's fold is not taken.
    assert list(frame["path"]) == [os.path.normpath(tmp_path / audio / name) for name in _SLICES]
    assert list(frame["split"]) == ["fold5", "fold10"]


def test_urbansound8k_without_folds(tmp_path):
    names = [os.path.basename(name) for name in _SLICES]
    _write(tmp_path, {"UrbanSound8K.csv": _URBAN}, _below("all", names))
    frame = load_corpus(f"urbansound8k:{tmp_path}").frame
    assert list(frame["path"]) == [str(tmp_path / "all" / name) for name in names]
    assert list(frame["split"]) == ["fold5", "fold10"]


@pytest.mark.parametrize(
    ("tables", "dev", "evaluation"),
    [
        ("FSD50K/FSD50K.ground_truth", "FSD50K/FSD50K.dev_audio", "FSD50K/FSD50K.eval_audio"),
        ("labels", "dev_audio", "eval_audio"),
        ("labels", "clips/dev", "clips/eval"),  # the hub's
        ("FSD50K.ground_truth", "FSD50K.dev_audio_16k", "FSD50K.eval_audio_16k"),
    ],
)
def test_fsd50k(tmp_path, tables, dev, evaluation):
    sounds = [f"{dev}/64760.wav", f"{dev}/16399.flac", f"{evaluation}/37199.wav"]
    _write(tmp_path, {f"{tables}/{name}": text for name, text in _FSD50K.items()}, sounds)
    frame = load_corpus(f"fsd50k:{tmp_path}").frame
    assert list(frame["path"]) == [str(tmp_path / name) for name in sounds]
    assert list(frame["split"]) == ["train", "validation", "eval"]


def test_two_tables(tmp_path):
    both = {"a/meta/esc50.csv": _ESC50, "b/meta/esc50.csv": _ESC50}
    _write(tmp_path, both, _below("a/audio", _CLIPS))
    assert len(load_corpus(f"esc50:{tmp_path}")) == 2  # the same twice is one
    (tmp_path / "b/meta/esc50.csv").write_text(_ESC50.replace("dog", "cat"))
    message = f"two tables could be meant, {tmp_path}/a/meta/esc50.csv and {tmp_path}/b/meta/esc50"
    with pytest.raises(CorpusError, match=message):
        load_corpus(f"esc50:{tmp_path}")


def test_clips_in_two_folders(tmp_path):
    _write(tmp_path, {"esc50.csv": _ESC50}, [*_below("a/16000", _CLIPS), f"a/44100/{_CLIPS[1]}"])
    message = f"hold clips of ESC-50, {tmp_path}/a/16000 and {tmp_path}/a/44100 .{_CLIPS[1]}, ….; m"
    with pytest.raises(CorpusError, match=message):
        load_corpus(f"esc50:{tmp_path}")


def test_the_published_place_comes_first(tmp_path):
    _write(tmp_path, {"meta/esc50.csv": _ESC50, "old/esc50.csv": "x"}, [])
    _write(tmp_path, {}, [*_below("audio", _CLIPS[:1]), *_below("resampled", _CLIPS)])
    frame = load_corpus(f"esc50:{tmp_path}").frame
    assert list(frame["path"]) == [str(tmp_path / "audio" / _CLIPS[0])]


def test_links_are_followed_once(tmp_path):
    _write(tmp_path / "disk", {}, _CLIPS)
    _write(tmp_path / "here", {"esc50.csv": _ESC50}, [])
    os.symlink(tmp_path / "disk", tmp_path / "here" / "sounds")
    os.symlink(tmp_path / "here", tmp_path / "here" / "circle")
    assert len(load_corpus(f"esc50:{tmp_path / 'here'}")) == 2


def test_four_levels_are_too_deep(tmp_path):
    _write(tmp_path, {"a/b/c/d/esc50.csv": _ESC50}, _below("a/b/c/d", _CLIPS))
    with pytest.raises(CorpusError, match="no meta/esc50.csv in it; name the folder.* 3 levels"):
        load_corpus(f"esc50:{tmp_path}")
