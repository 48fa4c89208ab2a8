"""Text as rows of cells, and cells as numbers."""

import csv
import dataclasses
import io
import re

import pandas as pd

from audio_triplet.data import spreadsheet
from audio_triplet.errors import ManifestError

_SEPARATORS = "\t,;"
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a header.

    Attributes:
      path: Its file, for messages.
      header: Names of its columns in small letters, words joined by "_".
      titles: The same as they stand there.
      rows: (line, cells) of each row that is not blank.
    """

    path: str
    header: list[str]
    titles: list[str]
    rows: list[tuple[int, list[str]]]

    def cell(self, row: list[str], *names: str) -> str:
        """A row's first cell, of those of these names, that is filled; "" if none is."""
        for name in names:
            if name in self.header and self.header.index(name) < len(row):
                text = row[self.header.index(name)].strip()
                if text:
                    return text
        return ""

    def number(self, line: int, row: list[str], *names: str) -> float:
        """As `cell`, as a number or a time in seconds; NaN if none is filled.

        Raises:
          ManifestError: It is no number.
        """
        return number(self.path, line, names[0], self.cell(row, *names))


def number(path: str, line: int, name: str, text: str) -> float:
    """A cell as a number or a time in seconds; NaN if it is empty.

    Raises:
      ManifestError: It is no number.
    """
    if not text:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        seconds = float(spreadsheet.seconds_of(pd.Series([text]))[0])
    if seconds != seconds:
        raise ManifestError(f"{path}, line {line}: {name} is {text!r}; it must be a number")
    return seconds


def plain(name: str) -> str:
    """A column's name in small letters, words joined by "_"."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def header_of(text: str) -> tuple[list[str], str]:
    """A text's first line as names, and what separates them; the split with most names."""
    line = text.lstrip("\r\n").split("\n", 1)[0].rstrip("\r")
    split = {mark: next(csv.reader([line], delimiter=mark), []) for mark in _SEPARATORS}
    mark = max(_SEPARATORS, key=lambda mark: len(split[mark]))
    return [plain(name) for name in split[mark]], mark


def rows_of(text: str, separator: str, by_quotes: bool = True) -> list[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank.

    Args:
      text: The whole file.
      separator: What stands between cells.
      by_quotes: Whether '"' around a cell is none of its content.
    """
    file = io.StringIO(text, newline="")
    if by_quotes:
        reader = csv.reader(file, delimiter=separator)
    else:
        reader = csv.reader(file, delimiter=separator, quoting=csv.QUOTE_NONE)
    rows, begins = [], 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            rows.append((begins, cells))
        begins = reader.line_num + 1
    return rows


def quoted(text: str) -> str:
    """A cell between tabs: in quotes only if it would be taken for one in quotes."""
    return '"{}"'.format(text.replace('"', '""')) if _QUOTED.fullmatch(text) else text


def unquoted(text: str) -> str:
    """The text of a cell between tabs that a spreadsheet may have put into quotes."""
    found = _QUOTED.fullmatch(text)
    return found[1].replace('""', '"') if found else text


def table_of(path: str, text: str) -> Table:
    """A text with a header as a table."""
    header, separator = header_of(text)
    # Between tabs quotes are text, as Raven writes it, unless they enclose all of a cell.
    (_, titles), *rows = rows_of(text, separator, by_quotes=separator != "\t")
    if separator == "\t":
        rows = [(line, [unquoted(cell) for cell in cells]) for line, cells in rows]
        titles = [unquoted(title) for title in titles]
        header = [plain(title) for title in titles]
    return Table(path, header, [title.strip() for title in titles], rows)
