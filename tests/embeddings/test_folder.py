import os

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from audio_triplet import models
from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.embeddings import folder, saved_model
from audio_triplet.embeddings.set_files import load_set
from audio_triplet.errors import ArchiveError
from tests.conftest import RATE, tone
from tests.embeddings.conftest import files


@given(st.lists(st.text(st.sampled_from("ab/.A \n<é"), min_size=1), min_size=1, max_size=6))
def test_no_name_leaves_the_folder_and_none_meet(names):
    paths = [f"/archive/{number}/{name}" for number, name in enumerate(names)]
    outputs = folder.output_names(paths, names)
    whole = [os.path.normpath(os.path.join("/out", output)) for output in outputs]
    assert all(path.startswith("/out/") and path.endswith(".npz") for path in whole)
    assert len({path.casefold() for path in whole}) == len(names)


def test_names_are_those_of_the_sounds():
    long = "x" * 250 + ".wav"
    outputs = folder.output_names(
        ["/a/d/x.wav", "/b/d/X.wav", "/a/e/ü 1.wav", f"/a/{long}"],
        ["d/x.wav", "d/X.wav", "e/ü 1.wav", long],
    )
    assert outputs[2] == "e/ü 1.wav.npz"
    assert outputs[0].startswith("d/x.wav.") and outputs[0] != outputs[1]
    assert len(outputs[3].encode()) <= 255


@pytest.fixture
def archive_folder(tmp_path):
    root = tmp_path / "in"
    (root / "b").mkdir(parents=True)
    for number, name in enumerate(("a.wav", "b/c d.wav", "b/\n<script>.wav")):
        soundfile.write(root / name, tone(1.5 + number, 400, number), RATE)
    (root / "bad.wav").write_bytes(b"no")
    names = ["a.wav", "b/c d.wav", "b/\n<script>.wav", "bad.wav"]
    return files(*(root / name for name in names)), names


def test_a_folder_goes_on_where_it_stopped(small_model, archive_folder, tmp_path, monkeypatch):
    manifest, names = archive_folder
    out = str(tmp_path / "out")
    seconds, bad = [], BadFiles()
    done = folder.embed_to_folder(
        small_model, manifest, names, out, bad_files=bad, on_progress=seconds.append
    )
    assert (done.files, done.finished, len(bad.entries)) == (3, 0, 1)
    assert done.seconds == pytest.approx(1.5 + 2.5 + 3.5) == sum(seconds)
    assert sorted(os.listdir(out)) == ["a.wav.npz", "b", "embeddings.json"]
    assert sorted(os.listdir(os.path.join(out, "b"))) == ["\n<script>.wav.npz", "c d.wav.npz"]
    # One is removed as if it had not been finished, one is cut short, one sound changes.
    os.remove(os.path.join(out, "a.wav.npz"))
    cut = os.path.join(out, "b", "c d.wav.npz")
    with open(cut, "r+b") as file:
        file.truncate(900)
    untouched = os.path.join(out, "b", "\n<script>.wav.npz")
    before = os.stat(untouched).st_mtime_ns
    done = folder.embed_to_folder(small_model, manifest, names, out)
    assert (done.files, done.finished) == (2, 1)
    assert os.stat(untouched).st_mtime_ns == before
    soundfile.write(manifest.frame["path"][0], tone(4.0, 900), RATE)
    done = folder.embed_to_folder(small_model, manifest, names, out)
    assert (done.files, done.finished) == (1, 2)
    assert len(load_set(os.path.join(out, "a.wav.npz"))) == 4
    done = folder.embed_to_folder(small_model, manifest, names, out, overwrite=True)
    assert (done.files, done.finished) == (3, 0)


@pytest.mark.slow
def test_a_folder_of_other_embeddings_is_refused(small_model, archive_folder, tmp_path):
    manifest, names = archive_folder
    out = str(tmp_path / "out")
    folder.embed_to_folder(small_model, manifest, names, out)
    with pytest.raises(ArchiveError, match=r"hop_seconds was 0\.96, is 0\.48"):
        folder.embed_to_folder(small_model, manifest, names, out, EmbedConfig(hop_seconds=0.48))
    other = str(tmp_path / "other")
    saved_model.export(models.build_encoder(width=0.0625, embedding_size=24, seed=9), other, {})
    with pytest.raises(ArchiveError, match="model_digest was"):
        folder.embed_to_folder(saved_model.Model(other), manifest, names, out)


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_one_set_grows_by_new_files(small_model, archive_folder, tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    manifest, names = archive_folder
    out = str(tmp_path / "out")
    first = manifest.take(np.array([0, 1]))
    folder.embed_to_folder(small_model, first, names[:2], out, form=form)
    assert set(os.listdir(out)) == {f"embeddings.{form}", "embeddings.json"}
    soundfile.write(manifest.frame["path"][0], tone(4.0, 900), RATE)
    done = folder.embed_to_folder(small_model, manifest, names, out, form=form)
    assert (done.files, done.finished) == (2, 1)
    whole = load_set(os.path.join(out, f"embeddings.{form}"))
    counts = dict(
        zip(
            [os.path.basename(path) for path in whole.manifest.frame["path"]],
            np.bincount(whole.segment_index),
            strict=True,
        )
    )
    assert counts == {"a.wav": 4, "c d.wav": 2, "\n<script>.wav": 3}


def test_segments_of_one_file_go_into_one_output(small_model, sounds, tmp_path):
    path = next(path for path in sounds if path.endswith("s7.flac"))
    manifest = files(path, path, start_seconds=[0.0, 2.0], end_seconds=[2.0, 4.0])
    folder.embed_to_folder(small_model, manifest, ["s7.flac"] * 2, str(tmp_path / "out"))
    back = load_set(str(tmp_path / "out" / "s7.flac.npz"))
    assert list(back.manifest.frame["start_seconds"]) == [0.0, 2.0]
    assert back.start_seconds.tolist() == [0.0, 0.96, 2.0, 2.96]
