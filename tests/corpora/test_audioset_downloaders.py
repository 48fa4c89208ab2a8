"""AudioSet's audio as downloaders name it, beside the published tables."""

import pytest

from audio_triplet.corpora import audioset, audioset_files

_NAN = pytest.approx(float("nan"), nan_ok=True)

_TABLE = (
    "# Segments csv created Sun Mar  5 10:54:31 2017\n"
    "# num_ytids=3, num_segs=3, num_unique_labels=1, num_positive_labels=3\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n"
    '-0RWZT-miFs, 420.000, 430.000, "/m/09x0r"\n'
    'Y_aaaaaaaa_, 30.000, 40.000, "/m/09x0r"\n'
    'id_aaaaaaaa, 0.000, 10.000, "/m/09x0r"\n'
)
_LABELS = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n'


@pytest.mark.parametrize(
    ("stem", "parsed"),
    [
        ("-0RWZT-miFs_420.0-430.0", ("-0RWZT-miFs", 420, 430)),  # audioset-download 0.1
        ("-0RWZT-miFs-420-430", ("-0RWZT-miFs", 420, 430)),
        ("-0RWZT-miFs-420000-430000", ("-0RWZT-miFs", 420_000, 430_000)),
        ("-0RWZT-miFs-420", ("-0RWZT-miFs", 420, _NAN)),
        ("Y_aaaaaaaa_-30-40", ("Y_aaaaaaaa_", 30, 40)),
    ],
)
def test_hyphens(stem, parsed):
    assert audioset_files.parse_name(stem) == parsed
    assert audioset_files.readings(f"id_{stem}") == [parsed]


def test_an_id_that_begins_with_the_prefix_has_both_readings():
    assert audioset_files.readings("id_aaaaaaaa") == [("id_aaaaaaaa", _NAN, _NAN)]
    assert audioset_files.readings("id_aaaaaaaa_30") == [
        ("id_aaaaaaaa", 30, _NAN),
        ("aaaaaaaa_30", _NAN, _NAN),
    ]


def test_the_folders_of_audioset_download(tmp_path):
    """One folder per label, and the times with a hyphen between them."""
    (tmp_path / "eval_segments.csv").write_text(_TABLE)
    (tmp_path / "class_labels_indices.csv").write_text(_LABELS)
    names = ["-0RWZT-miFs_420.0-430.0.wav", "Y_aaaaaaaa_-30-40.flac", "id_aaaaaaaa_0_10.wav"]
    (tmp_path / "Speech").mkdir()
    for name in names:
        (tmp_path / "Speech" / name).write_bytes(b"")
    # Other times of a video that is asked for: not its segment.
    (tmp_path / "Speech" / "-0RWZT-miFs_10.0-20.0.wav").write_bytes(b"")
    frame = audioset.load(str(tmp_path)).frame
    assert list(frame["path"]) == [str(tmp_path / "Speech" / name) for name in names]
    assert list(frame["recording_id"]) == ["-0RWZT-miFs", "Y_aaaaaaaa_", "id_aaaaaaaa"]
