import dataclasses
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from absl import flags

from audio_triplet.commands import config_flags, terminal
from audio_triplet.config import TripletConfig
from audio_triplet.errors import ConfigError, Interrupted


@pytest.fixture
def flag_values(monkeypatch):
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    for kind in ("boolean", "integer", "float", "string", "list", "alias"):
        name = f"DEFINE_{kind}"
        original = getattr(flags, name)
        monkeypatch.setattr(
            flags,
            name,
            lambda *a, original=original, **k: original(*a, flag_values=values, **k),
        )
    return values


def test_a_flag_for_every_field(flag_values):
    config_flags.define_flags(TripletConfig, skip=("constraints",), noise_sigma=0.7)
    flag_values(["x", "--max_mel_shift=3", "--shares=1,2,3,4.5"])
    made = config_flags.from_flags(TripletConfig, constraints="mixing")
    assert made == TripletConfig("mixing", 0.7, 3, shares=(1.0, 2.0, 3.0, 4.5))
    assert "σ of the Gaussian noise" in flag_values["noise_sigma"].help
    assert "Silence" not in flag_values["noise_sigma"].help
    for field in dataclasses.fields(TripletConfig):
        if field.name not in ("constraints", "constraint_parameters"):
            assert len(flag_values[field.name].help) > 20


def test_a_flag_goes_before_the_preset_and_that_before_defaults(flag_values):
    config_flags.define_flags(TripletConfig, skip=("constraints",), noise_sigma=0.7)
    flag_values(["x", "--max_mel_shift=3"])
    made = config_flags.from_flags(TripletConfig, {"max_mel_shift": 4, "augment": True, "steps": 1})
    assert (made.noise_sigma, made.max_mel_shift, made.augment) == (0.7, 3, True)


def test_errors_for_the_user_are_one_line():
    for error in (ConfigError("a.json: broken; fix it"), FileNotFoundError(2, "gone", "f.wav")):
        with pytest.raises(SystemExit, match=r"^prog: .*(broken; fix it|f\.wav)"):
            with terminal.clear_errors("prog"):
                raise error
    for error in (ValueError("a bug"), KeyError("a bug")):  # not ours: the trace is wanted
        with pytest.raises(type(error)), terminal.clear_errors("prog"):
            raise error


@pytest.fixture
def signals():
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.alarm(0)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_interruption_tells_the_command(capsys, signals):
    with pytest.raises(SystemExit) as stop:
        with terminal.clear_errors("prog"):
            raise Interrupted("saved")
    assert stop.value.code == 130 and "prog: saved: python" in capsys.readouterr().err


def test_full_disk_is_told_whatever_the_error_type():
    import errno

    class Foreign(Exception):
        pass

    for error in (OSError(errno.ENOSPC, "x"), Foreign("foo; No space left on device")):
        with pytest.raises(SystemExit, match="prog: no space left on the disk; free some"):
            with terminal.clear_errors("prog"):
                raise error


def test_an_impossible_folder_is_one_line():
    import tensorflow as tf

    with pytest.raises(SystemExit, match="prog: /dev/null is not a directory"):
        with terminal.clear_errors("prog"):
            tf.io.gfile.makedirs("/dev/null/x")


def command(body):
    code = f"""
import ctypes, threading, time
from audio_triplet.commands import signals, terminal
with terminal.clear_errors("prog"):
{textwrap.indent(textwrap.dedent(body), "    ")}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_any_command_in_one_line(number):
    process = command('print("ready", flush=True); time.sleep(300)')
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in error, error
    assert error.startswith("prog: stopped; what is finished is kept, the same command continues:")


def test_a_signal_is_no_error_to_be_caught():
    process = command("""
        try:
            print("ready", flush=True)
            time.sleep(300)
        except Exception:  # as around a checkpoint that may be damaged
            pass
        print("went on")
    """)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "went on" not in text


def test_a_second_signal_ends_it_even_in_a_long_call():
    """As a training step is one: Python's own handlers have to wait until it returns."""
    process = command("""
        def say():
            time.sleep(0.5)
            print("ready", flush=True)  # the main thread is in the call by now

        threading.Thread(target=say).start()
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):  # the second call waits for ever, and no signal interrupts it
            ctypes.CDLL(None).pthread_mutex_lock(mutex)
    """)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130


def test_an_interrupted_command_is_not_kept_alive_by_what_it_unwinds():
    process = command("""
        signals.SECONDS_TO_END = 1
        try:
            print("ready", flush=True)
            time.sleep(300)
        finally:
            threading.Thread(target=time.sleep, args=(300,)).start()
    """)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == -signal.SIGALRM


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with terminal.clear_errors("prog"):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_an_error_that_is_its_own_cause_is_told():
    """By `raise error from error`; following causes must come to an end."""
    code = """
from audio_triplet.commands import terminal
with terminal.clear_errors("prog"):
    try:
        raise OSError(5, "broken", "out")
    except OSError as error:
        raise error from error
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("prog: ") and "broken" in done.stderr


def test_a_command_collects_no_garbage_at_its_end():
    """Once more through all of TensorFlow took it a second."""
    code = """
import atexit, gc
from audio_triplet.commands import garbage
atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 1000))
garbage.collect_rarely()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "50000 True\n"
