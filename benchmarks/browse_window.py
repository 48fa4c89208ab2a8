"""A person at the window of `browse`, from a search to a counted class; timed, with pictures.

    python -m benchmarks.browse_window --index=ESC50.index --corpus=esc50:DIR --output_dir=OUT

The corpus's labels play the person, in Chromium, by keys alone where there are keys. A sound of the
class (`--label`) that is drawn by lot is sent to search by; the first hits are answered, then what
the classifier is surest and least sure of, thirty answers in all. Then the class is counted by
`--listen` moments drawn by lot, and the map is looked at. Writes window.json: the share of the
first forty files that are of the class by the search, and by the classifier, the count beside the
truth, seconds for each step (a person's listening is not in them), milliseconds from a key to the
answer's sign, to sound, and for a frame of the map at 100,000 points; and pictures of the views.
"""

from __future__ import annotations

import csv
import io
import os
import random
import shutil
import statistics
import tempfile
import time
import urllib.request

import numpy as np
from absl import app, flags

from audio_triplet import storage
from audio_triplet.corpora import registry
from audio_triplet.provenance import provenance
from benchmarks.browse_killed import Server

_FIRST = 40
_MAP_POINTS = 100_000

# Draws a cloud of points that is moved and zoomed: [ms of drawing, ms between frames] of each.
_FRAMES = """async (count) => {
  const {Scatter} = await import("/static/shared/scatter.js");
  const scatter = new Scatter(document.getElementById("map"));
  const cloud = () => Float32Array.from({length: count}, () => (Math.random() + Math.random() - 1));
  scatter.setPoints(cloud(), cloud());
  scatter.colours = Uint32Array.from({length: count}, () => Math.random() * 2 ** 32);
  const found = [];
  let before = 0;
  for (let turn = 0; turn < 100; turn += 1) {
    scatter.zoomAt(300, 300, turn < 50 ? 1.02 : 1 / 1.02);
    scatter.move(2, 1);
    const now = await new Promise((resolve) => { requestAnimationFrame(resolve); });
    if (turn > 4) found.push([Number(scatter.canvas.dataset.frameMs), now - before]);
    before = now;
  }
  return found;
}"""


class Person:
    """Somebody who knows the labels, at a page."""

    def __init__(self, page, server: Server, truth: dict[str, bool], label: str):
        """Opens the window.

        Args:
          page: A page of Playwright.
          server: The server.
          truth: File name → whether it is of the class.
          label: The class.
        """
        self.page, self.server, self.truth, self.label = page, server, truth, label
        self.milliseconds: list[float] = []
        page.goto(f"{server.address}/?token={server.token}")
        self.wait("summary", "moments")

    def wait(self, identifier: str, text: str) -> None:
        """Waits for a text in an element."""
        self.page.wait_for_function(
            "([id, text]) => document.getElementById(id).textContent.includes(text)",
            arg=[identifier, text],
            timeout=180_000,
        )

    def is_right(self, card) -> bool:
        """Whether a card is of the class."""
        return self.truth[os.path.basename(card.query_selector(".file").get_attribute("title"))]

    def answer(self, cards, most: int) -> int:
        """Answers cards by keys; returns how many."""
        for card in cards[:most]:
            card.query_selector(".clip").focus()
            begin = time.perf_counter()
            self.page.keyboard.press("y" if self.is_right(card) else "n")
            self.page.wait_for_function("card => card.dataset.answer !== ''", arg=card)
            self.milliseconds.append(1000 * (time.perf_counter() - begin))
        return min(most, len(cards))

    def cards(self, place: str) -> list:
        """The cards of a list that have no answer."""
        return self.page.locator(f"{place} .card[data-answer='']").element_handles()

    def share(self) -> float:
        """Of the first forty files on the page, those that are of the class."""
        cards = self.page.locator("#hits .card").element_handles()[:_FIRST]
        return statistics.mean(map(self.is_right, cards))

    def picture(self, folder: str, name: str) -> None:
        """Writes what is seen."""
        from PIL import Image

        self.page.evaluate("scrollTo(0, 0)")
        self.page.wait_for_timeout(600)
        Image.open(io.BytesIO(self.page.screenshot())).save(
            os.path.join(folder, f"browse_{name}.webp"), quality=72, method=6
        )


def sounds_after(page) -> float:
    """Milliseconds from a key to the sound of the chosen card."""
    return page.evaluate(
        """() => new Promise((resolve) => {
          const begin = performance.now(), play = HTMLMediaElement.prototype.play;
          HTMLMediaElement.prototype.play = function () {
            const heard = () => resolve(performance.now() - begin);
            this.addEventListener("playing", heard, {once: true});
            return play.call(this);
          };
          document.querySelector("#hits .card .clip").click();
        })"""
    )


