"""debian-sounds: the class table, licences, grouping, and the manifest of what was taken out."""

import hashlib
import logging
import os
import re
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
    guess_kind,
    known_copies,
    source_rules,
)
from audio_triplet.corpora.debian_sounds.corpus import build_manifest, source_of
from audio_triplet.corpora.debian_sounds.licences import licence_of, parse_copyright
from audio_triplet.corpora.debian_sounds.packages import collect_audio, measure
from audio_triplet.errors import CorpusError
from data_prep.debian_sounds import summary
from tests.corpora.debian_files import COPYRIGHT, noise_file

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
        ("etw-data", "games/etw/crowd/crowd01.wav", "", "ambience"),
        ("planetblupi-common", "planetblupi/sound/en/sound018.wav", "", "speech"),
        ("planetblupi-common", "planetblupi/sound/en/sound020.wav", "", "effect"),
        ("hyperrogue-music", "hyperrogue/sounds/seen-frog1.ogg", "", "effect"),
        ("hyperrogue-music", "hyperrogue/music/hr3-caves.ogg", "", "music"),
        ("warzone2100-data", "games/warzone2100/base.wz/audio/sfx/misc/scream.ogg", "", "effect"),
        ("warzone2100-data", "games/warzone2100/base.wz/audio/tutorial/tut25.ogg", "", "speech"),
        ("some-other-package", "x/kick.wav", "", "effect"),
    ],
)  # fmt: skip
def test_class_of_a_path(package, path, label, kind):
    assert classify(package, path) == (label, kind)


def test_the_table_is_well_formed():
    packages = {pattern for patterns in PACKAGE_SETS.values() for pattern in patterns}
    assert packages == set(class_rules())
    assert set(PACKAGE_SETS["small"]) < set(PACKAGE_SETS["all"]) < set(PACKAGE_SETS["wide"])
    assert set(PACKAGE_SETS["wide"]) < set(PACKAGE_SETS["widest"])
    assert not set(PACKAGE_SETS["widest"]) & set(PACKAGE_SETS["packed"])
    for rules in class_rules().values():
        patterns = [rule.pattern.pattern for rule in rules]
        assert len(set(patterns)) == len(patterns)
        for rule in rules:
            assert re.fullmatch(r"([a-z]+(_[a-z]+)*)?", rule.label)
            assert rule.kind in ("effect", "ambience", "music", "speech")
    assert {rule.package for rule in source_rules()} < packages


@pytest.mark.parametrize(
    ("path", "seconds", "kind"),
    [
        ("games/x/sounds/kick.wav", 0.5, "effect"),
        ("games/x/sounds/kick.wav", 31.0, "music"),
        ("games/x/Music/battle.ogg", 5.0, "music"),
        ("games/x/data/title_theme.ogg", 20.0, "music"),
        ("games/x/sound/musical_box.wav", 1.0, "music"),
        ("games/x/sounds/soft_theremin.wav", 1.0, "effect"),
        ("games/x/voices/fire1.ogg", 1.0, "speech"),
        ("x/sounds/pt_BR/bom.ogg", 1.0, "speech"),
        ("x/sounds/item/bom.ogg", 1.0, "effect"),
        ("games/x/ambience/cave.ogg", 90.0, "ambience"),
        ("games/x/sounds/rain_loop.wav", 40.0, "ambience"),
        ("games/x/sounds/train.wav", 4.0, "effect"),
        ("games/x/sounds/saying.wav", 1.0, "effect"),
    ],
)
def test_kinds_are_guessed_for_packages_without_rules(path, seconds, kind):
    assert guess_kind(path, seconds) == kind
    assert classify("some-other-package", path, seconds) == ("", kind)
    # Rules are the last word: what none of them names is an effect.
    assert classify("enigma-data", path.replace("Music", "x"), seconds) == ("", "effect")


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
    assert licence_of(path, parse_copyright(COPYRIGHT)) == licence


def test_other_copyright_files_are_pointed_to():
    assert parse_copyright("This package was debianized by\n\nFiles: *\nLicense: GPL\n") == []
    assert parse_copyright("") == []
    assert licence_of("a.wav", []) == "see copyright"


# --- files --------------------------------------------------------------------------------------


def test_measure(tmp_path):
    first, copy = str(tmp_path / "a.wav"), str(tmp_path / "a.flac")
    noise_file(first, subtype="PCM_16")
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
    noise_file(f"{outside}/secret.wav")
    unpacked, staged = str(tmp_path / "unpacked"), str(tmp_path / "staged")
    noise_file(f"{unpacked}/usr/share/game/sounds/a b.wav")
    noise_file(f"{unpacked}/opt/é.OGG", format="OGG")
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


def test_known_copies_of_several_packages_are_one_recording(tmp_path, monkeypatch):
    copies = (("bbb/x/fire.ogg", "aaa/y/burn1.wav"), ("bbb/x/fire.ogg", "ccc/absent.wav"))
    monkeypatch.setattr(corpus, "known_copies", lambda: copies)
    _table(tmp_path, "aaa", [("y/burn1.wav", "1", ""), ("y/burn2.wav", "2", "")])
    _table(tmp_path, "bbb", [("x/fire.ogg", "3", ""), ("x/ice.ogg", "4", "")])
    recordings = build_manifest(str(tmp_path)).frame["recording_id"]
    assert sorted(recordings) == ["aaa/y/burn", "aaa/y/burn", "aaa/y/burn", "bbb/x/ice"]


def test_copies_leave_the_first_sets_as_they_were():
    added = {*PACKAGE_SETS["widest"], *PACKAGE_SETS["packed"]} - set(PACKAGE_SETS["wide"])
    assert known_copies()
    for pair in known_copies():
        assert added & {file.split("/")[0] for file in pair}


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


def test_guessed_kinds_are_told_and_lengths_count(tmp_path, caplog):
    rows = [("game/sounds/a.ogg", "1", ""), ("game/voices/b.ogg", "2", "")]
    _table(tmp_path, "some-game", rows)
    _table(tmp_path, "lugaru-data", [("lugaru/Music/c.ogg", "3", ""), ("lugaru/d.ogg", "4", "")])
    long = pd.read_csv(tmp_path / "packages" / "some-game.csv").assign(seconds=[120.0, 2.0])
    long.to_csv(tmp_path / "packages" / "some-game.csv", index=False)
    with caplog.at_level(logging.INFO, logger="absl"):
        kinds = build_manifest(str(tmp_path)).frame.set_index("package")["kind"]
    assert sorted(kinds["some-game"]) == ["music", "speech"]
    assert sorted(kinds["lugaru-data"]) == ["effect", "music"]
    told = [line for line in caplog.messages if "guessed" in line]
    assert told == [
        "some-game: no rules in classes.csv; kinds are guessed from paths and lengths: "
        "music 1, speech 1"
    ]


def test_a_folder_without_packages(tmp_path):
    with pytest.raises(CorpusError, match="no package of debian-sounds"):
        build_manifest(str(tmp_path))
