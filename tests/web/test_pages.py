"""The shared page design: escaping, sound, pictures, charts, and what a page promises."""

import base64
import hashlib
import io
import json
import math
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from audio_triplet.errors import AudioError
from audio_triplet.web import charts, colours, formatting, pages, pictures, templating
from audio_triplet.web.charts import Line
from audio_triplet.web.clips import Clips
from audio_triplet.web.excerpts import LIGHT, Excerpt, Quality, encode, read

RATE = 16_000
HOSTILE = """</script><b onclick="x()">&amp;'\u202e é 犬"""
_VOID = {"meta", "link", "img", "br", "input", "line", "circle", "path", "use", "polyline"}


class Page(HTMLParser):
    """A parsed page: every element with its attributes, scripts, visible text; tags must nest."""

    def __init__(self, content: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(content)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [key for key, _ in attrs]
        assert len(names) == len(set(names)), f"{tag}: an attribute twice: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            attrs, code = self.scripts[-1]
            self.scripts[-1] = (attrs, code + data)
        elif not self.open or self.open[-1] != "style":
            # As a browser shows it: line breaks and indentation are one space.
            self.text.append(re.sub(r"[ \n\t]+", " ", data))

    def all(self, tag: str | None = None, **wanted) -> list[dict]:
        return [
            attrs
            for found, attrs in self.elements
            if (tag is None or found == tag)
            and all(key in attrs and (v is None or attrs[key] == v) for key, v in wanted.items())
        ]

    def json(self, identifier: str):
        return json.loads(next(c for a, c in self.scripts if a.get("id") == identifier))


def check_page(content: str) -> Page:
    """What every page promises; returns it parsed."""
    page = Page(content)
    for tag, attrs in page.elements:
        for key in ("src", "href", "xlink:href", "action", "poster", "srcset"):
            if key in attrs:
                assert re.match(r"data:|#", attrs[key]), f"<{tag} {key}={attrs[key]!r}>"
        assert not [key for key in attrs if key.startswith("on")], f"<{tag}> has a handler"
    style = re.search(r"<style>(.*?)</style>", content, re.S).group(1)
    assert "url(" not in style and "@import" not in style
    identifiers = [attrs["id"] for attrs in page.all(id=None)]
    assert len(identifiers) == len(set(identifiers))
    for attrs in page.all("a") + page.all("use"):
        assert attrs["href"][1:] in identifiers
    clips = page.json("clips")["clips"]
    for attrs in page.all(**{"data-clip": None}):
        assert clips[attrs["data-clip"]] and attrs["aria-label"]
    assert all("alt" in attrs and attrs["alt"] for attrs in page.all("img"))
    heads = content.count("<thead")
    assert content.count("<table") == heads and content.count('scope="row"') >= heads
    assert all(attrs.get("scope") for attrs in page.all("th"))
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'")
    executable = [code for attrs, code in page.scripts if attrs.get("type") != "application/json"]
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    assert allowed == {
        base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in executable
    }
    return page


def write_wav(path, waveform, rate=RATE):
    soundfile.write(str(path), np.asarray(waveform, np.float32), rate, subtype="FLOAT")
    return str(path)


def tone(hertz, seconds, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def template(source):
    return templating.environment().from_string('{% extends "page.html" %}' + source)


def minimal(sounds, clips):
    """A page with a player for each of the sounds."""
    body = (
        '{% from "parts.html" import player %}'
        "{% block one %}{% for sound in sounds %}{{ player(sound) }}{% endfor %}{% endblock %}"
    )
    return pages.page(template(body), "Title", {"one": "One"}, clips=clips, sounds=sounds)


def drawn(chart):
    return templating.macro("charts.html", "line_chart", chart)


# --- text ----------------------------------------------------------------------------------------


def test_text_is_safe_in_an_element_and_in_an_attribute():
    page = Page(f'<p title="{formatting.text(HOSTILE)}">{formatting.text(HOSTILE)}</p>')
    assert page.all("p") == [{"title": HOSTILE}] and page.text == [HOSTILE]
    assert formatting.text("a\x00b\x1bc\ud800d\ne") == "a\ufffdb\ufffdc\ufffdd\ne"
    formatting.text("\udcff" * 3).encode("utf-8")  # a file name that is not UTF-8


@given(st.text(), st.text())
def test_any_string_survives_a_json_block(key, value):
    block = formatting.json_block("b", {"x" + key: [value, 1.5, None]})
    page = Page(block)
    assert len(page.elements) == 1 and page.json("b") == {"x" + key: [value, 1.5, None]}


def test_json_refuses_what_json_has_not():
    with pytest.raises(ValueError):
        formatting.json_block("b", [math.nan])


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.5"])
def test_missing_figures_are_dashes(value):
    assert formatting.number(value) == formatting.percent(value) == "–"


def test_figures():
    assert formatting.number(0.12345) == "0.123" and formatting.number(np.float32(2), 1) == "2.0"
    assert formatting.percent(0.408) == "41\u202f%"


# --- sound ---------------------------------------------------------------------------------------


def test_read_takes_the_excerpt_and_no_more(tmp_path):
    waveform = np.concatenate([np.full(RATE, level) for level in (0.1, 0.2, 0.3, 0.4)])
    path = write_wav(tmp_path / "steps.wav", waveform)
    np.testing.assert_allclose(read(Excerpt(path, 1.0, 3.0)), waveform[RATE : 3 * RATE], atol=1e-6)
    assert len(read(Excerpt(path))) == 4 * RATE
    assert len(read(Excerpt(path, 2.5))) == 1.5 * RATE
    short = read(Excerpt(path), Quality(max_seconds=1.5))
    np.testing.assert_allclose(short, waveform[: round(1.5 * RATE)], atol=1e-6)
    with pytest.raises(AudioError, match="no sound at 9"):
        read(Excerpt(path, 9.0))


def test_loudest_part_is_found(tmp_path):
    waveform = 0.01 * np.ones(6 * RATE)
    waveform[3 * RATE : 4 * RATE] = 0.5
    path = write_wav(tmp_path / "burst.wav", waveform)
    found = read(Excerpt(path), Quality(max_seconds=1.0, loudest=True))
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def decoded(sound):
    waveform, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    assert rate == RATE and waveform.ndim == 1
    return waveform


@pytest.mark.parametrize("amplitude", [0.002, 0.05, 1.0, 4.0])
def test_encoded_sound_is_the_sound_at_an_even_level(amplitude):
    waveform = tone(440, 1.0, amplitude).astype(np.float32)
    before = waveform.copy()
    sound = encode(waveform, 0.9)
    np.testing.assert_array_equal(waveform, before)
    back = decoded(sound)
    assert abs(len(back) - RATE) < 0.2 * RATE  # codecs pad
    assert len(sound) < 6000
    middle = back[RATE // 4 : 3 * RATE // 4]
    expected = min(0.7, 8 * amplitude)
    assert 0.8 * expected < np.abs(middle).max() < min(1.0, 1.2 * expected)
    peak = np.argmax(np.abs(np.fft.rfft(middle))) * RATE / len(middle)
    assert abs(peak - 440) < 4


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_the_shortest_sounds_can_be_encoded(samples):
    assert decoded(encode(np.ones(samples, np.float32), 0.9)).size


def test_silence_stays_silent():
    assert np.abs(decoded(encode(np.zeros(RATE, np.float32), 0.9))).max() < 1e-4


def test_a_clip_is_in_the_page_once(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(300, 0.5))
    clips = Clips(workers=2)
    clips.add([Excerpt(path), Excerpt(path), Excerpt(path, 0.1, 0.4)])
    clips.add([Excerpt(path)], LIGHT)
    assert len(clips) == 2 and len(clips.json()["clips"]) == 2
    assert clips[Excerpt(path)].log_mel is not None  # the first quality stays
    sounds = [clips.player(Excerpt(path), "a")] * 3
    sounds += [clips.player(Excerpt(path, 0.1, 0.4), "b")]
    page = check_page(minimal(sounds, clips))
    assert len(page.all("button", **{"data-clip": None})) == 4
    assert "a.wav at 0.1 s" in page.all(**{"data-clip": "c1"})[0]["aria-label"]


def test_unreadable_sounds_do_not_stop_a_page(tmp_path):
    (tmp_path / "text.wav").write_text("not audio at all, nor long enough to be")
    bad = [Excerpt(str(tmp_path / "gone.wav")), Excerpt(str(tmp_path / "text.wav"))]
    clips = Clips()
    clips.add(bad)
    assert len(clips.unreadable) == 2
    page = check_page(minimal([clips.player(excerpt, "x") for excerpt in bad], clips))
    assert not page.all("button", **{"data-clip": None})
    assert "".join(page.text).count("no sound") == 2


def test_hostile_names_in_a_player(tmp_path):
    name = "</script><b>'\"& é\u202e.wav".replace("/", "")
    path = write_wav(tmp_path / name, tone(300, 0.2))
    clips = Clips()
    clips.add([Excerpt(path)])
    page = check_page(minimal([clips.player(Excerpt(path), HOSTILE)], clips))
    player = page.all("button", **{"data-clip": None})[0]
    assert player["aria-label"] == f"Play {HOSTILE}, {name}" and not page.all("b")


# --- pictures ------------------------------------------------------------------------------------


def pixels(uri):
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("L"))


@pytest.mark.parametrize("hertz", [250, 1000, 4000])
def test_picture_shows_a_tone_at_its_pitch_and_silence_after_its_end(tmp_path, hertz):
    path = write_wav(tmp_path / "tone.wav", tone(hertz, 1.0))
    clips = Clips()
    clips.add([Excerpt(path)])
    image = pixels(pictures.picture_uri(clips[Excerpt(path)].log_mel, span_seconds=2.0))
    assert image.shape == (64, 100)  # 20 ms a pixel
    brightest = np.argmax(image[:, :45].mean(axis=1))
    mel = 1127 * np.log(1 + np.array([125, hertz, 7500]) / 700)
    expected = 63 - (mel[1] - mel[0]) / (mel[2] - mel[0]) * 64
    assert abs(brightest - expected) <= 1.5
    assert image[:, 55:].max() == image.min() < 5


def test_a_sound_shorter_than_a_window_has_a_picture(tmp_path):
    path = write_wav(tmp_path / "click.wav", [0.5] * 20)
    clips = Clips()
    clips.add([Excerpt(path)])
    assert pixels(pictures.picture_uri(clips[Excerpt(path)].log_mel, 0.1)).shape == (64, 5)
    guide = clips.picture_guide(Excerpt(path), "click")
    assert "<figure" in templating.macro("parts.html", "picture_guide", guide)


# --- charts --------------------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 8))
def test_ticks_enclose_the_range_evenly(one, other, about):
    low, high = sorted((one, other))
    found = charts.ticks(low, high, about)
    step = found[1] - found[0]
    assert found[0] <= low + 1e-6 * step and found[-1] >= high - 1e-6 * step
    assert 2 <= len(found) <= about + 2
    np.testing.assert_allclose(np.diff(found), step, rtol=1e-6)


@pytest.mark.parametrize("low, high", [(0.0, 5e-324), (5e-324, 5e-324), (0.1, 0.1 + 1e-17), (0, 0)])
def test_ticks_of_one_value_are_more_than_one(low, high):
    found = charts.ticks(low, high)
    assert found[0] <= low < high + 1e-300 <= found[-1] and len(set(found)) >= 2


def test_ticks_and_decimals_by_hand():
    assert charts.ticks(0, 0.095) == pytest.approx([0, 0.02, 0.04, 0.06, 0.08, 0.1])
    assert charts.decimals([0, 0.02, 0.1]) == 2 and charts.decimals([0.0, 50.0]) == 0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7))
