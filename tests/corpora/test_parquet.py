"""Parquet tables as the Hugging Face hub has them, read in place."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from audio_triplet import audio
from audio_triplet.commands.inputs import load_inputs
from audio_triplet.config import PrepareConfig
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError, UsageError
from data_prep.preparation import prepare

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

_AUDIO = {"sampling_rate": 16000, "_type": "Audio"}
_CLASSES = {"names": ["cat", "dog; wolf"], "_type": "ClassLabel"}


def _sound(seed=0, seconds=1.0):
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 16_000))
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _write(path, columns, features=None, sounds=("audio",)):
    """A table as `datasets` writes it; `features` is its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    arrays = {
        name: pyarrow.array(values, kind) if name in sounds else pyarrow.array(values)
        for name, values in columns.items()
    }
    table = pyarrow.table(arrays)
    if features is not None:
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    parquet.write_table(table, path, row_group_size=100)


def _sounds(count, seed=0):
    return [{"bytes": _sound(seed + n), "path": f"clips/{seed + n}.wav"} for n in range(count)]


def test_class_names_and_splits_of_the_files(tmp_path):
    features = {"audio": _AUDIO, "label": _CLASSES, "text": {"dtype": "string", "_type": "Value"}}
    for split, seed in (("train", 0), ("test", 10)):
        columns = {"audio": _sounds(3, seed), "text": ["a"] * 3, "label": [1, 0, -1]}
        _write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", columns, features)
    (tmp_path / "README.md").write_text("x")
    made = load_corpus(f"parquet:{tmp_path}")
    frame = made.frame
    assert list(frame["labels"]) == ["dog, wolf", "cat", ""] * 2
    assert list(frame["split"]) == ["test"] * 3 + ["train"] * 3
    train = tmp_path / "data" / "train-00000-of-00001.parquet"
    assert frame["path"][4] == f"{train}/audio/1/1.wav"
    assert list(frame["recording_id"]) == list(frame["path"])
    samples, _ = soundfile.read(io.BytesIO(_sound(1)), dtype="float32")
    np.testing.assert_allclose(audio.load_audio(frame["path"][4]), samples, atol=1e-6)
    # A manifest on disk brings them back.
    made.write(tmp_path / "m.csv")
    assert Manifest.read(tmp_path / "m.csv").frame.equals(frame)


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": _CLASSES, "_type": "List"},
        {"feature": _CLASSES, "length": -1, "_type": "Sequence"},
        [_CLASSES],
    ],
)
def test_lists_of_classes(tmp_path, feature):
    columns = {"audio": _sounds(3), "tags": [[0, 1], [], [1]]}
    _write(tmp_path / "a.parquet", columns, {"audio": _AUDIO, "tags": feature})
    frame = load_corpus(f"parquet:{tmp_path / 'a.parquet'}").frame
    assert list(frame["labels"]) == ["cat;dog, wolf", "", "dog, wolf"]
    assert set(frame["split"]) == {""}  # one file says nothing


def test_esc50_as_a_mirror_has_it(tmp_path):
    """Columns of the published table, no metadata; a source in two folds stays in its last."""
    columns = {
        "filename": ["1-100-A-0.wav", "1-100-B-0.wav", "5-100-C-0.wav", "2-7-A-1.wav"],
        "fold": [1, 10, 5, 2], "target": [0, 0, 0, 1], "category": ["dog", "dog", "dog", "rain"],
        "src_file": [100, 101, 100, 7], "audio": _sounds(4),
    }  # fmt: skip
    _write(tmp_path / "train-00000-of-00001.parquet", columns)
    frame = load_corpus(f"parquet:{tmp_path}").frame
    assert list(frame["labels"]) == ["dog", "dog", "dog", "rain"]
    assert list(frame["split"]) == ["unused", "fold10", "fold5", "fold2"]
    assert list(frame["recording_id"]) == ["100", "101", "100", "7"]


