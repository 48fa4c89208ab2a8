"""The API in one process: the contract's routes, searches, labels, wrong requests, the page."""

import io
import json
import math
import os
import urllib.parse

import numpy as np
import pytest
import soundfile

import audio_triplet
from audio_triplet.browse import searching
from audio_triplet.search.asking import ask
from audio_triplet.search.question import Patches
from tests.browse.conftest import ODD
from tests.conftest import RATE, tone
from tests.web.page_checks import Page


def ok(found):
    assert found.status_code == 200, found.text
    return found.json()


def wav(sound, rate=RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format="WAV")
    return buffer.getvalue()


def kind(path: str) -> str:
    return os.path.basename(os.path.dirname(path))


def test_search_by_a_moment_equals_a_search_by_its_vector(client, indexed, small_model, sounds):
    path = str(sounds / "low" / "20240612_053000.wav")
    asked = {"path": path, "start_seconds": 0.96, "end_seconds": 2.3, "top": 6}
    found = ok(client.post("/api/search", json=asked))
    assert 0 < found["seconds"] < 10 and found["exact"]
    index = audio_triplet.open_index(indexed, small_model).index
    number = index.recordings_of(path)
    vectors, starts, _ = index.vectors_of_recording(*number)
    assert starts[1] == 0.96  # the patch that lies in this part
    expected = ask(index, [Patches.of_vectors(vectors[1])], top=6, without=number)
    assert [hit["path"] for hit in found["hits"]] == [hit.path for hit in expected]
    for rank, (hit, other) in enumerate(zip(found["hits"], expected, strict=True), 1):
        assert hit["rank"] == rank and hit["answers"] == {}
        assert hit["score"] == pytest.approx(other.score, abs=1e-4)
        assert hit["start_seconds"] == pytest.approx(other.start_seconds, abs=1e-3)
        assert hit["end_seconds"] == pytest.approx(other.end_seconds, abs=1e-3)
        assert (hit["recording_id"], hit["clock_time"]) == (other.recording_id, other.clock_time)
        assert hit["path"] != path
    whole = ok(client.post("/api/search", json={"path": path, "exclude_own": False}))
    assert whole["hits"][0]["path"] == path and whole["hits"][0]["score"] > 0.999


def test_moments_of_the_index_are_asked_for_by_loudness(client, small_model, sounds, monkeypatch):
    asked = []

    def spied(index, wanted, *rest, **options):
        asked.extend(wanted)
        return ask(index, wanted, *rest, **options)

    monkeypatch.setattr(searching, "ask", spied)
    path = str(sounds / "low" / "20240612_073000.wav")
    ok(client.post("/api/search", json={"path": path}))
    found = small_model.embed(path)
    np.testing.assert_allclose(asked[0].vectors, found.patches, atol=1e-3)
    np.testing.assert_allclose(asked[0].energy, found.energy, rtol=1e-3)


def test_a_part_that_is_not_on_the_grid_is_embedded(client, indexed, small_model, sounds):
    path = str(sounds / "high" / "20240612_073000.wav")
    asked = {"path": path, "start_seconds": 1.2, "end_seconds": 2.9, "top": 5}
    hits = ok(client.post("/api/search", json=asked))["hits"]
    index = audio_triplet.open_index(indexed, small_model)
    expected = index.find(path, 5, start_seconds=1.2, end_seconds=2.9)
    np.testing.assert_allclose(
        [hit["score"] for hit in hits], [hit.score for hit in expected], atol=1e-4
    )


def test_search_by_an_upload(client, sounds):
    path = sounds / "high" / "20240612_063000.wav"
    sent = {"file": ("犬.wav", path.read_bytes(), "audio/wav")}
    found = ok(client.post("/api/search", files=sent, data={"top": "3"}))
    assert len(found["hits"]) == 3
    assert found["hits"][0]["path"] == str(path) and found["hits"][0]["score"] > 0.9
    name = found["upload"]
    assert found["queries"][0]["path"] == name
    part = {"path": name, "start_seconds": 0.0, "end_seconds": 0.975}
    again = ok(client.post("/api/search", json={**part, "top": 3}))
    assert again["hits"][0]["path"] == str(path)
    assert client.get("/api/sound", params=part).content[:4] == b"RIFF"
    assert client.get("/api/picture", params=part).content[1:4] == b"PNG"
    combined = ok(
        client.post("/api/search", json={"like": [part], "unlike": [part | {"path": str(path)}]})
    )
    assert combined["unlike"][0]["path"] == str(path)
    found = client.post("/api/labels", json=part | {"label": "x", "value": True})
    assert found.status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"no sound at all, but text", 415, "x.wav: cannot be decoded"),
        (b"", 415, "x.wav: is empty"),
        (wav(np.zeros(RATE, "f4")), 415, "x.wav: is silent"),
    ],
)
def test_uploads_that_are_no_use(client, content, status, words):
    found = client.post("/api/search", files={"file": ("x.wav", content)})
    assert (found.status_code, "browse-" in found.text) == (status, False)
    assert words in found.json()["error"]


