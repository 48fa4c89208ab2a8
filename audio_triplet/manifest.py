"""The manifest: one table that says which sound is where, from which source, and on which side.

One row is a *segment* (what gets one label): a file, or the part of it between `start_seconds` and
`end_seconds`. Rows of one `recording_id` come from one source and always share a split, so that no
source is on both sides. Every corpus adapter ends here and everything else begins here.

The file format (CSV, UTF-8, comma-separated) is part of the contract:

    path,recording_id,labels,split,start_seconds,end_seconds

Only `path` is required. Labels are separated by `;`. Paths are relative to the CSV's own folder.
Further known columns tell where a file came from: package, version, sha256, licence, kind.

No TensorFlow here: corpus tools and `--help` start at once.
"""

import csv
import dataclasses
import difflib
import errno
import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from absl import logging

from audio_triplet import storage

CORE_COLUMNS = ("path", "recording_id", "labels", "split", "start_seconds", "end_seconds")
PROVENANCE_COLUMNS = ("package", "version", "sha256", "licence", "kind")
KNOWN_COLUMNS = CORE_COLUMNS + PROVENANCE_COLUMNS

TRAIN = "train"
TEST = "test"
UNUSED = "unused"
UNLABELLED = "unlabelled"
"""Split of another corpus's recordings, which are trained on too."""

_EVALUATION_NAMES = ("eval", "evaluation")
_TIMES = ("start_seconds", "end_seconds")
# Too far from the real names for difflib, yet ignoring them would silently use whole files.
_TIME_ALIASES = {
    "start": "start_seconds",
    "end": "end_seconds",
    "start_time": "start_seconds",
    "end_time": "end_seconds",
}
_FOLD = re.compile(r"(?:fold)?[ _-]?(\d+)", re.IGNORECASE)


class CorpusError(ValueError):
    """A corpus that cannot be used; the message names the place and the mend."""


class ManifestError(CorpusError):
    """A manifest that cannot be used; the message names the file, the line and the mend."""


def key_of(*names: object) -> int:
    """A stable non-negative int64 for a name, the same on every machine and in every run."""
    text = "\0".join(str(name) for name in names)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclasses.dataclass(frozen=True, eq=False)
