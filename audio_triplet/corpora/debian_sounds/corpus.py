"""debian-sounds: recorded, freely licensed sounds from Debian packages, as a labelled corpus.

    python -m data_prep.debian_sounds --output_dir=debian_sounds
    python -m data_prep.debian_sounds --output_dir=debian_sounds --packages=all

Packages are fetched with `apt-get download` and unpacked with `dpkg-deb -x`: nothing is installed
and no root is needed. The sets "small" (the default), "all", "wide", "widest" and "packed" are
listed in `classes.py`; `classes.csv` gives each path its class and kind.

Files in --output_dir:

    manifest.csv            the corpus: --corpus=manifest:…/manifest.csv or debian-sounds:DIR
    audio/PACKAGE/…         the sound files, as the packages have them
    copyright/PACKAGE       the package's own copyright file
    packages/PACKAGE.csv    version, checksums, length, licence of each file

A package already there is skipped, so an interrupted run is continued by the same command.

Decisions [D]. Files that are silent, or that cannot be decoded, are left out; of files with the
same bytes or the same samples one is kept. A recording is one *source*: numbered takes and
velocity layers of one sound (`arrow1.wav arrow2.wav`, `Snare-Soft.wav Snare-Hard.wav`) share a
recording_id, and so do sources that have a duplicate in common; the split is drawn by recording.
Classes with fewer than eight recordings in what was downloaded lose their label.
"""

import fnmatch
import os
import re
from collections.abc import Sequence

import pandas as pd
from absl import logging

from audio_triplet import locks
from audio_triplet.corpora.debian_sounds.classes import (
    PACKAGE_SETS,
    classify,
    has_rules,
    known_copies,
    known_source,
)
from audio_triplet.corpora.debian_sounds.packages import disk_error, need_tools, resolve, unpack
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.splits import split_by_recording
from audio_triplet.errors import CorpusError

MANIFEST_FILE = "manifest.csv"
MIN_RECORDINGS = 8  # a class needs as many, or a split leaves it without test examples
TEST_FRACTION = 0.25
# The first of 0, 1, 2, … with which every class of "small" and of "all" (Debian 12) has at least
# two recordings on the test side and three on the other. Chosen by these counts alone [D].
SPLIT_SEED = 7
# What distinguishes takes and velocity layers of one sound, at the end of a name.
_VARIANT = re.compile(
    r"[ _.-]*(?:\(?\d+[a-z]?\)?|hardest|hard|medium|med|softest|soft|miss)$", re.IGNORECASE
)


def load(location: str) -> Manifest:
    """The corpus in a folder; requested packages that are missing are downloaded.

    Args:
      location: `DIR`: the packages that are there, or the small set if it is empty or absent. Or
        `DIR?packages=wide`, with the requested sets or packages, separated by commas.

    Returns:
      The manifest, as `build_manifest` makes it.

    Raises:
      CorpusError: The folder holds something else, or the download failed.
    """
    folder, _, wanted = location.partition("?packages=")
    names = tuple(name.strip() for name in wanted.split(",") if name.strip())
    manifest_path = os.path.join(folder, MANIFEST_FILE)
    if os.path.isfile(manifest_path) and not _missing(folder, names):
        return Manifest.read(manifest_path, name="debian-sounds")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise CorpusError(f"{folder}: is a file; name a folder for debian-sounds")
    held = [n for n in os.listdir(folder) if n[0] != "."] if os.path.isdir(folder) else []
    if held and "packages" not in held:
        if MANIFEST_FILE in held:
            raise CorpusError(
                f"{folder}: has a {MANIFEST_FILE} but no packages/, which lists what is there; "
                f"write manifest:{manifest_path} to take it as it is, or name an empty folder to "
                "download into"
            )
        raise CorpusError(
            f"{folder}: holds no {MANIFEST_FILE} of debian-sounds, but other files ({held[0]}, …); "
            "name an empty folder to download into"
        )
    return download(folder, names or ("small",))


def _missing(folder: str, names: Sequence[str]) -> list[str]:
    """Patterns of packages of the named sets, and packages, that a folder does not hold."""
    tables_dir = os.path.join(folder, "packages")
    held = os.listdir(tables_dir) if names and os.path.isdir(tables_dir) else []
    patterns = [pattern for name in names for pattern in PACKAGE_SETS.get(name, (name,))]
    return [pattern for pattern in patterns if not fnmatch.filter(held, f"{pattern}.csv")]


def download(
    output_dir: str, packages: Sequence[str] = ("small",), deb_dir: str | None = None
) -> Manifest:
    """Downloads packages, keeps their sound files and writes the manifest of the whole folder.

    Args:
      output_dir: Made if absent; packages that it holds already are not fetched again.
      packages: Package names, or the sets "small", "all", "wide", "widest", "packed".
      deb_dir: Folder that keeps .deb files, and is searched first; None: they are not kept.

    Returns:
      The manifest, as written to `output_dir/manifest.csv`.

    Raises:
      CorpusError: No apt, unknown packages, no space, no network, a wrong checksum.
      LockedError: Another run is filling the folder.
    """
    need_tools()
    try:
        os.makedirs(output_dir, exist_ok=True)
        with locks.exclusive(output_dir):
            locks.clear_leftovers(output_dir)
            for package in resolve(packages):
                unpack(package, output_dir, deb_dir)
            manifest = build_manifest(output_dir)
            manifest.write(os.path.join(output_dir, MANIFEST_FILE))
    except OSError as error:
        raise disk_error(output_dir, error) from error
    return manifest


