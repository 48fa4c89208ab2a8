"""Scores sound by a classifier: predictions.csv, with file, times, and a score for each class.

    audio-triplet classify predict SOUND --classifier=mine/classifier --output_dir=mine

A row is a patch, every --hop_seconds, or a whole segment. The last columns are the clock time, if
names or files state when they were recorded, and `truncated`, if an end of a file is missing; its
rest is used. A classifier that could be checked adds the classes that reach the precision fit was
asked for (`found`), and a probability of each class. --after, --before, --hours and --path take a
part of an archive. Files that cannot be read are listed in bad_files.csv, truncated ones in
truncated.csv. With --runner workers score: all cores, or a cluster. With --together sounds that are
alike share their scores. With --adapt sounds that were recorded otherwise than the labelled ones
(by telephone, in noise, in a room) are first brought to where those lie; it takes some tens of
sounds.
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags

from audio_triplet import locks, storage
from audio_triplet.commands import config_flags, table_flags
from audio_triplet.commands.classify.shared import load_classifier, scored
from audio_triplet.config import EmbedConfig
from audio_triplet.errors import ClassifierError, UsageError

if TYPE_CHECKING:
    import datetime

    from audio_triplet.classify.adaptation import Watch
    from audio_triplet.classify.calibration import Calibration
    from audio_triplet.classify.classifier import SoundClassifier
    from audio_triplet.classify.scoring import Scored
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.data.sound_filter import SoundFilter
    from audio_triplet.embeddings.other_models import Embedder
    from audio_triplet.pipelines.runners import Parsed


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_string(
        "classifier", None, "The folder `classifier` that fit wrote.", required=True
    )
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    flags.DEFINE_string("model", None, "Folder of the classifier's model, if it has moved.")
    flags.DEFINE_boolean(
        "together",
        False,
        "Let sounds that are alike share their scores: for few labels and many sounds.",
    )
    flags.DEFINE_boolean(
        "adapt",
        False,
        "Bring sounds that were recorded otherwise than the labelled ones to where those lie: for "
        "some tens of sounds or more, all of one kind of recording.",
    )
    config_flags.define_truncated_flag("use")
    config_flags.define_filter_flags()
    config_flags.define_runner_flag()
    config_flags.define_flags(EmbedConfig)
    table_flags.define_flags()


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    from audio_triplet.commands import inputs

    values = flags.FLAGS
    only = config_flags.filter_from_flags()
    sounds, runner = config_flags.runner_from_flags(argv[1:])
    if runner and values.together:
        raise UsageError("--together compares all sounds in this process; leave --runner out")
    if runner and values.adapt:
        raise UsageError("--adapt looks at all sounds in this process; leave --runner out")
    manifest, _ = inputs.load_inputs(sounds, "none")
    with locks.exclusive(values.output_dir):
        locks.clear_leftovers(values.output_dir)
        print(
            predict(
                manifest,
                values.classifier,
                values.output_dir,
                config_flags.from_flags(EmbedConfig),
                values.model,
                only,
                values.form,
                values.truncated,
                runner,
                values.together,
                values.adapt,
            )
        )


def predict(
    manifest: Manifest,
    classifier_dir: str,
    output_dir: str,
    config: EmbedConfig,
    model_path: str | None = None,
    only: SoundFilter | None = None,
    forms: Sequence[str] = (),
    truncated: str = "use",
    runner: Parsed | None = None,
    together: bool = False,
    adapt: bool = False,
) -> str:
    """Writes predictions.csv: a row for every patch, or every segment, in the inputs' order.

    Args:
      manifest: The segments.
      classifier_dir: Folder of a classifier.
      output_dir: Where predictions.csv goes.
      config: Granularity and hop.
      model_path: Folder of the SavedModel; None: where it was when the classifier was fitted.
      only: What is scored at all; None: everything.
      forms: Forms of tables to write too (`table_flags.NAMES`), with the classes that are found
        in each row; with its best class if the classifier cannot tell which are.
      truncated: `use` or `refuse` files of which an end is missing.
      runner: Whose workers score; None: this process.
      together: Whether sounds that are alike share their scores, see `classify.together`.
      adapt: Whether they are brought to the labelled sounds' ground, see `classify.adaptation`.

    Returns:
      A line for the user.

    Raises:
      UsageError: There is nothing that `only` takes.
      ClassifierError: The classifier does not know where the labelled sounds lie.
    """
    from audio_triplet.annotations.moments import Moment
    from audio_triplet.annotations.own_table import guarded
    from audio_triplet.audio import clock
    from audio_triplet.classify import predictions
    from audio_triplet.classify.adaptation import Watch
    from audio_triplet.data.bad_files import BadFiles, listed_in

    fitted, model = load_classifier(classifier_dir, model_path, config.precision)
    ground = fitted.classifier.ground
    if adapt and ground is None:
        raise ClassifierError(
            f"{classifier_dir}: does not know where its labelled sounds lie, which --adapt needs; "
            "fit it again"
        )
    watch = Watch(ground) if ground and not adapt else None
    meaning = fitted.calibration(config.granularity)
    began = {path: clock.recorded_at(path) for path in manifest.frame["path"].unique()}
    if only:
        manifest = _wanted(manifest, only, began, truncated)
    timed = any(began[path] for path in manifest.frame["path"])
    moments: list[Moment] = []
    path, rows, files = os.path.join(output_dir, "predictions.csv"), 0, set()
    with (
        listed_in(output_dir, BadFiles(truncated)) as bad_files,
        storage.open_replacing(path) as file,
    ):
        writer = csv.writer(file)
        writer.writerow(predictions.header(fitted.classes, meaning is not None, timed))
        work = model, manifest, config, bad_files
        segments: Iterable[Scored]
        if runner:
            segments = _by_workers(*work, runner, classifier_dir, output_dir)
        elif together:
            segments = _together(fitted, *work, adapt, watch)
        else:
            segments = scored(fitted, *work, adapt=adapt, watch=watch)
        for segment in segments:
            source, starts, ends = segment.path, segment.start_seconds, segment.end_seconds
            found = predictions.results(fitted.classes, segment.scores, meaning)
            for start, end, result in zip(starts, ends, found, strict=True):
                first = began[source]
                moment = clock.later(first, float(start)) if first else None
                if only and config.granularity == "patch" and not only.takes_time(moment):
                    continue
                when = moment.isoformat(timespec="milliseconds") if moment else ""
                rows += 1
                times = round(float(start), 3), round(float(end), 3)
                if forms:
                    moments += [
                        Moment(source, *times, label, score=round(score, 4))
                        for label, score in result.decided
                    ]
                writer.writerow(
                    [
                        guarded(source),
                        *(f"{time:.3f}" for time in times),
                        *result.cells,
                        *([when] if timed else []),
                    ]
                )
            files.add(source)
    if bad_files.log.truncated:
        _mark_truncated(path, {guarded(name) for name in bad_files.log.truncated})
    text = f"{rows:,} rows for {len(files):,} files: {path}"
    if meaning is not None:
        text += f"\n{_told(meaning, len(fitted.classes))}"
    if watch and (apart := watch.apart) is not None:
        text += (
            f"\nthese sounds lie apart from the labelled ones, by {apart:.2f} deviations: they "
            "were recorded otherwise (then try --adapt), or are mostly of no class that it knows"
        )
    if forms and not moments:
        text += "\nno table is written: nothing reaches that precision"
        forms = ()
    for line in table_flags.write(forms, output_dir, "predictions", moments):
        text += f"\n{line}"
    bad_files.write_summary(output_dir, manifest.frame.attrs.get("passed_over"))
    if summary := bad_files.summary(output_dir):
        text += f"\n{summary}"
    return text


def _together(
    fitted: SoundClassifier,
    model: Embedder,
    manifest: Manifest,
    config: EmbedConfig,
    bad_files: BadFiles,
    adapt: bool,
    watch: Watch | None,
) -> list[Scored]:
    """As `scored`, those that are alike together."""
    from audio_triplet.classify.together import together

    recordings = manifest.frame["recording_id"].tolist()
    found = scored(fitted, model, manifest, config, bad_files, True, adapt, watch)
    return together(found, recordings)


def _by_workers(
    model: Embedder,
    manifest: Manifest,
    config: EmbedConfig,
    bad_files: BadFiles,
    runner: Parsed,
    classifier_dir: str,
    output_dir: str,
) -> Iterator[Scored]:
    """As `scored`, by the workers of a pipeline."""
    from audio_triplet.classify import score_pipeline
    from audio_triplet.commands.progress import Progress

    work = score_pipeline.ByPipeline(
        runner, classifier_dir, output_dir, lambda seconds: contextlib.closing(Progress(seconds))
    )
    return work(model, manifest, config, bad_files)


def _mark_truncated(path: str, truncated: set[str]) -> None:
    """Adds the column `truncated` to a table: yes in the rows of these files."""
    with open(path, newline="", encoding="utf-8") as old, storage.open_replacing(path) as new:
        writer = csv.writer(new)
        rows = csv.reader(old)
        writer.writerow([*next(rows), "truncated"])
        for row in rows:
            writer.writerow([*row, "yes" if row[0] in truncated else ""])


def _told(meaning: Calibration, classes: int) -> str:
    """A line on which classes can be found."""
    reached = sum(of.score is not None for of in meaning.thresholds)
    if not reached:
        return (
            f"no class reaches precision {meaning.precision:g}: tables have the best class of each "
            "row; label more, or fit with a lower --precision"
        )
    line = f"column found: the classes at precision {meaning.precision:g} or better"
    return (
        line if reached == classes else f"{line}; {classes - reached} of {classes} never reach it"
    )


def _wanted(
    manifest: Manifest,
    only: SoundFilter,
    began: Mapping[str, datetime.datetime | None],
    truncated: str,
) -> Manifest:
    """The segments of which a filter takes something; what cannot be read is kept, to be listed."""
    import numpy as np

    from audio_triplet import audio
    from audio_triplet.audio import clock
    from audio_triplet.errors import AudioError

    rows: list[int] = []
    unreadable = 0
    for number, row in enumerate(manifest.frame.itertuples()):
        if not only.takes_path(row.path):
            continue
        first = began[row.path]
        if only.needs_clock:
            if first is None:
                continue
            end = float(row.end_seconds)
            if end != end:  # to the end of the file
                try:
                    end = audio.probe(row.path, truncated).duration_seconds
                except AudioError:
                    rows.append(number)
                    unreadable += 1
                    continue
            start = float(row.start_seconds)
            if not only.takes_some_of(clock.later(first, start), end - start):
                continue
        rows.append(number)
    if len(rows) == unreadable:
        raise UsageError(f"{manifest.name}: holds no sound of those times and paths; ask for more")
    return manifest.take(np.array(rows))
