import time

import numpy as np
import pytest
import soundfile

from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data import chunks
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.errors import CorpusError
from tests.conftest import RATE, tone


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        (0.01, 1),
        (0.96, 1),
        (10.575, 1),
        (10.58, 1),
        (11.54, 2),
        (21.135, 2),
        (22.1, 3),
        (3600, 341),
    ],
)
def test_chunks_in(seconds, count):
    # 12 patches need (12 * 96 - 1) * 160 + 400 samples = 11.535 s.
    assert chunks.chunks_in(seconds) == count


@pytest.mark.parametrize("seconds", [0.0, 0.001])
def test_lengths_come_in_order_however_long_a_look_takes(monkeypatch, seconds):
    """Quick looks are taken one by one, those that wait many at a time."""
    running = most = 0

    def look(path, truncated):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if seconds:
            time.sleep(seconds)
        running -= 1
        return float(path), "" if int(path) % 7 else "bad"

    monkeypatch.setattr(chunks, "read_length", look)
    paths = [str(number) for number in range(1000)]
    found = list(chunks.read_lengths(paths))
    assert found == [(float(n), "" if n % 7 else "bad") for n in range(1000)]
    assert most > 1 if seconds else most == 1
    assert list(chunks.read_lengths([])) == []


def test_what_cannot_be_read_is_listed_and_left_out(tmp_path):
    for name, seconds in (("a", 2.0), ("b", 25.0)):
        soundfile.write(tmp_path / f"{name}.wav", tone(seconds, 500), RATE)
    (tmp_path / "c.wav").write_bytes(b"no sound")
    bad_files = BadFiles()
    table = chunks.scan(load_corpus(f"folders:{tmp_path}"), bad_files)
    assert table.duration.tolist() == [2.0, 25.0] and table.hours == pytest.approx(27 / 3600)
    assert table.segment.tolist() == [0, 1, 1, 1] and table.position.tolist() == [0, 0, 1, 2]
    np.testing.assert_array_equal(table.count, [1, 3])
    assert len(set(table.key)) == 4
    (path,) = bad_files.entries
    assert path == str(tmp_path / "c.wav")
    with pytest.raises(CorpusError, match="1 of 3 files cannot be used"):
        bad_files.check_share(3, 0.2, "sound")


def test_a_corpus_of_bad_files_alone_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(CorpusError, match="no file can be read"):
        chunks.scan(load_corpus(f"folders:{tmp_path}"), BadFiles())
