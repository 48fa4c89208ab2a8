"""What fit, predict and suggest share: opening a classifier, scoring sound, naming segments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from audio_triplet.config import EmbedConfig

if TYPE_CHECKING:
    from audio_triplet.classify.adaptation import Watch
    from audio_triplet.classify.classifier import SoundClassifier
    from audio_triplet.classify.scoring import Scored
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.other_models import Embedder


def load_classifier(
    classifier_dir: str, model_path: str | None, precision: str = "float32"
) -> tuple[SoundClassifier, Embedder]:
    """The classifier and its model.

    Args:
      classifier_dir: Folder of a classifier.
      model_path: Folder of the SavedModel; None: where it was when the classifier was fitted.
      precision: Of the model's arithmetic.

    Raises:
      ClassifierError: It is damaged, or was fitted on another model.
      ExportError: The model is not there.
    """
    from audio_triplet.classify import classifier
    from audio_triplet.embeddings import model_files, other_models

    fitted = classifier.SoundClassifier.load(classifier_dir)
    recorded = fitted.metadata.get("model", "")
    model = other_models.open_embedder(
        model_files.find_model(model_path, recorded, fitted.model_digest, classifier_dir), precision
    )
    fitted.check_model(model)
    return fitted, model


def scored(
    fitted: SoundClassifier,
    model: Embedder,
    manifest: Manifest,
    config: EmbedConfig,
    bad_files: BadFiles,
    with_sounds: bool = False,
    adapt: bool = False,
    watch: Watch | None = None,
) -> Iterator[Scored]:
    """As `scoring.score_files`, with a bar on a terminal."""
    from tqdm import tqdm

    from audio_triplet.classify import scoring

    with tqdm(total=len(manifest), unit="sound", desc="classifying", disable=None) as bar:
        work = fitted, model, manifest, config, bad_files
        yield from scoring.score_files(*work, bar.update, with_sounds, adapt, watch)


def segment_key(row: Any) -> tuple[str, float, float | None]:
    """The identity of a manifest's row, as JSON keeps it: path, start, end in seconds."""
    end = float(row.end_seconds)
    return row.path, float(row.start_seconds), None if end != end else end
