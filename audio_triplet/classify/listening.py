"""The table of moments to listen to: `listen.csv`, with a column for the answers."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterable

from audio_triplet.annotations.own_table import guarded
from audio_triplet.data import spreadsheet
from audio_triplet.errors import ManifestError

COLUMNS = ("moment", "path", "start_seconds", "end_seconds", "score", "stratum", "answer")

_YES = frozenset(("yes", "y", "true", "1", "1.0", "x", "+"))
_NO = frozenset(("no", "n", "false", "0", "0.0", "-"))
_UNSURE = frozenset(("?", "unsure", "unclear"))


@dataclasses.dataclass(frozen=True)
class Asked:
    """A moment that somebody is asked to listen to.

    Attributes:
      moment: Its row in the predictions, from 0.
      path: The sound file.
      start_seconds: Where it begins.
      end_seconds: Where it ends.
      score: Of the class.
      stratum: 1 has the lowest scores.
      answer: `yes`, `no`, `?` (cannot be told), or "" for none yet.
    """

    moment: int
    path: str
    start_seconds: float
    end_seconds: float
    score: float
    stratum: int
    answer: str = ""


def answer_of(text: str) -> str | None:
    """What somebody meant: `yes`, `no`, `?`, "" for nothing; None if that cannot be told."""
    word = text.strip().strip("'").lower()
    for answer, words in (("yes", _YES), ("no", _NO), ("?", _UNSURE), ("", {""})):
        if word in words:
            return answer
    return None


def text_of(asked: Iterable[Asked]) -> str:
    """The table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in asked:
        writer.writerow(cells_of(row))
    return text.getvalue()


def cells_of(row: Asked) -> list[str]:
    """A row of the table."""
    return [
        str(row.moment),
        guarded(row.path),
        f"{row.start_seconds:.3f}",
        f"{row.end_seconds:.3f}",
        f"{row.score:.4f}",
        str(row.stratum),
        row.answer,
    ]


def is_listening(path: str | os.PathLike) -> bool:
    """Whether a table has the columns of answers.

    Raises:
      ManifestError: It is not there, or no text.
    """
    return {"moment", "answer"} <= set(_form_of(os.fspath(path))[1])


def read_answers(path: str | os.PathLike) -> dict[int, str]:
    """The answers in such a table, as a person or a spreadsheet left it: moment → answer.

    Only the columns `moment` and `answer` are read; rows may be missing or in another order.

    Raises:
      ManifestError: It is no such table, or an answer cannot be understood.
    """
    path = os.fspath(path)
    form, header = _form_of(path)
    if not {"moment", "answer"} <= set(header):
        raise ManifestError(f"{path}: has no columns moment and answer; fill in listen.csv itself")
    moment, answer = header.index("moment"), header.index("answer")
    answers: dict[int, str] = {}
    for line, cells in spreadsheet.numbered_rows(path, form):
        number = cells[moment].strip() if moment < len(cells) else ""
        if not number.isdigit():
            raise ManifestError(f"{path}, line {line}: moment is {number!r}; leave it as it was")
        found = answer_of(cells[answer]) if answer < len(cells) else ""
        if found is None:
            raise ManifestError(
                f"{path}, line {line}: answer is {cells[answer]!r}; write yes, no, ?, or nothing"
            )
        answers[int(number)] = found
    return answers


def _form_of(path: str) -> tuple[spreadsheet.TextForm, list[str]]:
    """How a table is written down, and its header in small letters."""
    try:
        form, header = spreadsheet.form_of(path, spreadsheet.encoding_of(path))
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such file; give a listen.csv with answers") from error
    except UnicodeDecodeError:
        form, header = spreadsheet.form_of(path, spreadsheet.guessed_encoding(path))
    return form, [name.strip().lower() for name in header]
