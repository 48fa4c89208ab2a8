"""`audio-triplet browse` as a process: its line, its answers, its end, and being killed."""

import re
import signal
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest

from audio_triplet.commands import browse as command
from audio_triplet.errors import AudioTripletError
from benchmarks import browse_archive
from benchmarks.browse_killed import Server, trial
from tests.conftest import flags_given


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """An index of 400 vectors and the sound files of it that are there."""
    folder = str(tmp_path_factory.mktemp("generated") / "index")
    return folder, browse_archive.write(folder, 400, sounds=3)


@pytest.fixture(scope="module")
def server(generated, tmp_path_factory):
    server = Server(
        generated[0], str(tmp_path_factory.mktemp("labels") / "l.sqlite"), "--model=/none"
    )
    yield server
    server.kill()


def status(address: str, **headers: str) -> int:
    request = urllib.request.Request(
        address, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_contract_over_a_socket(server, generated):
    _, (path, *_) = generated
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.address)
    moment = {"path": path, "start_seconds": 0.0, "end_seconds": 0.975}
    found = server.ask("/api/search", moment | {"top": 7})
    assert len(found["hits"]) == 7 and found["seconds"] >= 0
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert {"path", "start_seconds", "end_seconds", "score"} <= set(found["hits"][0])
    for value in (True, False, None):
        server.ask("/api/labels", moment | {"label": "dog", "value": value})
        (label,) = server.ask("/api/labels")["labels"]
        assert label["value"] is value and label["path"] == path
    sound = f"{server.address}/api/sound?path={urllib.parse.quote(path)}"
    assert status(f"{server.address}/", X_Token=server.token) == 200
    assert status(f"{server.address}/?token={server.token}") == 200
    assert status(sound, X_Token=server.token) == 200
    for address in (server.address + "/", server.address + "/api/labels", sound):
        assert status(address) == 403
        assert status(address, X_Token=server.token, Host="evil.example") == 403
        assert status(address, X_Token="wrong") == 403
    missing = f"{server.address}/api/sound?path=/etc/passwd"
    assert status(missing, X_Token=server.token) == 404


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(generated, tmp_path, number):
    server = Server(generated[0], str(tmp_path / "labels.sqlite"), "--model=/none")
    server.process.send_signal(number)
    out, error = server.process.communicate(timeout=30)
    assert (server.process.returncode, out) == (0, "")
    # A model that is not there is told by a thread of its own: last, if the signal was quicker.
    assert "ended; all answers are kept" in error.splitlines() and "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port=TAKEN",), "--port=TAKEN: is in use by another program; choose another, or 0"),
        (("--port=0", "--host=0.0.0.0"), "--host=0.0.0.0: other machines could listen"),
        (("--port=0", "--host=no.such.host.example"), "--host=no.such.host.example: is no address"),
        (
            ("--port=0", "--labels=/missing/l.sqlite"),
            "/missing/l.sqlite: cannot be used for labels",
        ),
        (("--port=0", "bark.wav"), "bark.wav: browse takes no sounds"),
        (("--port=0", "--index=/nowhere"), "/nowhere: holds no index"),
    ],
)
def test_what_cannot_be_served_is_one_line(generated, arguments, words):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        typed = [argument.replace("TAKEN", port) for argument in arguments]
        typed = [f"--index={generated[0]}", "--open=false", *typed]
        with flags_given(command.define_flags, typed) as values:
            with pytest.raises(AudioTripletError) as error:
                command.main(values(["browse", *typed]))
    assert str(error.value).startswith(words.replace("TAKEN", port))
    assert "\n" not in str(error.value)


def test_no_text_browser_takes_the_terminal(monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    command._open("http://a")
    monkeypatch.setenv("DISPLAY", ":0")
    command._open("http://b")
    assert opened == ["http://b"]


@pytest.mark.slow
def test_killed_while_a_script_labels(generated, tmp_path):
    outcome = trial(generated[0], str(tmp_path / "labels.sqlite"), kills=3)
    assert outcome.is_good and outcome.acknowledged > 0, outcome
