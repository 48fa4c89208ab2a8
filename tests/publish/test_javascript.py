"""The page's own front end, resampling and search, by Node, against NumPy's, soxr's and ours."""

import numpy as np
import pytest
import soxr

from audio_triplet import front_end
from audio_triplet.publish.archive import FINE_STEPS, eight_bits, further_bits
from audio_triplet.search import events, question
from audio_triplet.search.events import best_events
from audio_triplet.search.likeness import Likeness
from audio_triplet.search.question import Patches, Question
from audio_triplet.search.scanning import scan
from tests.conftest import RATE, tone
from tests.publish import node


@pytest.mark.parametrize("seconds", [0.01, 0.5, 0.975, 3.1])
def test_mel_energies_are_numpys(tmp_path, seconds):
    random = np.random.default_rng(0)
    count = round(seconds * RATE)
    waveform = tone(seconds, 700, 1) + 1e-3 * random.normal(size=count) * np.linspace(0, 1, count)
    waveform = waveform.astype("f4")
    expected = front_end.mel_energies_at_once(waveform).ravel()
    found = node.run(tmp_path, "front_end.js", "return it.melEnergies(sound);", sound=waveform)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_patches_begin_where_numpys_do(tmp_path):
    waveform = tone(3.0, 700, 1)
    code = (
        "return it.patches(sound, 48).flatMap((patch) => [patch.start, ...it.logMel(patch.mel)]);"
    )
    found = node.run(tmp_path, "front_end.js", code, sound=waveform).reshape(-1, 1 + 96 * 64)
    mel = front_end.log_mel_numpy(front_end.mel_energies_at_once(waveform))
    np.testing.assert_allclose(found[:, 0], [0, 0.48, 0.96, 1.44, 1.92], atol=1e-6)
    for number, patch in enumerate(found[:, 1:]):
        first = 48 * number
        np.testing.assert_allclose(patch, mel[first : first + 96].ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_is_soxrs(tmp_path, rate):
    sound = (np.random.default_rng(1).normal(size=rate) * 0.2).astype("f4")
    expected = soxr.resample(sound, rate, RATE, quality="HQ")
    code = "return it.resampled(sound, given, 16000);"
    found = node.run(tmp_path, "resampling.js", code, rate, sound=sound)
    assert len(found) == len(expected) == RATE
    # Noise has as much at the filters' edges as anywhere, where they differ; below them by -66 dB.
    inside = slice(200, -200)
    off = np.abs(np.fft.rfft((found - expected)[inside] * np.hanning(RATE - 400)))
    level = np.abs(np.fft.rfft(expected[inside] * np.hanning(RATE - 400)))
    edge = round(0.90 * min(rate, RATE) / RATE * len(off))
    assert np.sqrt((off[:edge] ** 2).mean() / (level[:edge] ** 2).mean()) < 5e-4


def test_channels_that_are_silent_do_not_count(tmp_path):
    left = tone(0.5, 700, 1)
    code = "return it.mixedDown([left, new Float32Array(left.length)]);"
    found = node.run(tmp_path, "resampling.js", code, left=left)
    np.testing.assert_array_equal(found, left)


class _Part:
    """A part of an archive, as `scanning.Vectors` wants it."""

    def __init__(self, vectors, owners, starts):
        self.vectors, self.owners = vectors, owners
        self.spans = np.zeros(len(owners), [("start", "f8"), ("end", "f8")])
        self.spans["start"], self.spans["end"] = starts, starts + 0.975

    def __len__(self):
        return len(self.owners)


@pytest.mark.parametrize("lengths", [(5,), (1,), (3, 1, 2), (70,)])
def test_events_are_those_of_search(tmp_path, lengths):
    """The same hits in the same order, and scores that 16 bits allow."""
    random = np.random.default_rng(len(lengths) + lengths[0])
    dim, owners = 16, np.repeat(np.arange(30), random.integers(1, 12, 30))
    slots = np.concatenate([np.arange(n) for n in np.bincount(owners)])
    raw = random.normal(size=(len(owners), dim)).astype("f4")
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    codes, scales = eight_bits(raw)
    # A gap in time, as silence leaves it.
    starts = 0.96 * (slots + 3 * (slots > 4))
    part = _Part(raw, owners, starts)
    examples = []
    for number in lengths:
        vectors = random.normal(size=(number, dim)).astype("f4")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        examples.append(Patches(vectors, 0.48 * np.arange(number)))
    asked = Question.of(Likeness.plain(dim), examples)
    ones = [np.ones(len(part), "f4")]
    width = asked.width(0.96)
    stretches, _ = scan(asked, [part], ones, [None], range(1), width, 0, 1)
    every = best_events(asked, [part], ones, [None], stretches, 0.96, 10)
    expected = events.limited(every, 10, None, lambda event: int(owners[event.first]) // 2)
    info = {
        "dim": dim,
        "block": 7,
        "fine_steps": FINE_STEPS,
        "hop_seconds": 0.96,
        "leaning": question.LEANING,
        "joined_within": events.JOINED_WITHIN,
        "per_recording": events.USUAL_PER_RECORDING,
        "files": [{"name": str(number)} for number in range(30)],
        "segments": [[number, number // 2, []] for number in range(30)],
        "lengths": lengths,
        "most_patches": question.MOST_PATCHES,
    }
    code = """
    const dim = given.dim, block = (number) => Promise.resolve(
      fine.subarray(number * given.block * dim, (number + 1) * given.block * dim));
    const archive = new it.Archive(given, Int8Array.from(codes), scales, Float64Array.from(spans),
      Uint32Array.from(owners), block);
    let at = 0;
    const examples = given.lengths.map((length) => {
      const every = Array.from({length}, (_, n) => n);
      const chosen = it.thinned(every, given.most_patches);
      const rowOf = (n) => queries.subarray((at + n) * given.dim, (at + n + 1) * given.dim);
      const vectors = chosen.map(rowOf);
      at += length;
      return {vectors, starts: chosen.map((n) => 0.48 * n)};
    });
    return (await archive.ask(examples, {top: 10})).flatMap(
      (hit) => [hit.score, hit.file, hit.start_seconds, hit.end_seconds]);
    """
    found = node.run(
        tmp_path,
        "asking.js",
        code,
        info,
        codes=codes,
        scales=scales,
        fine=further_bits(raw, codes, scales),
        spans=np.stack([part.spans["start"], part.spans["end"]], axis=1),
        owners=owners,
        queries=np.concatenate([example.vectors for example in examples]),
    ).reshape(-1, 4)
    wanted = [
        (e.score, owners[e.first], part.spans["start"][e.first], part.spans["end"][e.last])
        for e in expected
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
