"""debian-sounds: the class table, licences, grouping, and the way from .deb files to a manifest.

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

import numpy as np
import pandas as pd
import pytest
import soundfile

from audio_triplet.corpora.debian_sounds import corpus
from audio_triplet.corpora.debian_sounds.classes import (
    PACKAGE_SETS,
    class_rules,
    classify,
    source_rules,
)
from audio_triplet.corpora.debian_sounds.corpus import build_manifest, download, source_of
from audio_triplet.corpora.debian_sounds.licences import licence_of, parse_copyright
from audio_triplet.corpora.debian_sounds.packages import collect_audio, measure
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError, LockedError
from data_prep.debian_sounds import summary

_ROOT = pathlib.Path(__file__).parents[2]
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")


def _sound(path, seed=0, samples=800, rate=8000, **options):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, samples)
    soundfile.write(path, noise, rate, **options)


# --- the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "path", "label", "kind"),
    [
        ("hydrogen-drumkits", "hydrogen/data/drumkits/The Black Pearl 1.0/PearlKick-Soft.wav",
         "kick", "effect"),
        ("hydrogen-drumkits", "hydrogen/data/drumkits/ForzeeStereo/SnareOffRim-2.wav",
         "stick_click", "effect"),
        ("hydrogen-drumkits", "hydrogen/data/drumkits/The Black Pearl 1.0/PaisteBell-Hard.wav",
         "cymbal", "effect"),
        ("hydrogen-drumkits", "hydrogen/data/drumkits/BJA_Pacific/HH2_01.aiff",
         "hihat", "effect"),
        ("hydrogen-drumkits", "hydrogen/data/drumkits/VariBreaks/VP Hat 1 Cl.flac",
         "hihat", "effect"),
        # "attack" ends with "ack", the answers of units are speech.
        ("megaglest-data", "games/megaglest/commondata/sounds/swordman_attack1.wav",
         "blade", "effect"),
        ("megaglest-data", "games/megaglest/commondata/sounds/swordman_ack1.wav",
         "speech", "speech"),
        ("megaglest-data", "games/megaglest/units/magician/sounds/ack1.wav", "speech", "speech"),
        ("megaglest-data", "games/megaglest/commondata/sounds/cow_select1.wav",
         "farm_animal", "effect"),
        ("tuxpaint-stamps-default", "tuxpaint/stamps/animals/birds/owl.ogg", "bird", "effect"),
        ("tuxpaint-stamps-default", "tuxpaint/stamps/animals/birds/owl_desc_pt_BR.ogg",
         "speech", "speech"),
        ("wesnoth-1.18-data", "games/wesnoth/1.18/data/core/sounds/bow-miss.ogg",
         "bow_shot", "effect"),
        ("wesnoth-1.16-music", "games/wesnoth/1.16/data/core/music/battle.ogg", "music", "music"),
        ("0ad-data", "games/0ad/mods/public/public.zip/audio/ambient/weather/rain_11.ogg",
         "weather", "ambience"),
        ("0ad-data", "games/0ad/mods/public/public.zip/audio/music/Sunrise.ogg",
         "music", "music"),
        ("0ad-data", "games/0ad/mods/public/public.zip/audio/interface/alarm/alarmally_1.ogg",
         "", "effect"),
        ("some-other-package", "x/kick.wav", "", "effect"),
    ],
)  # fmt: skip
def test_class_of_a_path(package, path, label, kind):
    assert classify(package, path) == (label, kind)


def test_the_table_is_well_formed():
    packages = {pattern for patterns in PACKAGE_SETS.values() for pattern in patterns}
    assert packages == set(class_rules())
    assert set(PACKAGE_SETS["small"]) < set(PACKAGE_SETS["all"]) < set(PACKAGE_SETS["wide"])
    for rules in class_rules().values():
        patterns = [rule.pattern.pattern for rule in rules]
        assert len(set(patterns)) == len(patterns)
        for rule in rules:
            assert re.fullmatch(r"([a-z]+(_[a-z]+)*)?", rule.label)
            assert rule.kind in ("effect", "ambience", "music", "speech")
    assert {rule.package for rule in source_rules()} < packages


@pytest.mark.parametrize(
    ("package", "path", "source"),
    [
        ("p", "a/arrow_01.wav", "p/a/arrow"),
        ("p", "a/arrow_02.ogg", "p/a/arrow"),
        ("p", "b/arrow_02.ogg", "p/b/arrow"),
        ("p", "a/swordhit_10a.wav", "p/a/swordhit"),
        ("p", "kit/PearlSnare-Hardest.wav", "p/kit/PearlSnare"),
        ("p", "kit/PearlSnare-Softest.wav", "p/kit/PearlSnare"),
        ("p", "kit/PearlTom1-Med.wav", "p/kit/PearlTom1"),
        ("p", "kit/SN3_01.aiff", "p/kit/SN3"),
        ("p", "bow-miss.ogg", "p/bow"),
        ("hydrogen-drumkits-effects", "x/GuitarStrums/Bminor7b5_UP_03.flac",
         "hydrogen-drumkits-effects/strum Bminor7b5"),
        ("hydrogen-drumkits-effects", "x/GuitarStrums/Bminor7b5_00.flac",
         "hydrogen-drumkits-effects/strum Bminor7b5"),
        ("hydrogen-drumkits-effects", "x/GuitarStrums/Bminor7b5_DOWN_02wav.flac",
         "hydrogen-drumkits-effects/strum Bminor7b5"),
        ("0ad-data", "audio/interface/sel_stone_02.ogg", "0ad-data/mine_stone"),
        ("0ad-data", "audio/mining/mine_stone_21.ogg", "0ad-data/mine_stone"),
        ("p", "a/soft.wav", "p/a/soft"),
        ("p", "9.ogg", "p/9"),
        ("megaglest-data", "norsemen/swordman_attack3.wav", "megaglest-data/swordman_attack"),
        ("megaglest-data", "persian/swordman_attack1.wav", "megaglest-data/swordman_attack"),
    ],
)  # fmt: skip
def test_takes_and_layers_are_one_source(package, path, source):
    assert source_of(package, path) == source


# --- licences -----------------------------------------------------------------------------------

_DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: kits
Comment: Files: not-a-field
 License: nor this

Files: *
Copyright: 2001, Somebody
License: GPL-2+
 This program is free software
 .
 License: in the text

Files:
 drumkits/Electric.h2drumkit
 drumkits/Gimme?A?Hand?1.0.h2drumkit
Copyright: 2003, Another
License: CC-BY-SA-3.0
 text

Files: etc/samples/a.flac etc/samples/b*.flac
Copyright: none
License: CC0

Files: debian/*
License: MIT

License: CC0
 the text of it
"""


