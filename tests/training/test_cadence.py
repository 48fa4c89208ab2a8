"""When a run logs and saves, and who may stop it. No model is trained here."""

import os
import signal
import subprocess
import sys
import time

import pytest

from audio_triplet.config import TrainingConfig
from audio_triplet.training import cadence


def due(config, first=0, together=False, stop_asked=()):
    """Steps done after which values are logged, and after which a checkpoint is saved."""
    made = cadence.Cadence(config, first, together)
    found = [(done, *made.due(done, done in stop_asked)) for done in range(first + 1, config.steps)]
    found.append((config.steps, *made.due(config.steps, False)))
    return [d for d, log, _ in found if log], [d for d, _, save in found if save]


def test_the_first_step_every_few_and_the_last():
    config = TrainingConfig(steps=11, log_steps=4, checkpoint_steps=5)
    assert due(config) == ([1, 4, 5, 8, 10, 11], [5, 10, 11])
    assert due(config, first=6) == ([7, 8, 10, 11], [10, 11])


def test_a_stop_is_due_at_once_alone_and_after_logged_steps_together():
    config = TrainingConfig(steps=9, log_steps=4)
    assert due(config, stop_asked=(6,)) == ([1, 4, 6, 8, 9], [6, 9])
    # Together each asks the others after logged steps; the loop then saves.
    assert due(config, together=True, stop_asked=(6,)) == ([1, 4, 8, 9], [9])


@pytest.mark.parametrize("together", [False, True])
def test_time_makes_a_checkpoint_due(monkeypatch, together):
    now = [100.0]
    monkeypatch.setattr(cadence.time, "monotonic", lambda: now[0])
    made = cadence.Cadence(TrainingConfig(steps=99, log_steps=5, checkpoint_minutes=2), 0, together)
    now[0] += 121
    assert made.due(3, False) == ((False, False) if together else (True, True))
    assert made.due(5, False) == (True, True)
    made.saved()
    assert made.due(10, False) == (True, False)


def test_a_stretch_counts_patches_and_the_wait(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(cadence.time, "monotonic", lambda: now[0])

    def slow_batches():
        while True:
            now[0] += 1.0
            yield "batch"

    stretch, batches = cadence.Stretch(patches_per_step=16), slow_batches()
    for step in range(2):
        assert stretch.next(batches) == "batch"
        now[0] += 3.0
        stretch.add(step, {"loss": step + 0.5})
    assert stretch.read() == ([(0, {"loss": 0.5}), (1, {"loss": 1.5})], 16 * 2 / 8, 2 / 8)
    now[0] += 50.0  # a checkpoint is saved
    stretch.restart_clock()
    now[0] += 2.0
    stretch.add(2, {"loss": 0.0})
    assert stretch.read() == ([(2, {"loss": 0.0})], 8.0, 0.0)


def test_a_second_signal_ends_the_process_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with cadence.StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert stop.asked
    assert signal.getsignal(signal.SIGTERM) is before
    code = (
        "import os, signal\nfrom audio_triplet.training.cadence import StopSignals\n"
        "with StopSignals():\n for _ in range(2): os.kill(os.getpid(), signal.SIGTERM)\n"
        " print('no')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGTERM and not done.stdout


def test_calls_of_many_steps_end_where_something_is_due():
    config = TrainingConfig(steps=23, log_steps=4, checkpoint_steps=10)
    made, done, calls = cadence.Cadence(config, 0, False), 0, []
    while done < config.steps:
        done += made.steps_to_due(done, 3)
        calls.append(done)
    assert calls == [1, 4, 7, 8, 10, 12, 15, 16, 19, 20, 23]
    logged, _ = due(config)
    assert set(logged) <= set(calls)
