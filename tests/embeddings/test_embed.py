import os
import threading

import numpy as np
import pandas as pd
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from audio_triplet import audio, features, models
from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import embed, folder, saved_model
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.errors import ArchiveError, ConfigError
from tests.conftest import RATE, tone


def files(*paths, **columns):
    return Manifest(pd.DataFrame({"path": [str(path) for path in paths]} | columns))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Files of many lengths, formats and rates, one broken, one empty of samples."""
    root = tmp_path_factory.mktemp("sounds")
    lengths = (0.01, 0.3, 0.3, 0.97, 0.975, 1.2, 2.5, 5.0, 23.4)
    for number, seconds in enumerate(lengths):
        rate = (16000, 44100, 8000)[number % 3]
        suffix = ("wav", "flac", "ogg")[number % 3]
        sound = tone(seconds, 300 + 100 * number, number, rate)
        soundfile.write(root / f"s{number}.{suffix}", sound, rate)
    (root / "broken.wav").write_bytes(b"RIFF not a sound")
    return [str(path) for path in sorted(root.iterdir())]


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
    found = list(embed.embed(model, files(*sounds), config, bad_files))
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
    whole = {one.row: one for one in embed.embed(small_model, files(*sounds))}
    for first in (1, 4, len(sounds) - 2):
        rest = list(embed.embed(small_model, files(*sounds[first:])))
        assert rest
        for one in rest:
            np.testing.assert_array_equal(one.vectors, whole[one.row + first].vectors)


def test_segment_level_is_the_models_segment_embedding(small_model, sounds):
    found = list(embed.embed(small_model, files(*sounds), EmbedConfig(level="segment")))
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
    found = {one.row: one for one in embed.embed(small_model, manifest, None, bad_files)}
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

    found = list(embed.embed(counting, files(*sounds), EmbedConfig(batch_size=8)))
    patches = sum(len(one.vectors) for one in found)
    assert sum(sizes) == patches and max(sizes) == 8
    # 3 lengths below a patch (two files of one), and the rest of the whole ones: not one a file.
    assert len(sizes) <= patches // 8 + 4


def test_memory_does_not_grow_with_the_recording(monkeypatch):
    """An hour of sound passes through: no more than a batch of its patches ever waits."""
    most = 0

    def stream(path, block_seconds):
        for _ in range(360):
            yield np.full(160_000, 0.1, np.float32)

    monkeypatch.setattr(audio, "stream_audio", stream)
    held = []
    real = embed._Batches._run

    def watch(self, shape):
        nonlocal most
        most = max(most, self._count)
        yield from real(self, shape)

    monkeypatch.setattr(embed._Batches, "_run", watch)

    def model(waveforms):
        held.append(len(waveforms))
        return {"patch_embeddings": tf.zeros([len(waveforms), 1, 4])}

    [one] = embed.embed(model, files("/an/hour.wav"), EmbedConfig(batch_size=32))
    assert one.vectors.shape == (1 + (3600 * RATE - 15600) // 15360, 4)
    assert most <= 32 and max(held) == 32


def test_an_error_in_a_thread_reaches_the_caller_and_all_threads_end(small_model, monkeypatch):
    def stream(path, block_seconds):
        raise MemoryError("no room")
        yield

    before = threading.active_count()
    monkeypatch.setattr(audio, "stream_audio", stream)
    with pytest.raises(MemoryError, match="no room"):
        list(embed.embed(small_model, files("/a", "/b", "/c")))
    monkeypatch.undo()
    assert threading.active_count() == before


def test_stopping_early_ends_the_threads(small_model, sounds):
    before = threading.active_count()
    found = embed.embed(small_model, files(*sounds), EmbedConfig(hop_seconds=0.1, batch_size=4))
    next(found)
    found.close()
    assert threading.active_count() == before


@given(
    st.lists(st.integers(0, 40_000), min_size=1, max_size=6), st.sampled_from([1600, 15360, 33120])
)
def test_patches_do_not_depend_on_the_blocks(lengths, hop):
    sound = np.arange(sum(lengths), dtype=np.float32)
    blocks = np.split(sound, np.cumsum(lengths)[:-1])
    cut = [patch for part, _, _ in embed._patches(blocks, hop, False) for patch in part]
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
    with pytest.raises(ConfigError, match="level"):
        EmbedConfig(level="frame")


# --- sets ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded(small_model, sounds):
    manifest = files(*sounds, labels=["x;y" if "s1" in path else "" for path in sounds])
    found = list(embed.embed(small_model, manifest))
    return EmbeddingSet.of(manifest, found, small_model, EmbedConfig())


@pytest.mark.parametrize("name", ["set.npz", "set.parquet"])
def test_a_set_is_read_as_it_was_written(embedded, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = str(tmp_path / name)
    embedded.save(path)
    back = EmbeddingSet.load(path)
    assert back.manifest.frame.equals(embedded.manifest.frame)
    for field in ("stamp", "vectors", "segment", "start_seconds", "end_seconds", "energy"):
        mine, theirs = getattr(embedded, field), getattr(back, field)
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype
    assert back.model_digest == embedded.model_digest and len(back.model_digest) == 64
    assert (back.level, back.hop_seconds) == ("patch", 0.96)
    assert os.listdir(tmp_path) == [name]


def test_an_npz_needs_no_pickle_and_a_parquet_no_package_of_ours(embedded, tmp_path):
    embedded.save(str(tmp_path / "set.npz"))
    with np.load(tmp_path / "set.npz", allow_pickle=False) as file:
        assert file["embeddings"].shape == (len(embedded), 24)
        np.testing.assert_allclose(file["timestamps"], file["start_seconds"] + 0.4875)
        assert {str(path) for path in file["path"]} == set(embedded.manifest.frame["path"])
    pytest.importorskip("pyarrow")
    embedded.save(str(tmp_path / "set.parquet"))
    frame = pd.read_parquet(tmp_path / "set.parquet")
    assert len(frame) == len(embedded)
    np.testing.assert_array_equal(np.stack(frame["embeddings"]), embedded.vectors)
    paths = embedded.manifest.frame["path"].to_numpy()[embedded.segment]
    assert list(frame["path"]) == list(paths)


def test_select_and_join_are_inverse(embedded):
    keep = np.arange(len(embedded.manifest)) % 2 == 0
    both = EmbeddingSet.join([embedded.select(keep), embedded.select(~keep)])
    order = np.argsort(both.manifest.frame["path"].to_numpy(object)[both.segment], kind="stable")
    mine = np.argsort(
        embedded.manifest.frame["path"].to_numpy(object)[embedded.segment], kind="stable"
    )
    np.testing.assert_array_equal(both.vectors[order], embedded.vectors[mine])
    np.testing.assert_array_equal(both.start_seconds[order], embedded.start_seconds[mine])


def test_damaged_sets_are_named(embedded, tmp_path):
    path = tmp_path / "set.npz"
    embedded.save(str(path))
    content = path.read_bytes()
    for damage in (b"", b"PK\x03\x04junk", content[: len(content) // 2], b"\x93NUMPY"):
        path.write_bytes(damage)
        with pytest.raises(ArchiveError, match=r"set\.npz: not a set"):
            EmbeddingSet.load(str(path))
    np.savez(path, embeddings=np.zeros((2, 3)))
    with pytest.raises(ArchiveError, match="not a set"):
        EmbeddingSet.load(str(path))
    with pytest.raises(ArchiveError, match="no such file"):
        EmbeddingSet.load(str(tmp_path / "none.npz"))
    os.remove(path)
    with pytest.raises(ArchiveError, match="no embeddings"):
        EmbeddingSet.load(str(tmp_path))


# --- folders -------------------------------------------------------------------------------------


@given(st.lists(st.text(st.sampled_from("ab/.A \n<é"), min_size=1), min_size=1, max_size=6))
def test_no_name_leaves_the_folder_and_none_meet(names):
    paths = [f"/root/{number}/{name}" for number, name in enumerate(names)]
    outputs = folder.output_names(paths, names)
    whole = [os.path.normpath(os.path.join("/out", output)) for output in outputs]
    assert all(path.startswith("/out/") and path.endswith(".npz") for path in whole)
    assert len({path.casefold() for path in whole}) == len(names)


def test_names_are_those_of_the_sounds():
    long = "x" * 250 + ".wav"
    outputs = folder.output_names(
        ["/a/d/x.wav", "/b/d/X.wav", "/a/e/ü 1.wav", f"/a/{long}"],
        ["d/x.wav", "d/X.wav", "e/ü 1.wav", long],
    )
    assert outputs[2] == "e/ü 1.wav.npz"
    assert outputs[0].startswith("d/x.wav.") and outputs[0] != outputs[1]
    assert len(outputs[3].encode()) <= 255


@pytest.fixture
def archive_folder(tmp_path):
    root = tmp_path / "in"
    (root / "b").mkdir(parents=True)
    for number, name in enumerate(("a.wav", "b/c d.wav", "b/\n<script>.wav")):
        soundfile.write(root / name, tone(1.5 + number, 400, number), RATE)
    (root / "bad.wav").write_bytes(b"no")
    names = ["a.wav", "b/c d.wav", "b/\n<script>.wav", "bad.wav"]
    return files(*(root / name for name in names)), names


def test_a_folder_goes_on_where_it_stopped(small_model, archive_folder, tmp_path, monkeypatch):
    manifest, names = archive_folder
    out = str(tmp_path / "out")
    seconds, bad = [], BadFiles()
    done = folder.embed_to_folder(
        small_model, manifest, names, out, bad_files=bad, heard=seconds.append
    )
    assert (done.files, done.finished, len(bad.entries)) == (3, 0, 1)
    assert done.seconds == pytest.approx(1.5 + 2.5 + 3.5) == sum(seconds)
    assert sorted(os.listdir(out)) == ["a.wav.npz", "b", "embeddings.json"]
    assert sorted(os.listdir(os.path.join(out, "b"))) == ["\n<script>.wav.npz", "c d.wav.npz"]
    # One is removed as if it had not been finished, one is cut short, one sound changes.
    os.remove(os.path.join(out, "a.wav.npz"))
    cut = os.path.join(out, "b", "c d.wav.npz")
    with open(cut, "r+b") as file:
        file.truncate(900)
    untouched = os.path.join(out, "b", "\n<script>.wav.npz")
    before = os.stat(untouched).st_mtime_ns
    done = folder.embed_to_folder(small_model, manifest, names, out)
    assert (done.files, done.finished) == (2, 1)
    assert os.stat(untouched).st_mtime_ns == before
    soundfile.write(manifest.frame["path"][0], tone(4.0, 900), RATE)
    done = folder.embed_to_folder(small_model, manifest, names, out)
    assert (done.files, done.finished) == (1, 2)
    assert len(EmbeddingSet.load(os.path.join(out, "a.wav.npz"))) == 4
    done = folder.embed_to_folder(small_model, manifest, names, out, overwrite=True)
    assert (done.files, done.finished) == (3, 0)


def test_a_folder_of_other_embeddings_is_refused(small_model, archive_folder, tmp_path):
    manifest, names = archive_folder
    out = str(tmp_path / "out")
    folder.embed_to_folder(small_model, manifest, names, out)
    with pytest.raises(ArchiveError, match=r"hop_seconds was 0\.96, is 0\.48"):
        folder.embed_to_folder(small_model, manifest, names, out, EmbedConfig(hop_seconds=0.48))
    other = str(tmp_path / "other")
    saved_model.export(models.build_encoder(width=0.0625, embedding_size=24, seed=9), other, {})
    with pytest.raises(ArchiveError, match="model_digest was"):
        folder.embed_to_folder(saved_model.Model(other), manifest, names, out)


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_one_set_grows_by_new_files(small_model, archive_folder, tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    manifest, names = archive_folder
    out = str(tmp_path / "out")
    first = manifest.take(np.array([0, 1]))
    folder.embed_to_folder(small_model, first, names[:2], out, form=form)
    assert set(os.listdir(out)) == {f"embeddings.{form}", "embeddings.json"}
    soundfile.write(manifest.frame["path"][0], tone(4.0, 900), RATE)
    done = folder.embed_to_folder(small_model, manifest, names, out, form=form)
    assert (done.files, done.finished) == (2, 1)
    whole = EmbeddingSet.load(os.path.join(out, f"embeddings.{form}"))
    counts = dict(
        zip(
            [os.path.basename(path) for path in whole.manifest.frame["path"]],
            np.bincount(whole.segment),
            strict=True,
        )
    )
    assert counts == {"a.wav": 4, "c d.wav": 2, "\n<script>.wav": 3}


def test_segments_of_one_file_go_into_one_output(small_model, sounds, tmp_path):
    path = next(path for path in sounds if path.endswith("s7.flac"))
    manifest = files(path, path, start_seconds=[0.0, 2.0], end_seconds=[2.0, 4.0])
    folder.embed_to_folder(small_model, manifest, ["s7.flac"] * 2, str(tmp_path / "out"))
    back = EmbeddingSet.load(str(tmp_path / "out" / "s7.flac.npz"))
    assert list(back.manifest.frame["start_seconds"]) == [0.0, 2.0]
    assert back.start_seconds.tolist() == [0.0, 0.96, 2.0, 2.96]
