import os
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet.data import shard_format, shard_index, shard_source
from audio_triplet.data.keys import key_of
from audio_triplet.data.prepared import PreparedInfo, SplitInfo, shard_name
from audio_triplet.errors import CorpusError
from tests.zip_damage import flag_damages


@pytest.fixture
def folder(prepared, tmp_path):
    """A copy of the prepared tones, without an index, to be damaged."""
    copy = tmp_path / "prepared"
    shutil.copytree(prepared, copy, ignore=shutil.ignore_patterns("index-*"))
    return copy


def index_files(folder):
    return sorted(path.name for path in folder.glob("index-*"))


def test_patches_are_slices_of_the_records(folder):
    """Whole records, parsed by TensorFlow in order, against patches read by place."""
    whole = shard_source.ShardChunks(str(folder))
    records = {int(p["piece"]): p for p in whole.in_order().as_numpy_iterator()}
    handles = tf.range(whole.recordings, dtype=tf.int64)
    assert not index_files(folder)  # reading in order needs none
    source = whole.patches()
    assert [name[-4:] for name in index_files(folder)] == ["gies", ".npz"]
    metadata = {name: tensor.numpy() for name, tensor in source.chunk_metadata(handles).items()}
    assert set(metadata["piece"]) == set(records)
    starts = np.random.default_rng(0).integers(0, 1056 - 96, (len(handles), 3)).astype("i4")
    starts = np.minimum(starts, np.maximum(0, metadata["frames"] - 96)[:, None])
    energies = source.patch_energies(handles, tf.constant(starts)).numpy()
    for column in range(3):
        cut = source.cut(handles, tf.constant(starts[:, column])).numpy()
        for row, key in enumerate(metadata["piece"]):
            begin = starts[row, column]
            expected = np.zeros((96, 64), "f4")
            part = records[key]["mel_energies"][begin : begin + 96]
            expected[: len(part)] = part
            np.testing.assert_array_equal(cut[row], expected)
            assert energies[row, column] == pytest.approx(expected.mean(), rel=1e-5, abs=1e-9)
            for name in ("frames", "recording", "labels"):
                np.testing.assert_array_equal(metadata[name][row], records[key][name])


def test_a_split_alone(folder):
    both = shard_source.ShardChunks(str(folder))
    every = {p["piece"] for p in both.in_order().as_numpy_iterator()}
    found = set()
    for split in both.splits:
        source = shard_source.ShardChunks(str(folder), (split,))
        mine = {p["piece"] for p in source.in_order().as_numpy_iterator()}
        patches = source.patches()
        handles, _ = patches.order.chunks_visited(1, tf.range(source.recordings, dtype=tf.int64))
        assert set(patches.chunk_metadata(handles)["piece"].numpy()) == mine
        found |= mine
    assert found == every


def write_shard(folder, lengths, labels=(), records_per_piece=1):
    """A prepared folder of one shard: recordings of the given numbers of frames."""
    folder.mkdir()
    random = np.random.default_rng(0)
    name = shard_name("train", 0, 1)
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
        for number, frames in enumerate(lengths):
            for turn in range(records_per_piece):
                writer.write(
                    shard_format.encode(
                        {
                            "frames": frames,
                            "mel_energies": random.uniform(0, 9, (frames, 64)),
                            "recording": key_of(number),
                            "piece": key_of(number, turn),
                            "segment": number,
                            "position": turn,
                            "labels": np.isin(np.arange(4), labels[number] if labels else []),
                        },
                        turn,
                        records_per_piece,
                    )
                )
    split = SplitInfo((name,), len(lengths), len(lengths) * records_per_piece, 1, 1.0)
    PreparedInfo("made", "x", tuple("abcd"), {"train": split}).write(str(folder))
    return str(folder / name)