@pytest.mark.parametrize(
    ("path", "licence"),
    [
        ("games/x/y.ogg", "GPL-2+"),
        ("hydrogen/data/drumkits/Electric/Kick.flac", "CC-BY-SA-3.0"),
        ("hydrogen/data/drumkits/Gimme A Hand 1.0/Clap.wav", "CC-BY-SA-3.0"),
        ("hydrogen/data/drumkits/Electric2/Kick.flac", "GPL-2+"),
        ("sonic-pi/samples/a.flac", "CC0"),
        ("sonic-pi/samples/bd_x.flac", "CC0"),
        ("sonic-pi/samples/aa.flac", "GPL-2+"),
        ("other/a.flac", "GPL-2+"),
    ],
)
def test_licences_of_a_machine_readable_file(path, licence):
    assert licence_of(path, parse_copyright(_DEP5)) == licence


def test_other_copyright_files_are_pointed_to():
    assert parse_copyright("This package was debianized by\n\nFiles: *\nLicense: GPL\n") == []
    assert parse_copyright("") == []
    assert licence_of("a.wav", []) == "see copyright"


# --- files --------------------------------------------------------------------------------------


def test_measure(tmp_path):
    first, copy = str(tmp_path / "a.wav"), str(tmp_path / "a.flac")
    _sound(first, subtype="PCM_16")
    samples, rate = soundfile.read(first, dtype="int16")
    soundfile.write(copy, samples, rate)
    file_sha256, samples_sha256, seconds = measure(first)
    with open(first, "rb") as file:
        assert file_sha256 == hashlib.sha256(file.read()).hexdigest()
    assert seconds == 0.1
    assert measure(copy)[0] != file_sha256
    assert measure(copy)[1] == samples_sha256
    soundfile.write(copy, samples, 2 * rate)
    assert measure(copy)[1] != samples_sha256


def test_measure_names_what_is_of_no_use(tmp_path):
    silent, text, empty = (str(tmp_path / name) for name in ("s.wav", "t.wav", "e.wav"))
    soundfile.write(silent, np.zeros(100), 8000)
    soundfile.write(empty, np.zeros(0), 8000)
    with open(text, "w") as file:
        file.write("not sound")
    assert measure(silent) == "silent"
    assert measure(empty) == "no samples"
    assert measure(text).startswith("cannot be decoded")


