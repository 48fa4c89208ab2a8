"""audio-triplet classify predict"""

import csv
import os

from audio_triplet import storage
from audio_triplet.commands.classify.shared import write_bad_files
from audio_triplet.config import EmbedConfig

# --- predict -------------------------------------------------------------------------------------


def predict(
    manifest,
    classifier_dir: str,
    output_dir: str,
    config: EmbedConfig,
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
    from audio_triplet.data.bad_files import BadFiles

    fitted, model = load_classifier(classifier_dir, model_path)
    bad_files = BadFiles()
    path, rows, files = os.path.join(output_dir, "predictions.csv"), 0, set()
    with storage.open_replacing(path) as file:
        writer = csv.writer(file)
        writer.writerow(["path", "start_seconds", "end_seconds", "top_class", *fitted.classes])
        for one, scores in scored(fitted, model, manifest, config, bad_files):
            source = manifest.frame["path"].iloc[one.row]
            starts, ends = one.start_seconds, one.end_seconds
            if config.granularity == "segment":
                scores = scores.mean(axis=0, keepdims=True)
                starts, ends = starts[:1], starts[:1] + one.seconds
            for start, end, values in zip(starts, ends, scores, strict=True):
                writer.writerow(
                    [
                        source,
                        f"{start:.3f}",
                        f"{end:.3f}",
                        fitted.classes[values.argmax()],
                        *(f"{value:.4f}" for value in values),
                    ]
                )
            rows += len(scores)
            files.add(source)
    write_bad_files(bad_files, output_dir)
    told = f"{rows:,} rows for {len(files):,} files: {path}"
    if bad_files.entries:
        told += f"\n{len(bad_files.entries)} files could not be used, see bad_files.csv beside it"
    return told


def load_classifier(classifier_dir: str, model_path: str | None):
    """The classifier and its model.

    Raises:
      ClassifierError: It is damaged, or the model is another.
      ExportError: The model is not there.
    """
    from audio_triplet.classify import classifier
    from audio_triplet.embeddings import model_files, saved_model

    fitted = classifier.SoundClassifier.load(classifier_dir)
    recorded = fitted.metadata.get("model", "")
    model = saved_model.Model(
        model_files.find_model(model_path, recorded, fitted.model_digest, classifier_dir)
    )
    fitted.check_model(model)
    return fitted, model


def scored(fitted, model, manifest, config: EmbedConfig, bad_files):
    """(Embedded, float32[patches, classes]) of each segment that can be read, in order."""
    import dataclasses

    from tqdm import tqdm

    from audio_triplet.embeddings import embed

    of_patches = dataclasses.replace(config, granularity="patch")
    paths, waiting, following = manifest.frame["path"].tolist(), {}, 0
    found = embed.embed_files(model, manifest, of_patches, bad_files)
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
