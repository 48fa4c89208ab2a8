"""Chooses the sounds whose labels would teach a classifier the most.

    audio-triplet classify suggest SOUND --classifier=mine/classifier --output_dir=mine

Written to --output_dir: suggest.csv, a manifest with an empty column `labels` to fill in, and
suggest.html, a page to listen to the sounds and to label them on. Give the filled manifest to
`audio-triplet classify fit` with the rest.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from audio_triplet import locks, storage
from audio_triplet.commands import config_flags, table_flags
from audio_triplet.commands.classify.shared import (
    load_classifier,
    scored,
    segment_key,
)
from audio_triplet.config import EmbedConfig
from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest


def define_flags() -> None:
    """Defines the verb's flags."""
    config_flags.define_labels_flag("none")
    flags.DEFINE_string(
        "classifier", None, "The folder `classifier` that fit wrote.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    flags.DEFINE_string("model", None, "Folder of the classifier's model, if it has moved.")
    flags.DEFINE_integer("count", 30, "How many sounds to suggest.", lower_bound=1)
    flags.DEFINE_float(
        "window_seconds",
        10.0,
        "Longer sounds are cut into windows of this length.",
        lower_bound=0.975,
    )
    flags.DEFINE_boolean(
        "ignore_labels", False, "Also suggest sounds that have a label of the classifier."
    )
    table_flags.define_flags()


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    from audio_triplet.commands import inputs

    values = flags.FLAGS
    manifest, _ = inputs.load_inputs(argv[1:], values.labels)
    with locks.exclusive(values.output_dir):
        locks.clear_leftovers(values.output_dir)
        print(
            suggest(
                manifest,
                values.classifier,
                values.output_dir,
                values.count,
                values.window_seconds,
                values.ignore_labels,
                values.model,
                values.form,
            )
        )


def suggest(
    manifest: Manifest,
    classifier_dir: str,
    output_dir: str,
    count: int,
    window_seconds: float = 10.0,
    ignore_labels: bool = False,
    model_path: str | None = None,
    forms: Sequence[str] = (),
) -> str:
    """Writes suggest.csv and suggest.html: the sounds whose labels would teach the most.

    Args:
      manifest: The sounds to choose from; those the classifier was fitted on are skipped.
      classifier_dir: Folder of a classifier.
      output_dir: Where both files go.
      count: How many sounds to suggest.
      window_seconds: Longer sounds are cut into windows of this length.
      ignore_labels: Whether sounds that have a label of the classifier's are candidates too.
      model_path: Folder of the SavedModel; None: where it was when the classifier was fitted.
      forms: Forms of tables to write too (`table_flags.NAMES`), without labels, to fill in.

    Returns:
      A line or two for the user.
    """
    import numpy as np

    from audio_triplet.annotations.moments import Moment
    from audio_triplet.classify import suggestions
    from audio_triplet.data.bad_files import listed_in
    from audio_triplet.web import classifier_page

    fitted, model = load_classifier(classifier_dir, model_path)
    known = {tuple(key) for key in fitted.metadata.get("fitted_on", ())}
    is_new = np.array([segment_key(row) not in known for row in manifest.frame.itertuples()])
    if not ignore_labels:
        is_new &= ~manifest.label_matrix(fitted.classes).any(axis=1)
    if not is_new.any():
        raise UsageError(
            f"{manifest.name}: every sound has a label; --ignore_labels suggests them too"
        )
    with listed_in(output_dir) as bad_files:
        windows = _windows(manifest.take(np.flatnonzero(is_new)), window_seconds, bad_files)
        whole = EmbedConfig(granularity="segment")
        found = [
            (segment.row, segment.scores[0])
            for segment in scored(fitted, model, windows, whole, bad_files)
        ]
    if not found:
        raise UsageError(f"{manifest.name}: no sound could be read; see bad_files.csv")
    frame = windows.frame.iloc[[row for row, _ in found]]
    scores = np.stack([values for _, values in found])
    chosen = suggestions.suggest(scores, frame["recording_id"].tolist(), count)
    frame, scores = frame.iloc[chosen], scores[chosen]
    path = os.path.join(output_dir, "suggest.csv")
    with storage.open_replacing(path) as file:
        writer = csv.writer(file)
        writer.writerow(classifier_page.LABEL_COLUMNS)
        writer.writerows(classifier_page.label_rows(frame))
    page = os.path.join(output_dir, "suggest.html")
    classifier_page.write_suggestions(page, frame, scores, fitted.classes, len(found))
    moments = [
        Moment(row.path, float(row.start_seconds), float(row.end_seconds))
        for row in frame.itertuples()
    ]
    tables = table_flags.write(forms, output_dir, "suggest", moments)
    told = (
        f"{len(frame)} of {len(found):,} sounds to label, the least clear first: listen and label "
        f"on {page},\nor fill the column `labels` of {path}; then fit with that file too"
    )
    return "\n".join([told, *tables])


def _windows(manifest: Manifest, seconds: float, bad_files: BadFiles) -> Manifest:
    """Cuts long segments into windows; the last one also takes a rest shorter than a patch.

    Returns:
      The manifest of the windows.
    """
    import numpy as np

    from audio_triplet import audio
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.errors import AudioError, CorpusError

    rows, starts, ends = [], [], []
    for number, row in enumerate(manifest.frame.itertuples()):
        start, end = float(row.start_seconds), float(row.end_seconds)
        try:
            whole = float(np.fmin(end, audio.probe(row.path).duration_seconds)) - start
        except AudioError as error:
            bad_files.add(row.path, error.reason)
            continue
        count = max(1, round(np.ceil((whole - 1) / seconds)))
        for window in range(count):
            rows.append(number)
            starts.append(start + window * seconds)
            ends.append(end if window == count - 1 else start + (window + 1) * seconds)
    if not rows:
        raise CorpusError(f"{manifest.name}: no sound could be read; see bad_files.csv")
    frame = manifest.frame.iloc[rows].assign(start_seconds=starts, end_seconds=ends, split="")
    return Manifest(frame.reset_index(drop=True), manifest.name)
