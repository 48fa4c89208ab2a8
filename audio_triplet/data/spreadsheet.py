"""What spreadsheets and annotation tools make of a table: encodings, separators, names, times.

The published form of a manifest (`audio_triplet.data.manifest`) needs none of this and is read as
it stands. Everything that is taken otherwise is told in one line by `manifest_csv`.
"""

import codecs
import csv
import dataclasses
import difflib
import os
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from audio_triplet.errors import ManifestError

# How spreadsheets save text: by code pages where it is not Unicode. Others are not guessed.
_UNICODE = ["utf_16", "utf_16_le", "utf_16_be", "utf_32"]
_CODE_PAGES = ["cp1252", "cp1250", "cp1251", "mac_roman", "cp932", "gb18030", "big5", "cp949"]
_SEPARATORS = ";\t|"
_HEAD_BYTES = 65_536

# What annotation tools and data sets call a manifest's columns; spelt as `_plain` spells.
_ALIASES = {
    "path": "path file filename file_name filepath file_path fname audio audio_file audio_filename "
    "audio_path audiofile sound sound_file soundfile wav wav_file begin_path begin_file",
    "labels": "labels label class classes class_name category categories species annotation "
    "annotations tag tags common_name sound_class event_label",
    "start_seconds": "start_seconds start start_time starttime start_s start_sec begin begin_time "
    "begin_seconds begin_s begin_time_s onset onset_s onset_seconds t_start start_time_s",
    "end_seconds": "end_seconds end end_time endtime end_s end_sec end_time_s finish stop "
    "stop_time offset offset_s offset_seconds t_end",
    "recording_id": "recording_id",
    "split": "split",
}
_MEANING = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}

_LENGTHS = ("duration", "duration_s", "duration_seconds", "length", "length_s")

_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d|\d+)):([0-5]?\d(?:[.,]\d*)?)")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


@dataclasses.dataclass(frozen=True)
class TextForm:
    """How a table is written down.

    Attributes:
      encoding: Its encoding, as Python calls it.
      separator: What stands between two cells.
      skipped: Lines before the header: 1 where Excel's `sep=;` stands there.
    """

    encoding: str = "utf-8-sig"
    separator: str = ","
    skipped: int = 0


def encoding_of(path: str | os.PathLike) -> str:
    """The encoding of a text file: UTF-8 where it is, else as charset-normalizer finds.

    Raises:
      ManifestError: It is no text.
      OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return guessed_encoding(path)
    return guessed_encoding(path) if b"\0" in head else "utf-8-sig"


def guessed_encoding(path: str | os.PathLike) -> str:
    """The encoding of a text file that is not UTF-8.

    Raises:
      ManifestError: It is no text.
      OSError: It cannot be read.
    """
    import charset_normalizer  # here: few tables need it

    with open(path, "rb") as file:
        content = file.read()
    wide = b"\0" in content
    if not wide:  # lines of plain ASCII only blur the guess
        content = b"\n".join(line for line in content.splitlines() if not line.isascii())
    among = _UNICODE if wide else _CODE_PAGES
    matches = charset_normalizer.from_bytes(content, cp_isolation=among)
    found = matches.best()
    if found is None or re.search(r"[\x00-\x08\x0e-\x1f]", str(found)):
        raise ManifestError(f"{path}: not UTF-8 text; save the table as CSV in UTF-8")
    if wide:  # only the name without an order of bytes takes the mark at the start off
        return found.encoding[:6] if found.byte_order_mark else found.encoding
    # Of a few words it cannot tell Western Europe's letters from those east of it, or from Chinese.
    as_good = any(
        match.encoding == "cp1252" and match.coherence >= found.coherence for match in matches
    )
    unsure = found.encoding not in ("cp1251", "cp932") and (as_good or found.coherence == 0)
    western = content.decode("cp1252", "replace")
    if str(found) == western or (
        unsure and all(letter.isalpha() for letter in western if not letter.isascii())
    ):
        return "cp1252"
    return found.encoding


def form_of(path: str | os.PathLike, encoding: str) -> tuple[TextForm, list[str]]:
    """The form of a table, and its header.

    A comma separates where that gives a column of paths; else what `csv.Sniffer` finds.

    Raises:
      UnicodeDecodeError: It is in another encoding.
      OSError: It cannot be read.
    """
    with open(path, encoding=encoding, newline="") as file:
        first = file.readline()
        given = re.fullmatch(r'"?sep=(.)"?', first.rstrip("\r\n"))
        if given:
            first = file.readline()
    skipped = 1 if given else 0
    tried = [given[1]] if given else [",", *_sniffed(first), *_SEPARATORS]
    for separator in tried:
        header = _header(path, TextForm(encoding, separator, skipped))
        if any(_MEANING.get(_plain(name)) == "path" for name in header):
            return TextForm(encoding, separator, skipped), header
    form = TextForm(encoding, tried[0], skipped)
    return form, _header(path, form)


def numbered_rows(path: str | os.PathLike, form: TextForm) -> Iterator[tuple[int, list[str]]]:
    """The rows behind a table's header that are not blank, each with the line it begins on."""
    with open(path, encoding=form.encoding, newline="") as file:
        for _ in range(form.skipped):
            file.readline()
        reader = csv.reader(file, delimiter=form.separator)
        next(reader, None)
        begins = form.skipped + reader.line_num + 1
        for cells in reader:
            # Blank are: [], spaces, or separators alone.
            if any(cell.strip() for cell in cells):
                yield begins, cells
            begins = form.skipped + reader.line_num + 1


