"""A small archive with odd names, indexed, and the application on it."""

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

import audio_triplet
from audio_triplet.browse.app import create_app
from audio_triplet.browse.security import Access
from audio_triplet.browse.session import Session
from tests.conftest import RATE, tone

ODD = "<script>alert(1)<\n& ü 犬.wav"
PORT = 8080
TOKEN = "the-token"


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """Nine files: two kinds, an odd name, one at 96 kHz, one silent."""
    root = tmp_path_factory.mktemp("browse") / "archive"
    for kind, hertz in (("low", 300), ("high", 2500)):
        (root / kind).mkdir(parents=True)
        for number in range(3):
            sound = tone(2.5 + number, hertz * (1 + 0.02 * number), number)
            name = f"20240612_0{5 + number}3000.wav"
            soundfile.write(root / kind / name, sound, RATE)
    soundfile.write(root / ODD, tone(2.0, 310, 7), RATE)
    soundfile.write(root / "fast.flac", tone(2.2, 2550, 9, 96_000), 96_000)
    soundfile.write(root / "silent.wav", np.zeros(2 * RATE, "f4"), RATE)
    return root


@pytest.fixture(scope="session")
def indexed(sounds, small_model):
    """The folder of its index."""
    folder = str(sounds.parent / "index")
    audio_triplet.build_index(folder, sounds, small_model, labels="folders")
    return folder


@pytest.fixture
def session(indexed, tmp_path, small_model):
    session = Session(indexed, str(tmp_path / "labels.sqlite"), small_model.path, "anna")
    yield session
    session.close()


@pytest.fixture
def client(session):
    """A client that may ask."""
    app = create_app(session, Access(TOKEN, PORT))
    base = f"http://127.0.0.1:{PORT}"
    return TestClient(app, base, raise_server_exceptions=False, headers={"X-Token": TOKEN})


@pytest.fixture
def moments(session):
    """All moments of the archive, as the API has them."""
    archive = session.archives.now()
    found = []
    for number in range(len(archive)):
        moment = archive.moment(number)
        found.append(
            {
                "path": moment.path,
                "start_seconds": round(moment.start_seconds, 3),
                "end_seconds": round(moment.end_seconds, 3),
            }
        )
    return found
