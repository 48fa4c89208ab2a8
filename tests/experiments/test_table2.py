import dataclasses
import json
import os

import numpy as np
import pytest

from experiments import table2
from experiments.lib.kept import KeptScores
from experiments.lib.table2 import cells
from experiments.lib.table2 import rows as table2_rows
from experiments.lib.table2.scratch_config import ScratchConfig
from experiments.lib.table2.table import Table2Options, make_table
from tests.conftest import flags_given
from tests.experiments.small import small_settings


def cell(name, count, draw, cls_map, accuracy=0.5, seed=None, **more):
    return {
        "name": name,
        "seed": seed,
        "labels_per_class": count,
        "draw": draw,
        "cls_map": cls_map,
        "accuracy": accuracy,
        "cls_per_class": {"a": cls_map, "b": None},
        "clips": 2 * count,
        "short_classes": {},
        "repeated_classes": 0,
        "held_back": count >= 5,
        "seconds": 1.0,
    } | more


CELLS = [
    cell("joint", 1, 0, 0.30, seed=0),
    cell("joint", 1, 1, 0.40, seed=0),
    cell("joint", 5, 0, 0.50, seed=0),
    cell("joint", 5, 1, 0.54, seed=0),
    cell("scratch", 1, 0, 0.14),
    cell("scratch", 1, 1, 0.16),
    cell("scratch", 5, 0, 0.28),
    cell("scratch", 5, 1, 0.32),
]


def test_rows_by_hand():
    """At 1 label 0.35 / 0.15 = 2.33 times; at 5 labels 0.52 / 0.30 = 1.73 times."""
    rows = {(row["name"], row["labels_per_class"]): row for row in table2_rows.rows_of(CELLS)}
    one = rows["joint", 1]
    assert one["cls_map"] == pytest.approx(0.35)
    assert one["spread"]["cls_map"] == pytest.approx(0.1 / 2**0.5)
    assert one["times_scratch"] == pytest.approx(7 / 3)
    assert one["draws"] == [0, 1] and one["seeds"] == [0] and one["clips"] == 2
    assert one["cls_per_class"] == {"a": pytest.approx(0.35), "b": None}
    assert rows["joint", 5]["times_scratch"] == pytest.approx(0.52 / 0.30)
    assert rows["scratch", 5]["times_scratch"] == pytest.approx(1)
    twice, less = table2_rows.doubling(list(rows.values()))
    assert [row["labels_per_class"] for row in twice] == [1]
    assert [row["labels_per_class"] for row in less] == [5]


def test_rows_without_scratch_and_with_one_draw():
    (row,) = table2_rows.rows_of([cell("joint", 2, 0, 0.3, accuracy=None, seed=0)])
    assert row["times_scratch"] is None and row["accuracy"] is None
    assert row["spread"] == {"cls_map": None, "accuracy": None}
    assert table2_rows.doubling([row]) == ([], [])


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """A whole table on generated tones: its folder, its settings and options."""
    out = str(tmp_path_factory.mktemp("table2"))
    settings = small_settings(prepared, out, steps=2)
    options = Table2Options(
        rows=("joint", "scratch"),
        labels_per_class=(1, 2),
        draws=2,
        scratch=ScratchConfig(fixed_steps=3, batch_size=8),
    )
    make_table(settings, options)
    return out, settings, options


def test_contract_of_the_json(finished):
    out, _, _ = finished
    with open(os.path.join(out, "table2.json"), encoding="utf-8") as file:
        table = json.load(file)
    assert [(row["name"], row["labels_per_class"]) for row in table["rows"]] == [
        (name, count) for name in ("joint", "scratch") for count in (1, 2)
    ]
    for row in table["rows"]:
        assert 0 < row["cls_map"] <= 1 and 0 <= row["accuracy"] <= 1
        assert row["spread"]["cls_map"] >= 0 and row["draws"] == [0, 1]
        assert row["clips"] == 3 * row["labels_per_class"]
    config = table["config"]
    for name in ("command", "commit", "machine", "versions", "date", "scratch", "classifier"):
        assert config[name]
    assert config["scratch"]["fixed_steps"] == 3
    with open(os.path.join(out, "table2.md"), encoding="utf-8") as file:
        text = file.read()
    assert "| Network from scratch |" in text and "at least twice" in text
    assert config["command"] in text
    assert os.path.getsize(os.path.join(out, "table2.png")) > 10_000
    leftovers = [f for _, _, files in os.walk(out) for f in files if f.endswith(".tmp")]
    assert not leftovers