class Manifest:
    """A checked table of segments.

    Built from any frame with a `path` column: missing columns are filled with their defaults
    (recording_id = the path, no labels, no split, the whole file), then everything is checked.

    Attributes:
      frame: one row a segment; columns `path` [str], `recording_id` [str], `labels` [str, joined
        by ";"], `split` [str, may be empty], `start_seconds` [float64], `end_seconds` [float64,
        NaN = to the end], and whichever provenance columns are known. Index 0 … n−1. Not to be
        changed in place.
      name: what messages call it (a file name or a corpus).

    Raises:
      ManifestError: no rows, an empty path, times that make no sense, the same segment twice, or
        a recording in two splits.
    """

    frame: pd.DataFrame
    name: str = "manifest"

    def __post_init__(self):
        """Fills the defaults and checks every row."""
        checked = _checked(self.frame, self.name, lambda row: f"row {row}")
        object.__setattr__(self, "frame", checked)

    @classmethod
    def _trusted(cls, frame: pd.DataFrame, name: str) -> "Manifest":
        """A manifest of rows that were checked already (2 M rows take seconds to check)."""
        if frame.empty:
            raise ManifestError(f"{name}: no rows are left")
        manifest = object.__new__(cls)
        object.__setattr__(manifest, "frame", frame.reset_index(drop=True))
        object.__setattr__(manifest, "name", name)
        return manifest

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.frame)

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        """All labels that occur, sorted."""
        _, unique = pd.factorize(self.frame["labels"])
        return tuple(sorted({label for joined in unique for label in joined.split(";") if label}))

    @functools.cached_property
    def splits(self) -> tuple[str, ...]:
        """All splits that occur, sorted; "" among them if rows have none."""
        return tuple(sorted(self.frame["split"].unique()))

    @property
    def recordings(self) -> int:
        """Number of different recordings."""
        return self.frame["recording_id"].nunique()

    def label_matrix(self, classes: Sequence[str] | None = None) -> np.ndarray:
        """Which segment has which label.

        Args:
          classes: the columns, in order; `self.classes` if None. Labels not named are left out.

        Returns:
          bool[segments, classes].

        Raises:
          ManifestError: a class is named twice.
        """
        classes = self.classes if classes is None else tuple(classes)
        column = {label: index for index, label in enumerate(classes)}
        if len(column) != len(classes):
            raise ManifestError(f"{self.name}: a class is named twice in {classes}")
        # Work on the different label strings, of which there are far fewer than rows.
        codes, unique = pd.factorize(self.frame["labels"])
        table = np.zeros((len(unique), len(classes)), dtype=bool)
        for row, joined in enumerate(unique):
            for label in joined.split(";"):
                if label in column:
                    table[row, column[label]] = True
        return table[codes]

    def select(self, splits: Sequence[str]) -> "Manifest":
        """The rows of the named splits, in their order.

        Raises:
          ManifestError: a named split does not occur.
        """
        splits = (splits,) if isinstance(splits, str) else tuple(splits)
        absent = [split for split in splits if split not in self.splits]
        if absent or not splits:
            raise ManifestError(
                f"{self.name}: no split {_listed(absent)}; there are: {_listed(self.splits)}"
            )
        return self._where(self.frame["split"].isin(splits).to_numpy())

    def take(self, rows: np.ndarray) -> "Manifest":
        """The rows at the given places, int[n], in that order."""
        return Manifest._trusted(self.frame.iloc[rows], self.name)

    def _where(self, keep: np.ndarray) -> "Manifest":
        """The rows of a bool[segments] mask."""
        return Manifest._trusted(self.frame[keep], self.name)

    def write(self, path: str | os.PathLike) -> None:
        """Writes the CSV, whole or not at all.

        Paths below the CSV's folder are written relative to it, so that folder and manifest can
        move together; others stay absolute.

        Raises:
          ManifestError: the file cannot be written.
        """
        path = os.path.abspath(path)
        folder = os.path.join(os.path.dirname(path), "")
        frame = self.frame.copy()
        below = frame["path"].str.startswith(folder)
        frame["path"] = frame["path"].where(~below, frame["path"].str.slice(len(folder)))
        columns = [name for name in KNOWN_COLUMNS if name in frame]
        # A bare carriage return is not quoted by default, yet ends a line when read.
        text = frame.select_dtypes(exclude="number")
        returns = any(text[name].str.contains("\r", regex=False).any() for name in text)
        temporary = None
        try:
            os.makedirs(folder, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=".manifest-", suffix=".csv")
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                os.chmod(temporary, 0o666 & ~_umask())
                quoting = csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
                frame[columns].to_csv(file, index=False, quoting=quoting, lineterminator="\n")
            os.replace(temporary, path)
        except OSError as error:
            mend = (
                "free some space and run it again"
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "write it into a folder you may write to"
            )
            raise ManifestError(f"{path}: not written ({error.strerror}); {mend}") from error
        except UnicodeEncodeError as error:
            raise ManifestError(
                f"{path}: not written: a file name is not UTF-8 ({error.object!r}); rename it"
            ) from error
        finally:
            if temporary and os.path.exists(temporary):
                os.unlink(temporary)

    @classmethod
    def read(cls, path: str | os.PathLike, name: str | None = None) -> "Manifest":
        """Reads and checks a CSV manifest. Audio files may be missing: see `check_files`.

        Args:
          path: the CSV file.
          name: what messages call it; its path if None.

        Returns:
          The manifest, its paths absolute.

        Raises:
          ManifestError: one line that names the file, the line and the mend.
        """
        path = os.fspath(path)
        frame = _parse(path)
        recording = frame.get("recording_id")
        if recording is None:
            frame["recording_id"] = frame["path"]
        else:
            frame["recording_id"] = recording.where(recording != "", frame["path"])
        frame["path"] = _absolute(frame["path"], os.path.dirname(os.path.abspath(path)))
        frame = _checked(frame, path, lambda row: f"line {_line_number(path, row)}")
        return cls._trusted(frame, name or path)


