"""The network from scratch: its patches, its clips, its training."""

import os

import numpy as np
import pytest

from experiments.lib.table2 import scratch
from experiments.lib.table2.scratch_config import ScratchConfig


def test_drawn_patch_is_a_cut_shifted_in_frequency():
    """Against rolling: every patch is some cut of the clip, moved by some bands, zeros behind."""
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
    from audio_triplet.embeddings import embed, representations

    info = PreparedInfo.read(prepared)
    manifest = Manifest.read(os.path.join(prepared, MANIFEST_FILE), info.source)
    source = shard_source.ShardChunks(prepared, manifest.splits)
    flat = embed.embed_shards(source, manifest, representations.flat)
    rows = flat.row[::2]
    energies = scratch.read_energies(source, rows)
    assert sorted(energies) == sorted(rows.tolist())
    for place, row in zip(range(0, len(flat.row), 2), rows, strict=True):
        patches = flat.vectors[flat.segment_index == place].reshape(-1, 96, 64)
        whole = energies[row].astype(np.float32)
        assert len(whole) >= 96 and len(whole) // 96 == len(patches)
        cut = whole[: 96 * len(patches)].reshape(-1, 96, 64)
        np.testing.assert_allclose(np.log(cut + 0.01), patches, atol=1e-4)


def textures(per_class=6):
    """Clips of steady noise, of every fourth frame, and of every fourth band, each of its own."""
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

    recipe = ScratchConfig(
        steps=120,
        fixed_steps=80,
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


@pytest.mark.slow
def test_network_learns_and_depends_on_the_seed_alone(network):
    """Six recordings a class: one of each is held back, and tells when to stop."""
    clips = textures()
    network.fit(clips, seed=1)
    first, steps = predicted(network, clips), network.steps
    np.testing.assert_allclose(first.sum(axis=1), 1, atol=1e-5)
    assert (first.argmax(axis=1) == clips.labels.argmax(axis=1)).mean() > 0.8  # chance: a third
    assert network.validation_map and steps % 10 == 0
    assert steps == 80 + 10 * int(np.argmax(network.validation_map))  # the first look is at 80
    network.fit(clips, seed=2)
    other = predicted(network, clips)
    network.fit(clips, seed=1)
    np.testing.assert_allclose(predicted(network, clips), first, atol=1e-3)
    assert np.abs(other - first).max() > 1e-3


@pytest.mark.slow
def test_too_few_recordings_to_hold_back(network):
    """Two recordings of three clips each a class: nothing is held back, the steps are fixed."""
    clips = textures()
    clips.recordings[:] = [place // 3 for place in range(18)]
    network.fit(clips, seed=0)
    assert network.steps == 80 and network.validation_map == ()


def test_recipes_that_make_no_sense_are_refused():
    from audio_triplet.errors import ConfigError

    for wrong in ({"dropout": 1.0}, {"learning_rate": 0.0}, {"mixup": -1.0}, {"patience": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            ScratchConfig(**wrong)
