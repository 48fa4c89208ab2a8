import collections
import csv

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from audio_triplet import audio, features
from audio_triplet.audio import graph_decoding
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import chunks, file_source
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.file_source import FileChunks
from audio_triplet.data.keys import key_of
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError
from tests.conftest import RATE, tone


def source_of(folder, **arguments):
    bad_files = BadFiles()
    table = chunks.scan(load_corpus(f"folders:{folder}"), bad_files)
    return FileChunks(table, bad_files, **arguments)


def test_pieces_tile_a_long_file(tmp_path):
    seconds = 25.0
    soundfile.write(tmp_path / "long.wav", tone(seconds, 500), RATE)
    source = source_of(tmp_path)
    whole = features.mel_energies(audio.load_audio(tmp_path / "long.wav")).numpy()
    found = list(source.in_order().as_numpy_iterator())
    assert [piece["position"] for piece in found] == [0, 1, 2]
    assert all(piece["mel_energies"].shape == (1056, 64) for piece in found)
    tiled = np.concatenate([piece["mel_energies"][: piece["frames"]] for piece in found])
    np.testing.assert_allclose(tiled, whole, rtol=1e-3, atol=1e-4)
    assert not found[-1]["mel_energies"][found[-1]["frames"] :].any()


def test_segments_of_one_file(tmp_path):
    sound = tone(8, 500)
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    (tmp_path / "m.csv").write_text(
        "path,start_seconds,end_seconds\na.wav,1,3\na.wav,5,\na.wav,20,21\n"
    )
    bad_files = BadFiles()
    table = chunks.scan(Manifest.read(tmp_path / "m.csv"), bad_files)
    assert table.duration.tolist() == [2.0, 3.0] and len(table.count) == 1
    assert "past the end" in bad_files.entries[str(tmp_path / "a.wav")]
    first, second = FileChunks(table, bad_files).in_order().as_numpy_iterator()
    for piece, (start, end) in ((first, (1, 3)), (second, (5, 8))):
        expected = features.mel_energies(sound[start * RATE : end * RATE]).numpy()
        got = piece["mel_energies"][: piece["frames"]]
        np.testing.assert_allclose(got, expected, rtol=1e-2, atol=2e-3)


def test_an_epoch_hears_every_recording_once_and_every_piece_in_turn(tmp_path):
    soundfile.write(tmp_path / "long.wav", tone(35, 500), RATE)  # 4 pieces
    for number in range(5):
        soundfile.write(tmp_path / f"{number}.wav", tone(1.5, 300 + number), RATE)
    source = source_of(tmp_path)
    assert source.recordings == 6
    visits = list(source.visits(seed=3).take(6 * 8).as_numpy_iterator())
    for epoch in range(8):
        of_epoch = visits[6 * epoch : 6 * epoch + 6]
        assert {piece["epoch"] for piece in of_epoch} == {epoch}
        assert len({piece["recording"] for piece in of_epoch}) == 6
    heard = collections.Counter(
        p["position"]
        for p in visits
        if p["recording"]
        == max(collections.Counter(p["recording"] for p in visits if p["position"] > 0))
    )
    assert heard == {0: 2, 1: 2, 2: 2, 3: 2}
    orders = {tuple(p["recording"] for p in visits[6 * e : 6 * e + 6]) for e in range(8)}
    assert len(orders) > 4  # shuffled anew each time


def test_visits_can_begin_anywhere(tone_folder):
    source = source_of(tone_folder)
    all_keys = [p["piece"] for p in source.visits(5).take(50).as_numpy_iterator()]
    rest = [p["piece"] for p in source.visits(5, 33).take(17).as_numpy_iterator()]
    assert all_keys[33:] == rest
    assert all_keys != [p["piece"] for p in source.visits(6).take(50).as_numpy_iterator()]


def test_pairs_share_a_label(tone_folder):
    source = source_of(tone_folder)
    pairs = list(source.pairs(1).take(30).as_numpy_iterator())
    assert {label for _, _, label in pairs} == {0, 1, 2}
    for first, second, label in pairs:
        assert first["labels"][label] and second["labels"][label]
        assert first["piece"] != second["piece"] or first["epoch"] != second["epoch"]
    again = list(source.pairs(1, 11).take(19).as_numpy_iterator())
    assert [p[0]["piece"] for p in pairs[11:]] == [p[0]["piece"] for p in again]


def test_pairs_need_labels(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1, 500), RATE)
    with pytest.raises(CorpusError, match="labels"):
        source_of(tmp_path).pairs(0)