def _header(path: str | os.PathLike, form: TextForm) -> list[str]:
    with open(path, encoding=form.encoding, newline="") as file:
        for _ in range(form.skipped):
            file.readline()
        return next(csv.reader(file, delimiter=form.separator), [])


def _sniffed(line: str) -> list[str]:
    try:
        return [csv.Sniffer().sniff(line, _SEPARATORS).delimiter]
    except csv.Error:
        return []


def _plain(name: str) -> str:
    """A column's name in small letters, words joined by "_"."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def meant_columns(
    path: str, header: Sequence[str], known: Sequence[str]
) -> tuple[list[str], list[str]]:
    """A header's names as a manifest calls them.

    A name of the published form is taken before all others; of those, one is taken for one thing.

    Args:
      path: The file, for messages.
      header: As written.
      known: The columns of a manifest.

    Returns:
      The names, those that mean nothing as they are; and which of them mean nothing.

    Raises:
      ManifestError: Two columns for one thing, or a name that is nearly a known one.
    """
    columns = [name.strip() for name in header]
    taken = {name: name for name in columns if name in known}
    unknown = []
    for place, name in enumerate(columns):
        if name and columns.count(name) > 1:
            raise ManifestError(f"{path}: two columns are called {name!r}; remove one")
        if not name or name in known:
            continue
        meaning = _meaning(path, name, columns)
        if meaning is not None and meaning in known and taken.get(meaning) != meaning:
            if meaning in taken:
                raise ManifestError(
                    f"{path}: columns {taken[meaning]!r} and {name!r} both mean {meaning!r}; "
                    f"rename the one you mean to {meaning}, or remove the other"
                )
            taken[meaning] = name
            columns[place] = meaning
            continue
        missing = [column for column in known if column not in taken]
        close = difflib.get_close_matches(name.lower(), missing, n=1, cutoff=0.75)
        if close and meaning is None:
            raise ManifestError(
                f"{path}: unknown column {name!r}; did you mean {close[0]!r}? "
                "Rename it, or remove it"
            )
        unknown.append(name)
    lengths = [name for name in unknown if _plain(name) in _LENGTHS]
    start = taken.get("start_seconds", "start_seconds")
    if lengths and start != "start_seconds" and "end_seconds" not in taken:
        raise ManifestError(
            f"{path}: column {lengths[0]!r} beside {start!r}, and none of ends; replace it by "
            "end_seconds, start and length added"
        )
    return columns, unknown


def _meaning(path: str, name: str, columns: Sequence[str]) -> str | None:
    """What a column's name means, None if nothing."""
    plain = _plain(name)
    if plain.startswith("offset") and not any(
        _MEANING.get(_plain(other)) == "start_seconds" for other in columns
    ):
        raise ManifestError(
            f"{path}: column {name!r} may mean where a sound begins or where it ends; rename it to "
            "start_seconds or end_seconds"
        )
    return _MEANING.get(plain)


def seconds_of(text: pd.Series) -> pd.Series:
    """Times as numbers of seconds: `1.5`, `1,5`, `0:01:23.5`; NaN where it is none of them.

    Args:
      text: str, without spaces around.

    Returns:
      float64 of the same index.
    """
    seconds = pd.to_numeric(text, errors="coerce").astype(np.float64)
    for row in np.flatnonzero(seconds.isna() & (text != "")):
        seconds.iloc[row] = _one_time(text.iloc[row])
    return seconds


def _one_time(text: str) -> float:
    if _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    clock = _CLOCK.fullmatch(text)
    if not clock:
        return np.nan
    hours, minutes, rest = clock.groups()
    if hours and int(minutes) > 59:
        return np.nan
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(rest.replace(",", "."))


def with_slashes(paths: pd.Series, folder: str) -> pd.Series:
    """Paths written with backslashes, with slashes where only that names a file that is there."""
    if os.sep == "\\":
        return paths
    paths = paths.copy()
    for row in np.flatnonzero(paths.str.contains("\\", regex=False)):
        path = paths.iloc[row]
        slashed = path.replace("\\", "/")
        if not os.path.exists(os.path.join(folder, path)) and os.path.isfile(
            os.path.join(folder, slashed)
        ):
            paths.iloc[row] = slashed
    return paths


def alike(labels: Sequence[str]) -> list[list[str]]:
    """Labels that differ in small and capital letters, or spaces, alone.

    Args:
      labels: Different names.

    Returns:
      Groups of two and more.
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(" ".join(label.split()).casefold(), []).append(label)
    return [group for group in groups.values() if len(group) > 1]
