"""The pages in a real browser: nothing is blocked or fails, keys work, and they are accessible."""

import csv
import pathlib

import pytest

from audio_triplet.classify.listening import read_answers
from tests import chromium
from tests.web.page_checks import check_page
from tests.web.sample_pages import make_pages

NAMES = ("table", "classifier", "suggestions", "listen", "check", "search", "runs")
PHONE, DESKTOP = 390, 1280


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return make_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser():
    with chromium.launched() as running:
        yield running


@pytest.fixture
def open_page(browser, paths):
    """Opens a page; at the end nothing must have been complained of."""
    contexts, complaints = [], []

    def open_page(name: str, width: int = DESKTOP, scheme: str = "light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:"))
                or complaints.append(f"asks the network for {request.url}")
            ),
        )
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) =>"
            " console.error(`blocked: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        page.goto(pathlib.Path(paths[name]).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("name", NAMES)
def test_every_page_keeps_the_promises_of_pages(paths, name):
    check_page(pathlib.Path(paths[name]).read_text(encoding="utf-8"))


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", NAMES)
def test_pages_fit_their_window(open_page, name, width):
    page = open_page(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_no_serious_violation_of_accessibility(open_page, name, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    found = axe.Axe().run(open_page(name, scheme=scheme)).response["violations"]
    serious = [
        (violation["id"], violation["help"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("name", ["table", "classifier", "suggestions", "listen", "search"])
def test_sound_plays_and_stops_by_key(open_page, name):
    page = open_page(name)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    player = page.locator("[data-clip]").first
    # A short clip may be over before the next line: what the button said is written down.
    player.evaluate(
        """button => {
          window.pressed = [];
          new MutationObserver(() => window.pressed.push(button.getAttribute("aria-pressed")))
              .observe(button, {attributeFilter: ["aria-pressed"]});
        }"""
    )
    player.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.pressed.includes('true')")
    assert page.locator("#now span").inner_text() == player.get_attribute("data-title")
    page.keyboard.press("Escape")
    page.locator("#now").wait_for(state="hidden")
    assert player.get_attribute("aria-pressed") == "false"


def test_a_served_sound_plays_too(open_page):
    page = open_page("search")
    page.evaluate(
        """() => {
          const store = JSON.parse(document.getElementById("clips").textContent);
          const bytes = Uint8Array.from(atob(store.clips.c0), (char) => char.charCodeAt(0));
          const button = document.querySelector("[data-clip]");
          button.dataset.url = URL.createObjectURL(new Blob([bytes], {type: store.type}));
          delete button.dataset.clip;
        }"""
    )
    page.locator("[data-url]").press("Enter")
    page.locator("#now").wait_for(state="visible")
    assert page.locator("[data-url]").get_attribute("aria-pressed") == "true"


def test_the_map_by_key(open_page):
    page = open_page("table")
    page.locator("#chart").focus()
    seen = set()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        seen.add(page.locator("#spot").inner_text())
    assert len(seen) >= 2 and all(".wav" in text for text in seen)
    page.keyboard.press("Space")
    page.locator("#now").wait_for(state="visible")
    page.keyboard.press("Escape")

    bell = page.locator("[data-kind]").first
    bell.press("Enter")
    assert bell.get_attribute("aria-pressed") == "true"
    assert page.locator("#chart .marks use.on").count() == 6
    before = page.locator("#chart .marks use").first.get_attribute("style")
    page.locator("[data-layout=log_mel]").press("Enter")
    assert page.locator("#chart .marks use").first.get_attribute("style") != before


def test_classes_by_either_measure(open_page):
    page = open_page("table")
    assert page.locator(".p-qbe").is_visible() and page.locator(".p-cls").is_hidden()
    page.locator("#m-qbe").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".p-cls").is_visible() and page.locator(".p-qbe").is_hidden()


def test_labels_are_saved(open_page, tmp_path):
    page = open_page("suggestions")
    first = page.locator("input[data-row]").first
    first.fill(' bell; "new" one ;')
    assert page.locator("#saved").inner_text() == "1 of 4 are named, not saved yet."
    with page.expect_download() as waiting:
        page.locator("#save").press("Enter")
    waiting.value.save_as(tmp_path / "labels.csv")
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert row["labels"] == 'bell;"new" one' and row["path"].endswith("sound_0.wav")


def test_the_text_of_a_chart_is_no_larger_than_that_around_it(open_page):
    for width in (PHONE, DESKTOP):
        page = open_page("classifier", width)
        height = page.locator("#curve .tick").first.evaluate(
            "e => e.getBoundingClientRect().height"
        )
        assert 8 < height < 16  # the paragraph's letters are 16 pixels high


def test_paper_is_always_light(open_page):
    page = open_page("search", scheme="dark")
    colour = "getComputedStyle(document.body).color"
    assert page.evaluate(colour) == "rgb(231, 229, 224)"
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(30, 33, 36)"
    assert page.locator("nav").is_hidden()


def test_answers_are_saved(open_page, tmp_path):
    page = open_page("listen")
    page.locator("input[value=no]").nth(1).check()
    page.locator("input[value=yes]").nth(2).check()
    assert page.locator("#saved").inner_text() == "2 of 5 are answered, not saved yet."
    with page.expect_download() as waiting:
        page.locator("#save").press("Enter")
    waiting.value.save_as(tmp_path / "answers.csv")
    assert read_answers(tmp_path / "answers.csv") == {1: "no", 2: "yes"}
