"""A small archive, indexed, and published with a stand-in for the runtime."""

import base64
import hashlib
import io
import os
import tarfile

import pytest
import soundfile

import audio_triplet
from audio_triplet.browse.archive import Moment
from audio_triplet.browse.labels import Answer, Labels
from audio_triplet.publish import runtime, site
from tests.conftest import RATE, tone

ODD = "<script>alert(1)<\n& ü 犬.wav"
PRIVATE = "a-private-nest"


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """Nine files of two kinds: one with an odd name, one to be left out."""
    root = tmp_path_factory.mktemp("publish") / "archive"
    for kind, hertz in (("low", 300), ("high", 2500)):
        (root / kind).mkdir(parents=True)
        for number in range(3):
            sound = tone(2.5 + number, hertz * (1 + 0.02 * number), number)
            soundfile.write(root / kind / f"20240612_0{5 + number}3000.wav", sound, RATE)
    soundfile.write(root / "high" / "fast.flac", tone(4.2, 2550, 9, 44_100), 44_100)
    soundfile.write(root / "low" / ODD, tone(3.0, 310, 7), RATE)
    (root / PRIVATE).mkdir()
    soundfile.write(root / PRIVATE / "secret.wav", tone(3.0, 900, 8), RATE)
    return root


@pytest.fixture(scope="session")
def indexed(sounds, small_model):
    """The folder of its index."""
    folder = str(sounds.parent / "index")
    audio_triplet.build_index(folder, sounds, small_model, labels="folders")
    return folder


@pytest.fixture(scope="session")
def answers(sounds, indexed):
    """A file of answers, as browse writes it."""
    path = str(sounds.parent / "labels.sqlite")
    labels = Labels(path)
    for name, start, end, label, value in (
        (f"{PRIVATE}/secret.wav", 0.0, 1.0, "hidden call", True),
        ("high/fast.flac", 0.9, 2.95, "whistle", True),
        ("high/fast.flac", 1.2, 1.5, "whistle", True),
        ("low/20240612_053000.wav", 0.0, 1.0, "rain", False),
        ("high/20240612_053000.wav", 0.0, 1.0, "rain", None),
        ("none.wav", 0.0, 1.0, "whistle", True),
        ("low/20240612_053000.wav", 0.0, 1.0, "low", True),
    ):
        moment = Moment(os.path.join(sounds, name), start, end)
        labels.add([Answer(moment, label, value)], "anna")
    labels.close()
    return path


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder with stand-ins for the runtime's packages."""
    folder = tmp_path / "packages"
    folder.mkdir()
    made = []
    for package in runtime.PACKAGES:
        with tarfile.open(folder / package.file, "w:gz") as archive:
            for member in package.members:
                content = b'import {a} from "@litertjs/wasm-utils";'
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        digest = hashlib.sha512((folder / package.file).read_bytes()).digest()
        checksum = base64.b64encode(digest).decode()
        made.append(runtime.Package(package.name, package.file, checksum, dict(package.members)))
    monkeypatch.setattr(runtime, "PACKAGES", tuple(made))
    return str(folder)


@pytest.fixture
def publish(indexed, packages, tmp_path):
    """Publishes the archive, and gives the site's folder."""

    def publish(**values):
        target = tmp_path / "site"
        usual = {"index": indexed, "output_dir": str(target), "runtime": packages, "map": False}
        site.write(site.SiteConfig(**(usual | values)))
        return target

    return publish
