"""A published archive in a real browser, served by a plain file server below an address."""

import functools
import http.server
import os
import pathlib
import threading

import pytest
import soundfile

from audio_triplet.publish import runtime, site
from audio_triplet.search.sound_index import SoundIndex
from tests import chromium
from tests.conftest import tone
from tests.publish.conftest import ODD

_READY = 60_000  # ms: the runtime is 9 MB, and machines that test are busy


@pytest.fixture(scope="module")
def served(indexed, tmp_path_factory):
    """The address of a site below another folder."""
    packages = pathlib.Path(runtime.default_folder())
    if not all((packages / package.file).exists() for package in runtime.PACKAGES):
        pytest.skip("LiteRT for browsers was not fetched: audio-triplet publish does")
    root = tmp_path_factory.mktemp("served")
    site.write(site.SiteConfig(indexed, str(root / "below" / "site"), "Tones"))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/below/site/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with chromium.launched() as running:
        yield running


def _hits(page):
    page.wait_for_selector("#hits [data-path]", timeout=_READY)
    return [
        (
            hit.get_attribute("data-path"),
            float(hit.get_attribute("data-start")),
            float(hit.get_attribute("data-score")),
        )
        for hit in page.query_selector_all("#hits [data-path]")
    ]


@pytest.mark.slow
def test_it_answers_as_search_does_and_asks_nobody_else(
    served, browser, indexed, sounds, small_model, tmp_path
):
    asked, complaints = [], []
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served)
    page.wait_for_selector("html[data-ready]", state="attached", timeout=_READY)
    query = tmp_path / "query.flac"
    soundfile.write(query, tone(2.4, 2700, 20, 44_100), 44_100)
    assert page.query_selector("input[type=file]").get_attribute("id") == "file"

    context.set_offline(True)  # all that a search needs is there
    page.set_input_files("#file", str(query))
    found = _hits(page)
    expected = SoundIndex(indexed, small_model).find(str(query), 10)
    root = str(sounds)
    wanted = [(os.path.relpath(h.path, root), h.start_seconds, h.score) for h in expected]
    assert [hit[0] for hit in found] == [hit[0] for hit in wanted]
    for at in (1, 2):
        assert [hit[at] for hit in found] == pytest.approx([hit[at] for hit in wanted], abs=1e-3)

    # A moment that was found: its own recording is left out.
    page.click("#hits [data-more]")
    page.wait_for_selector(f"#hits:not(:has([data-path='{found[0][0]}']))", timeout=_READY)

    page.fill("#word", "low")
    page.click("#go")
    page.wait_for_selector("#status:has-text('like low')", timeout=_READY)
    by_word = _hits(page)
    words = SoundIndex(indexed, small_model).find(word="low", top=10)
    assert by_word[0][0] == os.path.relpath(words[0].path, root)
    assert ODD not in page.content()  # its own recordings are left out; as text it is escaped

    context.set_offline(False)
    page.click("#hits .clip")
    page.wait_for_selector("#hits .clip[data-url^='blob:']", timeout=_READY)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    violations = axe.Axe().run(page).response["violations"]
    serious = [v["id"] for v in violations if v["impact"] in ("serious", "critical")]
    assert serious == []
    own = (served, f"blob:{served.split('/below')[0]}")
    assert [url for url in asked if not url.startswith((*own, "data:"))] == []
    assert complaints == []
    context.close()
