"""A published archive in a real browser, served by a plain file server below an address."""

import os

import pytest
import soundfile

from audio_triplet.publish import site
from audio_triplet.search.sound_index import SoundIndex
from tests import chromium
from tests.conftest import RATE, tone
from tests.publish import visiting
from tests.publish.conftest import ODD


@pytest.fixture(scope="module")
def published(indexed, answers, tmp_path_factory):
    """A folder that has a site in `below/site`."""
    visiting.need_runtime()
    root = tmp_path_factory.mktemp("served")
    folder = str(root / "below" / "site")
    site.write(site.SiteConfig(indexed, folder, "Tones", labels=answers))
    return root


@pytest.fixture(scope="module")
def browser():
    with chromium.launched(*visiting.ARGUMENTS) as running:
        yield running


def _violations(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    violations = axe.Axe().run(page).response["violations"]
    return [one["id"] for one in violations if one["impact"] in ("serious", "critical")]


@pytest.mark.slow
def test_it_answers_as_search_does_and_nothing_leaves(
    published, browser, indexed, sounds, small_model, tmp_path
):
    query = tmp_path / "query.flac"
    soundfile.write(query, tone(2.4, 2700, 20, 44_100), 44_100)
    searched = SoundIndex(indexed, small_model)
    expected = searched.find(str(query), 10, diffuse=False)
    wanted = [(os.path.relpath(hit.path, sounds), hit.start_seconds, hit.score) for hit in expected]
    with visiting.served(published) as host:
        visit = visiting.Visit(browser, host, viewport={"width": 390, "height": 800})
        page = visit.page
        assert page.query_selector("input[type=file]").get_attribute("id") == "file"
        visit.context.set_offline(True)  # all that a search needs is there
        page.set_input_files("#file", str(query))
        found = visiting.hits(page)
        assert [hit[0] for hit in found] == [hit[0] for hit in wanted]
        for at in (1, 2):
            assert [hit[at] for hit in found] == pytest.approx(
                [hit[at] for hit in wanted], abs=1e-3
            )

        # A moment that was found: its own recording is left out.
        page.click("#hits [data-more]")
        page.wait_for_selector(
            f"#hits:not(:has([data-path='{found[0][0]}']))", timeout=visiting.READY
        )

        # By a folder's label, in the plural; the recordings that have it are left out.
        page.fill("#word", "Highs")
        page.click("#go")
        visit.has("#status", "like high")
        words = searched.find(word="high", top=10, diffuse=False)
        assert visiting.hits(page)[0][0] == os.path.relpath(words[0].path, sounds)
        assert ODD not in page.content()  # as text it is escaped

        # By an answer: the moment itself is the nearest, and says what was answered.
        page.fill("#word", "whistle")
        page.press("#word", "Enter")
        visit.has("#status", "like whistle")
        assert visiting.hits(page)[0][0] == "high/fast.flac"
        visit.has("#hits .labels", "whistle")

        # Narrowed down, which searches again.
        page.click("#narrow summary")
        page.fill("#only-path", "low/*")
        page.wait_for_selector(
            "#hits:not(:has([data-path='high/fast.flac']))", timeout=visiting.READY
        )
        assert {name.split("/")[0] for name, _, _ in visiting.hits(page)} == {"low"}
        page.fill("#hours", "5:30-6")
        visit.wait("#hits:not(:has([data-path$='073000.wav']))")
        assert {name for name, _, _ in visiting.hits(page)} == {"low/20240612_053000.wav"}
        page.fill("#only-path", "high/fast*")  # it has no clock time
        visit.has("#status.error", "wider")

        visit.context.set_offline(False)
        page.fill("#only-path", "")
        page.fill("#hours", "")
        page.wait_for_selector(
            "#hits [data-path='high/fast.flac'] .clip img", timeout=visiting.READY
        )
        page.click("#hits .clip")
        visit.wait("#hits .clip[data-url^='blob:']")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert _violations(page) == []
        visit.close()


@pytest.mark.slow
def test_by_microphone_map_and_keys_with_threads(published, browser, tmp_path):
    query = tmp_path / "query.wav"
    soundfile.write(query, tone(2.0, 320, 3), RATE)
    with visiting.served(published, visiting.ISOLATED) as host:
        visit = visiting.Visit(browser, host, color_scheme="dark")
        page = visit.page
        cores = page.evaluate("crossOriginIsolated && navigator.hardwareConcurrency")
        visit.has("#served", f"{cores} threads" if cores > 1 else "one thread")
        page.set_input_files("#file", str(query))
        assert visiting.hits(page)[0][0].startswith("low/")

        page.focus("#map-canvas")  # which brings it into sight
        visit.has("#map-said", "moments")
        page.keyboard.press("ArrowRight")
        visit.has("#map-spot", ".")
        page.keyboard.press(" ")
        visit.wait("#now:not([hidden])")
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        visit.has("#taken-h", "moments taken")
        assert page.query_selector("#taken [data-score]") is None  # they are no hits
        for colour in ("label", "file", "hour"):
            page.select_option("#map-colour", colour)
        visit.has("#map-legend", "18 h")
        assert _violations(page) == []

        page.click("#record")
        visit.has("#record", "Stop")
        page.wait_for_timeout(1500)
        page.click("#record")
        visit.has("#status", "like recording")
        visit.close()


@pytest.mark.slow
def test_it_opens_without_a_network(published, browser, indexed, tmp_path):
    """The server is stopped, and the page loaded again; what an earlier site left goes."""
    query = tmp_path / "query.wav"
    soundfile.write(query, tone(2.0, 320, 3), RATE)
    kept = "caches.keys().then((names) => names.map((name) => name.split(' ')[1]))"  # addresses
    with visiting.served(published, visiting.ISOLATED) as host:
        visit = visiting.Visit(browser, host)
        page = visit.page
        visit.has("#kept", "without a network")
        page.evaluate("caches.open(`archive ${location.pathname} earlier`)")
        page.evaluate("caches.open('archive /below/other/ 1')")
        page.reload()
        visit.has("#kept", "without a network")
        assert sorted(page.evaluate(kept)) == ["/below/other/", "/below/site/"]
        page.set_input_files("#file", str(query))
        before = visiting.hits(page)
    page.reload()
    visit.has("#served", "threads" if page.evaluate("navigator.hardwareConcurrency > 1") else "one")
    page.set_input_files("#file", str(query))
    assert visiting.hits(page) == before
    visit.close()
