"""The commands as they are typed: embed, index, search, in one process."""

import functools
import importlib
import json
import os
import shutil

import numpy as np
import pytest
import soundfile
from absl import flags

from audio_triplet import models
from audio_triplet.annotations import reading
from audio_triplet.commands import terminal
from audio_triplet.embeddings import saved_model
from tests.conftest import RATE, tone
from tests.web.page_checks import check_page

ODD = "<script>alert(1)<\n& ü.wav"


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a verb with flags of its own; gives what it printed, or the error."""

    def run(name, *arguments):
        verb = importlib.import_module(f"audio_triplet.commands.{name}")
        values = flags.FlagValues()
        with monkeypatch.context() as patch:
            patch.setattr(flags, "FLAGS", values)
            for define in [define for define in dir(flags) if define.startswith("DEFINE_")]:
                bound = functools.partial(getattr(flags, define), flag_values=values)
                patch.setattr(flags, define, bound)
            verb.define_flags()
            try:
                with terminal.clear_errors(f"audio-triplet {name}"):
                    verb.main(values(["program", *map(str, arguments)]))
            except SystemExit as stop:
                return str(stop)
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds")
    for label, hertz in (("low", 200), ("high", 3000)):
        (root / label).mkdir()
        for number in range(3):
            sound = tone(2.0 + number, hertz * (1 + 0.02 * number), number)
            soundfile.write(root / label / f"{number}.wav", sound, RATE)
    soundfile.write(root / "low" / ODD, tone(1.2, 210, 9), RATE)
    soundfile.write(root / "short.flac", tone(0.3, 3000, 4, 44100), 44100)
    soundfile.write(root / "silent.wav", np.zeros(RATE * 2, "f4"), RATE)
    (root / "broken.ogg").write_bytes(b"OggS but not really")
    return root


@pytest.fixture
def index_folder(command, sounds, small_model, tmp_path):
    folder = tmp_path / "index"
    printed = command(
        "index", sounds, f"--index={folder}", f"--model={small_model.path}", "--labels=folders"
    )
    assert "9 files" in printed, printed
    return folder


def test_hits_as_tables_of_other_programs(command, index_folder, sounds, tmp_path):
    search = ("search", sounds / "low" / "0.wav", f"--index={index_folder}")
    assert "--output_dir=FOLDER" in command(*search, "--form=raven")
    hits = json.loads(
        command(*search, "--json", "--form=raven", "--form=audacity", f"--output_dir={tmp_path}")
    )["hits"]
    expected = sorted((hit["path"], hit["start_seconds"], hit["score"]) for hit in hits)
    found = reading.read_moments(tmp_path / "hits.selections.txt")
    # A name with a line break has none in the table.
    assert [m.path for m in found if "\n" not in m.path and "script" not in m.path] == [
        row[0] for row in expected if "script" not in row[0]
    ]
    assert sorted(m.score for m in found) == pytest.approx(sorted(row[2] for row in expected))
    assert len(list((tmp_path / "hits-audacity").rglob("*.labels.txt"))) == len(
        {row[0] for row in expected}
    )


@pytest.mark.slow
def test_search_finds_a_copy_first_and_not_itself(command, index_folder, sounds, tmp_path):
    copy = tmp_path / "copy.wav"
    shutil.copy(sounds / "low" / ODD, copy)
    answer = json.loads(command("search", copy, f"--index={index_folder}", "--top=4", "--json"))
    [first, *_] = answer["hits"]
    assert first["path"] == str(sounds / "low" / ODD) and first["score"] > 0.9999
    assert first["labels"] == ["low"] and first["rank"] == 1 and answer["exact"]
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True) and len(scores) == 4
    own = str(sounds / "high" / "2.wav")
    for flag, there in (("--noexclude_own", True), ("--exclude_own", False)):
        answer = json.loads(
            command("search", own, f"--index={index_folder}", "--top=99", "--json", flag)
        )
        assert (own in {hit["path"] for hit in answer["hits"]}) == there


def test_a_part_of_a_file_as_a_query(command, index_folder, sounds):
    path = sounds / "high" / "2.wav"
    answer = json.loads(
        command(
            "search",
            path,
            f"--index={index_folder}",
            "--start=1.92",
            "--end=2.9",
            "--noexclude_own",
            "--top=1",
            "--json",
        )
    )
    assert answer["hits"][0]["path"] == str(path) and answer["hits"][0]["start_seconds"] == 1.92
    assert answer["hits"][0]["score"] > 0.9999


def test_the_table_holds_one_line_a_hit(command, index_folder, sounds):
    printed = command(
        "search",
        sounds / "low" / "0.wav",
        sounds / "low" / "1.wav",
        f"--index={index_folder}",
        f"--not={sounds / 'high' / '0.wav'}",
        "--top=20",
    )
    lines = printed.strip().split("\n")
    assert lines[0].split() == ["score", "from", "to", "labels", "file"]
    assert "searched exactly" in lines[-1] and len(lines) > 5
    assert any(r"<script>alert(1)<\n& \xfc.wav" in line for line in lines)
    assert not any("low/0.wav" in line or "low/1.wav" in line for line in lines)


def test_the_page_is_whole_and_safe(command, index_folder, sounds, tmp_path):
    path = tmp_path / "found.html"
    command(
        "search",
        sounds / "low" / "0.wav",
        f"--index={index_folder}",
        "--top=30",
        f"--page={path}",
        f"--not={sounds / 'high' / '0.wav'}",
    )
    content = path.read_text(encoding="utf-8")
    page = check_page(content)
    assert "<script>alert" not in content
    players = page.all("button", **{"data-clip": None})
    assert len(players) > 8 and len(page.json("clips")["clips"]) == len(players)
    # Each group of pictures has its own clock: the hits' is as wide as the longest of them.
    spans = {attrs["data-span"] for attrs in players}
    assert "2.000" in spans and len(spans) == 2 and float(max(spans)) < 4
    assert any("alert(1)" in attrs.get("title", "") for attrs in page.all("p"))


@pytest.mark.slow
def test_queries_that_cannot_be_used_are_told(command, index_folder, sounds, caplog):
    index = f"--index={index_folder}"
    for arguments, message in (
        ([], "name the sound to look for"),
        ([sounds / "silent.wav"], "is silent"),
        ([sounds / "broken.ogg"], "broken.ogg"),
        ([sounds / "none.wav"], "none.wav"),
        ([sounds / "low" / "0.wav", "--start=50"], "no sound at 50 s"),
        ([sounds / "low" / "0.wav", "--start=2", "--end=1"], "is not after"),
        (
            [sounds / "low" / "0.wav", sounds / "low" / "1.wav", "--start=1"],
            "need a single query file",
        ),
        ([sounds / "low" / "0.wav", "--model=/nowhere"], "holds no saved_model.pb"),
    ):
        printed = command("search", index, *arguments)
        assert printed.startswith("audio-triplet search: ") and message in printed, printed
        assert "\n" not in printed
    printed = command("search", sounds / "short.flac", index, "--top=1")
    assert "0:00" in printed
    assert "less than the 0.97 s" in caplog.text or "less than the 0.98 s" in caplog.text


@pytest.mark.slow
def test_an_index_refuses_another_model(command, index_folder, sounds, tmp_path):
    other = str(tmp_path / "other")
    saved_model.export(models.build_encoder(width=0.0625, embedding_size=24, seed=9), other, {})
    for name, more in (("search", ()), ("index", ())):
        printed = command(
            name, sounds / "low" / "0.wav", f"--index={index_folder}", f"--model={other}", *more
        )
        assert "cannot be compared" in printed
    printed = command("index", sounds, f"--index={index_folder}", "--hop_seconds=0.48")
    assert "make an index of their own" in printed


@pytest.mark.slow
def test_an_index_grows_by_what_is_new(command, sounds, small_model, tmp_path):
    root, folder = tmp_path / "sounds", tmp_path / "index"
    shutil.copytree(sounds, root)
    model = f"--model={small_model.path}"
    first = command("index", root, f"--index={folder}", model)
    assert first == command("index", root, f"--index={folder}")  # the model is known by now
    assert (folder / "bad_files.csv").read_text(encoding="utf-8").count("broken.ogg") == 1
    soundfile.write(root / "new.wav", tone(3.0, 700), RATE)
    os.remove(root / "broken.ogg")
    printed = command("index", root, f"--index={folder}")
    assert "10 files" in printed and printed != first
    assert "audio-triplet index: " in command("index", f"--index={tmp_path / 'none'}")
    # What embed wrote makes the same index.
    command("embed", root, f"--output_dir={tmp_path / 'out'}", model, "--form=npz")
    again = command("index", f"--index={tmp_path / 'again'}", f"--embeddings={tmp_path / 'out'}")
    assert again.split("\n")[1:] == printed.split("\n")[1:] and "10 files" in again


@pytest.mark.slow
def test_whole_files_as_segments_and_faiss_beside_them(command, sounds, small_model, tmp_path):
    folder = tmp_path / "index"
    arguments = (f"--index={folder}", f"--model={small_model.path}", "--level=segment")
    assert "8 vectors of 9 segments" in command("index", sounds, *arguments)
    copy = tmp_path / "copy.wav"
    shutil.copy(sounds / "high" / "2.wav", copy)
    answer = json.loads(command("search", copy, f"--index={folder}", "--top=1", "--json"))
    [hit] = answer["hits"]
    assert hit["path"] == str(sounds / "high" / "2.wav") and hit["score"] > 0.9999
    assert (hit["start_seconds"], hit["end_seconds"]) == (0, 4)
    pytest.importorskip("faiss")
    assert "too few vectors (8)" in command("index", f"--index={folder}", "--faiss=ivf")
    dense = (f"--index={tmp_path / 'dense'}", "--hop_seconds=0.1", "--faiss=ivf")
    printed = command("index", sounds, *dense, f"--model={small_model.path}")
    assert "recall@10" in printed and "a patch every 0.1 s" in printed
    page = tmp_path / "new" / "page.html"
    printed = command("search", copy, f"--index={tmp_path / 'dense'}", "--top=1", f"--page={page}")
    assert "searched by IVF" in printed and str(sounds / "high") in printed
    check_page(page.read_text(encoding="utf-8"))


def test_embed_tells_what_it_did(command, sounds, small_model, tmp_path):
    out = tmp_path / "out"
    printed = command("embed", sounds, f"--output_dir={out}", f"--model={small_model.path}")
    assert "of 9 files" in printed and "1 files could not be used" in printed
    assert (out / "low" / f"{ODD}.npz").exists() and (out / "bad_files.csv").exists()
    printed = command("embed", sounds, f"--output_dir={out}", f"--model={small_model.path}")
    assert "9 files were finished before" in printed
    printed = command(
        "embed", sounds, f"--output_dir={out}", f"--model={small_model.path}", "--noresume"
    )
    assert "holds embeddings; choose another" in printed
    printed = command("embed", sounds, f"--output_dir={out}", f"--model={tmp_path}")
    assert "holds no saved_model.pb" in printed


def test_hits_have_the_clock_time_and_are_filtered_by_it(command, small_model, tmp_path):
    for number, name in enumerate(
        ("A/20240612_053000.wav", "A/20240612_120000.wav", "B/20240612_053000.wav", "B/x.wav")
    ):
        (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "s" / name, tone(2.0, 300 + 9 * number, number), RATE)
    query, index = tmp_path / "s" / "B" / "x.wav", f"--index={tmp_path / 'index'}"
    command("index", tmp_path / "s", index, f"--model={small_model.path}")

    def found(*more):
        hits = json.loads(command("search", query, index, "--json", "--per_recording=1", *more))
        return {os.path.relpath(hit["path"], tmp_path / "s"): hit for hit in hits["hits"]}

    every = found()
    assert len(every) == 3 and all("12" in hit["clock_time"] for hit in every.values())
    assert set(found("--hours=4-7")) == {"A/20240612_053000.wav", "B/20240612_053000.wav"}
    assert set(found("--hours=4-7", "--path=B/*")) == {"B/20240612_053000.wav"}
    assert set(found("--after=2024-06-12T06:00")) == {"A/20240612_120000.wav"}
    assert set(found("--before=2024-06-12T05:30:01", "--noexclude_own")) == {
        "A/20240612_053000.wav",
        "B/20240612_053000.wav",
    }
    [hit] = found("--after=2024-06-12T05:30:00.5", "--path=B/*", "--per_recording=0").values()
    assert hit["clock_time"] == "2024-06-12T05:30:00.960" and hit["start_seconds"] == 0.96
    page = tmp_path / "found.html"
    table = command("search", query, index, "--hours=12-13", f"--page={page}", "--top=1")
    assert table.split("\n")[0].split() == ["score", "from", "to", "clock", "time", "file"]
    assert "2024-06-12 12:00:0" in table and "2024-06-12 12:00:0" in page.read_text()
    assert "nothing found" in command("search", query, index, "--after=2030-01-01")
    assert "write a range of hours" in command("search", query, index, "--hours=noon")


def test_truncated_sound_is_indexed_unless_it_is_refused(command, small_model, tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    soundfile.write(folder / "whole.wav", tone(4.0, 300, 1), RATE)
    soundfile.write(folder / "cut.wav", tone(4.0, 700, 2), RATE)
    data = (folder / "cut.wav").read_bytes()
    (folder / "cut.wav").write_bytes(data[: len(data) * 3 // 5])
    model, index = f"--model={small_model.path}", tmp_path / "index"
    told = command("index", folder, f"--index={tmp_path / 'r'}", model, "--truncated=refuse")
    assert "1 files" in told and (tmp_path / "r" / "bad_files.csv").exists()
    assert "2 files" in command("index", folder, f"--index={index}", model)
    assert str(folder / "cut.wav") in (index / "truncated.csv").read_text()
    hits = json.loads(
        command("search", folder / "whole.wav", f"--index={index}", "--top=99", "--json")
    )["hits"]
    ends = [hit["end_seconds"] for hit in hits if hit["path"].endswith("cut.wav")]
    assert 1.9 < max(ends) <= 2.4
    found = command("search", folder / "cut.wav", f"--index={index}", "--top=1", "--json")
    assert len(json.loads(found)["hits"]) == 1
    out = tmp_path / "out"
    told = command("embed", folder, f"--output_dir={out}", model)
    assert "decoded: 2 by libsndfile" in told and f"see {out}/truncated.csv" in told
    summary = json.loads((out / "summary.json").read_text())
    assert summary["truncated"] == 1 and summary["decoded"] == {"libsndfile": 2}
