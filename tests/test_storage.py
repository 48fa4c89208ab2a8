"""Arrays in files: what NumPy reads, whole or not at all, and quiet when the disk is full."""

import os
import sys

import numpy as np
import pytest

from audio_triplet import storage


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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_error_and_nothing_more(monkeypatch):
    """np.savez has an archive behind it that complains again when it is thrown away."""
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb") as file:
        storage.write_arrays(file, {"a": np.zeros(100_000)})
    assert not complaints
