"""Damaged sound files by the hundred; `python -m benchmarks.faults` tries ten thousand."""

import numpy as np
import pytest
import soundfile

from benchmarks.faults import damaged_sound, mutants, read_mutants
from benchmarks.faults.bench import Bench
from tests.conftest import RATE, tone


@pytest.fixture(scope="module")
def made():
    return mutants.Mutants()


def test_a_mutant_is_the_same_every_time(made):
    again = mutants.Mutants()  # encoded anew
    numbers = range(0, 60)
    assert [made.make(n) for n in numbers] == [again.make(n) for n in numbers]
    assert len({made.make(n)[1] for n in numbers}) > 50
    assert {made.make(n)[2] for n in range(200)} == set(mutants.KINDS)


def test_ogg_checksums_are_what_libsndfile_expects(made):
    whole = next(data for extension, data in made.intact if extension == "ogg")
    zeroed = bytearray(whole)
    zeroed[22:26] = bytes(4)
    assert mutants.with_ogg_checksums(bytes(zeroed)) == whole


@pytest.mark.slow
def test_mutants_are_read_or_refused_in_bounds(tmp_path):
    """In children with little memory, as a decoder may crash or ask for gigabytes."""
    bench = Bench(str(tmp_path), [])
    trials = list(damaged_sound.corrupt_audio(bench, 20_000, 200))
    assert sum(trial.count for trial in trials) == 200
    assert [problem for trial in trials for problem in trial.problems] == []
    outcomes = [trial.outcome for trial in trials]
    assert outcomes.count("read") > 50 and outcomes.count("refused") > 50


def test_a_crash_and_a_hang_would_be_seen(tmp_path, monkeypatch):
    """The reader is replaced by one that dies of mutant 2 and hangs at mutant 4."""
    reader = tmp_path / "reader.py"
    reader.write_text("""
import json, os, sys, time
values = dict(argument[2:].split("=") for argument in sys.argv[1:])
with open(values["output"], "a") as output:
    for number in range(int(values["first"]), int(values["last"])):
        line = {"number": number, "extension": "wav", "kind": "flip"}
        print(json.dumps(line), file=output, flush=True)
        if number == 2: os.abort()
        while number == 4: pass
        line |= {"outcome": "read", "problems": []}
        print(json.dumps(line), file=output, flush=True)
""")
    popen = damaged_sound.subprocess.Popen
    monkeypatch.setattr(
        damaged_sound.subprocess,
        "Popen",
        lambda command, **how: popen([command[0], str(reader), *command[3:]], **how),
    )
    monkeypatch.setattr(read_mutants, "MAX_CPU_SECONDS", 0.2)
    trials = list(damaged_sound.corrupt_audio(Bench(str(tmp_path / "work"), []), 0, 6))
    assert [trial.outcome for trial in trials] == [
        "read",
        "read",
        "crashed",
        "read",
        "crashed",
        "read",
    ]
    assert [bool(trial.problems) for trial in trials] == [False, False, True, False, True, False]
    assert "ends by -6" in trials[2].problems[0] and "hangs" in trials[4].problems[0]


@pytest.mark.slow
def test_training_and_export_go_on_over_damaged_files(made, tmp_path):
    from audio_triplet import distribution
    from audio_triplet.corpora.registry import load_corpus
    from audio_triplet.data import chunks
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.file_source import FileChunks
    from audio_triplet.embeddings import saved_model
    from audio_triplet.training import loop
    from tests.training.runs import config_of, shallow_trainer

    for number in range(6):
        soundfile.write(tmp_path / f"whole{number}.wav", tone(2, 300 + 100 * number), RATE)
    for number in range(60):
        extension, data, _ = made.make(number)
        (tmp_path / f"mutant{number}.{extension}").write_bytes(data)
    manifest = load_corpus(f"folders:{tmp_path}")
    bad_files = BadFiles()
    table = chunks.scan(manifest, bad_files)
    assert len(table.segment) < 1000  # no header's lie was believed
    source = FileChunks(table, bad_files)
    trainer = shallow_trainer(config_of(4), distribution.build_strategy("cpu"))
    rows = loop.run(trainer, source, str(tmp_path / "run"), progress=False)
    assert len(rows) == 4 and np.isfinite([row["loss"] for row in rows]).all()
    assert len(bad_files.entries) > 10
    assert not [path for path in bad_files.entries if "whole" in path]
    saved_model.check(lambda waveform: saved_model.embed_waveforms(trainer.encoder, waveform))
