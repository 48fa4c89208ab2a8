"""debian-sounds: the way from .deb files to a manifest.

The packages here are made on the spot with `dpkg-deb -b`; in place of apt stand two shell scripts
that serve them, so nothing is fetched.
"""

import errno
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pandas as pd
import pytest
import soundfile

from audio_triplet.corpora.debian_sounds import corpus
from audio_triplet.corpora.debian_sounds.classes import (
    PACKAGE_SETS,
)
from audio_triplet.corpora.debian_sounds.corpus import download
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError, LockedError
from tests.corpora.debian_files import COPYRIGHT, noise_file

_ROOT = pathlib.Path(__file__).parents[2]
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")


_APT_CACHE = """#!/bin/sh
if [ "$1" = pkgnames ]; then
  cd "$SERVER" && for file in "$2"*.show; do [ -e "$file" ] && echo "${file%.show}"; done
  exit 0
fi
for name; do :; done
cat "$SERVER/$name.show" 2>/dev/null || { echo "E: No packages found" >&2; exit 100; }
"""
_APT_GET = """#!/bin/sh
echo "$@" >> "$SERVER/calls"
if [ "$1" = update ]; then cp "$SERVER"/unlisted/* "$SERVER"/ 2>/dev/null; exit 0; fi
[ -e "$SERVER/offline" ] && { echo "E: Failed to fetch: no route to host" >&2; exit 100; }
cp "$SERVER/${2%=*}"_*.deb .
"""


