"""Downloads debian-sounds: recorded, freely licensed sounds from Debian packages.

    python -m data_prep.debian_sounds --output_dir=debian_sounds
    python -m data_prep.debian_sounds --output_dir=debian_sounds --packages=all

Packages are fetched with `apt-get download` and unpacked with `dpkg-deb -x`: nothing is installed
and no root is needed. The sets "small" (the default), "all", "wide", "widest" and "packed"
are listed in `audio_triplet/corpora/debian_sounds/classes.py`; `classes.csv` there gives each path
its class and kind. Any other package may be named too; the kinds of its files are guessed.

Files in --output_dir:

    manifest.csv            the corpus: --corpus=manifest:…/manifest.csv or debian-sounds:DIR
    audio/PACKAGE/…         the sound files, as the packages have them
    copyright/PACKAGE       the package's own copyright file
    packages/PACKAGE.csv    version, checksums, length, licence of each file

A package already there is skipped, so an interrupted run is continued by the same command.
"""

import os
from collections.abc import Sequence

import pandas as pd
from absl import app, flags

from audio_triplet.corpora.debian_sounds.classes import PACKAGE_SETS
from audio_triplet.corpora.debian_sounds.corpus import MANIFEST_FILE, download
from audio_triplet.data.manifest import Manifest
from audio_triplet.data.manifest_csv import TEST
from audio_triplet.errors import CorpusError, LockedError


def summary(output_dir: str, manifest: Manifest) -> str:
    """Counts per class and kind, several lines for the user."""
    tables = os.path.join(output_dir, "packages")
    tables = [
        pd.read_csv(os.path.join(tables, n)).assign(package=n[:-4]) for n in os.listdir(tables)
    ]
    table = pd.concat(tables)
    audio_dir = os.path.join(os.path.abspath(output_dir), "audio", "")
    seconds = dict(
        zip(audio_dir + table["package"] + "/" + table["path"], table["seconds"], strict=True)
    )
    frame = manifest.frame.assign(
        seconds=manifest.frame["path"].map(seconds), test=manifest.frame["split"] == TEST
    )

    def counted(group: pd.DataFrame) -> str:
        test = group[group["test"]]
        return (
            f"{len(group):6d} files {group['recording_id'].nunique():5d} recordings "
            f"({len(test):4d} / {test['recording_id'].nunique():4d} test) "
            f"{group['seconds'].sum() / 3600:7.3f} h"
        )

    lines = [f"{len(table)} files with sound, {len(table) - len(frame)} duplicates left out"]
    for column in ("kind", "labels"):
        lines += [f"{name or '(no label)':20s} {counted(g)}" for name, g in frame.groupby(column)]
    return "\n".join([*lines, f"{'all':20s} {counted(frame)}"])


def _define_flags() -> None:
    """Defines the command's flags; not at import, since other commands import this module."""
    flags.DEFINE_string("output_dir", None, "Folder of the corpus; made if missing.", required=True)
    flags.DEFINE_list(
        "packages", ["small"],
        "Debian packages, or the sets: "
        + "; ".join(f"{name} ({', '.join(PACKAGE_SETS[name])})" for name in PACKAGE_SETS),
    )  # fmt: skip
    flags.DEFINE_string(
        "deb_dir", None, "Keep downloaded .deb files here, and look for them here first."
    )


def main(argv: Sequence[str]) -> None:
    """The command: `python -m data_prep.debian_sounds --help`."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; name packages by --packages=A,B")
    values = flags.FLAGS
    try:
        manifest = download(values.output_dir, values.packages, values.deb_dir)
    except (CorpusError, LockedError) as error:
        raise SystemExit(f"error: {error}") from None
    print(summary(values.output_dir, manifest))
    print(f"wrote {os.path.join(values.output_dir, MANIFEST_FILE)}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
