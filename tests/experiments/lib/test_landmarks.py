"""Sounds that share a recording are found at their offset; those that are only alike are not."""

import numpy as np
import pytest
import soundfile

from experiments.lib import landmarks
from experiments.lib.landmarks import RATE


def notes(seed, seconds):
    """Decaying notes at random moments in noise: float64[samples]."""
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 0.003, round(seconds * RATE))
    time = np.arange(RATE // 2) / RATE
    for begin in rng.uniform(0, seconds - 0.6, round(8 * seconds)):
        note = np.sin(2 * np.pi * rng.uniform(200, 7000) * time) * np.exp(-8 * time)
        at = round(begin * RATE)
        sound[at : at + len(note)] += rng.uniform(0.05, 0.2) * note
    return sound


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Two recordings; a part of the first, quieter, through Vorbis; the second with another one."""
    one, two = notes(1, 5.0), notes(2, 5.0)
    path = tmp_path_factory.mktemp("sounds") / "part.ogg"
    part = -0.3 * np.concatenate([np.zeros(1234), one[2 * RATE : 4 * RATE]])
    soundfile.write(path, part, RATE)
    decoded = soundfile.read(path)[0]
    return [one, two, decoded, two + 0.7 * notes(3, 5.0)]


def test_copies_are_found_at_their_offset(sounds):
    marks = [landmarks.landmarks(sound) for sound in sounds]
    found = {(pair.first, pair.second): pair for pair in landmarks.candidates(marks)}
    assert set(found) == {(0, 2), (1, 3)}
    # The part begins after 1,234 samples of silence, and in the recording after two seconds.
    assert found[0, 2].offset_seconds == pytest.approx(2 - 1234 / RATE, abs=0.04)
    assert found[1, 3].offset_seconds == pytest.approx(0, abs=0.04)
    (offset, part), (_, mixed) = (
        landmarks.aligned(sounds[pair.first], sounds[pair.second], pair.offset_seconds)
        for pair in (found[0, 2], found[1, 3])
    )
    assert offset == 2 - 1234 / RATE
    assert part > 0.9
    assert 0.5 < mixed < part
    assert landmarks.aligned(sounds[0], sounds[1], 0.5)[1] < 0.2


def test_pairs_of_two_corpora_have_one_of_each(sounds):
    marks = [landmarks.landmarks(sounds[n]) for n in (0, 2, 1, 3)]
    pairs = landmarks.candidates(marks, others_from=3)
    assert [(pair.first, pair.second) for pair in pairs] == [(2, 3)]
    assert landmarks.candidates(marks, least_votes=10_000) == []


def test_sounds_without_landmarks_have_no_copies():
    silent = [np.zeros(0), np.zeros(50), np.zeros(RATE)]
    marks = [landmarks.landmarks(sound) for sound in silent]
    assert landmarks.candidates([np.zeros((0, 2), np.int64)] * 2) == []
    assert landmarks.candidates(marks, least_votes=1) == []
    assert landmarks.aligned(silent[2], silent[2], 0.0) == (0.0, 0.0)
    assert landmarks.aligned(np.ones(RATE), np.ones(RATE), 0.97) == (0.97, 0.0)  # 30 ms shared
