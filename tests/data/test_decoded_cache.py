import os

import numpy as np
import pytest
import soundfile

from audio_triplet import audio
from audio_triplet.config import CacheConfig, PipelineConfig, TripletConfig
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import batching, chunks, decoded_cache
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.file_source import FileChunks
from tests.conftest import RATE, tone


def energies(frames, seed=0):
    return np.random.default_rng(seed).uniform(0, 9, (frames, 64)).astype("f4")


@pytest.fixture
def cache(tmp_path):
    return decoded_cache.EnergyCache(str(tmp_path / "cache"), 1.0)


def entries(cache):
    return sorted(
        os.path.join(folder, name) for folder, _, names in os.walk(cache.folder) for name in names
    )


def test_what_is_put_is_got(cache, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"sound")
    path = str(tmp_path / "a.wav")
    names = [cache.name(path, start, "soxr") for start in (0.0, 10.56)]
    assert names[0] != names[1] and cache.get(names[0]) is None
    for name, frames in zip(names, (1056, 1), strict=True):
        cache.put(name, energies(frames))
        np.testing.assert_array_equal(cache.get(name), energies(frames))
    again = decoded_cache.EnergyCache(cache.folder, 1.0)
    np.testing.assert_array_equal(again.get(names[0]), energies(1056))
    assert (cache.hits, cache.misses, again.hits) == (2, 1, 1)


def test_a_name_tells_everything_that_shapes_an_entry(cache, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    os.utime(path, ns=(5, 5))
    first = cache.name(str(path), 0.0, "soxr")
    others = [cache.name(str(path), 1.0, "soxr"), cache.name(str(path), 0.0, "resampy")]
    path.write_bytes(b"other sound")
    os.utime(path, ns=(5, 5))
    others.append(cache.name(str(path), 0.0, "soxr"))  # another size
    path.write_bytes(b"sound")
    os.utime(path, ns=(6, 6))
    others.append(cache.name(str(path), 0.0, "soxr"))  # another date
    os.utime(path, ns=(5, 5))
    assert cache.name(str(path), 0.0, "soxr") == first
    assert len({first, *others}) == 5
    assert cache.name(str(tmp_path / "missing.wav"), 0.0) is None


@pytest.mark.parametrize("frames", [1, 50])
def test_damaged_entries_are_made_again(cache, frames, caplog):
    name = "ab" + "0" * 30
    cache.put(name, energies(frames))
    [path] = entries(cache)
    with open(path, "rb") as file:
        whole = file.read()
    damages = [whole[:cut] for cut in (0, 5, 15, 16, len(whole) - 1)] + [whole + b"\0"]
    damages += [
        whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        for place in (0, 4, 8, 12, 16, len(whole) - 1)
    ]
    for damage in damages:
        with open(path, "wb") as file:
            file.write(damage)
        caplog.clear()
        assert cache.get(name) is None and "is damaged" in caplog.text
        cache.put(name, energies(frames))
        np.testing.assert_array_equal(cache.get(name), energies(frames))


def test_it_is_bounded_and_says_so_once(tmp_path, caplog):
    entry = 16 + 4 * 64 * 100
    cache = decoded_cache.EnergyCache(str(tmp_path), 3.5 * entry / 1e9)
    names = [f"{number:02d}" + "f" * 30 for number in range(6)]
    for name in names:
        cache.put(name, energies(100))
    assert [cache.get(name) is not None for name in names] == [True] * 3 + [False] * 3
    assert sum(map(os.path.getsize, entries(cache))) == 3 * entry
    assert caplog.text.count("is full") == 1
    full = decoded_cache.EnergyCache(str(tmp_path), 3.5 * entry / 1e9)
    full.put(names[5], energies(100))  # what is there already counts
    assert full.get(names[5]) is None


def test_a_full_disk_stops_nothing(cache, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded_cache.os, "replace", refuse)
    for number in range(3):
        cache.put(f"{number:02d}", energies(4))
    assert not entries(cache) and caplog.text.count("cannot be written to") == 1


@pytest.mark.slow
def test_second_epoch_decodes_nothing_and_hears_the_same(tmp_path, monkeypatch):
    (tmp_path / "sound").mkdir()
    for number in range(5):
        sound = tone(1.5 + number, 300 + 99 * number, number)
        soundfile.write(tmp_path / "sound" / f"{number}.flac", sound, RATE)
    (tmp_path / "sound" / "nan.wav").touch()
    soundfile.write(tmp_path / "sound" / "nan.wav", np.full(RATE, np.nan, "f4"), RATE, "FLOAT")
    decoded = []
    read_piece = audio.read_piece
    monkeypatch.setattr(
        audio, "read_piece", lambda *a, **k: decoded.append(a[0]) or read_piece(*a, **k)
    )

    def batches(cache):
        bad = BadFiles()
        table = chunks.scan(load_corpus(f"folders:{tmp_path / 'sound'}"), bad)
        source = FileChunks(table, bad, cache=cache)
        made = batching.triplet_batches(source, TripletConfig(), PipelineConfig(batch_size=6))
        return list(made.take(3).as_numpy_iterator())

    folder = str(tmp_path / "cache")
    plain = batches(None)
    first = batches(decoded_cache.EnergyCache(folder, 1.0))
    decoded.clear()
    cache = decoded_cache.EnergyCache(folder, 1.0)
    second = batches(cache)
    assert {os.path.basename(path) for path in decoded} == {"nan.wav"}  # nothing of it to keep
    assert cache.hits >= 15
    for made in (first, second):
        for one, other in zip(plain, made, strict=True):
            for name in one:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    # A file that was replaced is heard anew.
    soundfile.write(tmp_path / "sound" / "0.flac", tone(3.0, 4000, 9), RATE)
    decoded.clear()
    batches(decoded_cache.EnergyCache(folder, 1.0))
    assert "0.flac" in {os.path.basename(path) for path in decoded}


def test_configuration():
    with pytest.raises(ValueError, match="cache_gigabytes"):
        CacheConfig(cache_gigabytes=-1)
