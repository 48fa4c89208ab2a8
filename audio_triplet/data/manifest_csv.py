"""The table behind a manifest: read from CSV, checked, written; errors name file and line."""

import csv
import errno
import itertools
import os
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet import storage
from audio_triplet.data import spreadsheet
from audio_triplet.errors import ManifestError

CORE_COLUMNS = ("path", "recording_id", "labels", "split", "start_seconds", "end_seconds")
PROVENANCE_COLUMNS = ("package", "version", "sha256", "licence", "kind")
KNOWN_COLUMNS = CORE_COLUMNS + PROVENANCE_COLUMNS

# Splits with a meaning of their own; all others are only names.
TRAIN = "train"
TEST = "test"
UNUSED = "unused"  # on neither side
UNLABELLED = "unlabelled"  # recordings of another corpus, which are trained on too

_TIMES = ("start_seconds", "end_seconds")


def listed(names: Sequence[str]) -> str:
    """Names for a message; the empty one is shown as (none)."""
    names = list(names)
    shown = ", ".join(name or "(none)" for name in names[:20])
    return shown + (f", … ({len(names)} in all)" if len(names) > 20 else "") if names else "(none)"


def read_frame(path: str) -> pd.DataFrame:
    """Reads and checks a CSV manifest.

    Args:
      path: the CSV file.

    Returns:
      The frame as `checked_frame` gives it, its paths absolute.

    Raises:
      ManifestError: one line that names the file, the line and the fix.
    """
    frame, form = _parse(path)
    folder = os.path.dirname(os.path.abspath(path))
    frame["path"] = spreadsheet.with_slashes(frame["path"], folder)
    recording = frame.get("recording_id")
    if recording is None:
        frame["recording_id"] = frame["path"]
    else:
        frame["recording_id"] = recording.where(recording != "", frame["path"])
    frame["path"] = _absolute(frame["path"], folder)
    checked = checked_frame(frame, path, lambda row: f"line {_line_number(path, form, row)}")
    warn_of_alike(checked["labels"], path)
    return checked


def warn_of_alike(labels: pd.Series, name: str) -> None:
    """Warns of labels that differ in small and capital letters, or spaces, alone.

    Args:
      labels: str, joined by ";".
      name: The table, for the message.
    """
    names = dict.fromkeys(label for joined in labels.unique() for label in joined.split(";"))
    for group in spreadsheet.alike(list(names)):
        logging.warning(
            "%s: labels %s are different classes; write them alike if they are one",
            name,
            " and ".join(map(repr, group)),
        )


def write_frame(frame: pd.DataFrame, path: str | os.PathLike) -> None:
    """Writes a checked frame as CSV, whole or not at all, as `Manifest.write` describes.

    Raises:
      ManifestError: the file cannot be written.
    """
    path = os.path.abspath(path)
    folder = os.path.join(os.path.dirname(path), "")
    below = frame["path"].str.startswith(folder)
    relative = frame["path"].where(~below, frame["path"].str.slice(len(folder)))
    frame = frame.assign(path=relative)
    columns = [name for name in KNOWN_COLUMNS if name in frame]
    # A bare carriage return is not quoted by default, yet ends a line when read.
    text = frame.select_dtypes(exclude="number")
    returns = any(text[name].str.contains("\r", regex=False).any() for name in text)
    try:
        os.makedirs(folder, exist_ok=True)
        with storage.open_replacing(path, unique=True) as file:
            quoting = csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
            frame[columns].to_csv(file, index=False, quoting=quoting, lineterminator="\n")
    except OSError as error:
        fix = (
            "free some space and run it again"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "write it into a folder you may write to"
        )
        raise ManifestError(f"{path}: not written ({error.strerror}); {fix}") from error
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"{path}: not written: a file name is not UTF-8 ({error.object!r}); rename it"
        ) from error


