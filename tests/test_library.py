"""The library as a script or a notebook uses it: load, embed, build_index, open_index, find."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import audio_triplet
from audio_triplet import audio, models
from audio_triplet.embeddings import model_files, saved_model, sounds
from audio_triplet.errors import AudioError, ConfigError, CorpusError, ExportError, SearchError
from tests.conftest import RATE, tone


@pytest.fixture(scope="module")
def released():
    return audio_triplet.load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of three files each, and one that is no sound."""
    root = tmp_path_factory.mktemp("sounds")
    for label, hertz in (("low", 200), ("high", 3000)):
        (root / label).mkdir()
        for number in range(3):
            sound = tone(2.0 + number, hertz * (1 + 0.02 * number), number)
            soundfile.write(root / label / f"{number}.wav", sound, RATE)
    (root / "broken.ogg").write_bytes(b"OggS but not really")
    return root


@pytest.fixture(scope="module")
def index(folder, small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "an.index"
    return audio_triplet.build_index(path, folder, small_model, labels="folders")


# --- importing -----------------------------------------------------------------------------------


def test_importing_is_quick():
    code = (
        "import sys, audio_triplet; audio_triplet.load, audio_triplet.open_index\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'numpy', 'sklearn', 'absl'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_index_is_opened_without_tensorflow(index):
    code = (
        "import sys, audio_triplet\n"
        "assert len(audio_triplet.open_index(sys.argv[1])) > 10\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, index.index.folder], check=True)


# --- models --------------------------------------------------------------------------------------


def test_the_released_model_is_found_in_a_clone_and_in_a_package(monkeypatch, tmp_path):
    clone = pathlib.Path(audio_triplet.__file__).parents[1] / "models" / "debian-sounds"
    assert os.path.samefile(model_files.released_model_path(), clone)
    package = tmp_path / "site-packages" / "audio_triplet"
    monkeypatch.setattr(model_files, "_PACKAGE", str(package))
    with pytest.raises(ExportError, match="not in this installation"):
        model_files.released_model_path()
    for place in (package / "released" / "debian-sounds", package / "released"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "saved_model.pb").write_bytes(b"")
        assert model_files.released_model_path() == str(place)
        shutil.rmtree(package)


def test_the_model_of_something_is_found_where_it_is_now(tmp_path, small_model):
    find, gone = model_files.find_model, str(tmp_path / "gone")
    assert find("given", gone, "0", "an.index") == "given"
    assert find(None, small_model.path, small_model.digest, "an.index") == small_model.path
    released = model_files.released_model_path()
    assert find(None, gone, model_files.digest_of(released), "an.index") == released
    with pytest.raises(ExportError, match=r"an\.index: its model is no longer at .*gone"):
        find(None, gone, small_model.digest, "an.index")
    with pytest.raises(ExportError, match=r"saved_model\.pb"):
        audio_triplet.load(tmp_path)


def test_the_encoder_is_a_keras_model_that_can_be_trained_further(released):
    log_mel = np.random.default_rng(0).normal(size=(5, 96, 64)).astype("f4")
    exported = released.encode(log_mel).numpy()
    encoder = released.encoder
    assert encoder is released.encoder and encoder.output.shape == (None, 128)
    np.testing.assert_allclose(encoder(log_mel, training=False), exported, atol=1e-6)
    encoder.get_layer("embedding").kernel.assign_add(
        np.full(encoder.get_layer("embedding").kernel.shape, 0.1, "f4")
    )
    assert np.abs(encoder(log_mel, training=False) - exported).max() > 1e-3
    np.testing.assert_array_equal(released.encode(log_mel), exported)  # the export stays


def test_an_export_that_does_not_describe_its_network_has_no_keras_model(small_model):
    with pytest.raises(ExportError, match="does not describe the network"):
        _ = small_model.encoder  # its config.json is empty


# --- embedding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.01, 0.5, 0.975, 3.21, 31.0])
def test_embeddings_are_those_of_the_saved_model(small_model, seconds):
    sound = tone(seconds, 700)
    found, expected = small_model.embed(sound, RATE), small_model(sound[None])
    np.testing.assert_allclose(found.patches, expected["patch_embeddings"][0], atol=2e-5)
    np.testing.assert_allclose(found.segment, expected["segment_embedding"][0], atol=2e-5)
    np.testing.assert_allclose(found.timestamps, expected["timestamps"], atol=1e-5)
    count = len(found.patches)
    share = np.sqrt(found.energy) / np.sqrt(found.energy).sum()
    mean = share @ found.patches
    np.testing.assert_allclose(found.description[:24], mean, atol=1e-6)
    np.testing.assert_allclose(found.loud_mean, mean / np.linalg.norm(mean), atol=1e-6)
    if count <= 5:
        expected = np.sqrt(share @ (found.patches - mean) ** 2), found.patches.max(axis=0)
        np.testing.assert_allclose(found.description[24:], np.concatenate(expected), atol=1e-5)
    vectors = found.patches, found.segment, found.loud_mean, found.description, found.timestamps
    assert {values.dtype for values in vectors} == {np.dtype("f4")}
    np.testing.assert_allclose(found.start, 0.96 * np.arange(count))
    np.testing.assert_allclose(found.end, np.minimum(found.start + 0.975, len(sound) / RATE))
    assert found.energy.shape == (count,)


def test_a_file_and_its_samples_have_the_same_embeddings(small_model, tmp_path):
    """At any rate, from any number of channels, as a path, a `Path`, a file or an array."""
    sound = tone(25.3, 500, rate=44100)  # longer than two blocks
    stereo = np.stack([1.5 * sound, 0.5 * sound])
    path = tmp_path / "ü.wav"
    soundfile.write(path, stereo.T, 44100, subtype="FLOAT")
    expected = small_model.embed(str(path)).patches
    np.testing.assert_allclose(
        expected, small_model(audio.load_audio(path)[None])["patch_embeddings"][0], atol=2e-5
    )
    with open(path, "rb") as file:
        for given in ((path,), (file,), (stereo, 44100), (stereo.astype("f8"), 44100.0)):
            np.testing.assert_allclose(small_model.embed(*given).patches, expected, atol=1e-5)
    assert small_model.embed(sound.tolist()[:20000], 44100).patches.shape == (1, 24)


def test_hop(small_model):
    found = small_model.embed(tone(3.0, 500), RATE, hop_seconds=0.25)
    np.testing.assert_allclose(np.diff(found.timestamps), 0.25, atol=1e-6)
    with pytest.raises(ConfigError, match="multiple of"):
        small_model.embed(tone(1.0, 500), RATE, hop_seconds=0.015)


SOUND = tone(1.0, 500)


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (SOUND, None, "has no sample rate; give sample_rate"),
        (SOUND, 0, "sample_rate=0 is no sample rate"),
        (SOUND, 16000.5, "is no sample rate"),
        (SOUND, "fast", "is no sample rate"),
        (SOUND, float("nan"), "is no sample rate"),
        (SOUND[:0], RATE, "is empty"),
        (np.zeros((2, 0), "f4"), RATE, "is empty"),
        (np.float32(0.5), RATE, "has 0 axes"),
        (np.zeros((1, 2, 99), "f4"), RATE, "has 3 axes"),
        ((SOUND * 30000).astype("i2"), RATE, "divide 16-bit samples by 32768"),
        (SOUND > 0, RATE, "holds bool"),
        (SOUND.astype("c8"), RATE, "holds complex64"),
        (np.array(["a"]), RATE, "give a path, or floats"),
        (None, RATE, "holds object"),
        ([SOUND, SOUND[:9]], RATE, "is no array"),
        (np.where(np.arange(len(SOUND)) == 7, np.nan, SOUND), RATE, "not finite"),
        (SOUND * 1e12, RATE, "beyond 1e10"),
        (np.zeros((16000, 2), "f4"), RATE, r"is it turned round\? Then give sound\.T"),
        ("/nowhere/a.wav", None, "/nowhere/a.wav"),
        (pathlib.Path("/nowhere/a.wav"), RATE, "states its own sample rate; leave sample_rate out"),
    ],
)
def test_what_is_no_sound_is_named_in_one_line(small_model, sound, rate, message):
    with pytest.raises(AudioError, match=message) as raised:
        small_model.embed(sound, rate)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("part", [(-1, None), (np.nan, None), (2, 2), (3, 1)])
def test_a_part_that_there_is_not(part):
    with pytest.raises(AudioError, match="has no part from"):
        sounds.open_sound(SOUND, RATE, *part)
    with pytest.raises(AudioError, match="no sound at 5 s"):
        sounds.open_sound(SOUND, RATE, 5.0)


# --- searching -----------------------------------------------------------------------------------


def test_an_index_is_built_and_asked(index, folder, small_model):
    assert index.index.files == 6
    path = folder / "low" / "1.wav"
    hits = index.find(path, top=4)
    assert len(hits) == 4 and str(path) not in {hit.path for hit in hits}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert hits[0].labels == ("low",) and hits[0].start_seconds < hits[0].end_seconds
    own = index.find(path, top=1, exclude_own=False, start_seconds=0.96, end_seconds=1.95)
    assert (own[0].path, own[0].start_seconds) == (str(path), 0.96) and own[0].score > 0.9999
    # An array is asked for as its file is, but it has no recording to be left out.
    sound, rate = soundfile.read(path, dtype="float32")
    same = index.find(sound, sample_rate=rate, top=4)
    assert same == index.find(path, top=4, exclude_own=False)
    part = index.find(sound, sample_rate=rate, top=1, start_seconds=0.96, end_seconds=1.95)
    assert part[0].path == own[0].path and part[0].score == pytest.approx(own[0].score, abs=1e-5)
    away = index.find(path, top=4, unlike=[folder / "low" / "0.wav"])
    assert len(away) == 4 and away != hits
    alone = {hit.path for hit in index.find(path, top=9, per_recording=1)}
    assert len(alone) == 5


def test_folders_are_no_labels_unless_that_is_said(folder, small_model, tmp_path):
    """As with `audio-triplet index`."""
    index = audio_triplet.build_index(tmp_path / "an.index", folder, small_model)
    assert {hit.labels for hit in index.find(folder / "low" / "1.wav", top=9)} == {()}


def test_an_index_grows_and_is_opened_again(folder, small_model, tmp_path):
    files = [folder / "low" / "0.wav", folder / "high" / "0.wav"]
    first = audio_triplet.build_index(tmp_path / "an.index", files[:1], small_model.path)
    assert first.index.files == 1
    audio_triplet.build_index(str(tmp_path / "an.index"), files)  # its model is known by now
    opened = audio_triplet.open_index(tmp_path / "an.index")
    assert opened.index.files == 2 and opened.model.digest == small_model.digest
    assert opened.find(files[0], top=1)[0].path == str(files[1])
    assert audio_triplet.build_index(tmp_path / "an.index", files[0]).index.files == 2


def test_what_cannot_be_indexed_or_asked_is_named(index, folder, small_model, tmp_path):
    with pytest.raises(CorpusError, match="no sound given"):
        audio_triplet.build_index(tmp_path / "a", [], small_model)
    with pytest.raises(ConfigError, match="labels='files' is none of none, folders"):
        audio_triplet.build_index(tmp_path / "a", folder, small_model, labels="files")
    with pytest.raises(CorpusError, match="broken"):
        audio_triplet.build_index(tmp_path / "a", folder / "broken.ogg", small_model)
    with pytest.raises(SearchError, match="holds no index"):
        audio_triplet.open_index(tmp_path / "none")
    other = str(tmp_path / "other")
    saved_model.export(models.build_encoder(width=0.0625, embedding_size=24, seed=9), other, {})
    with pytest.raises(SearchError, match="cannot be compared"):
        audio_triplet.open_index(index.index.folder, other).find(folder / "low" / "0.wav")
    with pytest.raises(AudioError, match="the array: is silent"):
        index.find(np.zeros(RATE, "f4"), sample_rate=RATE)
    with pytest.raises(AudioError, match=r"0\.wav: no sound at 50 s"):
        index.find(folder / "low" / "0.wav", start_seconds=50)
    with pytest.raises(SearchError, match="top must be at least 1"):
        index.find(folder / "low" / "0.wav", top=0)
