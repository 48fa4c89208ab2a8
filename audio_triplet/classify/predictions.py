"""Predictions as `classify predict` writes them: moments, and a score of each class."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from audio_triplet.annotations.own_table import guarded, unguarded
from audio_triplet.classify.calibration import Calibration
from audio_triplet.data import spreadsheet
from audio_triplet.errors import ManifestError

HEAD = ("path", "start_seconds", "end_seconds", "top_class")

# Of a classifier that has thresholds: the classes that reach theirs, after `HEAD`; and behind the
# scores a probability of each class.
FOUND = "found"
PROBABILITY = "probability "

# The last columns, where they are needed.
CLOCK, TRUNCATED = "clock_time", "truncated"


def header(classes: Sequence[str], has_meaning: bool, timed: bool) -> list[str]:
    """Names of the columns.

    Args:
      classes: Names of the labels.
      has_meaning: Whether the classifier knows what its scores mean.
      timed: Whether the last column is the clock time.
    """
    return [
        *HEAD,
        *([FOUND] if has_meaning else []),
        *map(guarded, classes),
        *([PROBABILITY + name for name in classes] if has_meaning else []),
        *([CLOCK] if timed else []),
    ]


class Result(NamedTuple):
    """What is predicted for a moment.

    Attributes:
      cells: Of the table, from `top_class` on.
      decided: (class, its probability) of those that are found; (best class, its score) where the
        classifier cannot tell which are.
    """

    cells: list[str]
    decided: list[tuple[str, float]]


def results(
    classes: Sequence[str], scores: np.ndarray, meaning: Calibration | None
) -> Iterator[Result]:
    """What is predicted for each moment.

    Args:
      classes: Names of the labels.
      scores: float[moments, classes].
      meaning: What they mean; None if the classifier does not know.
    """
    probabilities = meaning.probabilities(scores) if meaning else None
    found = meaning.found(scores) if meaning and meaning.decides else None
    for row, values in enumerate(scores):
        best = int(values.argmax())
        named = np.flatnonzero(found[row]) if found is not None else []
        cells = [guarded(classes[best])]
        if meaning is not None:
            cells.append(guarded(";".join(classes[column] for column in named)))
        cells += [f"{value:.4f}" for value in values]
        decided = [(classes[best], float(values[best]))]
        if probabilities is not None:
            cells += [f"{value:.4f}" if value == value else "" for value in probabilities[row]]
            if found is not None:
                decided = [(classes[column], float(probabilities[row, column])) for column in named]
        yield Result(cells, decided)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Scores of moments.

    Attributes:
      paths: str[moments], sound files.
      starts: float64[moments], seconds.
      ends: float64[moments], seconds.
      classes: Names of the labels.
      scores: float64[moments, classes].
      probabilities: float64[moments, classes], NaN where a class has none; None: no class has.
      found: bool[moments, classes], which classes reach their thresholds; None: there are none.
    """

    paths: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    classes: tuple[str, ...]
    scores: np.ndarray
    probabilities: np.ndarray | None = None
    found: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of moments."""
        return len(self.paths)

    def column(self, label: str) -> int:
        """The number of a class.

        Raises:
          ManifestError: There is no such class; the nearest names are told.
        """
        if label in self.classes:
            return self.classes.index(label)
        import difflib

        near = difflib.get_close_matches(label, self.classes, 3, 0.4) or self.classes[:5]
        raise ManifestError(f"{label}: no class of the predictions; there are {', '.join(near)}")


def is_predictions(path: str | os.PathLike) -> bool:
    """Whether a file begins as `classify predict` begins its table."""
    try:
        with open(path, encoding=spreadsheet.encoding_of(path)) as file:
            return file.readline().startswith(",".join(HEAD))
    except (UnicodeDecodeError, ManifestError):
        return False


def read(path: str | os.PathLike) -> Predictions:
    """Reads predictions.csv.

    Raises:
      ManifestError: It is no such table, is empty, or has a cell that is no number.
    """
    import pandas as pd

    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ManifestError(f"{path}: no such file; give the predictions.csv of classify predict")
    if not is_predictions(path):
        raise ManifestError(
            f"{path}: no table of classify predict; its first line must begin {','.join(HEAD)}"
        )
    try:
        text = {0: str, 3: str}
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={}, header=0)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ManifestError(f"{path}: is damaged ({reason}); predict again") from error
    if frame.empty:
        raise ManifestError(f"{path}: holds no predictions; predict for some sound")
    names = _header(path)
    for last in (TRUNCATED, CLOCK):
        if names[-1] == last:
            names = names[:-1]
    has_found = names[len(HEAD) : len(HEAD) + 1] == [FOUND]
    first = len(HEAD) + has_found
    after = first + (len(names) - first) // (2 if has_found else 1)
    classes = tuple(unguarded(name) for name in names[first:after])
    found = probabilities = None
    if has_found:
        cells = frame.iloc[:, len(HEAD)].astype(str).to_numpy()
        unique, which = np.unique(cells, return_inverse=True)
        held = [set(unguarded(cell).split(";")) for cell in unique]
        found = np.array([[name in of for name in classes] for of in held])[which]
        probabilities = _numbers(path, frame.iloc[:, after : after + len(classes)])
    return Predictions(
        np.array([unguarded(cell) for cell in frame.iloc[:, 0]], object),
        _numbers(path, frame.iloc[:, 1:2])[:, 0],
        _numbers(path, frame.iloc[:, 2:3])[:, 0],
        classes,
        _numbers(path, frame.iloc[:, first:after]),
        probabilities,
        found,
    )


def _header(path: str) -> list[str]:
    """Names of the columns as they stand there; pandas would number those that are alike."""
    import csv

    with open(path, encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file))


def _numbers(path: str, frame) -> np.ndarray:
    """float64[rows, columns]; an empty cell is NaN."""
    import pandas as pd

    columns = []
    for name in range(frame.shape[1]):
        cells = frame.iloc[:, name]
        numbers = pd.to_numeric(cells.replace("", np.nan), errors="coerce").to_numpy(np.float64)
        wrong = np.isnan(numbers) & (cells.astype(str) != "").to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            raise ManifestError(
                f"{path}, row {row + 1}: {frame.columns[name]} is {cells.iloc[row]!r}; it must be "
                "a number, predict again"
            )
        columns.append(numbers)
    return np.column_stack(columns)