def test_rows_share_their_clips(finished):
    """A file for every row, number of labels and draw; the same clips in all rows."""
    out, _, _ = finished
    drawn_for = {}
    for run in ("joint-seed0", "scratch"):
        for count in (1, 2):
            for draw in (0, 1):
                path = os.path.join(out, "few_labels", run, f"labels{count}-draw{draw}.json")
                with open(path, encoding="utf-8") as file:
                    content = json.load(file)
                assert content["settings"]["draw"] == draw
                drawn_for.setdefault((count, draw), set()).add(tuple(content["scores"]["segments"]))
    assert all(len(drawn) == 1 for drawn in drawn_for.values())
    for draw in (0, 1):
        ((fewer,), (more,)) = drawn_for[1, draw], drawn_for[2, draw]
        assert set(fewer) < set(more)


def changes(out, *parts):
    """Path → time of change, of all files in parts of a folder."""
    return {
        path: os.stat(path).st_mtime_ns
        for part in parts
        for folder, _, files in os.walk(os.path.join(out, part))
        for path in (os.path.join(folder, name) for name in files)
    }


def test_a_rerun_keeps_what_is_finished(finished):
    """Nothing is trained or scored again but the one score that is missing."""
    out, settings, options = finished
    missing = os.path.join(out, "few_labels", "scratch", "labels2-draw1.json")
    with open(missing, encoding="utf-8") as file:
        before = json.load(file)["scores"]
    os.remove(missing)
    kept = changes(out, "runs", "few_labels", "embeddings")
    assert len(kept) > 20
    make_table(settings, options)
    assert all(os.stat(path).st_mtime_ns == time for path, time in kept.items())
    # A score does not depend on which others were made in the same process.
    with open(missing, encoding="utf-8") as file:
        after = json.load(file)["scores"]
    assert after["cls_map"] == pytest.approx(before["cls_map"], abs=1e-3)
    assert after["segments"] == before["segments"]


def test_rescore_fits_the_classifiers_again_and_keeps_the_networks(finished):
    out, settings, options = finished
    kept = changes(out, "runs", "few_labels/scratch", "embeddings")
    again = changes(out, "few_labels/joint-seed0")
    with open(os.path.join(out, "table2.json"), encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    table = make_table(settings, dataclasses.replace(options, rescore=True))
    assert changes(out, "runs", "few_labels/scratch", "embeddings") == kept
    assert all(os.stat(path).st_mtime_ns > time for path, time in again.items())
    for row, earlier in zip(table["rows"], rows, strict=True):
        assert row["cls_map"] == pytest.approx(earlier["cls_map"], abs=1e-6)


def test_time_left_by_hand():
    """Two of six cells took 10 s: four more take 20 s."""
    assert cells.seconds_left(10.0, 2, 6) == 20


def test_a_score_of_other_settings_is_not_used(tmp_path):
    path = str(tmp_path / "row" / "labels1-draw0.json")
    asked = KeptScores(path, {"scratch": {"steps": 5}, "test_splits": ("a",)})
    assert asked.read() is None
    asked.write({"cls_map": 0.5})
    assert asked.read() == {"cls_map": 0.5}
    other = KeptScores(path, {"scratch": {"steps": 6}, "test_splits": ("a",)})
    assert other.read() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows=nonsense"], "choose from"),
        (["--labels_per_class=0,1"], "whole numbers"),
        (["--labels_per_class=few"], "whole numbers"),
        (["--scratch_steps=0"], "at least 1"),
    ],
)
def test_wrong_flags_are_one_line(prepared, tmp_path, arguments, message):
    given = [f"--corpus={prepared}", f"--output_dir={tmp_path}", *arguments]
    with (
        flags_given(table2.define_flags, given),
        pytest.raises(SystemExit, match=f"table2: .*{message}"),
    ):
        table2.main([])


def test_drawn_patch_is_a_cut_shifted_in_frequency():
    """Against rolling: every patch is some cut of the clip, moved by some bands, zeros behind."""
    from experiments.lib.table2 import scratch

    rng = np.random.default_rng(0)
    clip = rng.uniform(1, 2, (100, 64)).astype(np.float16)
    seen = set()
    for _ in range(200):
        patch = scratch.draw_patch(clip, rng, max_mel_shift=2, silence_energy=1e-3)
        matches = []
        for start in range(5):
            for shift in range(-2, 3):
                expected = np.roll(clip[start : start + 96].astype(np.float32), shift, axis=1)
                expected[:, :shift] = 0 if shift > 0 else expected[:, :shift]
                if shift < 0:
                    expected[:, shift:] = 0
                if np.array_equal(expected, patch):
                    matches.append((start, shift))
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) == 25