def test_bad_files_are_listed_and_survived(tmp_path):
    soundfile.write(tmp_path / "good.wav", tone(2, 500), RATE)
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.wav").touch()
    sound = np.full(RATE, np.nan, "f4")
    soundfile.write(tmp_path / "nan.wav", sound, RATE, subtype="FLOAT")
    source = source_of(tmp_path)
    found = {int(p["segment"]): int(p["frames"]) for p in source.in_order().as_numpy_iterator()}
    names = [path.rsplit("/", 1)[1] for path in load_corpus(f"folders:{tmp_path}").frame["path"]]
    assert names == ["empty.wav", "good.wav", "nan.wav", "text.wav"]
    assert found == {1: 198, 2: 0}  # the header of nan.wav is good
    bad = {path.rsplit("/", 1)[1]: reason for path, reason in source.bad_files.entries.items()}
    assert set(bad) == {"empty.wav", "nan.wav", "text.wav"}
    source.bad_files.write(str(tmp_path / "bad_files.csv"))
    with open(tmp_path / "bad_files.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "reason"], *map(list, sorted(source.bad_files.entries.items()))]
    with pytest.raises(CorpusError, match="3 of 4 files"):
        source.bad_files.check_share(4, 0.05, "corpus")
    source.bad_files.check_share(4, 0.75, "corpus")


def test_no_readable_file_at_all(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    with pytest.raises(CorpusError, match=r"text\.wav"):
        source_of(tmp_path)


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 15600, 200_000])
def test_chunk_energies_of_any_length(samples):
    energies, frames = file_source.chunk_energies(tf.ones([samples]))
    assert frames == energies.shape[0]
    assert frames == (0 if samples == 0 else min(1056, max(1, (samples - 400) // 160 + 1)))
    by_numpy = file_source.chunk_energies_numpy(np.ones(samples, np.float32))
    np.testing.assert_allclose(by_numpy, energies, rtol=1e-3, atol=1e-4)


def test_keys_are_stable():
    # The first 8 bytes of BLAKE2b of b"recording", little-endian, without the lowest bit.
    assert key_of("recording") == 7176197959772289510
    assert key_of("a", 1) != key_of("a1")


LONG = """
import sys
from audio_triplet.data import batching, chunks, file_source
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.config import PipelineConfig, TripletConfig
from audio_triplet.corpora.registry import load_corpus
bad = BadFiles()
table = chunks.scan(load_corpus("folders:" + sys.argv[1]), bad)
assert table.hours > 3, table.hours
source = file_source.FileChunks(table, bad)
made = batching.triplet_batches(source, TripletConfig(), PipelineConfig(batch_size=8))
for batch in made.take(40):
    assert batch["drawn"].numpy().all()
heard = {int(p["position"]) for p in source.in_order().take(69).as_numpy_iterator()}
assert len(heard) == 60
# Not getrusage: its maximum counts from before the exec, when this was the test runner.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.slow
def test_three_hours_in_one_file_stay_below_a_gigabyte(commands, tmp_path):
    rate = 8000
    minute = tone(60, 300, rate=rate)
    with soundfile.SoundFile(tmp_path / "long.wav", "w", rate, 1, subtype="ULAW") as file:
        for _ in range(3 * 60 + 1):
            file.write(minute)
    for number in range(9):
        soundfile.write(tmp_path / f"{number}.wav", tone(2, 500 + number), RATE)
    process = commands.start("tests.snippet", [LONG, str(tmp_path)], f"{tmp_path}.log")
    assert process.wait(120) == 0, process.text[-2000:]
    print(f"peak {process.text} MiB")
    # MiB; 500 to 600 are those of TensorFlow, and of what else is imported before the fork.
    assert int(process.text.split()[-1]) < 1000


@pytest.mark.slow
def test_in_graph_decoding_gives_the_same_pieces(tmp_path):
    for number, rate in enumerate((16000, 44100)):
        soundfile.write(tmp_path / f"{number}.wav", tone(13, 500, number, rate), rate)
    python = source_of(tmp_path).in_order().as_numpy_iterator()
    graph = source_of(tmp_path, in_graph=graph_decoding.load).in_order().as_numpy_iterator()
    for one, other in zip(python, graph, strict=True):
        assert one["frames"] == other["frames"] and one["piece"] == other["piece"]
        np.testing.assert_allclose(
            features.log_mel(one["mel_energies"]),
            features.log_mel(other["mel_energies"]),
            atol=0.02,
        )


@pytest.mark.slow
def test_a_process_that_fails_while_decoding_ends(commands, tone_folder, tmp_path):
    """Threads of a live pipeline that call Python used to keep the process from ending."""
    arguments = [tone_folder, str(tmp_path / "out")]
    process = commands.start("tests.data.failing_run", arguments, str(tmp_path / "log"))
    assert process.wait(120) == 1 and "not finite" in process.text, process.text[-2000:]
