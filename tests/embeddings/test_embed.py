import os
import threading

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from audio_triplet import audio, features, models
from audio_triplet.config import EmbedConfig
from audio_triplet.data import shard_source
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.embeddings import embed, patch_cutting, quick_model
from audio_triplet.embeddings.representations import flat
from audio_triplet.errors import ConfigError
from tests.conftest import RATE
from tests.embeddings.conftest import files


def by_waveform(model):
    """The same model without a signature for its encoder alone."""
    return lambda waveforms: model(waveforms)


@pytest.mark.parametrize("by_encoder", [False, True])
@pytest.mark.parametrize("hop_frames", [96, 24, 200])
def test_equals_the_models_answer_for_each_whole_file(small_model, sounds, hop_frames, by_encoder):
    bad_files = BadFiles()
    config = EmbedConfig(hop_seconds=hop_frames / 100, batch_size=7, threads=3)
    model = small_model if by_encoder else by_waveform(small_model)
    assert small_model.has_encoder
    found = list(embed.embed_files(model, files(*sounds), config, bad_files))
    assert sorted(one.row for one in found) == [
        row for row, path in enumerate(sounds) if "broken" not in path
    ]
    assert [os.path.basename(path) for path in bad_files.entries] == ["broken.wav"]
    for one in found:
        waveform = audio.load_audio(sounds[one.row])
        alone = small_model(waveform[None], hop_frames)
        np.testing.assert_allclose(one.vectors, alone["patch_embeddings"][0], atol=2e-5)
        np.testing.assert_allclose(one.start_seconds + 0.4875, alone["timestamps"], atol=1e-5)
        seconds = len(waveform) / RATE
        assert one.seconds == pytest.approx(seconds)
        np.testing.assert_allclose(one.end_seconds, np.minimum(one.start_seconds + 0.975, seconds))
        padded = np.pad(waveform, (0, max(0, 400 - len(waveform))))
        mel = features.patches(features.mel_energies(padded), hop_frames)
        np.testing.assert_allclose(one.energy, np.mean(mel, axis=(1, 2)), rtol=1e-3)


def test_a_rest_is_embedded_to_the_last_bit_as_in_the_whole(small_model, sounds):
    """A run that was stopped goes on with what is left, in other batches."""
    whole = {one.row: one for one in embed.embed_files(small_model, files(*sounds))}
    for first in (1, 4, len(sounds) - 2):
        rest = list(embed.embed_files(small_model, files(*sounds[first:])))
        assert rest
        for one in rest:
            np.testing.assert_array_equal(one.vectors, whole[one.row + first].vectors)


