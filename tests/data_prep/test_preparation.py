import dataclasses
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from conftest import RATE, tone

from audio_triplet import features, shards
from audio_triplet.config import PrepareConfig
from audio_triplet.manifest import CorpusError
from data_prep import preparation
from data_prep.corpora import load_corpus


def digests(folder):
    return {
        name: hashlib.sha256(open(os.path.join(folder, name), "rb").read()).hexdigest()
        for name in sorted(os.listdir(folder))
    }


def test_shards_hold_what_the_files_hold(tone_folder, prepared):
    manifest = load_corpus(f"folders:{tone_folder}")
    source = shards.ShardPieces(prepared)
    assert source.classes == manifest.classes == ("high", "low", "middle")
    assert sorted(source.info.splits) == ["test", "train"]
    assert source.recordings == len(manifest) == 20
    table = source.manifest.frame
    seen = set()
    for piece in source.in_order().as_numpy_iterator():
        row = table.iloc[int(piece["segment"])]
        seen.add(row["path"])
        sound, _ = soundfile.read(row["path"], dtype="float32")
        expected = features.mel_energies(sound).numpy()
        got = piece["mel_energies"]
        assert piece["frames"] == len(expected)
        np.testing.assert_allclose(got[: len(expected)], expected, rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(
            features.log_mel(got[: len(expected)]), features.log_mel(expected), atol=1e-3
        )
        label = source.classes[int(np.argmax(piece["labels"]))]
        assert label == row["labels"] == os.path.basename(os.path.dirname(row["path"]))
    assert seen == set(manifest.frame["path"])


def test_no_recording_on_both_sides(prepared):
    train, test = (shards.ShardPieces(prepared, (split,)) for split in ("train", "test"))
    keys = [{int(p["recording"]) for p in s.in_order().as_numpy_iterator()} for s in (train, test)]
    assert keys[0] and keys[1] and not keys[0] & keys[1]


def test_same_bytes_again_and_finished_shards_are_kept(tone_folder, tmp_path):
    manifest = load_corpus(f"folders:{tone_folder}")
    config = PrepareConfig(num_shards=3)
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    info = preparation.prepare(manifest, one, config, progress=False)
    assert [len(split.shards) for split in info.splits.values()] == [3, 3]
    # An interrupted run: some shards are there, one is half written, the rest is missing.
    preparation.prepare(manifest, other, config, progress=False)
    whole = digests(other)
    os.remove(os.path.join(other, shards.INFO_FILE))
    victims = info.splits["train"].shards
    os.remove(os.path.join(other, victims[0]))
    os.rename(os.path.join(other, victims[1]), os.path.join(other, victims[1] + ".tmp"))
    kept = os.stat(os.path.join(other, victims[2])).st_mtime_ns
    preparation.prepare(manifest, other, config, progress=False)
    assert digests(other) == whole == digests(one)
    assert os.stat(os.path.join(other, victims[2])).st_mtime_ns == kept


def test_prepared_folder_is_found_again_or_refused(tone_folder, prepared, tmp_path):
    manifest = load_corpus(f"folders:{tone_folder}")
    before = digests(prepared)
    preparation.prepare(manifest, prepared, progress=False)
    assert digests(prepared) == before
    with pytest.raises(CorpusError, match="holds another corpus"):
        preparation.prepare(manifest, prepared, PrepareConfig(seed=5), progress=False)


def test_long_recording_is_cut_and_counted(tmp_path):
    (tmp_path / "sound").mkdir()
    soundfile.write(tmp_path / "sound" / "long.wav", tone(30, 500), RATE)
    for number in range(12):
        soundfile.write(tmp_path / "sound" / f"s{number}.wav", tone(1, 300 + number), RATE)
    out = str(tmp_path / "out")
    preparation.prepare(load_corpus(f"folders:{tmp_path / 'sound'}"), out, progress=False)
    source = shards.ShardPieces(out)
    assert sum(split.pieces for split in source.info.splits.values()) == 12 + 3
    visits = list(source.visits(1).take(13 * 6).as_numpy_iterator())
    for epoch in range(6):
        part = visits[13 * epoch : 13 * epoch + 13]
        assert len({v["recording"] for v in part}) == 13 and {v["epoch"] for v in part} == {epoch}
    assert sorted(int(v["position"]) for v in visits if v["position"]) == [1, 1, 2, 2]


def test_too_many_bad_files_stop_it(tmp_path):
    (tmp_path / "sound").mkdir()
    for number in range(8):
        soundfile.write(tmp_path / "sound" / f"{number}.wav", tone(1, 300), RATE)
    (tmp_path / "sound" / "bad.wav").write_text("no")
    manifest = load_corpus(f"folders:{tmp_path / 'sound'}")
    with pytest.raises(CorpusError, match=r"1 of 9 files .*max_bad_share.*bad\.wav"):
        preparation.prepare(manifest, str(tmp_path / "out"), progress=False)
    info = preparation.prepare(
        manifest, str(tmp_path / "out2"), PrepareConfig(max_bad_share=0.2), progress=False
    )
    assert [path.rsplit("/", 1)[1] for path, _ in info.bad_files] == ["bad.wav"]
    listed = (tmp_path / "out2" / "bad_files.csv").read_text()
    assert "bad.wav" in listed


def test_damaged_or_missing_parts_are_named(prepared, tmp_path):
    with pytest.raises(CorpusError, match=r"prepared\.json: cannot be read"):
        shards.ShardPieces(str(tmp_path))
    (tmp_path / "prepared.json").write_text("{")
    with pytest.raises(CorpusError, match="is damaged"):
        shards.ShardPieces(str(tmp_path))
    info = shards.PreparedInfo.read(prepared)
    info.write(str(tmp_path))
    with pytest.raises(CorpusError, match="shard is missing"):
        shards.ShardPieces(str(tmp_path))
    dataclasses.replace(info, format=99).write(str(tmp_path))
    with pytest.raises(CorpusError, match="another format"):
        shards.ShardPieces(str(tmp_path))
    with pytest.raises(CorpusError, match="no split fold9; it has test, train"):
        shards.ShardPieces(prepared, ("fold9",))


def test_records_are_what_the_docstring_says(prepared):
    source = shards.ShardPieces(prepared)
    record = next(iter(source._all_handles())).numpy()
    example = tf.train.Example.FromString(record).features.feature
    documented = {"mel_energies", "frames", "recording", "piece", "turn", "turns", "segment",
                  "position", "labels"}
    assert set(example) == documented
    assert len(example["mel_energies"].bytes_list.value[0]) == (
        2 * 64 * example["frames"].int64_list.value[0]
    )


def test_command(tone_folder, tmp_path):
    command = [sys.executable, "-m", "data_prep.prepare", f"--corpus=folders:{tone_folder}",
               f"--output_dir={tmp_path / 'out'}", "--num_shards=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "recordings" in done.stdout
    assert len(list((tmp_path / "out").glob("*.tfrecord"))) == 4
    bad = subprocess.run([*command[:-2], "--output_dir=/dev/null/x", "--num_shards=2"],
                         capture_output=True, text=True)
    assert bad.returncode == 1 and "Traceback" not in bad.stderr and "/dev/null" in bad.stderr


def test_full_disk_is_one_line_and_the_process_ends(tone_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for split in ("test", "train"):  # /dev/full takes nothing: every write to it fails
        os.symlink("/dev/full", out / f"{split}-00000-of-00001.tfrecord.tmp")
    command = [sys.executable, "-m", "data_prep.prepare", f"--corpus=folders:{tone_folder}",
               f"--output_dir={out}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "no space left on the disk" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    for split in ("test", "train"):
        (out / f"{split}-00000-of-00001.tfrecord.tmp").unlink(missing_ok=True)
    subprocess.run(command, check=True, capture_output=True)
    assert shards.ShardPieces(str(out)).recordings == 20
