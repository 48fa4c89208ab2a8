"""The `--corpus` string."""

import pytest

from audio_triplet.corpora.registry import is_prepared, load_corpus
from audio_triplet.errors import CorpusError, ManifestError


def _touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_folders_and_manifest_with_spaces_and_colons(tmp_path):
    root = tmp_path / "my sounds: 2024"
    _touch(root / "dog" / "a.wav")
    by_folder = load_corpus(f"folders:{root}")
    assert by_folder.classes == ("dog",)
    by_folder.write(root / "m.csv")
    by_manifest = load_corpus(f"manifest:{root / 'm.csv'}")
    assert by_manifest.frame.equals(by_folder.frame)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _touch(tmp_path / "sounds" / "a.wav")
    assert list(load_corpus("folders:~/sounds").frame["path"]) == [f"{tmp_path}/sounds/a.wav"]


def test_esc50(tmp_path):
    _touch(tmp_path / "audio" / "1-1-A-0.ogg")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,dog,True,1,A\n"
    )
    assert load_corpus(f"esc50:{tmp_path}").name == "esc50"
    with pytest.raises(CorpusError, match=f"looks like ESC-50; write esc50:{tmp_path}"):
        load_corpus(str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "use one of: esc50:DIR"),
        ("esc-50:/x", "unknown corpus 'esc-50'; use one of: esc50:DIR .*manifest:FILE "),
        ("esc50:", "nothing after the colon; write esc50:DIR"),
        ("esc50:/no such place", "/no such place: no such folder"),
        ("folders:/no such place", "/no such place: no such folder"),
        (r"C:\sounds", r"use one of: esc50:DIR"),
        (r"folders:C:\no sounds", r"C:\\no sounds: no such folder"),
        ("/some/table.csv", "write manifest:/some/table.csv"),
    ],
)
def test_clear_errors(spec, message):
    with pytest.raises(CorpusError, match=message):
        load_corpus(spec)


def test_esc50_without_its_table_and_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(CorpusError, match=r"no meta/esc50.csv in it.*github.com"):
        load_corpus(f"esc50:{tmp_path}")
    with pytest.raises(ManifestError, match="no such manifest"):
        load_corpus(f"manifest:{tmp_path}/m.csv")


def test_prepared_shards_are_recognised(tmp_path):
    assert not is_prepared(str(tmp_path))
    with pytest.raises(CorpusError, match="holds no prepared.json; for a folder of sound write"):
        load_corpus(str(tmp_path))
    (tmp_path / "prepared.json").write_text("{}")
    assert is_prepared(str(tmp_path))
    assert not is_prepared(f"folders:{tmp_path}")
    with pytest.raises(CorpusError, match="prepared shards"):
        load_corpus(str(tmp_path))
