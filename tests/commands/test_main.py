"""`audio-triplet VERB` as a process: help, wrong arguments, log lines."""

import os
import re
import subprocess
import sys

import pytest

import audio_triplet
from audio_triplet.commands import main

# What a person would wait for; `--help` needs none of it.
HEAVY = {"tensorflow", "keras", "pandas", "sklearn", "scipy", "matplotlib", "soundfile", "tqdm"}


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "audio_triplet", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("names", main.COMMAND.paths(), ids=" ".join)
def test_help_is_quick_and_about_the_verb_alone(names):
    code = (
        "import sys; from audio_triplet.commands.main import run\n"
        f"sys.argv = ['audio-triplet', *{names!r}, '--help']\n"
        "run()\n"
        f"late = {HEAVY!r} & set(sys.modules)\n"
        "assert not late, late"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("usage: " + " ".join(["audio-triplet", *names]))
    assert max(map(len, lines)) <= 100
    for noise in ("--helpfull", "--pdb", "--logtostderr", "--verbosity", "Alias for"):
        assert noise not in done.stdout


def test_a_verb_of_classify_has_its_own_flags_only():
    fit, suggest = (run("classify", verb, "--help").stdout for verb in ("fit", "suggest"))
    assert "--hidden_units=N" in fit and "--count" not in fit and "--classifier" not in fit
    assert "--count=N" in suggest and "--hidden_units" not in suggest
    assert suggest.index("(required)") < suggest.index("--count")  # what is needed stands first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "audio-triplet: nonsense: no such verb; choose from embed, index, "),
        (("classify", "teach"), "audio-triplet classify: teach: no such verb; choose from fit, "),
        (("search", "a.wav"), "audio-triplet search: --index is needed; "),
        (("search", "--tops=3", "--index=x"), "audio-triplet search: Unknown command line flag "),
        (("search", "--top=no", "--index=x"), "audio-triplet search: flag --top=no: "),
        (("search", "a.wav", "--index=/nowhere"), "audio-triplet search: /nowhere: holds no index"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message):
    done = run(*arguments)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1


def test_without_a_verb_it_lists_them():
    done = run()
    assert done.returncode == 1 and "suggest" not in done.stderr and "classify" in done.stderr
    assert run("--version").stdout == f"audio-triplet {audio_triplet.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ((), ["plain", "warning: marked"]),
        (("--verbosity=0",), [r".+:\d+\] plain", r".+:\d+\] marked"]),
    ],
)
def test_log_lines_are_messages_unless_more_is_asked_for(arguments, lines):
    code = """
from absl import app, logging
from audio_triplet.commands import terminal

def main(argv):
    terminal.set_up_logging()
    logging.info("plain")
    logging.warning("marked")

app.run(main)
"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    found = done.stderr.splitlines()
    assert len(found) == 2 and all(map(re.fullmatch, lines, found)), found


@pytest.mark.parametrize("arguments", [["index", "--help"], ["--help"]])
def test_a_reader_that_has_read_enough_ends_it_without_a_word(arguments):
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [sys.executable, "-m", "audio_triplet", *arguments],
        stdout=writes,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")
