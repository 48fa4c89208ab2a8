"""A folder of every recorder's odd files ends in an index with every sound in it."""

import csv
import json
import subprocess
import sys

import pytest
import soundfile

from benchmarks import odd_files

# What libsndfile reads of them; FFmpeg reads the rest.
BY_LIBSNDFILE = {
    *("plain.au", "next.snd", "plain.caf", "plain.w64", "plain.rf64", "float.aifc", "alaw.wav"),
    *("adpcm.wav", "wrong.wav", "died.wav", "pipe.wav", "note.wav", "id3.wav", "cut.wav"),
    *("cut.ogg", "front.flac", "back.ogg", "back.opus", "dead_channel.wav", "tracks.wav"),
    "old.mp2",
}


def index(commands, log, *arguments):
    """What `index` says."""
    process = commands.start("audio_triplet", ["index", *map(str, arguments)], str(log))
    assert process.wait(120) == 0, process.text
    return process.text


def run(*arguments):
    command = [sys.executable, "-m", "audio_triplet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_every_sound_is_found_at_its_moment(commands, tmp_path):
    files = odd_files.write(str(tmp_path / "sounds"))
    (tmp_path / "sounds" / "broken.ogg").write_bytes(b"OggS but not really")
    folder = tmp_path / "index"
    asked = tmp_path / "sounds", f"--index={folder}"
    said = index(commands, tmp_path / "log", *asked)
    assert said.count("passed over: 2 .txt, 1 .mid") == 1
    assert f"1 files could not be used, see {folder}/bad_files.csv" in said
    cut = {name for name in files if name.startswith("cut.")}
    assert f"{len(cut)} truncated files were used as far as they go, see {folder}/trun" in said
    with open(folder / "truncated.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "reason"] and all("is truncated" in row[1] for row in rows[1:])
    assert {row[0].rsplit("/", 1)[1] for row in rows[1:]} == cut
    summary = json.loads((folder / "summary.json").read_text())
    n_ffmpeg = len(files) - len(BY_LIBSNDFILE)
    assert summary == {
        "decoded": {"libsndfile": len(BY_LIBSNDFILE), "ffmpeg": n_ffmpeg},
        "truncated": len(cut),
        "bad_files": 1,
        "passed_over": {".mid": 1, ".txt": 2},
    }
    assert f"decoded: {len(BY_LIBSNDFILE)} by libsndfile, {n_ffmpeg} by FFmpeg" in said

    query, tables = tmp_path / "trill.wav", tmp_path / "tables"
    soundfile.write(query, odd_files.trill(), odd_files.RATE)
    found = run(
        *("search", query, f"--index={folder}", "--top=5000", "--json"),
        *("--form=raven", f"--output_dir={tables}"),
    )
    verdicts = odd_files.judge(files, json.loads(found.stdout)["hits"])
    assert [verdict for verdict in verdicts if verdict[2] != "right"] == []
    # The combined table opens at the same moments: the best row of each file is its trill.
    (combined,) = tables.glob("*.txt")
    with open(combined, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    hits = [
        {"path": row["Begin File"], "start_seconds": row["File Offset (s)"]}
        for row in sorted(rows, key=lambda row: -float(row["Score"]))
    ]
    assert [verdict for verdict in odd_files.judge(files, hits) if verdict[2] != "right"] == []

    # Added again, nothing is read, and what is known of the truncated ones stays.
    index(commands, tmp_path / "log2", *asked)
    with open(folder / "truncated.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 1 + len(cut)
