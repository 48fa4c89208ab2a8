"""The map, the time line."""

import time

import numpy as np
import pytest

from audio_triplet.browse import mapping
from audio_triplet.browse.map_file import SENT, Map, MapFile
from tests.zip_damage import refused_when_flagged


def test_kinds_keep_together_also_those_that_are_no_landmarks():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 24))
    kinds = np.repeat(np.arange(4), 100)
    vectors = centres[kinds] + 0.3 * rng.normal(size=(400, 24))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    places = mapping.positions(vectors, landmarks=80, seed=1)
    assert places.shape == (400, 2) and np.abs(places).max() == 1.0
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :5]
    assert (kinds[nearest] == kinds[:, None]).mean() > 0.95


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_handful(count):
    vectors = np.eye(8, dtype=np.float32)[:count]
    assert np.isfinite(mapping.positions(vectors)).all()


def test_file_and_numbers(indexed, session, tmp_path):
    path, archive = str(tmp_path / "map.npz"), session.archives.now()
    mapping.write(indexed, path)
    found = Map.read(path)
    assert len(found) == len(archive) == found.of_vectors and found.version == archive.version
    assert (found.numbers(archive) == np.arange(len(archive))).all()
    content = found.as_bytes()
    for name, layout in found.layout().items():
        sent = np.frombuffer(content, SENT[name], layout["length"], layout["offset"])
        np.testing.assert_allclose(sent, found.arrays[name], atol=1e-6)
    assert sum(np.dtype(kind).itemsize for kind in SENT.values()) * len(found) == len(content)
    known = ["20240612" in found.paths[file] for file in found.arrays["file"]]
    assert ((found.arrays["minute"] >= 0) == known).all()
    mapping.write(indexed, path, most=5)  # of a larger archive a part
    few = Map.read(path)
    assert len(few) == 5 and few.of_vectors == len(archive)
    numbers = few.numbers(archive)
    assert (archive.start[numbers] == few.arrays["start"]).all()


def test_a_damaged_file_is_computed_again(indexed, session, tmp_path, monkeypatch):
    path = tmp_path / "map.npz"
    path.write_bytes(b"no map")
    with pytest.raises(ValueError):
        Map.read(str(path))
    started = []
    monkeypatch.setattr(
        "subprocess.Popen", lambda command, **more: started.append(command) or Process(None)
    )
    map_file = MapFile(str(path))
    assert map_file.state(indexed, session.archives.now()) == ("computing", None)
    assert len(started) == 1
    map_file._process = Process(1)  # it failed
    assert map_file.state(indexed, session.archives.now()) == ("failed", None)
    assert map_file.state(indexed, session.archives.now(), again=True)[0] == "computing"
    mapping.write(indexed, str(path))
    map_file._process = Process(0)
    state, found = map_file.state(indexed, session.archives.now())
    assert state == "ready" and len(found) and len(started) == 2
    refused_when_flagged(path, lambda: Map.read(str(path)), ValueError)


class Process:
    def __init__(self, returncode):
        self.returncode = returncode

    def poll(self):
        return self.returncode


@pytest.mark.slow
def test_by_the_api(client, moments):
    begin = time.monotonic()
    assert client.get("/api/map/points").status_code == 409
    while (found := client.get("/api/map").json())["state"] == "computing":
        assert time.monotonic() - begin < 120
        time.sleep(0.2)
    assert found["state"] == "ready" and found["is_current"]
    assert found["points"] == len(moments)
    points = client.get("/api/map/points").content
    last = found["arrays"]["minute"]
    assert len(points) == last["offset"] + 2 * last["length"]
    client.post("/api/labels", json=moments[0] | {"label": "a", "value": True})
    scores = np.frombuffer(client.get("/api/scores", params={"label": "a"}).content, "<f4")
    assert len(scores) == len(moments) and ((scores > 0) & (scores < 1)).all()
    assert client.post("/api/map").json()["state"] == "ready"  # nothing has changed


def test_timeline(client, moments):
    timed = [m for m in moments if "20240612_05" in m["path"]]
    client.post("/api/labels", json=timed[0] | {"label": "a", "value": True})
    client.post("/api/labels", json=timed[1] | {"label": "a", "value": False})
    found = client.get("/api/timeline", params={"label": "a", "minutes": "60"}).json()
    assert found["days"] == ["2024-06-12"]
    counts = np.array(found["moments"])
    assert counts.shape == (1, 24) and set(np.flatnonzero(counts[0])) == {5, 6, 7}
    assert counts[0, 5] == len(timed)
    assert np.array(found["yes"])[0].tolist() == [int(hour == 5) for hour in range(24)]
    assert np.array(found["no"]).sum() == 1
    fields = {"label": "a", "minutes": "60", "threshold": "0"}
    assert client.get("/api/timeline", params=fields).json()["above"] == found["moments"]
    assert client.get("/api/timeline").json()["above"] is None
