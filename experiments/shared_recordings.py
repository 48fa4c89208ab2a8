"""Finds the recordings that two corpora share, or that one corpus has under several names.

    python -m experiments.shared_recordings --output_dir=shared \
        --corpus='debian-sounds:DIR?packages=widest,packed' --other=esc50:DIR

What is compared are the files, by landmarks of their spectrograms and then by their waveforms; see
`experiments.lib.landmarks`. Found are copies at any offset, level and bit rate; not those at
another pitch or speed, and hardly those under louder sound. Without --other, files of one
recording_id are not compared with each other.

Written to --output_dir: shared_recordings.csv (file, other, offset_seconds: where the other one's
beginning lies in the file, correlation), its files relative to each corpus's folder;
shared_recordings.json, with command, commit and counts.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags, logging

from audio_triplet import storage
from audio_triplet.errors import AudioError
from experiments.lib import kept, script

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# [D] From here on two waveforms are copies. Of 876 pairs of game sounds and Freesound clips whose
# landmarks agree twelve came above 0.37, which are copies; a drum's single beat had 0.30.
COPY_FROM = 0.35
# Short beeps of one pitch correlate too: their landmarks are few, and all of one kind.
_LEAST_LANDMARKS = 5
_SOUNDS_KEPT = 32  # decoded, while pairs are compared

COLUMNS = ("file", "other", "offset_seconds", "correlation")


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("corpus", None, "A corpus, as other scripts have it.", required=True)
    flags.DEFINE_string("other", "", "Another one; empty: the corpus is compared with itself.")
    flags.DEFINE_list(
        "kinds", [], "Of a corpus with the column `kind`, only these are compared; empty: all."
    )
    flags.DEFINE_string("output_dir", None, "Folder for shared_recordings.csv.", required=True)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    values = flags.FLAGS
    script.make_table(
        "shared_recordings",
        values.output_dir,
        lambda: make_table(values.corpus, values.other, values.kinds, values.output_dir),
        markdown,
    )


def make_table(corpus: str, other: str, kinds: Sequence[str], output_dir: str) -> dict:
    """Compares and writes.

    Args:
      corpus: Value of --corpus.
      other: Value of --other; "": the corpus is compared with itself.
      kinds: Kinds that are compared, of corpora that have kinds; empty: all.
      output_dir: Folder of the results.

    Returns:
      Content of shared_recordings.json.
    """
    import pandas as pd

    from audio_triplet.corpora.registry import load_corpus
    from audio_triplet.provenance import provenance

    made_by = provenance()
    files = _files(load_corpus(corpus).frame, kinds)
    count = len(files)
    if other:
        files = pd.concat([files, _files(load_corpus(other).frame, kinds)], ignore_index=True)
    rows = _copies(files, count if other else None)
    os.makedirs(output_dir, exist_ok=True)
    with storage.replacing(os.path.join(output_dir, "shared_recordings.csv")) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False)
    table = {
        "pairs": len(rows),
        "files": len({row[0] for row in rows} | ({row[1] for row in rows} if not other else set())),
        "others": len({row[1] for row in rows}) if other else None,
        "config": {
            "corpus": corpus,
            "other": other,
            "kinds": list(kinds),
            "compared_files": count,
            "compared_others": len(files) - count if other else None,
        }
        | made_by,
    }
    kept.write_json(os.path.join(output_dir, "shared_recordings.json"), table)
    return table


def markdown(table: dict) -> str:
    """The counts in a line."""
    config = table["config"]
    if config["other"]:
        return (
            f"{table['files']} of {config['compared_files']} files and {table['others']} of "
            f"{config['compared_others']} others share recordings ({table['pairs']} pairs)"
        )
    return (
        f"{table['files']} of {config['compared_files']} files are copies of others under another "
        f"recording_id ({table['pairs']} pairs)"
    )


def _files(frame: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Each file of a manifest once: path, name (relative to the folder of all), recording_id."""
    if kinds and "kind" in frame.columns:
        frame = frame[frame["kind"].isin(list(kinds))]
    frame = frame.drop_duplicates("path").sort_values("path")
    paths = list(frame["path"])
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [os.path.relpath(path, folder) for path in paths]
    return frame[["path", "recording_id"]].assign(name=names).reset_index(drop=True)


def _copies(files: pd.DataFrame, others_from: int | None) -> list[tuple[str, str, float, float]]:
    """The rows of shared_recordings.csv."""
    import numpy as np

    from audio_triplet import audio
    from experiments.lib import landmarks

    paths, names = list(files["path"]), list(files["name"])
    recordings = list(files["recording_id"])

    def read(path: str) -> np.ndarray:
        try:
            return audio.load_audio(path)
        except AudioError as error:
            logging.warning("left out: %s", error)
            return np.zeros(0, np.float32)

    marks = []
    for number, path in enumerate(paths):
        marks.append(landmarks.landmarks(read(path)))
        if number % 1000 == 999:
            logging.info("%d of %d files read", number + 1, len(paths))
    kinds = [len(np.unique(found[:, 0])) for found in marks]
    likely = [
        pair
        for pair in landmarks.candidates(marks, others_from=others_from)
        if others_from is not None or recordings[pair.first] != recordings[pair.second]
        if min(kinds[pair.first], kinds[pair.second]) >= _LEAST_LANDMARKS
    ]
    logging.info("%d pairs of files are alike; their waveforms are compared", len(likely))
    again = functools.lru_cache(_SOUNDS_KEPT)(read)
    rows = []
    for pair in likely:
        first, second = again(paths[pair.first]), again(paths[pair.second])
        offset, correlation = landmarks.aligned(first, second, pair.offset_seconds)
        if correlation >= COPY_FROM:
            found = (round(offset, 3), round(correlation, 2))
            rows.append((names[pair.first], names[pair.second], *found))
    return rows


if __name__ == "__main__":
    script.start(define_flags, main)