def build_manifest(output_dir: str) -> Manifest:
    """The manifest of the packages in a folder, from their tables.

    Args:
      output_dir: As `download` fills it.

    Returns:
      One row per file, sorted by path; labels and kinds from `classes.csv`, splits "train" and
      "test".

    Raises:
      CorpusError: No package is there.
    """
    tables_dir = os.path.join(output_dir, "packages")
    names = (
        sorted(n for n in os.listdir(tables_dir) if n.endswith(".csv"))
        if os.path.isdir(tables_dir)
        else []
    )
    if not names:
        raise CorpusError(f"{output_dir}: no package of debian-sounds in it")
    tables = []
    for name in names:
        table = pd.read_csv(
            os.path.join(tables_dir, name), dtype=str, keep_default_na=False, na_filter=False
        )
        tables.append(table.assign(package=name.removesuffix(".csv")))
    table = pd.concat(tables, ignore_index=True)
    pairs = list(zip(table["package"], table["path"], strict=True))
    classes = [
        classify(package, path, seconds)
        for (package, path), seconds in zip(pairs, table["seconds"].astype(float), strict=True)
    ]
    table["labels"] = [label for label, _ in classes]
    table["kind"] = [kind for _, kind in classes]
    _tell_guesses(table)
    table["recording_id"] = _join_duplicates(
        [source_of(package, path) for package, path in pairs],
        [table["sha256"], table["samples_sha256"]],
        _copies_among(pairs),
    )
    kept = _without_duplicates(table)
    logging.info("%d files, %d of them duplicates", len(table), len(table) - len(kept))
    kept = _without_small_classes(kept)
    audio_dir = os.path.join(os.path.abspath(output_dir), "audio", "")
    kept["path"] = audio_dir + kept["package"] + "/" + kept["path"]
    return split_by_recording(
        Manifest(kept.sort_values("path"), name="debian-sounds"), TEST_FRACTION, SPLIT_SEED
    )


def _tell_guesses(table: pd.DataFrame) -> None:
    """A line in the log for each package whose files have kinds that were guessed."""
    for package, files in table.groupby("package"):
        if not has_rules(str(package)):
            counts = files["kind"].value_counts().sort_index()
            logging.info(
                "%s: no rules in classes.csv; kinds are guessed from paths and lengths: %s",
                package, ", ".join(f"{kind} {count}" for kind, count in counts.items()),
            )  # fmt: skip


def source_of(package: str, path: str) -> str:
    """The recording_id of a file: its path without marks of takes and velocity layers.

    `same_source.csv` lists files of one source whose names do not show it. megaglest-data uses the
    same names for re-encoded copies in several folders, so there the name alone counts.
    """
    source = known_source(package, path)
    if source is not None:
        return f"{package}/{source}"
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    short = _VARIANT.sub("", stem) or stem
    parts = (package, short) if package == "megaglest-data" else (package, folder, short)
    return "/".join(part for part in parts if part)


def _copies_among(pairs: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """Row numbers of the copies that `copies.csv` lists, as far as both files are there."""
    rows = {f"{package}/{path}": row for row, (package, path) in enumerate(pairs)}
    return [(rows[one], rows[two]) for one, two in known_copies() if one in rows and two in rows]


def _join_duplicates(
    sources: list[str], keys: Sequence[pd.Series], copies: Sequence[tuple[int, int]]
) -> list[str]:
    """Sources that have a duplicate in common become one: the first of them by name.

    Args:
      sources: str[files].
      keys: Columns of checksums, str[files]; equal ones (but not "") mark duplicates.
      copies: Pairs of files that are copies without having a checksum in common.

    Returns:
      str[files].
    """
    parent = {source: source for source in sources}

    def root(source: str) -> str:
        while parent[source] != source:
            source = parent[source]
        return source

    def join(one: str, other: str) -> None:
        kept, joined = sorted((root(one), root(other)))
        parent[joined] = kept

    for column in keys:
        first: dict[str, str] = {}
        for source, key in zip(sources, column, strict=True):
            if key:
                join(first.setdefault(key, source), source)
    for one, other in copies:
        join(sources[one], sources[other])
    return [root(source) for source in sources]


def _without_duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """One of each group of equal files: a labelled one if there is one, else the first by path."""
    ordered = table.assign(unlabelled=table["labels"] == "")
    ordered = ordered.sort_values(["unlabelled", "package", "path"], kind="stable")
    ordered = ordered[~ordered["sha256"].duplicated()]
    samples = ordered["samples_sha256"]
    return ordered[~samples.duplicated() | (samples == "")].drop(columns="unlabelled")


def _without_small_classes(table: pd.DataFrame) -> pd.DataFrame:
    """Classes with fewer than MIN_RECORDINGS recordings lose their label; the files stay."""
    recordings = table.groupby("labels")["recording_id"].nunique()
    small = sorted(recordings.index[(recordings < MIN_RECORDINGS) & (recordings.index != "")])
    if small:
        logging.info(
            "unlabelled, because of fewer than %d recordings: %s", MIN_RECORDINGS, ", ".join(small)
        )
    return table.assign(labels=table["labels"].where(~table["labels"].isin(small), ""))
