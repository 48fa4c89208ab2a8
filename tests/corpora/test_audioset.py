"""AudioSet on small replicas: tables byte for byte in the published form, audio in all layouts."""

import json
import os
import string
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audio_triplet import audio
from audio_triplet.corpora import audioset, audioset_files, audioset_tables
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.splits import train_test
from audio_triplet.errors import CorpusError

_LABEL_LIST = """index,mid,display_name
0,/m/09x0r,"Speech"
1,/m/05zppz,"Male speech, man speaking"
2,/m/03v3yw,"Keys jangling"
3,/m/0k4j,"Car"
4,/m/04rlf,"Music"
5,/t/dd00001,"Baby laughter"
"""

_ONTOLOGY = [
    ("/m/0dgw9r", "Human sounds", ["/m/09l8g", "/m/0hands"]),
    ("/m/09l8g", "Human voice", ["/m/09x0r", "/t/dd00001"]),
    ("/m/09x0r", "Speech", ["/m/05zppz"]),
    ("/m/05zppz", "Male speech, man speaking", []),
    ("/t/dd00001", "Baby laughter", []),
    ("/m/0hands", "Hands", []),
    ("/m/04rlf", "Music", []),
    ("/m/0k4j", "Car", []),
    ("/m/03v3yw", "Keys jangling", []),
]

# The first is the download page's own example: an id that begins with "-".
_BALANCED = [
    ("-0RWZT-miFs", 420, 430, "/m/03v3yw,/m/0k4j"),
    ("--4gqARaEJE", 0, 10, "/m/09x0r"),
    ("Y_aaaaaaaa_", 30, 40, "/m/0k4j"),
    ("0FMdORf5iGs", 30, 38.5, "/m/04rlf,/m/05zppz"),
]
_EVAL = [("zz_8-abcdef", 21, 31, "/m/03v3yw"), ("12345678901", 5, 15, "/t/dd00001")]


def _table(rows) -> str:
    """A table as published: three "#" lines, spaces after the outer commas, quoted labels."""
    head = (
        "# Segments csv created Sun Mar  5 10:54:31 2017\n"
        f"# num_ytids={len(rows)}, num_segs={len(rows)}, num_unique_labels=5, "
        "num_positive_labels=9\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
    )
    return head + "".join(f'{i}, {s:.3f}, {e:.3f}, "{labels}"\n' for i, s, e, labels in rows)


def _replica(root, files=(), seconds=0.0, **tables):
    """Writes a replica; the files are empty unless they have a duration."""
    tables = tables or {"balanced_train": _BALANCED, "eval": _EVAL}
    (root / "class_labels_indices.csv").write_text(_LABEL_LIST)
    entries = [
        {
            "id": mid, "name": name, "description": "", "citation_uri": "",
            "positive_examples": [], "child_ids": children, "restrictions": [],
        }
        for mid, name, children in _ONTOLOGY
    ]  # fmt: skip
    (root / "ontology.json").write_text(json.dumps(entries))
    for name, rows in tables.items():
        (root / f"{name}_segments.csv").write_text(_table(rows))
    for name in files:
        _file(root / name, seconds)
    return str(root)


