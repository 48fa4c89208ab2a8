"""AudioSet's strong labels as moments, on replicas of the published tables."""

import numpy as np
import pytest
import soundfile

from audio_triplet import audio
from audio_triplet.corpora.registry import load_corpus
from audio_triplet.errors import CorpusError

_HEAD = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n"
_TRAIN = [
    ("b0RFKhbpFJA_30000", "0.000", "10.000", "/m/03m9d0z"),
    ("b0RFKhbpFJA_30000", "2.500", "3.250", "/m/05tny_"),
    ("b0RFKhbpFJA_30000", "2.500", "3.250", "/m/09x0r"),
    ("b0RFKhbpFJA_30000", "3.000", "4.000", "/m/09x0r"),
    ("b0RFKhbpFJA_30000", "5.000", "5.000", "/m/09x0r"),
    ("-0RWZT-miFs_420000", "1.000", "2.000", "/m/05tny_"),
]
_EVAL = [("Y_aaaaaaaa__0", "0.000", "8.500", "/t/dd1")]
_NAMES = '/m/03m9d0z\tRain\n/m/05tny_\tBark\n/m/09x0r\tSpeech\n/t/dd1\t"Hum; mains"\n'


def _replica(root, names=_NAMES, **tables):
    for name, rows in (tables or {"train": _TRAIN, "eval": _EVAL}).items():
        text = _HEAD + "".join("\t".join(row) + "\n" for row in rows)
        (root / f"audioset_{name}_strong.tsv").write_text(text)
    if names is not None:
        (root / "mid_to_display_name.tsv").write_text(names)
    return str(root)


def _sound(path, seconds):
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * 1000), "f4"), 1000)


def test_moments_of_cut_files_and_of_a_whole_video(tmp_path, caplog):
    root = _replica(tmp_path)
    _sound(tmp_path / "Rain" / "b0RFKhbpFJA_30.0-40.0.wav", 10)
    _sound(tmp_path / "whole" / "-0RWZT-miFs.wav", 500)
    with caplog.at_level("INFO", logger="absl"):
        made = load_corpus(f"audioset:{root}?strong")
    frame = made.frame
    rows = list(frame[["recording_id", "start_seconds", "end_seconds", "labels"]].itertuples())
    # A moment has the labels of what lasts throughout it, in the table's order.
    assert [tuple(row[1:]) for row in rows] == [
        ("b0RFKhbpFJA", 0.0, 10.0, "Rain"),
        ("b0RFKhbpFJA", 2.5, 3.25, "Rain;Bark;Speech"),
        ("b0RFKhbpFJA", 3.0, 4.0, "Rain;Speech"),
        ("-0RWZT-miFs", 421.0, 422.0, "Bark"),
    ]
    assert set(frame["split"]) == {"train"}
    assert frame.attrs["requested"] == {
        "audioset_train_strong.tsv": {"requested": 2, "found": 2},
        "audioset_eval_strong.tsv": {"requested": 1, "found": 0},
    }
    assert frame.attrs["passed_over"] == {}
    assert "1 moments without length are left out" in caplog.text
    assert len(audio.read_piece(frame["path"][3], 421.0, 1.0)) == 16_000


def test_the_ends_of_the_published_segments(tmp_path):
    """A segment of 8.5 s, in a file named by its end."""
    _replica(tmp_path)
    (tmp_path / "eval_segments.csv").write_text(
        '# YTID, start_seconds, end_seconds, positive_labels\nY_aaaaaaaa_, 0, 8.5, "/t/dd1"\n'
    )
    _sound(tmp_path / "audio" / "Y_aaaaaaaa__0_8.5.wav", 8.5)
    frame = load_corpus(f"audioset:{tmp_path}?strong").frame
    assert list(frame["labels"]) == ["Hum, mains"] and list(frame["split"]) == ["eval"]


def test_a_video_on_both_sides_stays_in_eval(tmp_path):
    both = ("b0RFKhbpFJA_90000", "0.000", "1.000", "/m/05tny_")
    _replica(tmp_path, train=_TRAIN[:1], eval=[both])
    for start in (30, 90):
        _sound(tmp_path / "audio" / f"b0RFKhbpFJA_{start}.wav", 10)
    assert list(load_corpus(f"audioset:{tmp_path}?strong").frame["split"]) == ["unused", "eval"]


def test_names_from_the_label_list(tmp_path):
    _replica(tmp_path, names=None, train=_TRAIN[-1:])
    _sound(tmp_path / "audio" / "-0RWZT-miFs_420.wav", 10)
    with pytest.raises(CorpusError, match="no mid_to_display_name.tsv in it or below; download"):
        load_corpus(f"audioset:{tmp_path}?strong")
    labels = tmp_path / "class_labels_indices.csv"
    labels.write_text("index,mid,display_name\n0,/m/05tny_,Bark\n")
    assert list(load_corpus(f"audioset:{tmp_path}?strong").frame["labels"]) == ["Bark"]
    labels.write_text("index,mid,display_name\n0,/m/09x0r,Speech\n")
    with pytest.raises(CorpusError, match="no name of '/m/05tny_'; put mid_to_display_name.tsv"):
        load_corpus(f"audioset:{tmp_path}?strong")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("segment_id,start\nx,1\n", "strong.tsv: its first line is not 'segment_id start_time"),
        (_HEAD, "no rows below its head"),
        ("", "cannot be read"),
        (
            _HEAD + "b0RFKhbpFJA\t0\t1\t/m/1\n",
            "row 1 below the head: 'b0RFKhbpFJA 0 1 /m/1' is not",
        ),
        (_HEAD + "b0RFKhbpFJA_0\t2\t1\t/m/1\n", "row 1 below the head: .* is not 'YTID_MILLISEC"),
        (_HEAD + "b0RFKhbpFJA_0\t0\tx\t/m/1\n", "row 1 below the head"),
    ],
)
def test_clear_errors(tmp_path, text, message):
    with pytest.raises(CorpusError, match="none of audioset_train_strong.tsv, audioset_eval_st"):
        load_corpus(f"audioset:{tmp_path}?strong")
    _replica(tmp_path, train=_TRAIN)
    with pytest.raises(CorpusError, match="no audio of any of the 2 requested segments"):
        load_corpus(f"audioset:{tmp_path}?strong")
    (tmp_path / "audioset_train_strong.tsv").write_text(text)
    with pytest.raises(CorpusError, match=message):
        load_corpus(f"audioset:{tmp_path}?strong")
