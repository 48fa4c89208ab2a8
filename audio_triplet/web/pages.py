"""A self-contained page: one file that needs no network, with its styles, scripts and sound in it.

A page is a template that extends `templates/page.html`, with a block for each of its sections. It
reads on a phone, in the dark and on paper, and everything on it can be reached with the keyboard:

    clips = Clips()
    clips.add([Excerpt("dog.wav", 0.0, 2.5)])
    write(path, page("search.html", "Title", {"found": "Found"}, clips=clips, ...))

Sound is MP3, which every browser plays, as base64 in one JSON block that is parsed at the first
click; all players share one audio element, and one listener serves them all, so that a page with
hundreds of players opens at once. Whatever comes from outside (labels, file names) is escaped by
the templates; beyond that, the page's Content-Security-Policy lets nothing be loaded and no script
run but its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence

import jinja2

from audio_triplet import storage
from audio_triplet.web import templating
from audio_triplet.web.clips import Clips

# Names that the base template uses.
_STYLES = ("base.css", "player.css")
_SCRIPTS = ("player.js",)


def page(
    template: str | jinja2.Template,
    title: str,
    sections: Mapping[str, str],
    *,
    clips: Clips | None = None,
    data: Mapping[str, object] | None = None,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    **values: object,
) -> str:
    """A whole page.

    Args:
      template: A file of `templates/` that extends `page.html`; its blocks are `lede`, and one for
        each section.
      title: Plain text.
      sections: Identifier of a section (its block and its anchor) → its heading; in order.
      clips: The sounds that `data-clip` attributes name.
      data: Element id → the value that a script reads from it as JSON.
      styles: Files of `static/` beyond the common ones.
      scripts: Likewise; they find `sounds.play(id, title)` and `sounds.stop()`.
      **values: Values for the template.

    Returns:
      HTML.
    """
    scripts = (*_SCRIPTS, *scripts)
    clips = clips or Clips()
    return (
        templating.environment()
        .get_template(template)
        .render(
            title=title,
            sections=sections,
            clips=clips,
            data={"clips": clips.json(), **(data or {})},
            styles=(*_STYLES, *styles),
            scripts=scripts,
            policy=policy([templating.static(name) for name in scripts]),
            **values,
        )
    )


def policy(scripts: Sequence[str]) -> str:
    """The Content-Security-Policy of a self-contained page that runs these scripts only."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        "default-src 'none'; img-src data:; media-src blob:; style-src 'unsafe-inline'; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'"
    )


def write(path: str, content: str) -> None:
    """Writes a page, whole or not at all.

    Raises:
      UnicodeEncodeError: There is half of a surrogate pair in it.
    """
    with storage.open_replacing(path) as file:
        file.write(content)
