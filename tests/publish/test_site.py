"""The folder of a published archive: what is in it, and what is not."""

import json
import os

import numpy as np
import pytest
import soundfile

from audio_triplet.errors import DeploymentError, UsageError
from audio_triplet.publish import archive, runtime, site
from audio_triplet.search.index import Index
from tests.publish.conftest import ODD, PRIVATE


def _files(folder):
    return {
        os.path.relpath(os.path.join(current, name), folder)
        for current, _, names in os.walk(folder)
        for name in names
    }


def test_vectors_are_those_of_the_index_as_its_likeness_maps_them(publish, indexed, monkeypatch):
    monkeypatch.setattr("audio_triplet.publish.site.BLOCK", 7)
    folder = publish(audio="none")
    info = json.loads((folder / "archive.json").read_text())
    codes = np.fromfile(folder / "vectors.i8", np.int8).reshape(-1, info["dim"])
    scales = np.fromfile(folder / "scales.f32", "<f4")
    blocks = sorted((folder / "fine").iterdir(), key=lambda path: int(path.stem))
    fine = np.concatenate([np.fromfile(block, np.int8) for block in blocks]).reshape(codes.shape)
    spans = np.fromfile(folder / "spans.f64", "<f8").reshape(-1, 2)
    owners = np.fromfile(folder / "segments.u32", "<u4")
    index = Index(indexed)
    likeness = index.likeness[0]
    numbers = np.fromfile(folder / "constants.f32", "<f4")
    np.testing.assert_array_equal(numbers, np.r_[likeness.mean, likeness.map.ravel()])
    assert len(codes) == len(scales) == len(spans) == len(owners) == len(index)
    for number, (file, _, labels) in enumerate(info["segments"]):
        name = info["files"][file]["name"]
        path = os.path.join(os.path.dirname(indexed), "archive", name)
        (recording,) = index.recordings_of(path)
        vectors, start, end = index.vectors_of_recording(recording)
        mine = owners == number
        np.testing.assert_array_equal(spans[mine], np.stack([start, end], axis=1))
        # Half a step of the vector's scale, at most.
        off = codes[mine] * scales[mine, None] - likeness.mapped(vectors)
        assert (np.abs(off) <= 0.5001 * scales[mine, None]).all()
        off += fine[mine] / archive.FINE_STEPS * scales[mine, None]
        assert (np.abs(off) <= 0.6 / archive.FINE_STEPS * scales[mine, None]).all()
        assert labels == [os.path.dirname(name)]


def test_recall_is_told_of_what_eight_bits_lose():
    vectors = np.random.default_rng(0).normal(size=(3000, 32)).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes, scales = archive.eight_bits(vectors)
    assert 0.97 < archive.recall_of(vectors, codes, scales) <= 1
    coarse = (codes // 64) * np.int8(64)
    assert archive.recall_of(vectors, coarse, scales) < 0.9


def test_what_is_excluded_is_in_no_file(publish, indexed):
    everything, without = publish(audio="copy"), None
    assert any(PRIVATE.encode() in path.read_bytes() for path in everything.rglob("*.json"))
    without = publish(audio="copy", exclude=(f"{PRIVATE}/*",))
    index = Index(indexed)
    path = os.path.join(os.path.dirname(indexed), "archive", PRIVATE, "secret.wav")
    (recording,) = index.recordings_of(path)
    secret = index.vectors_of_recording(recording)[0]
    codes, _ = archive.eight_bits(index.likeness[0].mapped(secret))
    sound = soundfile.read(path, dtype="int16")[0].tobytes()
    for name in _files(without):
        content = (without / name).read_bytes()
        assert PRIVATE.encode() not in content and b"secret" not in content
        assert sound[1000:1200] not in content
        assert not any(code.tobytes() in content for code in codes)
    info = json.loads((without / "archive.json").read_text())
    assert PRIVATE not in info["words"] and len(info["files"]) == 8


def test_no_path_of_the_machine_is_in_it_and_names_are_escaped(publish, indexed):
    folder = publish(audio="none", title=ODD, licence="<i>CC0</i>")
    root = os.path.dirname(indexed).encode()
    for name in _files(folder):
        assert root not in (folder / name).read_bytes(), name
    page = (folder / "index.html").read_text()
    assert "<script>alert" not in page and "&lt;i&gt;CC0" in page
    assert (
        "unsafe-inline" not in page
        and "unsafe-eval'" in page.replace("wasm-unsafe-eval", "")[:0] + "unsafe-eval'"
    )
    assert "CC0" in (folder / "README.txt").read_text()
    names = {file["name"] for file in json.loads((folder / "archive.json").read_text())["files"]}
    assert f"low/{ODD}" in names


def test_every_moment_lies_whole_in_a_piece_of_sound(publish, sounds, monkeypatch):
    monkeypatch.setattr("audio_triplet.publish.sounds.PIECE_SECONDS", 1.5)
    monkeypatch.setattr("audio_triplet.publish.sounds.MOST_SECONDS", 1.0)
    folder = publish(audio_seconds=4.0)
    info = json.loads((folder / "archive.json").read_text())
    pieces = {file["name"]: file["sound"] for file in info["files"]}
    # 4.2 s of which 4 are published: from 0, 1.5 and 3 s on.
    lengths = [soundfile.info(folder / name).duration for name in pieces["high/fast.flac"]]
    np.testing.assert_allclose(lengths, [2.5, 2.5, 1.0], atol=0.01)
    assert all((folder / name).exists() for names in pieces.values() for name in names)


def test_a_failed_publish_leaves_the_old_site_whole(publish, packages):
    folder = publish(audio="none")
    before = {name: (folder / name).read_bytes() for name in _files(folder)}
    with open(os.path.join(packages, runtime.PACKAGES[1].file), "ab") as file:
        file.write(b"!")
    with pytest.raises(DeploymentError, match="checksum"):
        publish(audio="none", title="another")
    assert {name: (folder / name).read_bytes() for name in _files(folder)} == before
    assert os.listdir(folder.parent).count("site") == 1
    assert not any(name.endswith(".tmp") for name in os.listdir(folder.parent))


def test_a_folder_with_something_else_is_not_replaced(indexed, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="something else"):
        site.write(site.SiteConfig(indexed, str(tmp_path / "mine")))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


def test_without_a_network_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(DeploymentError, match="--runtime"):
        runtime.write(str(tmp_path / "site"), str(tmp_path / "none"))
