"""Fits a classifier on labelled sound, and checks it on recordings that were held out.

    audio-triplet classify fit LABELLED --output_dir=mine
    audio-triplet classify fit LABELLED mine/suggest.csv --output_dir=mine

LABELLED is a folder with a sub-folder for each class, or a manifest with labels in some rows;
sounds without a label are ignored. Written to --output_dir: the folder `classifier`, scores.json
with the cross-validated score, and classifier.html.
"""

from __future__ import annotations

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
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet


def define_flags() -> None:
    """Defines the verb's flags."""
    config_flags.define_labels_flag("folders")
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    config_flags.define_model_flag()
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
        "Check log mel too, for comparison, without likenesses; it has 48 times as many "
        "dimensions, so this takes longer.",
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
    from audio_triplet.classify import classifier, cross_validation, report
    from audio_triplet.classify.examples import Examples
    from audio_triplet.embeddings import model_files, other_models

    model = other_models.open_embedder(model_path)
    embeddings = _embedded(model, manifest, output_dir, max_bad_share, truncated)
    examples = Examples.of(embeddings)
    fitted = classifier.fit(examples, config)
    checked = cross_validation.cross_validate(examples, config)
    curves, checked_log_mel = {}, None
    if page:
        curves["embedding"] = cross_validation.learning_curve(examples, config)
    if compare_log_mel:
        from audio_triplet.embeddings import representations, saved_model

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
    made = report.report_of(
        model_files.located(model.path), examples, fitted, checked, config, checked_log_mel, curves
    )
    storage.write_json(os.path.join(output_dir, "scores.json"), made)
    fitted_on = [list(segment_key(row)) for row in embeddings.manifest.frame.itertuples()]
    classifier.SoundClassifier(
        examples.classes, fitted.classifier, model.digest, made | {"fitted_on": fitted_on}
    ).save(os.path.join(output_dir, "classifier"))
    lines = _summary(made, len(examples.classes))
    if page:
        from audio_triplet.web import classifier_page

        path = os.path.join(output_dir, "classifier.html")
        classifier_page.write_report(path, made, examples, embeddings.manifest, checked)
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
    line = f"precision {report['precision']:g} is reached by {reached} of {len(limits)} classes"
    if not reached:
        line += "; label more, or ask for less (--precision)"
    elif reached < len(limits):
        line += "; no threshold finds the others"
    return [
        f"scores became probabilities: calibration error {errors[0]:.3f} before, {errors[1]:.3f} "
        "after (highest score of each sound)",
        line,
    ]


def _interval(score: Mapping[str, Any], key: str) -> str:
    low, high = score[f"{key}_interval"]
    return f"{score[key]:.3f} (95 %: {low:.3f} to {high:.3f})"
