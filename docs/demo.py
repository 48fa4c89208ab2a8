"""A demo for the front page: freely licensed sounds of debian-sounds that search themselves.

    python docs/demo.py --corpus=debian-sounds:FOLDER --output_dir=build/demo

`make docs DEBIAN_SOUNDS=FOLDER` does it, and `docs/demo_hook.py` puts it on the front page.
Published are labelled effects whose licence allows it, as short excerpts, with the licence and the
package of each; the packages' copyright files lie beside.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile

import pandas as pd
from absl import app, flags

# Licences under which an excerpt may be passed on with its source named, nothing else asked.
FREE = ("CC0", "CC0-1.0", "public-domain", "MIT", "Expat", "CC-BY-3.0", "CC-BY-4.0")
FREE += ("CC-BY-SA-3.0", "CC-BY-SA-3.0-us", "CC-BY-SA-4.0")

MOST_EACH = 60  # files of a class
MOST_SECONDS = 10.0  # of a file
EXCERPT_SECONDS = 5.0


def chosen(table: pd.DataFrame, most_each: int = MOST_EACH) -> pd.DataFrame:
    """The rows of the corpus's manifest that are published.

    Args:
      table: With `kind`, `labels`, `licence` and `recording_id`.
      most_each: So many of a class, evenly spread; at first one of each recording.

    Returns:
      Some of its rows.
    """
    table = table[(table["kind"] == "effect") & table["licence"].isin(FREE)]
    table = table[table["labels"].fillna("") != ""]
    turn = table.groupby("recording_id").cumcount()
    parts = []
    for _, rows in table.assign(turn=turn).groupby("labels", sort=True):
        rows = rows.sort_values(["turn", "path"])
        step = max(1, len(rows) // most_each)
        parts.append(rows.iloc[::step].head(most_each))
    return pd.concat(parts).drop(columns="turn") if parts else table


def write(folder: str, target: str) -> str:
    """Makes the site.

    Args:
      folder: Of the corpus.
      target: The site.

    Returns:
      A line on what it holds.
    """
    from audio_triplet import audio
    from audio_triplet.publish import site

    table = chosen(pd.read_csv(os.path.join(folder, "manifest.csv"), dtype=str))
    table["path"] = [os.path.join(os.path.abspath(folder), path) for path in table["path"]]
    lengths = [audio.probe(path, truncated="use").duration_seconds for path in table["path"]]
    table = table[[length <= MOST_SECONDS for length in lengths]]
    with tempfile.TemporaryDirectory() as work:
        manifest, credits = os.path.join(work, "manifest.csv"), os.path.join(work, "credits.csv")
        table[["path", "recording_id", "labels"]].to_csv(manifest, index=False)
        with open(credits, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "credit"))
            for row in table.itertuples():
                writer.writerow((row.path, f"{row.licence}, from {row.package} {row.version}"))
        index = os.path.join(work, "index")
        # The verb: of a manifest's recordings several files may be one.
        command = [sys.executable, "-m", "audio_triplet", "index", f"manifest:{manifest}"]
        subprocess.run([*command, f"--index={index}"], check=True)
        written = site.write(
            site.SiteConfig(
                index,
                target,
                "Sounds of free games and instruments",
                audio_seconds=EXCERPT_SECONDS,
                licence="Excerpts of sounds from Debian packages; the licence and the package of "
                "each stand beside it, the packages' copyright files in copyright/.",
                credits=credits,
            )
        )
    os.makedirs(os.path.join(target, "copyright"), exist_ok=True)
    for package in sorted(set(table["package"])):
        source = os.path.join(folder, "copyright", package)
        shutil.copyfile(source, os.path.join(target, "copyright", f"{package}.txt"))
    return f"{target}: {written.files:,} sounds, {written.bytes / 1e6:.1f} MB"


def main(argv):
    """Runs the command."""
    del argv
    kind, _, folder = flags.FLAGS.corpus.partition(":")
    if kind != "debian-sounds":
        raise app.UsageError(f"--corpus={flags.FLAGS.corpus}: must be debian-sounds:FOLDER")
    print(write(folder.split("?")[0], flags.FLAGS.output_dir))


if __name__ == "__main__":
    flags.DEFINE_string("corpus", None, "debian-sounds:FOLDER.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder of the site.", required=True)
    app.run(main)
