"""Whole or not at all: text, JSON, arrays, files and folders, here and elsewhere."""

import io
import itertools
import os
import subprocess
import sys

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import pytest
from hypothesis import strategies

from audio_triplet import locks, storage


def test_arrays_are_read_by_numpy(tmp_path):
    arrays = {
        "numbers": np.arange(6, dtype=np.float16).reshape(2, 3),
        "text": np.array("ünïcode"),
        "none": np.zeros([0, 4]),
        "records": np.zeros(2, [("a", "<i8"), ("b", "<f4")]),
        "turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }
    path = str(tmp_path / "arrays.npz")
    storage.save_arrays(path, arrays)
    with np.load(path, allow_pickle=False) as read:
        assert read.files == list(arrays)
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)
    assert os.listdir(tmp_path) == ["arrays.npz"]


def test_objects_are_refused_and_what_was_there_stays(tmp_path):
    path = str(tmp_path / "arrays.npz")
    storage.save_arrays(path, {"a": np.ones(3)})
    with pytest.raises(ValueError, match="[Oo]bject"):
        storage.save_arrays(path, {"a": np.array([{}])})
    assert np.load(path)["a"].sum() == 3


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_flipped_bit_is_one_kind_of_error_or_harmless(save):
    arrays = {"a": np.arange(6.0), "names": np.array(["rain", "wind"])}
    buffer = io.BytesIO()
    save(buffer, **arrays)
    content, refused = buffer.getvalue(), 0
    for place, bit in itertools.product(range(len(content)), (0, 3, 6)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        try:
            with storage.open_arrays(io.BytesIO(bytes(damaged))) as read:
                found = {name: read[name] for name in arrays}
        except storage.DamagedError as error:
            refused += 1
            assert str(error)
        else:
            assert all((found[name] == arrays[name]).all() for name in arrays)
    assert refused > len(content)
    for end in range(0, len(content), 20):
        with pytest.raises(storage.DamagedError), storage.open_arrays(io.BytesIO(content[:end])):
            pass


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError), storage.open_arrays(tmp_path / "none.npz"):
        pass
    with pytest.raises(IsADirectoryError), storage.open_arrays(tmp_path):
        pass
    storage.save_arrays(tmp_path / "one.npz", {"a": np.zeros(1)})
    with pytest.raises(storage.DamagedError, match="b is not"):
        with storage.open_arrays(tmp_path / "one.npz") as read:
            read["b"]
    np.save(tmp_path / "array.npz.npy", np.zeros(3))
    with pytest.raises(storage.DamagedError), storage.open_arrays(tmp_path / "array.npz.npy"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_error_and_nothing_more(monkeypatch):
    """np.savez has an archive behind it that complains again when it is thrown away."""
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb") as file:
        storage.write_arrays(file, {"a": np.zeros(100_000)})
    assert not complaints


# --- replacing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unique", [False, True])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, unique):
    path = tmp_path / "file"
    storage.write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        with storage.open_replacing(path, unique=unique) as file:
            file.write("new")
            file.flush()
            assert path.read_text() == "old"
            raise ZeroDivisionError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]
    storage.write_text(path, "new", unique=unique, sync=True)
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["file"]


