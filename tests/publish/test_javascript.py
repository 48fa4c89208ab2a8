"""The page's own front end, resampling and search, by Node, against NumPy's, soxr's and ours."""

import datetime
import io

import numpy as np
import pytest
import soxr
from PIL import Image

from audio_triplet import front_end
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.embeddings.loudness import ENERGY_POWER
from audio_triplet.publish import coarse, packing
from audio_triplet.publish.archive import FINE_STEPS, eight_bits, further_bits
from audio_triplet.search import events, question, words
from audio_triplet.search.events import best_events
from audio_triplet.search.likeness import Likeness
from audio_triplet.search.question import Patches, Question
from audio_triplet.search.scanning import scan
from audio_triplet.web import pictures
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


@pytest.mark.parametrize("seconds", [0.02, 0.97, 2.345])
def test_pictures_are_those_of_other_pages(tmp_path, seconds):
    waveform = tone(seconds, 700, 1) * np.linspace(0, 1, round(seconds * RATE), dtype="f4")
    code = """
    const made = it.levelsOf(sound), palette = Array.from({length: 96}, (_, n) => n);
    return [made.width, ...it.pixels(made, palette)];"""
    found = node.run(tmp_path, "picture.js", code, sound=waveform)
    log_mel = pictures.log_mel_of(waveform)
    with Image.open(io.BytesIO(pictures.picture_png(log_mel, 0.0))) as image:
        expected = np.asarray(image)  # [64, width], levels
    assert found[0] == expected.shape[1]
    shown = found[1:].reshape(*expected.shape, 4)
    # The palette's first colour of a level is three times its number. Rounding may go either way.
    assert np.abs(shown[..., 0] / 3 - expected).max() <= 1
    assert (shown[..., 0] / 3 == expected).mean() > 0.99


_NAMES = (
    "station-3/20240612_053000.wav",
    "station-3/sub/a[1].wav",
    "Station-4/x.wav",
    "b.flac",
    "odd ü\n犬.wav",
)


_PATTERNS = ("station-3/*", "*.wav", "sub/*", "x.wav", "?.flac", "*[0-9]*", "*[!0-9].wav")
_PATTERNS += ("a[[]1].wav", "*犬*", "*.(wav)", "Station-4/x.wav", "s*")


@pytest.mark.parametrize("pattern", _PATTERNS)
def test_files_are_chosen_as_search_chooses_them(tmp_path, pattern):
    # A plain word is looked for anywhere, as in the window; here only patterns count.
    wanted = SoundFilter.of(paths=[pattern])
    expected = [wanted.takes_path(f"/archive/{name}") for name in _NAMES]
    code = "return given.names.map((name) => it.globbed(given.pattern).test(name) ? 1 : 0);"
    given = {"names": _NAMES, "pattern": pattern}
    found = node.run(tmp_path, "choosing.js", code, given)
    if not any(letter in pattern for letter in "*?["):
        expected = [pattern in name for name in _NAMES]
    assert found.astype(bool).tolist() == expected


@pytest.mark.parametrize("hours", ["4-7", "4:30-7, 22-2", "22-4", "0-24", "23:59-0:01"])
def test_hours_are_those_of_search(tmp_path, hours):
    wanted = SoundFilter.of(hours=hours.split(", "))
    begins = ["2024-06-12T04:29:59.500", "2024-06-12T23:58:30.000+02:00", "2024-06-12T00:00:00"]
    starts = [0.0, 0.96, 60.48, 31.2, 86_400.0]
    cases = [(begin, start) for begin in [*begins, ""] for start in starts]
    expected = [
        wanted.takes_time(
            datetime.datetime.fromisoformat(begin) + datetime.timedelta(seconds=start)
            if begin
            else None
        )
        for begin, start in cases
    ]
    code = """
    const archive = {
      owners: given.cases.map((_, n) => n),
      spans: given.cases.flatMap(([, start]) => [start, start + 1]),
      info: {
        files: given.cases.map(([begin]) => ({name: "a", recorded_at: begin})),
        segments: given.cases.map((_, n) => [n, n, []]),
      },
    };
    return it.kept(archive, {hours: given.hours});"""
    found = node.run(tmp_path, "choosing.js", code, {"cases": cases, "hours": hours})
    assert found.astype(bool).tolist() == expected


