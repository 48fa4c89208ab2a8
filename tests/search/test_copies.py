import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet import audio
from audio_triplet.search import copies
from audio_triplet.search.alignment import align
from audio_triplet.search.copies import Place, find_copies
from tests.conftest import RATE


@given(st.integers(0, 2**31), st.integers(2, 300), st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_equals_the_correlation_at_every_offset(seed, count, more):
    rng = np.random.default_rng(seed)
    sound, within = rng.normal(size=count), rng.normal(size=count + more)
    found = align(sound, within)

    def difference(values):
        return np.concatenate([[0], values[1:] - 0.95 * values[:-1]])

    sound, within = difference(sound), difference(within)
    expected = [
        part @ sound / max(np.linalg.norm(part) * np.linalg.norm(sound), 1e-9)
        for part in np.lib.stride_tricks.sliding_window_view(within, count)
    ]
    best = np.abs(expected).max()
    assert abs(expected[found.offset]) == pytest.approx(best, abs=1e-6)
    assert found.correlation == pytest.approx(best, abs=1e-6)


def test_a_copy_is_found_at_its_sample():
    rng = np.random.default_rng(0)
    within = rng.normal(0, 0.1, 40_000)
    for gain in (1, 0.1, -1):
        found = align(gain * within[12_345:20_000], within)
        assert found.offset == 12_345 and found.correlation > 0.99999
    noisy = within[12_345:20_000] + rng.normal(0, 0.1, 7655)
    assert align(noisy, within).offset == 12_345
    assert align(noisy, within).correlation == pytest.approx(np.sqrt(0.5), abs=0.03)
    # It may lie over the edge, if that is allowed.
    assert align(np.concatenate([np.zeros(50), within[:9000]]), within, 100).offset == -50


def test_silence_and_nothing_have_no_copies():
    noise = np.random.default_rng(0).normal(size=500)
    assert align(np.zeros(100), noise).correlation == 0
    assert align(noise, np.zeros(1000)).correlation == pytest.approx(0, abs=1e-9)
    assert align(noise, noise[:10]).correlation == 0
    quiet = np.concatenate([noise, np.zeros(5000), 1e-9 * noise[::-1]])
    assert align(noise, quiet).offset == 0


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(4).normal(0, 0.1, 30 * RATE).astype(np.float32)


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_copies_in_files(noise, form, tmp_path):
    path = str(tmp_path / f"long.{form}")
    soundfile.write(path, noise, RATE)
    query = noise[round(7.77 * RATE) : round(10.3 * RATE)]
    # As the index would say: a patch at 8.64 s is like the query's at 0.96 s, 90 ms off.
    places = [Place(path, 8.64, 0.96), Place(path, 20.0, 0.0), Place("/nowhere.wav", 1.0, 0.0)]
    [copy] = find_copies(0.5 * query, places, RATE, threads=2)
    assert copy.place == 0 and copy.correlation > (0.75 if form == "mp3" else 0.999)
    assert copy.start_seconds == pytest.approx(7.77, abs=0.03 if form == "mp3" else 1e-3)
    assert copy.end_seconds - copy.start_seconds == pytest.approx(2.53, abs=1e-3)
    assert find_copies(query, [], RATE, 2) == []
    assert find_copies(query[:1], places, RATE, 2) == []


def test_several_copies_and_one_at_the_edge(noise, tmp_path):
    query = noise[: 2 * RATE]
    path = str(tmp_path / "twice.wav")
    twice = np.concatenate([query[RATE // 20 :], noise[10 * RATE : 15 * RATE], 0.2 * query])
    soundfile.write(path, twice, RATE, subtype="FLOAT")
    places = [Place(path, 0.0, 0.0), Place(path, 0.96, 0.96), Place(path, 7.68, 0.48)]
    found = find_copies(query, places, RATE, threads=1)
    assert sorted(round(copy.start_seconds, 2) for copy in found) == [0.0, 6.95]
    assert len(found) == 2


def test_places_of_one_sound_are_read_once(noise, tmp_path, monkeypatch):
    path = str(tmp_path / "long.wav")
    soundfile.write(path, noise, RATE)
    query = noise[5 * RATE : 7 * RATE]
    read = []

    def counted(path, start, seconds, rate):
        read.append((start, seconds))
        return original(path, start, seconds, rate)

    original = audio.read_piece
    monkeypatch.setattr(copies.audio, "read_piece", counted)
    places = [Place(path, start, 0.0) for start in (20.0, 4.8, 5.76, 6.72)]
    [copy] = find_copies(query, places, RATE, threads=1)
    assert copy.place == 1 and copy.start_seconds == pytest.approx(5, abs=1e-3)
    # Two stretches for a piece of the query, one for all of it.
    assert len(read) == 3 and sum(seconds for _, seconds in read) < 13
