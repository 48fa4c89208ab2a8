"""A small archive, indexed, and published with a stand-in for the runtime."""

import base64
import hashlib
import io
import tarfile

import pytest
import soundfile

import audio_triplet
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
        values = {"index": indexed, "output_dir": str(target), "runtime": packages} | values
        site.write(site.SiteConfig(**values))
        return target

    return publish
