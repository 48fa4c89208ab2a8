"""The wheel: what is in it, and that every verb works where there is nothing else."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request
import venv
import zipfile

import pytest
import soundfile

import audio_triplet
from audio_triplet.commands import main
from audio_triplet.commands.verbs import VerbGroup
from tests.conftest import RATE, tone

setuptools = pytest.importorskip("setuptools", "70.1", reason="builds no wheel; the extra dev does")
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parent.parent
SOURCE = ("audio_triplet", "models", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md")

# Every verb is a fork of one process, so that TensorFlow is imported once.
RUN_VERBS = """
import gc, json, os, sys
import keras, pandas, sklearn.metrics, tensorflow
from audio_triplet.commands.main import run

assert audio_triplet_at_home(run), run.__code__.co_filename
gc.collect()
gc.freeze()  # or each fork would collect all of TensorFlow when it ends
for arguments in json.loads(sys.argv[1]):
    print("$", *arguments, flush=True)
    process = os.fork()
    if not process:
        sys.argv = ["audio-triplet", *arguments]
        run()
        sys.exit()
    if os.waitpid(process, 0)[1]:
        sys.exit(f"{arguments} failed")
"""
AT_HOME = """
def audio_triplet_at_home(run):
    return run.__code__.co_filename.startswith(sys.prefix)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """Built from a copy, so that nothing is left in the clone."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCE:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", built, source]
    subprocess.run([*pip, "wheel", *options], check=True)
    (path,) = built.iterdir()
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> pathlib.Path:
    """An empty environment with the wheel in it; it sees the packages that are installed here."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--no-compile", wheel]
    subprocess.run([*pip, "--python", python, "install", *options], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # What a .pth file names is searched, but .pth files there (of editable installs) are not read.
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(others))
    return folder


def test_the_package_with_its_model_is_all(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    metadata = f"audio_triplet-{audio_triplet.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"audio_triplet", metadata}
    model = "audio_triplet/released/debian-sounds"
    beside = ("config.json", "README.md", "encoder.tflite", "words.npz")
    for wanted in ("saved_model.pb", "variables/variables.index", *beside):
        assert f"{model}/{wanted}" in names
    assert "audio_triplet/py.typed" in names
    kept = [path for path in (ROOT / "audio_triplet").rglob("*") if path.is_file()]
    missing = {str(path.relative_to(ROOT)) for path in kept if "__pycache__" not in path.parts}
    assert missing - set(names) == set()
    assert wheel.stat().st_size < 20e6


def test_every_verb_runs_outside_the_clone(environment, tmp_path):
    for label, hertz in (("low", 200), ("high", 3000)):
        (tmp_path / "sound" / label).mkdir(parents=True)
        for number in range(3):
            path = tmp_path / "sound" / label / f"{number}.wav"
            soundfile.write(path, tone(1.2, hertz * (1 + number / 20), number), RATE)
    soundfile.write(tmp_path / "new.wav", tone(1.2, 800), RATE)
    (tmp_path / "truth.csv").write_text("path,labels\nsound/low/0.wav,low\n")
    commands = [
        ["embed", "sound", "--output_dir=embedded"],
        ["index", "sound", "--index=index"],
        ["search", "sound/low/0.wav", "--index=index", "--page=found.html", "--top=1"],
        ["classify", "fit", "sound", "--output_dir=mine", "--folds=3"],
        ["classify", "predict", "sound", "--classifier=mine/classifier", "--output_dir=mine"],
        [
            *("classify", "suggest", "new.wav", "--classifier=mine/classifier"),
            *("--output_dir=mine", "--count=1"),
        ],
        [
            *("classify", "estimate", "--predictions=mine/predictions.csv", "--label=low"),
            "--output_dir=lows",
        ],
        [
            *("classify", "check", "--predictions=mine/predictions.csv", "--truth=truth.csv"),
            "--output_dir=checked",
        ],
        ["deploy", "--corpus=folders:sound", "--output_dir=deploy", "--sounds=4", "--repeats=1"],
    ]
    # browse has a test of its own; publish fetches a runtime at its first run.
    assert {command[0] for command in commands} == set(main.COMMAND.verbs) - {"browse", "publish"}
    classify = main.COMMAND.verbs["classify"]
    assert isinstance(classify, VerbGroup)
    assert {command[1] for command in commands if command[0] == "classify"} == set(classify.verbs)
    done = subprocess.run(
        [
            environment / "bin" / "python",
            "-c",
            RUN_VERBS.replace("from audio", f"{AT_HOME}\nfrom audio", 1),
            json.dumps(commands),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert "low/1.wav" in done.stdout or "low/2.wav" in done.stdout
    for written in (
        "embedded/low/0.wav.npz",
        "found.html",
        "mine/predictions.csv",
        "mine/suggest.html",
        "lows/listen.csv",
        "checked/check.html",
        "deploy/encoder_int8.tflite",
    ):
        assert (tmp_path / written).exists(), written


def test_browse_opens_an_index_outside_the_clone(environment, small_model, tmp_path):
    soundfile.write(tmp_path / "low.wav", tone(1.2, 200), RATE)
    audio_triplet.build_index(tmp_path / "index", tmp_path / "low.wav", small_model)
    command = [environment / "bin" / "audio-triplet", "browse", "--index=index", "--port=0"]
    with subprocess.Popen(
        [*command, "--open=false"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            address = server.stdout.readline().strip()
            with urllib.request.urlopen(address) as answer:
                assert 'type="file"' in answer.read().decode()
        finally:
            server.kill()


def test_the_installed_command_says_its_version(environment):
    command = environment / "bin" / "audio-triplet"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"audio-triplet {audio_triplet.__version__}\n"
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == audio_triplet.__version__