def _file(path, seconds=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    if seconds:
        soundfile.write(path, np.zeros(round(seconds * 1000), "f4"), 1000)
    else:
        path.write_bytes(b"")


def _found(manifest: Manifest) -> dict:
    """File name → (recording, start, end)."""
    rows = manifest.frame
    names = [os.path.basename(path) for path in rows["path"]]
    ends = [None if np.isnan(end) else end for end in rows["end_seconds"]]
    return dict(zip(names, zip(rows["recording_id"], rows["start_seconds"], ends, strict=True),
                    strict=True))  # fmt: skip


def test_labels_splits_and_ids(tmp_path):
    files = ["bal/-0RWZT-miFs_420.wav", "bal/0FMdORf5iGs_30.wav", "ev/12345678901_5.ogg"]
    manifest, counts = audioset.survey(_replica(tmp_path, files))
    frame = manifest.frame
    assert list(frame["recording_id"]) == ["-0RWZT-miFs", "0FMdORf5iGs", "12345678901"]
    # Commas are part of the names; only ";" separates.
    assert list(frame["labels"]) == [
        "Keys jangling;Car", "Music;Male speech, man speaking", "Baby laughter",
    ]  # fmt: skip
    assert list(frame["split"]) == ["train", "train", "eval"]
    assert list(frame["path"]) == [str(tmp_path / name) for name in files]
    assert [(c.table, c.requested, c.found, c.missing) for c in counts] == [
        ("balanced_train_segments.csv", 4, 2, 2),
        ("eval_segments.csv", 2, 1, 1),
    ]
    assert load_corpus(f"audioset:{tmp_path}").frame.equals(frame)
    train, test = train_test(manifest)
    assert (len(train), len(test)) == (2, 1)
    # A manifest on disk brings back the ids that begin with "-" and the names with commas.
    manifest.write(tmp_path / "m.csv")
    assert Manifest.read(tmp_path / "m.csv").frame.equals(frame)


@pytest.mark.parametrize(
    "pattern",
    [
        "{id}_{s}.wav",
        "{id}_{s}.000.flac",
        "{id}_{ms}.ogg",
        "{id}_{s}_{e}.wav",
        "{id}_{s}.000_{e}.000.wav",
        "{id}_{ms}_{ems}.mp3",
        "Y{id}_{s}.000_{e}.000.wav",
        "Y{id}.wav",
        "{id}.flac",
        "balanced_train_segments/{id}_{s}.WAV",
        "audio/train/00/Y{id}_{ms}.wav",
    ],
)
def test_layouts_of_cut_segments(tmp_path, pattern):
    names = {
        pattern.format(id=i, s=int(s), e=int(e), ms=int(1000 * s), ems=int(1000 * e)): i
        for i, s, e, _ in _BALANCED + _EVAL
    }
    root = _replica(tmp_path)
    for name in names:
        bare = "{s}" not in pattern and "{ms}" not in pattern
        _file(tmp_path / name, 10.02 if bare and not name.endswith("mp3") else 0)
    found = _found(audioset.load(root))
    assert found == {os.path.basename(name): (i, 0, None) for name, i in names.items()}


def test_whole_videos_are_cut(tmp_path):
    root = _replica(tmp_path, ["v/-0RWZT-miFs.wav", "v/Y0FMdORf5iGs.wav"], seconds=431)
    # The same kind of name in one folder, but 10 s: a cut.
    _file(tmp_path / "v" / "12345678901.flac", 10.5)
    manifest, counts = audioset.survey(root)
    assert _found(manifest) == {
        "-0RWZT-miFs.wav": ("-0RWZT-miFs", 420, 430),
        "Y0FMdORf5iGs.wav": ("0FMdORf5iGs", 30, 38.5),
        "12345678901.flac": ("12345678901", 0, None),
    }
    assert [count.cut for count in counts] == [2, 0]


@pytest.mark.parametrize("odd", [0, 3])
def test_a_large_folder_of_bare_names_is_probed_in_part(tmp_path, monkeypatch, odd):
    """All of one kind: 4 probes of 8 files. One of another kind among the probes: all 8."""
    monkeypatch.setattr(audioset_files, "PROBES", 4)
    rows = [(f"{n:011d}", 100, 110, "/m/0k4j") for n in range(8)]
    root = _replica(tmp_path, balanced_train=rows)
    for number, row in enumerate(rows):
        _file(tmp_path / f"{row[0]}.wav", 10 if number < odd else 120)
    looked = []
    probe = audio.probe
    monkeypatch.setattr(audio, "probe", lambda path: looked.append(path) or probe(path))
    frame = audioset.load(root).frame
    assert len(set(looked)) == (8 if odd else 4)
    assert list(frame["end_seconds"].notna()) == [number >= odd for number in range(8)]


def test_the_more_telling_name_is_taken(tmp_path):
    files = ["-0RWZT-miFs.wav", "-0RWZT-miFs_420.wav", "b/-0RWZT-miFs_420.000_430.000.wav"]
    assert list(_found(audioset.load(_replica(tmp_path, files)))) == [os.path.basename(files[2])]


def test_files_of_other_times_and_other_files_are_not_taken(tmp_path):
    files = [
        "-0RWZT-miFs_430.wav", "-0RWZT-miFs_420_440.wav", "-0RWZT-miFs_42.wav", "notes.wav",
        ".-0RWZT-miFs_420.wav", "-0RWZT-miFs_420.json", "12345678901_5000.wav",
    ]  # fmt: skip
    assert list(_found(audioset.load(_replica(tmp_path, files)))) == ["12345678901_5000.wav"]


def test_unreadable_bare_files_stay_in_for_the_reader_to_name(tmp_path, caplog):
    root = _replica(tmp_path, ["-0RWZT-miFs.wav"])
    with caplog.at_level("WARNING", logger="absl"):
        assert len(audioset.load(root)) == 1
    assert "durations of 1 files cannot be read" in caplog.text
    assert "requested 4, found 1 (0 cut from whole videos), missing 3" in caplog.text


def test_linked_folders_are_followed_once(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "here").mkdir()
    _file(tmp_path / "disk" / "-0RWZT-miFs_420.wav")
    root = _replica(tmp_path / "here")
    os.symlink(tmp_path / "disk", tmp_path / "here" / "audio")
    os.symlink(tmp_path / "disk", tmp_path / "here" / "again")
    os.symlink(tmp_path / "here", tmp_path / "disk" / "circle")
    assert len(audioset.load(root)) == 1


@pytest.mark.parametrize(
    ("exclude", "subtrees", "kept"),
    [
        ((), (), {"-0RWZT-miFs", "--4gqARaEJE", "Y_aaaaaaaa_", "0FMdORf5iGs", "12345678901"}),
        (("Speech",), (), {"-0RWZT-miFs", "Y_aaaaaaaa_", "0FMdORf5iGs", "12345678901"}),
        (("/m/0k4j",), (), {"--4gqARaEJE", "0FMdORf5iGs", "12345678901"}),
        ((), ("Speech",), {"-0RWZT-miFs", "Y_aaaaaaaa_", "12345678901"}),
        # An abstract class, which is not in the label list.
        ((), ("Human voice",), {"-0RWZT-miFs", "Y_aaaaaaaa_"}),
        (("Car",), ("/m/09l8g", "Music"), set()),
    ],
)
def test_exclusion(tmp_path, exclude, subtrees, kept):
    files = [f"{row[0]}_{row[1]}.wav" for row in [*_BALANCED, _EVAL[1]]]
    root = _replica(tmp_path, files)
    if not kept:
        with pytest.raises(CorpusError, match="no audio of any of the 1 requested"):
            audioset.load(root, exclude, subtrees)
        return
    manifest, counts = audioset.survey(root, exclude, subtrees)
    assert set(manifest.frame["recording_id"]) == kept
    assert sum(count.listed for count in counts) == 6
    assert sum(count.excluded for count in counts) == 5 - len(kept)


@pytest.mark.parametrize(
    ("rest", "kept"),
    [
        ("", {"-0RWZT-miFs", "--4gqARaEJE", "Y_aaaaaaaa_", "0FMdORf5iGs", "12345678901"}),
        (
            "?without=Male speech, man speaking; Keys jangling",
            {"--4gqARaEJE", "Y_aaaaaaaa_", "12345678901"},
        ),
        ("?without_subtree=Human voice", {"-0RWZT-miFs", "Y_aaaaaaaa_"}),
        ("?without=Keys jangling&without_subtree=Speech;Music", {"Y_aaaaaaaa_", "12345678901"}),
    ],
)
def test_exclusion_in_the_corpus_string(tmp_path, rest, kept):
    root = _replica(tmp_path, [f"{row[0]}_{row[1]}.wav" for row in [*_BALANCED, _EVAL[1]]])
    assert set(load_corpus(f"audioset:{root}{rest}").frame["recording_id"]) == kept


def test_exclusion_in_the_corpus_string_is_checked(tmp_path):
    root = _replica(tmp_path, ["-0RWZT-miFs_420.wav"])
    for rest in ("?without", "?without=", "?without_branch=Music", "?without=Car&without_x=Music"):
        with pytest.raises(CorpusError, match="after the folder write .without=CLASS"):
            load_corpus(f"audioset:{root}{rest}")
    with pytest.raises(CorpusError, match="did you mean 'Speech'"):
        load_corpus(f"audioset:{root}?without=speach")


def test_counts_reach_the_summary_of_the_prepared_folder(tmp_path):
    """Requested, found, excluded, and broken, because dead links shift scores."""
    from audio_triplet.config import PrepareConfig
    from data_prep.preparation import prepare

    names = [f"{row[0]}_{row[1]}.wav" for row in (_BALANCED[0], _BALANCED[2], *_EVAL)]
    root = _replica(tmp_path, names, seconds=2.0)
    (tmp_path / names[1]).write_bytes(b"broken")
    out = tmp_path / "out"
    manifest = load_corpus(f"audioset:{root}?without=Speech")
    prepare(manifest, str(out), PrepareConfig(max_bad_share=0.5), progress=False)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["requested"]["balanced_train_segments.csv"] == {
        "table": "balanced_train_segments.csv",
        "listed": 4,
        "excluded": 1,
        "repeated": 0,
        "requested": 3,
        "found": 2,
        "cut": 0,
        "missing": 1,
    }
    assert summary["requested"]["eval_segments.csv"]["found"] == 2
    assert summary["files"] == {"found": 4, "broken": 1}
    assert summary["classes"]["Keys jangling"]["segments"] == 2


def test_a_video_in_both_tables_stays_whole_in_eval(tmp_path, caplog):
    rows = {
        "unbalanced_train": [
            ("-0RWZT-miFs", 420, 430, "/m/0k4j"),
            ("aaaaaaaaaaa", 0, 10, "/m/0k4j"),
        ],
        "eval": [("-0RWZT-miFs", 420, 430, "/m/03v3yw"), ("aaaaaaaaaaa", 90, 100, "/m/0k4j")],
    }
    files = ["-0RWZT-miFs_420.wav", "aaaaaaaaaaa_0.wav", "aaaaaaaaaaa_90.wav"]
    with caplog.at_level("WARNING", logger="absl"):
        manifest, counts = audioset.survey(_replica(tmp_path, files, **rows))
    frame = manifest.frame
    assert list(frame["split"]) == ["unused", "eval", "eval"]
    assert list(frame["labels"]) == ["Car", "Keys jangling", "Car"]
    assert "1 segments are unused" in caplog.text
    assert [(count.repeated, count.requested) for count in counts] == [(1, 1), (0, 2)]


def test_segments_that_share_one_cut_file_are_left_out(tmp_path, caplog):
    rows = [("-0RWZT-miFs", 0, 10, "/m/0k4j"), ("-0RWZT-miFs", 10, 20, "/m/09x0r")]
    rows.append(("aaaaaaaaaaa", 0, 10, "/m/0k4j"))
    root = _replica(tmp_path, balanced_train=rows)
    _file(tmp_path / "-0RWZT-miFs.wav", 10)
    _file(tmp_path / "aaaaaaaaaaa.wav", 10)
    with caplog.at_level("WARNING", logger="absl"):
        assert list(_found(audioset.load(root))) == ["aaaaaaaaaaa.wav"]
    assert "2 segments are left out" in caplog.text
    # A whole video is no such case.
    _file(tmp_path / "-0RWZT-miFs.wav", 300)
    assert list(audioset.load(root).frame["end_seconds"].dropna()) == [10, 20]


def test_semicolons_in_names(tmp_path):
    path = tmp_path / "class_labels_indices.csv"
    path.write_text('index,mid,display_name\n1,/m/b,"a; b"\n0,/m/a,"a, b"\n2,/m/c,c\n')
    expected = {"/m/a": "a, b (/m/a)", "/m/b": "a, b (/m/b)", "/m/c": "c"}
    assert audioset_tables.read_label_list(str(path)) == expected
    assert list(audioset_tables.read_label_list(str(path))) == ["/m/a", "/m/b", "/m/c"]


def _write(name, text):
    return lambda root: (root / name).write_text(text)


_STRONG = (
    "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\nb0RFKhbpFJA_30000\t0\t10\t/m/x\n"
)
_HEAD = "# a\n# b\n# YTID, start_seconds, end_seconds, positive_labels\n"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_write("eval_segments.csv", _STRONG), r"eval_segments.csv: no '# YTID.*download it from"),
        (_write("eval_segments.csv", ""), r"eval_segments.csv: no '# YTID"),
        (_write("eval_segments.csv", _HEAD), "eval_segments.csv: no rows below its head"),
        (
            _write("eval_segments.csv", _HEAD + "12345678901, 5, 15, /m/0k4j, /m/09x0r\n"),
            "row 1 below the head: more than 4 cells",
        ),
        (
            _write("eval_segments.csv", _HEAD + '12345678901, 5, 15, "/m/0k4j"\nabc, 1, 2, "/m/a"'),
            r"row 2 below the head: 'abc, 1, 2, /m/a' is not",
        ),
        (
            _write("eval_segments.csv", _HEAD + '12345678901, 15, 5, "/m/0k4j"\n'),
            "row 1 below the head",
        ),
        (
            _write("eval_segments.csv", _HEAD + '12345678901, 5, 15, "/m/0k4j,/m/zz"\n'),
            r"eval_segments.csv: label '/m/zz' of segment 12345678901 is not in .*class_labels_ind",
        ),
        (
            _write("class_labels_indices.csv", "id,name\n/m/a,b\n"),
            r"class_labels_indices.csv: no column index, mid, display_name; .* copy that one",
        ),
        (
            _write("class_labels_indices.csv", "index,mid,display_name\n0,/m/a,b\n2,/m/c,d\n"),
            r"class_labels_indices.csv: its indices are not 0 … 1",
        ),
        (
            lambda root: (root / "class_labels_indices.csv").unlink(),
            "no class_labels_indices.csv in it or below; download it from",
        ),
        (
            lambda root: [path.unlink() for path in root.glob("*_segments.csv")],
            "none of unbalanced_train_segments.csv, .* in it or below",
        ),
        (
            lambda root: (root / "12345678901_5.wav").rename(root / "12345678901_5.mid"),
            r"no audio of any of the 6 requested segments among 0 sound files",
        ),
    ],
)
def test_clear_errors(tmp_path, spoil, message):
    root = _replica(tmp_path, ["12345678901_5.wav"])
    spoil(tmp_path)
    with pytest.raises(CorpusError, match=message) as error:
        audioset.load(root)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_clear_errors_of_exclusion(tmp_path):
    root = _replica(tmp_path, ["12345678901_5.wav"])
    with pytest.raises(CorpusError, match="no class 'speach' to exclude; did you mean 'Speech'"):
        audioset.load(root, ["speach"])
    with pytest.raises(CorpusError, match=r"ontology.json: no class 'Xyz' to exclude; use a"):
        audioset.load(root, (), ["Xyz"])
    with pytest.raises(TypeError, match="not one string"):
        audioset.load(root, "Speech")
    (tmp_path / "ontology.json").write_text("[1]")
    with pytest.raises(CorpusError, match="not AudioSet's ontology"):
        audioset.load(root, (), ["Speech"])
    (tmp_path / "ontology.json").unlink()
    with pytest.raises(CorpusError, match="no ontology.json in it or below"):
        audioset.load(root, (), ["Speech"])
    with pytest.raises(CorpusError, match="no such folder"):
        load_corpus(f"audioset:{tmp_path}/none")


_IDS = st.text(string.ascii_letters + string.digits + "_-", min_size=11, max_size=11)


@given(_IDS, st.integers(0, 40_000), st.integers(0, 999), st.booleans(), st.data())
def test_every_id_is_read_back_from_every_layout(video, start, milliseconds, y, data):
    """Ids may hold "_", digits, and begin with "Y" or "-": no layout is read as another."""
    start = start + milliseconds / 1000
    end = start + 10
    times = data.draw(
        st.sampled_from(
            [
                "", f"_{start:.3f}", f"_{int(start)}", f"_{round(start * 1000)}",
                f"_{start:.3f}_{end:.3f}", f"_{round(start * 1000)}_{round(end * 1000)}",
            ]
        )
    )  # fmt: skip
    found, *named = audioset_files.parse_name("Y" * y + video + times)
    assert found == video
    first, last = (pd.Series([time]) for time in named)
    assert audioset_files.times_agree(first, last, pd.Series([start]), pd.Series([end])).all()


def test_needs_no_tensorflow():
    code = (
        "import sys; import audio_triplet.corpora.registry; sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