def check_files(manifest: Manifest) -> list[tuple[str, str]]:
    """The manifest's files that are not there, or that hold nothing.

    Only looks (one `stat` a file), decodes nothing. Addresses such as gs://… are not looked at.

    Returns:
      (path, reason) of each bad file, sorted by path.
    """
    bad = []
    for path in sorted(manifest.frame["path"].unique()):
        if storage.is_remote(path):
            continue
        try:
            if os.path.isdir(path):
                bad.append((path, "is a folder, not a file"))
            elif os.stat(path).st_size == 0:
                bad.append((path, "empty file (0 bytes)"))
        except FileNotFoundError:
            bad.append((path, "no such file"))
        except (OSError, ValueError) as error:
            bad.append((path, getattr(error, "strerror", None) or str(error)))
    return bad


def split_by_recording(manifest: Manifest, fraction: float = 0.2, seed: int = 0) -> Manifest:
    """Gives every row without a split to "train" or "test", whole recordings at a time.

    The side depends on (seed, recording_id) alone, never on the other rows: adding files to a
    corpus moves no recording, and a larger `fraction` only adds to the test side. The price is
    that the shares are met on average only [D].

    Args:
      manifest: rows that have a split keep it.
      fraction: expected share of the recordings on the test side, between 0 and 1.
      seed: another seed, another split.

    Returns:
      The manifest without empty splits.

    Raises:
      ManifestError: fraction out of range, or one file in recordings of both sides.
    """
    if not 0 < fraction < 1:
        raise ManifestError(f"{manifest.name}: fraction must lie between 0 and 1, not {fraction}")
    frame = manifest.frame.copy()
    empty = (frame["split"] == "").to_numpy()
    if not empty.any():
        return manifest
    codes, recordings = pd.factorize(frame["recording_id"])
    side = np.where(_uniform(recordings, seed) < fraction, TEST, TRAIN)[codes]
    frame["split"] = pd.Series(np.where(empty, side, frame["split"]), dtype=object).astype(str)
    _check_leakage(frame, manifest.name, lambda row: f"row {row}")
    return Manifest._trusted(frame, manifest.name)


def train_test(manifest: Manifest, test_splits: Sequence[str] = ()) -> tuple[Manifest, Manifest]:
    """The two sides of an experiment.

    The test side is, in this order: `test_splits` if given; the split "test"; "eval" or
    "evaluation"; of numbered folds ("fold1" … or "1" …) the last; and where no row has a split,
    what `split_by_recording` draws. Everything else is the training side, validation and
    development splits and "unlabelled" too, but for the split "unused", which is on neither.

    Args:
      manifest: the whole corpus.
      test_splits: names of the test splits.

    Returns:
      (train, test).

    Raises:
      ManifestError: a named split does not occur, none can be chosen, or a side is empty.
    """
    test_splits = (test_splits,) if isinstance(test_splits, str) else tuple(test_splits)
    if not test_splits and manifest.splits == ("",):
        manifest = split_by_recording(manifest)
        if manifest.splits != (TEST, TRAIN):
            raise ManifestError(
                f"{manifest.name}: too few recordings ({manifest.recordings}) to draw a test side; "
                "fill the split column, or use split_by_recording with another seed or fraction"
            )
    test_splits = test_splits or _default_test_splits(manifest)
    test = manifest.select(test_splits)
    train_splits = [split for split in manifest.splits if split not in (*test_splits, UNUSED)]
    if not train_splits:
        raise ManifestError(
            f"{manifest.name}: nothing is left to train on beside {_listed(test_splits)}; "
            f"the splits are: {_listed(manifest.splits)}"
        )
    return manifest.select(train_splits), test


