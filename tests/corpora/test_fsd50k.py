"""FSD50K's published layout."""

import pytest

from audio_triplet.corpora import fsd50k
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data.splits import train_test
from audio_triplet.errors import CorpusError

_VOCABULARY = "0,Accordion,/m/0mkg\n1,Bark,/m/05tny_\n2,Dog,/m/0bt9lr\n"
_DEV = (
    "fname,labels,mids,split\n"
    '64760,"Bark,Dog","/m/05tny_,/m/0bt9lr",train\n'
    "16399,Accordion,/m/0mkg,val\n"
    "16401,Accordion,/m/0mkg,train\n"
)
_EVAL = "fname,labels,mids\n37199,Dog,/m/0bt9lr\n"


def _corpus(
    root, dev=("64760.flac", "64760.wav", "16399.flac"), evaluation=("37199.wav", "37199.txt")
):
    truth = root / "FSD50K.ground_truth"
    truth.mkdir()
    (truth / "vocabulary.csv").write_text(_VOCABULARY)
    (truth / "dev.csv").write_text(_DEV)
    (truth / "eval.csv").write_text(_EVAL)
    for part, names in (("dev", dev), ("eval", evaluation)):
        (root / f"FSD50K.{part}_audio").mkdir()
        for name in names:
            (root / f"FSD50K.{part}_audio" / name).write_bytes(b"x")
    return str(root)


def test_rows(tmp_path, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        made = load_corpus(f"fsd50k:{_corpus(tmp_path)}")
    frame = made.frame
    # The published extension is preferred.
    assert list(frame["path"]) == [
        str(tmp_path / "FSD50K.dev_audio" / "64760.wav"),
        str(tmp_path / "FSD50K.dev_audio" / "16399.flac"),
        str(tmp_path / "FSD50K.eval_audio" / "37199.wav"),
    ]
    assert list(frame["recording_id"]) == ["64760", "16399", "37199"]
    assert list(frame["labels"]) == ["Bark;Dog", "Accordion", "Dog"]
    assert list(frame["split"]) == ["train", "validation", "eval"]
    assert "1 of 4 clips are missing and left out (16401, …)" in caplog.text
    train, test = train_test(made)
    assert (list(train.frame["split"]), len(test)) == (["train", "validation"], 1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("vocabulary.csv", None, "no FSD50K.ground_truth/vocabulary.csv in it; .*zenodo"),
        ("dev.csv", None, "no FSD50K.ground_truth/dev.csv in it"),
        ("eval.csv", None, "no FSD50K.ground_truth/eval.csv in it"),
        ("dev.csv", "filename,fold\na,1\n", "dev.csv: no column fname, labels, split; this is not"),
        ("dev.csv", _EVAL, "dev.csv: no column split"),
        ("eval.csv", "fname,labels,mids\n", "eval.csv: holds no rows"),
        ("eval.csv", "", "eval.csv: cannot be read"),
        ("eval.csv", _EVAL + "5,Cat,/m/0\n", "eval.csv: label 'Cat' is not in vocabulary.csv"),
        ("dev.csv", _DEV.replace("val\n", "test\n"), "clip 16399 has the split 'test'; it is"),
    ],
)
def test_clear_errors(tmp_path, name, text, message):
    root = _corpus(tmp_path)
    path = tmp_path / "FSD50K.ground_truth" / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(CorpusError, match=message):
        fsd50k.load(root)


def test_no_audio(tmp_path):
    with pytest.raises(CorpusError, match=r"none of the 4 clips of FSD50K is there \(64760, …\)"):
        fsd50k.load(_corpus(tmp_path, (), ()))
