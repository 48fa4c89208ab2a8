"""The window in a real browser: search, label, undo, learn, take away; by mouse and by keys."""

import csv
import io
import os
import urllib.parse
import urllib.request
import zipfile

import numpy as np
import pytest
import soundfile

from benchmarks.browse_killed import Server
from tests import chromium
from tests.browse.conftest import ODD
from tests.conftest import RATE, tone

PHONE, DESKTOP = 390, 1280
pytestmark = pytest.mark.slow  # part of `make test`, not of `make check`
VIEWS = ("find", "count", "look", "take")


@pytest.fixture(scope="module")
def server(indexed, small_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("window")
    server = Server(indexed, str(folder / "labels.sqlite"), f"--model={small_model.path}")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def browser():
    with chromium.launched(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    ) as running:
        yield running


@pytest.fixture
def open_window(browser, server):
    """Opens the window in a tab of its own; at the end nothing must have been complained of."""
    contexts, complaints = [], []

    def open_window(view: str = "find", width: int = DESKTOP, scheme: str = "light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) =>"
            " console.error(`blocked: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        page.goto(f"{server.address}/?token={server.token}#{view}")
        has(page, "summary", "moments")
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def no_answers(server):
    """Takes back what earlier tests answered."""
    while server.ask("/api/undo", {})["undone"]:
        pass


def answers(server) -> dict:
    return {
        (os.path.basename(one["path"]), one["start_seconds"], one["label"]): one["value"]
        for one in server.ask("/api/labels")["labels"]
    }


def has(page, identifier: str, text: str) -> None:
    """Waits until an element has a text in it."""
    page.wait_for_function(
        "([id, text]) => document.getElementById(id).textContent.includes(text)",
        arg=[identifier, text],
    )


def status_has(page, text: str) -> None:
    has(page, "status", text)


def search_by(page, path) -> None:
    page.locator("input[type=file]").first.set_input_files(path)
    status_has(page, "nearest moment")


@pytest.fixture(scope="module")
def low_sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "sent.wav"
    soundfile.write(path, tone(1.5, 305, 3), RATE)
    return path


def test_a_sound_is_searched_by_answered_and_taken_back(open_window, server, low_sound, no_answers):
    page = open_window()
    search_by(page, low_sound)
    hits = page.locator("[data-path][data-start][data-score]")
    scores = [float(score) for score in hits.evaluate_all("all => all.map(e => e.dataset.score)")]
    assert len(scores) > 5 and scores == sorted(scores, reverse=True)
    name = os.path.basename(hits.first.get_attribute("data-path"))
    start = float(hits.first.get_attribute("data-start"))
    page.locator("#span-title", has_text="sent.wav").wait_for()

    hits.first.get_by_role("button", name="yes", exact=True).click()
    status_has(page, "Name a class first")
    page.locator("#class-name").fill("low; hum")
    page.locator("#class-form button").click()
    status_has(page, "holds no")
    page.locator("#class-name").fill("low hum")
    page.locator("#class-form button").click()
    yes = hits.first.get_by_role("button", name="yes", exact=True)
    yes.click()
    status_has(page, "low hum: yes")
    assert yes.get_attribute("aria-pressed") == "true"
    assert answers(server) == {(name, start, "low hum"): True}
    page.locator("#undo").click()
    status_has(page, "Taken back")
    assert yes.get_attribute("aria-pressed") == "false" and answers(server) == {}
    page.locator("#redo").click()
    status_has(page, "Given again")
    assert answers(server) == {(name, start, "low hum"): True}


def test_by_keys_alone_with_another_tab_beside(open_window, server, low_sound, no_answers):
    page, other = open_window(), open_window()
    page.keyboard.press("/")
    page.keyboard.type("20240612_05")
    page.locator("#suggestions li", has_text="20240612_05").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#span").wait_for()
    # The left handle a second to the right, then the search.
    handle = page.locator("#span-plot [role=slider]").first
    handle.focus()
    page.keyboard.press("Shift+ArrowRight")
    assert handle.get_attribute("aria-valuetext") == "0:01.0"
    page.keyboard.press("Enter")
    status_has(page, "to the marked span")
    page.locator("#class-name").focus()
    page.keyboard.type("high")
    page.keyboard.press("Enter")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    first = page.locator(".card.chosen")
    assert first.get_attribute("data-score") == page.locator(".card").first.get_attribute(
        "data-score"
    )
    page.keyboard.press("y")
    status_has(page, "high: yes")
    page.keyboard.press("Space")
    page.locator("#now").wait_for(state="visible")
    page.keyboard.press("Escape")
    page.locator("#now").wait_for(state="hidden")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("n")
    status_has(page, "high: no")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    status_has(page, "high: not sure")
    page.keyboard.press("u")
    status_has(page, "Taken back")
    page.keyboard.press("Shift+1")
    status_has(page, "high: no")
    assert sorted(answers(server).values()) == [False, False, True]
    page.keyboard.press("?")
    page.locator("#keys").wait_for(state="visible")
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    status_has(page, "and your examples")
    # The other tab has the class and its answers without being asked.
    other.locator(".counts", has_text="1 yes, 2 no").wait_for()


def test_a_class_is_learned_and_taken_away(open_window, server, low_sound, no_answers):
    page = open_window()
    search_by(page, low_sound)
    page.locator("#class-name").fill("low")
    page.locator("#class-name").press("Enter")
    count = page.locator(".card").count()
    ends = sorted({*range(5), *range(count - 5, count)})  # the best and the worst of the answer
    assert len(ends) >= 6
    for number in ends:
        card = page.locator(".card").nth(number)
        parts = card.get_attribute("data-path").split("/")
        is_low = "low" in parts or ODD.split("/")[-1] == parts[-1]
        card.locator(".clip").focus()
        page.keyboard.press("y" if is_low else "n")
        page.wait_for_function(
            "e => e.dataset.answer !== ''", arg=card.element_handle(), timeout=10_000
        )
    page.wait_for_function("() => document.getElementById('learn-score').textContent !== '–'")
    assert 0 <= float(page.locator("#learn-score").inner_text()) <= 1
    for order in ("surest", "unsure", "spread", "random"):
        page.locator(f"[data-order={order}]").click()
        page.wait_for_function(
            "order => document.querySelector(`[data-order=${order}]`).ariaPressed === 'true'",
            arg=order,
        )
        status_has(page, "without an answer")
        assert page.locator(".card[data-answer='']").count() == page.locator(".card").count() > 0
    page.locator("header nav a[href='#take']").click()
    with page.expect_download() as waiting:
        page.locator("#export-manifest").click()
    rows = list(csv.DictReader(io.StringIO(_text(waiting.value))))
    assert len(rows) == len(ends) and {row["labels"] for row in rows} <= {"low", "other"}
    with page.expect_download() as waiting:
        page.locator("#export-raven").click()
    assert zipfile.ZipFile(waiting.value.path()).namelist()

    page.locator("#table").set_input_files(
        {"name": "answers.csv", "mimeType": "text/csv", "buffer": _manifest(server)}
    )
    has(page, "imported", "stored")
    assert page.locator("#imported").inner_text().startswith("1 label stored")


def _text(download) -> str:
    with open(download.path(), encoding="utf-8-sig") as file:
        return file.read()


def _manifest(server) -> bytes:
    path = next(
        file["path"]
        for file in server.ask("/api/files")["files"]
        if file["path"].endswith("fast.flac")
    )
    return f"path,labels,start_seconds,end_seconds\n{path},brought,0,0.96\n".encode()


def test_a_class_is_counted(open_window, server, no_answers):
    """Everything is heard in the end, so that the number is right."""
    moments = _moments(server)
    first = [one for one in moments if one["start_seconds"] == 0]
    server.ask("/api/labels", {"labels": [one | _low(one) for one in first]})
    page = open_window("count")
    page.locator("#count-more:enabled").click()
    page.locator("#count-asked .card").first.wait_for()
    assert page.locator("#count-asked [data-score]").count() == 0  # no hits, and nobody is swayed
    while server.ask("/api/count?label=low")["answered"] < len(moments):
        page.locator("#count-asked .card[data-answer='']").first.wait_for()
        cards = page.locator("#count-asked .card[data-answer='']").element_handles()
        for item in cards:
            name = item.query_selector(".file").get_attribute("title")
            item.query_selector(".clip").focus()
            page.keyboard.press("y" if _low({"path": name})["value"] else "n")
            page.wait_for_function("item => item.dataset.answer !== ''", arg=item)
        page.wait_for_function("() => !document.querySelector('#count-asked .card')")
        page.locator("#count-more").click()
    expected = sum(_low(one)["value"] for one in moments)
    page.wait_for_function(
        "text => document.getElementById('count-share').textContent.startsWith(text)",
        arg=f"{expected} (",
    )
    page.locator("#quality-curve svg").wait_for()


def test_the_map_is_looked_at_and_taken_from(open_window, server, no_answers):
    page = open_window("look")
    page.locator("#clock-box").wait_for()
    page.wait_for_function(
        "() => /^[0-9]/.test(document.getElementById('map-said').textContent)", timeout=90_000
    )
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    seen = {page.locator("#map-spot").inner_text()}
    for key in ("ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        seen.add(page.locator("#map-spot").inner_text())
    assert len(seen) > 2 and all(".wav at " in text or ".flac at " in text for text in seen)
    page.keyboard.press("Space")
    page.locator("#now").wait_for(state="visible")
    page.keyboard.press("Enter")
    total = len(_moments(server))
    assert page.locator("#taken-h").inner_text() == f"{total} moments taken"  # fewer than 30
    page.locator("#taken-none").click()

    # A lasso around the left half, whose number is counted from the points themselves.
    page.locator("#map-lasso").click()
    box = page.locator("#map").bounding_box()
    left, right = box["x"] + 2, box["x"] + box["width"] / 2
    top, bottom = box["y"] + 2, box["y"] + box["height"] - 2
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom)):
        page.mouse.move(x, y, steps=3)
    page.mouse.up()
    layout = server.ask("/api/map")["arrays"]["x"]
    request = urllib.request.Request(
        f"{server.address}/api/map/points", headers={"X-Token": server.token}
    )
    with urllib.request.urlopen(request) as answer:
        x = np.frombuffer(answer.read(), "<f4", layout["length"], layout["offset"])
    assert page.locator("#taken-h").inner_text().startswith(f"{(x < 0).sum()} moment")
    page.goto(page.url.split("#")[0] + "#find")
    page.locator("#class-name").fill("left")
    page.locator("#class-name").press("Enter")
    page.locator("header nav a[href='#look']").click()
    page.locator("#taken-yes").click()
    status_has(page, "left: yes")
    assert list(answers(server).values()) == [True] * int((x < 0).sum())
    for colour in ("score", "file", "hour", "answers"):
        page.locator("#map-colour").select_option(colour)
    page.locator("#clock-shows").select_option("yes")
    assert "in 1 day, most of them from" in page.locator("#clock").get_attribute("aria-label")
    page.locator("#undo").evaluate("button => button.click()")
    status_has(page, "Taken back")
    assert answers(server) == {}


def _moments(server) -> list[dict]:
    found = []
    for file in server.ask("/api/files")["files"]:
        path = urllib.parse.quote(file["path"])
        for one in server.ask(f"/api/file?path={path}")["moments"]:
            found.append({**one, "path": file["path"]})
    return [{key: one[key] for key in ("path", "start_seconds", "end_seconds")} for one in found]


def _low(moment: dict) -> dict:
    return {"label": "low", "value": "/low/" in moment["path"]}


def test_a_span_is_marked_by_the_mouse(open_window):
    page = open_window()
    page.locator("#recordings summary").click()
    page.locator("#recordings-filter").fill("FAST")
    has(page, "recordings-count", "1 recording")
    page.locator("#recordings-list button").click()
    plot = page.locator("#span-plot")
    page.wait_for_function("() => document.getElementById('span-image').naturalWidth > 0")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5 / 2.2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 30)
    page.mouse.move(box["x"] + box["width"] * 1.5 / 2.2, box["y"] + 30)
    page.mouse.up()
    assert page.locator("#span-times").inner_text() == "0:00.5 – 0:01.5 of 0:02.2"
    page.locator("#span-search").click()
    status_has(page, "to the marked span")
    card = page.locator(".card").first
    card.get_by_role("button", name="less like this").click()
    page.locator("#examples li").wait_for()
    status_has(page, "and your examples")
    card.get_by_role("button", name="open its recording").click()
    page.locator("#span-title", has_not_text="fast.flac").wait_for()


