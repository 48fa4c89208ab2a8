"""The page of moments to listen to, with a yes or no for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from audio_triplet.classify import listening
from audio_triplet.classify.listening import Asked
from audio_triplet.web import pages
from audio_triplet.web.clips import Clips, Player
from audio_triplet.web.excerpts import EXCERPT_SECONDS, Excerpt, Quality
from audio_triplet.web.formatting import clean, spaced

# A page with more would be slow to open; the rest is in the table.
MAX_MOMENTS = 200

_ANSWERS = {"yes": "yes", "no": "no", "?": "unsure"}


@dataclasses.dataclass(frozen=True)
class Question:
    """A moment to listen to.

    Attributes:
      player: To hear it.
      title: File and time.
      path: Its whole path.
      answer: Given already, or "".
    """

    player: Player
    title: str
    path: str
    answer: str


def write_listening(path: str, label: str, asked: Sequence[Asked], told: Sequence[str]) -> None:
    """Writes the page.

    Args:
      path: The HTML file.
      label: The class that is asked for.
      asked: The moments without an answer, in the order to hear them.
      told: What is known so far, a paragraph each.
    """
    clips = Clips()
    shown = asked[:MAX_MOMENTS]
    excerpts = [Excerpt(row.path, row.start_seconds, row.end_seconds) for row in shown]
    clips.add(excerpts, Quality(max_seconds=EXCERPT_SECONDS))
    questions = [
        Question(clips.player(excerpt, f"moment {number}"), excerpt.title, row.path, row.answer)
        for number, (row, excerpt) in enumerate(zip(shown, excerpts, strict=True), 1)
    ]
    rows = [[clean(cell) for cell in listening.cells_of(row)] for row in shown]
    content = pages.page(
        "listen.html",
        f"Is it {spaced(label)}?",
        {"moments": "Listen and answer"},
        clips=clips,
        data={"rows": {"columns": listening.COLUMNS, "rows": rows}},
        styles=("saving.css", "listen.css"),
        scripts=("saving.js", "listen.js"),
        label=label,
        answers=_ANSWERS,
        guide=clips.picture_guide(excerpts[0], "the first moment") if excerpts else None,
        left_out=len(asked) - len(shown),
        questions=questions,
        told=told,
    )
    pages.write(path, content)