def test_hours_that_are_none_are_refused(tmp_path):
    code = """
    return given.map((text) => { try { it.ranges(text); return 0; } catch { return 1; } });"""
    wrong = ["4", "7-7", "25-26", "4:60-7", "a-b", "4-25"]
    assert node.run(tmp_path, "choosing.js", code, wrong).tolist() == [1] * len(wrong)


def test_words_are_matched_as_search_matches_them(tmp_path):
    known = ["dog_bark", "Dog Barks", "glass", "berries", "boxes", "church bell", "Kisses"]
    asked = ["dog bark", "DOG-BARKS", "glasses", "berry", "box", "church bells", "kiss", "cat", "s"]
    expected = [[known.index(word) for word in words.matching(one, known)] for one in asked]
    code = """
    return given.asked.flatMap((one) =>
      [-1, ...it.matching(one, given.known).map((word) => given.known.indexOf(word))]);"""
    found = node.run(tmp_path, "choosing.js", code, {"known": known, "asked": asked})
    assert found.tolist() == [n for numbers in expected for n in (-1, *numbers)]


def test_a_long_recording_is_fetched_only_where_it_may_answer(tmp_path):
    """2,000 vectors, two of which are the question's: their surroundings are fetched, no more."""
    random = np.random.default_rng(3)
    dim, count = 16, 2000
    vectors = random.normal(size=(count, dim)).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = vectors[[700, 1500]]
    info = {
        "dim": dim,
        "hop_seconds": 0.96,
        "leaning": 0.4,
        "joined_within": 0.1,
        "energy_power": 0.5,
    }
    info |= {"per_recording": 3, "files": [{"name": "long"}], "segments": [[0, 0, []]]}
    code = """
    const fetched = [], dim = given.dim;
    const scorer = ([row]) => (first, last) => Float32Array.from({length: last - first}, (_, n) =>
      row.reduce((sum, value, k) => sum + value * vectors[(first + n) * dim + k], 0));
    const of = (rows) => async (first, last) => {
      fetched.push(last - first);
      return scorer(rows)(first, last);
    };
    const looks = (rows) => [{most: 200, atOnce: 32, margin: 0.1, of: of(rows)}];
    const store = {isWhole: false, scorer, looks};
    const spans = Float64Array.from({length: 2 * given.count}, (_, n) => 0.96 * (n >> 1) + (n & 1));
    const archive = new it.Archive(given, store, spans, new Uint32Array(given.count));
    const found = [];
    for (const first of [0, dim]) {
      const example = {vectors: [query.slice(first, first + dim)], starts: [0]};
      const [hit] = await archive.ask([example], {top: 1});
      found.push(hit.score, hit.start_seconds);
    }
    return [...found, fetched.reduce((a, b) => a + b)];"""
    given = info | {"count": count}
    found = node.run(tmp_path, "asking.js", code, given, vectors=vectors, query=query)
    np.testing.assert_allclose(found[:4], [1, 672.0, 1, 1440.0], rtol=1e-4)
    assert found[4] < 200


def test_packed_files_are_read_as_they_were(tmp_path):
    spans = np.random.default_rng(0).normal(size=(7, 2))
    (tmp_path / "spans.gz").write_bytes(packing.planes(spans))
    code = """
    const packed = fs.readFileSync("spans.gz");
    const whole = (bytes) => it.unpacked(Uint8Array.from(bytes).buffer);
    const unpacked = await whole(packed), twice = await whole(new Uint8Array(unpacked));
    return [...new Float64Array(it.woven(unpacked, 8)), ...new Float64Array(it.woven(twice, 8))];"""
    found = node.run(tmp_path, "loading.js", code)
    np.testing.assert_array_equal(found, np.tile(spans.ravel(), 2).astype("f4"))


class _Part:
    """A part of an archive, as `scanning.Vectors` wants it."""

    def __init__(self, vectors, owners, starts):
        self.vectors, self.owners = vectors, owners
        self.spans = np.zeros(len(owners), [("start", "f8"), ("end", "f8")])
        self.spans["start"], self.spans["end"] = starts, starts + 0.975

    def __len__(self):
        return len(self.owners)


