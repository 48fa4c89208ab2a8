"""Words against single clips, on tones that a table knows by their class."""

import json
import shutil

import pytest

from audio_triplet.errors import UsageError
from experiments import release, words


@pytest.fixture(scope="module")
def model(tone_folder, small_model, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("released") / "tones")
    shutil.copytree(small_model.path, path)
    release.write_words(path, f"folders:{tone_folder}")
    return path


def test_a_word_made_of_the_corpus_itself_finds_its_class(model, tone_folder, tmp_path):
    result = words.measure(f"folders:{tone_folder}", str(tmp_path), model, clips=2)
    assert json.loads((tmp_path / "words.json").read_text())["rows"] == result["rows"]
    rows = {row["label"]: row for row in result["rows"]}
    assert list(rows) == ["high", "low", "middle"]
    # Six or seven sounds of each class can be heard, of which one that asks is left out.
    assert all(0 < row["word"] <= 0.7 and 0 < row["clip"] <= 0.6 for row in rows.values())
    assert result["mean"]["word"] == pytest.approx(sum(r["word"] for r in rows.values()) / 3)
    assert result["chance"] == pytest.approx((6 + 7 + 7) / 3 / 20)
    table = words.as_markdown(result)
    assert table.count("\n") == 5 and "mean of 3" in table


def test_a_corpus_without_known_words(model, tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,labels\na.wav,unheard\n")
    with pytest.raises(UsageError, match="are none of its labels"):
        words.measure(f"manifest:{manifest}", str(tmp_path), model)