def cap(manifest: Manifest, max_share: Mapping[str, float], seed: int = 0) -> Manifest:
    """Leaves out recordings of some kinds until each has at most its share of the recordings.

    Shares are of recordings, because training draws by recording [D]. Which recordings stay
    depends on (seed, recording_id). A manifest without the column `kind` is returned as it is.

    Args:
      manifest: with a column `kind` (for instance "speech", "music", "effect").
      max_share: kind → greatest share of all recordings kept, 0 = leave out, 1 = no bound.
      seed: another seed keeps other recordings.

    Returns:
      The rows that stay, in their order.

    Raises:
      ManifestError: a share is not within 0 … 1, or nothing is left.
    """
    wrong = {kind: share for kind, share in max_share.items() if not 0 <= share <= 1}
    if wrong:
        raise ManifestError(f"{manifest.name}: shares must lie between 0 and 1: {wrong}")
    if "kind" not in manifest.frame:
        return manifest
    pairs = manifest.frame[["kind", "recording_id"]].drop_duplicates()
    counts = pairs["kind"].value_counts().to_dict()
    allowed = _capped_counts(counts, max_share)
    keep = np.ones(len(manifest), dtype=bool)
    for kind, count in allowed.items():
        recordings = pairs.loc[pairs["kind"] == kind, "recording_id"].to_numpy(dtype=object)
        kept = recordings[np.argsort(_uniform(recordings, seed), kind="stable")[:count]]
        of_kind = (manifest.frame["kind"] == kind).to_numpy()
        keep &= ~of_kind | manifest.frame["recording_id"].isin(kept).to_numpy()
    return manifest._where(keep)


def _capped_counts(counts: Mapping[str, int], max_share: Mapping[str, float]) -> dict[str, int]:
    """How many recordings of each bounded kind may stay (kind → number).

    With U recordings of unbounded kinds and shares s_k, the total is U / (1 − Σ s_k). A kind that
    has fewer recordings than its share of it is not bounded after all, and counts to U.
    """
    bounded = {kind: share for kind, share in max_share.items() if share < 1 and kind in counts}
    while bounded:
        free = sum(count for kind, count in counts.items() if kind not in bounded)
        rest = 1 - sum(bounded.values())
        # The 1e-9 keeps 0.2 of 10 at 2 in spite of binary fractions.
        total = free / rest if rest > 1e-9 else (np.inf if free else 0)
        slack = [k for k, share in bounded.items() if share and counts[k] <= share * total + 1e-9]
        if not slack:
            return {kind: int(share * total + 1e-9) for kind, share in bounded.items()}
        for kind in slack:
            del bounded[kind]
    return {}


def _default_test_splits(manifest: Manifest) -> tuple[str, ...]:
    """The test split of a manifest that has splits, by its name."""
    named = [split for split in manifest.splits if split not in ("", UNUSED, UNLABELLED)]
    for wanted in ((TEST,), _EVALUATION_NAMES):
        found = tuple(split for split in named if split.lower() in wanted)
        if found:
            return found
    folds = [(int(match[1]), split) for split in named if (match := _FOLD.fullmatch(split))]
    if folds and len(folds) == len(named):
        return (max(folds)[1],)
    raise ManifestError(
        f"{manifest.name}: none of its splits ({_listed(manifest.splits)}) is called test, eval "
        "or evaluation, or is a numbered fold; name the test splits, or leave the column empty"
    )


def _uniform(recordings: Sequence[str], seed: int) -> np.ndarray:
    """One number in [0, 1) per recording, from (seed, recording_id) alone: float64[recordings].

    BLAKE2 rather than pandas' or Python's hash, so that a split outlives every version of both.
    """
    prefix = f"{seed}\0".encode()
    digests = b"".join(
        hashlib.blake2b(prefix + recording.encode("utf-8"), digest_size=8).digest()
        for recording in recordings
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.float64) / 2.0**64


def _listed(names: Sequence[str]) -> str:
    """Names for a message; the empty one is shown as (none)."""
    names = list(names)
    shown = ", ".join(name or "(none)" for name in names[:20])
    return shown + (f", … ({len(names)} in all)" if len(names) > 20 else "") if names else "(none)"