@pytest.mark.parametrize("form", ["whole", "parts"])
@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("lengths", [(5,), (1,), (4,), (3, 1, 2), (70,)])
def test_events_are_those_of_search(tmp_path, lengths, share, form):
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
    examples, loudness = [], []
    for number in lengths:
        vectors = random.normal(size=(number, dim)).astype("f4")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        energy = None if number == 2 else random.lognormal(size=number)
        loudness.append(np.full(number, -1.0) if energy is None else energy)
        examples.append(Patches(vectors, 0.48 * np.arange(number), energy=energy))
    asked = Question.of(Likeness.plain(dim), examples)
    ones = [np.ones(len(part), "f4")]
    width = asked.width(0.96)
    keep = random.random(len(part)) < share
    stretches, _ = scan(asked, [part], ones, [keep], range(1), width, 0, 1)
    every = best_events(asked, [part], ones, [keep], stretches, 0.96, 10)
    expected = events.limited(every, 10, None, lambda event: int(owners[event.first]) // 2)
    small = coarse.Coarse.of(raw)
    info = {
        "dim": dim,
        "form": form,
        "block": 7,
        "part": 8,
        "pieces": coarse.PIECES,
        "cells": coarse.CELLS,
        "vectors": len(owners),
        "fine_steps": FINE_STEPS,
        "hop_seconds": 0.96,
        "leaning": question.LEANING,
        "energy_power": ENERGY_POWER,
        "joined_within": events.JOINED_WITHIN,
        "per_recording": events.USUAL_PER_RECORDING,
        "files": [{"name": str(number)} for number in range(30)],
        "segments": [[number, number // 2, []] for number in range(30)],
        "lengths": lengths,
        "most_patches": question.MOST_PATCHES,
    }
    code = """
    const dim = given.dim, size = given.block * dim;
    const block = (number) => Promise.resolve(
      Int8Array.from(fine.subarray(number * size, (number + 1) * size)).buffer);
    const {Whole, Parts} = await import("./publish/stores.js");
    const {Products} = await import("./publish/products.js");
    const part = (number) => {
      const from = number * given.part, to = Math.min(codes.length / dim, from + given.part);
      const found = new Uint8Array(2 * (to - from) * dim + 4 * (to - from));
      found.set(Int8Array.from(codes.subarray(from * dim, to * dim)), 0);
      found.set(Int8Array.from(fine.subarray(from * dim, to * dim)), (to - from) * dim);
      found.set(new Uint8Array(scales.slice(from, to).buffer), 2 * (to - from) * dim);
      return Promise.resolve(found.buffer);
    };
    const store = given.form === "whole"
      ? new Whole(given, Int8Array.from(codes), scales, block)
      : new Parts(
        given, {landmarks: new Products(Int8Array.from(landmarks), landmarkScales, dim),
          cells: Uint16Array.from(nearest), centres}, (number) => {
          const from = number * given.block * given.pieces;
          return Promise.resolve(Uint8Array.from(
            pieces.subarray(from, from + given.block * given.pieces)).buffer);
        }, part);
    const archive = new it.Archive(
      given, store, Float64Array.from(spans), Uint32Array.from(owners));
    let at = 0;
    const examples = given.lengths.map((length) => {
      const every = Array.from({length}, (_, n) => n);
      const chosen = it.thinned(every, given.most_patches);
      const rowOf = (n) => queries.subarray((at + n) * given.dim, (at + n + 1) * given.dim);
      const vectors = chosen.map(rowOf);
      const energies = chosen.map((n) => loudness[at + n]);
      at += length;
      const starts = chosen.map((n) => 0.48 * n);
      return energies[0] < 0 ? {vectors, starts} : {vectors, starts, energies};
    });
    return (await archive.ask(examples, {top: 10, keep})).flatMap(
      (hit) => [hit.score, hit.file, hit.start_seconds, hit.end_seconds]);
    """
    found = node.run(
        tmp_path,
        "asking.js",
        code,
        info,
        codes=codes,
        scales=scales,
        pieces=small.codes,
        centres=small.centres,
        landmarks=small.landmarks,
        landmarkScales=small.scales,
        nearest=small.nearest,
        fine=further_bits(raw, codes, scales),
        spans=np.stack([part.spans["start"], part.spans["end"]], axis=1),
        owners=owners,
        keep=keep,
        queries=np.concatenate([example.vectors for example in examples]),
        loudness=np.concatenate(loudness),
    ).reshape(-1, 4)
    wanted = [
        (e.score, owners[e.first], part.spans["start"][e.first], part.spans["end"][e.last])
        for e in expected
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
