"""Scores of an embedding over the official folds of a corpus that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet

SCORES = ("probe_accuracy", "probe_map", "query_map", "qbe_map")


def folds_of(manifest: Manifest, spec: str) -> list[str]:
    """The splits that are tested in turn.

    Args:
      manifest: The corpus.
      spec: Its name, for messages.

    Raises:
      UsageError: There are fewer than two.
    """
    from audio_triplet.data.manifest_csv import UNUSED

    folds = [split for split in manifest.splits if split not in ("", UNUSED)]
    if len(folds) < 2:
        raise UsageError(f"{spec}: has no folds to test in turn")
    return folds


def score_folds(embeddings: EmbeddingSet, manifest: Manifest, folds: list[str]) -> dict:
    """Tests each fold once: retrieval within it, the linear probe fitted on the others.

    Args:
      embeddings: All segments.
      manifest: The corpus.
      folds: Of `folds_of`.

    Returns:
      `folds`, `each` (the scores of each fold), and the means over folds of `SCORES`.
    """
    import numpy as np

    from experiments.lib import protocol

    each = []
    for fold in folds:
        sides = protocol.split_sides(embeddings, (fold,))
        train, test = sides.train.segment_means, sides.test.segment_means
        found = protocol.retrieval_scores(test, sides, manifest.classes)
        found |= protocol.probe_scores(train, test, sides, manifest.classes)
        each.append({name: found[name] for name in SCORES})
    means = {name: float(np.mean([scores[name] for scores in each])) for name in SCORES}
    return {"folds": folds, "each": each, **means}