def test_only_the_latest_uploads_are_kept(client, session, monkeypatch):
    monkeypatch.setattr("audio_triplet.browse.uploads._KEPT", 2)
    sent = {"file": ("a.wav", wav(tone(1.0, 500)))}
    names = [ok(client.post("/api/search", files=sent))["upload"] for _ in range(3)]
    assert client.get("/api/file", params={"path": names[0]}).status_code == 404
    assert client.get("/api/file", params={"path": names[2]}).status_code == 200
    assert len(os.listdir(session.uploads.folder)) == 2


def test_like_unlike_label_and_word(client, moments, sounds):
    low = [m for m in moments if kind(m["path"]) == "low"]
    high = [m for m in moments if kind(m["path"]) == "high"]
    hits = ok(client.post("/api/search", json={"like": low[:2], "unlike": high[:2], "top": 5}))[
        "hits"
    ]
    assert hits[0]["path"] not in {m["path"] for m in low[:2]}
    assert client.post("/api/search", json={"label": "hum"}).status_code == 409
    for moment, value in ((low[0], True), (low[-1], True), (high[0], False), (high[-1], None)):
        ok(client.post("/api/labels", json=moment | {"label": "hum", "value": value}))
    found = ok(client.post("/api/search", json={"label": "hum", "exclude_own": False}))
    assert (len(found["queries"]), len(found["unlike"])) == (2, 1)
    first = {k: found["hits"][0][k] for k in ("path", "start_seconds", "end_seconds")}
    ok(client.post("/api/labels", json=first | {"label": "loud", "value": None}))
    again = ok(client.post("/api/search", json={"label": "hum", "exclude_own": False}))
    assert again["hits"][0]["answers"]["loud"] is None
    by_word = ok(client.post("/api/search", json={"word": "hum", "top": 3}))
    assert len(by_word["queries"]) == 2
    by_word = ok(client.post("/api/search", json={"word": "high", "top": 3}))  # of the index
    assert by_word["word"]["sounds"] == 3
    assert {kind(hit["path"]) for hit in by_word["hits"]} == {"high"}
    found = client.post("/api/search", json={"word": "highh"})
    assert found.status_code == 400 and "near are high" in found.json()["error"]
    words = ok(client.get("/api/words", params={"text": "H"}))["words"]
    assert [(w["word"], w["from"]) for w in words] == [("high", "index"), ("hum", "labels")]


def test_filters_and_most_of_a_recording(client, moments):
    path = moments[0]["path"]
    asked = {"path": path, "hours": ["5-6"], "exclude_own": False, "top": 50}
    hits = ok(client.post("/api/search", json=asked))["hits"]
    assert hits and all(hit["clock_time"].startswith("2024-06-12T05:3") for hit in hits)
    hits = ok(client.post("/api/search", json={"path": path, "per_recording": 1}))["hits"]
    assert len({hit["recording_id"] for hit in hits}) == len(hits) == 7
    found = client.post("/api/search", json={"path": path, "hours": ["25-26"]})
    assert found.status_code == 400 and "--hours=25-26" in found.json()["error"]


