"""Who is served: token, Host, Origin, sizes; and nothing but the files of the index."""

import json
import re

import pytest

from audio_triplet.browse import security
from audio_triplet.browse.security import Access
from tests.browse.conftest import PORT, TOKEN

ROUTES = ["/", "/api/index", "/api/labels", "/api/files", "/api/sound", "/api/export", "/none"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Token": ""},
        {"X-Token": "wrong"},
        {"X-Token": TOKEN + "x"},
        {"X-Token": TOKEN[:-1]},
        {"Host": "evil.example"},
        {"Host": f"evil.example:{PORT}"},
        {"Host": "127.0.0.1:9999"},
        {"Host": f"127.0.0.1.evil.example:{PORT}"},
        {"Host": f"127.0.0.1:{PORT}@evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{PORT}"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_strangers_get_403(client, route, headers):
    for found in (client.get(route, headers=headers), client.post(route, headers=headers, json={})):
        assert found.status_code == 403, found.text
        assert re.fullmatch(r"[^:]+: [^;]+; .+", found.json()["error"])


def test_the_token_in_an_address_opens_only_reading(client):
    client.headers.pop("X-Token")
    assert client.get("/api/index").status_code == 403
    assert client.get(f"/api/index?token={TOKEN}").status_code == 200
    assert client.get(f"/?token={TOKEN}").status_code == 200
    assert client.get("/api/index?token=wrong").status_code == 403
    assert client.get(f"/api/index?token=wrong&token={TOKEN}").status_code == 403
    assert client.post(f"/api/undo?token={TOKEN}", json={}).status_code == 403
    for name in ("localhost", "LOCALHOST"):
        headers = {"Host": f"{name}:{PORT}", "Origin": f"http://{name}:{PORT}", "X-Token": TOKEN}
        assert client.get("/api/index", headers=headers).status_code == 200


def test_a_link_from_elsewhere_opens_the_page_and_nothing_else(client):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/api/labels", headers=headers).status_code == 403
    assert client.post("/", headers=headers).status_code == 403


def test_hosts_of_a_network():
    known = Access(TOKEN, PORT, ("192.168.1.5", "studio"), any_address=True)
    for host in (
        "studio:8080",
        "Studio:8080",
        "192.168.1.5:8080",
        "10.0.0.7:8080",
        "[fe80::1]:8080",
    ):
        assert known.takes_host(host), host
    for host in ("studio", "studio:80", "evil.example:8080", "10.0.0.7.example:8080", "a b:8080"):
        assert not known.takes_host(host), host
    assert Access(TOKEN, 80).takes_host("localhost")
    assert not Access(TOKEN, PORT).takes_host("10.0.0.7:8080")


def test_every_answer_has_the_headers(client):
    for route in ("/", "/api/index", "/static/browse/main.js", "/none"):
        found = client.get(route)
        for name, value in security.HEADERS.items():
            assert found.headers[name] == value
    policy = security.HEADERS["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert "access-control-allow-origin" not in found.headers


def test_static_files_are_of_the_package_alone(client):
    client.headers.pop("X-Token")
    assert (
        client.get("/static/browse/main.js").headers["content-type"].startswith("text/javascript")
    )
    for name in (
        "..%2fpages.py",
        "%2e%2e/pages.py",
        "..",
        "",
        "x.js",
        "browse",
        "browse/",
        "browse/../base.css/../../templates/page.html",
        "a%00.js",
        "../templates/page.html",
    ):
        found = client.get(f"/static/{name}")
        assert found.status_code in (403, 404), name
        assert set(found.json()) == {"error"}


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../etc/passwd",
        "{sound}/../{name}",
        "{sound} ",
        "{folder}",
        "{folder}/./{name}",
        "/{sound}",
        "file://{sound}",
        "{sound}\0",
        "\0",
        "upload:",
        "upload:../../etc/passwd",
        "upload:0000000000000000",
        "\udcff",
        "x" * 4000,
    ],
)
def test_only_files_of_the_index_are_served(client, moments, path):
    sound = moments[0]["path"]
    folder, name = sound.rsplit("/", 1)
    path = path.format(sound=sound, folder=folder, name=name)
    quoted = re.sub(
        r"[^a-zA-Z0-9/.:]",
        lambda m: "".join(f"%{b:02x}" for b in m[0].encode("utf-8", "surrogateescape")),
        path,
    )
    for route in ("file", "sound", "picture"):
        found = client.get(f"/api/{route}?path={quoted}&start_seconds=0&end_seconds=1")
        assert found.status_code == 404, found.text
        assert set(found.json()) == {"error"}
    span = {"path": path, "start_seconds": 0, "end_seconds": 1}
    for route, content in (
        ("search", span),
        ("search", {"like": [span]}),
        ("search", {"path": sound, "unlike": [span]}),
        ("labels", span | {"label": "a", "value": True}),
    ):
        found = client.post(f"/api/{route}", content=json.dumps(content))
        assert found.status_code == 404, found.text


def test_what_is_sent_is_bounded(client, monkeypatch):
    monkeypatch.setattr(security, "MAX_JSON_BYTES", 1 << 20)
    monkeypatch.setattr(security, "MAX_UPLOAD_BYTES", 2 << 20)
    big = b"x" * (3 << 20)
    for found in (
        client.post("/api/search", content=big[: 2 << 20]),
        client.post("/api/search", content=iter([big[: 1 << 20], b"x"])),  # no length beforehand
        client.post("/api/search", files={"file": ("a.wav", big)}),
        client.post("/api/import", files={"file": ("a.csv", big)}),
    ):
        assert found.status_code == 413
        assert "larger than" in found.json()["error"]
    found = client.post("/api/search", headers={"Content-Length": "-1"}, content=b"")
    assert found.status_code == 413
