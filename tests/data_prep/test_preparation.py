import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from audio_triplet import features, storage
from audio_triplet.config import PrepareConfig
from audio_triplet.corpora import registry
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import shard_source
from audio_triplet.data.prepared import FORMAT, PreparedInfo, fingerprint
from audio_triplet.errors import CorpusError
from data_prep import preparation
from data_prep.engine import Engine
from data_prep.layout import WORK_DIR
from data_prep.write_shards import write_shard
from tests.conftest import RATE, tone


def digests(folder):
    return {
        name: hashlib.sha256(open(os.path.join(folder, name), "rb").read()).hexdigest()
        for name in sorted(os.listdir(folder))
    }


def test_shards_hold_what_the_files_hold(tone_folder, prepared):
    manifest = load_corpus(f"folders:{tone_folder}")
    source = shard_source.ShardChunks(prepared)
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
    train, test = (shard_source.ShardChunks(prepared, (split,)) for split in ("train", "test"))
    keys = [{int(p["recording"]) for p in s.in_order().as_numpy_iterator()} for s in (train, test)]
    assert keys[0] and keys[1] and not keys[0] & keys[1]


def test_same_bytes_again_and_finished_shards_are_kept(tone_folder, tmp_path):
    manifest = load_corpus(f"folders:{tone_folder}")
    config = PrepareConfig(num_shards=3)
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    info = preparation.prepare(manifest, one, config, progress=False)
    assert [len(split.shards) for split in info.splits.values()] == [3, 3]
    # A run that stops after two shards, with the third half written.
    whole = digests(one)
    victim = info.splits["train"].shards[2]

    class Stops(Engine):
        def write_shards(self, folder, todo, resampler, advance):
            for name in list(todo)[:2]:
                write_shard(folder, name, resampler)
                yield name
            with open(os.path.join(folder, f"{victim}.tmp"), "wb") as file:
                file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preparation.prepare(manifest, other, config, progress=False, engine=Stops())
    with pytest.raises(CorpusError, match=r"prepared\.json: cannot be read"):
        shard_source.ShardChunks(other)
    finished = [name for name in os.listdir(other) if name.endswith(".tfrecord")]
    kept = {name: os.stat(os.path.join(other, name)).st_mtime_ns for name in finished}
    assert len(kept) == 2
    preparation.prepare(manifest, other, config, progress=False)
    assert digests(other) == whole
    for name, changed in kept.items():
        assert os.stat(os.path.join(other, name)).st_mtime_ns == changed


@pytest.mark.slow
def test_beam_writes_the_same_bytes(tone_folder, tmp_path):
    """By one process, and by two worker processes of the same pipeline."""
    beam = pytest.importorskip("data_prep.beam", reason="apache-beam is not installed")
    manifest = load_corpus(f"folders:{tone_folder}")
    config = PrepareConfig(num_shards=2)
    preparation.prepare(manifest, str(tmp_path / "threads"), config, progress=False)
    expected = digests(tmp_path / "threads")
    flags = {
        "one": ["--direct_num_workers=1", "--direct_running_mode=in_memory"],
        "two": ["--direct_num_workers=2"],
    }
    for name, arguments in flags.items():
        folder = str(tmp_path / name)
        preparation.prepare(manifest, folder, config, progress=False, engine=beam.Engine(arguments))
        assert digests(folder) == expected