def test_two_unique_writers_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with storage.open_replacing(path, unique=True) as one:
        with storage.open_replacing(path, unique=True) as other:
            one.write("one")
            other.write("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("sync", [False, True])
def test_a_folder_takes_the_place_of_another(tmp_path, sync):
    path = f"{tmp_path}/folder/"
    for name in ("first", "second"):
        with storage.replacing(path, sync=sync) as temporary:
            os.makedirs(os.path.join(temporary, "below"))
            storage.write_text(os.path.join(temporary, "below", name), name)
        assert os.listdir(tmp_path) == ["folder"]
        assert os.listdir(tmp_path / "folder" / "below") == [name]
    with pytest.raises(ZeroDivisionError):
        with storage.replacing(path) as temporary:
            os.makedirs(temporary)
            raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder" / "below") == ["second"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "folder" / "precious").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        storage.write_text(tmp_path / "folder", "text")
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == ["precious"]


def test_a_link_to_a_folder_is_replaced_and_the_folder_kept(tmp_path):
    (tmp_path / "real" / "precious").mkdir(parents=True)
    os.symlink(tmp_path / "real", tmp_path / "link")
    with storage.replacing(tmp_path / "link") as temporary:
        os.mkdir(temporary)
    assert not os.path.islink(tmp_path / "link") and sorted(os.listdir(tmp_path)) == [
        "link",
        "real",
    ]
    assert os.listdir(tmp_path / "real") == ["precious"]


def test_what_a_kill_leaves_is_known_and_in_nobodys_way(tmp_path):
    code = """
import os, signal, sys
from audio_triplet import storage
for unique in (False, True):
    if os.fork() == 0:
        with storage.replacing(sys.argv[1], unique=unique) as temporary:
            os.mkdir(temporary)
            storage.write_text(os.path.join(temporary, "half"), "half")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.wait()[1] == signal.SIGKILL
"""
    path = str(tmp_path / "folder")
    subprocess.run([sys.executable, "-c", code, path], check=True)
    left = os.listdir(tmp_path)
    assert len(left) == 2 and all(map(locks.is_leftover, left))
    with storage.replacing(path) as temporary:
        os.mkdir(temporary)
    assert os.listdir(path) == []
    locks.clear_leftovers(str(tmp_path))
    assert os.listdir(tmp_path) == ["folder"]


def test_text_and_json_come_back_whatever_bytes_a_name_has(tmp_path):
    text = "né\r\n" + os.fsdecode(b"\xff.wav")
    storage.write_text(tmp_path / "text", text)
    assert storage.read_text(tmp_path / "text") == text
    assert (tmp_path / "text").read_bytes() == b"n\xc3\xa9\r\n\xff.wav"
    content = {"é": [1, None, text]}
    for indent in (None, 1):
        storage.write_json(tmp_path / "json", content, indent=indent)
        assert storage.read_json(tmp_path / "json") == content
    assert b"\xc3\xa9" in (tmp_path / "json").read_bytes()


def test_files_and_folders_elsewhere():
    """In TensorFlow's memory file system: nothing but tf.io.gfile reaches it."""
    tf = pytest.importorskip("tensorflow")
    folder = "ram://storage"
    for unique in (False, True):
        for text in ("old", "new"):
            storage.write_json(f"{folder}/file.json", text, unique=unique)
            assert storage.read_json(f"{folder}/file.json") == text
    for direct in (False, True):
        with pytest.raises(ZeroDivisionError):
            with storage.replacing(f"{folder}/file.json", direct=direct) as temporary:
                with tf.io.gfile.GFile(temporary, "wb") as file:
                    file.write(b"half")
                raise ZeroDivisionError
        assert storage.read_json(f"{folder}/file.json") == "new"
    with storage.replacing(f"{folder}/file.json", direct=True) as temporary:
        assert temporary.startswith(folder)
        with tf.io.gfile.GFile(temporary, "wb") as file:
            file.write(b'"direct"')
    assert storage.read_json(f"{folder}/file.json") == "direct"
    assert storage.names_in(folder) == {"file.json"}
    for name in ("first", "second"):
        with storage.replacing(f"{folder}/made") as temporary:
            os.makedirs(os.path.join(temporary, "below"))
            storage.write_text(os.path.join(temporary, "below", name), name)
        assert storage.names_in(f"{folder}/made/below") == {name}


@hypothesis.given(
    hypothesis.extra.numpy.arrays(
        strategies.sampled_from(["f4", "f2", "i8", "?", "U3", "S5", ">i4", "c8"]),
        hypothesis.extra.numpy.array_shapes(min_dims=0, min_side=0),
    ),
    strategies.booleans(),
)
@hypothesis.settings(max_examples=40, deadline=None)
def test_arrays_of_any_kind_are_read_as_they_were(array, fortran):
    array = np.asfortranarray(array) if fortran else array
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        storage.write_arrays(file, {"some": array, "more": np.arange(3)})
    # The same content makes the same file, whenever it is written.
    assert files[0].getvalue() == files[1].getvalue()
    with np.load(io.BytesIO(files[0].getvalue()), allow_pickle=False) as found:
        assert found["some"].dtype == array.dtype and found["some"].shape == array.shape
        assert found["some"].tobytes() == array.tobytes()
        assert found["more"].tolist() == [0, 1, 2]
