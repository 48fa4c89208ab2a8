"""A page: what it promises, its sounds, and that it is written whole."""

import os

import pytest

from audio_triplet.web import pages, templating
from audio_triplet.web.clips import Clips, Player
from audio_triplet.web.excerpts import LIGHT, Excerpt
from tests.web.page_checks import HOSTILE, Page, check_page, tone, write_wav


def template(source):
    return templating.environment().from_string('{% extends "page.html" %}' + source)


def minimal(sounds, clips):
    """A page with a player for each of the sounds."""
    body = (
        '{% from "parts.html" import player %}'
        "{% block one %}{% for sound in sounds %}{{ player(sound) }}{% endfor %}{% endblock %}"
    )
    return pages.page(template(body), "Title", {"one": "One"}, clips=clips, sounds=sounds)


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


def test_a_served_page_links_to_its_files():
    source = (
        "{% block head_policy %}{% endblock %}"
        '{% block head_styles %}<link rel="stylesheet" href="static/base.css">{% endblock %}'
        '{% block body_scripts %}<script src="static/player.js"></script>{% endblock %}'
        '{% from "parts.html" import player %}{% block one %}{{ player(sound) }}{% endblock %}'
    )
    sound = Player("", "", "a bell", "bell", 1.0, 1.0, "", url='/sound?path="b&c".wav')
    content = template(source).render(title="T", sections={"one": "One"}, data={}, sound=sound)
    assert "<style>" not in content and "Content-Security-Policy" not in content
    page = Page(content)
    assert page.all("button")[0]["data-url"] == '/sound?path="b&c".wav'
    assert page.all("script") == [{"src": "static/player.js"}]
