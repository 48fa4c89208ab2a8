"""`benchmarks.whole`: ours alone, from a few clips to an answer; how costs are counted."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import soundfile

from audio_triplet.errors import UsageError
from benchmarks import harness, whole, whole_candidates, whole_sounds
from benchmarks.whole_costs import Costs, costs_of, megabytes_of
from tests.conftest import RATE, flags_given, tone

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def write_clips(folder, count):
    folder.mkdir()
    paths = [str(folder / f"{number}.wav") for number in range(count)]
    for number, path in enumerate(paths):
        soundfile.write(path, tone(1.5, 300 * (1 + number), number), RATE)
    return paths


# Somebody's way from a folder to an answer, at once: what there is, written and printed.
_EMBED = """
import os, sys
os.makedirs(sys.argv[2])
with open(os.path.join(sys.argv[2], "names"), "w") as file:
    file.write(" ".join(sorted(os.listdir(sys.argv[1]))))
"""
_SEARCH = "import sys; print(open(sys.argv[2] + '/names').read())"


def candidate(name, share=1.0):
    python = [sys.executable, "-c"]
    return whole_candidates.Candidate(
        name,
        lambda folder, output: [*python, _EMBED, folder, output],
        lambda query, output: [*python, _SEARCH, query, output],
        share,
    )


def test_ours_beside_a_peer(tmp_path, monkeypatch):
    write_clips(tmp_path / "clips", 4)
    monkeypatch.setattr(whole_candidates, "ours", lambda: candidate(whole_candidates.OURS))
    given = {}

    def peer(script, python, share):
        given[script] = python, share
        return candidate("BirdNET 0", share)

    monkeypatch.setattr(whole_candidates, "peer", peer)

    def define():
        whole.define_flags()
        harness.define_flags(1)

    arguments = [f"--corpus=folders:{tmp_path}/clips", "--minutes=0.2", f"--work_dir={tmp_path}"]
    arguments += ["--birdnet_python=theirs", "--birdnet_share=0.5"]
    with flags_given(define, arguments):
        clips, recording = whole.measure()
    assert given == {"whole_birdnet.py": ("theirs", 0.5)}
    ours, theirs, *skipped = clips.rows
    assert ours.ours is None and theirs.ours > 0 and ours.value > 0 and theirs.value > 0
    assert theirs.note == "by 50% of the clips" and ours.note == ""
    assert [row.name for row in skipped] == ["aisfx", *whole_candidates.FETCHING]
    assert clips.goals[0].wanted == 3 and clips.goals[0].got == theirs.ours
    assert recording.rows[1].note == "by 50% of the recording"
    assert os.listdir(tmp_path) == ["clips"]


def test_an_answer_without_the_query_is_refused(tmp_path):
    paths = write_clips(tmp_path / "clips", 2)
    material = whole_sounds.clips(paths, str(tmp_path / "few"), 1.0)
    fails = candidate("blind")
    fails = dataclasses.replace(fails, search=lambda *_: [sys.executable, "-c", "print('none')"])
    with pytest.raises(UsageError, match="blind: 0.wav is not among its answers: none"):
        whole._answered(fails, material, str(tmp_path / "made"))


@pytest.mark.slow
def test_from_clips_to_an_answer(tmp_path):
    """As typed, for the smallest of everything; no peer."""
    write_clips(tmp_path / "clips", 3)
    flags = (f"--corpus=folders:{tmp_path}", f"--output_dir={tmp_path}", f"--work_dir={tmp_path}")
    few = ("--repeats=1", "--clips=3", "--minutes=0.1")
    subprocess.run([sys.executable, "-m", "benchmarks.whole", *flags, *few], cwd=_ROOT, check=True)
    found = json.loads((tmp_path / "whole.json").read_text())["parts"]["whole"]["tables"]
    assert [table["title"] for table in found] == [
        "From clips to an answer",
        "From one recording to an answer",
    ]
    for table in found:
        ours, *peers = table["rows"]
        assert ours["value"] > 0 and all(figure > 0 for figure in ours["more"].values())
        assert all(row["value"] is None and "skipped" in row["note"] for row in peers)
        assert len(peers) == 5 and table["goals"] == []
    assert "skipped: no --birdnet_python" in (tmp_path / "whole.md").read_text()


def test_all_processes_of_a_command_are_counted(tmp_path):
    busy = "import time\nheld = bytes(100_000_000)\nheld = bytearray(held)\ntime.sleep(0.5)"
    outer = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {busy!r}])\nprint(1)"
    costs = costs_of([sys.executable, "-c", outer], str(tmp_path))
    assert costs.output == "1\n" and costs.seconds > 0.5 and costs.processor > 0
    if os.path.exists("/proc/self/smaps_rollup"):
        assert 0.1 < costs.gigabytes < 0.4


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(UsageError, match="exit status 3; no sound"):
        costs_of([sys.executable, "-c", "print('no sound'); exit(3)"], str(tmp_path))


def test_a_share_is_extrapolated_without_its_start():
    start, share = Costs(4.0, 2.0, 1.0, ""), Costs(14.0, 7.0, 3.0, "")
    assert share.extrapolated(start, 0.2) == Costs(54.0, 27.0, 3.0, "")
    assert share.extrapolated(start, 1.0) == share


def test_material_is_drawn_evenly_and_the_recording_is_of_clips(tmp_path):
    paths = write_clips(tmp_path / "clips", 5)
    few = whole_sounds.clips(paths, str(tmp_path / "few"), 0.6)
    assert sorted(os.listdir(few.folder)) == ["0.wav", "2.wav", "4.wav"]
    assert few.answer == "0.wav" and few.hours * 3600 == pytest.approx(4.5)
    long = whole_sounds.recording(paths, str(tmp_path / "long"), 10.0)
    (name,) = os.listdir(long.folder)
    info = soundfile.info(os.path.join(long.folder, name))
    assert (info.samplerate, info.subtype) == (48_000, "PCM_16") and name == long.answer
    assert info.duration == pytest.approx(10.0)  # clips are taken again when there are no more
    assert megabytes_of(long.folder) == pytest.approx(0.96, abs=0.001)


def test_an_environment_that_is_not_there_is_told():
    with pytest.raises(UsageError, match="name the Python of its environment"):
        whole_candidates.peer("whole_birdnet.py", "/nowhere/python", 1.0)
    with pytest.raises(UsageError, match="install what whole_birdnet.py imports there"):
        whole_candidates.peer("whole_birdnet.py", sys.executable, 1.0)
