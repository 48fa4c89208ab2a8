"""Scores a SavedModel on a corpus: query by example, and a classifier on its frozen embeddings.

    python -m experiments.evaluate --model=runs/mine/export --corpus=esc50:DIR --output_dir=scores

Claim: the scores of Table 1, for any model of ours. The released model has a probe accuracy of
0.762 and 0.355 per query on ESC-50's fold 5 (results/levels.md). It was not trained on any sound of
ESC-50.

The model reads the sound files themselves; it may have been trained on another corpus. Vary with
--test_splits. Written to --output_dir: metrics.json.
"""

import os

from absl import flags

from audio_triplet.commands import terminal
from experiments.lib import kept, scored_corpus, script
from experiments.lib.scored_corpus import ScoringSettings


def define_flags() -> None:
    """Defines the script's flags."""
    scored_corpus.define_flags("metrics.json")
    flags.DEFINE_integer("seed", 0, "Seed of the classifier.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("evaluate"):
        metrics = evaluate(scored_corpus.settings_from_flags(), flags.FLAGS.seed)
    print(
        f"query by example mAP {metrics['qbe_map']:.4f}, per-query mAP {metrics['query_map']:.4f}, "
        f"classification mAP {metrics['cls_map']:.4f}"
        + "".join(
            f", {name} {metrics[key]:.4f}"
            for key, name in (("roc_auc", "ROC AUC"), ("d_prime", "d′"), ("accuracy", "accuracy"))
            if metrics[key] is not None
        )
    )


def evaluate(settings: ScoringSettings, seed: int = 0) -> dict:
    """Embeds both sides of the corpus, scores, and writes metrics.json.

    Args:
      settings: Model and corpus.
      seed: Of the classifier.

    Returns:
      The content of metrics.json: the result of `protocol.score`, with model and corpus.
    """
    from audio_triplet.evaluation.shallow_network import ClassifierConfig
    from audio_triplet.provenance import provenance
    from experiments.lib import protocol

    embedded = scored_corpus.embed_corpus(settings)
    scores = protocol.score(embedded.sides, embedded.classes, ClassifierConfig(seed=seed))
    metrics = scores | embedded.summary | provenance()
    kept.write_json(os.path.join(settings.output_dir, "metrics.json"), metrics)
    return metrics


if __name__ == "__main__":
    script.start(define_flags, main)
