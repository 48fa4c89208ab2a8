import json
import os

import pytest

from benchmarks.faults import soak


def summary(memory=lambda minute: 500.0, files=20, threads=30, slower=1.0):
    """The summary of ninety minutes, the first thirty of them warming up."""
    watch = soak.Watch()
    done = 0.0
    for second in range(0, 90 * 60, 30):
        late = second > 3600
        done += 30 * (slower if late else 1.0)
        watch.samples.append(
            [
                second,
                memory(second / 60),
                20 if not late else files,
                30 if not late else threads,
                done,
                second / 2,
            ]
        )
    return watch.summary()


def test_what_stays_is_well():
    found = summary()
    assert soak.broken(found) == []
    assert found["megabytes_per_minute"] == 0 and found["megabytes"] == [500, 500]
    assert found["pace"] == pytest.approx([1, 1], abs=0.02)
    assert found["pace_by_processor_time"] == pytest.approx([2, 2], abs=0.04)
    assert found["minutes"] == pytest.approx(60, abs=1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"memory": lambda minute: 500 + 1.5 * minute}, "memory grows by 1.5 MB per minute"),
        ({"files": 23}, "open_files grow from 20 to 23"),
        ({"threads": 40}, "threads grow from 30 to 40"),
        ({"slower": 0.8}, "work per processor second falls from 2"),
    ],
)
def test_what_does_not_stay_is_named(change, problem):
    (sentence,) = soak.broken(summary(**change))
    assert sentence.startswith(problem)


def test_warming_up_is_left_out():
    assert soak.broken(summary(memory=lambda minute: 400 + 10 * min(minute, 30))) == []


@pytest.mark.slow
def test_it_runs(commands, tmp_path):
    """Seconds of both, as a person would start them."""
    arguments = [
        f"--output_dir={tmp_path}",
        "--training_minutes=0.02",
        "--embedding_minutes=0.02",
        "--sample_seconds=0.1",
    ]
    process = commands.start("benchmarks.faults.soak", arguments, str(tmp_path / "log"))
    assert process.wait(300) == 0, process.text[-2000:]
    found = json.loads((tmp_path / "soak.json").read_text())
    for name in ("training", "embedding"):
        assert found[name]["done"] > 0 and found[name]["open_files"][0] > 3
    assert os.path.exists(tmp_path / "run" / "config.json")
