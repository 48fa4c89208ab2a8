"""A classifier of your own sounds, from a few labels: fit it, use it, ask what to label next.

    audio-triplet-classify fit LABELLED --model=runs/mine/export --output_dir=mine
    audio-triplet-classify predict SOUND --classifier=mine/classifier --output_dir=mine
    audio-triplet-classify suggest SOUND --classifier=mine/classifier --output_dir=mine

LABELLED is a folder with a sub-folder for each class, or a manifest whose column `labels` is filled
here and there. fit writes `classifier/`, scores.json and classifier.html: what it is worth on
recordings that it has not heard. predict writes predictions.csv: file, times, and a score for each
class. suggest writes the sounds that are the least clear to it, as suggest.csv, a manifest to fill
in, and suggest.html, a page to listen to them and to label them on; give it to fit beside the rest:

    audio-triplet-classify fit LABELLED mine/suggest.csv --model=… --output_dir=mine

Also: python -m experiments.classify.
"""

import csv
import json
import os
import sys

from absl import flags

from audio_triplet import cli, locks
from audio_triplet.config import ClassifyConfig, EmbedConfig
from experiments import inputs

COMMANDS = ("fit", "predict", "suggest")


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string(
        "model", None, "Folder of a SavedModel; predict and suggest know the one of fit."
    )
    flags.DEFINE_string("output_dir", None, "Folder for all that is written.", required=True)
    flags.DEFINE_string(
        "classifier", None, "For predict and suggest: the folder `classifier` that fit wrote."
    )
    cli.define_flags(ClassifyConfig)
    flags.DEFINE_integer(
        "labels_per_class", 0, "fit: draw so many labelled sounds of each class, and leave the "
        "others alone, to see what they are worth; 0 takes all.", lower_bound=0,
    )
    flags.DEFINE_boolean("page", True, "fit: write classifier.html too, with a learning curve.")
    flags.DEFINE_boolean(
        "compare_log_mel", False, "fit: check log mel in the same way, for comparison; it has 48 "
        "times as many numbers, so this takes longer."
    )
    cli.define_flags(EmbedConfig)
    flags.DEFINE_integer("count", 30, "suggest: how many sounds.", lower_bound=1)
    flags.DEFINE_float(
        "window_seconds", 10.0, "suggest: longer sounds are cut into windows of this length.",
        lower_bound=0.975,
    )
    flags.DEFINE_boolean(
        "ignore_labels", False, "suggest: take sounds too that have a label of the classifier."
    )


def main(argv):
    """Runs the command."""
    cli.quiet_tensorflow()
    values = flags.FLAGS
    with cli.clear_errors("audio-triplet-classify"):
        if len(argv) < 2 or argv[1] not in COMMANDS:
            raise cli.UsageError(f"say what to do: {', '.join(COMMANDS)}; see --help")
        manifest, _ = inputs.load_inputs(argv[2:])
        with locks.exclusive(values.output_dir):
            locks.clear_leftovers(values.output_dir)
            if argv[1] == "fit":
                if not values.model:
                    raise cli.UsageError("fit needs --model, the folder of a SavedModel")
                if values.labels_per_class:
                    manifest = few_of(manifest, values.labels_per_class, values.seed)
                told = fit(
                    manifest, values.model, values.output_dir, cli.from_flags(ClassifyConfig),
                    values.page, values.compare_log_mel,
                )
            elif not values.classifier:
                raise cli.UsageError(
                    f"{argv[1]} needs --classifier, the folder `classifier` that fit wrote"
                )
            elif argv[1] == "predict":
                told = predict(
                    manifest, values.classifier, values.output_dir, cli.from_flags(EmbedConfig),
                    values.model,
                )
            else:
                told = suggest(
                    manifest, values.classifier, values.output_dir, values.count,
                    values.window_seconds, values.ignore_labels, values.model,
                )
        print(told)


# --- fit -----------------------------------------------------------------------------------------