class _Server:
    """Packages, and scripts in place of apt that serve them."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, name, sounds, copyright_text=COPYRIGHT, listed=".", packed=None):
        """sounds: path in the package → seed of its noise; they go into the ZIP file `packed`."""
        tree = self.folder / f"tree-{name}"
        for path, seed in sounds.items():
            noise_file(str(tree / path), seed)
        if packed:
            (tree / packed).parent.mkdir(parents=True)
            with zipfile.ZipFile(tree / packed, "w") as archive:
                for path in sounds:
                    archive.write(tree / path, path)
                    (tree / path).unlink()
        (tree / "usr/share/doc" / name).mkdir(parents=True)
        (tree / "usr/share/doc" / name / "copyright").write_text(copyright_text)
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text(
            f"Package: {name}\nVersion: 1:2.0-1\nArchitecture: all\n"
            "Maintainer: A <a@example.org>\nDescription: x\n"
        )
        deb = self.folder / f"{name}_1%3a2.0-1_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(deb)],
            check=True, capture_output=True,
        )  # fmt: skip
        data = deb.read_bytes()
        (self.folder / listed).mkdir(exist_ok=True)
        (self.folder / listed / f"{name}.show").write_text(
            f"Package: {name}\nVersion: 1:2.0-1\nInstalled-Size: 12\nSize: {len(data)}\n"
            f"Filename: pool/x.deb\nSHA256: {hashlib.sha256(data).hexdigest()}\nDescription-en: x\n"
        )
        return deb

    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def server(tmp_path, monkeypatch):
    folder = tmp_path / "server"
    (folder / "bin").mkdir(parents=True)
    for name, script in (("apt-cache", _APT_CACHE), ("apt-get", _APT_GET)):
        (folder / "bin" / name).write_text(script)
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SERVER", str(folder))
    return _Server(folder)


_BIRDS = {f"usr/share/tuxpaint/stamps/animals/birds/{n}.wav": i for i, n in enumerate("abcdefgh")}


@needs_dpkg
def test_download_end_to_end(server, tmp_path):
    deb = server.add("tuxpaint-stamps-default", {**_BIRDS, "usr/share/tuxpaint/copy.wav": 0})
    output_dir = tmp_path / "my corpus"
    made = download(str(output_dir), ["tuxpaint-stamps-default"])
    assert len(made) == 8
    assert made.classes == ("bird",)
    row = made.frame.iloc[0]
    assert row["path"] == (
        f"{output_dir}/audio/tuxpaint-stamps-default/tuxpaint/stamps/animals/birds/a.wav"
    )
    assert soundfile.info(row["path"]).frames == 800
    assert (row["package"], row["version"]) == ("tuxpaint-stamps-default", "1:2.0-1")
    assert row["licence"] == "GPL-2+"
    with open(row["path"], "rb") as file:
        assert row["sha256"] == hashlib.sha256(file.read()).hexdigest()
    table = pd.read_csv(output_dir / "packages" / "tuxpaint-stamps-default.csv")
    assert set(table["deb_sha256"]) == {hashlib.sha256(deb.read_bytes()).hexdigest()}
    assert (output_dir / "copyright" / "tuxpaint-stamps-default").read_text() == COPYRIGHT
    # What is on the disk is the corpus, and moves with its folder.
    assert load_corpus(f"debian-sounds:{output_dir}").frame.equals(made.frame)
    shutil.move(output_dir, tmp_path / "moved")
    moved = load_corpus(f"manifest:{tmp_path}/moved/manifest.csv")
    assert os.path.isfile(moved.frame["path"][0])
    assert sorted(os.listdir(tmp_path / "moved")) == [
        "audio",
        "copyright",
        "manifest.csv",
        "packages",
    ]


@needs_dpkg
def test_sounds_in_a_games_archive_have_guessed_kinds(server, tmp_path):
    sounds = {"sound/fire.wav": 1, "sound/voices/hello.wav": 2, "maps/a.wav": 3}
    server.add("first", sounds, packed="usr/share/games/first/pak0.pk3")
    made = download(str(tmp_path / "corpus"), ["first"]).frame
    audio_dir = f"{tmp_path}/corpus/audio/first/games/first/pak0.pk3/"
    assert dict(zip(made["path"].str.removeprefix(audio_dir), made["kind"], strict=True)) == {
        "maps/a.wav": "effect", "sound/fire.wav": "effect", "sound/voices/hello.wav": "speech",
    }  # fmt: skip


@needs_dpkg
def test_finished_packages_are_not_fetched_again(server, tmp_path):
    server.add("first", {"usr/share/first/a.wav": 1})
    server.add("second", {"usr/share/second/b.wav": 2})
    output_dir = tmp_path / "corpus"
    download(str(output_dir), ["first"])
    assert len(download(str(output_dir), ["first", "second"])) == 2
    assert server.calls() == ["download first=1:2.0-1", "download second=1:2.0-1"]
    # A run that was killed while it unpacked: no table yet, files half there, a working folder.
    os.unlink(output_dir / "packages" / "second.csv")
    (output_dir / ".unpack-dead").mkdir()
    noise_file(str(output_dir / "audio" / "second" / "half.wav"))
    assert len(download(str(output_dir), ["second"])) == 2
    assert server.calls()[2:] == ["download second=1:2.0-1"]
    assert not (output_dir / ".unpack-dead").exists()
    assert not (output_dir / "audio" / "second" / "half.wav").exists()


@needs_dpkg
def test_kept_deb_files_are_used(server, tmp_path):
    server.add("first", {"usr/share/first/a.wav": 1})
    debs = tmp_path / "debs"
    download(str(tmp_path / "one"), ["first"], deb_dir=str(debs))
    download(str(tmp_path / "two"), ["first"], deb_dir=str(debs))
    assert server.calls() == ["download first=1:2.0-1"]
    assert os.listdir(debs) == ["first_1%3a2.0-1_all.deb"]


@needs_dpkg
def test_a_wrong_checksum_is_refused(server, tmp_path):
    deb = server.add("first", {"usr/share/first/a.wav": 1})
    data = bytearray(deb.read_bytes())
    data[-1] ^= 1
    deb.write_bytes(data)
    with pytest.raises(CorpusError, match="first: the downloaded file does not have the checksum"):
        download(str(tmp_path / "corpus"), ["first"])
    assert not (tmp_path / "corpus" / "audio").exists()


@needs_dpkg
def test_no_network_and_no_sounds(server, tmp_path):
    server.add("first", {})
    with pytest.raises(CorpusError, match="first 1:2.0-1: no sound files"):
        download(str(tmp_path / "corpus"), ["first"])
    (server.folder / "offline").touch()
    with pytest.raises(CorpusError, match="first not downloaded; check the network.*no route"):
        download(str(tmp_path / "corpus"), ["first"])


@needs_dpkg
def test_unknown_packages(server, tmp_path, monkeypatch):
    server.add("first", {"usr/share/first/a.wav": 1}, listed="unlisted")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CorpusError, match="apt has no package first; run `apt-get update` as root"):
        download(str(tmp_path / "corpus"), ["first"])
    with pytest.raises(CorpusError, match="apt knows none of .*esc50:DIR"):
        download(str(tmp_path / "corpus"), ["small"])
    assert server.calls() == []
    with pytest.raises(CorpusError, match="'Not A Name' is not a package name"):
        download(str(tmp_path / "corpus"), ["Not A Name"])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert len(download(str(tmp_path / "corpus"), ["first"])) == 1
    assert server.calls() == ["update", "download first=1:2.0-1"]


@needs_dpkg
def test_a_set_goes_on_without_unknown_members_and_takes_the_newest(server, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for version in ("1.8", "1.18", "1.16"):
        server.add(f"wesnoth-{version}-data", {"usr/share/games/wesnoth/x/axe.wav": 3})
    made = download(str(tmp_path / "corpus"), ["small"])
    assert list(made.frame["package"]) == ["wesnoth-1.18-data"]


@needs_dpkg
def test_full_disk(server, tmp_path, monkeypatch):
    server.add("first", {"usr/share/first/a.wav": 1})
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
        with pytest.raises(CorpusError, match="first needs 0 MB and 0 MB are free; free some"):
            download(str(tmp_path / "corpus"), ["first"])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(CorpusError, match="corpus: No space left on device; free some space"):
            download(str(tmp_path / "corpus"), ["first"])
    assert os.listdir(tmp_path / "corpus") == []
    assert len(download(str(tmp_path / "corpus"), ["first"])) == 1


@needs_dpkg
def test_two_runs_do_not_share_a_folder(server, tmp_path):
    server.add("first", {"usr/share/first/a.wav": 1})
    (tmp_path / "corpus").mkdir()
    with open(tmp_path / "corpus" / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="another process is writing it"):
            download(str(tmp_path / "corpus"), ["first"])


def test_without_apt_the_other_corpora_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="needs apt-get, apt-cache, dpkg-deb.*esc50:DIR, folders"):
        load_corpus(f"debian-sounds:{tmp_path / 'corpus'}")


def test_load_downloads_only_into_nothing(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(corpus, "download", lambda folder, sets: asked.append(folder))
    corpus.load(str(tmp_path / "absent"))
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".lock").touch()
    corpus.load(str(tmp_path / "hidden"))
    (tmp_path / "begun" / "packages").mkdir(parents=True)
    corpus.load(str(tmp_path / "begun"))
    assert [os.path.basename(folder) for folder in asked] == ["absent", "hidden", "begun"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(CorpusError, match=r"other files \(thesis.tex, …\); name an empty folder"):
        corpus.load(str(tmp_path / "other"))
    with pytest.raises(CorpusError, match="is a file"):
        corpus.load(str(tmp_path / "other" / "thesis.tex"))
    assert len(asked) == 3


def test_packages_that_are_asked_for_are_downloaded_unless_they_are_there(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(corpus, "download", lambda *of: asked.append(of))
    folder = tmp_path / "sounds"
    corpus.load(f"{folder}?packages=wide")
    (folder / "packages").mkdir(parents=True)
    (folder / "manifest.csv").write_text("path\na.wav\n")
    for pattern in PACKAGE_SETS["small"]:
        (folder / "packages" / f"{pattern.replace('*', '16')}.csv").touch()
    assert len(corpus.load(str(folder))) == 1
    assert len(corpus.load(f"{folder}?packages=small")) == 1
    corpus.load(f"{folder}?packages=small, some-game-data")
    assert asked == [(str(folder), ("wide",)), (str(folder), ("small", "some-game-data"))]
    shutil.rmtree(folder / "packages")
    with pytest.raises(CorpusError, match=r"no packages/.*write manifest:.*manifest\.csv"):
        corpus.load(f"{folder}?packages=small")
    assert len(corpus.load(str(folder))) == 1


def _command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "data_prep.debian_sounds", *arguments],
        capture_output=True, text=True, cwd=_ROOT,
    )  # fmt: skip


@pytest.mark.slow
@needs_dpkg
def test_command(server, tmp_path):
    server.add("tuxpaint-stamps-default", _BIRDS)
    output_dir = str(tmp_path / "corpus")
    done = _command(f"--output_dir={output_dir}", "--packages=tuxpaint-stamps-default")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^bird +8 files +8 recordings", done.stdout, re.MULTILINE)
    assert len(Manifest.read(f"{output_dir}/manifest.csv")) == 8
    (server.folder / "offline").touch()
    server.add("second", {"usr/share/second/b.wav": 2})
    failed = _command(f"--output_dir={output_dir}", "--packages=second")
    assert failed.returncode == 1
    assert "error: second not downloaded" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_help_explains_itself():
    shown = _command("--help").stdout
    for word in ("--output_dir", "--packages", "--deb_dir", "sonic-pi-samples", "apt-get download"):
        assert word in shown
