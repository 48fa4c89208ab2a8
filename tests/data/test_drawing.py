import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_triplet.config import TripletConfig
from audio_triplet.data import chunks, drawing


def chunk(frames, audible=None, key=1, epoch=0):
    """A chunk whose cell energies tell their frame: 1 + frame."""
    energies = np.zeros((chunks.CHUNK_FRAMES, 64), "f4")
    energies[:frames] = 1 + np.arange(frames)[:, None]
    if audible is not None:
        energies[:frames] *= audible[:, None]
    return {
        "mel_energies": tf.constant(energies),
        "frames": tf.constant(frames),
        "recording": tf.constant(7, tf.int64),
        "piece": tf.constant(key, tf.int64),
        "epoch": tf.constant(epoch, tf.int64),
        "labels": tf.constant([True, False]),
    }


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, chunks.CHUNK_FRAMES),
    key=st.integers(0, 2**62),
    epoch=st.integers(0, 1000),
    apart=st.sampled_from([1.0, 2.5, 10.0]),
)
def test_neighbour_is_another_patch_within_delta_t(frames, key, epoch, apart):
    config = TripletConfig(max_seconds_apart=apart)
    drawn = drawing.draw_patches(chunk(frames, key=key, epoch=epoch), 3, config, seed=5)
    whole = max(1, frames // 96)
    assert drawn["drawn"].numpy().all()
    for anchor, neighbour, has, seconds in zip(
        drawn["anchor"].numpy(),
        drawn["neighbour"].numpy(),
        drawn["has_neighbour"].numpy(),
        drawn["seconds"].numpy(),
        strict=True,
    ):
        start = int(anchor[0, 0]) - 1
        assert start == round(seconds[0] * 100) and start + min(96, frames) <= frames
        expected = np.zeros(96)
        expected[: min(96, frames)] = 1 + start + np.arange(min(96, frames))
        np.testing.assert_array_equal(anchor, np.repeat(expected[:, None], 64, 1))
        if has:
            other = int(neighbour[0, 0]) - 1
            assert (other - start) % 96 == 0 and 0 < abs(other - start) / 100 < apart
            assert 0 <= other <= frames - 96
        else:
            assert whole < 3 or apart == 1.0
    if whole >= 3 and apart > 1:
        assert drawn["has_neighbour"].numpy().all()


def test_anchors_differ_while_there_are_enough():
    starts = {
        s
        for s, _ in drawing.draw_patches(chunk(960), 9, TripletConfig(), 0)["seconds"]
        .numpy()
        .tolist()
    }
    assert len(starts) == 9


def test_silent_patches_are_not_drawn():
    audible = np.zeros(960)
    audible[500:700] = 1
    for key in range(30):
        drawn = drawing.draw_patches(chunk(960, audible, key=key), 2, TripletConfig(), 0)
        assert drawn["anchor"].numpy().reshape(2, -1).max(1).min() > 0
        near = drawn["neighbour"].numpy()[drawn["has_neighbour"].numpy()]
        assert (near.reshape(len(near), -1).max(1) > 0).all()
    for nothing in (chunk(960, np.zeros(960)), chunk(0)):
        assert not drawing.draw_patches(nothing, 2, TripletConfig(), 0)["drawn"].numpy().any()


@pytest.mark.slow
def test_phase_of_the_grid_is_drawn():
    starts = [
        round(
            float(drawing.draw_patches(chunk(960, key=key), 1, TripletConfig(), 0)["seconds"][0, 0])
            * 100
        )
        % 96
        for key in range(200)
    ]
    assert len(set(starts)) > 60
