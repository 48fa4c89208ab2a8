"""Two folders of sound with a copy in each: what is written, and that takes are left alone."""

import json

import numpy as np
import pandas as pd
import soundfile

from experiments import shared_recordings
from experiments.lib.landmarks import RATE
from tests.experiments.lib.test_landmarks import notes


def test_shared_recordings_are_listed(tmp_path):
    one, two = notes(1, 3.0), notes(2, 3.0)
    for name, sound in (
        ("a/x/one.wav", one), ("a/y/two.flac", two), ("a/z/later.wav", one[RATE:]),
        ("b/u/three.wav", notes(3, 3.0)), ("b/v/two.ogg", 0.2 * two), ("b/v/none.wav", one[:1]),
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.asarray(sound), RATE)
    first, second = f"folders:{tmp_path}/a", f"folders:{tmp_path}/b"
    table = shared_recordings.make_table(first, second, ["effect"], str(tmp_path / "found"))
    assert (table["pairs"], table["files"], table["others"]) == (1, 1, 1)
    row = pd.read_csv(tmp_path / "found" / "shared_recordings.csv").iloc[0]
    assert (row["file"], row["other"], row["offset_seconds"]) == ("y/two.flac", "v/two.ogg", 0.0)
    assert row["correlation"] > 0.9
    assert json.loads((tmp_path / "found" / "shared_recordings.json").read_text()) == table
    assert "1 of 3 files and 1 of 3 others" in shared_recordings.markdown(table)

    alone = shared_recordings.make_table(first, "", [], str(tmp_path / "alone"))
    row = pd.read_csv(tmp_path / "alone" / "shared_recordings.csv").iloc[0]
    assert (row["file"], row["other"]) == ("x/one.wav", "z/later.wav")
    assert row["offset_seconds"] == 1.0
    assert "2 of 3 files" in shared_recordings.markdown(alone)
