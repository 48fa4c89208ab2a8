"""What the tests of pages share: a parser, what every page promises, and sounds."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import soundfile

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