def ranked_share(server: Server, truth: dict[str, bool], label: str) -> float:
    """Of the forty files that the classifier ranks first, those that are of the class."""
    request = urllib.request.Request(
        f"{server.address}/api/export?form=predictions", headers={"X-Token": server.token}
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        rows = csv.DictReader(io.StringIO(answer.read().decode("utf-8-sig")))
        best: dict[str, float] = {}
        for row in rows:
            name = os.path.basename(row["path"])
            best[name] = max(best.get(name, 0.0), float(row[label]))
    first = sorted(best, key=lambda name: -best[name])[:_FIRST]
    return statistics.mean(truth[name] for name in first)


def play(person: Person, sound: str, answers: int, listen: int, folder: str) -> dict:
    """All of the loop; returns what was measured."""
    page, steps = person.page, {}
    begin = time.perf_counter()

    def done(name: str) -> None:
        nonlocal begin
        steps[name] = round(time.perf_counter() - begin, 1)
        begin = time.perf_counter()

    page.locator("#narrow").evaluate("details => { details.open = true; }")
    page.locator("#one-each").check()
    page.locator("#narrow").evaluate("details => { details.open = false; }")
    page.locator("input[type=file]").first.set_input_files(sound)
    person.wait("status", "nearest moment")
    before = person.share()
    done("search")
    sound_ms = sounds_after(page)
    page.keyboard.press("Escape")
    page.locator("#class-name").fill(person.label)
    page.locator("#class-name").press("Enter")
    given = person.answer(person.cards("#hits"), answers // 3)
    person.picture(folder, "find")
    order = 0
    while given < answers:
        page.locator(f"[data-order={('surest', 'unsure')[order % 2]}]").click()
        person.wait("status", "without an answer")
        given += person.answer(person.cards("#hits"), min(5, answers - given))
        order += 1
    done(f"{answers} answers")
    page.locator("[data-order=surest]").click()
    person.wait("status", "surest first")
    # The curve comes after the hits.
    page.locator(f"#learn-curve svg[aria-label*='to {given} answers']").wait_for(timeout=60_000)
    person.picture(folder, "learn")
    after = ranked_share(person.server, person.truth, person.label)
    done("ranked")
    page.locator("header nav a[href='#count']").click()
    heard = 0
    while heard < listen:
        page.locator("#count-more:enabled").click()
        page.locator("#count-asked .card[data-answer='']").first.wait_for()
        heard += person.answer(person.cards("#count-asked"), 1000)
        page.wait_for_function("() => !document.querySelector('#count-asked .card')")
    page.locator("#quality-curve svg").wait_for()
    person.picture(folder, "count")
    count = person.server.ask(f"/api/count?label={person.label}")
    files = person.server.ask("/api/files?limit=10000")["files"]
    moments = sum(one["vectors"] for one in files)
    right = sum(one["vectors"] for one in files if person.truth[os.path.basename(one["path"])])
    done(f"counted by {heard}")
    page.locator("header nav a[href='#look']").click()
    page.wait_for_function(
        "() => /^[0-9]/.test(document.getElementById('map-said').textContent)", timeout=300_000
    )
    page.locator("#map-colour").select_option("score")
    person.picture(folder, "look")
    done("map")
    frames = np.array(page.evaluate(_FRAMES, _MAP_POINTS))
    return {
        "first_40": {"before": before, "after": after},
        "count": {key: count[key] for key in ("share", "interval", "answered", "moments")}
        | {"truth": right / moments},
        "seconds": steps,
        "milliseconds": {
            "answer": round(statistics.median(person.milliseconds), 1),
            "sound": round(sound_ms, 1),
            "map_drawing": [round(float(x), 1) for x in np.quantile(frames[:, 0], [0.5, 0.95])],
            "map_frame": [round(float(x), 1) for x in np.quantile(frames[:, 1], [0.5, 0.95])],
        },
    }


def main(argv: list[str]) -> None:
    """Runs the loop."""
    from playwright.sync_api import sync_playwright

    del argv
    values = flags.FLAGS
    os.makedirs(values.output_dir, exist_ok=True)
    table = registry.load_corpus(values.corpus).frame
    is_class = [values.label in labels.split(";") for labels in table["labels"]]
    truth = dict(zip(map(os.path.basename, table["path"]), is_class, strict=True))
    of_class = table["path"][is_class].tolist()
    sound = random.Random(values.seed).choice(sorted(of_class))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        model = [f"--model={values.model}"] if values.model else []
        server = Server(values.index, os.path.join(folder, "labels.sqlite"), *model)
        own = playwright.chromium.executable_path
        browser = playwright.chromium.launch(
            executable_path=own if os.path.exists(own) else shutil.which("chromium"),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 820})
            page.on("console", lambda message: print(message.text))
            person = Person(page, server, truth, values.label)
            found = play(person, sound, values.answers, values.listen, values.output_dir)
        finally:
            browser.close()
            server.kill()
    content = {"label": values.label, "sound": os.path.basename(sound), **found} | provenance()
    storage.write_json(os.path.join(values.output_dir, "window.json"), content)
    print(content)


if __name__ == "__main__":
    flags.DEFINE_string("index", None, "Folder of an index of the corpus.", required=True)
    flags.DEFINE_string("corpus", None, "The corpus, whose labels play the person.", required=True)
    flags.DEFINE_string("output_dir", None, "Where window.json and pictures go.", required=True)
    flags.DEFINE_string("model", None, "The index's model, if it has moved.")
    flags.DEFINE_string("label", "dog", "The class.")
    flags.DEFINE_integer("answers", 30, "Answers before counting.")
    flags.DEFINE_integer("listen", 60, "Moments that are listened to for the count.")
    flags.DEFINE_integer("seed", 0, "Of the sound that is sent.")
    app.run(main)