def test_labels_are_stored_listed_and_taken_back(client, moments):
    label = moments[0] | {"label": "犬 <b>", "value": True}
    found = ok(client.post("/api/labels", json=label))
    assert found["stored"] == 1
    listed = ok(client.get("/api/labels"))
    (stored,) = listed["labels"]
    assert {key: stored[key] for key in label} == label
    assert stored["who"] == "anna" and stored["when"]
    several = [
        moments[1] | {"label": "a", "value": None},
        moments[1] | {"label": "b", "value": False},
    ]
    ok(client.post("/api/labels", json={"labels": several, "who": "ben"}))
    ok(client.post("/api/labels", json=label | {"value": False, "id": "one"}))
    ok(client.post("/api/labels", json=label | {"value": False, "id": "one"}))
    listed = ok(client.get("/api/labels", params={"since": listed["labels_version"]}))
    assert [(one["label"], one["value"], one["who"]) for one in listed["labels"]] == [
        ("a", None, "ben"),
        ("b", False, "ben"),
        ("犬 <b>", False, "anna"),
    ]
    assert ok(client.get("/api/classes"))["classes"] == [
        {"label": "a", "yes": 0, "no": 0, "unsure": 1, "recordings": 1},
        {"label": "b", "yes": 0, "no": 1, "unsure": 0, "recordings": 1},
        {"label": "犬 <b>", "yes": 0, "no": 1, "unsure": 0, "recordings": 1},
    ]
    assert len(ok(client.post("/api/undo", json={"who": "ben"}))["undone"]) == 2
    assert ok(client.post("/api/undo", json={}))["undone"][0]["value"] is False
    assert [one["value"] for one in ok(client.get("/api/labels"))["labels"]] == [True]
    assert ok(client.post("/api/redo"))["redone"][0]["value"] is False
    assert ok(client.get("/api/labels", params={"label": "none"}))["labels"] == []


def test_names_of_any_kind(client, sounds):
    paths = [one["path"] for one in ok(client.get("/api/files"))["files"]]
    odd = next(path for path in paths if path.endswith(ODD))
    quoted = urllib.parse.quote(odd)
    found = ok(client.get(f"/api/file?path={quoted}"))
    assert found["path"] == odd and found["seconds"] == 2.0
    assert client.get(f"/api/sound?path={quoted}").content[:4] == b"RIFF"
    times = {k: found["moments"][0][k] for k in ("start_seconds", "end_seconds")}
    moment = {"path": odd, **times}
    for ascii_only in (True, False):
        body = json.dumps(moment | {"label": "odd", "value": True}, ensure_ascii=ascii_only)
        ok(client.post("/api/labels", content=body.encode()))
    ok(client.post("/api/search", json=moment))
    assert [one["path"] for one in ok(client.get("/api/labels"))["labels"]] == [odd]
    for form in ("answers", "manifest", "raven", "audacity"):
        assert client.get("/api/export", params={"form": form}).status_code == 200
    found = ok(client.get("/api/files", params={"text": "犬"}))
    assert [one["path"] for one in found["files"]] == [odd] and found["total"] == 1


@pytest.mark.parametrize(
    ("route", "content", "words"),
    [
        ("search", b"{", "is no JSON"),
        ("search", b"[]", "is no JSON object"),
        ("search", b"\xff\xfe", "is no JSON"),
        ("search", b"[" * 100_000, "is no JSON"),
        ("search", {}, "asks for nothing"),
        ("search", {"path": 5}, "path: is no text"),
        ("search", {"path": ["a"]}, "path: is no text"),
        ("search", {"path": "P", "top": "5"}, "top: is no number"),
        ("search", {"path": "P", "top": True}, "top: is no number"),
        ("search", {"path": "P", "top": 0}, "top: is outside 1 … 1000"),
        ("search", {"path": "P", "top": 10**400}, "top: is outside 1 … 1000"),
        ("search", {"path": "P", "top": 2.5}, "top: is no whole number"),
        ("search", b'{"path": "P", "start_seconds": NaN}', "is no JSON"),
        ("search", b'{"path": "P", "start_seconds": 1e999}', "start_seconds: is outside"),
        ("search", {"path": "P", "start_seconds": -1}, "start_seconds: is outside"),
        ("search", {"path": "P", "start_seconds": 2, "end_seconds": 1}, "is not after"),
        ("search", {"path": "P", "exclude_own": "yes"}, "exclude_own: is neither true nor false"),
        ("search", {"like": {}}, "like: is no list"),
        ("search", {"like": [1]}, "like: is no list of objects"),
        ("search", {"like": [{"path": "P"}]}, "start_seconds: is missing"),
        ("search", {"path": "P", "hours": [5]}, "hours: is no list of text"),
        ("labels", {}, "path: is missing"),
        ("labels", {"labels": []}, "labels: is empty"),
        ("labels", {"labels": 5}, "labels: is no list"),
        ("labels", {"label": "a", "value": 1}, "value: is none of true, false and null"),
        ("labels", {"label": "a"}, "value: is none of"),
        ("labels", {"label": "", "value": True}, "label: is empty"),
        ("labels", {"label": "a;b", "value": True}, "label: is empty, longer"),
        ("labels", {"label": "a\0", "value": True}, "label: is empty, longer"),
        ("labels", {"label": "x" * 201, "value": True}, "label: is empty, longer"),
        ("labels", {"label": None, "value": True}, "label: is missing"),
        ("labels", {"label": "a", "value": True, "who": 5}, "who: is no text"),
        ("undo", {"who": 5}, "who: is no text"),
        ("import", {}, "file: is missing"),
    ],
    ids=str,
)
def test_wrong_requests_are_named_and_store_nothing(client, moments, route, content, words):
    if isinstance(content, dict):
        if route == "labels" and "label" in content:
            content = moments[0] | content
        content = json.dumps(content).encode()
    content = content.replace(b'"P"', json.dumps(moments[0]["path"]).encode())
    found = client.post(f"/api/{route}", content=content)
    assert found.status_code == 400, found.text
    assert words in found.json()["error"]
    assert ok(client.get("/api/labels"))["labels"] == []


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "/api/none", 404),
        ("GET", "/api/search", 405),
        ("DELETE", "/api/labels", 405),
        ("POST", "/", 405),
        ("GET", "/api/next", 400),
        ("GET", "/api/next?label=a&order=best", 400),
        ("GET", "/api/next?label=a", 409),
        ("GET", "/api/fit?label=a", 409),
        ("GET", "/api/scores?label=a", 409),
        ("GET", "/api/export", 400),
        ("GET", "/api/export?form=answers", 409),
        ("GET", "/api/files?limit=x", 400),
        ("GET", "/api/labels?since=-1", 400),
        ("GET", "/api/files?" + "a=1&" * 200, 400),
    ],
)
def test_wrong_addresses(client, method, route, status):
    found = client.request(method, route)
    assert found.status_code == status, found.text
    assert set(found.json()) == {"error"}


