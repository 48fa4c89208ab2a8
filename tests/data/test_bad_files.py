import csv

import pytest

from audio_triplet.data.bad_files import BAD_FILES, BadFiles, listed_in, read_truncated
from audio_triplet.errors import CorpusError


def rows(folder):
    with open(folder / BAD_FILES, newline="") as file:
        return list(csv.reader(file))


def test_bad_files_are_listed_when_the_block_ends(tmp_path):
    folder = tmp_path / "made"
    with listed_in(str(folder)) as bad_files:
        bad_files.add("b.wav", "no sound")
        bad_files.add("a.wav", "empty, 0 bytes")
        bad_files.add("b.wav", "another reason")  # the first is kept
        assert not folder.exists()
    assert rows(folder) == [["path", "reason"], ["a.wav", "empty, 0 bytes"], ["b.wav", "no sound"]]
    assert bad_files.summary(str(folder)) == (
        f"2 files could not be used, see {folder / BAD_FILES}"
    )


def test_bad_files_are_listed_after_an_error_too(tmp_path):
    known = BadFiles()
    known.add("a.wav", "no sound")
    with pytest.raises(KeyboardInterrupt):
        with listed_in(str(tmp_path), known) as bad_files:
            bad_files.add("b.wav", "no sound")
            raise KeyboardInterrupt
    assert [path for path, _ in rows(tmp_path)[1:]] == ["a.wav", "b.wav"]


def test_the_list_of_an_earlier_run_is_removed(tmp_path):
    (tmp_path / BAD_FILES).write_text("path,reason\na.wav,no sound\n")
    with listed_in(str(tmp_path)):
        pass
    assert not (tmp_path / BAD_FILES).exists()
    with listed_in(str(tmp_path / "absent")):  # nothing to list, nothing to make
        pass
    assert not (tmp_path / "absent").exists()


def test_too_great_a_share_stops(tmp_path):
    bad_files = BadFiles()
    bad_files.add("a.wav", "no sound")
    bad_files.check_share(4, 0.25, "sound")
    with pytest.raises(CorpusError, match="sound: 1 of 3 files cannot be used"):
        bad_files.check_share(3, 0.25, "sound")


def test_truncated_files_stay_listed_until_they_are_read_again(tmp_path):
    folder = str(tmp_path)
    with listed_in(folder, BadFiles("use")) as first:
        for name in ("a.wav", "b.wav", "c.wav"):
            first.log.note_decoder(name, "libsndfile")
            first.log.note_truncated(name, "is truncated")
    assert set(read_truncated(folder)) == {"a.wav", "b.wav", "c.wav"}
    assert first.summary(folder) == (
        "decoded: 3 by libsndfile\n3 truncated files were used as far as they go, see "
        f"{tmp_path / 'truncated.csv'}"
    )
    with listed_in(folder, BadFiles("use")) as second:  # of which one was fetched again
        second.log.note_decoder("a.wav", "libsndfile")
        second.log.note_decoder("d.m4a", "ffmpeg")
        second.add("b.wav", "is gone")
    assert read_truncated(folder) == {"c.wav": "is truncated"}
    assert second.counts() == {
        "decoded": {"libsndfile": 1, "ffmpeg": 1},
        "truncated": 0,
        "bad_files": 1,
    }