@pytest.mark.slow
def test_beam_reads_the_headers_of_many_files(tone_folder, tmp_path, monkeypatch):
    """By its workers, and again after a kill only those that are missing."""
    beam = pytest.importorskip("data_prep.beam", reason="apache-beam is not installed")
    sound = tmp_path / "sound"
    shutil.copytree(tone_folder, sound)
    (sound / "bad.wav").write_bytes(b"no sound")
    manifest = load_corpus(f"folders:{sound}")
    config = PrepareConfig(num_shards=2, max_bad_share=0.5)
    expected = preparation.prepare(manifest, str(tmp_path / "threads"), config, progress=False)
    monkeypatch.setattr(beam, "FILES_WORTH_A_PIPELINE", 2)
    monkeypatch.setattr(beam, "_FILES_PER_LIST", 7)
    folder = str(tmp_path / "beam")
    engine = beam.Engine(["--direct_num_workers=2", "--direct_running_mode=multi_threading"])
    info = preparation.prepare(manifest, folder, config, progress=False, engine=engine)
    assert info == expected and len(info.bad_files) == 1
    assert digests(folder) == digests(tmp_path / "threads")
    # Killed between its two pipelines, and one list lost.
    work = tmp_path / "again" / WORK_DIR
    work.mkdir(parents=True)
    paths = list(manifest.frame["path"].unique())
    first = list(engine.read_lengths(str(tmp_path / "again"), "digest", paths))
    lists = sorted(work.glob("*.done.json"))
    assert len(lists) == -(-len(paths) // 7) > 2
    lists[0].unlink()
    kept = lists[1].stat().st_mtime_ns
    again = list(engine.read_lengths(str(tmp_path / "again"), "digest", paths))
    assert [tuple(one) for one in again if one[1]] == [tuple(one) for one in first if one[1]]
    assert len(again) == len(paths) and lists[1].stat().st_mtime_ns == kept and lists[0].exists()


def test_laying_out_does_without_tensorflow(tone_folder, tmp_path):
    """Starting it takes longer than reading ten thousand headers."""
    code = f"""
import sys
from audio_triplet.corpora import registry
from data_prep import engine, preparation

class Elsewhere(engine.Engine):
    def write_shards(self, folder, todo, resampler, advance):
        print(len(todo), "tensorflow" in sys.modules)
        sys.exit(0)

manifest = registry.load_corpus("folders:{tone_folder}")
preparation.prepare(manifest, "{tmp_path}/out", progress=False, engine=Elsewhere())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "2 False", done.stderr


def test_summary_tells_counts_hours_classes_and_reasons(tmp_path):
    sound = tmp_path / "sound"
    for label, count in (("a", 3), ("b", 2)):
        (sound / label).mkdir(parents=True)
        for number in range(count):
            soundfile.write(sound / label / f"{number}.wav", tone(2, 300 + number), RATE)
    (sound / "b" / "bad.wav").write_text("no")
    soundfile.write(sound / "a" / "cut.flac", tone(2, 300), RATE)
    cut = (sound / "a" / "cut.flac").read_bytes()
    (sound / "a" / "cut.flac").write_bytes(cut[: len(cut) // 2])  # its header is whole
    out = tmp_path / "out"
    manifest = load_corpus(f"folders:{sound}")
    info = preparation.prepare(manifest, str(out), PrepareConfig(max_bad_share=0.5), progress=False)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["segments"] == 6 and summary["recordings"] == 6  # the cut one by its header
    assert summary["hours"] == pytest.approx(12 / 3600, abs=1e-5)
    assert summary["files"] == {"found": 7, "broken": 2}
    bad = {os.path.basename(bad["path"]) for bad in summary["bad_files"]}
    assert bad == {"bad.wav", "cut.flac"}
    assert all(bad["reason"] for bad in summary["bad_files"])
    counts = {name: total["segments"] for name, total in summary["classes"].items()}
    assert counts == {"a": 4, "b": 2}
    sizes = [os.path.getsize(out / name) for s in info.splits.values() for name in s.shards]
    assert summary["bytes"] == sum(sizes)
    assert [n for s in info.splits.values() for n in s.shard_bytes] == sizes
    assert sorted(os.listdir(out))[:3] == ["bad_files.csv", "manifest.csv", "prepared.json"]


def test_damaged_shards_are_left_out_counted_or_made_anew(tone_folder, tmp_path, caplog):
    manifest, out = load_corpus(f"folders:{tone_folder}"), str(tmp_path / "out")
    config = PrepareConfig(num_shards=4)
    info = preparation.prepare(manifest, out, config, progress=False)
    whole = digests(out)
    victim = os.path.join(out, info.splits["train"].shards[1])
    with open(victim, "r+b") as file:
        file.seek(os.path.getsize(victim) // 2)
        file.write(b"damage")
    source = shard_source.ShardChunks(out)  # flipped bytes show when they are read
    assert source.damage().startswith(f"{victim}: the shard is damaged (corrupted record at ")
    source = shard_source.ShardChunks(out, ("train",), skip_damaged=True)
    lost = info.splits["train"].shard_recordings[1]
    assert lost and source.recordings == info.splits["train"].recordings - lost
    assert f"left out {victim} with its {lost} recordings: corrupted record" in caplog.text
    assert f"1 of 4 shards are damaged; {lost} of" in caplog.text
    visits = list(source.visits(0).take(3 * source.recordings).as_numpy_iterator())
    assert len({int(visit["recording"]) for visit in visits}) == source.recordings
    with open(victim, "ab") as file:
        file.write(b"more")
    with pytest.raises(CorpusError, match=r"the shard is damaged \(has \d+ bytes instead of"):
        shard_source.ShardChunks(out)
    os.remove(victim)
    with pytest.raises(CorpusError, match="the shard is missing"):
        shard_source.ShardChunks(out)
    others = [name for name in whole if name.endswith(".tfrecord") and name not in victim]
    kept = {name: os.stat(os.path.join(out, name)).st_mtime_ns for name in others}
    preparation.prepare(manifest, out, config, progress=False)
    assert digests(out) == whole
    assert kept == {name: os.stat(os.path.join(out, name)).st_mtime_ns for name in others}


def test_one_writer_a_folder(tone_folder, tmp_path):
    from audio_triplet.errors import LockedError

    manifest = load_corpus(f"folders:{tone_folder}")
    code = "import sys, time; from audio_triplet import locks\nwith locks.exclusive(sys.argv[1]):\n"
    code += "    print('held', flush=True); time.sleep(300)"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {other.pid}"):
            preparation.prepare(manifest, str(tmp_path), progress=False)
    finally:
        other.kill()
        other.wait()
    preparation.prepare(manifest, str(tmp_path), progress=False)
    assert shard_source.ShardChunks(str(tmp_path)).recordings == 20


def test_sound_and_shards_elsewhere(tone_folder, tmp_path):
    """As on gs://, in TensorFlow's memory file system: nothing but tf.io.gfile reaches it."""
    from audio_triplet.data.manifest import Manifest

    manifest = load_corpus(f"folders:{tone_folder}")
    frame = manifest.frame.copy()
    for number, path in enumerate(frame["path"]):
        away = f"ram://sound/{number}/{os.path.basename(path)}"
        tf.io.gfile.makedirs(os.path.dirname(away))
        tf.io.gfile.copy(path, away)
        frame.loc[number, "path"] = away
    away = Manifest(frame, manifest.name)
    info = preparation.prepare(away, "ram://prepared/tones", progress=False)
    assert registry.is_prepared("ram://prepared/tones")
    local = preparation.prepare(manifest, str(tmp_path), progress=False)
    for name in info.splits["train"].shards:
        with tf.io.gfile.GFile(f"ram://prepared/tones/{name}", "rb") as file:
            assert file.read() == (tmp_path / name).read_bytes()
    assert info.splits == local.splits
    source = shard_source.ShardChunks("ram://prepared/tones")
    assert source.manifest.frame["path"].tolist() == frame["path"].tolist()
    assert len(list(source.in_order())) == 20
    with pytest.raises(CorpusError, match="holds no prepared.json"):
        load_corpus("ram://prepared")


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
    source = shard_source.ShardChunks(out)
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
        shard_source.ShardChunks(str(tmp_path))
    (tmp_path / "prepared.json").write_text("{")
    with pytest.raises(CorpusError, match="is damaged"):
        shard_source.ShardChunks(str(tmp_path))
    info = PreparedInfo.read(prepared)
    info.write(str(tmp_path))
    with pytest.raises(CorpusError, match="shard is missing"):
        shard_source.ShardChunks(str(tmp_path))
    dataclasses.replace(info, format=99).write(str(tmp_path))
    with pytest.raises(CorpusError, match="another format"):
        shard_source.ShardChunks(str(tmp_path))
    with pytest.raises(CorpusError, match="no split fold9; it has test, train"):
        shard_source.ShardChunks(prepared, ("fold9",))


def test_records_are_what_the_docstring_says(prepared):
    source = shard_source.ShardChunks(prepared)
    record = next(iter(source._all_handles())).numpy()
    example = tf.train.Example.FromString(record).features.feature
    documented = {
        "mel_energies",
        "frames",
        "recording",
        "piece",
        "turn",
        "turns",
        "segment",
        "position",
        "labels",
    }
    assert set(example) == documented
    assert len(example["mel_energies"].bytes_list.value[0]) == (
        2 * 64 * example["frames"].int64_list.value[0]
    )


@pytest.mark.slow
def test_command(commands, tone_folder, tmp_path):
    def start(output_dir, log):
        arguments = [f"--corpus=folders:{tone_folder}", f"--output_dir={output_dir}"]
        arguments += ["--num_shards=2", "--engine=threads"]
        return commands.start("data_prep.prepare", arguments, str(tmp_path / log))

    started = start(tmp_path / "out", "good.log"), start("/dev/null/x", "bad.log")
    codes = [process.wait(300) for process in started]
    good, bad = (process.text for process in started)
    assert codes == [0, 1], good + bad
    assert "recordings" in good
    assert len(list((tmp_path / "out").glob("*.tfrecord"))) == 4
    assert "Traceback" not in bad and "/dev/null" in bad


@pytest.mark.slow
def test_full_disk_is_one_line_and_the_process_ends(commands, tone_folder, tmp_path):
    out = tmp_path / "out"
    arguments = [f"--corpus=folders:{tone_folder}", f"--output_dir={out}", "--engine=threads"]
    process = commands.start("tests.data_prep.full_disk", arguments, str(tmp_path / "log"))
    assert process.wait(300) == 1 and "no space left on the disk" in process.text, process.text
    assert "Traceback" not in process.text
    preparation.prepare(load_corpus(f"folders:{tone_folder}"), str(out), progress=False)
    assert shard_source.ShardChunks(str(out)).recordings == 20


def test_engine_is_chosen_and_unknown_flags_are_named():
    from audio_triplet.errors import UsageError
    from data_prep import prepare

    assert type(prepare.choose_engine("threads", [])) is Engine
    with pytest.raises(UsageError, match="--nun_shards=3: unknown flag"):
        prepare.choose_engine("threads", ["--nun_shards=3"])
    pytest.importorskip("data_prep.beam", reason="apache-beam is not installed")
    with pytest.raises(UsageError, match="--nun_shards=3: neither a flag of this command nor"):
        prepare.choose_engine("auto", ["--runner=FlinkRunner", "--nun_shards=3"])


def test_truncated_files_are_refused_or_used(tone_folder, tmp_path):
    folder = tmp_path / "sound"
    shutil.copytree(os.path.join(tone_folder, "low"), folder / "low")
    sound = soundfile.read(folder / "low" / "low5.wav")[0]
    soundfile.write(folder / "low" / "cut.flac", sound, RATE)
    data = (folder / "low" / "cut.flac").read_bytes()
    (folder / "low" / "cut.flac").write_bytes(data[: len(data) * 8 // 10])
    manifest = load_corpus(f"folders:{folder}")
    refused, used = str(tmp_path / "refused"), str(tmp_path / "used")
    config = PrepareConfig(max_bad_share=0.2)
    info = preparation.prepare(manifest, refused, config, progress=False)
    assert info.bad_files[0][1].startswith("is truncated: ")
    config = dataclasses.replace(config, truncated="use")
    info = preparation.prepare(manifest, used, config, progress=False)
    assert not info.bad_files
    summary = storage.read_json(os.path.join(used, "summary.json"))
    assert summary["decoded"] == {"libsndfile": 7, "ffmpeg": 1}
    assert [entry["path"] for entry in summary["truncated"]] == [str(folder / "low" / "cut.flac")]
    assert os.path.exists(os.path.join(used, "truncated.csv"))
    with pytest.raises(CorpusError, match="prepared with other settings"):
        preparation.prepare(manifest, refused, config, progress=False)
    # A lost shard is made anew, and the rest of what was known is still told.
    whole = digests(used)
    os.remove(os.path.join(used, info.splits["train"].shards[0]))
    preparation.prepare(manifest, used, config, progress=False)
    assert digests(used) == whole


def test_folders_of_earlier_versions_are_known_again(tone_folder):
    """Whose settings said nothing of truncated files."""
    manifest = load_corpus(f"folders:{tone_folder}")
    settings = {"num_shards": 0, "resampler": "soxr", "max_bad_share": None, "seed": 0}
    assert fingerprint(manifest, PrepareConfig()) == manifest.fingerprint(
        settings | {"format": FORMAT}
    )