def test_lengths_labels_and_turns(tmp_path):
    """No frames, one, fewer than a patch, just a patch, whole: and any number of labels."""
    lengths = [0, 1, 95, 96, 97, 1056, 500]
    labels = [[], [3], [0, 1], [], [0, 1, 2, 3], [2], []]
    write_shard(tmp_path / "p", lengths, labels, records_per_piece=3)
    source = shard_source.ShardChunks(str(tmp_path / "p")).patches()
    handles = tf.range(21, dtype=tf.int64)
    metadata = source.chunk_metadata(handles)
    by_key = {key_of(number): number for number in range(7)}
    numbers = [by_key[int(key)] for key in metadata["recording"]]
    assert [lengths[n] for n in numbers] == metadata["frames"].numpy().tolist()
    assert [labels[n] for n in numbers] == [np.flatnonzero(r).tolist() for r in metadata["labels"]]
    turns = [
        [key_of(n, t) for t in range(3)].index(int(key))
        for n, key in zip(numbers, metadata["piece"], strict=True)
    ]
    assert turns == [0, 1, 2] * 7
    cut = source.cut(handles, tf.zeros([21], tf.int32)).numpy()
    for row, number in enumerate(numbers):
        assert (cut[row].any(axis=1).sum()) == min(96, lengths[number])


def test_index_is_made_anew_when_damaged_or_when_a_shard_changes(folder, caplog):
    def first_visits():
        source = shard_source.ShardChunks(str(folder)).patches()
        handles, _ = source.order.chunks_visited(1, tf.range(30, dtype=tf.int64))
        return source.chunk_metadata(handles)["piece"].numpy().tolist()

    expected = first_visits()
    energies, table = (folder / name for name in index_files(folder))
    made = table.stat().st_mtime_ns
    assert first_visits() == expected and table.stat().st_mtime_ns == made
    whole = table.read_bytes()
    damages = {
        "flipped": whole[:900] + bytes([whole[900] ^ 255]) + whole[901:],
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"no index",
    } | dict(enumerate(flag_damages(whole)))
    for damage in damages.values():
        table.write_bytes(damage)
        caplog.clear()
        assert first_visits() == expected
        assert "is damaged" in caplog.text
        assert table.read_bytes() == whole
    energies.write_bytes(b"")
    assert first_visits() == expected
    shard = next(folder.glob("train*.tfrecord"))
    os.utime(shard, ns=(1, 1))
    assert first_visits() == expected and table.read_bytes() != whole


def test_damaged_and_missing_shards_are_named(folder):
    shard = next(folder.glob("train*.tfrecord"))
    content = shard.read_bytes()
    shard.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    with pytest.raises(CorpusError, match=rf"{shard.name}: the shard is damaged \(corr"):
        shard_source.ShardChunks(str(folder)).patches()
    assert not index_files(folder) and not list(folder.glob("*.tmp"))
    shard.write_bytes(content)
    source = shard_source.ShardChunks(str(folder)).patches()
    os.truncate(shard, len(content) // 3)
    with pytest.raises(CorpusError, match=f"{shard.name}: is cut short"):
        source.cut(tf.range(20, dtype=tf.int64), [0] * 20)
    shard.unlink()
    with pytest.raises(CorpusError, match=f"{shard.name}: the shard is missing"):
        shard_source.ShardChunks(str(folder))


def test_a_folder_that_cannot_be_written_to(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shard_index.os, "access", lambda path, mode: False)
    assert shard_source.ShardChunks(str(folder)).patches().order.recordings == 20
    assert not index_files(folder)
    assert len(list((tmp_path / "cache").glob("audio_triplet/*/index-*.npz"))) == 1


def test_reader_shares_few_open_files_among_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_index, "_OPEN_FILES", 2)
    random = np.random.default_rng(0)
    content = random.uniform(0, 9, (7, 400, 64)).astype("f2")
    for number in range(7):
        content[number].tofile(tmp_path / str(number))
    reader = shard_index.PositionedReader([str(tmp_path / str(n)) for n in range(7)])
    wrong = []

    def read(seed):
        random = np.random.default_rng(seed)
        files, starts = random.integers(0, 7, 300), random.integers(0, 300, 300)
        found = reader.frames(files, starts * 128, np.full(300, 96), 96)
        for row, file, start in zip(found, files, starts, strict=True):
            if not np.array_equal(row, content[file, start : start + 96]):
                wrong.append((file, start))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
