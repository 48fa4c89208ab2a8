"""Commands whose decoder crashes, by a real crash of real processes."""

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import soundfile

from audio_triplet import crashes
from audio_triplet.commands import supervisor
from tests.conftest import RATE, tone
from tests.crashing import sitecustomize

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no supervisor elsewhere")

FOLDER = os.path.dirname(sitecustomize.__file__)
REASON = "crashed the decoder (SIGABRT)"


def start(body, *arguments):
    """A supervised command, which says that it begins."""
    code = """
import os, signal, subprocess, sys, threading, time
from audio_triplet.commands import supervisor
supervisor._LOOK_SECONDS = 0.2
supervisor.survive_crashes("prog")
print("begins", flush=True)
""" + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([FOLDER, *sys.path])},
        start_new_session=True,
    )


@pytest.fixture
def sounds(tmp_path):
    """Five sounds; one crashes the decoder."""
    for number in range(5):
        sound = tone(2.0, 300 + 100 * number)
        if number == 2:
            sound = sound[: sitecustomize.CRASHING_FRAMES]
        soundfile.write(tmp_path / f"{number}.wav", sound, RATE)
    return [str(tmp_path / f"{number}.wav") for number in range(5)]


READ_ALL = """
from audio_triplet import audio
for path in sys.argv[1:]:
    try:
        print(os.path.basename(path), len(audio.load_audio(path)), flush=True)
    except audio.AudioError as error:
        print(os.path.basename(path), error.reason, flush=True)
"""


def test_a_command_goes_on_after_a_crash(sounds):
    before = set(os.listdir(tempfile_folder()))
    text, error = (process := start(READ_ALL, *sounds)).communicate(timeout=120)
    assert process.returncode == 0, error
    lines = text.splitlines()
    assert lines[:3] == ["begins", "0.wav 32000", "1.wav 32000"]
    whole = ["0.wav 32000", "1.wav 32000", "3.wav 32000", "4.wav 32000"]
    assert lines[3:] == ["begins", *sorted([*whole, f"2.wav {REASON}"])]
    (said,) = (line for line in error.splitlines() if line.startswith("prog: "))
    assert said.startswith(f"prog: a crash (SIGABRT) while decoding {sounds[2]}; begins again")
    left = set(os.listdir(tempfile_folder())) - before
    assert not [name for name in left if name.startswith("audio_triplet_")]


def tempfile_folder():
    import tempfile

    return tempfile.gettempdir()


def test_a_worker_that_crashes_under_a_waiting_command(sounds):
    """As of Beam, whose pipeline waits for its worker without end."""
    body = """
    from audio_triplet import crashes
    read = [sys.executable, "-c", "import sys; from audio_triplet import audio; "
            "audio.load_audio(sys.argv[1])", sys.argv[1]]
    if crashes.is_suspect(sys.argv[1]):
        print("apart", flush=True)
    elif subprocess.run(read).returncode < 0:
        time.sleep(300)
    """
    text, error = (process := start(body, sounds[2])).communicate(timeout=120)
    assert process.returncode == 0, error
    assert text.splitlines() == ["begins", "begins", "apart"]


def test_a_crash_of_something_else_ends_the_command(sounds):
    """Begun again a few times, as the files that were being decoded are innocent."""
    body = """
    from audio_triplet import audio
    for path in sys.argv[1:]:
        for block in audio.stream_audio(path, 0.5):
            if path == sys.argv[-1] or not audio.apart.crashes.is_suspect(path):
                os.kill(os.getpid(), signal.SIGSEGV)
    """
    good = [path for path in sounds if not path.endswith("2.wav")]
    text, error = (process := start(body, *good, good[0], good[1])).communicate(timeout=120)
    assert process.returncode == -signal.SIGSEGV, error
    assert 1 < text.count("begins") <= 1 + supervisor._MOST_UNEXPLAINED


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_what_ends_the_child_ends_the_supervisor(number):
    process = start(f"os.kill(os.getpid(), {int(number)})")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == -number and text == "begins\n"


def test_status_and_output_are_the_childs():
    process = start("print(os.environ['AUDIO_TRIPLET_CRASHES'])\nsys.exit(7)")
    text, error = process.communicate(timeout=60)
    assert process.returncode == 7 and not error
    assert not os.path.exists(text.splitlines()[1])


WAIT = """
from audio_triplet.commands import terminal
with terminal.clear_errors("prog"):
    try:
        print(os.getpid(), flush=True)
        time.sleep(300)
    finally:
        print("in order", flush=True)
"""


@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["process", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_arrives_once(kill, number):
    """From a terminal or from `timeout` the child gets it itself, and from its supervisor."""
    process = start(WAIT)
    assert process.stdout.readline() == "begins\n" and int(process.stdout.readline())
    kill(process.pid, number)
    text, error = process.communicate(timeout=60)
    assert process.returncode == 130 and text == "in order\n"
    assert error.startswith("prog: stopped; ") and error.count("stopped;") == 1


def test_the_child_dies_with_its_supervisor():
    process = start(WAIT)
    process.stdout.readline()
    child = int(process.stdout.readline())
    assert child != process.pid
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while crashes._runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not crashes._runs(child)


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv(supervisor.OFF_VARIABLE, "1")
    process = start("print(os.getpid())")
    assert process.communicate(timeout=60)[0].split() == ["begins", str(process.pid)]


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["index", "embed", "predict", "prepare"])
def test_commands_list_what_crashes_and_use_the_rest(
    commands, sounds, small_model, tone_folder, tmp_path, verb
):
    out, folder = str(tmp_path / "out"), os.path.dirname(sounds[0])
    model = f"--model={small_model.path}"
    if verb == "prepare":
        line = ["data_prep.prepare", f"--corpus=folders:{folder}", "--engine=threads"]
        line += ["--max_bad_share=1", f"--output_dir={out}"]
    elif verb == "predict":
        from audio_triplet.commands import inputs
        from audio_triplet.commands.classify import fit
        from audio_triplet.config import ClassifyConfig

        (tmp_path / "fitted").mkdir()
        manifest, _ = inputs.load_inputs([tone_folder])
        fit.fit(manifest, small_model.path, str(tmp_path / "fitted"), ClassifyConfig(folds=2))
        line = ["audio_triplet", "classify", "predict", folder, f"--output_dir={out}"]
        line += [f"--classifier={tmp_path}/fitted/classifier", model]
    elif verb == "embed":
        line = ["audio_triplet", "embed", folder, f"--output_dir={out}", model]
    else:
        line = ["audio_triplet", "index", folder, f"--index={out}", model]
    command = commands.start("tests.crashing.command", line, str(tmp_path / "log"))
    assert command.wait(300) == 0, command.text
    with open(os.path.join(out, "bad_files.csv"), newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["path", "reason"], [sounds[2], REASON]]
    assert "begins again" in command.text
    if verb == "embed":
        names = {"0.wav.npz", "1.wav.npz", "3.wav.npz", "4.wav.npz"}
        assert names == {name for name in os.listdir(out) if name.endswith(".npz")}
    # Run again, it knows what crashes, and crashes no more.
    if verb in ("index", "embed"):
        again = commands.start("tests.crashing.command", line, str(tmp_path / "log2"))
        assert again.wait(300) == 0 and "begins again" not in again.text, again.text