def test_columns_that_are_named(tmp_path):
    columns = {
        "near": _sounds(2), "far": _sounds(2, 5), "label": ["a", "b"], "category": ["c", None],
        "take": [1, 2],
    }  # fmt: skip
    _write(tmp_path / "a.parquet", columns, sounds=("near", "far"))
    frame = load_corpus(f"parquet:{tmp_path}?labels=category;take&audio=far").frame
    assert list(frame["labels"]) == ["c;1", "2"]
    assert frame["path"][1] == f"{tmp_path}/a.parquet/far/1/6.wav"
    with pytest.raises(CorpusError, match=r"'near' and 'far' both hold sound; .*\?audio=near"):
        load_corpus(f"parquet:{tmp_path}")
    with pytest.raises(CorpusError, match=r"'label' and 'category' could both be labels; name one"):
        load_corpus(f"parquet:{tmp_path}?audio=near")
    with pytest.raises(CorpusError, match="no column 'kind' among near, far, label"):
        load_corpus(f"parquet:{tmp_path}?labels=kind&audio=far")
    with pytest.raises(CorpusError, match=r"write \?labels=FIELD;FIELD"):
        load_corpus(f"parquet:{tmp_path}?labels=")


def test_two_columns_of_classes(tmp_path):
    columns = {"audio": _sounds(2), "speaker": [0, 1], "intent": [0, 1]}
    features = {"audio": _AUDIO, "speaker": _CLASSES, "intent": _CLASSES}
    _write(tmp_path / "a.parquet", columns, features)
    with pytest.raises(CorpusError, match="'speaker' and 'intent' could both be labels"):
        load_corpus(f"parquet:{tmp_path}")


def test_pictures_are_no_sound_and_bytes_can_be_named(tmp_path):
    columns = {"image": _sounds(1), "sound": [_sound()]}
    _write(tmp_path / "a.parquet", columns, {"image": {"_type": "Image"}}, sounds=("image",))
    with pytest.raises(CorpusError, match="no column holds sound .bytes and path. among image, so"):
        load_corpus(f"parquet:{tmp_path}")
    frame = load_corpus(f"parquet:{tmp_path}?audio=sound").frame
    assert list(frame["path"]) == [f"{tmp_path}/a.parquet/sound/0/sound"]
    assert len(audio.load_audio(frame["path"][0])) == 16_000


def test_nothing_there(tmp_path):
    with pytest.raises(CorpusError, match=r"no Parquet tables .\.parquet. in it or below"):
        load_corpus(f"parquet:{tmp_path}")
    with pytest.raises(CorpusError, match="no such folder"):
        load_corpus(f"parquet:{tmp_path}/none")
    (tmp_path / "a.parquet").write_bytes(b"x" * 100)
    with pytest.raises(CorpusError, match="a.parquet: cannot be read as Parquet"):
        load_corpus(f"parquet:{tmp_path}")


def test_prepared_as_from_files(tmp_path):
    """The shards hold what those of the same sounds as files do; a row without sound is listed."""
    rng = np.random.default_rng(0)
    contents = [_sound(seed, rng.uniform(1, 3)) for seed in range(12)]
    for number, content in enumerate(contents):
        path = tmp_path / "files" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    sounds = [{"bytes": c, "path": f"{n}.wav"} for n, c in enumerate(contents)]
    columns = {"recording_id": [str(n) for n in range(13)]}
    columns |= {"audio": [*sounds, {"bytes": None, "path": "gone.wav"}]}
    _write(tmp_path / "table" / "a.parquet", columns)
    rows = [{"path": str(tmp_path / "files" / f"{n}.wav"), "recording_id": str(n)}
            for n in range(12)]  # fmt: skip
    config = PrepareConfig(max_bad_share=0.1)
    from_files = prepare(Manifest(pd.DataFrame(rows)), str(tmp_path / "a"), config, progress=False)
    manifest = load_corpus(f"parquet:{tmp_path / 'table'}")
    from_table = prepare(manifest, str(tmp_path / "b"), config, progress=False)
    assert from_table.bad_files == ((f"{manifest.frame['path'][12]}", "holds no sound"),)
    for split, info in from_files.splits.items():
        assert info.seconds == pytest.approx(from_table.splits[split].seconds)
        assert info.pieces == from_table.splits[split].pieces


def test_the_inputs_of_commands(tmp_path):
    _write(tmp_path / "a.parquet", {"audio": _sounds(2)})
    manifest, names = load_inputs([f"parquet:{tmp_path}"])
    assert names == ["0/0.wav", "1/1.wav"]
    # As answers name it.
    one, _ = load_inputs([manifest.frame["path"][1]])
    assert list(one.frame["path"]) == [f"{tmp_path}/a.parquet/audio/1/1.wav"]
    with pytest.raises(UsageError, match=f"holds sound inside it; write parquet:{tmp_path}/a"):
        load_inputs([f"{tmp_path}/a.parquet"])
    with pytest.raises(CorpusError, match=f"passed over: 1 .parquet; .* write parquet:{tmp_path}"):
        load_inputs([str(tmp_path)])
