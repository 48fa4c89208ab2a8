"""Fits a classifier on labelled sound, and checks it on recordings that were held out.

    audio-triplet classify fit LABELLED --output_dir=mine
    audio-triplet classify fit LABELLED mine/suggest.csv --output_dir=mine

LABELLED is a folder with a sub-folder for each class, or a manifest with labels in some rows;
sounds without a label are ignored. Written to --output_dir: the folder `classifier`, scores.json
with the cross-validated score, and classifier.html.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from audio_triplet import locks, storage
from audio_triplet.commands import config_flags
from audio_triplet.commands.classify.shared import segment_key
from audio_triplet.config import ClassifyConfig
from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    from audio_triplet.classify.cross_validation import Checked
    from audio_triplet.classify.examples import Examples
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet


def define_flags() -> None:
    """Defines the verb's flags."""
    config_flags.define_labels_flag("folders")
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    flags.DEFINE_string("model", None, "Folder of a SavedModel; by default the released model.")
    config_flags.define_flags(ClassifyConfig)
    flags.DEFINE_integer(
        "labels_per_class",
        0,
        "Use only this many labelled sounds of each class, drawn at random, to see what so many "
        "are worth; 0 uses all.",
        lower_bound=0,
    )
    flags.DEFINE_float(
        "max_bad_share", 0.05, "A greater share of bad files stops the run.", 0.0, 1.0
    )
    config_flags.define_truncated_flag("refuse")
    flags.DEFINE_boolean("page", True, "Write classifier.html too, with a learning curve.")
    flags.DEFINE_boolean(
        "compare_log_mel",
        False,
        "Check log mel in the same way, for comparison; it has 48 times as many dimensions, so "
        "this takes longer.",
    )


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    from audio_triplet.commands import inputs

    values = flags.FLAGS
    manifest, _ = inputs.load_inputs(argv[1:], values.labels)
    with locks.exclusive(values.output_dir):
        locks.clear_leftovers(values.output_dir)
        if values.labels_per_class:
            manifest = few_of(manifest, values.labels_per_class, values.seed)
        print(
            fit(
                manifest,
                values.model,
                values.output_dir,
                config_flags.from_flags(ClassifyConfig),
                values.page,
                values.compare_log_mel,
                values.max_bad_share,
                values.truncated,
            )
        )


def fit(
    manifest: Manifest,
    model_path: str | None,
    output_dir: str,
    config: ClassifyConfig,
    page: bool = True,
    compare_log_mel: bool = False,
    max_bad_share: float = 0.05,
    truncated: str = "refuse",
) -> str:
    """Fits a classifier on the labelled segments, and checks it by cross-validation.

    Args:
      manifest: The segments; those without labels are ignored.
      model_path: Folder of a SavedModel; None for the released one.
      output_dir: Where `classifier/`, scores.json and classifier.html go.
      config: Settings of the classifier.
      page: Whether to write the page, for which a learning curve is made.
      compare_log_mel: Whether to check log mel too.
      max_bad_share: A greater share of labelled files that cannot be used stops the run.
      truncated: `use` or `refuse` files of which an end is missing.

    Returns:
      Lines for the user.

    Raises:
      UsageError: No sound has a label.
      CorpusError: Too many files cannot be used.
    """
    import numpy as np

    labelled = (manifest.frame["labels"] != "").to_numpy()
    if labelled.any() and not labelled.all():
        manifest = manifest.take(np.flatnonzero(labelled))
    if not manifest.classes:
        raise UsageError(
            f"{manifest.name}: no sound has a label; sort the files into one folder for each class "
            "or fill the column `labels` of a manifest"
        )
    from audio_triplet.classify import classifier, cross_validation
    from audio_triplet.classify.examples import Examples
    from audio_triplet.embeddings import model_files, representations, saved_model
    from audio_triplet.provenance import provenance

    model = saved_model.Model(model_path or model_files.released_model_path())
    embeddings = _embedded(model, manifest, output_dir, max_bad_share, truncated)
    examples = Examples.of(embeddings)
    fitted = classifier.fit(examples, config)
    checked = cross_validation.cross_validate(examples, config)
    curves, checked_log_mel = {}, None
    if page:
        curves["embedding"] = cross_validation.learning_curve(examples, config)
    if compare_log_mel:
        log_mel = _embedded(
            lambda waveform: saved_model.embed_waveforms(representations.flat, waveform),
            manifest,
            output_dir,
            max_bad_share,
            truncated,
        )
        log_mel_examples = Examples.of(log_mel, examples.classes)
        checked_log_mel = cross_validation.cross_validate(log_mel_examples, config)
        if page:
            curves["log_mel"] = cross_validation.learning_curve(log_mel_examples, config)
    recordings = examples.recordings()
    report = {
        "model": os.path.abspath(model.path),
        "labelling": "single" if examples.is_single(config) else "multi",
        "hidden_units": config.hidden_units,
        "seed": config.seed,
        "regularised": fitted.regularised,
        "labels_per_class": float(np.median(examples.labels.sum(axis=0))),
        "segments": len(examples),
        "recordings": len(set(examples.groups)),
        "score": _score(checked, examples.classes),
        "log_mel": _score(checked_log_mel, examples.classes),
        "precision": config.precision,
        **_meaning(checked, examples, config.precision),
        "unchecked_classes": [
            name for name, count in zip(examples.classes, recordings, strict=True) if count < 2
        ],
        "learning_curve": {
            name: {str(point.per_class): point.means for point in points}
            for name, points in curves.items()
        },
        **provenance(),
    }
    storage.write_json(os.path.join(output_dir, "scores.json"), report)
    fitted_on = [list(segment_key(row)) for row in embeddings.manifest.frame.itertuples()]
    classifier.SoundClassifier(
        examples.classes, fitted.classifier, model.digest, report | {"fitted_on": fitted_on}
    ).save(os.path.join(output_dir, "classifier"))
    lines = _summary(report, len(examples.classes))
    if page:
        from audio_triplet.web import classifier_page

        path = os.path.join(output_dir, "classifier.html")
        classifier_page.write_report(path, report, examples, embeddings.manifest, checked)
        lines.append(f"page: {path}")
    lines.append(f"classifier: {os.path.join(output_dir, 'classifier')}")
    return "\n".join(lines)


