"""The comparison of pieces with the whole finds what differs."""

import numpy as np
import soundfile

from audio_triplet import audio
from audio_triplet.errors import AudioError
from benchmarks import pieces


def test_right_wrong_and_refused_files(tmp_path, monkeypatch):
    sound = tmp_path / "sound.flac"
    soundfile.write(sound, 0.1 * np.random.default_rng(0).standard_normal(80_000), 16_000)
    assert pieces.compare(str(sound), 0) == ("flac by libsndfile", 3, [])
    bad = tmp_path / "bad.flac"
    bad.write_bytes(b"no sound")
    assert pieces.compare(str(bad), 0) == ("flac", 0, [])

    read = audio.read_piece
    monkeypatch.setattr(audio, "read_piece", lambda path, start, *more: read(path, 0.1, *more))
    _, count, found = pieces.compare(str(sound), 0)
    assert count == len(found) == 3 and all(str(sound) in line for line in found)

    def fail(path, *more):
        raise AudioError(path, "is odd")

    monkeypatch.setattr(audio, "read_piece", fail)
    assert len(pieces.compare(str(sound), 0)[2]) == 3