def test_collecting_stays_inside_and_looks_into_archives(tmp_path):
    outside = str(tmp_path / "outside")
    _sound(f"{outside}/secret.wav")
    unpacked, staged = str(tmp_path / "unpacked"), str(tmp_path / "staged")
    _sound(f"{unpacked}/usr/share/game/sounds/a b.wav")
    _sound(f"{unpacked}/opt/é.OGG", format="OGG")
    os.symlink(f"{outside}/secret.wav", f"{unpacked}/usr/share/game/link.wav")
    os.symlink(outside, f"{unpacked}/usr/share/game/linked")
    with zipfile.ZipFile(f"{unpacked}/usr/share/game/public.zip", "w") as archive:
        archive.write(f"{outside}/secret.wav", "audio/in.wav")
        archive.write(f"{outside}/secret.wav", "../../../escaped.wav")
        archive.writestr(zipfile.ZipInfo("/rooted.wav"), b"x")  # write() would drop the slash
        archive.writestr("readme.txt", "x")
    with open(f"{unpacked}/usr/share/game/broken.zip", "wb") as file:
        file.write(b"PK not a zip")
    assert collect_audio(unpacked, staged) == [
        "game/public.zip/audio/in.wav", "game/sounds/a b.wav", "opt/é.OGG",
    ]  # fmt: skip
    held = {
        os.path.relpath(os.path.join(folder, name), tmp_path)
        for folder, _, files in os.walk(tmp_path)
        for name in files
        if name.endswith((".wav", ".OGG"))
    }
    assert {name for name in held if not name.startswith("unpacked")} == {
        "outside/secret.wav",
        "staged/game/public.zip/audio/in.wav",
        "staged/game/sounds/a b.wav",
        "staged/opt/é.OGG",
    }


# --- the manifest -------------------------------------------------------------------------------


def _table(folder, package, rows):
    """rows: (path, sha256, samples_sha256)."""
    os.makedirs(folder / "packages", exist_ok=True)
    frame = pd.DataFrame(rows, columns=["path", "sha256", "samples_sha256"])
    frame = frame.assign(seconds=1.0, licence="CC0", version="1-1", deb_sha256="d")
    frame.to_csv(folder / "packages" / f"{package}.csv", index=False)


def test_duplicates_join_sources_and_the_labelled_one_stays(tmp_path):
    """a1, b1 and c1 hold the same bytes, b2 and d1 the same samples: a, b, c, d are one source."""
    rows = [
        ("x/a1.wav", "1", "s1"), ("x/a2.wav", "2", "s2"), ("x/b1.wav", "1", "s1"),
        ("x/b2.wav", "3", "s3"), ("x/d1.wav", "4", "s3"), ("x/e1.wav", "5", ""),
        ("x/f1.wav", "6", ""),
    ]  # fmt: skip
    _table(tmp_path, "aaa", rows)
    _table(tmp_path, "ktuberling-data", [("c/c1.ogg", "1", "s1")])
    made = build_manifest(str(tmp_path))
    shown = {
        os.path.relpath(row.path, tmp_path / "audio"): (row.recording_id, row.labels)
        for row in made.frame.itertuples()
    }
    assert shown == {
        "aaa/x/a2.wav": ("aaa/x/a", ""),
        "aaa/x/b2.wav": ("aaa/x/a", ""),
        "aaa/x/e1.wav": ("aaa/x/e", ""),
        "aaa/x/f1.wav": ("aaa/x/f", ""),
        # Labelled "speech" by the table, but one recording is too few for a class.
        "ktuberling-data/c/c1.ogg": ("aaa/x/a", ""),
    }


def test_classes_need_eight_recordings_and_splits_are_by_recording(tmp_path):
    crows = [(f"animals/birds/{n}.ogg", f"b{n}", "") for n in "abcdefgh"]
    saws = [(f"tools/saw{take}.ogg", f"s{take}", "") for take in range(20)]
    _table(tmp_path, "tuxpaint-stamps-default", crows + saws)
    made = build_manifest(str(tmp_path))
    assert made.classes == ("bird",)
    assert made.frame["labels"].value_counts().to_dict() == {"": 20, "bird": 8}
    assert set(made.splits) <= {"train", "test"}
    assert made.frame.groupby("recording_id")["split"].nunique().max() == 1
    assert set(made.frame["kind"]) == {"effect"}
    assert "28 files with sound, 0 duplicates" in summary(str(tmp_path), made)


def test_a_folder_without_packages(tmp_path):
    with pytest.raises(CorpusError, match="no package of debian-sounds"):
        build_manifest(str(tmp_path))


# --- from packages ------------------------------------------------------------------------------

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

    def add(self, name, sounds, copyright_text=_DEP5, listed="."):
        """sounds: path in the package → seed of its noise."""
        tree = self.folder / f"tree-{name}"
        for path, seed in sounds.items():
            _sound(str(tree / path), seed)
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
    assert (output_dir / "copyright" / "tuxpaint-stamps-default").read_text() == _DEP5
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
    _sound(str(output_dir / "audio" / "second" / "half.wav"))
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