def few_of(manifest: Manifest, per_class: int, seed: int) -> Manifest:
    """Some labelled segments of each class, of as many recordings as there are.

    Args:
      manifest: The segments.
      per_class: How many of each class; all of a class that has fewer.
      seed: Seed of the draw.

    Returns:
      Their manifest.
    """
    from audio_triplet.evaluation import few_labels

    if not manifest.classes:
        return manifest  # for `fit` to complain of
    drawn = few_labels.draw(
        manifest.label_matrix(), manifest.frame["recording_id"].tolist(), per_class, seed
    )
    return manifest.take(drawn.segments)


def _embedded(
    model: Any, manifest: Manifest, output_dir: str, max_bad_share: float, truncated: str
) -> EmbeddingSet:
    """Embeds a manifest; bad files go to bad_files.csv, too many of them are an error."""
    from tqdm import tqdm

    from audio_triplet.data.bad_files import BadFiles, listed_in
    from audio_triplet.embeddings import embed

    with (
        listed_in(output_dir, BadFiles(truncated)) as bad_files,
        tqdm(total=len(manifest), unit="segment", desc="embedding", disable=None) as bar,
    ):
        paths = manifest.frame["path"].unique()
        for path in paths:  # before hours of work
            if not (storage.is_remote(path) or os.path.exists(path)):
                bad_files.add(path, "no such file")
        bad_files.check_share(len(paths), max_bad_share, manifest.name)
        embeddings = embed.embed_manifest(model, manifest, None, bad_files, bar.update)
        bad_files.check_share(len(paths), max_bad_share, manifest.name)
        return embeddings


def _score(checked: Checked | None, classes: Sequence[str]) -> dict | None:
    """A cross-validated score, as scores.json has it; None if there is none."""
    from audio_triplet.evaluation import metrics

    if checked is None:
        return None
    return {
        "map": checked.mean,
        "map_interval": checked.interval,
        "accuracy": checked.accuracy,
        "accuracy_interval": checked.accuracy_interval,
        "folds": int(checked.fold.max()) + 1,
        "per_class": metrics.by_class(classes, checked.per_class),
    }


def _meaning(checked: Checked | None, examples: Examples, precision: float) -> dict[str, Any]:
    """What scores mean, for scores.json: `calibration`, and `reliability` before and after it."""
    from audio_triplet.classify import calibration

    if checked is None or checked.patch_scores is None:
        return {"calibration": None, "reliability": None}
    found = calibration.calibrate(
        checked.scores,
        checked.patch_scores,
        examples.segment_index,
        examples.labels,
        examples.groups,
        checked.fold,
        precision,
    )
    after = calibration.held_out(checked.scores, examples.labels, checked.fold)
    bins = {
        name: calibration.reliability(*calibration.top_class(values, examples.labels), bins=10)
        for name, values in (("scores", checked.scores), ("probabilities", after))
    }
    return {
        "calibration": {name: of.as_json() for name, of in found.items()},
        "reliability": {
            name: {
                "error": calibration.calibration_error(of),
                "bins": [dataclasses.asdict(each) for each in of],
            }
            for name, of in bins.items()
        },
    }


def _summary(report: Mapping[str, Any], classes: int) -> list[str]:
    """What fit found, for the terminal."""
    lines = [
        f"{classes} classes, {report['segments']} labelled sounds of "
        f"{report['recordings']} recordings"
    ]
    for title, score in (("cross-validated", report["score"]), ("log mel", report["log_mel"])):
        if score is None:
            continue
        line = f"{title}, {score['folds']} folds by recording: mAP {_interval(score, 'map')}"
        if score["accuracy"] is not None:
            line += f", accuracy {_interval(score, 'accuracy')}"
        lines.append(line)
    lines += _told_of_thresholds(report)
    if report["score"] is None:
        lines.append("not checked: no class has two recordings; label more for a score")
    elif report["unchecked_classes"]:
        lines.append(
            "learned but not checked, with a single recording: "
            + ", ".join(report["unchecked_classes"])
        )
    return lines


def _told_of_thresholds(report: Mapping[str, Any]) -> list[str]:
    """A line on probabilities and one on thresholds; nothing where they could not be checked."""
    if report["calibration"] is None:
        return []
    errors = [report["reliability"][name]["error"] for name in ("scores", "probabilities")]
    limits = report["calibration"]["segment"]["thresholds"]
    reached = sum(limit["score"] is not None for limit in limits)
    return [
        f"scores became probabilities: calibration error {errors[0]:.3f} before, {errors[1]:.3f} "
        "after (highest score of each sound)",
        f"precision {report['precision']:g} is reached by {reached} of {len(limits)} classes"
        + ("" if reached == len(limits) else "; the others are not found by a threshold"),
    ]


def _interval(score: Mapping[str, Any], key: str) -> str:
    low, high = score[f"{key}_interval"]
    return f"{score[key]:.3f} (95 %: {low:.3f} to {high:.3f})"