def _umask() -> int:
    """The process's file mode mask (mkstemp makes private files; a manifest is not)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _parse(path: str) -> pd.DataFrame:
    """The CSV's known columns, all str, "" where a cell is empty."""
    if os.path.isdir(path):
        raise ManifestError(f"{path}: is a folder; name the manifest's CSV file")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
        columns = _columns(path, header)
        frame = pd.read_csv(
            path, encoding="utf-8-sig", dtype=str, keep_default_na=False, na_filter=False
        )
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such manifest; check the path") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: not UTF-8 text; save the table as CSV in UTF-8") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise ManifestError(_malformed(path, " ".join(str(error).split()))) from None
    # A first row longer than the header: pandas takes its first cells for row names.
    if not isinstance(frame.index, pd.RangeIndex):
        raise ManifestError(_malformed(path, f"line 2 has more than {len(columns)} cells"))
    frame.columns = columns
    return frame[[name for name in columns if name in KNOWN_COLUMNS]].fillna("")


def _malformed(path: str, cause: str) -> str:
    """The message for a file that is no table."""
    return f"{path}: not a well-formed CSV ({cause}); quote cells that hold a comma"


def _columns(path: str, header: list[str]) -> list[str]:
    """The header's names, stripped; wrong ones are an error, unknown ones a warning."""
    columns = [name.strip() for name in header]
    known_missing = [name for name in KNOWN_COLUMNS if name not in columns]
    unknown = []
    for name in columns:
        if name and columns.count(name) > 1:
            raise ManifestError(f"{path}: two columns are called {name!r}; remove one")
        if not name or name in KNOWN_COLUMNS:
            continue
        near = _TIME_ALIASES.get(name.lower())
        close = difflib.get_close_matches(name.lower(), known_missing, n=1, cutoff=0.75)
        if near in known_missing or close:
            raise ManifestError(
                f"{path}: unknown column {name!r}; did you mean {close[0] if close else near!r}? "
                "Rename it, or remove it"
            )
        unknown.append(name)
    if "path" not in columns:
        raise ManifestError(
            f"{path}: no column 'path' among {_listed(columns)}; the first line must name the "
            f"columns, separated by commas: {','.join(CORE_COLUMNS)}"
        )
    if unknown:
        logging.warning("%s: ignored unknown columns: %s", path, _listed(unknown))
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


def _line_number(path: str, row: int) -> int:
    """The line on which data row `row` (from 0) begins; cells may hold line breaks."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        begins = reader.line_num + 1
        for cells in reader:
            # pandas skips blank lines; here they are [] or one cell of spaces.
            filled = bool(cells) and not (len(cells) == 1 and cells[0].isspace())
            if filled and row == 0:
                break
            row -= filled
            begins = reader.line_num + 1
    return begins


def _checked(frame: pd.DataFrame, name: str, where: Callable[[int], str]) -> pd.DataFrame:
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

    def refuse(bad: pd.Series, message: Callable[[pd.Series], str]):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ManifestError(f"{name}, {where(row)}: {message(checked.iloc[row])}")

    refuse(checked["path"] == "", lambda row: "the path is empty; fill it or remove the line")
    refuse(
        checked["recording_id"] == "",
        lambda row: f"{row['path']} has no recording_id; give one, or leave the column out",
    )
    refuse(
        checked["start_seconds"] < 0,
        lambda row: f"start_seconds {row['start_seconds']:g} is negative; it must be 0 or more",
    )
    refuse(
        checked["end_seconds"] <= checked["start_seconds"],
        lambda row: (
            f"end_seconds {row['end_seconds']:g} is not after start_seconds "
            f"{row['start_seconds']:g}; correct them, or leave end_seconds empty for the whole file"
        ),
    )
    segment = ["path", *_TIMES]
    refuse(
        checked.duplicated(segment),
        lambda row: (
            f"{row['path']} is listed a second time with the same start and end; remove "
            "one line (several labels go into one cell, separated by ';')"
        ),
    )
    checked["labels"] = _tidy_labels(checked["labels"])
    checked["split"] = checked["split"].str.strip()
    _check_leakage(checked, name, where)
    return checked


def _check_leakage(frame: pd.DataFrame, name: str, where: Callable[[int], str]) -> None:
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
                f"({_listed(both)}); give all its segments one split, or the split 'unused'"
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
        given = pd.to_numeric(text, errors="coerce")
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