def test_forms_that_are_wrong(client):
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    for content, headers in (
        (b"--x\r\nnonsense", boundary),
        (b"", {"Content-Type": "multipart/form-data"}),
        (b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n', boundary),
    ):
        found = client.post("/api/search", content=content, headers=headers)
        assert found.status_code == 400, found.text
    two = [("file", ("a.wav", b"1")), ("file", ("b.wav", b"2"))]
    assert client.post("/api/search", files=two).status_code == 400
    assert client.post("/api/labels", files={"file": ("a", b"1")}).status_code == 400
    sent = {"file": ("a.wav", wav(tone(1.0, 400)))}
    assert client.post("/api/search", files=sent, data={"top": "many"}).status_code == 400
    assert client.post("/api/search", files=sent, data={"like": "["}).status_code == 400
    assert client.post("/api/search", files=sent, data={"path": "/a.wav"}).status_code == 400


def test_a_defect_is_500_without_its_words(client, monkeypatch):
    monkeypatch.setattr("audio_triplet.browse.session.Session.answers", lambda self: 1 / 0)
    found = client.get("/api/classes")
    assert found.status_code == 500
    assert "ZeroDivisionError" in found.json()["error"] and "Traceback" not in found.text


def test_the_page(client, session):
    content = client.get("/").text
    page = Page(content)
    assert next(a["type"] for a in page.all("input")) == "file"
    assert all(attributes.get("src") for attributes, _ in page.scripts)
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href"):
            if attributes.get(name, "#")[0] == "/":
                assert client.get(attributes[name]).status_code == 200
    identifiers = [attributes["id"] for attributes in page.all(id=None)]
    assert len(identifiers) == len(set(identifiers))
    assert page.all("html")[0]["lang"] == "en"


def test_the_index_grows_beside(sounds, small_model, tmp_path, indexed, monkeypatch):
    import shutil

    from audio_triplet.browse.session import Session

    copied = shutil.copytree(indexed, tmp_path / "copied")
    other = Session(str(copied), None, small_model.path, "anna")
    before = other.archives.now()
    assert other.labels.path == str(copied / "labels.sqlite")
    soundfile.write(tmp_path / "new.wav", tone(2.0, 500), RATE)
    audio_triplet.build_index(copied, [tmp_path / "new.wav"], small_model)
    monkeypatch.setattr(other.archives, "_rest_until", math.inf)  # opened a moment ago
    assert other.archives.now() is before
    monkeypatch.setattr(other.archives, "_rest_until", 0.0)
    after = other.archives.now()
    assert after.version != before.version and len(after) == len(before) + 2
    assert str(tmp_path / "new.wav") in after
    other.close()
