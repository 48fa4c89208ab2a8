"""synthetic: takes are alike and not equal, sounds are sound, folders are filled and kept."""

import itertools

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.corpora.registry import load_corpus
from audio_triplet.corpora.synthetic import corpus, recording
from audio_triplet.corpora.synthetic.parameters import Parameters
from audio_triplet.corpora.synthetic.signals import RATE, Colour, convolve
from audio_triplet.corpora.synthetic.sources import KINDS
from audio_triplet.errors import CorpusError


def _levels(samples: np.ndarray) -> np.ndarray:
    """Mean log energy in 24 bands of equal width in octaves."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    edges = np.geomspace(60, RATE / 2, 25) * len(samples) / RATE
    return np.log([power[int(a) : int(b) + 1].sum() + 1e-6 for a, b in itertools.pairwise(edges)])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 3))
def test_a_take_is_sound_of_a_few_seconds(seed, number, take):
    samples = recording.render(seed, number, take, 0.1)
    assert samples.dtype == np.float32 and 2 * RATE <= len(samples) <= 10 * RATE
    assert np.isfinite(samples).all() and 0.05 < np.abs(samples).max() < 1


def test_the_same_bits_again_and_other_bits_for_another_take():
    first = recording.render(0, 3, 0, 0.1)
    assert np.array_equal(first, recording.render(0, 3, 0, 0.1))
    second = recording.render(0, 3, 1, 0.1)
    assert len(first) != len(second) or not np.array_equal(first, second)


def test_takes_of_a_recording_are_nearer_than_recordings():
    levels = [[_levels(recording.render(0, n, take, 0.1)) for take in (0, 1)] for n in range(24)]
    own = [np.abs(a - b).mean() for a, b in levels]
    other = [np.abs(a - c).mean() for (a, _), (_, c) in itertools.pairwise(levels)]
    assert np.median(own) < 0.6 * np.median(other)


def test_without_variation_takes_have_equal_parameters():
    def draws(take, variation):
        p = Parameters(0, 5, take, variation)
        return [p.uniform(0, 1), p.log_uniform(1, 9), *p.normals(3), p.whether(0.5), p.count(1, 9)]

    assert draws(0, 0.0) == draws(1, 0.0)
    still, moved = draws(0, 0.3), draws(1, 0.3)
    assert still[-2:] == moved[-2:]  # structure
    assert not np.allclose(still[:5], moved[:5])


@pytest.mark.parametrize("variation", [0.0, 0.5])
def test_parameters_stay_in_their_ranges_and_fill_them(variation):
    p = Parameters(0, 0, 1, variation)
    drawn = np.array([p.uniform(-2, 6) for _ in range(4000)])
    assert drawn.min() >= -2 and drawn.max() <= 6
    counts, _ = np.histogram(drawn, 8, (-2, 6))
    assert counts.min() > 400  # 500 each, if uniform


@pytest.mark.parametrize("kind", sorted(set(KINDS), key=lambda kind: kind.__name__))
def test_each_kind_of_source_sounds(kind):
    for number in range(6):
        p = Parameters(1, number, 0, 0.1)
        x = kind(p).render(np.random.default_rng(number), 2 * RATE)
        assert x.shape == (2 * RATE,) and np.isfinite(x).all() and np.abs(x).max() > 0


def test_noise_has_its_colour():
    colour = Colour(np.log([40.0, 900.0, 1100.0, 8000.0]), np.array([-80.0, 0.0, 0.0, -80.0]))
    power = np.abs(np.fft.rfft(colour.noise(np.random.default_rng(0), RATE))) ** 2
    assert power[700:1400].sum() > 0.99 * power.sum()  # a bin a hertz


def test_convolution_is_numpys():
    rng = np.random.default_rng(0)
    x, response = rng.standard_normal(1000), rng.standard_normal(77)
    np.testing.assert_allclose(convolve(x, response), np.convolve(x, response)[:1000], atol=1e-9)


def test_a_folder_is_filled_continued_and_read(tmp_path):
    folder = tmp_path / "syn"
    made = load_corpus(f"synthetic:{folder}?recordings=2")
    assert made.recordings == 2 and len(made) == 2 * corpus.TAKES
    assert set(made.frame["kind"]) == {"synthetic"} and made.classes == ()
    path = made.frame["path"][3]
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, recording.render(0, 1, 1, corpus.VARIATION), atol=1 / 32767)
    before = folder.joinpath("audio", "000001_1.flac").stat().st_mtime_ns
    folder.joinpath("audio", "000000_0.flac").unlink()  # as after a run that was stopped
    more = load_corpus(f"synthetic:{folder}?recordings=3")
    assert more.recordings == 3 and len(list((folder / "audio").iterdir())) == 6
    assert folder.joinpath("audio", "000001_1.flac").stat().st_mtime_ns == before
    assert load_corpus(f"synthetic:{folder}").frame.equals(more.frame)
    assert load_corpus(f"synthetic:{folder}?recordings=2").frame.equals(made.frame)


def test_a_folder_of_other_things_or_another_seed_is_refused(tmp_path):
    (tmp_path / "holiday.txt").write_text("")
    with pytest.raises(CorpusError, match="other files .holiday.txt, …."):
        corpus.make(str(tmp_path), 1)
    corpus.make(str(tmp_path / "new"), 1, seed=4)
    with pytest.raises(CorpusError, match="seed 4 and variation"):
        corpus.make(str(tmp_path / "new"), 1, seed=5)
    assert corpus.make(str(tmp_path / "new"), 1).recordings == 1


@pytest.mark.parametrize("location", ["", "x?recordings=0", "x?recordings=some"])
def test_a_wrong_location_says_what_to_write(location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="write synthetic:DIR"):
        load_corpus(f"synthetic:{location}")
