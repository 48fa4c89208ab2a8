"""The part of `benchmarks.faults` that reads a corpus by pieces."""

import numpy as np
import soundfile

from audio_triplet import audio
from benchmarks.faults import positions
from benchmarks.faults.bench import Bench


def test_a_trial_for_each_file(tmp_path, monkeypatch):
    for number in range(3):
        sound = 0.1 * np.random.default_rng(number).standard_normal(48_000)
        soundfile.write(tmp_path / f"{number}.wav", sound, 16_000)
    (tmp_path / "3.wav").write_bytes(b"no sound")
    bench = Bench(str(tmp_path / "work"), [], [f"folders:{tmp_path}"])
    trials = list(positions.compared(bench, 0, 1000))
    assert [trial.count for trial in trials] == [1] * 4
    assert [trial.outcome for trial in trials] == [
        *["folders: wav by libsndfile"] * 3,
        "folders: wav refused",
    ]
    assert not any(trial.problems for trial in trials)

    read = audio.read_piece
    monkeypatch.setattr(audio, "read_piece", lambda path, start, *more: read(path, 0.5, *more))
    (trial,) = positions.compared(bench, 1, 1)
    assert len(trial.problems) == 3 and trial.problems[0].startswith("1.wav: at ")
    assert list(positions.compared(Bench(str(tmp_path / "work"), []), 0, 10)) == []
