"""synthetic: sounds are sound, and the same again; folders are filled, continued and kept."""

import itertools
import resource
import signal

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
@given(st.integers(0, 2**31), st.integers(0, 10**6))
def test_a_recording_is_sound_of_a_few_seconds(seed, number):
    samples = recording.render(seed, number)
    assert samples.dtype == np.float32 and 2 * RATE <= len(samples) <= 10 * RATE
    assert np.isfinite(samples).all() and 0.05 < np.abs(samples).max() < 1


def test_the_same_bits_again_and_others_for_another_number_or_seed():
    first = recording.render(0, 3)
    assert np.array_equal(first, recording.render(0, 3))
    for other in (recording.render(0, 4), recording.render(1, 3)):
        assert len(first) != len(other) or not np.array_equal(first, other)


def test_halves_of_a_recording_are_nearer_than_recordings():
    halves = [np.array_split(recording.render(0, number), 2) for number in range(40)]
    levels = [[_levels(half) for half in pair] for pair in halves]
    own = [np.abs(a - b).mean() for a, b in levels]
    other = [np.abs(a - c).mean() for (a, _), (_, c) in itertools.pairwise(levels)]
    assert np.median(own) < 0.5 * np.median(other)


def test_parameters_fill_their_ranges():
    p = Parameters(0, 0)
    drawn = np.array([p.uniform(-2, 6) for _ in range(4000)])
    logarithms = np.log([p.log_uniform(np.exp(-2), np.exp(6)) for _ in range(4000)])
    for values in (drawn, logarithms):
        counts, _ = np.histogram(values, 8, (-2, 6))
        assert counts.sum() == 4000 and counts.min() > 400  # 500 each, if uniform
    assert {p.choose("a", "b") for _ in range(50)} == {"a", "b"}
    assert {p.count(1, 3) for _ in range(50)} == {1, 2, 3}


@pytest.mark.parametrize("kind", sorted(set(KINDS), key=lambda kind: kind.__name__))
def test_each_kind_of_source_sounds(kind):
    for number in range(6):
        p = Parameters(1, number)
        x = kind(p).render(np.random.default_rng(number), 2 * RATE)
        assert x.shape == (2 * RATE,) and np.isfinite(x).all() and np.abs(x).max() > 0


def test_noise_has_its_colour():
    log_hz, gains = np.log([40.0, 900.0, 1100.0, 8000.0]), np.array([-60.0, 0.0, 0.0, -30.0])
    noise = Colour(log_hz, gains).noise(np.random.default_rng(0), 8 * RATE)
    power = np.abs(np.fft.rfft(noise)) ** 2  # eight bins a hertz
    at = np.array([200, 500, 1000, 3000, 6000])
    heard = 10 * np.log10([power[8 * hz - 80 : 8 * hz + 80].mean() for hz in at])
    np.testing.assert_allclose(heard - heard[2], np.interp(np.log(at), log_hz, gains), atol=1.5)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, rel=1e-6)


def test_convolution_is_numpys():
    rng = np.random.default_rng(0)
    x, response = rng.standard_normal(1000), rng.standard_normal(77)
    np.testing.assert_allclose(convolve(x, response), np.convolve(x, response)[:1000], atol=1e-9)


def test_a_folder_is_filled_continued_and_read(tmp_path):
    folder = tmp_path / "syn"
    made = load_corpus(f"synthetic:{folder}?recordings=3")
    assert made.recordings == len(made) == 3
    assert set(made.frame["kind"]) == {"synthetic"} and made.classes == ()
    samples, rate = soundfile.read(made.frame["path"][2], dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, recording.render(0, 2), atol=1 / 32767)
    kept = folder / "audio" / "000002.flac"
    before = kept.stat().st_mtime_ns
    (folder / "audio" / "000000.flac").unlink()  # as after a run that was stopped
    more = load_corpus(f"synthetic:{folder}?recordings=4")
    assert more.recordings == 4 and len(list((folder / "audio").iterdir())) == 4
    assert kept.stat().st_mtime_ns == before
    assert load_corpus(f"synthetic:{folder}").frame.equals(more.frame)
    assert load_corpus(f"synthetic:{folder}?recordings=3").frame.equals(made.frame)


def test_a_folder_of_other_things_or_another_seed_is_refused(tmp_path):
    (tmp_path / "holiday.txt").write_text("")
    with pytest.raises(CorpusError, match=r"other files \(holiday.txt, …\)"):
        corpus.make(str(tmp_path), 1)
    corpus.make(str(tmp_path / "new"), 1, seed=4)
    with pytest.raises(CorpusError, match="holds sounds of seed 4; name an empty folder"):
        corpus.make(str(tmp_path / "new"), 1, seed=5)
    assert corpus.make(str(tmp_path / "new"), 1).recordings == 1


def test_a_full_disk_is_told_with_what_is_needed(tmp_path):
    """A limit on the size of files stops FLAC as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        with pytest.raises(CorpusError, match="cannot be written .*space for 0.8 GB"):
            corpus.make(str(tmp_path / "new"), 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("location", ["", "x?recordings=0", "x?recordings=some"])
def test_a_wrong_location_says_what_to_write(location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="write synthetic:DIR"):
        load_corpus(f"synthetic:{location}")