def _parse(path: str) -> tuple[pd.DataFrame, spreadsheet.TextForm]:
    """The table's known columns, all str, "" where a cell is empty; and how it is written."""
    if os.path.isdir(path):
        raise ManifestError(f"{path}: is a folder; name the manifest's CSV file")
    try:
        try:
            return _parse_as(path, spreadsheet.encoding_of(path))
        except UnicodeDecodeError:  # further down
            return _parse_as(path, spreadsheet.guessed_encoding(path))
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such manifest; check the path") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: not UTF-8 text; save the table as CSV in UTF-8") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise ManifestError(_malformed(path, " ".join(str(error).split()))) from None


def _parse_as(path: str, encoding: str) -> tuple[pd.DataFrame, spreadsheet.TextForm]:
    """`_parse` in one encoding."""
    form, header = spreadsheet.form_of(path, encoding)
    columns = _columns(path, form, header)
    frame = pd.read_csv(
        path,
        encoding=encoding,
        sep=form.separator,
        skiprows=form.skipped,
        dtype=str,
        keep_default_na=False,
        na_filter=False,
    )
    # A first row longer than the header: pandas takes its first cells for row names.
    if not isinstance(frame.index, pd.RangeIndex):
        raise ManifestError(_malformed(path, f"line 2 has more than {len(columns)} cells"))
    frame.columns = columns
    frame = frame.fillna("")
    blank = (frame["path"].str.strip() == "").to_numpy(copy=True)
    if blank.any():  # a spreadsheet's empty lines: separators alone
        cells = frame[blank].apply(lambda column: column.str.strip())
        blank[blank] = (cells == "").all(axis=1)
        frame = frame[~blank].reset_index(drop=True)
    return frame[[name for name in columns if name in KNOWN_COLUMNS]], form


def _malformed(path: str, cause: str) -> str:
    """The message for a file that is no table."""
    return f"{path}: not a well-formed CSV ({cause}); quote cells that hold what separates them"


def _columns(path: str, form: spreadsheet.TextForm, header: list[str]) -> list[str]:
    """The header's names as a manifest's; wrong ones are an error, unknown ones a warning."""
    columns, unknown = spreadsheet.meant_columns(path, header, KNOWN_COLUMNS)
    if "path" not in columns:
        raise ManifestError(
            f"{path}: no column 'path' among {listed(columns)}; the first line must name the "
            f"columns, separated by commas: {','.join(CORE_COLUMNS)}"
        )
    taken = [
        f"{name.strip()!r} as {column}"
        for name, column in zip(header, columns, strict=True)
        if name.strip() != column
    ]
    if form.separator != ",":
        taken.append(f"cells between {form.separator!r}")
    if form.encoding != "utf-8-sig":
        guess = "" if form.encoding.startswith("utf") else ", a guess"
        taken.append(f"text as {form.encoding}{guess}")
    if taken:
        logging.info("%s: took %s", path, ", ".join(taken))
    if unknown:
        logging.warning("%s: ignored unknown columns: %s", path, listed(unknown))
    return columns


def _absolute(paths: pd.Series, folder: str) -> pd.Series:
    """Paths relative to `folder` made absolute; "." and "//" taken out.

    ".." stays: behind a symbolic link only the system knows what it means.
    """
    rooted = paths.str.startswith("/") | paths.str.match(storage.URI)
    whole = paths.where(rooted | (paths == ""), os.path.join(folder, "") + paths)
    untidy = whole.str.contains(r"/\.?(?:/|$)", regex=True) & ~whole.str.match(storage.URI)
    if untidy.any():
        tidy = whole[untidy].str.replace(r"(?:/\.)+(?=/|$)", "", regex=True)
        whole = whole.copy()
        whole[untidy] = tidy.str.replace(r"/{2,}", "/", regex=True)
    return whole


def _line_number(path: str, form: spreadsheet.TextForm, row: int) -> int:
    """The line on which data row `row` (from 0) begins; cells may hold line breaks."""
    rows = spreadsheet.numbered_rows(path, form)
    return next(itertools.islice(rows, row, None))[0]


