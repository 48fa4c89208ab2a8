"""audio-triplet classify fit"""

import os

from audio_triplet import storage
from audio_triplet.commands.classify.shared import write_bad_files
from audio_triplet.commands.classify.suggest import place_of
from audio_triplet.config import ClassifyConfig
from audio_triplet.errors import UsageError

# --- fit -----------------------------------------------------------------------------------------


def fit(
    manifest,
    model_path: str,
    output_dir: str,
    config: ClassifyConfig,
    page: bool = True,
    compare_log_mel: bool = False,
) -> str:
    """Fits a classifier on the labelled segments, and checks it by cross-validation.

    Args:
      manifest: The segments; those without labels are left alone.
      model_path: Folder of a SavedModel.
      output_dir: Where `classifier/`, scores.json and classifier.html go.
      config: How.
      page: Whether to write the page, for which a learning curve is made.
      compare_log_mel: Whether to check log mel too.

    Returns:
      Lines for the user.
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
    from audio_triplet.embeddings import representations, saved_model
    from audio_triplet.provenance import provenance

    model = saved_model.Model(model_path)
    embeddings = _embedded(model, manifest, output_dir)
    examples = Examples.of(embeddings)
    fitted = classifier.fit(examples, config)
    checked = cross_validation.cross_validate(examples, config)
    curves, base = {}, None
    if page:
        curves["embedding"] = cross_validation.learning_curve(examples, config)
    if compare_log_mel:
        heard = _embedded(
            lambda waveform: saved_model.embed_waveforms(representations.flat, waveform),
            manifest,
            output_dir,
        )
        flat = Examples.of(heard, examples.classes)
        base = cross_validation.cross_validate(flat, config)
        if page:
            curves["log_mel"] = cross_validation.learning_curve(flat, config)
    recordings = examples.recordings()
    told = {
        "model": os.path.abspath(model.path),
        "labelling": "single" if examples.is_single(config) else "multi",
        "hidden_units": config.hidden_units,
        "seed": config.seed,
        "regularised": fitted.regularised,
        "labels_per_class": float(np.median(examples.labels.sum(axis=0))),
        "segments": len(examples),
        "recordings": len(set(examples.groups)),
        "score": _score(checked, examples.classes),
        "log_mel": _score(base, examples.classes),
        "unchecked_classes": [
            name for name, count in zip(examples.classes, recordings, strict=True) if count < 2
        ],
        "learning_curve": {
            name: {str(point.per_class): point.means for point in points}
            for name, points in curves.items()
        },
        **provenance(),
    }
    storage.write_json(os.path.join(output_dir, "scores.json"), told)
    frame = embeddings.manifest.frame
    heard = [list(place_of(row)) for row in frame.itertuples()]
    classifier.SoundClassifier(
        examples.classes, fitted.classifier, model.digest, told | {"fitted_on": heard}
    ).save(os.path.join(output_dir, "classifier"))
    lines = _told(told, examples)
    if page:
        from audio_triplet.web import classifier_page

        path = os.path.join(output_dir, "classifier.html")
        classifier_page.write_report(path, told, examples, embeddings.manifest, checked)
        lines.append(f"page: {path}")
    lines.append(f"classifier: {os.path.join(output_dir, 'classifier')}")
    return "\n".join(lines)


def few_of(manifest, per_class: int, seed: int):
    """Some labelled segments of each class, of as many recordings as there are.

    Args:
      manifest: The segments.
      per_class: How many of each class; all of a class that has fewer.
      seed: Another one draws others.

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


def _embedded(model, manifest, output_dir: str):
    """Embeds a manifest; bad files go to bad_files.csv."""
    from tqdm import tqdm

    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.embeddings import embed

    bad_files = BadFiles()
    try:
        with tqdm(total=len(manifest), unit="segment", desc="embedding", disable=None) as bar:
            return embed.embed_manifest(model, manifest, None, bad_files, bar.update)
    finally:
        write_bad_files(bad_files, output_dir)


def _score(checked, classes) -> dict | None:
    from experiments.lib import protocol

    if checked is None:
        return None
    return {
        "map": checked.mean,
        "map_interval": checked.interval,
        "accuracy": checked.accuracy,
        "accuracy_interval": checked.accuracy_interval,
        "folds": int(checked.fold.max()) + 1,
        "per_class": protocol.per_class(classes, checked.per_class),
    }


def _told(told: dict, examples) -> list[str]:
    """What fit found, for the terminal."""
    lines = [
        f"{len(examples.classes)} classes, {told['segments']} labelled sounds of "
        f"{told['recordings']} recordings"
    ]
    for title, score in (("cross-validated", told["score"]), ("log mel", told["log_mel"])):
        if score is None:
            continue
        line = f"{title}, {score['folds']} folds by recording: mAP {_interval(score, 'map')}"
        if score["accuracy"] is not None:
            line += f", accuracy {_interval(score, 'accuracy')}"
        lines.append(line)
    if told["score"] is None:
        lines.append("not checked: no class has two recordings; label more for a score")
    elif told["unchecked_classes"]:
        lines.append(
            "learned but not checked, having one recording: " + ", ".join(told["unchecked_classes"])
        )
    return lines


def _interval(score: dict, key: str) -> str:
    low, high = score[f"{key}_interval"]
    return f"{score[key]:.3f} (95 %: {low:.3f} to {high:.3f})"
