"""What fit, predict and suggest share: opening a classifier, scoring sound, naming segments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from audio_triplet.config import EmbedConfig

if TYPE_CHECKING:
    import numpy as np

    from audio_triplet.classify.classifier import SoundClassifier
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embed import Embedded
    from audio_triplet.embeddings.other_models import AnyModel


def load_classifier(
    classifier_dir: str, model_path: str | None
) -> tuple[SoundClassifier, AnyModel]:
    """The classifier and its model.

    Args:
      classifier_dir: Folder of a classifier.
      model_path: Folder of the SavedModel; None: where it was when the classifier was fitted.

    Raises:
      ClassifierError: It is damaged, or was fitted on another model.
      ExportError: The model is not there.
    """
    from audio_triplet.classify import classifier
    from audio_triplet.embeddings import model_files, other_models

    fitted = classifier.SoundClassifier.load(classifier_dir)
    recorded = fitted.metadata.get("model", "")
    model = other_models.open_model(
        model_files.find_model(model_path, recorded, fitted.model_digest, classifier_dir)
    )
    fitted.check_model(model)
    return fitted, model


def scored(
    fitted: SoundClassifier,
    model: AnyModel,
    manifest: Manifest,
    config: EmbedConfig,
    bad_files: BadFiles,
) -> Iterator[tuple[Embedded, np.ndarray]]:
    """Embeds and scores segments, in the manifest's order.

    Args:
      fitted: The classifier.
      model: Its model.
      manifest: The segments.
      config: How they are embedded; its granularity is that of the scores.
      bad_files: Unreadable files are added to it.

    Yields:
      Each segment that can be read, as patches, and its scores: float32[patches, classes], or of
      the segment as a whole float32[1, classes].
    """
    import numpy as np
    from tqdm import tqdm

    from audio_triplet.embeddings import embed
    from audio_triplet.embeddings.description import window_patches

    window = window_patches(config.hop_seconds)

    def score(vectors: np.ndarray) -> np.ndarray:
        if config.granularity == "patch":
            return fitted.classifier.predict_patches(vectors)
        owner = np.zeros(len(vectors), np.int32)
        return fitted.classifier.predict_segments(vectors, owner, 1, window)

    of_patches = dataclasses.replace(config, granularity="patch")
    paths, following = manifest.frame["path"].tolist(), 0
    waiting: dict[int, tuple[Embedded, np.ndarray]] = {}
    found = embed.embed_files(model, manifest, of_patches, bad_files)
    for segment in tqdm(found, total=len(manifest), unit="sound", desc="classifying", disable=None):
        waiting[segment.row] = segment, score(segment.vectors)
        while following in waiting or (
            following < len(paths) and paths[following] in bad_files.entries
        ):
            if following in waiting:
                yield waiting.pop(following)
            following += 1
    for row in sorted(waiting):
        yield waiting[row]


def segment_key(row: Any) -> tuple[str, float, float | None]:
    """The identity of a manifest's row, as JSON keeps it: path, start, end in seconds."""
    end = float(row.end_seconds)
    return row.path, float(row.start_seconds), None if end != end else end