def test_spread_labels_neither_touch_nor_change_order(wanted):
    places = charts.spread(wanted, 13, 0, 100)
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in places)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(np.array(places)[order]) >= 13 - 1e-6).all()


def test_lines_leave_out_what_is_not_finite():
    line = Line("loss", "k-joint", [0, 1, 2, 3], [0.1, math.nan, math.inf, 0.2])
    empty = Line("gone", "k-mixing", [0, 1], [math.nan, None])
    page = Page(drawn(charts.line_chart("Loss", "How to read it.", [line, empty], "step")))
    points = page.all("polyline")
    assert len(points) == 1 and len(points[0]["points"].split()) == 2
    assert page.all("svg")[0]["aria-label"] == "Loss: loss from 0.100 to 0.200"
    assert "Nothing was logged" in drawn(charts.line_chart("Loss", "", [empty], "step"))


def test_a_chart_of_one_point_or_of_a_constant():
    for values in ([3.0], [0.0, 0.0]):
        line = Line("x", "k-joint", list(range(len(values))), values)
        assert "nan" not in drawn(charts.line_chart("T", "", [line], "step"))


def luminance(colour):
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_class_colours_are_seen_on_both_papers_and_differ():
    found = [colours.class_colour(index) for index in range(60)]
    assert len(set(found)) == 60
    light, dark = luminance("#ffffff"), luminance("#1c1f23")
    for colour in found:
        mine = luminance(colour)
        assert (light + 0.05) / (mine + 0.05) >= 2.5 and (mine + 0.05) / (dark + 0.05) >= 2.5


# --- page ----------------------------------------------------------------------------------------


def test_a_page_keeps_its_promises():
    content = pages.page(
        template("{% block lede %}<p>Lede.</p>{% endblock %}{% block one %}<p>x</p>{% endblock %}"),
        HOSTILE,
        {"one": HOSTILE},
        data={"more": {"label": HOSTILE}},
        scripts=["map.js"],
        styles=["map.css"],
    )
    page = check_page(content)
    assert page.json("more") == {"label": HOSTILE}
    assert [a["href"] for a in page.all("a")] == ["#main", "#one"]
    assert not page.all("b")
    assert len(page.scripts) == 4  # two of data, the players' and the one asked for
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("meta", name="viewport")[0]["content"].startswith("width=device-width")
    assert "prefers-color-scheme: dark" in content and "@media print" in content


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = str(tmp_path / "page.html")
    pages.write(path, "old")
    with pytest.raises(UnicodeEncodeError):
        pages.write(path, "\udcff")
    with open(path, encoding="utf-8") as file:
        assert file.read() == "old"
    pages.write(path, "né\n")
    with open(path, "rb") as file:
        assert file.read() == "né\n".encode()
    assert os.listdir(tmp_path) == ["page.html"]