def test_silent_places_are_drawn_anew():
    from experiments.lib.table2 import scratch

    clip = np.zeros((400, 64), np.float16)
    clip[:150] = 1.0
    rng = np.random.default_rng(1)
    drawn = [scratch.draw_patch(clip, rng, 0, 1e-3) for _ in range(60)]
    # A draw is silent with probability 0.51, eight in a row with 0.004.
    assert sum(patch.mean() > 1e-3 for patch in drawn) >= 57
    assert scratch.draw_patch(np.zeros((96, 64), np.float16), rng, 3, 1e-3).max() == 0


def test_whole_segments_are_read_from_shards(prepared):
    """Pieces joined: as many frames as the recording's length gives, and the same patches."""
    from audio_triplet.data import shard_source
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.data.prepared import MANIFEST_FILE, PreparedInfo
    from audio_triplet.embeddings import segments
    from experiments.lib.table2 import scratch

    info = PreparedInfo.read(prepared)
    manifest = Manifest.read(os.path.join(prepared, MANIFEST_FILE), info.source)
    source = shard_source.ShardChunks(prepared, manifest.splits)
    flat = segments.embed(source, manifest, segments.flat)
    rows = flat.row[::2]
    energies = scratch.read_energies(source, rows)
    assert sorted(energies) == sorted(rows.tolist())
    for place, row in zip(range(0, len(flat.row), 2), rows, strict=True):
        patches = flat.patch[flat.patch_segment == place].reshape(-1, 96, 64)
        whole = energies[row].astype(np.float32)
        assert len(whole) >= 96 and len(whole) // 96 == len(patches)
        cut = whole[: 96 * len(patches)].reshape(-1, 96, 64)
        np.testing.assert_allclose(np.log(cut + 0.01), patches, atol=1e-4)


def textures(per_class=6):
    """Clips of steady noise, of every fourth frame, and of every fourth band, each of its own."""
    from experiments.lib.table2 import scratch

    rng = np.random.default_rng(0)
    energies, numbers = [], []
    for number in range(3):
        for _ in range(per_class):
            clip = rng.uniform(0.5, 1, (130, 64))
            if number == 1:
                clip[np.arange(130) % 4 != 0] *= 0.01
            if number == 2:
                clip[:, np.arange(64) % 4 != 0] *= 0.01
            energies.append(clip.astype(np.float16))
            numbers.append(number)
    labels = np.array(numbers)[:, None] == np.arange(3)
    return scratch.Clips(energies, labels, list(range(len(numbers))))


@pytest.fixture(scope="module")
def network():
    from audio_triplet.config import EncoderConfig
    from experiments.lib.table2 import scratch

    recipe = ScratchConfig(
        steps=140,
        fixed_steps=100,
        batch_size=12,
        learning_rate=3e-3,
        evaluate_steps=10,
        patience=4,
        max_mel_shift=2,
    )
    return scratch.FromScratch(EncoderConfig(width=0.0625), 3, True, recipe)


def predicted(network, clips):
    patches = np.log(np.stack([energies[:96] for energies in clips.energies]) + np.float32(0.01))
    return network.predict_segments(patches, np.arange(len(patches)), len(patches))


def test_network_learns_and_depends_on_the_seed_alone(network):
    """Six recordings a class: one of each is held back, and tells when to stop."""
    clips = textures()
    network.fit(clips, seed=1)
    first, steps = predicted(network, clips), network.steps
    np.testing.assert_allclose(first.sum(axis=1), 1, atol=1e-5)
    assert (first.argmax(axis=1) == clips.labels.argmax(axis=1)).mean() > 0.8  # chance: a third
    assert network.validation_map and steps % 10 == 0
    assert steps == 100 + 10 * int(np.argmax(network.validation_map))  # the first look is at 100
    network.fit(clips, seed=2)
    other = predicted(network, clips)
    network.fit(clips, seed=1)
    np.testing.assert_allclose(predicted(network, clips), first, atol=1e-3)
    assert np.abs(other - first).max() > 1e-3


def test_too_few_recordings_to_hold_back(network):
    """Two recordings of three clips each a class: nothing is held back, the steps are fixed."""
    clips = textures()
    clips.recordings[:] = [place // 3 for place in range(18)]
    network.fit(clips, seed=0)
    assert network.steps == 100 and network.validation_map == ()


def test_recipes_that_make_no_sense_are_refused():
    from audio_triplet.errors import ConfigError

    for wrong in ({"dropout": 1.0}, {"learning_rate": 0.0}, {"mixup": -1.0}, {"patience": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            ScratchConfig(**wrong)