def test_the_microphone_is_searched_by(open_window):
    page = open_window()
    page.locator("#record").click()
    status_has(page, "Recording")
    page.wait_for_timeout(1500)
    page.locator("#record").click()
    status_has(page, "to recording")
    assert page.locator(".card").count() > 0


def test_errors_are_said_and_odd_names_are_text(open_window, tmp_path, server):
    page = open_window()
    page.locator("#word").fill("no such word")
    page.locator("#word").press("Enter")
    status_has(page, "neither a known word nor")
    page.locator("#word").fill("script")
    page.locator("#word").press("Enter")
    page.locator("#span").wait_for()
    assert "alert(1)" in page.locator("#span-title").inner_text()
    page.locator("#class-name").fill("<b onclick=x()>")
    page.locator("#class-name").press("Enter")
    assert page.locator("#class-list bdi").last.inner_text() == "<b onclick=x()>"
    pressed = page.locator("#class-list button[aria-pressed=true]")
    assert pressed.count() == 1 and "onclick" in pressed.inner_text()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark"), (DESKTOP, "light")])
def test_it_fits_and_is_accessible(open_window, low_sound, width, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    page = open_window(width=width, scheme=scheme)
    search_by(page, low_sound)
    for view in VIEWS:
        page.locator(f"header nav a[href='#{view}']").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page).response["violations"]
        assert [
            (one["id"], one["help"], [node["html"][:200] for node in one["nodes"]]) for one in found
        ] == []
