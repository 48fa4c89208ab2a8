import json
import os

import numpy as np
import pytest
import soundfile

from benchmarks import harness
from benchmarks import sounds as sounds_module


def seen_by_child(**arguments) -> dict:
    """What a function run by `in_child` finds."""
    kept = np.ones(arguments["megabytes"] * 125_000)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "sum": float(kept.sum()),
    }


def test_candidates_take_turns():
    calls = []
    candidates = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    taken = harness.interleaved(candidates, repeats=3, warm_up=1)
    assert "".join(calls) == "cab" + "abc" + "bca" + "cab"
    assert {name: len(measurement.seconds) for name, measurement in taken.items()} == {
        "a": 3,
        "b": 3,
        "c": 3,
    }


def test_what_a_turn_needs_is_made_anew_and_given():
    made, given = iter(range(10)), []
    harness.interleaved({"a": given.append}, 2, warm_up=1, before={"a": lambda: next(made)})
    assert given == [0, 1, 2]


def test_ratio_is_the_median_of_rounds():
    # A machine that is three times as slow in the second round changes no ratio.
    ours, theirs = harness.Measurement((1.0, 3.0, 1.0)), harness.Measurement((2.0, 6.0, 4.0))
    assert ours.times_as_fast_as(theirs) == 2.0
    assert ours.times_as_fast_as(theirs, share=0.5) == 1.0
    assert ours.median == 1.0 and theirs.median == 4.0


def table() -> harness.Table:
    made = harness.Table("Stage", "60 s of sound")
    taken = {"ours": harness.Measurement((0.5,)), "theirs": harness.Measurement((2.0,))}
    made.compare(taken, 60, "× real time", "ours", {"theirs": "by the way"})
    made.skip_absent("numpy", "no_such_package")
    made.goal("times theirs", 4.0, 1.5)
    made.goal("seconds", 0.5, 0.1, at_most=True)
    return made


def test_a_table_says_what_was_found():
    text = table().markdown()
    assert "| ours | 120 × real time |  |  |" in text
    assert "| theirs | 30 × real time | 4 | by the way |" in text
    assert "no_such_package | – |" in text and "skipped" in text and "numpy" not in text
    assert "- met: times theirs: 4 (at least 1.5)" in text
    assert "- **missed**: seconds: 0.5 (at most 0.1)" in text


def test_what_is_written_can_be_read_again(tmp_path):
    harness.write({"one": [table()]}, str(tmp_path), "stage", ("other", "one"))
    content = json.loads((tmp_path / "stage.json").read_text())["parts"]["one"]
    assert harness.Table.from_dict(content["tables"][0]) == table()
    assert {"command", "commit", "machine", "versions"} <= set(content)
    assert table().markdown() in (tmp_path / "stage.md").read_text()


def test_parts_that_are_not_measured_are_kept(tmp_path):
    def stage(part, number):
        made = harness.Table(part)
        made.add("figure", number)
        return {part: [made]}

    parts = ("first", "second")
    (tmp_path / "stage.json").write_text('{"tables": []}')  # as it was before there were parts
    for part, number in (("second", 20), ("first", 1), ("second", 2)):
        harness.write(stage(part, number), str(tmp_path), "stage", parts)
    content = json.loads((tmp_path / "stage.json").read_text())["parts"]
    assert list(content) == ["first", "second"]
    assert [one["tables"][0]["rows"][0]["value"] for one in content.values()] == [1, 2]
    text = (tmp_path / "stage.md").read_text()
    assert text.index("### first") < text.index("### second") and "20" not in text.split("###")[2]
    assert "- first, second: `" in text  # of one command and commit: told once


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (1e6, "1,000,000"),
        (0, "0"),
        (1e-7, "1e-07"),
        (2.0, "2"),
    ],
)
def test_figures(value, text):
    assert harness.figure(value) == text


@pytest.mark.slow
def test_a_child_has_its_own_cores_and_memory(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    kept = np.ones(40_000_000)  # 320 MB of this process are not the child's
    seen, gigabytes = harness.in_child(f"{__name__}:seen_by_child", cores=1, megabytes=100)
    assert seen == {"cores": 1, "threads": "1", "sum": 12_500_000.0}
    assert 0.1 < gigabytes < 0.3 < kept.nbytes / 1e9


def test_a_child_that_fails_is_told():
    with pytest.raises(RuntimeError, match="no_such"):
        harness.in_child("benchmarks.processes:no_such")


def test_generated_sounds_are_written_and_read(tmp_path):
    sounds = sounds_module.sounds(None, 2, 0.5, 16_000)
    assert all(sound.shape == (8000,) and np.abs(sound).max() == 0.5 for sound in sounds)
    for suffix in ("wav", "flac", "ogg", "mp3"):
        paths = harness.write_sounds(str(tmp_path / suffix), sounds, 16_000, suffix)
        assert [soundfile.info(path).samplerate for path in paths] == [16_000] * 2
        read, _ = soundfile.read(paths[1])
        assert len(read) == pytest.approx(8000, abs=2500)  # lossy codecs pad


def test_stages_exist():
    from benchmarks import run

    for stage in run.STAGES:
        assert not harness.absent(f"benchmarks.{stage}")
