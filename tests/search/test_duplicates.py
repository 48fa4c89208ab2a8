"""Recordings that are there twice: coded anew, louder, later; and those that are merely alike."""

import csv
import dataclasses
import itertools
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from audio_triplet import audio
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import stamp_of
from audio_triplet.search import duplicates, index, index_writer, outline
from tests.commands.test_search import command  # noqa: F401  a fixture
from tests.search.test_index import MODEL, Killed, embeddings

RATE = 16_000


def sound(seed, seconds=3.0, envelope=None):
    """Noise in bands that swell and fade: as rich as a recording, unlike any other seed's."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    swell = np.random.default_rng(seed if envelope is None else envelope)
    levels = swell.uniform(-30, 0, (round(seconds * 6) + 2, 3))
    time = np.arange(count) / RATE * 6
    total = np.zeros(count)
    for band, (low, high) in enumerate(((150, 500), (600, 1500), (1800, 5000))):
        spectrum = np.fft.rfft(rng.normal(size=count))
        hertz = np.fft.rfftfreq(count, 1 / RATE)
        spectrum[(hertz < low) | (hertz > high)] = 0
        gain = 10 ** (np.interp(time, np.arange(len(levels)), levels[:, band]) / 20)
        total += np.fft.irfft(spectrum, count) * gain
    return (0.3 * total / np.abs(total).max()).astype(np.float32)


def write_copies(folder, one):
    """The same recording in many ways; name → how much later a moment is in it, seconds."""
    quiet, late = one * 10 ** (-15 / 20), np.concatenate([np.zeros(round(0.537 * RATE), "f4"), one])
    integers = np.round(one * 32767).astype(np.int16)
    soundfile.write(folder / "a.wav", integers, RATE)
    soundfile.write(folder / "copy.flac", integers, RATE)
    soundfile.write(folder / "coded.mp3", one, RATE)
    soundfile.write(folder / "coded.ogg", one, RATE)
    soundfile.write(folder / "telephone.wav", soxr.resample(one, RATE, 8000), 8000)
    soundfile.write(folder / "quiet.wav", quiet, RATE)
    soundfile.write(folder / "stereo.wav", np.stack([one, one], 1), RATE)
    soundfile.write(folder / "upside_down.wav", -one, RATE)
    soundfile.write(folder / "late.wav", late, RATE)
    soundfile.write(folder / "late.mp3", soxr.resample(late, RATE, 44100), 44100)
    names = sorted(os.listdir(folder))
    return {name: 0.537 if name.startswith("late") else 0.0 for name in names}


def outline_of(path):
    listener = outline.Listener()
    for _ in listener.listen(0, audio.stream_audio(path)):
        pass
    return listener.outlines[0]


def as_set(paths):
    """Embeddings of files, which are as good as any."""
    one = embeddings(len(paths), len(paths), 1)
    manifest = Manifest(pd.DataFrame({"path": [str(path) for path in paths]}))
    stamp = np.array([stamp_of(path) for path in paths])
    return dataclasses.replace(one, manifest=manifest, stamp=stamp)


def find(folder, paths):
    """Adds files, and gives what was found: a duplicate by the names of its files."""
    with index_writer.Writer(str(folder), **MODEL) as writer:
        writer.add(as_set(paths), [outline_of(path) for path in paths])
        found = duplicates.find(writer)
        names = writer.tables.segments({n for same in found for n in (same.first, same.second)})
    base = {number: os.path.basename(segment.path) for number, segment in names.items()}
    return {(base[same.first], base[same.second]): same for same in found}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    offsets = write_copies(folder, sound(0))
    for seed in range(1, 9):
        soundfile.write(folder / f"other{seed}.wav", sound(seed), RATE)
    return folder, offsets


def test_all_copies_are_found_and_nothing_else(recordings, tmp_path, monkeypatch):
    folder, offsets = recordings
    monkeypatch.setattr(duplicates, "_CANDIDATES", 20)  # every pair
    paths = sorted(folder.iterdir())
    found = find(tmp_path, paths)
    expected = set(itertools.combinations(sorted(offsets), 2))
    assert {tuple(sorted(pair)) for pair in found} == expected
    for (first, second), same in found.items():
        assert same.offset_seconds == pytest.approx(offsets[second] - offsets[first], abs=0.002)
        assert same.likeness > 0.9
    exact = {frozenset(pair) for pair, same in found.items() if same.kind == "exact"}
    assert exact == {frozenset(("a.wav", "copy.flac"))}  # others differ in channels, rate or bits


def test_copies_are_one_group_however_few_are_compared(recordings, tmp_path):
    folder, offsets = recordings
    find(tmp_path, sorted(folder.iterdir()))
    tables = index.Index(str(tmp_path)).tables
    groups = {tuple(members) for members in tables.copies().values()}
    (members,) = groups
    paths = [segment.path for segment in tables.segments(members).values()]
    assert {os.path.basename(path) for path in paths} == set(offsets)


@pytest.mark.parametrize("seconds", [3.0, 20.0])
def test_what_is_merely_alike_is_no_duplicate(tmp_path, seconds):
    hum = 0.5 * np.sin(2 * np.pi * 50 * np.arange(round(seconds * RATE)) / RATE).astype("f4")
    one = sound(0, seconds)
    for name, samples in {
        "a": one,
        "same swell": sound(1, seconds, envelope=0),
        "hum": hum + 0.05 * sound(3, seconds, envelope=0),
        "same hum": hum + 0.05 * sound(4, seconds, envelope=0),
        "excerpt": one[: round(0.6 * len(one))],
        "followed by another": np.concatenate([one, sound(6, seconds)]),
        "backwards": one[::-1],
    }.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
    assert not find(tmp_path / "index", sorted(tmp_path.glob("*.wav")))


def test_long_recordings_are_compared_to_their_ends(tmp_path):
    long = np.concatenate([sound(seed, 20) for seed in range(4)])
    soundfile.write(tmp_path / "a.wav", long, RATE)
    soundfile.write(tmp_path / "b.ogg", np.concatenate([np.zeros(RATE, "f4"), long]), RATE)
    changed = long.copy()
    changed[70 * RATE :] = sound(9, 10)
    soundfile.write(tmp_path / "changed.wav", changed, RATE)
    found = find(tmp_path / "index", sorted(tmp_path.glob("*.*")))
    ((pair, same),) = found.items()
    assert pair == ("a.wav", "b.ogg") and same.offset_seconds == pytest.approx(1.0, abs=0.002)


def test_what_is_added_is_compared_with_what_is_there(recordings, tmp_path):
    folder, _ = recordings
    others = sorted(folder.glob("other*"))
    assert not find(tmp_path, [folder / "a.wav", *others[:4]])
    assert set(find(tmp_path, [*others[4:], folder / "quiet.wav"])) == {("a.wav", "quiet.wav")}
    assert not find(tmp_path, [others[0]])  # nothing is compared again
    assert len(index.Index(str(tmp_path)).tables.duplicates()) == 1


def test_a_file_that_changes_is_no_longer_a_copy(tmp_path):
    for name, seed in (("a.wav", 0), ("b.wav", 0), ("c.wav", 1)):
        soundfile.write(tmp_path / name, sound(seed), RATE)
    paths = [tmp_path / name for name in ("a.wav", "b.wav", "c.wav")]
    folder = str(tmp_path / "index")
    assert find(folder, paths)
    soundfile.write(paths[1], sound(1, 3.0), RATE, subtype="PCM_24")
    assert set(find(folder, paths)) == {("b.wav", "c.wav")}
    (left,) = index.Index(folder).tables.duplicates()
    assert left.kind == "near"  # 24 bits and 16


def test_a_stop_while_comparing_loses_nothing(recordings, tmp_path, monkeypatch):
    folder, _ = recordings
    paths = [folder / name for name in ("a.wav", "other1.wav", "quiet.wav", "other2.wav")]

    def stops(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(duplicates, "samples_alike", stops)
        with pytest.raises(Killed):
            find(tmp_path, paths)
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        assert len(duplicates.find(writer)) == 1 and not duplicates.find(writer)


def test_silence_has_no_outline_and_a_file_that_is_gone_is_passed_over(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(3 * RATE, "f4"), RATE)
    assert outline_of(tmp_path / "silent.wav") is None
    soundfile.write(tmp_path / "short.wav", sound(0, 0.05), RATE)
    assert outline_of(tmp_path / "short.wav") is None
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, sound(0), RATE)
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    with index_writer.Writer(str(tmp_path / "index"), **MODEL) as writer:
        writer.add(as_set(paths), [outline_of(path) for path in paths])
        paths[1].unlink()
        assert duplicates.find(writer) == []


def test_an_outline_is_the_same_however_the_sound_comes():
    one, rng = sound(0), np.random.default_rng(0)
    cuts = np.sort(rng.integers(0, len(one), 9))
    whole, pieces = outline.Outliner(), outline.Outliner()
    whole.push(one)
    for piece in np.split(one, cuts):
        pieces.push(piece)
    first, second = whole.outline(), pieces.outline()
    np.testing.assert_array_equal(first.levels, second.levels)
    assert (first.start, first.length) == (second.start, second.length)
    # A tone of full scale, by hand: power of a Hann window of 1280 at its peak, (640 / 2)² ≈ 50 dB,
    # and half of that on either side.
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype("f4")
    outliner = outline.Outliner()
    outliner.push(tone)
    levels = outliner.outline().levels.astype(float) / 2 - 63.5
    assert levels[:, 2] == pytest.approx(10 * np.log10(320**2 * 1.5), abs=0.5)
    assert (levels[:, [0, 4]] < levels[:, 2:3] - 40).all()


def test_commands_tell_copies_and_fold_them(command, small_model, tmp_path):  # noqa: F811
    sounds, folder = tmp_path / "sounds", tmp_path / "an.index"
    sounds.mkdir()
    for number, name in enumerate(("=a.wav", "b.wav", "c.wav")):
        soundfile.write(sounds / name, sound(number), RATE)
    soundfile.write(sounds / "copy of b.flac", sound(1), RATE)
    index_it = ("index", sounds, f"--index={folder}", f"--model={small_model.path}")
    told = command(*index_it, "--nofind_duplicates")
    assert "twice" not in told and not (folder / "duplicates.csv").exists()
    soundfile.write(sounds / "copy of =a.mp3", sound(0), RATE)
    soundfile.write(sounds / "another b.wav", sound(1), RATE)
    told = command(*index_it)
    assert "twice" not in told  # those of before were not heard
    shutil.rmtree(folder)
    told = command(*index_it)
    assert "pairs are the same recording" in told
    with open(folder / "duplicates.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {frozenset(os.path.basename(row[n]) for n in ("first", "second")) for row in rows} >= {
        frozenset(("=a.wav", "copy of =a.mp3")),
        frozenset(("b.wav", "copy of b.flac")),
    }
    search = ("search", sounds / "c.wav", f"--index={folder}", "--top=50")
    plain = json.loads(command(*search, "--json"))["hits"]
    assert len({hit["path"] for hit in plain}) == 5 and not any(hit["copies"] for hit in plain)
    hits = json.loads(command(*search, "--json", "--fold_duplicates"))["hits"]
    best = {os.path.basename(hit["path"]): hit["copies"] for hit in hits}
    assert len(best) == 2
    groups = {frozenset([name, *map(os.path.basename, copies)]) for name, copies in best.items()}
    assert groups == {
        frozenset(("=a.wav", "copy of =a.mp3")),
        frozenset(("b.wav", "copy of b.flac", "another b.wav")),
    }
    assert "= " in command(*search, "--fold_duplicates")