def fit(
    manifest, model_path: str, output_dir: str, config: ClassifyConfig, page: bool = True,
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
        raise cli.UsageError(
            f"{manifest.name}: no sound has a label; sort the files into one folder for each class "
            "or fill the column `labels` of a manifest"
        )
    from audio_triplet import classifier, embedding, export
    from experiments.provenance import provenance

    model = export.Model(model_path)
    embeddings = _embedded(model, manifest, output_dir)
    examples = classifier.Examples.of(embeddings)
    fitted = classifier.fit(examples, config)
    checked = classifier.cross_validate(examples, config)
    curves, base = {}, None
    if page:
        curves["embedding"] = classifier.learning_curve(examples, config)
    if compare_log_mel:
        heard = _embedded(
            lambda waveform: export.embed_waveforms(embedding.flat, waveform), manifest, output_dir
        )
        flat = classifier.Examples.of(heard, examples.classes)
        base = classifier.cross_validate(flat, config)
        if page:
            curves["log_mel"] = classifier.learning_curve(flat, config)
    recordings = examples.recordings()
    told = {
        "model": os.path.abspath(model.path),
        "labelling": "single" if examples.is_single(config) else "multi",
        "hidden_units": config.hidden_units, "seed": config.seed,
        "regularised": fitted.regularised,
        "labels_per_class": float(np.median(examples.labels.sum(axis=0))),
        "segments": len(examples), "recordings": len(set(examples.groups)),
        "score": _score(checked, examples.classes), "log_mel": _score(base, examples.classes),
        "unchecked_classes": [
            name for name, count in zip(examples.classes, recordings, strict=True) if count < 2
        ],
        "learning_curve": {
            name: {str(point.per_class): point.means for point in points}
            for name, points in curves.items()
        },
        **provenance(),
    }
    _write_json(os.path.join(output_dir, "scores.json"), told)
    frame = embeddings.manifest.frame
    heard = [list(_place(row)) for row in frame.itertuples()]
    classifier.SoundClassifier(
        examples.classes, fitted.classifier, model.digest, told | {"fitted_on": heard}
    ).save(os.path.join(output_dir, "classifier"))
    lines = _told(told, examples)
    if page:
        from experiments import classifier_page

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
    from audio_triplet import piece_table
    from experiments import evaluate

    bad_files = piece_table.BadFiles()
    try:
        return evaluate.embed_files(model, manifest, bad_files)
    finally:
        _write_bad_files(bad_files, output_dir)


def _write_bad_files(bad_files, output_dir: str) -> None:
    path = os.path.join(output_dir, "bad_files.csv")
    if bad_files.entries:
        bad_files.write(path)
    elif os.path.exists(path):
        os.remove(path)


def _score(checked, classes) -> dict | None:
    from experiments import scoring

    if checked is None:
        return None
    return {
        "map": checked.mean, "map_interval": checked.interval, "accuracy": checked.accuracy,
        "accuracy_interval": checked.accuracy_interval, "folds": int(checked.fold.max()) + 1,
        "per_class": scoring.per_class(classes, checked.per_class),
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


# --- predict -------------------------------------------------------------------------------------


def predict(
    manifest, classifier_dir: str, output_dir: str, config: EmbedConfig,
    model_path: str | None = None,
) -> str:
    """Writes predictions.csv: a row for every patch, or every segment, in the inputs' order.

    Args:
      manifest: The segments.
      classifier_dir: Folder of a classifier.
      output_dir: Where predictions.csv goes.
      config: Level and hop.
      model_path: Folder of the SavedModel; None: where it was when the classifier was fitted.

    Returns:
      A line for the user.
    """
    from audio_triplet import piece_table

    fitted, model = _load(classifier_dir, model_path)
    bad_files = piece_table.BadFiles()
    path, rows, files = os.path.join(output_dir, "predictions.csv"), 0, set()
    with open(f"{path}.tmp", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "start_seconds", "end_seconds", "top_class", *fitted.classes])
        for one, scores in _scored(fitted, model, manifest, config, bad_files):
            source = manifest.frame["path"].iloc[one.row]
            starts, ends = one.start_seconds, one.end_seconds
            if config.level == "segment":
                scores = scores.mean(axis=0, keepdims=True)
                starts, ends = starts[:1], starts[:1] + one.seconds
            for start, end, values in zip(starts, ends, scores, strict=True):
                writer.writerow([
                    source, f"{start:.3f}", f"{end:.3f}", fitted.classes[values.argmax()],
                    *(f"{value:.4f}" for value in values),
                ])
            rows += len(scores)
            files.add(source)
    os.replace(f"{path}.tmp", path)
    _write_bad_files(bad_files, output_dir)
    told = f"{rows:,} rows for {len(files):,} files: {path}"
    if bad_files.entries:
        told += f"\n{len(bad_files.entries)} files could not be used, see bad_files.csv beside it"
    return told


def _load(classifier_dir: str, model_path: str | None):
    """The classifier and its model.

    Raises:
      ClassifierError: It is damaged, or the model is another.
      ExportError: The model is not there.
    """
    from audio_triplet import classifier, export

    fitted = classifier.SoundClassifier.load(classifier_dir)
    model_path = model_path or fitted.told.get("model", "")
    if not os.path.exists(model_path):
        raise classifier.ClassifierError(
            f"{model_path}: the model of the classifier is not there any more; say where it is by "
            "--model"
        )
    model = export.Model(model_path)
    fitted.check_model(model)
    return fitted, model


def _scored(fitted, model, manifest, config: EmbedConfig, bad_files):
    """(Embedded, float32[patches, classes]) of each segment that can be read, in order."""
    import dataclasses

    from tqdm import tqdm

    from audio_triplet import archive

    of_patches = dataclasses.replace(config, level="patch")
    paths, waiting, following = manifest.frame["path"].tolist(), {}, 0
    found = archive.embed(model, manifest, of_patches, bad_files)
    for one in tqdm(found, total=len(manifest), unit="sound", desc="classifying", disable=None):
        waiting[one.row] = one, fitted.classifier.predict_patches(one.vectors)
        while following in waiting or (
            following < len(paths) and paths[following] in bad_files.entries
        ):
            if following in waiting:
                yield waiting.pop(following)
            following += 1
    for row in sorted(waiting):
        yield waiting[row]


# --- suggest -------------------------------------------------------------------------------------


def suggest(
    manifest, classifier_dir: str, output_dir: str, count: int, window_seconds: float = 10.0,
    ignore_labels: bool = False, model_path: str | None = None,
) -> str:
    """Writes suggest.csv and suggest.html: the sounds whose labels would teach the most.

    Args:
      manifest: The sounds to choose from; those the classifier knows are passed over.
      classifier_dir: Folder of a classifier.
      output_dir: Where both files go.
      count: How many.
      window_seconds: Longer sounds are cut into windows of this length.
      ignore_labels: Whether sounds that have a label of the classifier's are candidates too.
      model_path: As for `predict`.

    Returns:
      A line or two for the user.
    """
    import numpy as np

    from audio_triplet import classifier, piece_table
    from experiments import classifier_page

    fitted, model = _load(classifier_dir, model_path)
    bad_files = piece_table.BadFiles()
    known = {tuple(place) for place in fitted.told.get("fitted_on", ())}
    is_new = np.array([_place(row) not in known for row in manifest.frame.itertuples()])
    if not ignore_labels:
        is_new &= ~manifest.label_matrix(fitted.classes).any(axis=1)
    if not is_new.any():
        raise cli.UsageError(
            f"{manifest.name}: every sound has a label already (--ignore_labels takes them too)"
        )
    windows = _windows(manifest.take(np.flatnonzero(is_new)), window_seconds, bad_files)
    found = [
        (one.row, scores.mean(axis=0))
        for one, scores in _scored(fitted, model, windows, EmbedConfig(), bad_files)
    ]
    _write_bad_files(bad_files, output_dir)
    if not found:
        raise cli.UsageError(f"{manifest.name}: not one sound could be read")
    frame = windows.frame.iloc[[row for row, _ in found]]
    scores = np.stack([values for _, values in found])
    chosen = classifier.suggest(scores, frame["recording_id"].tolist(), count)
    frame, scores = frame.iloc[chosen], scores[chosen]
    path = os.path.join(output_dir, "suggest.csv")
    with open(f"{path}.tmp", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(classifier_page.LABEL_COLUMNS)
        writer.writerows(classifier_page.label_rows(frame))
    os.replace(f"{path}.tmp", path)
    page = os.path.join(output_dir, "suggest.html")
    classifier_page.write_suggestions(page, frame, scores, fitted.classes, len(found))
    return (
        f"{len(frame)} of {len(found):,} sounds to label, the least clear first: listen and label "
        f"on {page},\nor fill the column `labels` of {path}; then fit with that file too"
    )


def _place(row) -> tuple:
    """What tells a manifest row from others, as JSON keeps it."""
    end = float(row.end_seconds)
    return row.path, float(row.start_seconds), None if end != end else end


def _windows(manifest, seconds: float, bad_files):
    """Cuts long segments; the last window takes what would be left, if that is less than a patch.

    Returns:
      The manifest of the windows.
    """
    import numpy as np

    from audio_triplet import audio
    from audio_triplet.manifest import CorpusError, Manifest

    rows, starts, ends = [], [], []
    for place, row in enumerate(manifest.frame.itertuples()):
        start, end = float(row.start_seconds), float(row.end_seconds)
        try:
            whole = float(np.fmin(end, audio.probe(row.path).duration_seconds)) - start
        except audio.AudioError as error:
            bad_files.add(row.path, error.reason)
            continue
        count = max(1, round(np.ceil((whole - 1) / seconds)))
        for number in range(count):
            rows.append(place)
            starts.append(start + number * seconds)
            ends.append(end if number == count - 1 else start + (number + 1) * seconds)
    if not rows:
        raise CorpusError(f"{manifest.name}: not one sound could be read")
    frame = manifest.frame.iloc[rows].assign(start_seconds=starts, end_seconds=ends, split="")
    return Manifest(frame.reset_index(drop=True), manifest.name)


def _write_json(path: str, content) -> None:
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
    os.replace(f"{path}.tmp", path)


def run() -> None:
    """Entry point of the command."""
    cli.start(__name__, define_flags, main)


if __name__ == "__main__":
    sys.exit(run())
