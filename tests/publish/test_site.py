"""The folder of a published archive: what is in it, and what is not."""

import csv
import gzip
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


def _names(folder):
    return json.loads(gzip.decompress((folder / "names.json.gz").read_bytes()))


def _unwoven(path, dtype):
    """An array whose items' first bytes come first."""
    size = np.dtype(dtype).itemsize
    planes = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8).reshape(size, -1)
    return np.ascontiguousarray(planes.T).view(dtype).ravel()


def _content(path):
    """What is in a file, unpacked."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def test_vectors_are_those_of_the_index_as_its_likeness_maps_them(publish, indexed, monkeypatch):
    monkeypatch.setattr("audio_triplet.publish.data.BLOCK_AT_ONCE", 7)
    folder = publish(audio="none")
    info = json.loads((folder / "archive.json").read_text()) | _names(folder)
    codes = np.fromfile(folder / "vectors.i8", np.int8).reshape(-1, info["dim"])
    scales = np.fromfile(folder / "scales.f32", "<f4")
    blocks = sorted((folder / "fine").iterdir(), key=lambda path: int(path.stem))
    fine = np.concatenate([np.fromfile(block, np.int8) for block in blocks]).reshape(codes.shape)
    spans = _unwoven(folder / "spans.f64.gz", "<f8").reshape(-1, 2)
    owners = _unwoven(folder / "segments.u32.gz", "<u4")
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


def test_what_is_excluded_is_in_no_file(publish, indexed, answers):
    everything, without = publish(audio="copy"), None
    assert PRIVATE.encode() in _content(everything / "names.json.gz")
    without = publish(audio="copy", exclude=(f"{PRIVATE}/*",), labels=answers, map=True)
    index = Index(indexed)
    path = os.path.join(os.path.dirname(indexed), "archive", PRIVATE, "secret.wav")
    (recording,) = index.recordings_of(path)
    secret = index.vectors_of_recording(recording)[0]
    codes, _ = archive.eight_bits(index.likeness[0].mapped(secret))
    sound = soundfile.read(path, dtype="int16")[0].tobytes()
    for name in _files(without):
        content = _content(without / name)
        assert PRIVATE.encode() not in content and b"secret" not in content
        assert sound[1000:1200] not in content
        assert not any(code.tobytes() in content for code in codes)
    info = _names(without)
    assert PRIVATE not in info["words"] and len(info["files"]) == 8


def test_answers_are_published_as_browse_asks_by_them(publish, answers):
    folder = publish(audio="none", labels=answers)
    info = _names(folder)
    names = [file["name"] for file in info["files"]]
    fast = names.index("high/fast.flac")
    private = names.index(f"{PRIVATE}/secret.wav")
    # No "no", no "not sure", nothing of a file that is not in the index.
    assert info["answers"] == [
        [private, 0.0, 1.0, "hidden call"],
        [fast, 0.9, 2.95, "whistle"],
        [fast, 1.2, 1.5, "whistle"],
        [names.index("low/20240612_053000.wav"), 0.0, 1.0, "low"],
    ]
    assert "rain" not in info["words"] and "whistle" in info["words"]
    spans = _unwoven(folder / "spans.f64.gz", "<f8").reshape(-1, 2)
    moments = [[spans[n].tolist() for n in each] for each in info["words"]["whistle"]["moments"]]
    # What the span covers; of a shorter one the vector that it covers most.
    assert moments == [[[0.96, 1.935], [1.92, 2.895]], [[0.96, 1.935]]]
    # "low" was answered: it is asked for by the answer, not by the folder of that name.
    assert list(info["words"]["low"]) == ["moments"] and "first" in info["words"]["high"]


def test_each_file_has_its_credit(publish, sounds, tmp_path):
    rows = [
        (sounds / "high" / "fast.flac", "CC0, by <b>Ann</b>"),
        (sounds / "low" / ODD, "CC BY 4.0, by Bob"),
        (sounds / "low" / "20240612_053000.wav", "CC BY 4.0, by Bob"),
        (sounds / "none.wav", "nobody"),
    ]
    table = tmp_path / "credits.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "credit"])
        writer.writerows((os.path.relpath(path, tmp_path), credit) for path, credit in rows)
    folder = publish(audio="none", credits=str(table))
    info = _names(folder)
    assert info["credits"] == ["CC BY 4.0, by Bob", "CC0, by <b>Ann</b>"]
    of_files = {file["name"]: file.get("credit") for file in info["files"]}
    assert of_files["high/fast.flac"] == 1 and of_files["low/20240612_053000.wav"] == 0
    assert of_files[f"low/{ODD}"] == 0 and of_files["low/20240612_063000.wav"] is None
    assert "     2  CC BY 4.0, by Bob" in (folder / "README.txt").read_text()
    table.write_text("path,licence\n")
    with pytest.raises(UsageError, match="no column credit"):
        publish(audio="none", credits=str(table))


def test_a_large_archive_is_in_parts(publish, monkeypatch):
    monkeypatch.setattr("audio_triplet.publish.archive.WHOLE_UP_TO", 5)
    monkeypatch.setattr("audio_triplet.publish.data.PART", 4)
    monkeypatch.setattr("audio_triplet.publish.data.COARSE_BLOCK", 16)
    folder = publish(audio="none")
    info = json.loads((folder / "archive.json").read_text())
    dim, count = info["dim"], info["vectors"]
    assert info["form"] == "parts" and not (folder / "vectors.i8").exists()
    parts = sorted((folder / "parts" / "0").iterdir(), key=lambda path: int(path.stem))
    found = []
    for number, path in enumerate(parts):
        content, here = path.read_bytes(), min(4, count - 4 * number)
        codes, fine = np.frombuffer(content, np.int8, 2 * here * dim).reshape(2, here, dim)
        scales = np.frombuffer(content, "<f4", offset=2 * here * dim)
        found.append((codes + fine / info["fine_steps"]) * scales[:, None])
    found = np.concatenate(found)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)
    # So few residuals are centres themselves: the coarse vectors are as they were, to 8 bits.
    blocks = [folder / "coarse" / "0" / f"{n}.u8" for n in range(-(-count // 16))]
    coarse = np.concatenate([np.fromfile(block, np.uint8) for block in blocks])
    coarse = coarse.reshape(count, info["pieces"])
    centres = np.fromfile(folder / "centres.f32", "<f4").reshape(info["pieces"], info["cells"], -1)
    meant = centres[np.arange(info["pieces"]), coarse].reshape(count, dim)
    landmarks = np.fromfile(folder / "landmarks.i8", np.int8).reshape(-1, dim)
    scales = np.fromfile(folder / "landmarks.f32", "<f4")
    meant += (landmarks * scales[:, None])[_unwoven(folder / "cells.u16.gz", "<u2")]
    np.testing.assert_allclose(meant, found, atol=0.005)


def test_labels_that_are_not_there_are_an_error(publish, tmp_path):
    with pytest.raises(UsageError, match="browse --labels"):
        publish(audio="none", labels=str(tmp_path / "none.sqlite"))
    assert not (tmp_path / "none.sqlite").exists()


def test_every_moment_is_on_the_map(publish):
    folder = publish(audio="none", map=True)
    places = np.fromfile(folder / "map.f32", "<f4").reshape(2, -1)
    numbers = _unwoven(folder / "map.u32.gz", "<u4")
    info = json.loads((folder / "archive.json").read_text())
    assert numbers.tolist() == list(range(info["vectors"]))
    assert info["map"] == places.shape[1] == len(numbers)
    assert np.isfinite(places).all() and 0.5 < np.abs(places).max() <= 1


def test_a_pattern_that_fits_nothing_is_an_error(publish):
    with pytest.raises(UsageError, match="fits no file"):
        publish(audio="none", exclude=(f"{PRIVATE}/*", "a-privat-nest/*"))


def test_no_path_of_the_machine_is_in_it_and_names_are_escaped(publish, indexed):
    folder = publish(audio="none", title=ODD, licence="<i>CC0</i>")
    root = os.path.dirname(indexed).encode()
    for name in _files(folder):
        assert root not in _content(folder / name), name
    page = (folder / "index.html").read_text()
    assert "<script>alert" not in page and "&lt;i&gt;CC0" in page
    assert "unsafe-inline" not in page
    assert page.count("unsafe-eval") == page.count("'wasm-unsafe-eval'") == 1
    assert "CC0" in (folder / "README.txt").read_text()
    names = {file["name"] for file in _names(folder)["files"]}
    assert f"low/{ODD}" in names


def test_every_moment_lies_whole_in_a_piece_of_sound(publish, sounds, monkeypatch):
    monkeypatch.setattr("audio_triplet.publish.sounds.PIECE_SECONDS", 1.5)
    monkeypatch.setattr("audio_triplet.publish.sounds.MOST_SECONDS", 1.0)
    folder = publish(audio_seconds=4.0)
    info = _names(folder)
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