def checked_frame(frame: pd.DataFrame, name: str, where: Callable[[int], str]) -> pd.DataFrame:
    """A frame with all columns of the right types; ManifestError if a row makes no sense.

    Args:
      frame: at least a column `path`.
      name: the file or corpus, for messages.
      where: row number (from 0) → how to name that row in a message.
    """
    if "path" not in frame:
        raise ManifestError(f"{name}: no column 'path'")
    if frame.empty:
        raise ManifestError(f"{name}: no rows; a manifest needs at least one file")
    columns = {"path": _text(frame["path"])}
    for column in KNOWN_COLUMNS[1:]:
        if column in _TIMES:
            columns[column] = _seconds(frame, column, name, where)
        elif column in frame:
            columns[column] = _text(frame[column])
        elif column == "recording_id":
            columns[column] = columns["path"]
        elif column in CORE_COLUMNS:
            columns[column] = pd.Series("", index=columns["path"].index).astype(str)
    checked = pd.DataFrame(columns)

    def reject(bad: pd.Series, message: Callable[[pd.Series], str]):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ManifestError(f"{name}, {where(row)}: {message(checked.iloc[row])}")

    reject(checked["path"] == "", lambda row: "the path is empty; fill it or remove the line")
    reject(
        checked["recording_id"] == "",
        lambda row: f"{row['path']} has no recording_id; give one, or leave the column out",
    )
    reject(
        checked["start_seconds"] < 0,
        lambda row: f"start_seconds {row['start_seconds']:g} is negative; it must be 0 or more",
    )
    reject(
        checked["end_seconds"] <= checked["start_seconds"],
        lambda row: (
            f"end_seconds {row['end_seconds']:g} is not after start_seconds "
            f"{row['start_seconds']:g}; correct them, or leave end_seconds empty for the whole file"
        ),
    )
    segment = ["path", *_TIMES]
    reject(
        checked.duplicated(segment),
        lambda row: (
            f"{row['path']} is listed a second time with the same start and end; remove "
            "one line (several labels go into one cell, separated by ';')"
        ),
    )
    checked["labels"] = _tidy_labels(checked["labels"])
    checked["split"] = checked["split"].str.strip()
    check_leakage(checked, name, where)
    return checked


def check_leakage(frame: pd.DataFrame, name: str, where: Callable[[int], str]) -> None:
    """ManifestError if a recording, or a file, is in two splits ("unused" is none)."""
    used = frame[frame["split"] != UNUSED]
    for column, word in (("recording_id", "recording"), ("path", "file")):
        pairs = used[[column, "split"]].drop_duplicates()
        twice = pairs[column].duplicated().to_numpy()
        if twice.any():
            row = int(pairs.index[twice][0])
            source = frame[column].iloc[row]
            both = used.loc[used[column] == source, "split"].unique()
            raise ManifestError(
                f"{name}, {where(row)}: {word} {source} is in several splits "
                f"({listed(both)}); give all its segments one split, or the split 'unused'"
            )


def _text(column: pd.Series) -> pd.Series:
    """A column as str, "" where nothing is; index 0 … n−1."""
    column = column.reset_index(drop=True)
    return column.astype(object).where(column.notna(), "").astype(str)


def _seconds(frame: pd.DataFrame, column: str, name: str, where: Callable[[int], str]) -> pd.Series:
    """A column of times as float64; empty is 0 for a start and NaN for an end."""
    default = 0.0 if column == "start_seconds" else np.nan
    if column not in frame:
        return pd.Series(np.full(len(frame), default))
    given = frame[column].reset_index(drop=True)
    if not pd.api.types.is_numeric_dtype(given):
        text = _text(given).str.strip()
        given = spreadsheet.seconds_of(text)
        bad = given.isna() & (text != "")
    else:
        text = given
        bad = pd.Series(False, index=given.index)
    bad |= np.isinf(given.astype(np.float64))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ManifestError(
            f"{name}, {where(row)}: {column} is {text.iloc[row]!r}; it must be a number of seconds"
        )
    return given.astype(np.float64).fillna(default)


def _tidy_labels(labels: pd.Series) -> pd.Series:
    """Each cell's labels stripped, without empty ones and repetitions, in their order."""
    codes, unique = pd.factorize(labels)
    tidy = [
        ";".join(dict.fromkeys(part for label in joined.split(";") if (part := label.strip())))
        for joined in unique
    ]
    return pd.Series(np.array(tidy, dtype=object)[codes], index=labels.index).astype(str)