@pytest.mark.parametrize("cores", [1, 3, 64])
def test_who_embeds_a_patch_changes_no_bit(small_model, sounds, monkeypatch, cores):
    """Threads embed 8 patches at a time while each has a file; the caller what is left."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    quick = quick_model.QuickModel(os.path.join(small_model.path, quick_model.ENCODER_FILE))
    by_decoders, real = [], quick.encode_alone

    def watch(log_mel):
        if threading.current_thread().name.startswith("decode-"):
            by_decoders.append(len(log_mel))
        return real(log_mel)

    monkeypatch.setattr(quick, "encode_alone", watch)
    config = EmbedConfig(hop_seconds=0.2, batch_size=5, threads=1)
    found = list(embed.embed_files(quick, files(*sounds), config))
    expected = {1: [{8}], 3: [{8}, set()], 64: [set()]}  # three may gather too few each
    assert set(by_decoders) in expected[cores]
    assert len(found) == len(sounds) - 1  # one is broken
    for one in found:
        (alone,) = embed.embed_files(quick, files(sounds[one.row]), config)
        np.testing.assert_array_equal(one.vectors, alone.vectors)
        np.testing.assert_array_equal(one.start_seconds, alone.start_seconds)


def test_segment_granularity_is_the_models_segment_embedding(small_model, sounds):
    found = list(embed.embed_files(small_model, files(*sounds), EmbedConfig(granularity="segment")))
    for one in found:
        waveform = audio.load_audio(sounds[one.row])
        alone = small_model(waveform[None])["segment_embedding"]
        np.testing.assert_allclose(one.vectors, alone, atol=2e-5)
        assert one.end_seconds - one.start_seconds == pytest.approx(len(waveform) / RATE)


def test_parts_of_a_file(small_model, sounds):
    path = next(path for path in sounds if path.endswith("s8.ogg"))
    manifest = files(
        path,
        path,
        path,
        path,
        start_seconds=[0.0, 3.25, 11.0, 99.0],
        end_seconds=[2.0, 5.5, np.nan, np.nan],
    )
    bad_files = BadFiles()
    found = {one.row: one for one in embed.embed_files(small_model, manifest, None, bad_files)}
    assert sorted(found) == [0, 1, 2] and "no sound at 99 s" in bad_files.entries[path]
    whole = audio.load_audio(path)
    for row, (start, end) in enumerate([(0, 2), (3.25, 5.5), (11, len(whole) / RATE)]):
        cut = whole[round(start * RATE) : round(end * RATE)]
        alone = small_model(cut[None])["patch_embeddings"][0]
        np.testing.assert_allclose(found[row].vectors, alone, atol=1e-4)
        np.testing.assert_allclose(found[row].start_seconds[0], start)
        assert found[row].end_seconds[-1] <= end + 1e-6


def test_patches_of_different_files_share_forward_passes(sounds, small_model):
    sizes = []

    def counting(waveforms):
        sizes.append(len(waveforms))
        return small_model(waveforms)

    found = list(embed.embed_files(counting, files(*sounds), EmbedConfig(batch_size=8)))
    patches = sum(len(one.vectors) for one in found)
    assert sum(sizes) == patches and max(sizes) == 8
    # 3 lengths below a patch (two files of one), and the rest of the whole ones: not one a file.
    assert len(sizes) <= patches // 8 + 4


def test_memory_does_not_grow_with_the_recording(monkeypatch):
    """An hour of sound passes through: no more than a batch of its patches ever waits."""
    most = 0

    def stream(path, block_seconds, **_):
        for _ in range(360):
            yield np.full(160_000, 0.1, np.float32)

    monkeypatch.setattr(audio, "stream_audio", stream)
    held = []
    real = embed.PatchBatches.run

    def watch(self, shape):
        nonlocal most
        most = max(most, self.count)
        yield from real(self, shape)

    monkeypatch.setattr(embed.PatchBatches, "run", watch)

    def model(waveforms):
        held.append(len(waveforms))
        return {"patch_embeddings": tf.zeros([len(waveforms), 1, 4])}

    [one] = embed.embed_files(model, files("/an/hour.wav"), EmbedConfig(batch_size=32))
    assert one.vectors.shape == (1 + (3600 * RATE - 15600) // 15360, 4)
    assert most <= 32 and max(held) == 32


def test_an_error_in_a_thread_reaches_the_caller_and_all_threads_end(small_model, monkeypatch):
    def stream(path, block_seconds, **_):
        raise MemoryError("no room")
        yield

    before = threading.active_count()
    monkeypatch.setattr(audio, "stream_audio", stream)
    with pytest.raises(MemoryError, match="no room"):
        list(embed.embed_files(small_model, files("/a", "/b", "/c")))
    monkeypatch.undo()
    assert threading.active_count() == before


def test_stopping_early_ends_the_threads(small_model, sounds):
    before = threading.active_count()
    found = embed.embed_files(
        small_model, files(*sounds), EmbedConfig(hop_seconds=0.1, batch_size=4)
    )
    next(found)
    found.close()
    assert threading.active_count() == before


@given(
    st.lists(st.integers(0, 40_000), min_size=1, max_size=6), st.sampled_from([1600, 15360, 33120])
)
def test_patches_do_not_depend_on_the_blocks(lengths, hop):
    sound = np.arange(sum(lengths), dtype=np.float32)
    blocks = np.split(sound, np.cumsum(lengths)[:-1])
    cut = [patch for part, _, _ in patch_cutting.cut_patches(blocks, hop, False) for patch in part]
    if len(sound) >= 15600:
        starts = np.arange(0, len(sound) - 15600 + 1, hop)
        assert [waveform[0] for waveform in cut] == list(starts)
        assert all((np.diff(waveform) == 1).all() and len(waveform) == 15600 for waveform in cut)
    else:
        assert len(cut) == (len(sound) > 0)


def test_configuration_is_checked():
    assert EmbedConfig(hop_seconds=0.05).hop_samples == 800
    for wrong in (0.0, -0.1, 0.015, float("nan"), 1e9):
        with pytest.raises(ConfigError, match="hop_seconds"):
            EmbedConfig(hop_seconds=wrong)
    with pytest.raises(ConfigError, match="granularity"):
        EmbedConfig(granularity="frame")


# --- prepared shards ---


def test_flat_baseline_of_a_real_file(prepared):
    source = shard_source.ShardChunks(prepared)
    found = embed.embed_shards(source, source.manifest, flat, batch_size=7)
    assert len(found.manifest) == len(source.manifest) == 20
    assert found.vectors.shape[1] == 96 * 64
    for number, path in enumerate(found.manifest.frame["path"]):
        sound, _ = soundfile.read(path, dtype="float32")
        energies = features.patches(features.mel_energies(sound))
        expected = features.log_mel(energies).numpy().reshape(len(energies), -1)
        mine = found.vectors[found.segment_index == number]
        np.testing.assert_allclose(mine, expected, atol=2e-3)
        np.testing.assert_allclose(found.segment_means[number], expected.mean(0), atol=2e-3)
        np.testing.assert_allclose(
            found.energy[found.segment_index == number],
            energies.numpy().mean((1, 2)),
            rtol=1e-2,
            atol=1e-6,
        )


def test_encoder_in_any_batch_size(prepared):
    encoder = models.build_encoder(width=0.0625, embedding_size=8)
    source = shard_source.ShardChunks(prepared, ("test",))
    one = embed.embed_shards(source, source.manifest, encoder, batch_size=3)
    other = embed.embed_shards(source, source.manifest, encoder, batch_size=64)
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-5)
    assert set(one.manifest.frame["split"]) == {"test"}
    np.testing.assert_array_equal(
        source.manifest.frame["path"].to_numpy()[one.row], one.manifest.frame["path"].to_numpy()
    )
