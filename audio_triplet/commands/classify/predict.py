"""Scores sound by a classifier: predictions.csv, with file, times, and a score for each class.

    audio-triplet classify predict SOUND --classifier=mine/classifier --output_dir=mine

A row is a patch, every --hop_seconds, or a whole segment. Files that cannot be read are listed in
bad_files.csv.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from audio_triplet import locks, storage
from audio_triplet.commands import config_flags, table_flags
from audio_triplet.commands.classify.shared import load_classifier, scored
from audio_triplet.config import EmbedConfig

if TYPE_CHECKING:
    from audio_triplet.data.manifest import Manifest


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_string(
        "classifier", None, "The folder `classifier` that fit wrote.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Folder for all that is written.", required=True)
    flags.DEFINE_string(
        "model", None, "Where the classifier's model is now, if no longer where it was."
    )
    config_flags.define_flags(EmbedConfig)
    table_flags.define_flags()


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    from audio_triplet.commands import inputs

    values = flags.FLAGS
    manifest, _ = inputs.load_inputs(argv[1:])
    with locks.exclusive(values.output_dir):
        locks.clear_leftovers(values.output_dir)
        print(
            predict(
                manifest,
                values.classifier,
                values.output_dir,
                config_flags.from_flags(EmbedConfig),
                values.model,
                values.form,
            )
        )


def predict(
    manifest: Manifest,
    classifier_dir: str,
    output_dir: str,
    config: EmbedConfig,
    model_path: str | None = None,
    forms: Sequence[str] = (),
) -> str:
    """Writes predictions.csv: a row for every patch, or every segment, in the inputs' order.

    Args:
      manifest: The segments.
      classifier_dir: Folder of a classifier.
      output_dir: Where predictions.csv goes.
      config: Granularity and hop.
      model_path: Folder of the SavedModel; None: where it was when the classifier was fitted.
      forms: Forms of tables to write too (`table_flags.NAMES`), with each row's best class.

    Returns:
      A line for the user.
    """
    from audio_triplet.annotations.moments import Moment
    from audio_triplet.annotations.own_table import guarded
    from audio_triplet.data.bad_files import listed_in

    fitted, model = load_classifier(classifier_dir, model_path)
    moments: list[Moment] = []
    path, rows, files = os.path.join(output_dir, "predictions.csv"), 0, set()
    with listed_in(output_dir) as bad_files, storage.open_replacing(path) as file:
        writer = csv.writer(file)
        classes = [guarded(name) for name in fitted.classes]
        writer.writerow(["path", "start_seconds", "end_seconds", "top_class", *classes])
        for segment, scores in scored(fitted, model, manifest, config, bad_files):
            source = manifest.frame["path"].iloc[segment.row]
            starts, ends = segment.start_seconds, segment.end_seconds
            if config.granularity == "segment":
                scores = scores.mean(axis=0, keepdims=True)
                starts, ends = starts[:1], starts[:1] + segment.seconds
            for start, end, values in zip(starts, ends, scores, strict=True):
                best = int(values.argmax())
                if forms:
                    score = round(float(values[best]), 4)
                    moments.append(
                        Moment(
                            source,
                            round(float(start), 3),
                            round(float(end), 3),
                            fitted.classes[best],
                            score=score,
                        )
                    )
                writer.writerow(
                    [
                        guarded(source),
                        f"{start:.3f}",
                        f"{end:.3f}",
                        classes[best],
                        *(f"{value:.4f}" for value in values),
                    ]
                )
            rows += len(scores)
            files.add(source)
    text = f"{rows:,} rows for {len(files):,} files: {path}"
    for line in table_flags.write(forms, output_dir, "predictions", moments):
        text += f"\n{line}"
    if bad_files.entries:
        text += f"\n{bad_files.summary(output_dir)}"
    return text
