import json

import numpy as np
import pytest
import soundfile

from audio_triplet.errors import UsageError
from experiments import hidden_clips
from tests.conftest import RATE, tone


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Clips of notes in noise, each of other ones, and one long sound."""
    root = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    for folder, count, seconds in (("clips/noise", 8, 5), ("long/hum", 1, 70)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            notes = [tone(0.5, hertz, 0) for hertz in rng.uniform(100, 6000, 2 * seconds)]
            sound = np.concatenate(notes) + rng.normal(0, 0.01, seconds * RATE)
            soundfile.write(root / folder / f"{number}.wav", sound, RATE)
    return f"folders:{root}/clips", f"folders:{root}/long"


@pytest.mark.slow
def test_all_are_found_in_clips_and_ambiences(corpora, small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(hidden_clips, "_CLIPS_OF_AMBIENCE", 3)
    monkeypatch.setattr(hidden_clips, "_MINUTES", (0.3, 1.2))
    table = hidden_clips.make_table(*corpora, small_model.path, str(tmp_path), 6, 2, 0)
    assert json.loads((tmp_path / "hidden_clips.json").read_text()) == table
    rows = {row["name"]: row for row in table["rows"]}
    # A model with random weights does not know sound again that is louder or quieter.
    assert set(rows) == {*hidden_clips.CHANGES, hidden_clips.PLAIN}
    for name in ("as they are", "MP3"):
        assert rows[name]["first"] == 6 and rows[name]["missed"] == []
        assert rows[name]["median_error"] < 0.05
    assert rows[hidden_clips.PLAIN]["first"] <= 6
    assert "| as they are | 6 of 6 | 6 of 6 |" in (tmp_path / "hidden_clips.md").read_text()
    assert table["config"]["recordings"] == 2


def test_too_few_clips_are_told(corpora, small_model, tmp_path):
    with pytest.raises(UsageError, match="audible clips for 999"):
        hidden_clips.make_table(corpora[0], "", small_model.path, str(tmp_path), 999, 1, 0)
