"""Commands and the library with indices in object stores."""

import json
import secrets
import subprocess
import sys

import pytest
import soundfile

import audio_triplet
from tests.conftest import RATE, tone
from tests.search.test_quick_search import COMMAND

pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'audio_triplet[store]'")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds")
    for number, hertz in enumerate((200, 210, 800, 3000)):
        soundfile.write(root / f"{number}.wav", tone(2.5, hertz, number), RATE)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "s3"], indirect=True)
def test_the_commands_take_addresses(place, machine, sounds, small_model, tmp_path):
    def run(*arguments, code=COMMAND):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    with_all = "from audio_triplet.commands.main import run; run()"
    one, more = [sounds / "0.wav", sounds / "1.wav"], [sounds / "2.wav", sounds / "3.wav"]
    model = f"--model={small_model.path}"
    code, out, err = run("index", *one, f"--index={place}", model, code=with_all)
    assert code == 0 and out.startswith(f"{place}: ") and "2 files" in out, err
    assert f"{place}: writing" in err
    code, out, err = run("index", *more, f"--index={tmp_path / 'more'}", model, code=with_all)
    assert code == 0, err
    code, out, err = run("index", f"--index={place}", f"--merge={tmp_path / 'more'}", code=with_all)
    assert code == 0 and "4 files" in out, err
    local = audio_triplet.build_index(tmp_path / "local", sounds, small_model.path)

    machine("another")  # without TensorFlow
    code, out, err = run("search", sounds / "0.wav", f"--index={place}", "--json")
    assert code == 0 and f"{place}: fetching" in err, err
    answer = json.loads(out)
    assert answer["index"] == place
    expected = local.find(sounds / "0.wav")
    assert [(hit["path"], hit["start_seconds"]) for hit in answer["hits"]] == [
        (hit.path, hit.start_seconds) for hit in expected
    ]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx(
        [hit.score for hit in expected], abs=1e-4
    )
    code, out, err = run("search", sounds / "0.wav", f"--index={place}", "--json")
    assert code == 0 and not err and json.loads(out)["hits"] == answer["hits"]
    assert audio_triplet.open_index(place, small_model.path).find(sounds / "0.wav") == expected
    code, out, err = run("browse", f"--index={place}")
    assert code == 1 and "--labels=FILE" in err and err.count("\n") == 1
    code, out, err = run(
        "index", sounds / "0.wav", f"--index={place}", "--runner=DaskRunner", code=with_all
    )
    assert code == 1 and "--merge=FOLDER" in err


def test_the_library_writes_to_addresses(machine, sounds, small_model):
    place = f"memory://{secrets.token_hex(4)}/an.index"
    index = audio_triplet.build_index(place, sounds, small_model)
    hits = index.find(sounds / "0.wav")
    machine("another")
    assert audio_triplet.open_index(place, small_model).find(sounds / "0.wav") == hits
